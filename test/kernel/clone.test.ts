import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { instance } from "../support/instance.js";
import { lacks } from "../support/skip.js";
import { makeNasty, sh } from "../support/tree.js";
import { copiesOf, realDifferences } from "./copies.js";

test("a copy has all that the original has, and a name and MAC address of its own", async (t) => {
  if (lacks(t, "root")) return;
  let store = "";
  t.after(() => {
    sh('chattr -R -f -i -a "$1" 2>&1 || true', store);
  });
  const { own, make, rootfs, path, config, ok, picture } = copiesOf(await instance(t));
  store = own.store.path;
  const mac = "lxc.net.1.type = veth\nlxc.net.1.hwaddr = 00:16:3e:11:22:33\n";
  make(
    "a",
    `${mac}# of mine\nunknown.key = 1\nislet.net.1.reserve = 10.0.3.77\nlxc.hook.clone = ${path("a", "hook")}\n`,
  );
  makeNasty(join(rootfs("a"), "nasty"));
  writeFileSync(join(rootfs("a"), "etc/hostname"), "a\n");
  writeFileSync(join(rootfs("a"), "etc/hosts"), "127.0.0.1 localhost\n127.0.1.1 a\n");
  writeFileSync(
    path("a", "hook"),
    `#!/bin/sh\necho "$# $* $LXC_SRC_NAME $LXC_NAME" > "$LXC_ROOTFS_MOUNT/hook-was-here"\n`,
  );
  chmodSync(path("a", "hook"), 0o755);
  await own.ok(["islet", "set", "-P", own.store.path, "a", "user.x=1"]);
  const settings = path("a", "settings.json");
  const given = JSON.parse(readFileSync(settings, "utf8")) as { settings: Record<string, string> };
  given.settings["volatile.cloud-init.instance-id"] = "of-a";
  writeFileSync(settings, JSON.stringify(given));
  const before = picture("a");
  const said = await own.command(["lxc-copy", ...own.store.at("a"), "-N", "b", "--", "x", "y z"]);
  assert.equal(said.status, 0, said.stderr);
  assert.equal(said.stdout, "");
  assert.match(said.stderr, /^lxc-copy: a: the address 10\.0\.3\.77 stays reserved for the original: .*\n$/);
  assert.equal(picture("a"), before);

  assert.equal(readFileSync(join(rootfs("b"), "hook-was-here"), "utf8"), "5 b lxc clone x y z a b\n");
  rmSync(join(rootfs("b"), "hook-was-here"));
  sh('touch -r "$1" "$2"', rootfs("a"), rootfs("b"));
  assert.equal(realDifferences(rootfs("a"), rootfs("b")), "");
  assert.equal(readFileSync(join(rootfs("b"), "etc/hostname"), "utf8"), "b\n");
  assert.equal(readFileSync(join(rootfs("b"), "etc/hosts"), "utf8"), "127.0.0.1 localhost\n127.0.1.1 b\n");
  const text = config("b");
  assert.match(text, /# of mine\nunknown\.key = 1\n/);
  assert.match(text, /lxc\.net\.1\.hwaddr = 00:16:3e:(?!11:22:33)/);
  assert.doesNotMatch(text, /reserve/);
  assert.ok(text.includes(`lxc.hook.clone = ${path("b", "hook")}\n`) && existsSync(path("b", "hook")));
  assert.ok(text.endsWith(`lxc.rootfs.path = dir:${rootfs("b")}\nlxc.uts.name = b\n`));
  assert.equal(await own.ok(["islet", "get", "-P", own.store.path, "b", "user.x"]), "1\n");
  const id = await own.ok(["islet", "get", "-P", own.store.path, "b", "volatile.cloud-init.instance-id"]);
  assert.match(id, /^[0-9a-f-]{36}\n$/);

  await ok("lxc-copy", "-n", "a", "-N", "kept", "-K", "-M", "--", "x");
  assert.ok(config("kept").includes(mac) && config("kept").includes("lxc.uts.name = a\n"));
  assert.equal(readFileSync(join(rootfs("kept"), "etc/hostname"), "utf8"), "a\n");
  await ok("lxc-destroy", "-n", "a");
  await ok("lxc-start", "-n", "b");
  assert.equal(await own.ok(["lxc-attach", ...own.store.at("b"), "--", "hostname"]), "b\n");
});

test("a snapshot is made of nothing but the difference, protects its original, and is gone before it with -s", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, rootfs, path, names, config, ok, run, picture } = copiesOf(await instance(t));
  make("a");
  writeFileSync(join(rootfs("a"), "etc/hostname"), "a\n");
  const before = picture("a");
  await ok("lxc-copy", "-n", "a", "-N", "c", "-s");
  assert.ok(config("c").includes(`lxc.rootfs.path = overlay:${rootfs("a")}:${path("c", "overlay/delta")}\n`));
  assert.equal(readFileSync(path("a", "lxc_snapshots"), "utf8"), `${own.store.path}\nc\n`);
  assert.equal(readFileSync(path("c", "lxc_rdepends"), "utf8"), `${own.store.path}\na\n`);
  await ok("lxc-start", "-n", "c");
  const inside = (script: string): Promise<string> =>
    own.ok(["lxc-attach", ...own.store.at("c"), "--", "sh", "-c", script]);
  assert.equal(await inside("hostname; cat /etc/hostname; echo new > /root/new; rm /etc/group"), "c\nc\n");
  await ok("lxc-stop", "-n", "c", "-k");

  await ok("lxc-copy", "-n", "c", "-N", "d", "-s");
  assert.ok(existsSync(path("d", "overlay/delta/root/new")), "the copy of a snapshot has its changes");
  await ok("lxc-copy", "-n", "c", "-N", "whole");
  assert.ok(config("whole").includes(`lxc.rootfs.path = dir:${rootfs("whole")}\n`));
  assert.equal(readFileSync(join(rootfs("whole"), "root/new"), "utf8"), "new\n");
  assert.ok(!existsSync(join(rootfs("whole"), "etc/group")) && existsSync(join(rootfs("whole"), "bin/busybox")));
  assert.ok(!existsSync(path("whole", "lxc_rdepends")));

  const refused = await run("lxc-destroy", "-n", "a");
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /a cannot be destroyed: c, d need its root file system/);
  assert.match(refused.stderr, /Destroying a failed: a has clones/);
  await ok("lxc-copy", "-n", "c", "-N", "c2", "-R");
  assert.equal(readFileSync(path("a", "lxc_snapshots"), "utf8"), `${own.store.path}\nc2\n${own.store.path}\nd\n`);
  assert.match((await run("lxc-copy", "-n", "a", "-N", "z", "-R")).stderr, /a cannot be renamed: c2, d need/);

  await ok("lxc-start", "-n", "d");
  const runs = await run("lxc-destroy", "-n", "a", "-s");
  assert.equal(runs.status, 1);
  assert.match(runs.stderr, /d, which needs a, is running/);
  assert.deepEqual(names(), ["a", "c2", "d", "whole"]);
  await ok("lxc-stop", "-n", "d", "-k");
  await ok("lxc-destroy", "-n", "c2");
  await ok("lxc-destroy", "-n", "d");
  assert.ok(!existsSync(path("a", "lxc_snapshots")));
  assert.equal(picture("a").split("\n").slice(1).join("\n"), before.split("\n").slice(1).join("\n"));
  await ok("lxc-copy", "-n", "a", "-N", "e", "-s");
  await ok("lxc-copy", "-n", "e", "-N", "f", "-s");
  await ok("lxc-snapshot", "-n", "f");
  await ok("lxc-destroy", "-n", "a", "-s");
  assert.deepEqual(names(), ["whole"]);
});

