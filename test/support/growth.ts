import assert from "node:assert/strict";

/** Four times as much may take so many times as long: what is linear takes 4, what is quadratic 16. */
const most = 10;
/** Milliseconds: in less, collections of garbage are most of what is measured. The square of some thousand takes longer. */
const least = 20;
const rounds = 12;

/**
 * Fails if the work on 4N takes much more than four times that on N. Of several runs the quickest counts, and they go on as long as the two do not agree: other
 * work on the machine makes runs longer, never shorter. `prepare` gives back what is measured.
 */
export function assertLinear(what: string, few: number, prepare: (count: number) => () => void): void {
  const [small, large] = [prepare(few), prepare(4 * few)];
  const best = { small: Infinity, large: Infinity };
  for (let round = 0; round < rounds; round += 1) {
    best.small = Math.min(best.small, time(small));
    best.large = Math.min(best.large, time(large));
    if (round > 0 && best.large <= most * Math.max(best.small, least)) return;
  }
  assert.fail(`${what}: ${few} take ${best.small.toFixed(1)} ms, ${4 * few} take ${best.large.toFixed(1)} ms`);
}

function time(work: () => void): number {
  const started = performance.now();
  work();
  return performance.now() - started;
}
