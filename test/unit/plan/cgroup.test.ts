import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";

import { IsletError, errorLines } from "../../../src/base/errors.js";
import { deviceText, hasOwnPlace, payloadName, payloadPaths, resolveSettings } from "../../../src/plan/cgroup.js";
import {
  sharesToWeight,
  translateToLegacy,
  translateToUnified,
  weightToShares,
} from "../../../src/plan/cgroup-translate.js";
import type { CgroupSetting } from "../../../src/spec/cgroup.js";
import { hostFacts, startFacts, type HostKind } from "../../support/facts.js";
import { callsOf, contextOf, planOf, specOf } from "../../support/plan.js";

const at = { file: "web1/config", line: 2, key: "lxc.cgroup" };
const v1 = (file: string, value: string): CgroupSetting => ({ version: "v1", file, value, at });
const v2 = (file: string, value: string): CgroupSetting => ({ version: "v2", file, value, at });
const pairs = (settings: readonly CgroupSetting[]): readonly string[] =>
  settings.map((one) => `${one.version} ${one.file} ${one.value}`);

const toV2 = (setting: CgroupSetting, ...others: readonly CgroupSetting[]): readonly string[] =>
  pairs(translateToUnified(setting, [setting, ...others]));
const toV1 = (setting: CgroupSetting, ...others: readonly CgroupSetting[]): readonly string[] =>
  pairs(translateToLegacy(setting, [setting, ...others]));

test("limits of memory are the same number in both versions, and no limit is no limit", () => {
  assert.deepEqual(toV2(v1("memory.limit_in_bytes", "320000000")), ["v2 memory.max 320000000"]);
  assert.deepEqual(toV2(v1("memory.limit_in_bytes", "64M")), ["v2 memory.max 67108864"]);
  assert.deepEqual(toV2(v1("memory.limit_in_bytes", "-1")), ["v2 memory.max max"]);
  assert.deepEqual(toV2(v1("memory.soft_limit_in_bytes", "1k")), ["v2 memory.low 1024"]);
  assert.deepEqual(toV1(v2("memory.max", "64M")), ["v1 memory.limit_in_bytes 64M"]);
  assert.deepEqual(toV1(v2("memory.max", "max")), ["v1 memory.limit_in_bytes -1"]);
});

test("v1 limits memory and swap together, v2 swap by itself: each is computed from the other", () => {
  const memory = v1("memory.limit_in_bytes", "100M");
  assert.deepEqual(toV2(v1("memory.memsw.limit_in_bytes", "150M"), memory), ["v2 memory.swap.max 52428800"]);
  assert.deepEqual(toV2(v1("memory.memsw.limit_in_bytes", "50M"), memory), ["v2 memory.swap.max 0"]);
  assert.deepEqual(toV2(v1("memory.memsw.limit_in_bytes", "-1"), memory), ["v2 memory.swap.max max"]);
  assert.throws(
    () => toV2(v1("memory.memsw.limit_in_bytes", "150M")),
    /memory\.memsw\.limit_in_bytes \(cgroup v1\) has no translation/,
  );
  assert.deepEqual(toV1(v2("memory.swap.max", "50M"), v2("memory.max", "100M")), [
    "v1 memory.memsw.limit_in_bytes 157286400",
  ]);
  assert.deepEqual(toV1(v2("memory.swap.max", "max")), ["v1 memory.memsw.limit_in_bytes -1"]);
  assert.throws(() => toV1(v2("memory.swap.max", "50M")), /give memory\.max too|has no translation/);
});

test("quota and period of the processor are one value on v2 and two on v1", () => {
  assert.deepEqual(toV2(v1("cpu.cfs_quota_us", "50000")), ["v2 cpu.max 50000 100000"]);
  assert.deepEqual(toV2(v1("cpu.cfs_quota_us", "-1")), ["v2 cpu.max max 100000"]);
  const [quota, period] = [v1("cpu.cfs_quota_us", "5000"), v1("cpu.cfs_period_us", "20000")];
  assert.deepEqual([...toV2(quota, period), ...toV2(period, quota)], ["v2 cpu.max 5000 20000"]);
  assert.deepEqual(toV2(period), ["v2 cpu.max max 20000"]);
  assert.deepEqual(toV1(v2("cpu.max", "5000 20000")), ["v1 cpu.cfs_period_us 20000", "v1 cpu.cfs_quota_us 5000"]);
  assert.deepEqual(toV1(v2("cpu.max", "max")), ["v1 cpu.cfs_quota_us -1"]);
});

