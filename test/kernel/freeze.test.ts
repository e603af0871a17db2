import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { command, fails, ok } from "../support/command.js";
import { daemonsOf, end } from "../support/host.js";
import { runtimeDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";
import { type Guest, guests, handles } from "./guest.js";

const sleeper = "lxc.init.cmd = /bin/sleep 3600\n";
/** Writes a line every few milliseconds. */
const ticking = `lxc.init.cmd = /bin/sh -c "while :; do echo >> /root/ticks; sleep 0.01; done"\n`;
const SIGUSR1 = 10;
const ticks = (guest: Guest): number => readFileSync(`${guest.rootfs}/root/ticks`).length;
const freeze = (guest: Guest): Promise<string> => ok(["lxc-freeze", ...guest.at]);
const unfreeze = (guest: Guest): Promise<string> => ok(["lxc-unfreeze", ...guest.at]);
const alive = (pid: number): boolean => existsSync(`/proc/${pid}`);

describe("freezing", () => {
  const { define, started } = guests();

  it("stops every process where it is, and lets them go on", async () => {
    const guest = await started("ticks", ticking);
    await waitFor("a tick", () => ticks(guest) > 0);
    assert.equal(await freeze(guest), "");
    const before = ticks(guest);
    await sleep(200);
    assert.equal(ticks(guest), before);
    assert.equal(await unfreeze(guest), "");
    await waitFor("another tick", () => ticks(guest) > before);
    await guest.kill();
  });
  it("freezes processes that are in vfork(2) at that moment, every time", async () => {
    const starts = (guest: Guest): number => readFileSync(`${guest.rootfs}/root/starts`).length;
    const guest = await started(
      "vforks",
      `lxc.init.cmd = /bin/sh -c "for i in 1 2 3; do yes | xargs -n 1 true & done; yes | xargs -n 1 sh -c 'echo >> /root/starts'"\n`,
    );
    await waitFor("it to begin", () => existsSync(`${guest.rootfs}/root/starts`));
    for (let round = 0; round < 40; round += 1) {
      await freeze(guest);
      const before = starts(guest);
      await sleep(5);
      assert.equal(starts(guest), before);
      await unfreeze(guest);
      await waitFor("it to go on", () => starts(guest) > before);
    }
    await guest.kill();
  });
  it("shows as FROZEN, and twice is as good as once", async () => {
    const guest = await started("shows", sleeper);
    await freeze(guest);
    await freeze(guest);
    assert.equal(await guest.state(), "FROZEN");
    assert.match(await ok(["lxc-ls", ...guest.at.slice(0, 2), "-f"]), /^shows +FROZEN /m);
    assert.equal((await ok(["lxc-ls", ...guest.at.slice(0, 2), "-1", "--frozen"])).trim(), "shows");
    await unfreeze(guest);
    await unfreeze(guest);
    assert.equal(await guest.state(), "RUNNING");
    await guest.kill();
  });
  it("is known to the next daemon", async () => {
    const guest = await started("known", sleeper);
    await freeze(guest);
    const daemon = daemonsOf(runtimeDir)[0] ?? assert.fail("no daemon");
    end(daemon.pid, "SIGKILL");
    await waitFor("the daemon to be dead", () => !alive(daemon.pid));
    assert.equal(await guest.state(), "FROZEN");
    await unfreeze(guest);
    assert.equal(await guest.state(), "RUNNING");
    await guest.kill();
  });
  it("lxc-stop -k kills what is frozen at once", async () => {
    const guest = await started("killed", sleeper);
    const pid = await guest.pid();
    await freeze(guest);
    const began = Date.now();
    await guest.kill();
    assert.ok(Date.now() - began < 5000);
    assert.ok(!alive(pid));
    assert.equal(await guest.state(), "STOPPED");
  });
  it("lxc-stop -k kills also what somebody else has frozen", async (t) => {
    if (lacks(t, "cgroup1")) return;
    const guest = await started("frozenelse", sleeper);
    writeFileSync("/sys/fs/cgroup/freezer/lxc.payload.frozenelse/freezer.state", "FROZEN");
    await guest.kill();
    assert.equal(await guest.state(), "STOPPED");
  });
  it("lxc-stop -k kills also a guest that has frozen itself, in cgroups of its own", async (t) => {
    if (lacks(t, "cgroup1")) return;
    const guest = await started("selffrozen", `lxc.mount.auto = cgroup:rw:force\n${sleeper}`);
    const pid = await guest.pid();
    await guest.sh(
      "cd /sys/fs/cgroup/freezer && mkdir -p a/b && echo 1 > a/b/cgroup.procs && echo FROZEN > a/b/freezer.state && echo FROZEN > a/freezer.state",
    );
    assert.equal(readFileSync("/sys/fs/cgroup/freezer/lxc.payload.selffrozen/a/b/freezer.state", "utf8"), "FROZEN\n");
    const began = Date.now();
    await guest.kill();
    assert.ok(Date.now() - began < 5000);
    assert.ok(!alive(pid));
    assert.ok(!existsSync("/sys/fs/cgroup/freezer/lxc.payload.selffrozen"));
  });
  it("lxc-stop lets a frozen init shut down by itself", async () => {
    const guest = await started(
      "halts",
      `lxc.init.cmd = /bin/sh -c "trap 'echo halted > /root/note; exit 0' USR1; while :; do sleep 0.05; done"\n`,
    );
    await handles(guest, SIGUSR1);
    await freeze(guest);
    await ok(["lxc-stop", ...guest.at, "-t", "20"]);
    assert.equal(readFileSync(`${guest.rootfs}/root/note`, "utf8"), "halted\n");
  });
  it("does not outlast a stop", async () => {
    const guest = await started("fresh", sleeper);
    await freeze(guest);
    await guest.kill();
    await guest.start();
    assert.equal(await guest.state(), "RUNNING");
    await guest.kill();
  });
  it("waits for processes of cgroups below, and thaws them too", async (t) => {
    if (lacks(t, "cgroup1")) return;
    const guest = await started("below", sleeper);
    const below = "/sys/fs/cgroup/freezer/lxc.payload.below/inner";
    mkdirSync(below);
    await guest.sh("sleep 12345 > /dev/null 2>&1 &");
    const pids = readFileSync("/sys/fs/cgroup/freezer/lxc.payload.below/cgroup.procs", "utf8").trim().split("\n");
    const pid = pids.find((each) => readFileSync(`/proc/${each}/cmdline`, "utf8").includes("12345")) ?? "";
    writeFileSync(`${below}/cgroup.procs`, pid);
    await freeze(guest);
    assert.equal(readFileSync(`${below}/freezer.state`, "utf8").trim(), "FROZEN");
    await unfreeze(guest);
    assert.equal(readFileSync(`${below}/freezer.state`, "utf8").trim(), "THAWED");
    await guest.kill();
  });
  it("and stopping at the same time ends with a stopped container", async () => {
    const guest = await started("both", sleeper);
    const results = await Promise.all([
      command(["lxc-freeze", ...guest.at]),
      command(["lxc-stop", ...guest.at, "-k"]),
      command(["lxc-freeze", ...guest.at]),
      command(["lxc-unfreeze", ...guest.at]),
    ]);
    assert.equal(results[1].status, 0, results[1].stderr);
    assert.equal(await guest.state(), "STOPPED");
  });
  it("of what does not run fails, thawing it does not", async () => {
    const guest = define("down", sleeper);
    assert.match((await fails(["lxc-freeze", ...guest.at], 1)).stderr, /Failed to freeze .*:down\n$/);
    await unfreeze(guest);
    const nobody = [...guest.at.slice(0, 3), "nobody"];
    assert.match((await fails(["lxc-freeze", ...nobody], 1)).stderr, /Failed to freeze .*:nobody\n$/);
    assert.match((await fails(["lxc-unfreeze", ...nobody], 1)).stderr, /Failed to unfreeze .*:nobody\n$/);
  });
});
