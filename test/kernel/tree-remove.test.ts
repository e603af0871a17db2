import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { IsletError } from "../../src/base/errors.js";
import { removeTree } from "../../src/storage/tree.js";
import { currentArch } from "../support/image.js";
import { root } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { makeNasty, placeOf, sh } from "../support/tree.js";

const host = { arch: currentArch, binary: join(root, "build/islet") };

test("a tree is removed whatever is in it, and nothing that it points to", async (t) => {
  if (lacks(t, "root")) return;
  const place = placeOf(t);
  makeNasty(join(place, "tree"));
  mkdirSync(join(place, "outside"));
  writeFileSync(join(place, "outside/kept"), "");
  symlinkSync(join(place, "outside"), join(place, "tree/a/link"));
  symlinkSync(join(place, "outside"), join(place, "link"));
  const totals = await removeTree(host, join(place, "tree"));
  assert.ok(totals.files > 3040);
  await removeTree(host, join(place, "link"));
  await removeTree(host, join(place, "link"));
  await removeTree(host, join(place, "never/there"));
  assert.deepEqual(readdirSync(place), ["outside"]);
  assert.ok(existsSync(join(place, "outside/kept")));
});

test("an immutable or append-only directory is removed at the top, too", async (t) => {
  if (lacks(t, "root")) return;
  const place = placeOf(t);
  sh('mkdir -p "$1/one/sub" "$1/two"; echo x > "$1/one/sub/file"; chattr -R +i "$1/one"; chattr +a "$1/two"', place);
  await removeTree(host, join(place, "one"));
  await removeTree(host, join(place, "two"));
  assert.deepEqual(readdirSync(place), []);
});

/** In a mount namespace of its own, so that no mount of a test can stay behind. */
function removeAmidMounts(path: string, before: string, after: string): string {
  const script = `${before}
"$2" --input-type=module -e '
    const { removeTree } = await import(process.argv[1]);
    const host = JSON.parse(process.argv[2]);
    await removeTree(host, process.argv[3]).then(() => console.log("removed"), (error) => console.log(error.message, error.hint, error.errno));
  ' "$3" "$4" "$1/tree"
${after}`;
  return sh(
    'exec unshare -m sh -e -c "$@"',
    script,
    "sh",
    path,
    process.execPath,
    import.meta.resolve("../../src/storage/tree.js"),
    JSON.stringify(host),
  );
}

test("a file system mounted in a tree stops its removal before anything is touched", (t) => {
  if (lacks(t, "root")) return;
  const place = placeOf(t);
  mkdirSync(join(place, "tree/a/b c\nd"), { recursive: true });
  writeFileSync(join(place, "tree/file"), "");
  const said = removeAmidMounts(
    place,
    'mount -t tmpfs islt "$1/tree/a/b c\nd" && touch "$1/tree/a/b c\nd/kept"',
    'find "$1/tree" -type f -printf "%f\\n" | sort',
  );
  assert.equal(
    said,
    `cannot remove tree/a/b c\\x0ad: something is mounted there (in ${place}) unmount it first EBUSY\nfile\nkept\n`,
  );
});

test("a file that something is bound on stops it, too", (t) => {
  if (lacks(t, "root")) return;
  const place = placeOf(t);
  mkdirSync(join(place, "tree"));
  writeFileSync(join(place, "tree/file"), "");
  writeFileSync(join(place, "other"), "");
  const said = removeAmidMounts(place, 'mount --bind "$1/other" "$1/tree/file"', 'ls "$1" "$1/tree"');
  assert.match(said, /^cannot remove tree\/file: something is mounted there .* EBUSY\n/);
  assert.ok(existsSync(join(place, "tree/file")) && existsSync(join(place, "other")));
});

test("what cannot be removed is named", async (t) => {
  await assert.rejects(
    removeTree(host, "/proc/self/status"),
    (error) => error instanceof IsletError && error.code === "ISLET_PERMISSION" && error.errno === "EPERM",
  );
  await assert.rejects(removeTree(host, "/"), /nothing to be removed/);
  await assert.rejects(removeTree(host, `${placeOf(t)}/..`), /nothing to be removed/);
});
