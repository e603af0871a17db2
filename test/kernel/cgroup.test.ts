import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { before, describe, it } from "node:test";
import { fails, ok } from "../support/command.js";
import { cgroupMounts } from "../support/host.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";
import { type Guest, guests } from "./guest.js";

const sleeper = "lxc.init.cmd = /bin/sleep 3600\n";
const read = (path: string): string => readFileSync(path, "utf8").trim();
const payload = (controller: string, name: string, file: string): string =>
  read(`/sys/fs/cgroup/${controller}/lxc.payload.${name}/${file}`);

describe("cgroups", () => {
  const { define, started } = guests();

  describe("of a running container", () => {
    let guest: Guest;
    before(async () => {
      guest = await started("plain");
    });

    it("are lxc.payload.NAME in every hierarchy, with init in them", async () => {
      const pid = String(await guest.pid());
      for (const mount of cgroupMounts()) {
        assert.ok(read(`${mount}/lxc.payload.plain/cgroup.procs`).split("\n").includes(pid), mount);
      }
    });
    it("hold attached processes too", async () => {
      const lines = await guest.sh("cat /proc/self/cgroup");
      for (const line of lines.split("\n")) assert.match(line, /:\/$/);
    });
    it("hold what attached processes leave behind, which ends with the container", async () => {
      await guest.sh("sleep 12345 > /dev/null 2>&1 &");
      const pids = read(`${cgroupMounts()[0]}/lxc.payload.plain/cgroup.procs`).split("\n");
      assert.ok(pids.length >= 2);
      await guest.kill();
      for (const pid of pids) assert.ok(!existsSync(`/proc/${pid}`), pid);
    });
    it("are gone when it has stopped", () => {
      for (const mount of cgroupMounts()) assert.ok(!existsSync(`${mount}/lxc.payload.plain`), mount);
    });
  });

  describe("limits in the words of cgroup v1, on v1", () => {
    let guest: Guest;
    before(async () => {
      guest = define(
        "one",
        `lxc.cgroup.memory.limit_in_bytes = 64M
lxc.cgroup.memory.soft_limit_in_bytes = 32M
lxc.cgroup.cpu.shares = 512
lxc.cgroup.cpu.cfs_period_us = 50000
lxc.cgroup.cpu.cfs_quota_us = 25000
lxc.cgroup.cpuset.cpus = 0
lxc.cgroup.pids.max = 30
lxc.cgroup.freezer.state = THAWED
`,
      );
    });

    it("are in the files of the hierarchies", async (t) => {
      if (lacks(t, "cgroup1")) return;
      await guest.start();
      assert.equal(payload("memory", "one", "memory.limit_in_bytes"), String(64 * 1024 * 1024));
      assert.equal(payload("memory", "one", "memory.soft_limit_in_bytes"), String(32 * 1024 * 1024));
      assert.equal(payload("cpu", "one", "cpu.shares"), "512");
      assert.equal(payload("cpu", "one", "cpu.cfs_quota_us"), "25000");
      assert.equal(payload("cpu", "one", "cpu.cfs_period_us"), "50000");
      assert.equal(payload("cpuset", "one", "cpuset.cpus"), "0");
      assert.equal(payload("pids", "one", "pids.max"), "30");
    });
    it("cpuset.cpus really binds processes", async (t) => {
      if (lacks(t, "cgroup1")) return;
      assert.match(await guest.sh("grep Cpus_allowed_list /proc/self/status"), /\t0$/);
    });
    it("pids.max really limits: the fork fails, and the container lives on", async (t) => {
      if (lacks(t, "cgroup1")) return;
      const { stderr } = await guest.try("for i in $(seq 40); do sleep 2 & done; wait");
      assert.match(stderr, /can't fork/);
      assert.equal(await guest.state(), "RUNNING");
      await waitFor("room for a process", async () => (await guest.try("true")).status === 0);
    });
    it("memory.limit_in_bytes really kills what wants more", async (t) => {
      if (lacks(t, "cgroup1")) return;
      const { status } = await guest.try("exec tail /dev/zero");
      assert.equal(status, 137);
      assert.equal(await guest.state(), "RUNNING");
      assert.match(payload("memory", "one", "memory.oom_control"), /oom_kill [1-9]/);
    });
  });

  it("limits in the words of cgroup v2 are translated on v1", async (t) => {
    if (lacks(t, "cgroup1")) return;
    await started(
      "two",
      `lxc.cgroup2.memory.max = 48M
lxc.cgroup2.memory.high = 40M
lxc.cgroup2.cpu.weight = 50
lxc.cgroup2.cpu.max = 30000 60000
lxc.cgroup2.cpuset.cpus = 0
lxc.cgroup2.pids.max = 40
`,
    );
    assert.equal(payload("memory", "two", "memory.limit_in_bytes"), String(48 * 1024 * 1024));
    assert.equal(payload("memory", "two", "memory.soft_limit_in_bytes"), String(40 * 1024 * 1024));
    assert.ok(Math.abs(Number(payload("cpu", "two", "cpu.shares")) - 1287) < 5);
    assert.equal(payload("cpu", "two", "cpu.cfs_quota_us"), "30000");
    assert.equal(payload("cpu", "two", "cpu.cfs_period_us"), "60000");
    assert.equal(payload("cpuset", "two", "cpuset.cpus"), "0");
    assert.equal(payload("pids", "two", "pids.max"), "40");
  });

  it("a value without limit is one in either words", async (t) => {
    if (lacks(t, "cgroup1")) return;
    await started("nolimit", "lxc.cgroup2.memory.max = max\nlxc.cgroup2.pids.max = max\nlxc.cgroup2.cpu.max = max\n");
    assert.ok(Number(payload("memory", "nolimit", "memory.limit_in_bytes")) > 2 ** 60);
    assert.equal(payload("pids", "nolimit", "pids.max"), "max");
    assert.equal(payload("cpu", "nolimit", "cpu.cfs_quota_us"), "-1");
  });

  it("where both words are given, this host's own win", async (t) => {
    if (lacks(t, "cgroup1")) return;
    await started("bothwords", "lxc.cgroup.memory.limit_in_bytes = 64M\nlxc.cgroup2.memory.max = 32M\n");
    assert.equal(payload("memory", "bothwords", "memory.limit_in_bytes"), String(64 * 1024 * 1024));
  });

  for (const [name, what, line, wanted] of [
    [
      "bad0",
      "a value that the kernel refuses",
      "lxc.cgroup.cpuset.cpus = 4000",
      /cpuset\.cpus.*4000.*lxc\.cgroup\.cpuset\.cpus/,
    ],
    [
      "bad1",
      "a file that no hierarchy has",
      "lxc.cgroup.memory.no_such_file = 1",
      /memory\.no_such_file.*lxc\.cgroup\.memory/,
    ],
    ["bad2", "a setting without translation", "lxc.cgroup2.memory.zswap.max = 1", /memory\.zswap\.max.*translation/],
    ["bad3", "a controller that the host has not", "lxc.cgroup.nosuch.limit = 1", /nosuch\.limit/],
  ] as const) {
    it(`${what} is an error that names it, and leaves no cgroup`, async (t) => {
      if (lacks(t, "cgroup1")) return;
      assert.match(await define(name, `${line}\n`).refuses(), wanted);
      assert.ok(!existsSync(`/sys/fs/cgroup/memory/lxc.payload.${name}`));
    });
  }

  it("lxc.cgroup.dir puts them below a directory, which goes with them", async () => {
    const guest = await started("below", "lxc.cgroup.dir = islt-parent\n");
    const pid = String(await guest.pid());
    for (const mount of cgroupMounts())
      assert.ok(read(`${mount}/islt-parent/lxc.payload.below/cgroup.procs`).includes(pid), mount);
    await guest.kill();
    for (const mount of cgroupMounts()) assert.ok(!existsSync(`${mount}/islt-parent`), mount);
  });

  it("lxc.cgroup.dir.container and .inner: limits are outside of what the container sees as its root", async (t) => {
    if (lacks(t, "cgroup1")) return;
    const guest = await started(
      "nested",
      "lxc.cgroup.dir.container = islt-outer\nlxc.cgroup.dir.monitor = islt-monitor\nlxc.cgroup.dir.container.inner = ns\nlxc.cgroup.pids.max = 50\n",
    );
    assert.equal(read("/sys/fs/cgroup/pids/islt-outer/pids.max"), "50");
    assert.ok(read("/sys/fs/cgroup/pids/islt-outer/ns/cgroup.procs").includes(String(await guest.pid())));
    assert.match(await guest.sh("grep :pids: /proc/1/cgroup"), /:\/$/);
    await guest.kill();
    for (const name of ["islt-outer", "islt-monitor"]) assert.ok(!existsSync(`/sys/fs/cgroup/pids/${name}`), name);
  });

  it("cgroups that the guest made go with it", async (t) => {
    if (lacks(t, "cgroup1")) return;
    const guest = await started("makes", "lxc.mount.auto = cgroup:rw:force\n");
    await guest.sh(
      "mkdir -p /sys/fs/cgroup/memory/a/b; sleep 12345 > /dev/null 2>&1 & echo $! > /sys/fs/cgroup/memory/a/b/cgroup.procs",
    );
    await guest.kill();
    assert.ok(!existsSync("/sys/fs/cgroup/memory/lxc.payload.makes"));
  });
});

describe("lxc-cgroup", () => {
  const { define, started } = guests();
  const on = (guest: Guest, ...words: readonly string[]): readonly string[] => ["lxc-cgroup", ...guest.at, ...words];

  it("sets and shows what holds for the container, by the names of either version", async (t) => {
    if (lacks(t, "cgroup1")) return;
    const guest = await started("items", sleeper);
    assert.equal(await ok(on(guest, "pids.max", "77")), "");
    assert.equal(await ok(on(guest, "pids.max")), "77\n\n");
    assert.equal(payload("pids", "items", "pids.max"), "77");
    for (const [set, value, shown] of [
      ["memory.limit_in_bytes", "314572800", "memory.max"],
      ["memory.max", "209715200", "memory.limit_in_bytes"],
    ] as const) {
      await ok(on(guest, set, value));
      assert.equal(await ok(on(guest, set)), `${value}\n\n`);
      assert.equal(await ok(on(guest, shown)), `${value}\n\n`);
    }
    await ok(on(guest, "cpuset.cpus", "0"));
    assert.equal(await ok(on(guest, "cpuset.cpus")), "0\n\n");
    assert.match(await ok(on(guest, "memory.stat")), /^cache \d+$/m);
    await guest.kill();
  });
  it("changes the devices of a running container", async (t) => {
    if (lacks(t, "cgroup1")) return;
    const guest = await started("itemdev", sleeper);
    assert.equal(await guest.sh("head -c 1 /dev/zero | wc -c"), "1");
    await ok(on(guest, "devices.deny", "c 1:5 rwm"));
    assert.notEqual((await guest.try("head -c 1 /dev/zero > /dev/null")).status, 0);
    await ok(on(guest, "devices.allow", "c 1:5 rwm"));
    assert.equal(await guest.sh("head -c 1 /dev/zero | wc -c"), "1");
    await guest.kill();
  });
  it("freezes and thaws, and the state goes with it", async () => {
    const guest = await started("itemfreeze", sleeper);
    for (const [item, frozen, thawed] of [
      ["freezer.state", "FROZEN", "THAWED"],
      ["cgroup.freeze", "1", "0"],
    ] as const) {
      await ok(on(guest, item, frozen));
      assert.equal(await guest.state(), "FROZEN");
      assert.equal(await ok(on(guest, item)), `${frozen}\n\n`);
      await ok(on(guest, item, thawed));
      assert.equal(await guest.state(), "RUNNING");
      assert.equal(await ok(on(guest, item)), `${thawed}\n\n`);
      assert.match((await fails(on(guest, item, "BOGUS"), 1)).stderr, /EINVAL\n.*Failed to assign 'BOGUS'/);
    }
    await guest.kill();
  });
  it("knows weights of block io by any name, although the kernel has BFQ's alone", async (t) => {
    if (lacks(t, "bfq")) return;
    const guest = await started("itemweight", `lxc.cgroup.blkio.weight = 300\n${sleeper}`);
    assert.equal(payload("blkio", "itemweight", "blkio.bfq.weight"), "300");
    for (const [item, value] of [
      ["blkio.weight", "400"],
      ["io.weight", "5000"],
      ["blkio.bfq.weight", "600"],
    ] as const)
      await ok(on(guest, item, value));
    assert.equal(payload("blkio", "itemweight", "blkio.bfq.weight"), "600");
    assert.equal(await ok(on(guest, "blkio.weight")), "600\n\n");
    assert.equal(await ok(on(guest, "io.weight")), "default 6000\n\n");
    await guest.kill();
  });
  it("refuses what does not exist, what the kernel refuses, and ways out of the cgroup", async () => {
    const guest = await started("itembad", sleeper);
    for (const item of [
      "memory.bogus",
      "bogus.x",
      "memory",
      "../pids.max",
      "pids./../pids.max",
      "pids.max/..",
      ".",
      "",
    ])
      for (const value of [[], ["3"]])
        assert.match((await fails(on(guest, item, ...value), 1)).stderr, /Failed to (retrieve|assign) .*\n$/, item);
    assert.match((await fails(on(guest, "pids.max", "many"), 1)).stderr, /EINVAL\n.*Failed to assign 'many' value/);
    assert.match((await fails(on(guest, "pids.max", ""), 1)).stderr, /nothing to write/);
    await guest.kill();
    for (const words of [["pids.max"], ["pids.max", "3"]])
      assert.match((await fails(on(guest, ...words), 1)).stderr, /'.*:itembad' is not running\n$/);
    assert.match((await fails(on(define("itemnone"), "pids.max"), 1)).stderr, /is not running\n$/);
  });
  it("follows no cgroup that the guest named like a file", async (t) => {
    if (lacks(t, "cgroup1")) return;
    const guest = await started("itemtrap", `lxc.mount.auto = cgroup:rw:force\n${sleeper}`);
    await guest.sh("mkdir /sys/fs/cgroup/pids/pids.trap");
    for (const value of [[], ["3"]]) await fails(on(guest, "pids.trap", ...value), 1);
    await guest.kill();
  });
});
