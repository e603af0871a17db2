import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { command } from "../support/command.js";
import { installInit } from "../support/guest-init.js";
import { lacks } from "../support/skip.js";
import { guests } from "./guest.js";
import { type LxdKind, lxdGuest } from "./guest-lxd.js";

/** What an image must have for the profile lxd, and what becomes of one that lacks it. */

const twoKinds: readonly LxdKind[] = ["privileged", "shifted"];

/** An ELF file whose header names another machine: 0xb7 is aarch64, 0x3e x86_64. */
function foreignProgram(path: string): void {
  installInit(join(path, "../.."), "sbin/init");
  const bytes = readFileSync(path);
  bytes.writeUInt16LE(process.arch === "arm64" ? 0x3e : 0xb7, 18);
  writeFileSync(path, bytes, { mode: 0o755 });
}

interface Broken {
  readonly what: string;
  readonly image: (init: string) => void;
  readonly says: RegExp;
}

const broken: readonly Broken[] = [
  {
    what: "is missing",
    image: () => undefined,
    says: /cannot execute \/sbin\/init: ENOENT.*\/rootfs\/sbin\/init.*does not exist in the container: install an init there.*lxc\.init\.cmd/,
  },
  {
    what: "is not executable",
    image: (init) => {
      writeFileSync(init, "#!/bin/sh\n", { mode: 0o644 });
    },
    says: /cannot execute \/sbin\/init: EACCES.*\/rootfs\/sbin\/init is not executable.*chmod 755/,
  },
  {
    what: "is a directory",
    image: (init) => {
      mkdirSync(init);
    },
    says: /cannot execute \/sbin\/init: EACCES.*\/rootfs\/sbin\/init/,
  },
  {
    what: "is a program of another machine",
    image: foreignProgram,
    says: /cannot execute \/sbin\/init: ENOEXEC.*not a program of this machine's architecture: use an image for this machine/,
  },
  {
    what: "is a script whose interpreter is missing",
    image: (init) => {
      writeFileSync(init, "#!/nowhere/sh\n", { mode: 0o755 });
    },
    says: /cannot execute \/sbin\/init: ENOENT.*or the interpreter that it names/,
  },
  {
    what: "is a link to itself",
    image: (init) => {
      symlinkSync("init", init);
    },
    says: /cannot execute \/sbin\/init: ELOOP.*lead in a circle/,
  },
  {
    what: "is a link out of the root file system",
    image: (init) => {
      symlinkSync("../../../../../../../../../../../bin/systemctl", init);
    },
    says: /cannot execute \/sbin\/init: ENOENT/,
  },
];

