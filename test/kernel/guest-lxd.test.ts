import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { probeHost } from "../../src/host/probe.js";
import { command, type CommandResult } from "../support/command.js";
import { type Report, reportOf } from "../support/guest-init.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";
import { type Guest, guests, mountsInside, mountsOf, type SeenMount, statusOf, nodes } from "./guest.js";
import { type LxdKind, lxdGuest, lxdKinds } from "./guest-lxd.js";

/**
 * What a guest of the profile lxd finds, point by point, looked at from inside: docs/guests/lxd.md names each of them by its id. One guest of each
 * kind lives for all of them.
 */

interface Seen {
  readonly kind: LxdKind;
  readonly isMapped: boolean;
  readonly guest: Guest;
  readonly mounts: ReadonlyMap<string, SeenMount>;
  /** What its init found. */
  readonly report: Report;
}

interface Point {
  readonly id: string;
  readonly what: string;
  readonly only?: "mapped" | "privileged";
  readonly check: (seen: Seen) => Promise<void>;
}

const points: Point[] = [];
const point = (id: string, what: string, check: Point["check"], only?: Point["only"]): void => {
  points.push({ id, what, check, ...(only === undefined ? {} : { only }) });
};

const options = (seen: Seen, path: string): readonly string[] => {
  const mount = seen.mounts.get(path);
  assert.ok(mount, `nothing is mounted on ${path}`);
  return [...mount.options, ...mount.superOptions];
};

const hasAll = (found: readonly string[], ...words: readonly string[]): void => {
  for (const word of words) assert.ok(found.includes(word), `${word} in ${found.join()}`);
};

/** Fails unless a script inside fails with these words. */
const refused = async (seen: Seen, script: string, words: RegExp): Promise<void> => {
  const result = await seen.guest.try(script);
  assert.notEqual(result.status, 0, `${script}: it works`);
  assert.match(`${result.stdout}${result.stderr}`, words, script);
};

point("D1", "/dev is a tmpfs of 500000 bytes, 0755, of the guest's root", async (seen) => {
  const dev = seen.mounts.get("/dev");
  assert.equal(dev?.fstype, "tmpfs");
  assert.equal(dev.source, "none");
  hasAll(options(seen, "/dev"), "rw", "relatime", "size=492k", "mode=755");
  if (seen.isMapped) hasAll(options(seen, "/dev"), "uid=100000", "gid=100000");
  assert.equal(await seen.guest.sh("stat -c '%a %u:%g' /dev"), "755 0:0");
  await seen.guest.sh("echo x > /dev/mine && rm /dev/mine");
});

point(
  "D2",
  "full, null, random, tty, urandom and zero have their numbers, are for everybody, and work",
  async (seen) => {
    const owner = seen.isMapped ? "65534:65534" : "0:0";
    for (const [name, numbers] of nodes)
      assert.equal(
        await seen.guest.sh(`stat -c '%F %t:%T %a %u:%g' /dev/${name}`),
        `character special file ${numbers} 666 ${owner}`,
      );
    assert.equal(
      await seen.guest.sh(
        "head -c 4 /dev/zero | wc -c; echo x > /dev/null; head -c 2 /dev/urandom | wc -c; head -c 2 /dev/random | wc -c",
      ),
      "4\n2\n2",
    );
    await refused(seen, "echo x > /dev/full", /No space left/);
    // There is no controlling terminal to open: the node itself works.
    await refused(seen, ": < /dev/tty", /No such device or address/);
  },
);

point("D3", "ptmx makes a terminal of the guest's own", async (seen) => {
  assert.equal(await seen.guest.sh("stat -c '%t:%T %a %u:%g' /dev/ptmx"), "5:2 666 0:0");
  assert.equal(seen.mounts.get("/dev/ptmx")?.fstype, "devpts");
  assert.equal(await seen.guest.sh("exec 3<> /dev/ptmx; ls /dev/pts"), "0\n1\nptmx");
});

