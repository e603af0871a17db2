import assert from "node:assert/strict";
import { test } from "node:test";
import { readCalls } from "../../../bench/libvirt.js";
import { readTimes } from "../../../bench/timing.js";
import { spreadOf } from "../../../bench/stats.js";
import { holds, ratioOf, table, type Measured } from "../../../bench/table.js";

const measured = (islet: readonly number[], lxc: readonly number[], budget: Measured["budget"]): Measured => ({
  name: "a thing",
  unit: "ms",
  sides: { islet: spreadOf(islet), lxc: spreadOf(lxc), libvirt: null, floor: null },
  budget,
  faults: [],
});

test("the spread of samples interpolates between ranks and does not depend on their order", () => {
  assert.deepEqual(spreadOf([4, 1, 3, 2]), { count: 4, min: 1, p25: 1.75, median: 2.5, p75: 3.25, max: 4 });
  assert.deepEqual(spreadOf([7]), { count: 1, min: 7, p25: 7, median: 7, p75: 7, max: 7 });
  assert.equal(spreadOf([]), null);
});

test("a failed run of the timer counts as a fault and never as a time", () => {
  const { samples, faults } = readTimes("islet 1500000 0\nlxc 9000000 0\nislet 0 124\nislet 2500000 0\nlxc 0 1\n");
  assert.deepEqual(samples.get("islet"), [1.5, 2.5]);
  assert.deepEqual(samples.get("lxc"), [9]);
  assert.deepEqual(faults, ["islet: did not end in time (1 times)", "lxc: exit status 1 (1 times)"]);
});

test("calls over one connection are told apart by what they are, and a side that failed says why", () => {
  const output =
    "start islet 1500000\nstart libvirt 3000000\nfault libvirt Domain not found: no domain\ndestroy islet 7\n";
  const { samples, faults } = readCalls(output, "start", 1e6);
  assert.deepEqual(
    [...samples],
    [
      ["islet", [1.5]],
      ["libvirt", [3]],
    ],
  );
  assert.deepEqual(faults, ["libvirt: Domain not found: no domain"]);
});

test("a ratio budget holds at its limit and not above, and not at all without the other side", () => {
  const budget = { kind: "ratio", to: "lxc", limit: 0.5 } as const;
  assert.equal(holds(measured([5], [10], budget)), true);
  assert.equal(holds(measured([5.1], [10], budget)), false);
  assert.equal(holds(measured([5], [], budget)), null);
  assert.equal(ratioOf(measured([5], [10], budget)), 0.5);
});

test("the table has no column for a side that nothing was measured of", () => {
  const [head = ""] = table([measured([6], [10], { kind: "none" })]).split("\n");
  assert.match(head, /islet +LXC +ratio/);
  const against = { ...measured([6], [], { kind: "ratio", to: "libvirt", limit: 0.6 }) };
  const lines = table([{ ...against, sides: { ...against.sides, libvirt: spreadOf([12]) } }]).split("\n");
  assert.match(lines[0] ?? "", /islet +libvirt +ratio/);
  assert.match(lines[2] ?? "", /0\.50 +<= 0\.6 x libvirt +ok$/);
});

test("the table says OVER for a budget that is broken", () => {
  const text = table([
    measured([6], [10], { kind: "ratio", to: "lxc", limit: 0.5 }),
    measured([300], [], { kind: "absolute", limit: 400 }),
  ]);
  const [, , first = "", second = ""] = text.split("\n");
  assert.match(first, /6\.00 .* 10\.0 .*0\.60 +<= 0\.5 x lxc +OVER$/);
  assert.match(second, /300 .*<= 400 ms +ok$/);
});
