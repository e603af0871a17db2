import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { patience } from "./patience.js";
import { waitFor } from "./wait.js";

/** One side of a connection: runs a script of sh there. `pid`: somebody in its network namespace. */
export interface Side {
  readonly run: (script: string) => Promise<string>;
  readonly pid: number;
  readonly address: string;
}

const size = 2_000_000;

/** Seconds that two megabytes take from one to the other. Who counts them answers with their number. */
export async function transfer(from: Side, to: Side): Promise<number> {
  await to.run("busybox nc -l -p 700 -e wc -c </dev/null >/dev/null 2>&1 &");
  const listens = (file: string): boolean =>
    /:02BC 0+:0000 0A/.test(readFileSync(`/proc/${to.pid}/net/${file}`, "utf8"));
  await waitFor("somebody who listens", () => listens("tcp") || listens("tcp6"));
  const before = performance.now();
  const count = await from.run(`head -c ${size} /dev/zero | busybox nc ${to.address} 700`);
  assert.equal(Number(count), size);
  return (performance.now() - before) / 1000;
}

/**
 * Two transfers, of which the first fits a burst of 2.2 megabytes and the second waits for a limit of one megabyte a second. However slow the machine is, both
 * together take no less time than the limit says, and the first takes less than it would without a burst.
 */
export async function checkBurst(from: Side, to: Side, leastOfFirst: number): Promise<void> {
  const before = performance.now();
  const first = await transfer(from, to);
  assert.ok(first >= leastOfFirst && first < 1.7 * patience, `the burst: ${first.toFixed(2)} s`);
  await transfer(from, to);
  const both = (performance.now() - before) / 1000;
  assert.ok(both >= 1.6, `with what comes after it: ${both.toFixed(2)} s`);
}
