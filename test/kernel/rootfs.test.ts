import assert from "node:assert/strict";
import { chownSync, existsSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ok } from "../support/command.js";
import { lacks } from "../support/skip.js";
import { guests, hasLine, mountsInside } from "./guest.js";

const map = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";

describe("root file system", () => {
  const { define, started, store } = guests();

  it("of the kind dir is the root inside, writable, and what is written there is in the directory", async () => {
    const guest = await started("dir");
    await guest.sh("echo from-inside > /root/seen");
    assert.ok(existsSync(join(guest.rootfs, "root/seen")));
  });

  it("needs no dir: before its path", async () => {
    const guest = define("bare");
    writeFileSync(join(guest.directory, "config"), `lxc.rootfs.path = ${guest.rootfs}\nlxc.net.0.type = empty\n`);
    await guest.start();
    assert.equal(await guest.sh("ls -d /bin/busybox"), "/bin/busybox");
  });

  it("nothing of the host's root is left in view", async () => {
    const guest = await started("closed");
    const mounts = await mountsInside(guest);
    assert.equal(mounts.get("/")?.fstype !== undefined, true);
    for (const point of mounts.keys()) assert.match(point, /^\/(dev|proc|sys)?(\/|$)/, point);
    assert.deepEqual((await guest.sh("ls /")).split("\n").sort(), [
      "bin",
      "dev",
      "etc",
      "mnt",
      "proc",
      "root",
      "run",
      "sbin",
      "sys",
      "tmp",
      "var",
    ]);
  });

  it("its root mount is shared inside, and nothing of it spreads to the host", async () => {
    const guest = await started("spread");
    const root = (await mountsInside(guest)).get("/");
    assert.ok(root?.propagation.some((word) => word.startsWith("shared:")));
    await guest.sh("mount -t tmpfs islt-inner /mnt");
    assert.doesNotMatch(await ok(["cat", "/proc/self/mountinfo"]), /islt-inner/);
  });

  it("with the option ro cannot be written, while /dev can", async () => {
    const guest = await started("readonly", "lxc.rootfs.options = ro\n");
    assert.match((await guest.try("touch /root/x")).stderr, /Read-only file system/);
    await guest.sh("touch /dev/x");
    assert.ok((await mountsInside(guest)).get("/")?.options.includes("ro"));
  });

  it("with nosuid and nodev carries both", async () => {
    const options =
      (await mountsInside(await started("guarded", "lxc.rootfs.options = nosuid,nodev\n"))).get("/")?.options ?? [];
    assert.ok(options.includes("nosuid") && options.includes("nodev"), options.join());
  });

  it("that is missing is named with the line of the configuration", async () => {
    const guest = define("missing");
    rmSync(guest.rootfs, { recursive: true });
    const text = await guest.refuses();
    assert.match(text, /root file system.*missing\/rootfs.*config:1 lxc\.rootfs\.path/);
  });

  it("that is a file is refused", async () => {
    const guest = define("afile");
    rmSync(guest.rootfs, { recursive: true });
    writeFileSync(guest.rootfs, "");
    assert.match(await guest.refuses(), /afile\/rootfs/);
  });

  it("may be reached through a symbolic link of the host", async () => {
    const guest = define("linked");
    symlinkSync(guest.rootfs, join(guest.directory, "link"));
    writeFileSync(
      join(guest.directory, "config"),
      `lxc.rootfs.path = dir:${guest.directory}/link\nlxc.net.0.type = empty\n`,
    );
    await guest.start();
    assert.equal(await guest.sh("ls -d /bin/busybox"), "/bin/busybox");
  });

  it("is mounted at lxc.rootfs.mount for the hooks, and the directory is empty outside", async () => {
    const guest = define("mounted");
    const place = join(guest.directory, "place");
    mkdirSync(place);
    const seen = join(guest.directory, "seen");
    writeFileSync(
      join(guest.directory, "config"),
      `lxc.rootfs.path = dir:${guest.rootfs}\nlxc.rootfs.mount = ${place}\nlxc.net.0.type = empty\nlxc.hook.mount = /bin/sh -c 'ls $LXC_ROOTFS_MOUNT > ${seen}; echo $LXC_ROOTFS_MOUNT >> ${seen}'\n`,
    );
    await guest.start();
    const text = await ok(["cat", seen]);
    hasLine(text, "sbin");
    hasLine(text, place);
    assert.equal(await ok(["ls", place]), "");
  });

  it("a missing lxc.rootfs.mount is named", async () => {
    assert.match(
      await define("noplace", `lxc.rootfs.mount = ${store.path}/nowhere`).refuses(),
      /nowhere.*lxc\.rootfs\.mount/,
    );
  });

  it("standard directories are made where they are missing, and a link in their place is refused", async () => {
    const guest = define("sparse");
    for (const name of ["proc", "sys", "dev"]) rmSync(join(guest.rootfs, name), { recursive: true });
    await guest.start();
    assert.equal(await guest.sh("ls -d /proc/1 /sys/class /dev/null | wc -l"), "3");
    const hostile = define("hostile");
    rmSync(join(hostile.rootfs, "proc"), { recursive: true });
    symlinkSync("/sys", join(hostile.rootfs, "proc"));
    assert.match(await hostile.refuses(), /\/proc.*ELOOP/);
  });

  describe("with an id map", () => {
    it("idmapped shows files of the host's root as root's inside, and what root writes is the host's root's", async (t) => {
      if (lacks(t, "userns")) return;
      const guest = define("idmapped", `${map}lxc.rootfs.options = idmap=container\n`);
      writeFileSync(join(guest.rootfs, "root/old"), "");
      await guest.start();
      assert.equal(await guest.sh("stat -c %u:%g /root/old /bin/busybox"), "0:0\n0:0");
      await guest.sh("echo x > /root/new; chown 1000:1000 /root/new");
      const made = statSync(join(guest.rootfs, "root/new"));
      assert.deepEqual([made.uid, made.gid], [1000, 1000]);
      assert.equal((await ok(["stat", "-c", "%u", `/proc/${await guest.pid()}`])).trim(), "100000");
    });

    it("shifted on disk works without an idmapped mount", async (t) => {
      if (lacks(t, "userns")) return;
      const guest = define("shifted", map);
      await ok(["chown", "-hR", "100000:100000", guest.rootfs]);
      await guest.start();
      assert.equal(await guest.sh("stat -c %u:%g /bin/busybox"), "0:0");
      await guest.sh("echo x > /root/new");
      assert.equal(statSync(join(guest.rootfs, "root/new")).uid, 100000);
    });

    it("as lxc-create makes it from a configuration with an id map, starts and belongs to the container", async (t) => {
      if (lacks(t, "userns")) return;
      const config = join(store.path, ".mapped.conf");
      writeFileSync(config, `${map}lxc.net.0.type = empty\n`);
      const at = store.at("created");
      await ok(["lxc-create", ...at, "-f", config, "-t", "busybox"]);
      await ok(["lxc-start", ...at]);
      const seen = await ok([
        "lxc-attach",
        ...at,
        "--",
        "/bin/sh",
        "-c",
        "stat -c %u:%g /bin/busybox /root /etc/passwd | sort -u; touch /root/mine && rm /root/mine; id -u",
      ]);
      assert.equal(seen, "0:0\n0\n");
      assert.equal(statSync(join(store.path, "created/rootfs/bin/busybox")).uid, 100000);
      await ok(["lxc-stop", ...at, "-k"]);
      await ok(["lxc-destroy", ...at]);
      assert.ok(!existsSync(join(store.path, "created")));
    });

    it("files outside of the map are nobody's, and root inside may not touch them", async (t) => {
      if (lacks(t, "userns")) return;
      const guest = define("strange", map);
      await ok(["chown", "-hR", "100000:100000", guest.rootfs]);
      const file = join(guest.rootfs, "root/strange");
      writeFileSync(file, "");
      chownSync(file, 0, 0);
      await guest.start();
      assert.equal(await guest.sh("stat -c %u:%g /root/strange"), "65534:65534");
      assert.notEqual((await guest.try("chown 0:0 /root/strange")).status, 0);
    });

    it("of another user namespace by its path", async (t) => {
      if (lacks(t, "userns")) return;
      const donor = define("mapdonor", `${map}lxc.rootfs.options = idmap=container\n`);
      await donor.start();
      const guest = define("bypath", `${map}lxc.rootfs.options = idmap=/proc/${await donor.pid()}/ns/user\n`);
      await guest.start();
      assert.equal(await guest.sh("stat -c %u /bin/busybox"), "0");
    });
  });
});
