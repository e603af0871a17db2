import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { copyTree, removeTree, shiftTree } from "../../src/storage/tree.js";
import { cleanup } from "../support/cleanup.js";
import { currentArch } from "../support/image.js";
import { root } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { placeOf, sh } from "../support/tree.js";

const host = { arch: currentArch, binary: join(root, "build/islet") };

/** Directories and files of a tree and links out of it that change places all the time (renameat2(2), RENAME_EXCHANGE is 2). */
const exchange = `
import ctypes, os, sys, itertools
libc = ctypes.CDLL(None)
tree, outside = sys.argv[1:3]
os.chdir(tree)
pairs = []
for i in range(8):
    os.makedirs("d%d/sub" % i); open("d%d/sub/file" % i, "w").write("mine"); open("f%d" % i, "w").write("mine")
    os.symlink(outside, "l%d" % i); os.symlink(outside + "/secret", "m%d" % i); os.mkfifo("p%d" % i)
    for a, b in (("d", "l"), ("f", "m"), ("f", "p"), ("d", "m"), ("f", "d")):
        pairs.append(((a + str(i)).encode(), (b + str(i)).encode()))
print("ready", flush=True)
for a, b in itertools.cycle(pairs):
    if libc.renameat2(-100, a, -100, b, 2) < 0 and not os.path.lexists(tree): break
`;

async function attack(t: TestContext, name: string): Promise<{ tree: string; outside: string; place: string }> {
  let attacker: ChildProcess | null = null;
  // Before the directory is removed.
  cleanup(t)(() => void attacker?.kill("SIGKILL"));
  const place = placeOf(t);
  const [tree, outside] = [join(place, name), join(place, "outside")];
  mkdirSync(tree);
  sh('mkdir -p "$1/sub"; echo secret > "$1/secret"; echo secret > "$1/sub/file"', outside);
  const { stdout } = (attacker = spawn("python3", ["-c", exchange, tree, outside], {
    stdio: ["ignore", "pipe", "ignore"],
  }));
  await new Promise((resolve) => stdout.once("data", resolve));
  return { tree, outside, place };
}

const stateOf = (outside: string): string =>
  sh('find "$1" -printf "%P %u %g %m %n %s\\n" | sort; cat "$1/secret" "$1/sub/file"', outside);

test("links that take the place of directories and files let no copy read outside", async (t) => {
  if (lacks(t, "root")) return;
  const { tree, outside, place } = await attack(t, "tree");
  const before = stateOf(outside);
  const end = performance.now() + 3000;
  while (performance.now() < end) {
    const to = mkdtempSync(join(place, "to-"));
    await copyTree(host, { from: tree, to });
    assert.equal(sh('grep -rl secret "$1" || true', to), "");
    for (const name of readdirSync(to)) {
      const path = join(to, name);
      if (statSync(path, { throwIfNoEntry: false })?.isFile() === true && name.startsWith("f"))
        assert.match(sh('[ -L "$1" ] || cat "$1"', path), /^(mine)?$/);
    }
    await removeTree(host, to);
  }
  assert.equal(stateOf(outside), before);
});

test("links that take the place of directories let no removal and no change of owner out", async (t) => {
  if (lacks(t, "root")) return;
  const { tree, outside } = await attack(t, "tree");
  const before = stateOf(outside);
  const map = (["uid", "gid"] as const).map((type) => ({ type, inside: 0, outside: 100000, count: 65536, at: null }));
  const end = performance.now() + 2000;
  while (performance.now() < end) {
    await shiftTree(host, { tree, from: [], to: map });
    await shiftTree(host, { tree, from: map, to: [], unmapped: "keep" });
    assert.equal(stateOf(outside), before);
  }
  await removeTree(host, tree);
  assert.equal(stateOf(outside), before);
  assert.equal(readFileSync(join(outside, "secret"), "utf8"), "secret\n");
});
