import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";

import {
  accessBits,
  compileDeviceRules,
  deviceList,
  devicePolicy,
  type DeviceMode,
} from "../../../src/plan/device-bpf.js";
import type { DeviceRule } from "../../../src/spec/cgroup.js";
import { decodeEbpf, runEbpf } from "../../../src/sys/ebpf.js";
import * as k from "../../../src/sys/flags.js";

/** `c 1:3 rwm` with `allow` or `deny` before it, `allow a`. */
function rule(text: string): DeviceRule {
  const [verb, type, numbers = "*:*", access = "rwm"] = text.split(" ");
  assert.ok(type === "a" || type === "b" || type === "c");
  const [major, minor] = numbers.split(":").map((part) => (part === "*" ? null : Number(part)));
  return {
    allow: verb === "allow",
    type,
    major: major ?? null,
    minor: minor ?? null,
    read: access.includes("r"),
    write: access.includes("w"),
    mknod: access.includes("m"),
    at: null,
  };
}

interface Access {
  readonly type: "b" | "c";
  readonly major: number;
  readonly minor: number;
  /** BPF_DEVCG_ACC_* bits. */
  readonly access: number;
}

/** What the program says about an access: struct bpf_cgroup_dev_ctx in, 1 or 0 out. */
function granted(program: Uint8Array, { type, major, minor, access }: Access): boolean {
  const context = new DataView(new ArrayBuffer(12));
  context.setUint32(0, (access << 16) | (type === "b" ? k.BPF_DEVCG_DEV_BLOCK : k.BPF_DEVCG_DEV_CHAR), true);
  context.setUint32(4, major, true);
  context.setUint32(8, minor, true);
  const result = runEbpf(decodeEbpf(program), new Uint8Array(context.buffer));
  assert.ok(result === 0n || result === 1n);
  return result === 1n;
}

const check = (rules: readonly string[], initial: DeviceMode) => {
  const program = compileDeviceRules(rules.map(rule), initial);
  return (text: string): boolean => {
    const { type, major, minor, ...accesses } = rule(`allow ${text}`);
    assert.ok(type !== "a");
    return granted(program, { type, major: major ?? 0, minor: minor ?? 0, access: accessBits(accesses) });
  };
};

test("the usual list of a container allows what it names and nothing else", () => {
  const can = check(
    ["deny a", "allow c *:* m", "allow b *:* m", "allow c 1:3 rwm", "allow c 136:* rwm", "allow c 5:2 rw"],
    "allow",
  );
  assert.ok(can("c 1:3 rw"));
  assert.ok(can("c 1:3 rwm"));
  assert.ok(can("b 8:0 m"));
  assert.ok(can("c 136:77 w"));
  assert.ok(!can("b 8:0 r"));
  assert.ok(!can("c 1:1 r"));
  assert.ok(!can("b 1:3 r"), "a block device of the same numbers");
  assert.ok(!can("c 5:2 rwm"), "one rule must have the whole access: 5:2 rw and *:* m do not add up");
});

test("no rules leave the mode as it was", () => {
  assert.ok(check([], "allow")("c 1:1 rwm"));
  assert.ok(!check([], "deny")("c 1:3 r"));
});

test("an allow-all list refuses an access of which any part is denied", () => {
  const can = check(["allow a", "deny c 10:200 w"], "deny");
  assert.ok(can("c 10:200 r"));
  assert.ok(!can("c 10:200 rw"));
  assert.ok(can("c 10:201 rwm"));
});

test("a later rule of type a forgets everything before it", () => {
  assert.deepEqual(devicePolicy(["allow c 1:3 rwm", "deny a"].map(rule), "deny"), { mode: "deny", exceptions: [] });
  assert.deepEqual(devicePolicy(["deny c 1:3 rwm", "allow a"].map(rule), "allow"), { mode: "allow", exceptions: [] });
});