test("files of the same name keep their value; block io and the freezer change their words", () => {
  for (const file of ["cpuset.cpus", "cpuset.mems", "pids.max"]) {
    assert.deepEqual([toV2(v1(file, "3")), toV1(v2(file, "3"))], [[`v2 ${file} 3`], [`v1 ${file} 3`]]);
  }
  assert.deepEqual(toV2(v1("blkio.weight", "500")), ["v2 io.weight 5000"]);
  assert.deepEqual(toV1(v2("io.weight", "default 5000")), ["v1 blkio.weight 500"]);
  assert.deepEqual(toV2(v1("blkio.throttle.read_bps_device", "8:0 1048576")), ["v2 io.max 8:0 rbps=1048576"]);
  assert.deepEqual(toV2(v1("blkio.throttle.write_iops_device", "8:0 10")), ["v2 io.max 8:0 wiops=10"]);
  assert.deepEqual(
    [toV2(v1("freezer.state", "FROZEN")), toV1(v2("cgroup.freeze", "0"))],
    [["v2 cgroup.freeze 1"], ["v1 freezer.state THAWED"]],
  );
});

test("the weight of the processor keeps its order, stays in range, and its ends are the ends", () => {
  assert.deepEqual([sharesToWeight(2), sharesToWeight(1024), sharesToWeight(262144)], [1, 39, 10000]);
  assert.deepEqual([weightToShares(1), weightToShares(10000)], [2, 262144]);
  const shares = fc.integer({ min: -10, max: 400000 });
  fc.assert(
    fc.property(shares, shares, (a, b) => {
      const [low, high] = [Math.min(a, b), Math.max(a, b)];
      const [from, to] = [sharesToWeight(low), sharesToWeight(high)];
      assert.ok(from <= to && from >= 1 && to <= 10000 && Number.isInteger(from));
    }),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10000 }), fc.integer({ min: 1, max: 10000 }), (a, b) => {
      const back = weightToShares(a);
      assert.ok(back >= 2 && back <= 262144 && Number.isInteger(back));
      assert.equal(sharesToWeight(back), a, "there and back again");
      assert.ok(a <= b === back <= weightToShares(b) || weightToShares(b) === back);
    }),
  );
});

test("weights of block io keep their order and stay in range in both directions", () => {
  const io = (value: number): number => Number(toV2(v1("blkio.weight", String(value)))[0]?.split(" ")[2]);
  const blkio = (value: number): number => Number(toV1(v2("io.weight", String(value)))[0]?.split(" ")[2]);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 20000 }), fc.integer({ min: 0, max: 20000 }), (a, b) => {
      const [low, high] = [Math.min(a, b), Math.max(a, b)];
      assert.ok(io(low) <= io(high) && io(low) >= 1 && io(high) <= 10000);
      assert.ok(blkio(low) <= blkio(high) && blkio(low) >= 10 && blkio(high) <= 1000);
    }),
  );
});

