import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { IsletError } from "../../src/base/errors.js";
import { type TreeTotals, copyTree, removeTree } from "../../src/storage/tree.js";
import { cleanup } from "../support/cleanup.js";
import { currentArch } from "../support/image.js";
import { root } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { blocksOf, differencesOf, makeNasty, mountFile, placeOf, sh } from "../support/tree.js";
import { waitFor } from "../support/wait.js";

const host = { arch: currentArch, binary: join(root, "build/islet") };

/** Two directories, the second one there and empty. */
function twoOf(t: TestContext): readonly [from: string, to: string, place: string] {
  const place = placeOf(t);
  mkdirSync(join(place, "to"));
  return [join(place, "from"), join(place, "to"), place];
}

test("a copy has everything that the original has", async (t) => {
  if (lacks(t, "root")) return;
  const [from, to] = twoOf(t);
  makeNasty(from);
  const totals = await copyTree(host, { from, to });
  assert.equal(differencesOf(from, to), "");
  assert.ok(totals.files > 3040 && totals.bytes > 5 << 20, JSON.stringify(totals));
  assert.ok(Math.abs(blocksOf(from) - blocksOf(to)) <= 64, "holes are still holes");
  assert.equal(statSync(join(to, "a/one")).ino, statSync(join(to, "d/three")).ino);
  assert.equal(readdirSync(join(to, "deep-end")).length, 3000);
});

for (const type of ["btrfs", "xfs"]) {
  test(`on ${type} a copy shares its data with the original`, async (t) => {
    if (lacks(t, "root")) return;
    const at = mountFile(placeOf(t), type, 400);
    const [from, to] = [join(at, "from"), join(at, "to")];
    makeNasty(from);
    sh('dd if=/dev/urandom of="$1/huge" bs=1M count=64 2>/dev/null; sync', from);
    mkdirSync(to);
    const before = statfsSync(at);
    await copyTree(host, { from, to, sync: true });
    const after = statfsSync(at);
    assert.equal(differencesOf(from, to), "");
    const used = (before.bfree - after.bfree) * before.bsize;
    assert.ok(used < 32 << 20, `${used} bytes for a copy of 69 MiB`);
    if (type === "btrfs") {
      sh('btrfs subvolume create "$1/sub" >/dev/null; btrfs subvolume create "$1/sub/below" >/dev/null', to);
      sh(
        'echo x > "$1/sub/below/file"; btrfs property set "$1/sub/below" ro true; btrfs property set "$1/sub" ro true',
        to,
      );
    }
    await removeTree(host, to);
    assert.deepEqual(readdirSync(at).sort(), ["from"]);
  });
}

test("from one file system to another, a copy is the same, too", async (t) => {
  if (lacks(t, "root")) return;
  const place = placeOf(t);
  const [from, to] = [join(place, "from"), mountFile(place, "ext4", 100)];
  makeNasty(from);
  await copyTree(host, { from, to });
  // A new file system has a directory that the original has not.
  await removeTree(host, join(to, "lost+found"));
  sh('touch -r "$1" "$2"', from, to);
  assert.equal(differencesOf(from, to), "");
});

test("a full disk ends a copy with one line that says how much room there is", async (t) => {
  if (lacks(t, "root")) return;
  const place = placeOf(t);
  const [from, to] = [join(place, "from"), mountFile(place, "ext4", 20)];
  mkdirSync(from);
  sh('cd "$1"; for i in $(seq 60); do head -c 1000000 /dev/urandom > "$i"; done', from);
  await assert.rejects(copyTree(host, { from, to }), (error) => {
    assert.ok(error instanceof IsletError);
    assert.match(error.message, /^cannot copy \d+: No space left on device \(in .*ext4\)$/);
    assert.deepEqual([error.code, error.errno], ["ISLET_IO", "ENOSPC"]);
    assert.match(error.hint ?? "", / are free there; make room and try again$/);
    return true;
  });
});

test("a copy into a directory that is not empty is refused", async (t) => {
  if (lacks(t, "root")) return;
  const [from, to] = twoOf(t);
  mkdirSync(from);
  writeFileSync(join(to, "here"), "");
  await assert.rejects(copyTree(host, { from, to }), /cannot copy into the directory: it is not empty/);
  assert.deepEqual(readdirSync(to), ["here"]);
});

test("neither end may be a link", async (t) => {
  if (lacks(t, "root")) return;
  const [from, to, place] = twoOf(t);
  mkdirSync(from);
  sh('ln -s "$1/from" "$1/from-link"; ln -s "$1/to" "$1/to-link"', place);
  await assert.rejects(copyTree(host, { from: `${from}-link`, to }), /cannot open the directory .*from-link/);
  await assert.rejects(copyTree(host, { from, to: `${to}-link` }), /cannot open the directory .*to-link/);
});

test("what is left out is left out with all below it, and only that", async (t) => {
  if (lacks(t, "root")) return;
  const [from, to] = twoOf(t);
  sh('mkdir -p "$1/a/b/c" "$1/ab/b" "$1/b"; touch "$1/a/b/x" "$1/a/bb" "$1/a/y" "$1/b/x" "$1/x"', from);
  await copyTree(host, { from, to, leaveOut: ["a/b", "x", "b/y"] });
  assert.equal(sh('cd "$1"; find . | sort', to), ".\n./a\n./a/bb\n./a/y\n./ab\n./ab/b\n./b\n./b/x\n");
  await assert.rejects(copyTree(host, { from, to, leaveOut: ["/a"] }), /not a path below/);
});

