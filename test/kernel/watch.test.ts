import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { cleanup, type Cleaner } from "../support/cleanup.js";
import { command, fails, ok, programOf } from "../support/command.js";
import { cgroupMounts, end } from "../support/host.js";
import { instance } from "../support/instance.js";
import { descriptorCount } from "../support/leaks.js";
import { runtimeDir } from "../support/paths.js";
import { busybox, type Store } from "../support/store.js";
import { waitFor } from "../support/wait.js";
import { guests } from "./guest.js";

const sleeper = "lxc.init.cmd = /bin/sleep 3600\n";

describe("lxc-wait", () => {
  const { define, started } = guests();

  it("returns at once in the state it waits for, a container that does not exist being STOPPED", async () => {
    const guest = await started("now", sleeper);
    await ok(["lxc-wait", ...guest.at, "-s", "STOPPED|RUNNING"]);
    await ok(["lxc-wait", ...guest.at.slice(0, 3), "nobody", "-s", "STOPPED"]);
    await guest.kill();
  });
  it("sees a container start that does not exist yet, freeze, thaw and stop", async () => {
    const guest = define("later", sleeper);
    const wait = (state: string): Promise<string> => ok(["lxc-wait", ...guest.at, "-s", state, "-t", "20"]);
    const steps: readonly (readonly [string, readonly string[]])[] = [
      ["RUNNING", ["lxc-start", ...guest.at]],
      ["FROZEN|ABORTING", ["lxc-freeze", ...guest.at]],
      ["RUNNING|THAWED", ["lxc-unfreeze", ...guest.at]],
      ["STOPPED", ["lxc-stop", ...guest.at, "-k"]],
    ];
    for (const [state, cause] of steps) {
      const both = await Promise.all([wait(state), ok(cause)]);
      assert.deepEqual(both, ["", ""], state);
    }
  });
  it("gives up when the time is over", async () => {
    const guest = await started("late", sleeper);
    const began = Date.now();
    await fails(["lxc-wait", ...guest.at, "-s", "STOPPED", "-t", "1"], 1);
    assert.ok(Date.now() - began >= 990);
    await fails(["lxc-wait", ...guest.at, "-s", "STOPPED|FROZEN", "-t", "0"], 1);
    await guest.kill();
  });
  it("several wait for one container", async () => {
    const guest = await started("many", sleeper);
    const waits = Array.from({ length: 20 }, () => command(["lxc-wait", ...guest.at, "-s", "STOPPED", "-t", "20"]));
    await guest.kill();
    for (const { status } of await Promise.all(waits)) assert.equal(status, 0);
  });
});

