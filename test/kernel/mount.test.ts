import assert from "node:assert/strict";
import { chownSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { command, ok } from "../support/command.js";
import { lacks } from "../support/skip.js";
import { type Guest, guests, mountsInside, type SeenMount } from "./guest.js";

const map = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\nlxc.rootfs.options = idmap=container\n";
const entry = (line: string): string => `lxc.mount.entry = ${line}\n`;

describe("mount entries", () => {
  const { define, started, store } = guests();
  /** A directory of the host with a file in it. */
  const source = (name: string): string => {
    const path = join(store.path, ".sources", name);
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, "file"), `of ${name}\n`);
    return path;
  };

  describe("one container with many", () => {
    let guest: Guest;
    let mounts: ReadonlyMap<string, SeenMount>;
    const options = (point: string): readonly string[] => {
      const mount = mounts.get(point);
      assert.ok(mount, `nothing is mounted on ${point}: ${[...mounts.keys()].join(" ")}`);
      return mount.options;
    };
    before(async () => {
      const data = source("data");
      const spaced = source("with blank");
      const table = join(store.path, ".sources", "fstab");
      writeFileSync(
        table,
        `# a comment\n\n${data} mnt/table none bind,create=dir 0 0\ntmpfs mnt/tabletmp tmpfs size=64k,mode=0700,create=dir\n${spaced.replaceAll(" ", "\\040")} mnt/blank\\040inside none bind,create=dir 0 0\n`,
      );
      guest = define(
        "many",
        `lxc.mount.fstab = ${table}\n` +
          entry(`${data} mnt/rw none bind,create=dir 0 0`) +
          entry(`${data} mnt/ro none bind,ro,create=dir 0 0`) +
          entry(`${data} mnt/guarded none bind,nosuid,nodev,noexec,noatime,create=dir 0 0`) +
          entry(`${data}/file mnt/onefile none bind,create=file 0 0`) +
          entry(`${data}/file mnt/deep/er/onefile none bind,ro,create=file 0 0`) +
          entry(`${data} mnt/deep/er/dir none bind,create=dir 0 0`) +
          entry(`/nowhere/at/all mnt/absent none bind,optional,create=dir 0 0`) +
          entry(`nosuchfs mnt/absent2 nosuchfs optional,create=dir 0 0`) +
          entry(`etc mnt/relative none bind,relative,create=dir 0 0`) +
          entry(`tmpfs mnt/tmp tmpfs size=128k,mode=1777,nosuid,create=dir 0 0`) +
          entry(`${data} ${store.path}/many/rootfs/mnt/absolute none bind,create=dir 0 0`) +
          entry(`${data} /somewhere/else none bind,create=dir 0 0`) +
          entry(`${data} mnt/private none bind,private,create=dir 0 0`) +
          entry(`${data} mnt/slave none bind,slave,create=dir 0 0`) +
          entry(`${data} mnt/unbindable none bind,unbindable,create=dir 0 0`) +
          entry(`${data} mnt/first none bind,create=dir 0 0`) +
          entry(`tmpfs mnt/first tmpfs size=64k 0 0`) +
          entry(`${data} mnt/up/../sideways none bind,create=dir 0 0`),
      );
      await guest.start();
      mounts = await mountsInside(guest);
    });

    it("a bind shows the host's directory and writes to it", async () => {
      await guest.sh("echo inside > /mnt/rw/written");
      assert.ok(existsSync(join(store.path, ".sources/data/written")));
    });
    it("bind,ro cannot be written though its file system can", async () => {
      assert.ok(options("/mnt/ro").includes("ro"));
      assert.match((await guest.try("touch /mnt/ro/x")).stderr, /Read-only/);
    });
    it("nosuid, nodev, noexec and noatime are on the bind", () => {
      for (const word of ["nosuid", "nodev", "noexec", "noatime"])
        assert.ok(options("/mnt/guarded").includes(word), word);
    });
    it("create=file makes the file and its parents, create=dir the directories", async () => {
      assert.equal(
        await guest.sh("cat /mnt/onefile /mnt/deep/er/onefile /mnt/deep/er/dir/file"),
        "of data\nof data\nof data",
      );
      assert.equal(statSync(join(guest.rootfs, "mnt/deep/er/dir")).mode & 0o777, 0o755);
      assert.equal(statSync(join(guest.rootfs, "mnt/deep/er/onefile")).size, 0);
    });
    it("optional entries whose source or file system is missing are passed over", () => {
      assert.ok(!mounts.has("/mnt/absent") && !mounts.has("/mnt/absent2"));
    });
    it("relative takes its source inside the container", async () => {
      assert.equal(await guest.sh("cat /mnt/relative/passwd"), await guest.sh("cat /etc/passwd"));
      assert.equal(mounts.get("/mnt/relative")?.root.endsWith("many/rootfs/etc"), true);
    });
    it("a tmpfs has its own options and its mount's", async () => {
      assert.deepEqual(
        [mounts.get("/mnt/tmp")?.fstype, mounts.get("/mnt/tmp")?.superOptions.includes("size=128k")],
        ["tmpfs", true],
      );
      assert.ok(options("/mnt/tmp").includes("nosuid"));
      assert.equal(await guest.sh("stat -c %a /mnt/tmp"), "1777");
    });
    it("lines of lxc.mount.fstab are mounted, with blanks written as \\040", async () => {
      assert.equal(
        await guest.sh("cat /mnt/table/file '/mnt/blank inside/file'; stat -c %a /mnt/tabletmp"),
        "of data\nof with blank\n700",
      );
    });
    it("an absolute target below the rootfs is that place inside", () => {
      assert.ok(mounts.has("/mnt/absolute"));
    });
    it("an absolute target elsewhere is left out, and nothing of the host is mounted over", async () => {
      assert.ok(!mounts.has("/somewhere/else"));
      assert.ok(!existsSync("/somewhere"));
    });
    it("propagation words are applied", async () => {
      assert.deepEqual(
        mounts.get("/mnt/private")?.propagation,
        ["shared:1"].filter(() => false),
      );
      assert.ok(mounts.get("/mnt/unbindable")?.propagation.includes("unbindable"));
    });
    it("everything else is shared inside, so that mounts spread to what the guest makes of it", () => {
      for (const point of ["/mnt/rw", "/proc", "/dev", "/"])
        assert.ok(
          mounts.get(point)?.propagation.some((word) => word.startsWith("shared:")),
          point,
        );
    });
    it("entries are mounted in their order: the last one is on top", () => {
      assert.equal(mounts.get("/mnt/first")?.fstype, "tmpfs");
    });
    it(".. in a target stays inside", () => {
      assert.ok(mounts.has("/mnt/sideways"));
    });
  });

  it("rbind brings the mounts below along, bind does not", async () => {
    const data = source("tree");
    mkdirSync(join(data, "sub"));
    await ok(["mount", "-t", "tmpfs", "islt-sub", join(data, "sub")]);
    try {
      const guest = await started(
        "recursive",
        entry(`${data} mnt/r none rbind,ro,create=dir 0 0`) + entry(`${data} mnt/b none bind,create=dir 0 0`),
      );
      const mounts = await mountsInside(guest);
      assert.equal(mounts.get("/mnt/r/sub")?.source, "islt-sub");
      assert.ok(!mounts.has("/mnt/b/sub"));
      // A read-only rbind that left a writable mount below would be no guard at all.
      assert.ok(mounts.get("/mnt/r")?.options.includes("ro"));
      await guest.kill();
    } finally {
      await ok(["umount", join(data, "sub")]);
    }
  });

  it("a bind of what the host mounted nosuid,nodev keeps these", async () => {
    const data = source("locked");
    await ok(["mount", "-t", "tmpfs", "-o", "nosuid,nodev", "islt-locked", data]);
    try {
      const guest = await started("locks", map + entry(`${data} mnt none bind,ro 0 0`));
      const options = (await mountsInside(guest)).get("/mnt")?.options ?? [];
      for (const word of ["ro", "nosuid", "nodev"]) assert.ok(options.includes(word), `${word} in ${options.join()}`);
      await guest.kill();
    } finally {
      await ok(["umount", data]);
    }
  });

  it("a missing source is an error that names it and its line", async () => {
    assert.match(
      await define("nosource", entry("/nowhere mnt none bind 0 0")).refuses(),
      /\/nowhere.*config:\d+ lxc\.mount\.entry/,
    );
  });

  it("a missing target without create= is an error that names it", async () => {
    assert.match(
      await define("notarget", entry(`${source("t")} mnt/missing none bind 0 0`)).refuses(),
      /mnt\/missing.*create=dir/,
    );
  });

  it("an unknown file system is an error that names it", async () => {
    assert.match(await define("nofs", entry("x mnt nosuchfs defaults 0 0")).refuses(), /ENODEV.*lxc\.mount\.entry/);
  });

  it("overlay works, and makes its upper and work directories", async (t) => {
    if (lacks(t, "overlay")) return;
    const lower = source("lower");
    const top = join(store.path, "overlaid", "overlay");
    const guest = await started(
      "overlaid",
      entry(`overlay mnt overlay lowerdir=${lower},upperdir=${top}/upper,workdir=${top}/work 0 0`),
    );
    assert.equal(await guest.sh("cat /mnt/file; echo new > /mnt/made; cat /mnt/made"), "of lower\nnew");
    assert.deepEqual(readdirSync(join(top, "upper")), ["made"]);
    assert.deepEqual(readdirSync(lower), ["file"]);
  });

  it("idmap=container shows a bind's files as the container's root's", async (t) => {
    if (lacks(t, "userns")) return;
    const data = source("mapped");
    const guest = await started(
      "mapped",
      map + entry(`${data} mnt none bind,idmap=container 0 0`) + entry(`${data} srv none bind,create=dir 0 0`),
    );
    assert.equal(await guest.sh("stat -c %u:%g /mnt/file /srv/file"), "0:0\n65534:65534");
    await guest.sh("echo x > /mnt/new");
    assert.equal(statSync(join(data, "new")).uid, 0);
    assert.notEqual((await guest.try("echo x > /srv/new2")).status, 0);
  });

  it("a user namespace gets binds of places that its root could not reach itself", async (t) => {
    if (lacks(t, "userns")) return;
    const secret = source("secret");
    const data = join(secret, "open");
    mkdirSync(data);
    chownSync(data, 100000, 100000);
    await ok(["chmod", "700", secret]);
    const guest = await started(
      "reaching",
      map + entry(`${data} mnt none bind 0 0`) + entry(`/nowhere srv none bind,optional,create=dir 0 0`),
    );
    await guest.sh("touch /mnt/ours");
    assert.ok(existsSync(join(data, "ours")));
  });

  describe("hostile root file systems", () => {
    const data = (): string => source("hostile");
    const outside = (): string => {
      const path = join(store.path, ".sources", "outside");
      mkdirSync(path, { recursive: true });
      return path;
    };
    /** A target through a link: it is refused or lands inside; the host's directory stays as it was. */
    const check = async (
      name: string,
      make: (rootfs: string) => void,
      target: string,
      extra = "create=dir",
    ): Promise<void> => {
      const guest = define(name, entry(`${data()} ${target} none bind,${extra} 0 0`));
      make(guest.rootfs);
      const untouched = readdirSync(outside());
      const result = await command(["lxc-start", ...guest.at]);
      assert.deepEqual(readdirSync(outside()), untouched);
      assert.doesNotMatch(await ok(["cat", "/proc/self/mountinfo"]), new RegExp(`${outside()} `));
      if (result.status !== 0) assert.match(result.stderr, /ELOOP|ENOENT|ENOTDIR|EEXIST|EXDEV/);
      else {
        const mounts = await mountsInside(guest);
        for (const [point, mount] of mounts)
          if (mount.root.endsWith(".sources/hostile")) assert.ok(!point.startsWith("/proc"), point);
        await guest.kill();
      }
    };

    it("a target that is an absolute link does not land outside", async () => {
      await check(
        "abslink",
        (rootfs) => {
          symlinkSync(outside(), join(rootfs, "mnt/link"));
        },
        "mnt/link",
      );
    });
    it("a parent that is an absolute link does not land outside", async () => {
      await check(
        "absparent",
        (rootfs) => {
          symlinkSync(outside(), join(rootfs, "mnt/link"));
        },
        "mnt/link/new",
      );
    });
    it("a chain of .. links does not land outside", async () => {
      await check(
        "dotdot",
        (rootfs) => {
          symlinkSync(`../../../../../../../..${outside()}`, join(rootfs, "mnt/link"));
        },
        "mnt/link/new",
      );
    });
    it("a dangling link is not written through", async () => {
      await check(
        "dangling",
        (rootfs) => {
          symlinkSync(join(outside(), "made-by-us"), join(rootfs, "mnt/link"));
        },
        "mnt/link",
        "create=file",
      );
    });
    it("links through /proc do not land outside", async () => {
      await check(
        "procroot",
        (rootfs) => {
          symlinkSync(`/proc/1/root${outside()}`, join(rootfs, "mnt/link"));
        },
        "mnt/link/new",
      );
    });
    it("a relative source that is a link to the host's /etc shows the container's", async () => {
      const guest = define("relsource", entry("mnt/link root/seen none bind,relative,create=dir 0 0"));
      rmSync(join(guest.rootfs, "etc/passwd"));
      writeFileSync(join(guest.rootfs, "etc/passwd"), "root:x:0:0:islt-own:/root:/bin/sh\n");
      symlinkSync("../../../../../../../etc", join(guest.rootfs, "mnt/link"));
      await guest.start();
      assert.match(await guest.sh("cat /root/seen/passwd"), /islt-own/);
    });
    it("a /dev that is a link is refused", async () => {
      const guest = define("devlink");
      rmSync(join(guest.rootfs, "dev"), { recursive: true });
      symlinkSync(outside(), join(guest.rootfs, "dev"));
      assert.match(await guest.refuses(), /\/dev.*ELOOP/);
      assert.deepEqual(readdirSync(outside()), []);
    });
    it("with autodev = 0 the console, ttys and ptmx of a hostile /dev do not land outside", async () => {
      const guest = define("devfiles", "lxc.autodev = 0\nlxc.tty.max = 1\n");
      for (const name of ["console", "tty1", "ptmx", "pts"])
        symlinkSync(join(outside(), name), join(guest.rootfs, "dev", name));
      await guest.refuses();
      assert.deepEqual(readdirSync(outside()), []);
      assert.doesNotMatch(await ok(["cat", "/proc/self/mountinfo"]), new RegExp(outside()));
    });
  });
});
