import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { cgroupMounts } from "../support/host.js";
import { ok } from "../support/command.js";
import { waitFor } from "../support/wait.js";
import { type Guest, guests } from "./guest.js";

/** Whoever runs in the container, as any hierarchy tells: 0 when its cgroup is gone. */
function population(name: string): number {
  try {
    return readFileSync(`${cgroupMounts()[0] ?? ""}/lxc.payload.${name}/cgroup.procs`, "utf8")
      .trim()
      .split("\n").length;
  } catch {
    return 0;
  }
}

/** Unshared memory of a process, kB (proc_pid_smaps(5)). */
function privateKb(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return [...text.matchAll(/^Private_\w+:\s+(\d+) kB$/gm)].reduce((sum, match) => sum + Number(match[1]), 0);
}

async function monitorOf(guest: Guest): Promise<number> {
  return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${await guest.pid()}/status`, "utf8"))?.[1]);
}

describe("a hostile guest", () => {
  const { define, started } = guests();

  /** Another guest lives on and is served at once. */
  const others = async (neighbour: Guest): Promise<void> => {
    const began = performance.now();
    assert.equal(await neighbour.sh("echo fine"), "fine");
    assert.ok(performance.now() - began < 5000, "a neighbour had to wait");
  };
  const stops = async (guest: Guest, words: readonly string[], seconds: number): Promise<void> => {
    const began = performance.now();
    await ok(["lxc-stop", ...guest.at, ...words], { timeout: seconds * 1000 + 10_000 });
    assert.ok(performance.now() - began < seconds * 1000, `lxc-stop took ${Math.round(performance.now() - began)} ms`);
    assert.equal(population(guest.name), 0);
    assert.equal(await guest.state(), "STOPPED");
  };

  it("that floods its console costs its monitor no memory and is stopped in time", async () => {
    const neighbour = await started("neighbour1");
    const guest = define(
      "flood",
      `lxc.init.cmd = /bin/sh -c "while :; do echo 0123456789012345678901234567890123456789; done"\n`,
    );
    await guest.start();
    const monitor = await monitorOf(guest);
    for (let round = 0; round < 5; round += 1) {
      await others(neighbour);
      assert.ok(privateKb(monitor) < 1024, `the monitor has ${privateKb(monitor)} kB`);
    }
    await stops(guest, ["-t", "1"], 8);
    await neighbour.kill();
  });

  it("that ignores every signal is killed when the time is over", async () => {
    const guest = define(
      "deaf",
      `lxc.init.cmd = /bin/sh -c "trap '' HUP INT QUIT USR1 USR2 TERM PWR WINCH; while :; do sleep 1; done"\n`,
    );
    await guest.start();
    await stops(guest, ["-t", "2"], 8);
  });

  it("that forks without end meets its limit, and every process of it goes", async () => {
    const neighbour = await started("neighbour2");
    const guest = await started("forks", "lxc.cgroup.pids.max = 60\nlxc.cgroup2.pids.max = 60\n");
    const bomb = guest.try("while :; do sleep 60 & done").catch(() => null);
    await waitFor("the limit to be reached", () => population("forks") >= 50);
    await others(neighbour);
    assert.ok(population("forks") <= 60);
    await stops(guest, ["-t", "1"], 10);
    await bomb;
    await neighbour.kill();
  });

  it("that fills its memory loses processes of its own, and nobody else does", async () => {
    const neighbour = await started("neighbour3");
    const guest = await started("fills", "lxc.cgroup.memory.limit_in_bytes = 48M\nlxc.cgroup2.memory.max = 48M\n");
    for (let round = 0; round < 3; round += 1) assert.equal((await guest.try("exec tail /dev/zero")).status, 137);
    await others(neighbour);
    assert.equal(await guest.state(), "RUNNING");
    await stops(guest, ["-k"], 5);
    await neighbour.kill();
  });

  it("that leaves hundreds of cgroups and processes behind is cleared away whole", async () => {
    const guest = await started("litter", "lxc.mount.auto = cgroup:rw:force\n");
    await guest.sh(
      "for tree in /sys/fs/cgroup /sys/fs/cgroup/*; do [ -e $tree/cgroup.procs ] || continue; for i in $(seq 40); do mkdir -p $tree/a$i/b/c 2>/dev/null; done; (echo 0 > $tree/a1/b/c/cgroup.procs; exec sleep 9999 > /dev/null 2>&1) & done; sleep 0.3",
    );
    await stops(guest, ["-k"], 10);
  });
});
