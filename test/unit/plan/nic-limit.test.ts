import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";

import { compileLimit, LIMIT_MAP_AT } from "../../../src/plan/nic/limit-bpf.js";
import { rateOf, rateText } from "../../../src/spec/rate.js";
import { decodeEbpf } from "../../../src/sys/ebpf.js";
import { runOnPacket } from "../../../src/sys/ebpf-packet.js";

const second = 1_000_000_000n;

/** Bytes that pass of packets that come at these times. */
function passed(
  rules: { readonly rate: number; readonly burst: number },
  packets: Iterable<{ readonly length: number; readonly now: bigint }>,
): number {
  const program = decodeEbpf(compileLimit(rules));
  let value = 0n;
  let bytes = 0;
  for (const packet of packets) {
    const ran = runOnPacket(program, { ...packet, value });
    value = ran.value;
    assert.ok(ran.result === -1 || ran.result === 2, String(ran.result));
    if (ran.result === -1) bytes += packet.length;
  }
  return bytes;
}

function* steady(length: number, every: bigint, from: bigint, to: bigint): Generator<{ length: number; now: bigint }> {
  for (let now = from; now < to; now += every) yield { length, now };
}

test("of a flood the rate passes, and the burst at its beginning", () => {
  const rules = { rate: 8_000_000, burst: 200_000 };
  const bytes = passed(rules, steady(1500, 100_000n, 10n * second, 20n * second));
  assert.ok(Math.abs(bytes - (10 * 1_000_000 + 200_000)) <= 2 * 1500, String(bytes));
});

test("what stays below the rate passes whole", () => {
  const rules = { rate: 8_000_000, burst: 16_384 };
  assert.equal(passed(rules, steady(1000, 1_000_000n, 10n * second, 12n * second)), 2_000_000);
});

test("a packet larger than the burst passes, and is paid for afterwards", () => {
  const rules = { rate: 64_000, burst: 16_384 };
  const [large, small] = [65_000, 100];
  const packets = [
    { length: large, now: 10n * second },
    // 65000 bytes less the burst take six seconds.
    { length: small, now: 16n * second },
    { length: small, now: 16n * second + 100_000_000n },
  ];
  assert.equal(passed(rules, packets), large + small);
});

test("a pause saves no more than the burst, however long it was", () => {
  const rules = { rate: 80_000_000, burst: 2_000_000 };
  const early = passed(rules, steady(1500, 1000n, second, second + 2_000_000n));
  const late = passed(rules, steady(1500, 1000n, 500_000n * second, 500_000n * second + 2_000_000n));
  for (const bytes of [early, late]) assert.ok(Math.abs(bytes - 2_020_000) <= 3000, String(bytes));
});

test("no rate and no packet makes the arithmetic overflow", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 16_000, max: 100_000_000_000 }),
      fc.integer({ min: 14, max: 524_280 }),
      (rate, length) => {
        const now = 2n ** 60n;
        const { result, value } = runOnPacket(decodeEbpf(compileLimit({ rate, burst: 16_384 })), {
          length,
          now,
          value: now,
        });
        assert.equal(result, -1);
        assert.equal(value, now + (BigInt(length) * 8n * second) / BigInt(rate));
      },
    ),
  );
});

test("the descriptor of its number goes into its first instruction", () => {
  const program = compileLimit({ rate: 64_000, burst: 16_384 });
  new DataView(program.buffer, program.byteOffset).setUint32(LIMIT_MAP_AT, 7, true);
  const [first] = decodeEbpf(program);
  assert.deepEqual(first, { code: 0x18, dst: 9, src: 2, off: 0, imm: 7 });
});

test("a rate is read and written in tc's units", () => {
  for (const [text, rate, back] of [
    ["10mbit", 10_000_000, "10mbit"],
    ["10 Mbit", 10_000_000, "10mbit"],
    ["64000", 64_000, "64kbit"],
    ["16001bit", 16_001, "16001bit"],
    ["100gbit", 100_000_000_000, "100gbit"],
  ] as const) {
    assert.equal(rateOf(text), rate);
    assert.equal(rateText(rate), back);
  }
  for (const text of ["", "15999", "101gbit", "1.5mbit", "10mb", "-5", "10 m bit", "9".repeat(13)])
    assert.equal(rateOf(text), null, text);
});
