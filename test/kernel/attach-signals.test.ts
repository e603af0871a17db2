import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { ok } from "../support/command.js";
import { cgroupMounts, end } from "../support/host.js";
import { bin, runtimeDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";
import { type Guest, guests, statusOf } from "./guest.js";

/** Pids of everybody in the container, as the host counts. */
function population(name: string): readonly string[] {
  return readFileSync(join(cgroupMounts()[0] ?? "", `lxc.payload.${name}/cgroup.procs`), "utf8")
    .trim()
    .split("\n");
}

const endOf = (child: ChildProcess): Promise<NodeJS.Signals | number | null> =>
  new Promise((resolve) => {
    child.on("close", (status, signal) => {
      resolve(signal ?? status);
    });
  });

describe("a signal to lxc-attach", () => {
  const { started } = guests();
  let guest: Guest;
  const spawned: ChildProcess[] = [];
  before(async () => {
    guest = await started("signals", "lxc.init.cmd = /bin/sleep 3600\n");
  });
  after(() => {
    for (const child of spawned) child.kill("SIGKILL");
  });
  const run = (argv: readonly string[]): ChildProcess => {
    const [program = "", ...words] = argv;
    const child = spawn(program, words, {
      stdio: "ignore",
      env: { PATH: process.env["PATH"], ISLET_RUNTIME_DIR: runtimeDir },
    });
    spawned.push(child);
    return child;
  };
  const attach = (...words: readonly string[]): readonly string[] => [bin("lxc-attach"), ...guest.at, "--", ...words];

  it("whose container is frozen ends it at once, and its process at the thaw", async () => {
    await ok(["lxc-freeze", ...guest.at]);
    const residents = population("signals").length;
    const client = run(attach("sleep", "1000"));
    await waitFor("its process in the container", () => population("signals").length > residents);
    const over = endOf(client);
    client.kill("SIGTERM");
    assert.equal(await over, "SIGTERM");
    assert.equal(await guest.state(), "FROZEN");
    await ok(["lxc-unfreeze", ...guest.at]);
    await waitFor("its process to be gone", () => population("signals").length === residents);
  });
  it("whose command was frozen meanwhile does so, too", async () => {
    const residents = population("signals").length;
    const client = run(attach("sleep", "1001"));
    const isThere = (pid: string): boolean => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("1001");
    await waitFor("the command", () => population("signals").some(isThere));
    await ok(["lxc-freeze", ...guest.at]);
    const over = endOf(client);
    client.kill("SIGHUP");
    // What is frozen on cgroup v2 can die at once: then its end is told as a shell tells it.
    const how = await over;
    assert.ok(how === "SIGHUP" || how === 129, String(how));
    await ok(["lxc-unfreeze", ...guest.at]);
    await waitFor("its process to be gone", () => population("signals").length === residents);
  });
  it("that its command blocks leaves it waiting for the command", async () => {
    const script = "trap '' TERM; echo > /root/deaf; sleep 1; exit 3";
    const client = run(attach("/bin/sh", "-c", script));
    const isDeaf = (pid: string): boolean => {
      const { SigIgn = "0" } = statusOf(readFileSync(`/proc/${pid}/status`, "utf8"));
      return ((BigInt(`0x${SigIgn}`) >> 14n) & 1n) === 1n;
    };
    await waitFor("the command", () => population("signals").some(isDeaf));
    const over = endOf(client);
    client.kill("SIGTERM");
    assert.equal(await over, 3);
  });
  it("between the birth of its process and the process's name being known ends both", async (t) => {
    if (lacks(t, "strace")) return;
    const residents = population("signals").length;
    const slowly = ["strace", "-o", "/dev/null", "-e", "trace=clone3", "-e", "inject=clone3:delay_exit=400000"];
    const tracer = run([...slowly, ...attach("sleep", "1002")]);
    await waitFor("its process in the container", () => population("signals").length > residents, { every: 2 });
    const client = Number(readFileSync(`/proc/${tracer.pid ?? 0}/task/${tracer.pid ?? 0}/children`, "utf8").trim());
    assert.ok(client > 0);
    const over = endOf(tracer);
    end(client, "SIGTERM");
    await over;
    await waitFor("its process to be gone", () => population("signals").length === residents);
  });
});
