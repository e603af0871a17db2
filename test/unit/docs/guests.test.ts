import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../../support/paths.js";

/** The points of a page: the first cells of its tables' rows. */
function pointsOf(page: string): readonly string[] {
  const text = readFileSync(join(root, "docs/guests", page), "utf8");
  return [...text.matchAll(/^\| ([A-Z]+[0-9]*) \|/gm)].map(([, id = ""]) => id);
}

/** The ids that the names of tests begin with, of all files whose name begins so: `"D1: what ..."`, `point("D1", ...`, `["D8", ...` of a list. */
function testedIn(prefix: string): ReadonlySet<string> {
  const found = new Set<string>();
  for (const name of readdirSync(join(root, "test/kernel"))) {
    if (!name.startsWith(prefix) || !name.endsWith(".test.ts")) continue;
    const text = readFileSync(join(root, "test/kernel", name), "utf8");
    for (const [, ids = ""] of text.matchAll(/["`]((?:[A-Z]+[0-9]*)(?:, [A-Z]+[0-9]*)*): /g))
      for (const id of ids.split(", ")) found.add(id);
    for (const [, id = ""] of text.matchAll(/(?:\bpoint\(\s*|^ {2}\[)"([A-Z]+[0-9]*)",/gm)) found.add(id);
  }
  return found;
}

test("every point of the page about LXD's environment has a test by its name, and every such test its point", () => {
  const points = pointsOf("lxd.md");
  const tested = testedIn("guest-lxd");
  assert.ok(points.length > 40, points.join());
  assert.equal(new Set(points).size, points.length, "a point is there twice");
  assert.deepEqual([...tested].sort(), [...points].sort());
});