test("a container gets another name without its files being touched", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, rootfs, path, names, config, ok, run } = copiesOf(await instance(t));
  make("a", "lxc.net.0.hwaddr = 00:16:3e:11:22:33\n");
  make("other");
  mkdirSync(path("taken"));
  writeFileSync(join(rootfs("a"), "etc/hostname"), "a\n");
  const { ino } = statSync(join(rootfs("a"), "bin/busybox"));
  for (const [name, words] of [
    ["other", /there is a container other already/],
    ["taken", /exists already and is not a container/],
    ["a", /exists already/],
  ] as const) {
    const refused = await run("lxc-copy", "-n", "a", "-N", name, "-R");
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, words);
    assert.equal(refused.stderr.split("\n").length, 2, refused.stderr);
  }
  await ok("lxc-copy", "-n", "a", "-N", "b", "-R");
  assert.deepEqual(names(), ["b", "other", "taken"]);
  assert.equal(statSync(join(rootfs("b"), "bin/busybox")).ino, ino);
  assert.equal(readFileSync(join(rootfs("b"), "etc/hostname"), "utf8"), "b\n");
  assert.match(config("b"), /hwaddr = 00:16:3e:11:22:33\n[^]*lxc\.uts\.name = b\n/);
  await ok("lxc-start", "-n", "b");
  const refused = await run("lxc-copy", "-n", "b", "-N", "c", "-R");
  assert.match(refused.stderr, /^lxc-copy: b: b is running; /);
  assert.equal(await own.ok(["lxc-attach", ...own.store.at("b"), "--", "hostname"]), "b\n");
});

test("a running original needs -a, is frozen for the copy, and runs on", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, rootfs, names, ok, run } = copiesOf(await instance(t));
  make("a");
  await ok("lxc-start", "-n", "a");
  const refused = await run("lxc-copy", "-n", "a", "-N", "b");
  assert.equal(refused.status, 1);
  assert.equal(
    refused.stderr,
    "lxc-copy: a: Original container (a) is running. Use --allowrunning if you want to force a snapshot of the running container.\n",
  );
  assert.deepEqual(names(), ["a"]);
  await own.ok([
    "lxc-attach",
    ...own.store.at("a"),
    "--",
    "sh",
    "-c",
    "cd /root; echo 0 > one; echo 0 > two; (i=0; while :; do i=$((i+1)); for f in one two; do echo $i > t; mv t $f; done; done) >/dev/null 2>&1 &",
  ]);
  await ok("lxc-copy", "-n", "a", "-N", "b", "-a");
  const [one, two] = ["one", "two"].map((name) => Number(readFileSync(join(rootfs("b"), "root", name), "utf8")));
  assert.ok(one !== undefined && two !== undefined && one - two <= 1 && one >= two, `${one} ${two}`);
  assert.match(await own.ok(["lxc-info", ...own.store.at("a"), "-s"]), /RUNNING/);
  assert.match((await run("lxc-snapshot", "-n", "a")).stderr, /a is running/);
});

