import assert from "node:assert/strict";
import { test } from "node:test";
import { once } from "../../../src/base/once.js";

test("what is made once is made at the first question, and is the same at the next, whatever it is", () => {
  let count = 0;
  const made = once(() => {
    count += 1;
    return undefined;
  });
  assert.equal(count, 0);
  assert.deepEqual([made(), made(), count], [undefined, undefined, 1]);
});

test("a making that throws is tried again", () => {
  let count = 0;
  const made = once(() => {
    count += 1;
    if (count === 1) throw new Error("not yet");
    return count;
  });
  assert.throws(made, /not yet/);
  assert.deepEqual([made(), made()], [2, 2]);
});
