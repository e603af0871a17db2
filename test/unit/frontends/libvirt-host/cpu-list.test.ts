import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { cpuBitmap, formatCpuList, parseCpuList } from "../../../../src/frontends/libvirt/host/cpu-list.js";

const numbers = fc.uniqueArray(fc.nat(16_383), { minLength: 1 }).map((all) => all.sort((a, b) => a - b));

describe("lists of processors", () => {
  it("are read back as they were written", () => {
    fc.assert(
      fc.property(numbers, (all) => {
        assert.deepEqual(parseCpuList(formatCpuList(all)), all);
      }),
    );
  });
  it("are written as the kernel writes them", () => {
    assert.equal(formatCpuList([0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
    assert.equal(formatCpuList([]), "");
  });
  it("may take one away again", () => {
    assert.deepEqual(parseCpuList("0-3,^2"), [0, 1, 3]);
    assert.deepEqual(parseCpuList(" 3 , 1 - 2\n"), [1, 2, 3]);
    assert.deepEqual(parseCpuList("1,^1"), []);
    assert.deepEqual(parseCpuList("0,2, "), [0, 2]);
  });
  it("are refused when they are wrong or name too much", () => {
    for (const text of ["", ",", "a", "1,,", "1-", "3-1", "1,,2", "1 2", "16384", "0-99999", "^1-2", "-1"])
      assert.equal(parseCpuList(text), null, text);
  });
  it("take no longer when they name everything over and over", () => {
    const began = performance.now();
    assert.equal(parseCpuList(Array.from({ length: 300_000 }, () => "0-16383").join())?.length, 16_384);
    assert.ok(performance.now() - began < 5000);
  });
  it("become a map with a bit for each", () => {
    fc.assert(
      fc.property(numbers, (all) => {
        const map = cpuBitmap(all);
        const found = Array.from({ length: map.length * 8 }, (_, id) => id).filter(
          (id) => ((map[id >> 3] ?? 0) >> (id & 7)) & 1,
        );
        assert.deepEqual(found, all);
      }),
    );
  });
});