test("denying takes away from the exception of the same numbers, and only from it", () => {
  const can = check(["deny a", "allow c 1:* rw", "allow c 1:3 rwm", "deny c 1:3 wm"], "allow");
  assert.ok(can("c 1:3 r"));
  assert.ok(can("c 1:3 rw"), "1:* still grants it, as in the v1 controller");
  assert.ok(!can("c 1:3 m"));
});

// The v1 controller in the most literal form: a list of exceptions that is searched (security/device_cgroup.c).
function reference(rules: readonly DeviceRule[], initial: DeviceMode, access: Access): boolean {
  let allowAll = initial === "allow";
  let list: { type: string; major: number | null; minor: number | null; bits: number }[] = [];
  for (const one of rules) {
    if (one.type === "a") {
      allowAll = one.allow;
      list = [];
      continue;
    }
    const twin = list.find(
      (other) => other.type === one.type && other.major === one.major && other.minor === one.minor,
    );
    const bits = (one.read ? 2 : 0) + (one.write ? 4 : 0) + (one.mknod ? 1 : 0);
    if (one.allow !== allowAll) {
      if (twin !== undefined) twin.bits |= bits;
      else list.push({ type: one.type, major: one.major, minor: one.minor, bits });
    } else if (twin !== undefined) twin.bits &= ~bits;
    list = list.filter((other) => other.bits !== 0);
  }
  const matching = list.filter(
    (other) =>
      other.type === access.type &&
      (other.major === null || other.major === access.major) &&
      (other.minor === null || other.minor === access.minor),
  );
  if (allowAll) return !matching.some((other) => (other.bits & access.access) !== 0);
  return matching.some((other) => (access.access & ~other.bits) === 0);
}

const number = fc.constantFrom(0, 1, 3, 255, 4095);
const anyNumber = fc.option(number, { nil: null });
const deviceRule: fc.Arbitrary<DeviceRule> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      allow: fc.boolean(),
      type: fc.constantFrom("b", "c"),
      major: anyNumber,
      minor: anyNumber,
      read: fc.boolean(),
      write: fc.boolean(),
      mknod: fc.boolean(),
      at: fc.constant(null),
    }),
  },
  { weight: 1, arbitrary: fc.boolean().map((allow): DeviceRule => rule(`${allow ? "allow" : "deny"} a`)) },
);
const access: fc.Arbitrary<Access> = fc.record({
  type: fc.constantFrom("b", "c"),
  major: number,
  minor: number,
  access: fc.integer({ min: 0, max: 7 }),
});

test("the program grants exactly what the v1 controller would", () => {
  fc.assert(
    fc.property(
      fc.array(deviceRule, { maxLength: 20 }),
      fc.constantFrom<DeviceMode>("allow", "deny"),
      fc.array(access, { minLength: 5, maxLength: 30 }),
      (rules, initial, accesses) => {
        const program = compileDeviceRules(rules, initial);
        for (const one of accesses)
          assert.equal(granted(program, one), reference(rules, initial, one), JSON.stringify(one));
      },
    ),
    { numRuns: 500 },
  );
});

test("the order of rules of different devices does not matter", () => {
  const devices = ["allow c 1:3 rwm", "allow c 1:5 r", "allow b 8:* rw"];
  const a = devicePolicy(devices.map(rule), "deny");
  const b = devicePolicy(devices.toReversed().map(rule), "deny");
  assert.deepEqual(
    new Set(a.exceptions.map((one) => JSON.stringify(one))),
    new Set(b.exceptions.map((one) => JSON.stringify(one))),
  );
});

test("devices.list shows what is excepted from denying, and one line where only some is denied", () => {
  const list = (...rules: readonly string[]): string => deviceList(devicePolicy(rules.map(rule), "allow"));
  assert.equal(list(), "a *:* rwm\n");
  assert.equal(list("deny c 1:3 rwm"), "a *:* rwm\n");
  assert.equal(list("deny a"), "");
  assert.equal(
    list("deny a", "allow c 1:3 rw", "allow b *:* m", "allow c 5:* rwm", "deny c 5:* w", "deny c 1:3 rw"),
    "b *:* m\nc 5:* rm\n",
  );
});
