import assert from "node:assert/strict";
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { end } from "../support/host.js";
import { lacks } from "../support/skip.js";
import { storeKinds } from "../support/store-kinds.js";
import { type StorePlace, storePlace } from "../support/store-place.js";
import { waitFor } from "../support/wait.js";

/** Every kind of root file system, from lxc-create to lxc-destroy: one list for all of them. */

/** A template script; in it $root is the root file system and $path the container's directory. */
function template({ own }: StorePlace, name: string, script: string): string {
  const file = join(own.runtimeDir, "..", `lxc-${name}`);
  const head =
    "#!/bin/sh\nset -e\nfor word; do case $word in --rootfs=*) root=${word#*=};; --path=*) path=${word#*=};; esac; done\n";
  writeFileSync(file, `${head}${script}\n`);
  chmodSync(file, 0o755);
  return file;
}

const mapLines = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";

for (const kind of storeKinds) {
  describe(`a root file system of the kind ${kind.title}`, () => {
    it("is made, started, written to and started again, and nothing of it is left in the end", async (t) => {
      if (kind.isLacking(t)) return;
      const place = await storePlace(t, kind);
      const { own, create, inside } = place;
      const gone = await place.watch("one");
      const at = own.store.at("one");
      await own.ok(create("one", "-t", "busybox", ...kind.words));
      const directory = join(own.store.path, "one");
      const config = readFileSync(place.seen(join(directory, "config")), "utf8");
      assert.ok(config.split("\n").includes(`lxc.rootfs.path = ${kind.path(directory, "one")}`), config);
      for (const round of ["first", "second"]) {
        await own.ok(["lxc-start", ...at]);
        assert.equal(await inside("one", "id -u; stat -c %a:%u:%g /"), "0\n755:0:0");
        assert.equal(await inside("one", "cat /root/seen 2>/dev/null || true"), round === "first" ? "" : "kept");
        await inside("one", "echo kept > /root/seen; sync");
        await own.ok(["lxc-stop", "-k", ...at]);
      }
      await own.ok(["lxc-destroy", ...at]);
      await gone("lxc-destroy");
    });

    it("is filled by a template script, which finds it where LXC's templates do", async (t) => {
      if (kind.isLacking(t)) return;
      const place = await storePlace(t, kind);
      const { own } = place;
      const file = template(
        place,
        "script",
        `mkdir -p "$root/etc"; echo script > "$root/etc/hostname"; [ -e "$path/config" ]
stat -c "%m %a" "$root"; ls -A "$root"`,
      );
      const gone = await place.watch("two");
      const said = (await own.ok(place.create("two", "-t", file, ...kind.words))).trim().split("\n");
      const rootfs = join(own.store.path, "two/rootfs");
      const [where = "", ...content] = said;
      assert.equal(where.startsWith(`${rootfs} `), kind.isMounted || kind.title === "btrfs", where);
      assert.match(where, / 755$/);
      assert.deepEqual(
        content.filter((name) => name !== "lost+found"),
        ["etc"],
      );
      // Nobody else sees it.
      if (kind.isMounted) assert.equal(await place.sh('ls -A "$1"', rootfs), "");
      await own.ok(["lxc-destroy", ...own.store.at("two")]);
      await gone("lxc-destroy");
    });

    it("of a template that fails is removed again", async (t) => {
      if (kind.isLacking(t)) return;
      const place = await storePlace(t, kind);
      const gone = await place.watch("bad");
      const file = template(place, "fails", 'mkdir "$root/etc"; echo no >&2; exit 7');
      const { status, stderr } = await place.own.command(place.create("bad", "-t", file, ...kind.words));
      assert.equal(status, 1);
      assert.match(stderr, /^no\n.*lxc-fails ended with status 7\n.*Failed to create container from template\n/);
      await gone("a template that failed");
    });

    it("whose daemon is killed while it is made is removed by the next command", async (t) => {
      if (kind.isLacking(t)) return;
      const place = await storePlace(t, kind);
      const { own } = place;
      const gone = await place.watch("dead");
      const mark = join(own.runtimeDir, "..", "mark");
      const file = template(
        place,
        "waits",
        `mkdir "$root/etc"; echo $$ > ${mark}.new; mv ${mark}.new ${mark}; exec sleep 600`,
      );
      const creating = own.command(place.create("dead", "-t", file, ...kind.words));
      await waitFor("the template", () => existsSync(mark));
      await own.restart(async () => {
        // It is the client's child, and of no use any more.
        end(Number(readFileSync(mark, "utf8")), "SIGKILL");
        assert.notEqual((await creating).status, 0);
      });
      const { stderr } = await own.command(["lxc-info", ...own.store.at("dead")]);
      assert.match(stderr, /dead doesn't exist/);
      await gone("a daemon that was killed");
    });

    it("belongs to the container's root where ids are mapped", async (t) => {
      if (kind.isLacking(t) || lacks(t, "userns")) return;
      const place = await storePlace(t, kind);
      const { own } = place;
      await place.sh('chmod 711 "$1" "$1/.."', own.store.path);
      const config = join(own.runtimeDir, "..", "mapped.conf");
      writeFileSync(config, mapLines);
      const gone = await place.watch("mapped", "filled");
      await own.ok(["lxc-create", ...own.store.at("mapped"), "-f", config, "-t", "busybox", ...kind.words]);
      await own.ok(["lxc-start", ...own.store.at("mapped")]);
      assert.equal(await place.inside("mapped", "stat -c %u:%g / /bin/busybox; touch /x /root/y"), "0:0\n0:0");
      await own.ok(["lxc-stop", "-k", ...own.store.at("mapped")]);
      const file = template(place, "mapped", 'mkdir "$root/etc"; stat -c %u:%g "$root" "$root/etc"');
      const said = await own.ok(["lxc-create", ...own.store.at("filled"), "-f", config, "-t", file, ...kind.words]);
      assert.equal(said, "0:0\n0:0\n");
      for (const name of ["mapped", "filled"]) await own.ok(["lxc-destroy", ...own.store.at(name)]);
      await gone("id-mapped containers");
    });

    it("is made for two at once, and for one of two of the same name", async (t) => {
      if (kind.isLacking(t)) return;
      const place = await storePlace(t, kind);
      const { own } = place;
      const gone = await place.watch("left", "right", "same");
      const made = await Promise.all(
        ["left", "right", "same", "same"].map((name) =>
          own.command(place.create(name, "-t", "busybox", ...kind.words)),
        ),
      );
      assert.deepEqual(
        made.slice(0, 2).map(({ status }) => status),
        [0, 0],
        made[0]?.stderr,
      );
      assert.deepEqual(
        made
          .slice(2)
          .map(({ status }) => status)
          .sort((one, other) => one - other),
        [0, 1],
      );
      const again = await own.command(place.create("same", "-t", "busybox", ...kind.words));
      assert.deepEqual([again.status, again.stderr], [1, "lxc-create: same: Container already exists\n"]);
      for (const name of ["left", "right", "same"]) {
        await own.ok(["lxc-start", ...own.store.at(name)]);
        await own.ok(["lxc-stop", "-k", ...own.store.at(name)]);
        await own.ok(["lxc-destroy", ...own.store.at(name)]);
      }
      await gone("several");
    });

    it("of an ephemeral container goes when it stops", async (t) => {
      if (kind.isLacking(t)) return;
      const place = await storePlace(t, kind);
      const { own } = place;
      const gone = await place.watch("brief");
      await own.ok(place.create("brief", "-t", "busybox", ...kind.words));
      const config = join(own.store.path, "brief/config");
      await place.sh('echo "lxc.ephemeral = 1" >> "$1"', config);
      await own.ok(["lxc-start", ...own.store.at("brief")]);
      await own.ok(["lxc-stop", "-k", ...own.store.at("brief")]);
      await gone("an ephemeral container");
    });
  });
}

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
