import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { before, describe, it } from "node:test";
import { cgroupMounts } from "../support/host.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";
import { type Guest, guests } from "./guest.js";

/** What needs controllers in the v2 hierarchy: a host without v1, or a hybrid one that gave v2 some. */
const tree = cgroupMounts().find((mount) => existsSync(`${mount}/cgroup.controllers`)) ?? "";
const read = (path: string): string => readFileSync(`${tree}/${path}`, "utf8").trim();
const payload = (name: string, file: string): string => read(`lxc.payload.${name}/${file}`);
const mebibyte = 1024 * 1024;

describe("cgroup v2 with controllers", () => {
  const { define, started } = guests();

  describe("limits in its own words", () => {
    let guest: Guest;
    before(() => {
      guest = define(
        "own",
        `lxc.cgroup2.memory.max = 64M
lxc.cgroup2.memory.high = 60M
lxc.cgroup2.memory.swap.max = 0
lxc.cgroup2.cpu.weight = 50
lxc.cgroup2.cpu.max = 25000 50000
lxc.cgroup2.pids.max = 30
`,
      );
    });

    it("are in the files", async (t) => {
      if (lacks(t, "cgroup2-controllers")) return;
      await guest.start();
      assert.equal(payload("own", "memory.max"), String(64 * mebibyte));
      assert.equal(payload("own", "memory.high"), String(60 * mebibyte));
      if (existsSync(`${tree}/lxc.payload.own/cpu.weight`)) {
        assert.equal(payload("own", "cpu.weight"), "50");
        assert.equal(payload("own", "cpu.max"), "25000 50000");
      }
      assert.equal(payload("own", "pids.max"), "30");
    });
    it("pids.max really limits: the fork fails, and the container lives on", async (t) => {
      if (lacks(t, "cgroup2-controllers")) return;
      const { stderr } = await guest.try("for i in $(seq 40); do sleep 2 & done; wait");
      assert.match(stderr, /can't fork/);
      assert.equal(await guest.state(), "RUNNING");
      await waitFor("room for a process", async () => (await guest.try("true")).status === 0);
    });
    it("memory.max really kills what wants more", async (t) => {
      if (lacks(t, "cgroup2-controllers")) return;
      const { status } = await guest.try("exec tail /dev/zero");
      assert.equal(status, 137);
      assert.equal(await guest.state(), "RUNNING");
      assert.match(payload("own", "memory.events"), /^oom_kill [1-9]/m);
    });
    it("lxc-info tells the use of them", async (t) => {
      if (lacks(t, "cgroup2-controllers")) return;
      const pid = await guest.pid();
      assert.ok(payload("own", "cgroup.procs").split("\n").includes(String(pid)));
      assert.ok(Number(payload("own", "memory.current")) > 0);
    });
    it("go with the container", async (t) => {
      if (lacks(t, "cgroup2-controllers")) return;
      await guest.kill();
      assert.ok(!existsSync(`${tree}/lxc.payload.own`));
    });
  });

  it("limits in the words of v1 are translated", async (t) => {
    if (lacks(t, "cgroup2-controllers")) return;
    await started(
      "words",
      `lxc.cgroup.memory.limit_in_bytes = 48M
lxc.cgroup.memory.soft_limit_in_bytes = 40M
lxc.cgroup.pids.max = 40
`,
    );
    assert.equal(payload("words", "memory.max"), String(48 * mebibyte));
    assert.equal(payload("words", "memory.low"), String(40 * mebibyte));
    assert.equal(payload("words", "pids.max"), "40");
  });

  it("a value without limit is one in either words", async (t) => {
    if (lacks(t, "cgroup2-controllers")) return;
    await started("nolimit", "lxc.cgroup.memory.limit_in_bytes = -1\nlxc.cgroup2.pids.max = max\n");
    assert.equal(payload("nolimit", "memory.max"), "max");
    assert.equal(payload("nolimit", "pids.max"), "max");
  });

  it("where both words are given, this host's own win", async (t) => {
    if (lacks(t, "cgroup2-controllers")) return;
    await started("both", "lxc.cgroup.memory.limit_in_bytes = 64M\nlxc.cgroup2.memory.max = 32M\n");
    assert.equal(payload("both", "memory.max"), String(32 * mebibyte));
  });

  for (const [name, what, line, wanted] of [
    [
      "bad0",
      "a value that the kernel refuses",
      "lxc.cgroup2.pids.max = many",
      /pids\.max.*many.*lxc\.cgroup2\.pids\.max/,
    ],
    ["bad1", "a file that no controller has", "lxc.cgroup2.memory.no_such_file = 1", /memory\.no_such_file/],
    ["bad2", "a controller that the host has not", "lxc.cgroup2.nosuch.limit = 1", /nosuch\.limit/],
  ] as const) {
    it(`${what} is an error that names it, and leaves no cgroup`, async (t) => {
      if (lacks(t, "cgroup2-controllers")) return;
      assert.match(await define(name, `${line}\n`).refuses(), wanted);
      assert.ok(!existsSync(`${tree}/lxc.payload.${name}`));
    });
  }

  it("lxc.cgroup.dir.container and .inner: limits are outside of what the container sees as its root", async (t) => {
    if (lacks(t, "cgroup2-controllers")) return;
    const guest = await started(
      "nested",
      "lxc.cgroup.dir.container = islt-outer\nlxc.cgroup.dir.monitor = islt-monitor\nlxc.cgroup.dir.container.inner = ns\nlxc.cgroup.pids.max = 50\n",
    );
    assert.equal(read("islt-outer/pids.max"), "50");
    assert.ok(read("islt-outer/ns/cgroup.procs").includes(String(await guest.pid())));
    assert.equal(await guest.sh("grep ^0: /proc/1/cgroup"), "0::/");
    await guest.kill();
    for (const name of ["islt-outer", "islt-monitor"]) assert.ok(!existsSync(`${tree}/${name}`), name);
  });

  it("a guest may give its controllers to cgroups of its own, and they go with it", async (t) => {
    if (lacks(t, "cgroup2-controllers")) return;
    const guest = await started("makes", "lxc.mount.auto = cgroup:rw:force\n");
    await guest.sh(
      "cd /sys/fs/cgroup; mkdir init; for pid in $(cat cgroup.procs); do echo $pid > init/cgroup.procs || true; done; echo +pids > cgroup.subtree_control; mkdir a; echo 5 > a/pids.max",
    );
    assert.equal(payload("makes", "a/pids.max"), "5");
    await guest.kill();
    assert.ok(!existsSync(`${tree}/lxc.payload.makes`));
  });
});