describe("an image for the profile lxd", () => {
  const all = guests();

  for (const kind of twoKinds) {
    it(`FS1: may lack /dev, /proc and /sys: they are made (${kind})`, async (t) => {
      if (kind !== "privileged" && lacks(t, "userns")) return;
      const guest = lxdGuest(all, kind, `islt-lxd-bare-${kind}`);
      await guest.start();
      assert.equal(await guest.sh("stat -c '%a %u:%g' /dev; ls -d /proc/1 /sys/class /dev/null | wc -l"), "755 0:0\n3");
    });
  }

  for (const name of ["dev", "proc", "sys"]) {
    it(`FS1: may not have a link in the place of /${name}, which would lead a mount astray`, async () => {
      const guest = lxdGuest(all, "privileged", `islt-lxd-link-${name}`, {
        image: (rootfs) => {
          symlinkSync("/tmp", join(rootfs, name));
        },
      });
      assert.match(await guest.refuses(), new RegExp(`/${name}.*symbolic link`));
      assert.equal(await guest.state(), "STOPPED");
    });
  }

  it("FS1: may have something in /dev: it is never seen", async () => {
    const guest = lxdGuest(all, "privileged", "islt-lxd-hidden", {
      image: (rootfs) => {
        mkdirSync(join(rootfs, "dev"));
        writeFileSync(join(rootfs, "dev/of-the-image"), "");
        writeFileSync(join(rootfs, "dev/null"), "");
      },
    });
    await guest.start();
    assert.equal(
      await guest.sh("ls /dev/of-the-image 2>&1 || stat -c %F /dev/null"),
      "ls: /dev/of-the-image: No such file or directory\ncharacter special file",
    );
  });

  for (const kind of twoKinds) {
    broken.forEach(({ what, image, says }, index) => {
      it(`FS2: whose /sbin/init ${what} is refused with one clear line, and nothing is left (${kind})`, async (t) => {
        if (kind !== "privileged" && lacks(t, "userns")) return;
        const guest = lxdGuest(all, kind, `islt-lxd-broken${index}-${kind}`, {
          image: (rootfs) => {
            rmSync(join(rootfs, "sbin/init"));
            image(join(rootfs, "sbin/init"));
          },
        });
        const lines = (await guest.refuses()).split("\n").filter((line) => line.includes("/sbin/init"));
        assert.equal(lines.length, 1, lines.join("\n"));
        assert.match(lines[0] ?? "", says);
        assert.equal(await guest.state(), "STOPPED");
        const left = await command(["sh", "-c", `ls -d /sys/fs/cgroup/*/lxc.payload.${guest.name}* 2>/dev/null`]);
        assert.equal(left.stdout, "");
      });
    });
  }

  it("FS2: may have a script as /sbin/init", async () => {
    const guest = lxdGuest(all, "privileged", "islt-lxd-script", {
      image: (rootfs) => {
        rmSync(join(rootfs, "sbin/init"));
        writeFileSync(join(rootfs, "sbin/init"), '#!/bin/sh\necho "$0" > /ran\nexec /bin/sleep 3600\n', {
          mode: 0o755,
        });
      },
    });
    await guest.start();
    assert.equal(
      await guest.sh("for n in 1 2 3 4 5 6 7 8 9; do test -s /ran && break; sleep 0.1; done; cat /ran"),
      "/sbin/init",
    );
  });

  for (const kind of twoKinds) {
    it(`FS4: with nodes keeps them for a privileged guest, and for an id-mapped one where the configuration says dev (${kind})`, async (t) => {
      if (kind !== "privileged" && lacks(t, "userns")) return;
      const guest = lxdGuest(all, kind, `islt-lxd-nodes-${kind}`, {
        config: kind === "privileged" ? "" : "lxc.rootfs.options = dev\n",
        image: (rootfs) => {
          execFileSync("mknod", ["-m", "666", join(rootfs, "islt-null"), "c", "1", "3"]);
        },
      });
      await guest.start();
      await guest.sh("echo x > /islt-null");
    });
  }

  for (const [where, links] of [
    ["usr/lib/systemd", { lib: "usr/lib", "sbin/init": "/lib/systemd/systemd" }],
    ["lib/systemd", { "sbin/init": "../lib/systemd/systemd" }],
    ["usr/lib/systemd", { "etc/init-of-choice": "../usr/lib/systemd/systemd", "sbin/init": "/etc/init-of-choice" }],
  ] as const) {
    it(`D7: where /sbin/init leads to /${where}/systemd, /dev/log is the link that its journal wants (${Object.values(links).join(" ")})`, async () => {
      const guest = lxdGuest(all, "privileged", `islt-lxd-sysd${Object.values(links).join("").length}`, {
        image: (rootfs) => {
          mkdirSync(join(rootfs, where), { recursive: true });
          installInit(rootfs, `${where}/systemd`);
          rmSync(join(rootfs, "sbin/init"));
          for (const [path, target] of Object.entries(links)) symlinkSync(target, join(rootfs, path));
        },
      });
      await guest.start();
      assert.equal(await guest.sh("readlink /dev/log"), "/run/systemd/journal/dev-log");
      // busybox's daemon goes where the link leads.
      await guest.sh(
        "mkdir -p /run/systemd/journal; syslogd -O /root/m; for n in 1 2 3 4 5; do logger islt-hello; grep -q islt-hello /root/m && exit; sleep 0.2; done; exit 1",
      );
    });
  }

  it("D7: an init that only looks like systemd from outside the guest gets a socket", async () => {
    const guest = lxdGuest(all, "privileged", "islt-lxd-notsysd", {
      image: (rootfs) => {
        mkdirSync(join(rootfs, "usr/lib/systemd"), { recursive: true });
        // Another program of that name; and one that leads out of the root.
        installInit(rootfs, "usr/lib/systemd/systemd");
        mkdirSync(join(rootfs, "lib"), { recursive: true });
        symlinkSync("../../../../../../../../../../../../lib/systemd", join(rootfs, "lib/systemd"));
      },
    });
    await guest.start();
    assert.equal(await guest.sh("stat -c %F /dev/log"), "socket");
  });

  it("FS1: with a /sys that nobody may search and a fifo for a program starts and hangs nowhere", async () => {
    const guest = lxdGuest(all, "privileged", "islt-lxd-hostile", {
      image: (rootfs) => {
        mkdirSync(join(rootfs, "proc"));
        mkdirSync(join(rootfs, "sys"));
        chmodSync(join(rootfs, "sys"), 0o000);
        mkdirSync(join(rootfs, "usr/lib/systemd"), { recursive: true });
        execFileSync("mkfifo", [join(rootfs, "usr/lib/systemd/systemd")]);
      },
    });
    await guest.start();
    assert.equal(await guest.sh("stat -c %F /dev/log"), "socket");
  });
});
