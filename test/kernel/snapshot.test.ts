import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { instance } from "../support/instance.js";
import { lacks } from "../support/skip.js";
import { differencesOf, sh } from "../support/tree.js";
import { copiesOf } from "./copies.js";

test("a container is put aside, listed, brought back, and what was put aside is removed", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, rootfs, path, config, names, ok, run } = copiesOf(await instance(t));
  make("a", "lxc.net.0.hwaddr = 00:16:3e:11:22:33\n");
  writeFileSync(join(rootfs("a"), "etc/hostname"), "a\n");
  const [before, text] = [join(own.store.path, "..", "before"), config("a")];
  sh('cp -a "$1" "$2"', rootfs("a"), before);
  const comment = join(own.store.path, "..", "comment");
  writeFileSync(comment, "what it was\nbefore");
  assert.equal(await ok("lxc-snapshot", "-n", "a", "-L"), "No snapshots\n");
  assert.equal(await ok("lxc-snapshot", "-n", "a", "-c", comment), "");
  assert.equal(await ok("lxc-snapshot", "-n", "a"), "");
  assert.deepEqual(readdirSync(path("a", "snaps/snap0")).sort(), ["comment", "config", "rootfs", "ts"]);
  assert.match(readFileSync(path("a", "snaps/snap0/ts"), "utf8"), /^\d{4}:\d\d:\d\d \d\d:\d\d:\d\d$/);
  assert.equal(differencesOf(rootfs("a"), path("a", "snaps/snap0/rootfs")), "");
  assert.match(
    await ok("lxc-snapshot", "-n", "a", "-L", "-C"),
    new RegExp(`^snap0 \\(${path("a", "snaps")}\\) [\\d:]+ [\\d:]+\nwhat it was\nbefore\nsnap1 \\(.*\\) [\\d: ]+\n$`),
  );

  rmSync(join(rootfs("a"), "bin"), { recursive: true });
  writeFileSync(join(rootfs("a"), "etc/new"), "x");
  for (const words of [
    ["-r", "snap7"],
    ["-r", "../../b"],
    ["-d", "snap7"],
    ["-r", "snap7", "-N", "b"],
  ]) {
    const refused = await run("lxc-snapshot", "-n", "a", ...words);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /^lxc-snapshot: a: a has no snapshot .*; there are snap0, snap1\n$/);
  }
  assert.ok(existsSync(join(rootfs("a"), "etc/new")), "a wrong name changes nothing");
  await ok("lxc-snapshot", "-n", "a", "-r", "snap0");
  assert.equal(differencesOf(before, rootfs("a")), "");
  assert.deepEqual(readdirSync(path("a")).sort(), ["config", "rootfs", "snaps"]);
  assert.deepEqual(config("a").split("\n").sort(), text.split("\n").sort());

  await ok("lxc-snapshot", "-n", "a", "-r", "snap1", "-N", "b");
  assert.match(config("b"), /hwaddr = 00:16:3e:(?!11:22:33)[^]*lxc\.uts\.name = b\n/);
  assert.equal(readFileSync(join(rootfs("b"), "etc/hostname"), "utf8"), "b\n");
  await ok("lxc-start", "-n", "b");
  assert.match((await run("lxc-snapshot", "-n", "b")).stderr, /^lxc-snapshot: b: b is running; stop it first/);
  assert.match((await run("lxc-destroy", "-n", "a")).stderr, /Destroying a failed: a has snapshots/);
  await ok("lxc-snapshot", "-n", "a", "-d", "snap0");
  assert.match(await ok("lxc-snapshot", "-n", "a", "-L"), /^snap1 [^\n]*\n$/);
  await ok("lxc-snapshot", "-n", "a");
  assert.match(await ok("lxc-snapshot", "-n", "a", "-L"), /^snap0 .*\nsnap1 .*\n$/);
  await ok("lxc-snapshot", "-n", "a", "-d", "ALL");
  assert.ok(!existsSync(path("a", "snaps")));
  await ok("lxc-destroy", "-n", "a");
  assert.deepEqual(names(), ["b"]);
});

test("a running container, and one that copies need, are not replaced", async (t) => {
  if (lacks(t, "root")) return;
  const { make, ok, run, picture } = copiesOf(await instance(t));
  make("a");
  await ok("lxc-snapshot", "-n", "a");
  await ok("lxc-copy", "-n", "a", "-N", "c", "-s");
  const before = picture("a");
  assert.match((await run("lxc-snapshot", "-n", "a", "-r", "snap0")).stderr, /a cannot be restored: c needs its root/);
  assert.equal(picture("a"), before);
  await ok("lxc-destroy", "-n", "c");
  await ok("lxc-start", "-n", "a");
  const runs = await run("lxc-snapshot", "-n", "a", "-r", "snap0");
  assert.equal(runs.status, 1);
  assert.match(runs.stderr, /a is running/);
});