test("what is wrong is said in one line, and nothing is left of the copy", async (t) => {
  if (lacks(t, "root")) return;
  const { make, path, names, picture, run } = copiesOf(await instance(t));
  make("a", `lxc.hook.clone = ${path("a", "no-such-hook")}\n`);
  make("broken", "lxc.nonsense = 1\n");
  make("empty");
  rmSync(path("empty", "rootfs"), { recursive: true });
  const before = picture("a");
  for (const [words, said] of [
    [["-n", "zz", "-N", "b"], /there is no container zz/],
    [["-n", "a", "-N", "b"], /the clone hook .*no-such-hook ended with status 127/],
    [["-n", "broken", "-N", "b"], /Unsupported config key "lxc\.nonsense"/],
    [["-n", "empty", "-N", "b"], /there is no root file system/],
    [["-n", "a", "-N", "a/b"], /contains a slash/],
    [["-n", "a", "-N", "b", "-B", "zfs"], /zfs/],
    [["-n", "a", "-N", "b", "-s", "--idmap", "u 0 100000 65536"], /same id map/],
  ] as const) {
    const refused = await run("lxc-copy", ...words);
    assert.equal(refused.status, 1, words.join(" "));
    assert.match(refused.stderr, said);
    assert.match(refused.stderr, /^lxc-copy: .*\n$/);
    assert.deepEqual(names(), ["a", "broken", "empty"]);
  }
  assert.match((await run("lxc-copy", "-n", "a")).stderr, /with -N\n[^]*could not parse command line/);
  assert.equal(picture("a"), before);
});

test("files get the ids of another map on the way", async (t) => {
  if (lacks(t, "root")) return;
  const { make, rootfs, config, ok, run } = copiesOf(await instance(t));
  make("a");
  sh('chown 33:44 "$1/etc/passwd"; chmod u+s "$1/etc/passwd"', rootfs("a"));
  await ok("lxc-copy", "-n", "a", "-N", "b", "--idmap", "u 0 200000 65536", "--idmap", "g 0 300000 65536");
  const { uid, gid, mode } = statSync(join(rootfs("b"), "etc/passwd"));
  assert.deepEqual([uid, gid, mode & 0o4000], [200033, 300044, 0o4000]);
  assert.match(config("b"), /lxc\.idmap = u 0 200000 65536\nlxc\.idmap = g 0 300000 65536\n/);
  await ok("lxc-copy", "-n", "b", "-N", "c", "--idmap", "none");
  assert.equal(realDifferences(rootfs("a"), rootfs("c")), "");
  const few = await run("lxc-copy", "-n", "a", "-N", "d", "--idmap", "u 0 200000 1", "--idmap", "g 0 300000 1");
  assert.match(few.stderr, /etc\/passwd/);
});

test("a guest's links lead nobody out of its root", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, rootfs, ok } = copiesOf(await instance(t));
  make("a");
  const outside = join(own.store.path, "outside");
  writeFileSync(outside, "mine\n");
  symlinkSync(outside, join(rootfs("a"), "etc/hostname"));
  sh('mkfifo "$1/etc/hosts"', rootfs("a"));
  await ok("lxc-copy", "-n", "a", "-N", "b");
  await ok("lxc-copy", "-n", "a", "-N", "c", "-s");
  await ok("lxc-clone", "-o", "a", "-n", "d");
  assert.equal(readFileSync(outside, "utf8"), "mine\n");
});

test("lxc-clone says what LXC's of 2013 said", async (t) => {
  if (lacks(t, "root")) return;
  const { make, names, ok, run } = copiesOf(await instance(t));
  make("C1");
  assert.equal(
    await ok("lxc-clone", "-o", "C1", "-n", "C2"),
    "Tweaking configuration\nCopying rootfs...\nUpdating rootfs...\n'C2' created\n",
  );
  await ok("lxc-clone", "-s", "-o", "C1", "-n", "C3");
  assert.deepEqual(names(), ["C1", "C2", "C3"]);
  for (const [words, said] of [
    [[], "no original container name specified"],
    [["-o", "C1"], "no new container name specified"],
    [["-o", "zz", "-n", "x"], "'zz' does not exist"],
    [["-o", "C1", "-n", "C2"], "'C2' already exists"],
  ] as const) {
    const refused = await run("lxc-clone", ...words);
    assert.equal(refused.status, 1);
    assert.equal(refused.stderr, `lxc-clone: ${said}\n`);
  }
});
