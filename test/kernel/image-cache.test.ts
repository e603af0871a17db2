import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { cleanup, type Cleaner } from "../support/cleanup.js";
import { programOf } from "../support/command.js";
import { type Instance, instance } from "../support/instance.js";
import { testDir } from "../support/paths.js";
import { waitFor } from "../support/wait.js";

/** Images that are made once and copied, with a program in mmdebstrap's place that makes next to nothing and counts. */

const fake = `#!/bin/sh
here=$(dirname "$0")
for word; do case $word in --*) ;; *) [ -n "$suite" ] && root=$word && break; suite=$word;; esac; done
echo $$ >>"$here/runs"
mkdir -p "$root/bin" "$root/sbin" "$root/etc/network" "$root/etc/apt" "$root/usr/lib" "$root/lib" "$root/tmp" "$root/dev" "$root/proc" "$root/sys" "$root/root"
cp /bin/busybox "$root/bin/"; ln -sf ../bin/busybox "$root/sbin/init"; ln -sf busybox "$root/bin/sh"
echo run >"$root/etc/made"; chown 33:33 "$root/etc/made"
printf 'root:x:0:0:root:/root:/bin/sh\\n' >"$root/etc/passwd"; printf 'root:*:1::::::\\n' >"$root/etc/shadow"; printf 'root:x:0:\\n' >"$root/etc/group"
[ ! -e "$here/fill" ] || dd if=/dev/urandom of="$root/big" bs=1M count=64 || exit 1
[ ! -e "$here/fail" ] || { echo "E: the archive is on fire" >&2; exit 1; }
touch "$here/midway"
while [ -e "$here/wait" ]; do sleep 0.05; done
echo whole >"$root/etc/whole"
`;

interface Place {
  readonly islet: Instance;
  readonly cache: string;
  /** Files here tell the program what to do: wait, fail, fill. */
  readonly control: string;
  readonly runs: () => number;
  readonly create: (name: string, ...more: readonly string[]) => readonly string[];
}

async function place(t: Cleaner, prepare: (cache: string) => () => void = () => () => undefined): Promise<Place> {
  const control = mkdtempSync(join(testDir, "islt-images-"));
  chmodSync(control, 0o755);
  const cache = join(control, "cache");
  mkdirSync(cache, { mode: 0o700 });
  const undo = prepare(cache);
  const program = join(control, "mmdebstrap");
  writeFileSync(program, fake, { mode: 0o755 });
  const defer = cleanup(t);
  defer(() => {
    undo();
    rmSync(control, { recursive: true, force: true });
  });
  const env = { PATH: `${control}:${process.env["PATH"] ?? ""}`, ISLET_IMAGE_CACHE: cache };
  const islet = await instance(t, { env });
  const runs = (): number =>
    existsSync(join(control, "runs")) ? readFileSync(join(control, "runs"), "utf8").trim().split("\n").length : 0;
  const create = (name: string, ...more: readonly string[]): readonly string[] => [
    "lxc-create",
    ...islet.store.at(name),
    "-t",
    "debian",
    ...more,
    "--",
    "-r",
    "bookworm",
  ];
  return { islet, cache, control, runs, create };
}

const rootOf = ({ islet }: Place, name: string): string => join(islet.store.path, name, "rootfs");
const visible = ({ cache }: Place): readonly string[] => readdirSync(cache).filter((name) => !name.startsWith("."));
/** Directories that are on their way, in or out. */
const halfMade = ({ cache }: Place): readonly string[] =>
  [".making", ".gone"].flatMap((name) => readdirSync(join(cache, name)).filter((each) => !each.endsWith(".lock")));

