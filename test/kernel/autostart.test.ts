import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { command, ok, type CommandResult } from "../support/command.js";
import { cleanup, type Cleaner } from "../support/cleanup.js";
import { instance } from "../support/instance.js";
import { lacks } from "../support/skip.js";
import { busybox, tempStore } from "../support/store.js";
import { waitFor } from "../support/wait.js";
import { type Guest, guests } from "./guest.js";

const sleeper = "lxc.init.cmd = /bin/sleep 3600\n";
/** An init that shuts down on its halt signal. */
const obedient = `lxc.init.cmd = /bin/sh -c "trap 'exit 0' USR1; while :; do sleep 0.05; done"\n`;
const auto = "lxc.start.auto = 1\n";

/** A mount namespace whose /etc/lxc is the test's own, with an empty directory `auto`; a process that lives there. */
async function ownEtcLxc(t: Cleaner): Promise<number> {
  const script = "mount -t tmpfs none /etc/lxc && mkdir /etc/lxc/auto && exec sleep 86400";
  const holder = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", script], { stdio: "ignore" });
  const { pid } = holder;
  if (pid === undefined) throw new Error("unshare did not start");
  cleanup(t)(() => void holder.kill("SIGKILL"));
  await waitFor("a directory of links", () => existsSync(`/proc/${pid}/root/etc/lxc/auto`));
  return pid;
}

describe("lxc-autostart on real containers", () => {
  const states = async (all: readonly Guest[]): Promise<readonly string[]> =>
    await Promise.all(all.map((guest) => guest.state()));
  const autostart = (store: string, words: readonly string[]): Promise<CommandResult> =>
    command(["lxc-autostart", "-P", store, ...words]);

  it("starts those that are meant, in order, and stops them backwards", async (t) => {
    const { store, define } = guests(t);
    const log = join(store.path, "..", `islt-order-${process.pid}`);
    cleanup(t)(() => rmSync(log, { force: true }));
    const noting = (name: string): string =>
      `lxc.hook.pre-start = /bin/sh -c "echo up ${name} >> ${log}"\nlxc.hook.post-stop = /bin/sh -c "echo down ${name} >> ${log}"\n`;
    const made = [
      define("auto1", `${obedient}${auto}lxc.start.order = 2\n${noting("auto1")}`),
      define("auto2", `${obedient}${auto}lxc.start.order = 1\n${noting("auto2")}`),
      define("auto3", `${obedient}${auto}lxc.group = onboot\n${noting("auto3")}`),
      define("auto4", `${obedient}${noting("auto4")}`),
    ];
    assert.equal((await autostart(store.path, [])).status, 0);
    assert.deepEqual(await states(made), ["RUNNING", "RUNNING", "STOPPED", "STOPPED"]);
    const pids = await Promise.all(made.slice(0, 2).map((guest) => guest.pid()));

    // What runs is left alone.
    assert.equal((await autostart(store.path, ["-g", "onboot,"])).status, 0);
    assert.deepEqual(await states(made), ["RUNNING", "RUNNING", "RUNNING", "STOPPED"]);
    assert.deepEqual(await Promise.all(made.slice(0, 2).map((guest) => guest.pid())), pids);

    assert.equal((await autostart(store.path, ["-a", "-A", "-s", "-t", "20"])).status, 0);
    assert.deepEqual(await states(made), ["STOPPED", "STOPPED", "STOPPED", "STOPPED"]);
    const order = (await ok(["cat", log])).trim().split("\n");
    assert.deepEqual(order, ["up auto2", "up auto1", "up auto3", "down auto1", "down auto2", "down auto3"]);
  });

  it("ends although the caller reads its output to the end of the pipe", async (t) => {
    const { store, define } = guests(t);
    const guest = define("autopipe", sleeper + auto);
    const bin = join(import.meta.dirname, "../../../bin");
    const script = `"$0" -P "$1" 2>&1 | cat; echo over`;
    assert.equal(await ok(["/bin/sh", "-c", script, join(bin, "lxc-autostart"), store.path]), "over\n");
    assert.equal(await guest.state(), "RUNNING");
  });

  it("reboots, and kills those that do not obey when the time is over", async (t) => {
    const { store, started } = guests(t);
    const deaf = `lxc.init.cmd = /bin/sh -c "trap '' USR1; while :; do sleep 0.05; done"\n`;
    const all = [await started("autodeaf1", deaf + auto), await started("autodeaf2", deaf + auto)];
    const began = performance.now();
    const { status, stderr } = await autostart(store.path, ["-s", "-t", "1"]);
    const took = performance.now() - began;
    assert.equal(status, 0);
    assert.equal((stderr.match(/did not shut down within 1 seconds and was killed/g) ?? []).length, 2);
    assert.deepEqual(await states(all), ["STOPPED", "STOPPED"]);
    // Both at the same time.
    assert.ok(took < 1900, `${took} ms`);
    const rebooting = await started(
      "autoreboot",
      `lxc.init.cmd = /bin/sh -c "trap 'exec reboot -f' TERM; while :; do sleep 0.05; done"\n${auto}`,
    );
    const pid = await rebooting.pid();
    assert.equal((await autostart(store.path, ["-r"])).status, 0);
    await waitFor("a new init", async () => ![0, pid].includes(await rebooting.pid()));
    assert.equal((await autostart(store.path, ["-k"])).status, 0);
    assert.equal(await rebooting.state(), "STOPPED");
  });

  it("goes on after one that cannot start: status 2, and what was wrong", async (t) => {
    const { store, define } = guests(t);
    define("autobad", `${auto}lxc.init.cmd = /nosuch\n`);
    const good = define("autogood", sleeper + auto);
    const { status, stdout, stderr } = await autostart(store.path, []);
    assert.deepEqual([status, stdout], [2, ""]);
    assert.match(stderr, /^lxc-autostart: autobad: .*\/nosuch.*ENOENT/m);
    assert.match(stderr, /^lxc-autostart: Error starting container: autobad$/m);
    assert.equal(await good.state(), "RUNNING");
  });

  it("heeds the links in /etc/lxc/auto, and so does lxc-list", async (t) => {
    if (lacks(t, "lxc")) return;
    const mntnsPid = await ownEtcLxc(t);
    const own = await instance(t, { mntnsPid });
    for (const name of ["autolinked", "autofree"]) busybox(own.store, name, sleeper);
    symlinkSync(join(own.store.path, "autolinked/config"), `/proc/${mntnsPid}/root/etc/lxc/auto/autolinked.conf`);
    const at = ["-P", own.store.path];
    assert.equal(await own.ok(["lxc-autostart", ...at, "-L"]), "autolinked 0\n");
    assert.equal(await own.ok(["lxc-autostart", ...at]), "");
    assert.equal(
      await own.ok(["lxc-list", ...at]),
      "RUNNING\n  autolinked (auto)\n\nFROZEN\n\nSTOPPED\n  autofree\n\n",
    );
    assert.equal(await own.ok(["lxc-autostart", ...at, "-k"]), "");
    assert.equal(
      await own.ok(["lxc-list", ...at]),
      "RUNNING\n\nFROZEN\n\nSTOPPED\n  autofree\n  autolinked (auto)\n\n",
    );
  });

  it("has status 1 for a store without containers, and one that is missing", async (t) => {
    const store = tempStore(t);
    for (const path of [store.path, join(store.path, "nosuch")]) {
      const { status, stderr } = await autostart(path, []);
      assert.deepEqual([status, stderr], [1, `lxc-autostart: there are no containers in ${path}\n`]);
    }
  });
});
