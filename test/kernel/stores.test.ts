import assert from "node:assert/strict";
import { existsSync, lstatSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { lacks } from "../support/skip.js";
import { storeKinds } from "../support/store-kinds.js";
import { storePlace } from "../support/store-place.js";
import { passesList } from "./store-list.js";

for (const kind of storeKinds) passesList(kind);

describe("lxc-create", () => {
  it("on a full disk makes nothing", async (t) => {
    if (lacks(t, "loop")) return;
    const place = await storePlace(t, { on: { fstype: "ext4", size: "8M" } });
    const gone = await place.watch("full");
    await place.sh('dd if=/dev/zero of="$1/ballast" bs=64k 2>/dev/null || true', place.own.store.path);
    for (const words of [
      ["-B", "dir"],
      ["-B", "overlay"],
      ["-B", "loop", "--fssize", "64M"],
    ]) {
      const { status, stderr } = await place.own.command(place.create("full", "-t", "busybox", ...words));
      assert.equal(status, 1);
      assert.match(stderr, /No space|no space|ENOSPC/i, words.join(" "));
    }
    await place.sh('rm "$1/ballast"', place.own.store.path);
    await gone("a full disk");
  });

  it("names the package of a program that is missing, and the file system that btrfs would need", async (t) => {
    const place = await storePlace(t, { on: null });
    const gone = await place.watch("none");
    const refused = async (...words: readonly string[]): Promise<string> => {
      const { status, stderr } = await place.own.command(place.create("none", "-t", "busybox", ...words));
      assert.equal(status, 1);
      return stderr;
    };
    assert.match(await refused("-B", "loop", "--fstype", "f2fs"), /no program mkfs\.f2fs; apt-get install f2fs-tools/);
    assert.match(await refused("-B", "loop", "--fstype", "../x"), /"\.\.\/x" is not the name of a file system/);
    assert.match(await refused("-B", "loop", "--fssize", "64b"), /cannot make a file system ext4 in .*rootdev/);
    assert.match(await refused("-B", "btrfs"), /is on .*, not on btrfs/);
    if (!existsSync("/usr/sbin/zfs") && !existsSync("/sbin/zfs"))
      assert.match(await refused("-B", "zfs"), /no program zfs; apt-get install zfsutils-linux/);
    await gone("refusals");
  });

  it("with -B best takes what the store is on", async (t) => {
    if (lacks(t, "loop") || lacks(t, "btrfs")) return;
    const place = await storePlace(t, { on: { fstype: "btrfs", size: "200M" } });
    const { own } = place;
    const { status, stderr } = await own.command(place.create("best", "-t", "busybox", "-B", "best"));
    assert.deepEqual([status, stderr], [0, "lxc-create: best: the root file system is kept as btrfs\n"]);
    assert.equal(lstatSync(place.seen(join(own.store.path, "best/rootfs"))).ino, 256);
    await own.ok(["lxc-destroy", ...own.store.at("best")]);
  });

  it("uses a device that its configuration names, makes a file system only where nothing is, and leaves it where it is", async (t) => {
    if (lacks(t, "loop")) return;
    const place = await storePlace(t, { on: null });
    const { own } = place;
    const disk = join(own.store.path, "..", "disk");
    const device = await place.sh('truncate -s 64M "$1"; losetup --show -f "$1"', disk);
    t.after(() => place.sh('losetup -d "$1"', device).catch(() => ""));
    const config = join(own.runtimeDir, "..", "device.conf");
    writeFileSync(config, `lxc.rootfs.path = ${device}\nlxc.net.0.type = empty\n`);
    const create = (...words: readonly string[]): Promise<{ readonly status: number; readonly stderr: string }> =>
      own.command(["lxc-create", ...own.store.at("dev"), "-f", config, "-t", "busybox", ...words]);
    const blank = await create();
    assert.equal(blank.status, 1);
    assert.match(blank.stderr, /there is no file system on \/dev\/loop\d+; make one/);
    const made = await create("--fstype", "ext4");
    assert.equal(made.status, 0, made.stderr);
    await own.ok(["lxc-start", ...own.store.at("dev")]);
    await place.inside("dev", "echo kept > /root/seen; sync");
    await own.ok(["lxc-stop", "-k", ...own.store.at("dev")]);
    await own.ok(["lxc-destroy", ...own.store.at("dev")]);
    assert.equal(await place.sh('blkid -p -o value -s TYPE "$1"', device), "ext4");
    // What is on it is never overwritten.
    const other = await create("--fstype", "xfs");
    assert.equal(other.status, 1);
    assert.match(other.stderr, /there is a file system ext4 on .*, not xfs/);
    await place.sh('wipefs -q -a "$1"; mkswap "$1" > /dev/null', device);
    assert.match((await create("--fstype", "ext4")).stderr, /holds swap space/);
    await place.sh('wipefs -q -a "$1"; mkfs.minix "$1"', device);
    assert.match((await create("--fstype", "ext4")).stderr, /something is on/);
    assert.equal(existsSync(place.seen(join(own.store.path, "dev"))), false);
  });
});

describe("lxc-destroy", () => {
  it("removes what is half gone", async (t) => {
    if (lacks(t, "loop")) return;
    const place = await storePlace(t, { on: null });
    const { own } = place;
    const gone = await place.watch("half");
    const at = own.store.at("half");
    for (const [words, lost] of [
      [["-B", "loop", "--fssize", "64M"], "rootdev"],
      [["-B", "overlay"], "overlay"],
      [["-B", "overlay"], "rootfs"],
      [["-B", "dir"], "rootfs"],
    ] as const) {
      await own.ok(place.create("half", "-t", "busybox", ...words));
      await place.sh('rm -r "$1"', join(own.store.path, "half", lost));
      await own.ok(["lxc-destroy", ...at]);
      await gone(`a lost ${lost}`);
    }
    for (const path of [
      "lvm:/dev/islt-none/half",
      "zfs:islt-none/half",
      "btrfs:/nowhere/at/all",
      "loop:/nowhere/file",
    ]) {
      mkdirSync(place.seen(join(own.store.path, "half")));
      writeFileSync(place.seen(join(own.store.path, "half/config")), `lxc.rootfs.path = ${path}\n`);
      await own.ok(["lxc-destroy", ...at]);
      await gone(path);
    }
  });

  it("removes subvolumes that a guest made, however they are nested, and follows no link out of them", async (t) => {
    if (lacks(t, "loop") || lacks(t, "btrfs")) return;
    const place = await storePlace(t, { on: { fstype: "btrfs", size: "200M" } });
    const { own } = place;
    const gone = await place.watch("nest");
    await own.ok(place.create("nest", "-t", "busybox", "-B", "btrfs"));
    await place.sh(
      `cd "$1"; btrfs -q subvolume create ../kept; touch ../kept/file; mkdir -p rootfs/srv/deep
for path in rootfs/srv/deep/a rootfs/srv/deep/a/b rootfs/srv/deep/a/b/c rootfs/tmp/d; do btrfs -q subvolume create $path; touch $path/file; done
ln -s ../../kept rootfs/srv/link; btrfs -q property set rootfs/srv/deep/a ro true`,
      join(own.store.path, "nest"),
    );
    await own.ok(["lxc-destroy", ...own.store.at("nest")]);
    assert.ok(statSync(place.seen(join(own.store.path, "kept/file"))).isFile());
    await place.sh('btrfs -q subvolume delete "$1/kept"', own.store.path);
    await gone("nested subvolumes");
  });
});

describe("lxc-copy", () => {
  it("on btrfs makes a snapshot with the subvolumes that a guest made, however they are nested", async (t) => {
    if (lacks(t, "loop") || lacks(t, "btrfs")) return;
    const place = await storePlace(t, { on: { fstype: "btrfs", size: "200M" } });
    const { own } = place;
    const gone = await place.watch("nest", "copy");
    await own.ok(place.create("nest", "-t", "busybox", "-B", "btrfs"));
    await place.sh(
      `cd "$1/nest/rootfs"; mkdir -p srv/deep
for path in srv/deep/a srv/deep/a/b tmp/d; do btrfs -q subvolume create $path; echo $path > $path/file; done`,
      own.store.path,
    );
    await own.ok(["lxc-copy", ...own.store.at("nest"), "-N", "copy"]);
    const compare = 'cd "$1"; rsync -aHAXn --checksum --delete -i --exclude /etc/hostname nest/rootfs/ copy/rootfs/';
    assert.equal(await place.sh(compare, own.store.path), "");
    assert.equal(lstatSync(place.seen(join(own.store.path, "copy/rootfs/srv/deep/a/b"))).ino, 256);
    await place.sh('echo other > "$1/copy/rootfs/srv/deep/a/b/file"', own.store.path);
    assert.equal(await place.sh('cat "$1/nest/rootfs/srv/deep/a/b/file"', own.store.path), "srv/deep/a/b");
    await own.ok(["lxc-destroy", ...own.store.at("nest")]);
    await own.ok(["lxc-start", ...own.store.at("copy")]);
    assert.equal(await place.inside("copy", "cat /srv/deep/a/b/file"), "other");
    await own.ok(["lxc-stop", "-k", ...own.store.at("copy")]);
    await own.ok(["lxc-destroy", ...own.store.at("copy")]);
    await gone("a copy");
  });
});