test("what is mounted in a tree stays where it is: its place is an empty directory or file", async (t) => {
  if (lacks(t, "root")) return;
  const [from, to] = twoOf(t);
  sh(
    `mkdir -p "$1/mnt" "$1/bound"; touch "$1/file" "$1/other"; echo secret > "$1/other"; mount -t tmpfs islt "$1/mnt"; touch "$1/mnt/secret"
mount --bind "$1/mnt" "$1/bound"; mount --bind "$1/other" "$1/file"`,
    from,
  );
  await copyTree(host, { from, to });
  assert.equal(
    sh('cd "$1"; find . -type d -empty | sort; stat -c "%n %s" file other', to),
    "./bound\n./mnt\nfile 0\nother 7\n",
  );
});

test("a copy tells how far it is, and can be given up", async (t) => {
  if (lacks(t, "root")) return;
  const [from, to] = twoOf(t);
  mkdirSync(from);
  sh('cd "$1"; for i in $(seq 40); do mkdir $i; truncate -s 4M $i/f; head -c 4000000 /dev/urandom > $i/g; done', from);
  const told: TreeTotals[] = [];
  const enough = new AbortController();
  const copy = copyTree(
    host,
    { from, to, threads: 1 },
    {
      progress: (sofar) => {
        told.push(sofar);
        enough.abort();
      },
      signal: enough.signal,
    },
  );
  const outcome = await copy.then(
    () => "finished",
    (error: unknown) => (error instanceof Error ? error.name : ""),
  );
  // On a quick machine it is over before a tenth of a second.
  if (told.length > 0) assert.equal(outcome, "AbortError");
  await removeTree(host, to);
  assert.ok(!existsSync(to));
  await assert.rejects(copyTree(host, { from, to: from }, { signal: AbortSignal.abort() }), /abort/i);
});

test("it ends with the process that wanted it", async (t) => {
  if (lacks(t, "root")) return;
  let parent: ChildProcess | null = null;
  // Before the directory is removed.
  cleanup(t)(() => void parent?.kill("SIGKILL"));
  const [from, to, place] = twoOf(t);
  sh('mkdir "$1"; cd "$1"; for i in $(seq 1500); do head -c 100000 /dev/zero > $i; done', from);
  const script = `import { copyTree } from ${JSON.stringify(import.meta.resolve("../../src/storage/tree.js"))};
    await copyTree(${JSON.stringify(host)}, { from: ${JSON.stringify(from)}, to: ${JSON.stringify(to)} });`;
  const child = (parent = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "ignore" }));
  const busy = (): readonly string[] =>
    readdirSync("/proc").filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
        return words[1] === "tree" && words.includes(`parent=${child.pid ?? 0}`);
      } catch {
        return false;
      }
    });
  await waitFor("a copy", () => busy().length === 1 && readdirSync(to).length > 0);
  child.kill("SIGKILL");
  await waitFor("its end", () => busy().length === 0);
  await removeTree(host, place);
});

test("a tree that changes all the time is copied, with what is there", async (t) => {
  if (lacks(t, "root")) return;
  let churn: ChildProcess | null = null;
  // Before the directory is removed.
  cleanup(t)(() => {
    if (churn?.pid !== undefined) process.kill(-churn.pid, "SIGKILL");
  });
  const [from, , place] = twoOf(t);
  sh(
    'mkdir -p "$1/a/b"; printf first > "$1/a/b/two"; ln "$1/a/b/two" "$1/one"; head -c 2000000 /dev/urandom > "$1/large"',
    from,
  );
  churn = spawn(
    "sh",
    [
      "-c",
      `cd "$1"; while :; do
  for i in 1 2 3 4 5 6 7 8 9; do mkdir -p n$i/m; echo $i > n$i/m/f; ln -f n$i/m/f n$i/g; truncate -s \${i}00K n$i/big; truncate -s 5K n$i/big; ln -sfn nowhere n$i/l; mv n$i/m n$i/k; rm -rf n$i/k; mkfifo n$i/k; done
  rm -rf n?; rm -f large2; cp large large2; : > large2; done`,
      "sh",
      from,
    ],
    { stdio: "ignore", detached: true },
  );
  const end = performance.now() + 4000;
  for (let round = 0; round < 30 && performance.now() < end; round++) {
    const to = join(place, `to-${round}`);
    mkdirSync(to);
    await copyTree(host, { from, to });
    assert.equal(readFileSync(join(to, "a/b/two"), "utf8"), "first");
    await removeTree(host, to);
  }
});

test("depth is no limit, and neither are open files", async (t) => {
  if (lacks(t, "root")) return;
  const [from, to] = twoOf(t);
  mkdirSync(from);
  const levels = 5000;
  // Each level with two directories and a file.
  sh(
    `cd "$1"; exec python3 -c '
import os
for i in range(${levels}):
    os.mkdir("other"); os.mkdir("d"); open("other/f", "w").close(); os.chdir("d")
open("bottom", "w").close()'`,
    from,
  );
  const { binary } = host;
  sh('ulimit -n 300; exec "$1" tree copy 3<"$2" 4<"$3" 5>/dev/null', binary, from, to);
  const count = `cd "$1"; exec python3 -c '
import os
n = 0
while os.path.isdir("d"):
    assert os.listdir("other") == ["f"]
    n += 1; os.chdir("d")
print(n, os.listdir("."))'`;
  assert.equal(sh(count, to), `${levels} ['bottom']\n`);
  sh('ulimit -n 300; exec "$1" tree shift from= to=b:0:100000:65536 3<"$2" 5>/dev/null', binary, to);
  assert.equal(sh(count.replace("n, os", 'os.stat("bottom").st_uid, os'), to), "100000 ['bottom']\n");
  sh(
    'cd "$3"; ulimit -n 300; for name in from to; do "$1" tree remove "name=$name" 3<"$2" 5>/dev/null; done',
    binary,
    join(to, ".."),
    "/",
  );
  assert.deepEqual(readdirSync(join(from, "..")), []);
});