/** A create in the background, with what it says. */
function begin(
  where: Place,
  argv: readonly string[],
): { readonly pid: number; readonly ended: Promise<{ status: number | null; text: string }> } {
  const [name = "", ...words] = argv;
  const child = spawn(programOf(name), words, {
    env: { ...process.env, ISLET_RUNTIME_DIR: where.islet.runtimeDir },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
  return {
    pid: child.pid ?? 0,
    ended: new Promise((resolve) => {
      child.on("close", (status) => {
        resolve({ status, text });
      });
    }),
  };
}

const midway = async ({ control }: Place): Promise<void> => {
  await waitFor("an image half made", () => existsSync(join(control, "midway")));
};

describe("the image cache", () => {
  it("makes an image once, and containers of it by copying", async (t) => {
    const where = await place(t);
    const { islet } = where;
    await islet.ok(where.create("one"));
    await islet.ok(where.create("two"));
    assert.equal(where.runs(), 1);
    assert.equal(readFileSync(join(rootOf(where, "two"), "etc/whole"), "utf8"), "whole\n");
    assert.equal(statSync(join(rootOf(where, "two"), "etc/made")).uid, 33);
    assert.equal(readFileSync(join(rootOf(where, "two"), "etc/hostname"), "utf8").trim(), "two");
    assert.deepEqual(halfMade(where), []);
    assert.equal(statSync(where.cache).mode & 0o777, 0o700);
    const [image = ""] = visible(where);
    assert.ok(!existsSync(join(where.cache, image, "rootfs/etc/hostname")), "the image itself stays as it was made");
  });

  it("makes an image once for two that want it at the same time", async (t) => {
    const where = await place(t);
    writeFileSync(join(where.control, "wait"), "");
    const first = begin(where, where.create("one"));
    await midway(where);
    const second = begin(where, where.create("two"));
    await new Promise((resolve) => setTimeout(resolve, 300));
    rmSync(join(where.control, "wait"));
    for (const { ended } of [first, second]) assert.equal((await ended).status, 0, (await ended).text);
    assert.equal(where.runs(), 1);
    assert.ok(existsSync(join(rootOf(where, "two"), "etc/whole")));
  });

  it("lets the one that waits take over when the first fails", async (t) => {
    const where = await place(t);
    writeFileSync(join(where.control, "wait"), "");
    const first = begin(where, where.create("one"));
    await midway(where);
    const second = begin(where, where.create("two"));
    await new Promise((resolve) => setTimeout(resolve, 300));
    process.kill(first.pid, "SIGINT");
    assert.notEqual((await first.ended).status, 0);
    await waitFor("the second run", () => where.runs() === 2);
    rmSync(join(where.control, "wait"));
    const { status, text } = await second.ended;
    assert.equal(status, 0, text);
    assert.ok(!existsSync(join(where.islet.store.path, "one")));
  });

  for (const signal of ["SIGINT", "SIGKILL"] as const)
    it(`keeps nothing of a create that got ${signal}, and none of its programs`, async (t) => {
      const where = await place(t);
      writeFileSync(join(where.control, "wait"), "");
      const first = begin(where, where.create("one"));
      await midway(where);
      process.kill(first.pid, signal);
      await first.ended;
      const pids = readFileSync(join(where.control, "runs"), "utf8").trim();
      await waitFor("the end of what it started", () => !isRunning(where.control));
      await waitFor(
        "the removal",
        () => halfMade(where).length === 0 && !existsSync(join(where.islet.store.path, "one")),
      );
      assert.deepEqual(visible(where), [], pids);
      rmSync(join(where.control, "wait"));
      await where.islet.ok(where.create("two"));
    });

  it("keeps nothing of what a killed daemon was making", async (t) => {
    const where = await place(t);
    writeFileSync(join(where.control, "wait"), "");
    const first = begin(where, where.create("one"));
    await midway(where);
    assert.equal(halfMade(where).length, 1);
    await where.islet.restart();
    await waitFor("the end of what it started", () => !isRunning(where.control));
    await first.ended;
    rmSync(join(where.control, "wait"));
    assert.deepEqual(visible(where), []);
    await where.islet.ok(where.create("two"));
    assert.deepEqual(halfMade(where), []);
    assert.equal(visible(where).length, 1);
    assert.equal(where.runs(), 2);
  });

  it("removes with prune what a killed daemon was making", async (t) => {
    const where = await place(t);
    writeFileSync(join(where.control, "wait"), "");
    const first = begin(where, where.create("one"));
    await midway(where);
    await where.islet.restart();
    await first.ended;
    await waitFor("the end of what it started", () => !isRunning(where.control));
    assert.equal(await where.islet.ok(["islet", "images", "prune"]), "");
    assert.deepEqual(halfMade(where), []);
  });

  it("keeps nothing of a failure but its reason", async (t) => {
    const where = await place(t);
    writeFileSync(join(where.control, "fail"), "");
    const { status, stderr } = await where.islet.command(where.create("one"));
    assert.equal(status, 1);
    assert.match(stderr, /on fire/);
    assert.deepEqual(
      [visible(where), halfMade(where), existsSync(join(where.islet.store.path, "one"))],
      [[], [], false],
    );
  });

  it("keeps nothing when the disk is full", async (t) => {
    const where = await place(t, (cache) => {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=32m,mode=0700", "islt", cache]);
      return () => execFileSync("umount", ["-l", cache]);
    });
    writeFileSync(join(where.control, "fill"), "");
    const { status, stderr } = await where.islet.command(where.create("one"));
    assert.notEqual(status, 0);
    assert.match(stderr, /full|No space left/);
    assert.deepEqual(
      [visible(where), halfMade(where), existsSync(join(where.islet.store.path, "one"))],
      [[], [], false],
    );
  });
});

describe("islet images", () => {
  it("lists what there is, and removes what is not used", async (t) => {
    const where = await place(t);
    const { islet } = where;
    assert.equal(await islet.ok(["islet", "images"]), "");
    await islet.ok(where.create("one"));
    const [image = ""] = visible(where);
    const text = await islet.ok(["islet", "images"]);
    assert.match(text, new RegExp(`^NAME .*\\n${image.replaceAll("+", "\\+")} .*bookworm.*\\d{4}-\\d\\d-\\d\\d`));
    const [row] = JSON.parse(await islet.ok(["islet", "images", "list", "--format=json"])) as readonly Record<
      string,
      unknown
    >[];
    assert.deepEqual([row?.["name"], row?.["release"], row?.["isBusy"]], [image, "bookworm", false]);
    assert.ok(Number(row?.["bytes"]) > 1_000_000);
    assert.equal(await islet.ok(["islet", "images", "prune"]), "");
    const old = Date.now() / 1000 - 31 * 24 * 3600;
    utimesSync(join(where.cache, image, "used"), old, old);
    await islet.ok(where.create("two"));
    assert.equal(await islet.ok(["islet", "images", "prune"]), "", "it has just been used");
    utimesSync(join(where.cache, image, "used"), old, old);
    assert.equal(await islet.ok(["islet", "images", "prune"]), `${image}\n`);
    assert.deepEqual(visible(where), []);
    assert.ok(existsSync(join(rootOf(where, "one"), "etc/whole")));
  });

  it("makes an image anew, and keeps the old one when that fails", async (t) => {
    const where = await place(t);
    const { islet } = where;
    await islet.ok(where.create("one"));
    const [image = ""] = visible(where);
    const before = statSync(join(where.cache, image)).ino;
    writeFileSync(join(where.control, "fail"), "");
    assert.notEqual((await islet.command(["islet", "images", "refresh", image])).status, 0);
    assert.equal(statSync(join(where.cache, image)).ino, before);
    await islet.ok(where.create("two"));
    rmSync(join(where.control, "fail"));
    await islet.ok(["islet", "images", "refresh", "--all"]);
    assert.notEqual(statSync(join(where.cache, image)).ino, before);
    assert.equal(where.runs(), 3);
    assert.deepEqual([visible(where), halfMade(where)], [[image], []]);
  });

  it("leaves an image alone that is being copied", async (t) => {
    const where = await place(t);
    const { islet } = where;
    await islet.ok(where.create("one"));
    const [image = ""] = visible(where);
    // A reader of our own, with the lock that a copy has.
    const used = join(where.cache, image, "used");
    const script = `import fcntl,struct,sys; f=open(sys.argv[1]); fcntl.fcntl(f,37,struct.pack("hhqqi4x",0,0,0,0,0)); print("held",flush=True); sys.stdin.read()`;
    const holder = spawn("python3", ["-c", script, used], { stdio: ["pipe", "pipe", "inherit"] });
    await new Promise((resolve) => holder.stdout.once("data", resolve));
    try {
      const { status, stderr } = await islet.command(["islet", "images", "delete", image]);
      assert.equal(status, 1);
      assert.match(stderr, /in use/);
      assert.match(await islet.ok(["islet", "images"]), /\*/);
      await islet.ok(["islet", "images", "refresh", image]);
      assert.equal(halfMade(where).length, 1, "the old one is still being copied");
    } finally {
      holder.stdin.end();
      await new Promise((resolve) => holder.once("close", resolve));
    }
    await islet.ok(["islet", "images", "prune"]);
    assert.deepEqual([visible(where), halfMade(where)], [[image], []]);
    await islet.ok(["islet", "images", "delete", image]);
    assert.deepEqual(visible(where), []);
  });

  it("says which image was meant", async (t) => {
    const where = await place(t);
    await where.islet.ok(where.create("one"));
    const [image = ""] = visible(where);
    const { status, stderr } = await where.islet.command(["islet", "images", "delete", image.slice(0, -1)]);
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`did you mean ${image}`));
  });
});

/** Whether the program in mmdebstrap's place still runs, by the pids that it sees itself: in a pid namespace of its own they are small. */
function isRunning(control: string): boolean {
  return readdirSync("/proc").some((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(`${control}/mmdebstrap`);
    } catch {
      return false;
    }
  });
}