point("D4", "pts is a devpts of its own: gid=5, mode=620, ptmxmode=666, max=1024", async (seen) => {
  const found = options(seen, "/dev/pts");
  hasAll(found, "nosuid", "noexec", "mode=620", "ptmxmode=666", "max=1024", `gid=${seen.isMapped ? 100_005 : 5}`);
  assert.equal(await seen.guest.sh("stat -c '%a %u:%g' /dev/pts"), "755 0:0");
});

point("D5", "console is the first of these terminals", async (seen) => {
  assert.equal(await seen.guest.sh("stat -c '%t:%T %u:%g' /dev/console"), "88:0 0:5");
  assert.equal(seen.mounts.get("/dev/console")?.root, "/0");
});

point("D6", "fd, stdin, stdout and stderr are links", async (seen) => {
  assert.equal(
    await seen.guest.sh("for name in fd stdin stdout stderr; do readlink /dev/$name; done"),
    "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2",
  );
});

point("D7", "log is a socket that a syslog daemon replaces: busybox's syslogd and logger work", async (seen) => {
  assert.equal(await seen.guest.sh("stat -c '%F %a %u:%g' /dev/log"), "socket 666 0:0");
  await seen.guest.sh(
    "syslogd -O /root/messages; for n in 1 2 3 4 5; do logger -p user.info islt-hello; grep -q islt-hello /root/messages && exit; sleep 0.2; done; exit 1",
  );
});

point("D7", "what util-linux's logger writes reaches the daemon", async (seen) => {
  const socket = `/proc/${await seen.guest.pid()}/root/dev/log`;
  const log = (): Promise<CommandResult> => command(["logger", "--socket", socket, "--udp", "islt-from-logger"]);
  if ((await command(["logger", "--version"])).status !== 0) return;
  await seen.guest.sh("killall syslogd; rm -f /root/messages; syslogd -O /root/messages");
  await waitFor("the message to arrive", async () => {
    await log();
    return (await seen.guest.try("grep -q islt-from-logger /root/messages")).status === 0;
  });
});

for (const [id, path, numbers] of [
  ["D8", "/dev/fuse", "a:e5"],
  ["D9", "/dev/net/tun", "a:c8"],
] as const) {
  point(id, `${path} is there where the host has it, and the guest's root can open it`, async (seen) => {
    if (!existsSync(path)) {
      await refused(seen, `ls ${path}`, /No such file/);
      return;
    }
    assert.equal(await seen.guest.sh(`stat -c '%t:%T %a' ${path}`), `${numbers} 666`);
    await seen.guest.sh(`exec 3<> ${path}`);
    // An own node, whatever the host's is like; bound where the guest cannot make one.
    if (seen.isMapped) {
      assert.equal(seen.mounts.get(path)?.fstype, "tmpfs");
      hasAll(options(seen, path), "nosuid", "noexec");
    }
    assert.equal(await seen.guest.sh("stat -c '%F %a' /dev/net"), "directory 755");
  });
}

point("D10", "mqueue holds the queues of the guest's own ipc namespace", async (seen) => {
  const mount = seen.mounts.get("/dev/mqueue");
  assert.equal(mount?.fstype, "mqueue");
  hasAll(options(seen, "/dev/mqueue"), "rw", "nosuid", "nodev", "noexec");
  assert.equal(await seen.guest.sh("stat -c %a /dev/mqueue"), "1777");
  await seen.guest.sh("echo > /dev/mqueue/islt-queue; cat /dev/mqueue/islt-queue; rm /dev/mqueue/islt-queue");
});

point("D13", "nothing of the boot id is left below /dev", async (seen) => {
  assert.equal(await seen.guest.sh("ls -A /dev | grep '^[.]' || echo none"), "none");
});

point("D15", "there is no other device, and nothing else", async (seen) => {
  const expected = [
    ...nodes.map(([name]) => `/dev/${name}`),
    "/dev/console",
    "/dev/ptmx",
    "/dev/pts/0",
    "/dev/pts/ptmx",
    ...["/dev/fuse", "/dev/net/tun"].filter((path) => existsSync(path)),
  ].sort();
  assert.deepEqual((await seen.guest.sh("find /dev -type c -o -type b")).split("\n").sort(), expected);
  const names = ["fd", "log", "lxd", "mqueue", "net", "pts", "stderr", "stdin", "stdout"];
  assert.deepEqual(
    (await seen.guest.sh("ls -A /dev")).split("\n").sort(),
    [
      ...names,
      ...expected.filter((path) => path.lastIndexOf("/") === 4 && path !== "/dev/pts").map((path) => path.slice(5)),
    ].sort(),
  );
});

