import assert from "node:assert/strict";
import { test } from "node:test";
import { translatedItem, translatedSettings } from "../../../src/plan/cgroup-item.js";

type Files = Readonly<Record<string, string>>;
const reading =
  (files: Files): ((file: string) => string | null) =>
  (file) =>
    files[file] ?? null;

const legacy: Files = {
  "memory.limit_in_bytes": "9223372036854771712",
  "memory.memsw.limit_in_bytes": "9223372036854771712",
  "memory.usage_in_bytes": "4096",
  "cpu.shares": "1024",
  "cpu.cfs_quota_us": "-1",
  "cpu.cfs_period_us": "100000",
  "blkio.weight": "500",
  "freezer.state": "FROZEN",
};
const unified: Files = {
  "memory.max": "max",
  "memory.swap.max": "0",
  "memory.current": "4096",
  "memory.swap.current": "1",
  "cpu.weight": "100",
  "cpu.max": "50000 100000",
  "cpu.stat": "usage_usec 12\nuser_usec 5",
  "io.weight": "default 100",
  "cgroup.freeze": "0",
};

test("files of cgroup v2 read on v1 as v2 would have them", () => {
  for (const [file, wanted] of [
    ["memory.max", "max"],
    ["memory.swap.max", "max"],
    ["memory.current", "4096"],
    ["cpu.weight", "39"],
    ["cpu.max", "max 100000"],
    ["io.weight", "default 5000"],
    ["cgroup.freeze", "1"],
    ["memory.low", null],
    ["memory.bogus", null],
    ["constructor", null],
  ] as const)
    assert.equal(translatedItem(file, reading(legacy)), wanted, file);
  const limited = reading({ "memory.limit_in_bytes": "4096", "memory.memsw.limit_in_bytes": "12288" });
  assert.equal(translatedItem("memory.swap.max", limited), "8192");
});

test("files of cgroup v1 read on v2 as v1 would have them", () => {
  for (const [file, wanted] of [
    ["memory.limit_in_bytes", "9223372036854771712"],
    ["memory.memsw.limit_in_bytes", "9223372036854771712"],
    ["memory.memsw.usage_in_bytes", "4097"],
    ["memory.usage_in_bytes", "4096"],
    ["cpu.shares", "2598"],
    ["cpu.cfs_quota_us", "50000"],
    ["cpu.cfs_period_us", "100000"],
    ["cpuacct.usage", "12000"],
    ["blkio.weight", "10"],
    ["freezer.state", "THAWED"],
    ["memory.soft_limit_in_bytes", null],
    ["devices.list", null],
  ] as const)
    assert.equal(translatedItem(file, reading(unified)), wanted, file);
});

test("weights of block io are BFQ's on a kernel of v1 that has no others", () => {
  const bfq = reading({ "blkio.bfq.weight": "100" });
  assert.equal(translatedItem("blkio.weight", bfq), "100");
  assert.equal(translatedItem("io.weight", bfq), "default 1000");
  for (const [file, value, wanted] of [
    ["blkio.weight", "300", "blkio.bfq.weight=300"],
    ["blkio.weight_device", "8:0 300", "blkio.bfq.weight_device=8:0 300"],
    ["io.weight", "3000", "blkio.bfq.weight=300"],
  ] as const)
    assert.deepEqual(
      translatedSettings(file, value, bfq).map((each) => `${each.file}=${each.value}`),
      [wanted],
    );
});

test("what is set goes to the other version's file, with what is set already", () => {
  const set = (files: Files, file: string, value: string): readonly string[] =>
    translatedSettings(file, value, reading(files)).map((each) => `${each.file}=${each.value}`);
  assert.deepEqual(set(unified, "memory.limit_in_bytes", "300M"), ["memory.max=314572800"]);
  assert.deepEqual(set(unified, "cpu.cfs_quota_us", "20000"), ["cpu.max=20000 100000"]);
  assert.deepEqual(set(unified, "cpu.cfs_period_us", "200000"), ["cpu.max=50000 200000"]);
  assert.deepEqual(set({ ...unified, "memory.max": "4096" }, "memory.memsw.limit_in_bytes", "8192"), [
    "memory.swap.max=4096",
  ]);
  assert.deepEqual(set(legacy, "memory.max", "max"), ["memory.limit_in_bytes=-1"]);
  assert.deepEqual(set({ ...legacy, "memory.limit_in_bytes": "4096" }, "memory.swap.max", "4096"), [
    "memory.memsw.limit_in_bytes=8192",
  ]);
  assert.deepEqual(set(legacy, "cpu.max", "50000 100000"), ["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=50000"]);
  assert.throws(() => set(legacy, "memory.bogus", "1"), { code: "ISLET_UNSUPPORTED" });
  assert.throws(() => set(unified, "cpu.shares", "many"), { code: "ISLET_BAD_CONFIG" });
});
