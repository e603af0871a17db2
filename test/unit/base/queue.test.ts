import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";

import { createChangeQueue } from "../../../src/base/queue.js";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("changes of one thing happen one after another, in the order asked for; those of others do not wait", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ key: fc.constantFrom("a", "b", "c"), turns: fc.nat(3), fails: fc.boolean() }), {
        maxLength: 20,
      }),
      async (wanted) => {
        const queue = createChangeQueue();
        const running = new Set<string>();
        const order: Record<string, number[]> = { a: [], b: [], c: [] };
        const results = await Promise.allSettled(
          wanted.map(({ key, turns, fails }, index) =>
            queue.run(key, async () => {
              assert.ok(!running.has(key), "two changes of one thing at once");
              running.add(key);
              order[key]?.push(index);
              for (let count = 0; count < turns; count += 1) await turn();
              running.delete(key);
              if (fails) throw new Error(String(index));
              return index;
            }),
          ),
        );
        wanted.forEach(({ fails }, index) => {
          const result = results[index];
          assert.equal(result?.status, fails ? "rejected" : "fulfilled");
          if (result?.status === "fulfilled") assert.equal(result.value, index);
        });
        for (const seen of Object.values(order))
          assert.deepEqual(
            seen,
            seen.toSorted((a, b) => a - b),
          );
      },
    ),
    { numRuns: 50 },
  );
});

test("a change that never ends holds up its own thing only", async () => {
  const queue = createChangeQueue();
  let release: () => void = () => undefined;
  const stuck = queue.run("a", () => new Promise<void>((resolve) => (release = resolve)));
  let ran = false;
  const behind = queue.run("a", () => {
    ran = true;
    return Promise.resolve();
  });
  assert.equal(await queue.run("b", () => Promise.resolve(7)), 7);
  await turn();
  assert.equal(ran, false);
  release();
  await Promise.all([stuck, behind]);
  assert.equal(ran, true);
});
