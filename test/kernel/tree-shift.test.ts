import assert from "node:assert/strict";
import { chownSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { IsletError } from "../../src/base/errors.js";
import type { IdMapEntry } from "../../src/spec/idmap.js";
import { copyTree, shiftTree } from "../../src/storage/tree.js";
import { currentArch } from "../support/image.js";
import { root } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { differencesOf, makeNasty, placeOf, sh } from "../support/tree.js";

const host = { arch: currentArch, binary: join(root, "build/islet") };
const mapTo = (outside: number, count: number = 65536): readonly IdMapEntry[] =>
  (["uid", "gid"] as const).map((type) => ({ type, inside: 0, outside, count, at: null }));

const capability = (file: string): string => sh('getfattr --absolute-names -n security.capability -e hex "$1"', file);

test("a tree given to a map of ids, to another one and back is what it was", async (t) => {
  if (lacks(t, "root")) return;
  const place = placeOf(t);
  const [from, to] = [join(place, "from"), join(place, "to")];
  makeNasty(from);
  mkdirSync(to);
  await copyTree(host, { from, to });
  await shiftTree(host, { tree: to, from: [], to: mapTo(100000) });
  const { uid, gid, mode } = statSync(join(to, "setuid"));
  assert.deepEqual([uid, gid, mode & 0o7777], [100012, 100034, 0o6755]);
  assert.equal(statSync(to).uid, 100000);
  // Version 3, with the root of the user namespace: 100000 is 0x186a0.
  assert.match(capability(join(to, "capable")), /=0x01000003.*a0860100\n/);
  assert.match(sh('getfacl -n --absolute-names "$1"', join(to, "acl")), /user:101234:rw-\n[^]*group:104321:r--/);
  assert.match(sh('getfacl -n --absolute-names "$1"', join(to, "d")), /default:group:100099:r-x/);
  assert.match(sh('lsattr -d "$1"', join(to, "shut-for-all")), /^\S*i\S* /);
  await shiftTree(host, { tree: to, from: mapTo(100000), to: mapTo(300000) });
  assert.equal(statSync(join(to, "setuid")).uid, 300012);
  await shiftTree(host, { tree: to, from: mapTo(300000), to: [] });
  assert.equal(differencesOf(from, to), "");
});

test("a copy changes ids on its way, and takes them back", async (t) => {
  if (lacks(t, "root")) return;
  const place = placeOf(t);
  const [from, mapped, back] = ["from", "mapped", "back"].map((name) => join(place, name)) as [string, string, string];
  makeNasty(from);
  mkdirSync(mapped);
  mkdirSync(back);
  await copyTree(host, { from, to: mapped, shift: { from: [], to: mapTo(100000) } });
  const shifted = join(place, "shifted");
  mkdirSync(shifted);
  await copyTree(host, { from, to: shifted });
  await shiftTree(host, { tree: shifted, from: [], to: mapTo(100000) });
  assert.equal(differencesOf(shifted, mapped), "", "a copy with a shift is a copy and then a shift");
  await copyTree(host, { from: mapped, to: back, shift: { from: mapTo(100000), to: [] } });
  assert.equal(differencesOf(from, back), "");
});

test("an id that is in no map is named, or kept", async (t) => {
  if (lacks(t, "root")) return;
  const place = placeOf(t);
  const [from, to, kept] = ["from", "to", "kept"].map((name) => join(place, name)) as [string, string, string];
  for (const path of [from, to, kept]) mkdirSync(path);
  mkdirSync(join(from, "sub"));
  writeFileSync(join(from, "sub/file"), "");
  chownSync(join(from, "sub/file"), 5, 70000);
  const shift = { from: [], to: mapTo(100000) };
  await assert.rejects(
    copyTree(host, { from, to, shift }),
    (error) =>
      error instanceof IsletError &&
      error.message === `cannot give an owner to sub/file: the group id 70000 is not mapped (in ${to})`,
  );
  await copyTree(host, { from, to: kept, shift: { ...shift, unmapped: "keep" } });
  const { uid, gid } = statSync(join(kept, "sub/file"));
  assert.deepEqual([uid, gid], [100005, 70000]);
});

test("a change of owners that fails half way is undone", async (t) => {
  if (lacks(t, "root")) return;
  const place = placeOf(t);
  const [from, to] = [join(place, "from"), join(place, "to")];
  makeNasty(from);
  mkdirSync(join(from, "z/z/z"), { recursive: true });
  writeFileSync(join(from, "z/z/z/last"), "");
  chownSync(join(from, "z/z/z/last"), 70000, 0);
  mkdirSync(to);
  await copyTree(host, { from, to });
  await assert.rejects(
    shiftTree(host, { tree: to, from: [], to: mapTo(100000) }),
    /z\/z\/z\/last: the user id 70000 is not mapped/,
  );
  assert.equal(differencesOf(from, to), "");
});

test("a change of owners that was cut off is finished by the next, or given back", async (t) => {
  if (lacks(t, "root")) return;
  const place = placeOf(t);
  const [from, to] = [join(place, "from"), join(place, "to")];
  makeNasty(from);
  mkdirSync(to);
  await copyTree(host, { from, to });
  const half = join(to, "a");
  await shiftTree(host, { tree: half, from: [], to: mapTo(100000) });
  // "a/one" has another name elsewhere: both are changed by now, and are not changed twice.
  await shiftTree(host, { tree: to, from: [], to: mapTo(100000) });
  assert.equal(statSync(join(to, "d/three")).uid, 100000);
  await shiftTree(host, { tree: half, from: mapTo(100000), to: [] });
  await shiftTree(host, { tree: to, from: mapTo(100000), to: [], unmapped: "keep" });
  assert.equal(differencesOf(from, to), "");
});

test("maps whose ids overlap are refused before anything is changed", async (t) => {
  if (lacks(t, "root")) return;
  const tree = placeOf(t);
  await assert.rejects(
    shiftTree(host, { tree, from: mapTo(100000), to: mapTo(120000) }),
    /ids of one map are ids of the other, too/,
  );
  assert.equal(statSync(tree).uid, 0);
});