test("what has no translation is an error that names the line and the way out, and a value that is no number never becomes NaN", () => {
  const refusal = (make: () => unknown): string => {
    try {
      make();
    } catch (error) {
      assert.ok(error instanceof IsletError);
      return errorLines(error).join("\n");
    }
    return assert.fail("not refused");
  };
  assert.match(
    refusal(() => toV2(v1("net_cls.classid", "1"))),
    /net_cls\.classid \(cgroup v1\) has no translation for this host's cgroup v2 \(web1\/config:2 lxc\.cgroup\); give the setting of cgroup v2 as lxc\.cgroup2/,
  );
  assert.match(
    refusal(() => toV1(v2("memory.oom.group", "1"))),
    /\(cgroup v2\) has no translation for this host's cgroup v1/,
  );
  for (const make of [
    () => toV2(v1("cpu.shares", "many")),
    () => toV2(v1("cpu.shares", "")),
    () => toV2(v1("cpu.cfs_quota_us", "half")),
    () => toV2(v1("blkio.weight", "x")),
    () => toV1(v2("cpu.weight", "x")),
    () => toV1(v2("io.weight", "8:0 100")),
  ])
    assert.match(refusal(make), /cannot be .*: it is a number \(web1\/config:2/);
});

const resolve = (
  kind: HostKind,
  config: string,
): { readonly legacy: readonly string[]; readonly unified: readonly string[] } => {
  const { legacy, unified } = resolveSettings(contextOf(config, hostFacts(kind)));
  return { legacy: pairs(legacy), unified: pairs(unified) };
};

test("every host gets the settings in its own words, whatever words the configuration has", () => {
  const config = "lxc.cgroup.memory.limit_in_bytes = 100M\nlxc.cgroup2.cpu.weight = 10000\nlxc.cgroup2.pids.max = 50";
  assert.deepEqual(resolve("v1", config), {
    legacy: ["v1 memory.limit_in_bytes 100M", "v1 cpu.shares 262144", "v1 pids.max 50"],
    unified: [],
  });
  assert.deepEqual(resolve("hybrid", config), {
    legacy: ["v1 cpu.shares 262144"],
    unified: ["v2 memory.max 104857600", "v2 pids.max 50"],
  });
  assert.deepEqual(resolve("v2", config), {
    legacy: [],
    unified: ["v2 memory.max 104857600", "v2 cpu.weight 10000", "v2 pids.max 50"],
  });
});

test("weights of block io are BFQ's on a host of cgroup v1 that has no others", () => {
  const base = hostFacts("v1");
  const legacy = base.cgroups.legacy.map((each) =>
    each.controllers.includes("blkio") ? { ...each, hasBfqWeights: true as const } : each,
  );
  const bfq = hostFacts("v1", { cgroups: { ...base.cgroups, legacy } });
  const config =
    "lxc.cgroup.blkio.weight = 300\nlxc.cgroup.blkio.weight_device = 8:0 500\nlxc.cgroup.blkio.throttle.read_bps_device = 8:0 1";
  assert.deepEqual(pairs(resolveSettings(contextOf(config, bfq)).legacy), [
    "v1 blkio.bfq.weight 300",
    "v1 blkio.bfq.weight_device 8:0 500",
    "v1 blkio.throttle.read_bps_device 8:0 1",
  ]);
  assert.deepEqual(pairs(resolveSettings(contextOf("lxc.cgroup2.io.weight = 1000", bfq)).legacy), [
    "v1 blkio.bfq.weight 100",
  ]);
  assert.deepEqual(resolve("v1", "lxc.cgroup.blkio.weight = 300").legacy, ["v1 blkio.weight 300"]);
});

test("where a configuration says the same in both languages the host's own wins", () => {
  const config = "lxc.cgroup.memory.limit_in_bytes = 1G\nlxc.cgroup2.memory.max = 2G";
  assert.deepEqual(resolve("v1", config), { legacy: ["v1 memory.limit_in_bytes 1G"], unified: [] });
  assert.deepEqual(resolve("v2", config), { legacy: [], unified: ["v2 memory.max 2G"] });
});

test("on v1 the limit of memory and swap is written behind that of memory", () => {
  const config = "lxc.cgroup.memory.memsw.limit_in_bytes = 2G\nlxc.cgroup.memory.limit_in_bytes = 1G";
  assert.deepEqual(resolve("v1", config).legacy, ["v1 memory.limit_in_bytes 1G", "v1 memory.memsw.limit_in_bytes 2G"]);
});

test("a limit that no controller of the host keeps is an error, never silence", () => {
  const bare = hostFacts("v2", {
    cgroups: { unified: { mount: "/sys/fs/cgroup", controllers: ["pids"], own: "/" }, legacy: [] },
  });
  assert.throws(
    () => resolveSettings(contextOf("lxc.cgroup.memory.limit_in_bytes = 1G", bare)),
    /this host has no cgroup controller for memory\.limit_in_bytes/,
  );
});

test("the payload's name follows the configuration, and a suffix keeps it apart from what is in use", () => {
  assert.equal(payloadName(specOf(""), ""), "lxc.payload.web1");
  assert.equal(payloadName(specOf(""), "-2"), "lxc.payload.web1-2");
  assert.equal(payloadName(specOf("lxc.cgroup.dir = shop"), ""), "shop/lxc.payload.web1");
  assert.equal(payloadName(specOf("lxc.cgroup.dir.container = a/b\nlxc.cgroup.dir.monitor = m"), "-1"), "a/b-1");
  assert.equal(
    payloadName({ ...specOf(""), cgroup: { ...specOf("").cgroup, pattern: "guests/%n" } }, ""),
    "guests/web1",
  );
});

test("the payload is below the root of every hierarchy, or below the caller's own cgroup when that is asked for", () => {
  const paths = payloadPaths(specOf(""), hostFacts("hybrid"), startFacts());
  assert.deepEqual(
    paths.legacy.map((one) => one.path),
    [
      "/sys/fs/cgroup/systemd/lxc.payload.web1",
      "/sys/fs/cgroup/cpu,cpuacct/lxc.payload.web1",
      "/sys/fs/cgroup/cpuset/lxc.payload.web1",
      "/sys/fs/cgroup/devices/lxc.payload.web1",
      "/sys/fs/cgroup/freezer/lxc.payload.web1",
    ],
  );
  assert.equal(paths.unified?.path, "/sys/fs/cgroup/unified/lxc.payload.web1");
  const relative = payloadPaths(
    specOf("lxc.cgroup.relative = 1"),
    hostFacts("v2"),
    startFacts({ callerCgroups: { "": "/user.slice/x" } }),
  );
  assert.equal(relative.unified?.path, "/sys/fs/cgroup/user.slice/x/lxc.payload.web1");
});

test("in a scope of systemd's the payload is below it, beside the monitor, wherever the scope is, and nothing above is touched", () => {
  const unit = "/machine.slice/islet-web1-0.scope";
  const start = startFacts({ scope: { "": unit, "name=systemd": unit } });
  const paths = payloadPaths(specOf("lxc.cgroup.dir.container.inner = in"), hostFacts("hybrid"), start);
  assert.equal(paths.unified?.path, `/sys/fs/cgroup/unified${unit}/payload`);
  assert.equal(paths.unified.inner, `/sys/fs/cgroup/unified${unit}/payload/in`);
  assert.deepEqual(
    paths.legacy.map((one) => one.path),
    [
      `/sys/fs/cgroup/systemd${unit}/payload`,
      "/sys/fs/cgroup/cpu,cpuacct/lxc.payload.web1",
      "/sys/fs/cgroup/cpuset/lxc.payload.web1",
      "/sys/fs/cgroup/devices/lxc.payload.web1",
      "/sys/fs/cgroup/freezer/lxc.payload.web1",
    ],
  );
  const plan = planOf("", hostFacts("v2"), startFacts({ scope: { "": unit } }));
  const scope = `/sys/fs/cgroup${unit}`;
  const made = callsOf(plan, "mkdirat").filter((call) => call.includes("/sys/fs/cgroup"));
  assert.deepEqual(
    made.map((call) => /"([^"]*)"/.exec(call)?.[1]),
    [`${scope}/supervisor`, `${scope}/payload`],
  );
  const opened = callsOf(plan, "openat").flatMap((call) => /"(\/sys\/fs\/cgroup[^"]*)"/.exec(call)?.[1] ?? []);
  assert.ok(opened.includes(`${scope}/cgroup.subtree_control`));
  assert.deepEqual(
    opened.filter((path) => !path.startsWith(`${scope}/`) && !path.startsWith(scope)),
    [],
  );
  // The monitor leaves the scope before controllers are given to what is below it.
  assert.ok(opened.indexOf(`${scope}/supervisor/cgroup.procs`) < opened.indexOf(`${scope}/cgroup.subtree_control`));
});