point(
  "DC",
  "any node may be made, and only those of the list opened",
  async (seen) => {
    await seen.guest.sh(
      "mkdir -p /root/n; for d in 'c 1 3' 'c 10 229' 'c 10 200' 'b 7 0' 'c 1 1'; do mknod \"/root/n/$(echo $d | tr ' ' -)\" $d || exit 1; done",
    );
    await seen.guest.sh("echo x > /root/n/c-1-3");
    if (existsSync("/dev/fuse")) await seen.guest.sh("exec 3<> /root/n/c-10-229");
    if (existsSync("/dev/net/tun")) await seen.guest.sh("exec 3<> /root/n/c-10-200");
    await refused(seen, ": < /root/n/b-7-0", /Operation not permitted/);
    await refused(seen, ": < /root/n/c-1-1", /Operation not permitted/);
  },
  "privileged",
);

point(
  "DC",
  "no node can be made at all",
  async (seen) => {
    await refused(seen, "mknod /root/islt-null c 1 3", /Operation not permitted/);
    await refused(seen, "mknod /dev/islt-loop b 7 0", /Operation not permitted/);
  },
  "mapped",
);

point("M1", "/ is the root file system, writable, its mounts spreading within the guest", async (seen) => {
  hasAll(options(seen, "/"), "rw", "relatime");
  assert.ok(seen.mounts.get("/")?.propagation.some((word) => word.startsWith("shared:")));
  await seen.guest.sh("echo x > /root/written");
});

point("M2", "/proc is the guest's own: in a privileged one what changes the host cannot be written", async (seen) => {
  hasAll(options(seen, "/proc"), "rw", "nosuid", "nodev", "noexec", "relatime");
  assert.equal(await seen.guest.sh("readlink /proc/self/ns/pid"), await seen.guest.sh("readlink /proc/1/ns/pid"));
  if (seen.isMapped) {
    assert.ok(!seen.mounts.has("/proc/sys"));
    await refused(seen, "cat /proc/sys/kernel/panic > /proc/sys/kernel/panic", /Permission denied/);
  } else {
    hasAll(options(seen, "/proc/sys"), "ro");
    hasAll(options(seen, "/proc/sys/net"), "rw");
    await refused(seen, "cat /proc/sys/kernel/panic > /proc/sys/kernel/panic", /Read-only/);
    if (existsSync("/proc/sysrq-trigger")) hasAll(options(seen, "/proc/sysrq-trigger"), "ro");
  }
  await seen.guest.sh("cat /proc/sys/net/ipv4/ip_forward > /proc/sys/net/ipv4/ip_forward");
});

point("M3", "/sys is the guest's own: read-only in a privileged one but for its network devices", async (seen) => {
  assert.equal(seen.mounts.get("/sys")?.fstype, "sysfs");
  assert.equal(await seen.guest.sh("ls /sys/class/net"), "lo");
  hasAll(options(seen, "/sys"), seen.isMapped ? "rw" : "ro");
  if (!seen.isMapped) hasAll(options(seen, "/sys/devices/virtual/net"), "rw");
  await refused(seen, "cat /sys/kernel/profiling > /sys/kernel/profiling", /Read-only|Permission denied|nonexistent/);
  await seen.guest.sh("cat /sys/class/net/lo/mtu > /sys/class/net/lo/mtu");
});

