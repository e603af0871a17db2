import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { instance } from "../support/instance.js";
import { lacks } from "../support/skip.js";
import { differencesOf } from "../support/tree.js";
import { waitFor } from "../support/wait.js";
import { copiesOf, fill } from "./copies.js";

test("root file systems are backed up and brought back, all of them or those named", async (t) => {
  if (lacks(t, "root")) return;
  const { make, rootfs, path, ok, run } = copiesOf(await instance(t));
  make("a");
  make("b");
  await ok("lxc-copy", "-n", "a", "-N", "c", "-s");
  await ok("lxc-start", "-n", "b");
  const all = await run("lxc-backup");
  assert.equal(all.status, 0);
  assert.match(all.stderr, /^lxc-backup: c is left out: c is kept as overlay: only directories are backed up\n$/);
  assert.match(await ok("lxc-info", "-n", "b", "-s"), /RUNNING/);
  const backup = path("a", "rootfs.backup.1");
  assert.equal(differencesOf(rootfs("a"), backup), "");
  writeFileSync(join(rootfs("a"), "etc/new"), "x");
  await ok("lxc-destroy", "-n", "c");
  await ok("lxc-restore", "a");
  assert.equal(differencesOf(backup, rootfs("a")), "");
  assert.deepEqual(readdirSync(path("a")).sort(), ["config", "rootfs", "rootfs.backup.1"]);
  writeFileSync(join(rootfs("a"), "etc/newer"), "x");
  await ok("lxc-backup", "a");
  assert.ok(existsSync(join(backup, "etc/newer")) && !existsSync(join(backup, "etc/new")));
  assert.match((await run("lxc-restore", "b")).stderr, /^lxc-restore: b is running/);
  const others = await run("lxc-restore");
  assert.equal(others.status, 0);
  assert.match(others.stderr, /b is left out: b is running/);
  await ok("lxc-destroy", "-n", "a");
  assert.ok(!existsSync(path("a")));
});

test("what is no backup replaces nothing", async (t) => {
  if (lacks(t, "root")) return;
  const { make, path, run, picture } = copiesOf(await instance(t));
  make("a");
  const before = picture("a");
  assert.match((await run("lxc-restore", "a")).stderr, /a has no backup .*; lxc-backup a makes one/);
  mkdirSync(path("a", "rootfs.backup.1"));
  const refused = await run("lxc-restore", "a");
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /is empty: nothing was changed/);
  rmSync(path("a", "rootfs.backup.1"), { recursive: true });
  assert.equal(picture("a").split("\n").slice(1).join(), before.split("\n").slice(1).join());
  assert.match((await run("lxc-backup", "zz")).stderr, /there is no container zz/);
});

test("a daemon that is killed in the middle leaves the backup of before", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, path, rootfs, ok } = copiesOf(await instance(t));
  fill(join(make("a"), "many"), 3000);
  await ok("lxc-backup", "a");
  const { ino } = statSync(path("a", "rootfs.backup.1"));
  const again = own.command(["lxc-backup", "-P", own.store.path, "a"], { timeout: 60_000 });
  await waitFor("it to be under way", () => existsSync(path("a", "islet-journal")));
  await own.restart();
  await again;
  await waitFor(
    "the rest to be gone",
    () => readdirSync(path("a")).sort().join(" ") === "config rootfs rootfs.backup.1",
    {
      timeout: 20_000,
    },
  );
  assert.equal(statSync(path("a", "rootfs.backup.1")).ino, ino);
  assert.equal(differencesOf(rootfs("a"), path("a", "rootfs.backup.1")), "");
});