test("whose control groups are named by the configuration gets no scope", () => {
  for (const [config, own] of [
    ["", false],
    ["lxc.cgroup.dir = shop", true],
    ["lxc.cgroup.relative = 1", true],
    ["lxc.cgroup.dir.container = a\nlxc.cgroup.dir.monitor = m", true],
    ["lxc.cgroup.dir.container.inner = in", false],
  ] as const)
    assert.equal(hasOwnPlace(specOf(config)), own, config);
});

test("device rules are written to v1 in the kernel's words, one after the other", () => {
  const writes = callsOf(
    planOf(
      "lxc.cgroup.devices.deny = a\nlxc.cgroup.devices.allow = c 1:3 rw\nlxc.cgroup.devices.allow = b *:* m",
      hostFacts("v1"),
    ),
    "write",
  );
  assert.deepEqual(
    writes.filter((call) => /"(a|[bc] [^"]*)"/.test(call)),
    ['write(file, "a", 1)', 'write(file, "c 1:3 rw", 8)', 'write(file, "b *:* m", 7)'],
  );
  const base = {
    allow: true,
    type: "c",
    major: 5,
    minor: null,
    read: true,
    write: false,
    mknod: true,
    at: null,
  } as const;
  assert.equal(deviceText(base), "c 5:* rm");
  assert.equal(deviceText({ ...base, type: "a", major: null }), "a");
});

test("on v2 device rules are one program for the payload cgroup, on v1 none is loaded", () => {
  const config = "lxc.cgroup2.devices.deny = a\nlxc.cgroup2.devices.allow = c 1:3 rwm";
  assert.equal(callsOf(planOf(config, hostFacts("v2")), "bpf").length, 2);
  assert.equal(callsOf(planOf(config, hostFacts("v1")), "bpf").length, 0);
  assert.equal(callsOf(planOf("", hostFacts("v2")), "bpf").length, 0);
});