point("M4", "/sys/fs/cgroup is left to init, which can mount every hierarchy", async (seen) => {
  const isPure = !/ - cgroup /.test(readFileSync("/proc/self/mountinfo", "utf8"));
  if (isPure) {
    assert.equal(seen.mounts.get("/sys/fs/cgroup")?.fstype, "cgroup2");
    hasAll(options(seen, "/sys/fs/cgroup"), "rw");
  } else {
    assert.equal(await seen.guest.sh("ls -A /sys/fs/cgroup"), "");
    assert.ok(![...seen.mounts.keys()].some((path) => path.startsWith("/sys/fs/cgroup")));
  }
  await seen.guest.sh(
    "mkdir -p /root/cg; mount -t cgroup2 none /root/cg && mkdir /root/cg/islt && rmdir /root/cg/islt; umount /root/cg",
  );
  if (isPure) return;
  await seen.guest.sh(
    "mount -t tmpfs none /sys/fs/cgroup; cd /sys/fs/cgroup; mkdir memory systemd; mount -t cgroup -o memory none memory; mount -t cgroup -o none,name=systemd none systemd",
  );
  assert.equal(
    await seen.guest.sh(
      "cd /sys/fs/cgroup; mkdir memory/islt systemd/islt && rmdir memory/islt systemd/islt; grep -c '^1$' memory/cgroup.procs",
    ),
    "1",
  );
  await seen.guest.sh("cd /; umount /sys/fs/cgroup/memory /sys/fs/cgroup/systemd /sys/fs/cgroup");
});

point(
  "M5",
  "binfmt_misc is nobody else's where the kernel has one for each user namespace: the guest mounts its own",
  async (seen) => {
    const own = "/proc/sys/fs/binfmt_misc";
    if (!probeHost("/run").binfmtNamespaces) {
      const isMounted = mountsOf(readFileSync("/proc/self/mountinfo", "utf8")).get(own)?.fstype === "binfmt_misc";
      assert.deepEqual((await seen.guest.sh(`ls ${own}`)).split("\n"), isMounted ? readdirSync(own).sort() : [""]);
      return;
    }
    assert.equal(await seen.guest.sh("ls -A /proc/sys/fs/binfmt_misc"), "");
    assert.equal(
      await seen.guest.sh(
        "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && ls /proc/sys/fs/binfmt_misc; umount /proc/sys/fs/binfmt_misc",
      ),
      "register\nstatus",
    );
  },
  "mapped",
);

/** Those that this host has as directories of its sysfs, whatever is mounted there. */
const kernelDirectories = [
  "/sys/firmware/efi/efivars",
  "/sys/fs/fuse/connections",
  "/sys/fs/pstore",
  "/sys/kernel/config",
  "/sys/kernel/debug",
  "/sys/kernel/security",
  "/sys/kernel/tracing",
].filter((path) => existsSync(path));

point("M6", "what old init systems want mounted below /sys is, where the host has it", async (seen) => {
  assert.ok(kernelDirectories.length > 0);
  for (const path of kernelDirectories) {
    hasAll(options(seen, path), "nosuid", "nodev", "noexec", seen.isMapped ? "rw" : "ro");
    if (!seen.isMapped) assert.equal(await seen.guest.sh(`ls -A ${path}`), "", path);
    await refused(seen, `mkdir ${path}/islt`, /Read-only|not permitted|denied|No such/);
  }
});