test("an overlay is put aside with its changes alone, and comes back", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, path, ok } = copiesOf(await instance(t));
  make("a");
  await ok("lxc-copy", "-n", "a", "-N", "c", "-s");
  const inside = async (script: string): Promise<string> => {
    await ok("lxc-start", "-n", "c");
    const said = await own.ok(["lxc-attach", ...own.store.at("c"), "--", "sh", "-c", script]);
    await ok("lxc-stop", "-n", "c", "-k");
    return said;
  };
  await inside("echo one > /root/file; rm /etc/group");
  await ok("lxc-snapshot", "-n", "c");
  assert.ok(!existsSync(path("c", "snaps/snap0/overlay/delta/bin")));
  await inside("echo two > /root/file; echo new > /etc/group");
  await ok("lxc-snapshot", "-n", "c", "-r", "snap0");
  assert.equal(await inside("cat /root/file; ls /etc/group 2>/dev/null || echo none"), "one\nnone\n");
  assert.equal(
    readFileSync(path("a", "lxc_snapshots"), "utf8"),
    `${own.store.path}/c/snaps\nsnap0\n${own.store.path}\nc\n`,
  );
  await ok("lxc-destroy", "-n", "c", "-s");
  assert.ok(!existsSync(path("a", "lxc_snapshots")));
  await ok("lxc-destroy", "-n", "a");
});

test("something mounted in a container is named, and the container stays whole", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, rootfs, ok, run, picture } = copiesOf(await instance(t));
  make("a");
  await ok("lxc-snapshot", "-n", "a");
  const point = join(rootfs("a"), "mnt");
  mkdirSync(join(point, "x"));
  let isMounted = true;
  await own.ok(["mount", "-t", "tmpfs", "islt-test", point]);
  try {
    const before = picture("a");
    for (const words of [["-r", "snap0"], ["-s"]]) {
      const tool = words.includes("-r") ? "lxc-snapshot" : "lxc-destroy";
      const refused = await run(tool, "-n", "a", ...words);
      assert.equal(refused.status, 1);
      assert.ok(refused.stderr.includes(`something is mounted on ${point}; umount ${point} first`), refused.stderr);
    }
    // What was asked to go first is gone.
    assert.equal(
      picture("a")
        .split("\n")
        .filter((line) => !line.includes("./snaps") && !/^'?\.'? /.test(line)).length,
      before.split("\n").filter((line) => !line.includes("snaps") && !/^'?\.'? /.test(line)).length,
    );
    await own.ok(["umount", point]);
    isMounted = false;
    await ok("lxc-destroy", "-n", "a", "-s");
  } finally {
    if (isMounted) await own.ok(["umount", point]);
  }
});

test("what is put aside is what the container was: LXC's clone hooks name copies, not snapshots", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, rootfs, path, ok } = copiesOf(await instance(t));
  const hook = join(own.store.path, "..", "hook");
  // As /usr/share/lxc/hooks/clonehostname does it.
  writeFileSync(hook, '#!/bin/sh\nsed -i "s|$LXC_SRC_NAME|$LXC_NAME|" "$LXC_ROOTFS_MOUNT/etc/hosts"\n', {
    mode: 0o755,
  });
  make("one", `lxc.hook.clone = ${hook}\n`);
  const hosts = (root: string): string => readFileSync(join(root, "etc/hosts"), "utf8");
  writeFileSync(join(rootfs("one"), "etc/hosts"), "127.0.1.1 one\n");
  await ok("lxc-snapshot", "-n", "one");
  assert.equal(hosts(path("one", "snaps/snap0/rootfs")), "127.0.1.1 one\n");
  // What LXC has put aside.
  writeFileSync(path("one", "snaps/snap0/rootfs/etc/hosts"), "127.0.1.1 snap0\n");
  await ok("lxc-snapshot", "-n", "one", "-r", "snap0");
  assert.equal(hosts(rootfs("one")), "127.0.1.1 one\n");
  await ok("lxc-copy", "-n", "one", "-N", "two");
  assert.equal(hosts(rootfs("two")), "127.0.1.1 two\n");
});

test("a snapshot that needs what it would replace, as LXC makes them of volumes, is not brought back, and nothing has changed", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, path, picture, ok, run, names } = copiesOf(await instance(t));
  make("a");
  await ok("lxc-snapshot", "-n", "a");
  writeFileSync(path("a", "lxc_snapshots"), `${path("a", "snaps")}\nsnap0\n`);
  writeFileSync(path("a", "snaps/snap0/lxc_rdepends"), `${own.store.path}\na\n`);
  const before = picture("a");
  const refused = await run("lxc-snapshot", "-n", "a", "-r", "snap0");
  assert.equal(refused.status, 1);
  assert.equal(
    refused.stderr,
    "lxc-snapshot: a: snap0 needs the root file system of a, which would go; lxc-snapshot -n a -r snap0 -N OTHER makes another container of the snapshot\n",
  );
  assert.equal(picture("a"), before);
  await ok("lxc-snapshot", "-n", "a", "-r", "snap0", "-N", "b");
  assert.deepEqual(names(), ["a", "b"]);
});
