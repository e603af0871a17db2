import assert from "node:assert/strict";
import { mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { copyTree } from "../../src/storage/tree.js";
import { currentArch } from "../support/image.js";
import { root } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { blocksOf, differencesOf, makeNasty, placeOf } from "../support/tree.js";

const host = { arch: currentArch, binary: join(root, "build/islet") };

test("a copy has everything that the original has", async (t) => {
  if (lacks(t, "root")) return;
  const place = placeOf(t);
  const [from, to] = [join(place, "from"), join(place, "to")];
  makeNasty(from);
  mkdirSync(to);
  const totals = await copyTree(host, { from, to });
  assert.equal(differencesOf(from, to), "");
  assert.ok(totals.files > 3040 && totals.bytes > 5 << 20, JSON.stringify(totals));
  assert.ok(Math.abs(blocksOf(from) - blocksOf(to)) <= 64, "holes are still holes");
  assert.equal(statSync(join(to, "a/one")).ino, statSync(join(to, "d/three")).ino);
  assert.equal(readdirSync(join(to, "deep-end")).length, 3000);
});
