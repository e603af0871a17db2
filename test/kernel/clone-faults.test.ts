import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { cleanup } from "../support/cleanup.js";
import { instance } from "../support/instance.js";
import { lacks } from "../support/skip.js";
import { differencesOf, sh } from "../support/tree.js";
import { waitFor } from "../support/wait.js";
import { copiesOf, type Copies, fill } from "./copies.js";

/** Big enough that the daemon can be killed while it is copied. */
const many = 4_000;

async function big(t: TestContext): Promise<Copies> {
  const copies = copiesOf(await instance(t));
  fill(join(copies.make("a"), "many"), many);
  return copies;
}

test("a daemon that is killed while it copies leaves nothing, and the original as it was", async (t) => {
  if (lacks(t, "root")) return;
  const { own, path, names, picture, ok } = await big(t);
  const before = picture("a");
  const copying = own.command(["lxc-copy", ...own.store.at("a"), "-N", "b"], { timeout: 60_000 });
  await waitFor("the copy to be under way", () => existsSync(path("b", "rootfs/many")));
  assert.ok(existsSync(path("b", "partial")));
  await own.restart();
  assert.notEqual((await copying).status, 0);
  await waitFor("what was copied to be gone", () => !existsSync(path("b")), { timeout: 20_000 });
  assert.deepEqual(names(), ["a"]);
  assert.equal(picture("a"), before);
  await ok("lxc-copy", "-n", "a", "-N", "b");
  assert.equal(differencesOf(path("a", "rootfs/many"), path("b", "rootfs/many")), "");
});

test("a user who goes away while it is copied leaves nothing", async (t) => {
  if (lacks(t, "root")) return;
  const { own, path, names, picture } = await big(t);
  const before = picture("a");
  const copying = own.command(["timeout", "-s", "KILL", "0.3", "lxc-copy", ...own.store.at("a"), "-N", "b"], {
    env: { PATH: `${join(process.cwd(), "bin")}:${process.env["PATH"] ?? ""}` },
  });
  assert.notEqual((await copying).status, 0);
  await waitFor("what was copied to be gone", () => !existsSync(path("b")), { timeout: 20_000 });
  assert.deepEqual(names(), ["a"]);
  assert.equal(picture("a"), before);
});

test("a daemon that is killed while it puts a container aside leaves no half of it", async (t) => {
  if (lacks(t, "root")) return;
  const { own, path, picture, ok } = await big(t);
  const before = picture("a");
  const taking = own.command(["lxc-snapshot", ...own.store.at("a")], { timeout: 60_000 });
  await waitFor("the snapshot to be under way", () => existsSync(path("a", "snaps/snap0/rootfs/many")));
  await own.restart();
  await taking;
  await waitFor("what was copied to be gone", () => !existsSync(path("a", "snaps/snap0")), { timeout: 20_000 });
  assert.equal(await ok("lxc-snapshot", "-n", "a", "-L"), "No snapshots\n");
  await ok("lxc-copy", "-n", "a", "-N", "b", "-R");
  await ok("lxc-copy", "-n", "b", "-N", "a", "-R");
  const without = (text: string): string =>
    text
      .split("\n")
      .filter((line) => !/^'?\.(\/config|\/snaps)?'? /.test(line) && !line.endsWith("./config"))
      .join("\n");
  assert.equal(without(picture("a")), without(before));
});

test("a daemon that is killed while it brings a snapshot back leaves the old container or the new one", async (t) => {
  if (lacks(t, "root")) return;
  const { own, path, rootfs, ok } = await big(t);
  await ok("lxc-snapshot", "-n", "a");
  sh('echo changed > "$1/many/f1"; echo changed > "$1/etc/changed"', rootfs("a"));
  const outcomes = new Set<string>();
  for (const delay of [50, 200, 500, 1000, 1600]) {
    const restoring = own.command(["lxc-snapshot", ...own.store.at("a"), "-r", "snap0"], { timeout: 60_000 });
    await new Promise((resolve) => setTimeout(resolve, delay));
    await own.restart();
    await restoring;
    // The first look at it finishes what is to be finished.
    assert.match(await ok("lxc-ls", "-1"), /^a\n/);
    await ok("lxc-info", "-n", "a", "-s");
    await waitFor("nothing else to be there", () => readdirSync(path("a")).sort().join(" ") === "config rootfs snaps", {
      timeout: 20_000,
    });
    const isOld = existsSync(join(rootfs("a"), "etc/changed"));
    outcomes.add(isOld ? "old" : "new");
    if (isOld) assert.equal(readFileSync(join(rootfs("a"), "many/f1"), "utf8"), "changed\n");
    else assert.equal(differencesOf(path("a", "snaps/snap0/rootfs"), rootfs("a")), "");
    assert.equal(readdirSync(join(rootfs("a"), "many")).length, many + 1);
    sh('echo changed > "$1/many/f1"; echo changed > "$1/etc/changed"', rootfs("a"));
  }
  assert.ok(outcomes.has("old"), [...outcomes].join());
});

test("what a daemon has left of a container that it was removing is gone with the next", async (t) => {
  if (lacks(t, "root")) return;
  const { own, path, names } = await big(t);
  const removing = own.command(["lxc-destroy", ...own.store.at("a")], { timeout: 60_000 });
  await waitFor("the removal to begin", () => existsSync(path("a", "partial")));
  await own.restart();
  await removing;
  await waitFor("all of it to be gone", () => names().length === 0, { timeout: 20_000 });
});

