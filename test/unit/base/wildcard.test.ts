import assert from "node:assert/strict";
import { it } from "node:test";
import { matchesWildcard } from "../../../src/base/wildcard.js";

it("a pattern matches a whole text, with any text for * and one letter for ?", () => {
  for (const [pattern, text, expected] of [
    ["", "", true],
    ["", "a", false],
    ["dev/*", "dev/null", true],
    ["dev/*", "dev/", true],
    ["dev/*", "dev", false],
    ["*.so.?", "lib/x.so.1", true],
    ["*.so.?", "lib/x.so.10", false],
    ["a*b*c", "a-b-b-c", true],
    ["a*b*c", "a-b-b", false],
    ["**", "x", true],
    ["?", "", false],
  ] as const)
    assert.equal(matchesWildcard(pattern, text), expected, `${pattern} ${text}`);
});

it("a pattern made to take for ever takes no time", () => {
  const began = performance.now();
  assert.ok(!matchesWildcard(`${"*a".repeat(250)}b`, "a".repeat(4000)));
  assert.ok(performance.now() - began < 1000);
});
