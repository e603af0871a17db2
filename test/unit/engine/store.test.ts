import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

import type { ErrorCode } from "../../../src/base/errors.js";
import type { ContainerId } from "../../../src/engine/engine.js";
import { beginConstruction, definedNames, maxConfig, readConfigText, writeWhole } from "../../../src/engine/store.js";
import { createWholes } from "../../../src/engine/whole.js";
import { tryLock } from "../../../src/host/file-lock.js";
import type { StorageHost } from "../../../src/storage/driver.js";
import { removeTree } from "../../../src/storage/tree.js";
import { hostFacts } from "../../support/facts.js";
import { currentArch } from "../../support/image.js";
import { lacks } from "../../support/skip.js";

const host: StorageHost = {
  arch: currentArch,
  binary: fileURLToPath(new URL("../../../../build/islet", import.meta.url)),
  runtimeDir: mkdtempSync(join(tmpdir(), "islt-unit-run-")),
  facts: hostFacts("v1"),
};

const wholes = createWholes(maxConfig);

after(() => {
  assert.deepEqual(readdirSync(join(host.runtimeDir, "making")), [], "nothing is being made any more");
  rmSync(host.runtimeDir, { recursive: true });
});

function storeOf(t: TestContext): { readonly path: string; readonly id: (name: string) => ContainerId } {
  const path = mkdtempSync(join(tmpdir(), "islt-unit-store-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return { path, id: (name) => ({ storePath: path, name }) };
}

const code =
  (wanted: ErrorCode) =>
  (error: unknown): boolean =>
    error instanceof Error && "code" in error && error.code === wanted;

test("a file is written whole or not at all, with its mode, and nothing is left beside it", (t) => {
  const { path } = storeOf(t);
  const file = join(path, "config");
  writeWhole(file, "one\n", 0o640);
  const before = statSync(file);
  writeWhole(file, "two\n", 0o640);
  assert.deepEqual([readFileSync(file, "utf8"), readdirSync(path)], ["two\n", ["config"]]);
  assert.notEqual(statSync(file).ino, before.ino, "a new file took the name");
  assert.equal(before.mode & 0o777, 0o640);
  assert.throws(() => writeWhole(join(path, "absent/config"), "x", 0o640), code("ISLET_IO"));
  mkdirSync(join(path, "directory"));
  assert.throws(() => writeWhole(join(path, "directory"), "x", 0o640), code("ISLET_IO"));
  assert.deepEqual(readdirSync(path).sort(), ["config", "directory"]);
});

test("a link that lies in the way of the temporary file is not followed", (t) => {
  const { path } = storeOf(t);
  const victim = join(path, "victim");
  writeFileSync(victim, "mine");
  symlinkSync(victim, join(path, `config.islet-${process.pid}`));
  assert.throws(() => writeWhole(join(path, "config"), "x", 0o640), code("ISLET_IO"));
  assert.equal(readFileSync(victim, "utf8"), "mine");
});

test("containers are the directories with a config, sorted; one under construction is not there yet", (t) => {
  const { path } = storeOf(t);
  for (const name of ["web", "db", "Z", "half", ".hidden", "empty"]) mkdirSync(join(path, name));
  for (const name of ["web", "db", "Z", "half", ".hidden"]) writeFileSync(join(path, name, "config"), "");
  writeFileSync(join(path, "half/partial"), "");
  writeFileSync(join(path, "file"), "");
  assert.deepEqual(definedNames(path, wholes), ["Z", "db", "web"]);
  assert.deepEqual([definedNames(join(path, "absent"), wholes), definedNames(join(path, "file"), wholes)], [[], []]);
});

test("a construction is busy for others until it is finished; then the container is there", async (t) => {
  const { path, id } = storeOf(t);
  const made = beginConstruction(host, id("web"));
  writeFileSync(join(made.directory, "config"), "# new\n");
  assert.deepEqual(definedNames(path, wholes), []);
  assert.throws(() => beginConstruction(host, id("web")), code("ISLET_EXISTS"));
  await assert.rejects(readConfigText(host, id("web")), code("ISLET_PARTIAL"));
  made.finish();
  assert.equal((await readConfigText(host, id("web")))?.text, "# new\n");
  assert.deepEqual(definedNames(path, wholes), ["web"]);
});

test("a construction that is given up leaves nothing", async (t) => {
  const { path, id } = storeOf(t);
  const made = beginConstruction(host, id("web"));
  mkdirSync(join(made.directory, "rootfs/etc"), { recursive: true });
  await made.abandon();
  assert.deepEqual(readdirSync(path), []);
});

test("what a creator that died has left is removed by whoever looks next", async (t) => {
  const { path, id } = storeOf(t);
  mkdirSync(join(path, "web/rootfs"), { recursive: true });
  writeFileSync(join(path, "web/config"), "# half\n");
  writeFileSync(join(path, "web/partial"), "");
  assert.equal(await readConfigText(host, id("web")), null);
  assert.ok(!existsSync(join(path, "web")));
});

test("a directory that is no container is not taken over, and not removed", (t) => {
  const { path, id } = storeOf(t);
  mkdirSync(join(path, "web"));
  writeFileSync(join(path, "web/precious"), "");
  assert.throws(() => beginConstruction(host, id("web")), /exists already and is not a container/);
  assert.ok(existsSync(join(path, "web/precious")));
});

test("an empty directory is used, and is there again if nothing comes of it", async (t) => {
  const { path, id } = storeOf(t);
  mkdirSync(join(path, "web/lost+found"), { recursive: true });
  const first = beginConstruction(host, id("web"));
  writeFileSync(join(path, "web/config"), "");
  assert.throws(() => beginConstruction(host, id("web")), code("ISLET_EXISTS"));
  await first.abandon();
  assert.deepEqual(readdirSync(join(path, "web")), ["lost+found"]);
  const second = beginConstruction(host, id("web"));
  second.finish();
  assert.deepEqual(readdirSync(join(path, "web")), ["lost+found"]);
});

test("a store that cannot be made is an error at once", () => {
  assert.throws(() => beginConstruction(host, { storePath: "/proc/nowhere/deep", name: "web" }), code("ISLET_IO"));
});

test("names that would leave the store are refused before anything is touched", async (t) => {
  const { path, id } = storeOf(t);
  for (const name of ["", ".", "..", "a/b", "../x", "x\ny", "n".repeat(201)]) {
    assert.throws(() => beginConstruction(host, id(name)), code("ISLET_BAD_NAME"), name);
    await assert.rejects(readConfigText(host, id(name)), code("ISLET_BAD_NAME"));
  }
  assert.deepEqual(readdirSync(path), []);
});

test("a config is a plain file of a sensible size, or none", async (t) => {
  const { path, id } = storeOf(t);
  mkdirSync(join(path, "web/config"), { recursive: true });
  await assert.rejects(readConfigText(host, id("web")), code("ISLET_BAD_CONFIG"));
  assert.equal(await readConfigText(host, id("absent")), null);
});

test("a lock belongs to one open file: another opening of the same process does not get it", (t) => {
  const { path } = storeOf(t);
  const file = join(path, "lock");
  const first = openSync(file, "w+");
  const second = openSync(file, "r+");
  assert.deepEqual(
    [tryLock(currentArch, first, "exclusive"), tryLock(currentArch, second, "exclusive")],
    [true, false],
  );
  closeSync(first);
  assert.equal(tryLock(currentArch, second, "exclusive"), true);
  closeSync(second);
});

test("a tree is removed without following any link out of it", async (t) => {
  const { path } = storeOf(t);
  const outside = join(path, "outside");
  mkdirSync(join(outside, "sub"), { recursive: true });
  writeFileSync(join(outside, "sub/kept"), "");
  const tree = join(path, "tree");
  mkdirSync(join(tree, "a/b"), { recursive: true });
  writeFileSync(join(tree, "a/b/file"), "");
  symlinkSync(outside, join(tree, "a/link-to-directory"));
  symlinkSync("/nonexistent", join(tree, "a/dangling"));
  symlinkSync(outside, join(path, "itself-a-link"));
  await removeTree(host, tree);
  await removeTree(host, join(path, "itself-a-link"));
  await removeTree(host, join(path, "never-there"));
  assert.deepEqual(readdirSync(path), ["outside"]);
  assert.ok(existsSync(join(outside, "sub/kept")));
});

test("another file system in a tree stops its removal and keeps all it has", (t) => {
  if (lacks(t, "root")) return;
  const { path } = storeOf(t);
  mkdirSync(join(path, "tree/mnt"), { recursive: true });
  // In a mount namespace of its own, so that no mount of this test can stay behind.
  const script = `mount -t tmpfs islt "$1/tree/mnt" && touch "$1/tree/mnt/kept" && "$2" --input-type=module -e '
    const { removeTree } = await import(process.argv[1]);
    await removeTree(JSON.parse(process.argv[3]), process.argv[2]).then(() => console.log("removed"), (error) => console.log(error.message));
  ' "$3" "$1/tree" "$4"; ls "$1/tree/mnt"`;
  const said = execFileSync("unshare", [
    "-m",
    "sh",
    "-c",
    script,
    "sh",
    path,
    process.execPath,
    import.meta.resolve("../../../src/storage/tree.js"),
    JSON.stringify(host),
  ]).toString();
  assert.equal(said, `cannot remove tree/mnt: something is mounted there (in ${path})\nkept\n`);
});