test("a full disk stops a copy with a line that says so, and nothing is left", async (t) => {
  if (lacks(t, "root")) return;
  const copies = await big(t);
  const { own, names, picture } = copies;
  const small = join(own.store.path, "..", "small");
  await own.ok(["mkdir", small]);
  await own.ok(["mount", "-t", "tmpfs", "-o", "size=20m", "islt-small", small]);
  cleanup(t)(async () => {
    await own.command(["umount", "-l", small]);
  });
  const before = picture("a");
  const full = await own.command(["lxc-copy", ...own.store.at("a"), "-N", "b", "-p", small], { timeout: 60_000 });
  assert.equal(full.status, 1);
  assert.match(full.stderr, /^lxc-copy: a: .*No space left on device.*\n$/);
  assert.deepEqual(readdirSync(small), []);
  assert.deepEqual(names(), ["a"]);
  assert.equal(picture("a"), before);
  await own.ok(["umount", small]);
});

test("a full disk stops a snapshot and a restore, and the container is what it was", async (t) => {
  if (lacks(t, "root")) return;
  const own = await instance(t);
  const small = join(own.store.path, "..", "small");
  await own.ok(["mkdir", small]);
  await own.ok(["mount", "-t", "tmpfs", "-o", "size=100m", "islt-small", small]);
  cleanup(t)(async () => {
    await own.command(["umount", "-l", small]);
  });
  const copies = copiesOf({ ...own, store: { path: small, at: (name) => ["-P", small, "-n", name] } });
  const { make, ok, run, picture, path, rootfs } = copies;
  make("a");
  sh('head -c 30000000 /dev/zero > "$1/large"', rootfs("a"));
  await ok("lxc-snapshot", "-n", "a");
  sh('head -c 20000000 /dev/zero > "$1/larger"', rootfs("a"));
  // What is made and taken away in them again are those two directories' times.
  const whole = (): string =>
    picture("a")
      .split("\n")
      .filter((line) => !/^'\.(\/snaps)?' /.test(line))
      .join("\n");
  const before = whole();
  for (const words of [[], ["-r", "snap0"], ["-r", "snap0", "-N", "b"]]) {
    const full = await run("lxc-snapshot", "-n", "a", ...words);
    assert.equal(full.status, 1, words.join(" "));
    assert.match(full.stderr, /^lxc-snapshot: a: .*No space left on device.*\n$/);
    assert.ok(whole() === before, `it is another one after ${words.join(" ")}`);
    assert.deepEqual(readdirSync(path("a", "snaps")), ["snap0"]);
    assert.deepEqual(copies.names(), ["a"]);
  }
  await ok("lxc-destroy", "-n", "a", "-s");
  assert.deepEqual(readdirSync(small), []);
  await own.ok(["umount", small]);
});

test("what is mounted in a container's directory is named, and nothing of the container goes", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, path, names, run, ok } = copiesOf(await instance(t));
  const place = join(make("a"), "mnt");
  await own.ok(["mkdir", "-p", place]);
  await own.ok(["mount", "-t", "tmpfs", "islt-busy", place]);
  cleanup(t)(async () => {
    await own.command(["umount", "-l", place]);
  });
  const refused = await run("lxc-destroy", "-n", "a");
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, new RegExp(`something is mounted on ${place}; umount ${place} first\n`));
  assert.ok(existsSync(path("a", "rootfs/bin/busybox")) && existsSync(path("a", "config")));
  await own.ok(["umount", place]);
  await ok("lxc-destroy", "-n", "a");
  assert.deepEqual(names(), []);
});

test("of two copies into one name one is made, and the other gets one line", async (t) => {
  if (lacks(t, "root")) return;
  const { own, names, path, rootfs, run } = await big(t);
  const both = await Promise.all([1, 2].map(() => run("lxc-copy", "-n", "a", "-N", "b")));
  assert.deepEqual(
    both.map(({ status }) => status).sort((a, b) => a - b),
    [0, 1],
  );
  const lost = both.find(({ status }) => status === 1);
  assert.match(lost?.stderr ?? "", /^lxc-copy: a: .*\bb exists already.*\n$/);
  assert.deepEqual(names(), ["a", "b"]);
  assert.equal(differencesOf(join(rootfs("a"), "many"), path("b", "rootfs/many")), "");
  void own;
});

test("files that cannot be changed are copied, put aside and removed", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, rootfs, names, ok } = copiesOf(await instance(t));
  make("a");
  cleanup(t)(() => {
    sh('chattr -R -f -i -a "$1" 2>&1 || true', own.store.path);
  });
  const file = join(rootfs("a"), "etc/passwd");
  await own.ok(["chattr", "+i", file]);
  await ok("lxc-copy", "-n", "a", "-N", "b");
  await ok("lxc-snapshot", "-n", "b");
  await ok("lxc-snapshot", "-n", "b", "-r", "snap0");
  assert.match(sh('lsattr "$1"', join(rootfs("b"), "etc/passwd")), /^----i/);
  await ok("lxc-destroy", "-n", "b", "-s");
  await ok("lxc-destroy", "-n", "a");
  assert.deepEqual(names(), []);
});
