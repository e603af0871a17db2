import assert from "node:assert/strict";
import { test } from "node:test";
import { latest } from "../../../src/daemon/latest.js";

test("of texts that come too quickly the first and the last are passed on, and none after the end", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const passed: string[] = [];
  const { put, close } = latest(100, (text) => passed.push(text));
  for (let index = 0; index < 50; index += 1) put(`a${index}`);
  assert.deepEqual(passed, ["a0"]);
  t.mock.timers.tick(99);
  assert.deepEqual(passed, ["a0"]);
  t.mock.timers.tick(1);
  assert.deepEqual(passed, ["a0", "a49"]);
  put("b");
  t.mock.timers.tick(100);
  assert.deepEqual(passed, ["a0", "a49", "b"]);
  t.mock.timers.tick(1000);
  put("c");
  assert.deepEqual(passed, ["a0", "a49", "b", "c"]);
  put("d");
  close();
  t.mock.timers.tick(1000);
  assert.deepEqual(passed, ["a0", "a49", "b", "c"]);
});