/** lxc-monitor in the background, once it listens: a container that comes and goes makes it say something. */
async function watching(t: Cleaner, store: Store, words: readonly string[]): Promise<Watching> {
  const child = spawn(programOf("lxc-monitor"), words, {
    env: { ...process.env, ISLET_RUNTIME_DIR: runtimeDir },
    stdio: ["ignore", "pipe", "inherit"],
  });
  cleanup(t)(() => {
    child.kill("SIGKILL");
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (more: string) => (text += more));
  const ended = new Promise<number | null>((resolve) => {
    child.on("close", resolve);
  });
  if (!existsSync(join(store.path, "beacon"))) busybox(store, "beacon", "lxc.init.cmd = /bin/true\n");
  await waitFor("lxc-monitor to listen", async () => {
    await ok(["lxc-start", ...store.at("beacon")]);
    await ok(["lxc-wait", ...store.at("beacon"), "-s", "STOPPED", "-t", "20"]);
    return text.includes("'beacon'");
  });
  return {
    kill: () => child.kill("SIGTERM"),
    ended,
    of: (name) =>
      text
        .split("\n")
        .filter((line) => line.startsWith(`'${name}' `))
        .map((line) => /\[(.*)\]$/.exec(line)?.[1] ?? line),
    all: () => text,
  };
}

interface Watching {
  readonly kill: () => void;
  readonly ended: Promise<number | null>;
  /** What it has said of a container: states, and exit statuses as numbers. */
  readonly of: (name: string) => readonly string[];
  readonly all: () => string;
}

describe("lxc-monitor", () => {
  const { store, define, started } = guests();
  const until = async (seen: Watching, name: string, wanted: readonly string[]): Promise<void> => {
    await waitFor(`the last of ${wanted.join(" ")}`, () => seen.of(name).length >= wanted.length);
    assert.deepEqual(seen.of(name), wanted);
  };

  it("tells every state of a life in order: start, freeze, thaw, stop", async (t) => {
    const seen = await watching(t, store, ["-P", store.path]);
    const guest = await started("life", sleeper);
    await ok(["lxc-freeze", ...guest.at]);
    await ok(["lxc-freeze", ...guest.at]);
    await ok(["lxc-unfreeze", ...guest.at]);
    await guest.kill();
    const first = ["STARTING", "RUNNING", "FREEZING", "FROZEN", "THAWED", "RUNNING"];
    await until(seen, "life", [...first, "0", "STOPPING", "STOPPED"]);
    assert.match(seen.all(), /^'life' changed state to \[RUNNING\]$/m);
    assert.match(seen.all(), /^'life' exited with status \[0\]$/m);
  });
  it("tells the exit status of a main process that ends by itself, and of one that was killed when frozen", async (t) => {
    const seen = await watching(t, store, ["-P", store.path]);
    const guest = define("ends", 'lxc.init.cmd = /bin/sh -c "exit 42"\n');
    await guest.start();
    await until(seen, "ends", ["STARTING", "RUNNING", "42", "STOPPING", "STOPPED"]);
    const frozen = await started("endsfrozen", sleeper);
    await ok(["lxc-freeze", ...frozen.at]);
    await frozen.kill();
    await until(seen, "endsfrozen", ["STARTING", "RUNNING", "FREEZING", "FROZEN", "0", "STOPPING", "STOPPED"]);
  });
  it("tells a reboot", async (t) => {
    const seen = await watching(t, store, ["-P", store.path]);
    const guest = await started("reboots");
    await guest.try("reboot -f");
    await until(seen, "reboots", ["STARTING", "RUNNING", "0", "STOPPING", "STOPPED", "STARTING", "RUNNING"]);
    await guest.kill();
  });
  it("tells of a start that fails", async (t) => {
    const seen = await watching(t, store, ["-P", store.path]);
    await define("fails", "lxc.hook.pre-start = /bin/false\n").refuses();
    await until(seen, "fails", ["STARTING", "ABORTING", "STOPPING", "STOPPED"]);
  });
  it("tells only of the names it was asked for, in all the paths it was given", async (t) => {
    const other = guests(t);
    const seen = await watching(t, store, ["-P", store.path, "-P", other.store.path, "-n", "(beacon|ask.*)"]);
    for (const guest of [await started("asked", sleeper), await other.started("ask2", sleeper)]) await guest.kill();
    await (await started("unasked", sleeper)).kill();
    await until(seen, "ask2", ["STARTING", "RUNNING", "0", "STOPPING", "STOPPED"]);
    assert.equal(seen.of("asked").length, 5);
    assert.deepEqual(seen.of("unasked"), []);
  });
  it("lets the guest die whose monitor was killed while it was frozen", async (t) => {
    const guest = await started("orphan", sleeper);
    const pid = await guest.pid();
    const monitor = Number(/^PPid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
    await ok(["lxc-freeze", ...guest.at]);
    process.kill(monitor, "SIGKILL");
    await waitFor("init to be dead", () => !existsSync(`/proc/${pid}`));
    cleanup(t)(() => {
      for (const mount of cgroupMounts())
        for (const entry of readdirSync(mount)) if (entry === "lxc.payload.orphan") rmdirSync(join(mount, entry));
    });
    await waitFor("STOPPED", async () => (await guest.state()) === "STOPPED");
  });
  it("ends with status 1 when the daemon goes", async (t) => {
    const own = await instance(t);
    const idle = descriptorCount(own.pid());
    const child = own.command(["lxc-monitor", "-P", own.store.path]);
    await waitFor("the session", () => descriptorCount(own.pid()) >= idle + 4);
    end(own.pid(), "SIGKILL");
    assert.equal((await child).status, 1);
  });
});
