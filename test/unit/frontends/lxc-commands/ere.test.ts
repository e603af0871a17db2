import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { compileEre } from "../../../../src/frontends/lxc/commands/ere.js";

/** expression, names that match, names that do not; as regcomp(3) and regexec(3) with REG_EXTENDED answer. */
const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ["web", ["web", "myweb1"], ["wob"]],
  ["^web[0-9]+$", ["web1", "web23"], ["web", "web1x", "aweb1"]],
  ["a|b", ["a", "xb"], ["c"]],
  ["^(ab|c)d$", ["abd", "cd"], ["abcd"]],
  ["[[:digit:]]", ["a1"], ["a"]],
  ["^[[:alpha:]_]+$", ["ab_", "B"], ["a1", "a-"]],
  ["[^[:space:]]", ["a"], [" "]],
  ["[]x]", ["]", "x"], ["a"]],
  ["[^]x]", ["a"], ["]", "x"]],
  ["[a\\]", ["a", "\\"], ["b"]],
  ["^[a-]$", ["a", "-"], ["b"]],
  ["^[a-c]$", ["b"], ["d", "-"]],
  ["a{2}", ["aa", "aaa"], ["a"]],
  ["^a{1,2}$", ["a", "aa"], ["aaa"]],
  ["^a{2,}$", ["aa", "aaaa"], ["a"]],
  ["^a{,2}$", ["", "aa"], ["aaa"]],
  ["^a{1,2}{2}$", ["aa", "aaaa"], ["a"]],
  ["^a|b$", ["ax", "xb"], ["xa"]],
  ["^a**$", ["", "aaa"], ["b"]],
  ["^a*?$", ["", "aaa"], ["b"]],
  ["\\.", ["a.b"], ["ab"]],
  ["\\d", ["d"], ["1"]],
  ["a.c", ["abc"], ["ac"]],
  ["x)", ["x)"], ["x"]],
  ["/", ["a/b"], ["ab"]],
  ["[.[.-.]]", ["-", "."], ["a"]],
  ["", ["anything"], []],
];

describe("extended regular expressions", () => {
  for (const [source, yes, no] of cases) {
    it(`${JSON.stringify(source)} matches what regcomp's matches`, () => {
      const expression = compileEre(source);
      assert.ok(expression);
      for (const name of yes) assert.ok(expression.test(name), `${source} should match ${name}`);
      for (const name of no) assert.ok(!expression.test(name), `${source} should not match ${name}`);
    });
  }
  it("refuses what regcomp refuses", () => {
    for (const source of [
      "[",
      "(",
      "*",
      "^*$",
      "a|*b",
      "(+a)",
      "$?",
      "{1}",
      "a{x",
      "a{1",
      "a{32768}",
      "[[:nosuch:]]",
      "a\\",
      "[b-a]",
      "a{2,1}",
      "[[:digit:",
    ]) {
      assert.equal(compileEre(source), null, source);
    }
  });
});
