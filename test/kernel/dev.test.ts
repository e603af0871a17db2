import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { ok } from "../support/command.js";
import { lacks } from "../support/skip.js";
import { type Guest, guests, mountsInside, nodes } from "./guest.js";

const links = [
  ["fd", "/proc/self/fd"],
  ["stdin", "/proc/self/fd/0"],
  ["stdout", "/proc/self/fd/1"],
  ["stderr", "/proc/self/fd/2"],
] as const;

describe("/dev", () => {
  const { define, started } = guests();

  describe("populated", () => {
    let guest: Guest;
    before(async () => {
      guest = await started("populated", "lxc.tty.max = 3\n");
    });

    for (const [name, numbers] of nodes) {
      it(`has ${name} with its numbers and mode 0666`, async () => {
        assert.equal(
          await guest.sh(`stat -c '%F %t:%T %a %u:%g' /dev/${name}`),
          `character special file ${numbers} 666 0:0`,
        );
      });
    }
    for (const [name, target] of links) {
      it(`links ${name} to ${target}`, async () => {
        assert.equal(await guest.sh(`readlink /dev/${name}`), target);
      });
    }

    it("the devices work", async () => {
      assert.equal(
        await guest.sh(
          "head -c 4 /dev/zero | wc -c; echo x > /dev/null; head -c 2 /dev/urandom | wc -c; echo x > /dev/full || echo full",
        ),
        "4\n2\nfull",
      );
    });

    it("has pts, ptmx, console and tty1 to ttyN, and nothing else", async () => {
      assert.deepEqual(
        (await guest.sh("ls /dev")).split("\n").sort(),
        [
          ...nodes.map(([name]) => name),
          ...links.map(([name]) => name),
          "console",
          "ptmx",
          "pts",
          "tty1",
          "tty2",
          "tty3",
        ].sort(),
      );
    });

    it("is a tmpfs of 500000 bytes with mode 0755 that root can write", async () => {
      const dev = (await mountsInside(guest)).get("/dev");
      assert.equal(dev?.fstype, "tmpfs");
      assert.equal(await guest.sh("stat -c %a /dev; stat -f -c '%b*%S' /dev"), "755\n123*4096");
      await guest.sh("mknod /dev/mine c 1 3 && rm /dev/mine");
    });

    it("its devpts is an instance of its own with gid 5, mode 0620, ptmxmode 0666 and max pty.max + tty.max", async () => {
      const pts = (await mountsInside(guest)).get("/dev/pts");
      assert.equal(pts?.fstype, "devpts");
      for (const option of ["gid=5", "mode=620", "ptmxmode=666", "max=4"])
        assert.ok(pts?.superOptions.includes(option), `${option} in ${pts?.superOptions.join()}`);
      assert.equal(await guest.sh("stat -c '%t:%T %a' /dev/ptmx"), "5:2 666");
    });

    it("the console is a pty for its owner and the group of terminals", async () => {
      assert.match(await guest.sh("stat -c '%t %a' /dev/console"), /^88 6[02]0$/);
      assert.match(await guest.sh("stat -c '%t %a %g' /dev/tty1"), /^88 620 5$/);
    });
  });

  it("takes its size from lxc.autodev.tmpfs.size", async () => {
    assert.equal(
      await (await started("sized", "lxc.autodev.tmpfs.size = 65536\n")).sh("stat -f -c '%b*%S' /dev"),
      "16*4096",
    );
  });

  it("with autodev = 0 is the image's own, with console and ttys on the files that are there", async () => {
    const guest = define("image", "lxc.autodev = 0\nlxc.tty.max = 1\n");
    writeFileSync(join(guest.rootfs, "dev/mark"), "");
    await ok(["mknod", "-m", "666", join(guest.rootfs, "dev/null"), "c", "1", "3"]);
    mkdirSync(join(guest.rootfs, "dev/pts"));
    await guest.start();
    assert.notEqual((await mountsInside(guest)).get("/dev")?.fstype, "tmpfs");
    assert.equal(
      await guest.sh("ls /dev/mark; stat -c %t /dev/console /dev/tty1; echo x > /dev/null"),
      "/dev/mark\n88\n88",
    );
    assert.equal((await mountsInside(guest)).get("/dev/pts")?.fstype, "devpts");
  });

  it("in a user namespace has the same nodes, bound from the host", async (t) => {
    if (lacks(t, "userns")) return;
    const guest = await started(
      "mapped",
      "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\nlxc.rootfs.options = idmap=container\n",
    );
    for (const [name, numbers] of nodes)
      assert.equal(await guest.sh(`stat -c '%t:%T %a' /dev/${name}`), `${numbers} 666`);
    assert.equal(
      await guest.sh("head -c 4 /dev/zero | wc -c; echo x > /dev/null; stat -c '%u:%g' /dev/console"),
      "4\n0:5",
    );
    for (const [name] of nodes) assert.ok((await mountsInside(guest)).has(`/dev/${name}`), name);
  });

  it("mount entries below /dev find their place", async () => {
    const guest = await started(
      "below",
      "lxc.mount.entry = shm dev/shm tmpfs defaults,create=dir 0 0\nlxc.mount.entry = mqueue dev/mqueue mqueue defaults,optional,create=dir 0 0\n",
    );
    const mounts = await mountsInside(guest);
    assert.equal(mounts.get("/dev/shm")?.fstype, "tmpfs");
    assert.equal(mounts.get("/dev/mqueue")?.fstype, "mqueue");
  });
});