point("M7", "the boot id is a random one of this run that nobody can write", async (seen) => {
  hasAll(options(seen, "/proc/sys/kernel/random/boot_id"), "ro", "nosuid", "nodev", "noexec");
  const id = await seen.guest.sh("cat /proc/sys/kernel/random/boot_id");
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.notEqual(id, readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
});

point(
  "M9",
  "every mount is shared within the guest and with nobody else; what is bound from the host is its slave",
  async (seen) => {
    const groups = new Set(
      readFileSync("/proc/self/mountinfo", "utf8")
        .match(/ shared:\d+/g)
        ?.map((text) => text.trim()),
    );
    for (const [path, { propagation, fstype }] of seen.mounts) {
      const isBound = ["/", "/dev/lxd"].includes(path) || fstype === "devtmpfs";
      assert.match(propagation.join(" "), isBound ? /^shared:\d+( master:\d+)?$/ : /^shared:\d+$/, path);
      assert.ok(!groups.has(propagation[0] ?? ""), path);
    }
  },
);

point("N3", "lo is up with its addresses", async (seen) => {
  const text = await seen.guest.sh("ip addr show lo");
  for (const words of [/[<,]UP[,>]/, /127\.0\.0\.1\/8/, /::1\/128/]) assert.match(text, words);
});

point("N5", "the host name is the container's name", async (seen) => {
  assert.equal(await seen.guest.sh("hostname"), seen.guest.name);
});

point("P1", "PID 1 is /sbin/init, called by that one word", async ({ report }) => {
  assert.deepEqual(report.get("argc"), ["1"]);
  assert.deepEqual(report.get("argv0"), ["/sbin/init"]);
});

point("P2", "its environment is container=lxc", async ({ report }) => {
  assert.deepEqual(report.get("env"), ["container=lxc"]);
});

point("P3", "its descriptors are 0, 1 and 2, each the console", async ({ report }) => {
  assert.deepEqual(
    report.get("descriptor"),
    [0, 1, 2].map((number) => `${number} /dev/pts/0 read-write`),
  );
});

point(
  "P4",
  "it leads a session and a process group of its own, in /, as root without further groups",
  async ({ report }) => {
    assert.deepEqual(report.get("pids"), ["1 0 1 1"]);
    assert.deepEqual(report.get("cwd"), ["/"]);
    assert.deepEqual(report.get("umask"), ["022"]);
    assert.deepEqual(report.get("ids"), ["0 0 0 0"]);
    assert.deepEqual(report.get("groups"), ["0"]);
    // ENOTTY: the console is not its controlling terminal.
    assert.match(report.get("foreground")?.[0] ?? "", /^(Not a tty|Inappropriate ioctl for device)$/);
  },
);

point("P5", "its capabilities: all of its own user namespace, or all of the host's but five", async (seen) => {
  const inside = statusOf(await seen.guest.sh("cat /proc/1/status"));
  const ours = BigInt(`0x${statusOf(readFileSync("/proc/self/status", "utf8"))["CapBnd"] ?? "0"}`);
  // mac_admin, mac_override, sys_time, sys_rawio, sys_module
  const dropped = [33n, 32n, 25n, 17n, 16n].reduce((set, number) => set | (1n << number), 0n);
  const last = BigInt(readFileSync("/proc/sys/kernel/cap_last_cap", "utf8").trim());
  const expected = seen.isMapped ? (1n << (last + 1n)) - 1n : ours & ~dropped;
  for (const set of ["CapBnd", "CapEff", "CapPrm"]) assert.equal(BigInt(`0x${inside[set] ?? ""}`), expected, set);
  assert.equal(inside["CapInh"], "0000000000000000");
  assert.deepEqual(seen.report.get("no_new_privs"), ["0"]);
});

point(
  "P6",
  "a seccomp filter takes away what loads code into the kernel, and forced unmounting",
  async ({ report }) => {
    assert.deepEqual(report.get("seccomp"), ["2"]);
    assert.deepEqual(report.get("call"), [
      "kexec_load 38",
      "open_by_handle_at 38",
      "init_module 38",
      "finit_module 38",
      "delete_module 38",
      "umount-force 13",
      "umount-lazy 2",
      "umount-both 13",
    ]);
  },
);

point("P6", "the filter holds for what is attached, too", async (seen) => {
  assert.equal(statusOf(await seen.guest.sh("cat /proc/self/status"))["Seccomp"], "2");
  await seen.guest.sh("mkdir -p /root/um; mount -t tmpfs none /root/um");
  await refused(seen, "umount -f /root/um", /Permission denied/);
  await seen.guest.sh("umount /root/um");
});

point("P7", "its limit of open files is the usual one", async ({ report }) => {
  assert.deepEqual(report.get("nofile"), ["1024"]);
});

point("P8", "every signal has its default action, and none is blocked", async ({ report }) => {
  assert.deepEqual(report.get("disposition"), undefined);
  assert.deepEqual(report.get("blocked"), ["0"]);
});

point("P9", "its namespaces are its own, but for the host's time", async (seen) => {
  const kinds = readdirSync("/proc/self/ns").filter((kind) => !kind.endsWith("_for_children"));
  for (const kind of kinds) {
    const inside = await seen.guest.sh(`readlink /proc/1/ns/${kind}`);
    const isHosts = inside === readlinkSync(`/proc/self/ns/${kind}`);
    assert.equal(isHosts, kind === "time" || (kind === "user" && !seen.isMapped), kind);
  }
});

point("U1", "its ids are those of its map", async (seen) => {
  assert.equal(
    (await seen.guest.sh("cat /proc/1/uid_map")).replace(/\s+/g, " ").trim(),
    seen.isMapped ? "0 100000 65536" : "0 0 4294967295",
  );
});

point("U2", "it is in lxc.payload.NAME of every hierarchy, and sees that as the root", async (seen) => {
  const text = readFileSync(`/proc/${await seen.guest.pid()}/cgroup`, "utf8").trim();
  for (const line of text.split("\n")) assert.match(line, new RegExp(`:/lxc\\.payload\\.${seen.guest.name}$`), line);
  for (const line of (await seen.guest.sh("cat /proc/1/cgroup")).split("\n")) assert.match(line, /:\/$/);
});

point(
  "FS4",
  "a node that came with the image opens nothing, whatever the guest's root does to the mount",
  async (seen) => {
    for (const path of ["/islt-null", "/root/islt-loop"]) {
      assert.match(await seen.guest.sh(`stat -c %F ${path}`), /special file/);
      await refused(seen, `: < ${path}`, /Permission denied/);
    }
    hasAll(options(seen, "/"), "nodev");
    const open = ": < /mnt/islt-null || : < /islt-null";
    await refused(seen, `mount -o remount,bind,dev / && ${open}`, /denied|not permitted/);
    await refused(seen, `mount -o bind / /mnt && mount -o remount,bind,dev /mnt && ${open}`, /denied|not permitted/);
    await refused(
      seen,
      `unshare -m sh -c 'mount -o remount,bind,dev /; mount -o bind,dev / /mnt; ${open}'`,
      /denied|not permitted/,
    );
    await refused(seen, `unshare -Um sh -c 'mount -o remount,bind,dev /; ${open}'`, /denied|not permitted/);
    await refused(seen, ": < /proc/1/root/islt-null", /denied/);
    await seen.guest.sh("umount /mnt 2>/dev/null; umount /mnt 2>/dev/null; true");
    await seen.guest.sh(
      "mkdir -p /run/o/u /run/o/w /run/o/m; mount -t tmpfs none /run/o; mkdir -p /run/o/u /run/o/w /run/o/m",
    );
    await refused(
      seen,
      "mount -t overlay -o lowerdir=/,upperdir=/run/o/u,workdir=/run/o/w none /run/o/m && : < /run/o/m/islt-null",
      /denied|not permitted|Invalid/,
    );
  },
  "mapped",
);

describe("a guest of the profile lxd", () => {
  const all = guests();
  for (const kind of lxdKinds) {
    describe(`that is ${kind}`, () => {
      const isMapped = kind !== "privileged";
      let seen: Seen | null = null;
      before(async () => {
        const guest = lxdGuest(all, kind, `islt-lxd-${kind}`, { image: withNodes });
        await guest.start();
        seen = { kind, isMapped, guest, mounts: await mountsInside(guest), report: await reportOf(guest.rootfs) };
      });
      for (const { id, what, only, check } of points) {
        if (only === (isMapped ? "privileged" : "mapped")) continue;
        it(`${id}: ${what}`, async (t) => {
          if (isMapped && lacks(t, "userns")) return;
          assert.ok(seen !== null);
          await check(seen);
        });
      }
    });
  }
});

/** An image with things that must have no effect: nodes of its own, and something in /dev. */
function withNodes(rootfs: string): void {
  mkdirSync(join(rootfs, "dev"));
  writeFileSync(join(rootfs, "dev/of-the-image"), "");
  makeNode(join(rootfs, "islt-null"), "c", 1, 3);
  makeNode(join(rootfs, "root/islt-loop"), "b", 7, 7);
}

function makeNode(path: string, type: string, major: number, minor: number): void {
  execFileSync("mknod", ["-m", "666", path, type, String(major), String(minor)]);
}
