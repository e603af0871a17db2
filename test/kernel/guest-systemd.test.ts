import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, lstatSync, openSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { type CommandResult, ok } from "../support/command.js";
import { instance } from "../support/instance.js";
import { pureV2 } from "../support/pure-v2.js";
import { busybox } from "../support/store.js";
import { lacks } from "../support/skip.js";
import { compileStatic } from "../support/static.js";
import { waitFor } from "../support/wait.js";
import { exportLink } from "../../src/runtime/export-link.js";
import { bin, root, runtimeDir } from "../support/paths.js";
import { underTerminal } from "../support/typed.js";
import { type Guest, type SeenMount, guests, mountsInside, mountsOf, statusOf } from "./guest.js";

/**
 * systemd's container interface, point by point, as the guest finds it. Any init finds the same; docs/guests/systemd.md names the points and the tests.
 * What only systemd itself can show is in the tests of real guests.
 */

type Ids = "privileged" | "mapped";
const firstId = 300_000;

interface Point {
  /** The number in the document, and what the guest finds. */
  readonly says: string;
  readonly check: (guest: Guest, ids: Ids) => Promise<void>;
}

const environment = async (guest: Guest): Promise<ReadonlyMap<string, string>> =>
  new Map(
    (await guest.sh("tr '\\0' '\\n' < /proc/1/environ"))
      .split("\n")
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );

/** As the guest sees them: roots of cgroup mounts are shown to every cgroup namespace in its own way. */
const mountsFor = async (guest: Guest): Promise<ReadonlyMap<string, SeenMount>> =>
  mountsOf(await guest.sh("cat /proc/1/mountinfo"));

const fails = async (guest: Guest, script: string): Promise<void> => {
  const result = await guest.try(script);
  assert.notEqual(result.status, 0, `${script} worked: ${result.stdout}`);
};

const bounding = async (guest: Guest): Promise<bigint> =>
  BigInt(`0x${statusOf(await guest.sh("cat /proc/1/status"))["CapBnd"] ?? "0"}`);
const has = (set: bigint, number: number): boolean => ((set >> BigInt(number)) & 1n) === 1n;

const nodes = [
  ["null", "1:3"],
  ["zero", "1:5"],
  ["full", "1:7"],
  ["random", "1:8"],
  ["urandom", "1:9"],
  ["tty", "5:0"],
  ["ptmx", "5:2"],
] as const;

/** What the host has of v2 and of name=systemd, as mount points. */
const cgroup2 = /^(?:\S+ ){4}(\S+) .* - cgroup2 /m;
const named = /^(?:\S+ ){4}(\S+) .* - cgroup \S+ \S*name=systemd/m;

const points: readonly Point[] = [
  {
    says: "E1: the host name is the container's name",
    check: async (guest) => {
      assert.equal(await guest.sh("hostname"), guest.name);
    },
  },
  {
    says: "E2: /proc and /sys are mounted before init, /sys and /proc/sys are read-only but for the network's part",
    check: async (guest) => {
      const mounts = await mountsInside(guest);
      assert.equal(mounts.get("/proc")?.fstype, "proc");
      assert.ok(mounts.get("/sys")?.options.includes("ro"));
      assert.ok(mounts.get("/proc/sys")?.options.includes("ro"));
      await fails(guest, "echo 7 > /proc/sys/kernel/printk");
      const trigger = await guest.try("test -e /proc/sysrq-trigger");
      if (trigger.status === 0) assert.ok(mounts.get("/proc/sysrq-trigger")?.options.includes("ro"));
      assert.equal(await guest.sh("echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward"), "1");
    },
  },
  {
    says: "E3: /dev is a private tmpfs with the six nodes, ptmx and a devpts of the guest's own",
    check: async (guest) => {
      const mounts = await mountsInside(guest);
      const dev = mounts.get("/dev");
      assert.equal(dev?.fstype, "tmpfs");
      assert.ok(dev.options.includes("nosuid") && !dev.options.includes("nodev"));
      assert.equal(await guest.sh("stat -c %a /dev"), "755");
      for (const [name, numbers] of nodes)
        assert.equal(await guest.sh(`stat -Lc '%F %t:%T %a' /dev/${name}`), `character special file ${numbers} 666`);
      const pts = mounts.get("/dev/pts");
      assert.equal(pts?.fstype, "devpts");
      assert.ok(pts.superOptions.includes("mode=620") && pts.superOptions.includes("ptmxmode=666"));
      assert.equal(await guest.sh("stat -c %G /dev/pts/0"), "tty");
      for (const user of ["0", "65534"]) {
        const opened = await guest.attach([
          "-u",
          user,
          "-g",
          user,
          "--",
          "/bin/sh",
          "-c",
          "exec 3<>/dev/ptmx && ls /dev/pts | wc -l",
        ]);
        // ptmx, the console's, two of ttys, and this one.
        assert.equal(opened.stdout.trim(), "5", opened.stderr);
      }
    },
  },
  {
    says: "E3: other device nodes can neither be made nor opened",
    check: async (guest, ids) => {
      await fails(guest, "mknod /tmp/loop b 7 0");
      await fails(guest, "mknod /tmp/fuse c 10 229");
      await fails(guest, "mknod /tmp/pty c 136 9");
      // The image's own nodes.
      await fails(guest, "head -c 1 /root/block");
      await fails(guest, "head -c 1 /root/mem");
      if (ids === "privileged") {
        assert.equal(
          await guest.sh("mknod /tmp/null c 1 3 && echo x > /tmp/null && rm /tmp/null && echo made"),
          "made",
        );
        assert.equal(await guest.sh("mknod /tmp/ptmx c 5 2 && rm /tmp/ptmx && echo made"), "made");
      }
    },
  },
  {
    says: "E4: /sys cannot be written to, so udev does not begin",
    check: async (guest) => {
      // What ConditionPathIsReadWrite=/sys asks for.
      assert.match((await guest.try("mkdir /sys/x")).stderr, /Read-only file system/);
    },
  },
  {
    says: "E5: /dev/console is a pty of the guest's own devpts, and there is no tty0 for further gettys",
    check: async (guest) => {
      assert.equal(await guest.sh("stat -c '%t:%T' /dev/console"), await guest.sh("stat -c '%t:%T' /dev/pts/0"));
      await fails(guest, "test -e /dev/tty0");
      assert.equal(await guest.sh("test -c /dev/console && test ! -L /dev/console && echo real"), "real");
    },
  },
  {
    says: "E6: cgroup2 is on /sys/fs/cgroup, its root is the guest's own group, and init is where /proc/1/cgroup says",
    check: async (guest) => {
      const mount = (await mountsFor(guest)).get("/sys/fs/cgroup");
      assert.equal(mount?.fstype, "cgroup2");
      assert.equal(mount.root, "/");
      assert.equal(await guest.sh("sed -n 's/^0:://p' /proc/1/cgroup"), "/");
      assert.equal(await guest.sh("grep -cx 1 /sys/fs/cgroup/cgroup.procs"), "1");
      assert.equal(
        await guest.sh(
          "mkdir /sys/fs/cgroup/init.scope && echo 1 > /sys/fs/cgroup/init.scope/cgroup.procs && cat /sys/fs/cgroup/init.scope/cgroup.procs",
        ),
        "1",
      );
      const outside = readFileSync(`/proc/${await guest.pid()}/cgroup`, "utf8");
      // In a scope of the host's systemd where that runs.
      assert.match(
        outside,
        new RegExp(`^0::.*/(lxc\\.payload\\.${guest.name}|islet-\\S+\\.scope/payload)/init\\.scope$`, "m"),
      );
      await guest.sh("echo 1 > /sys/fs/cgroup/cgroup.procs; rmdir /sys/fs/cgroup/init.scope");
    },
  },
  {
    says: "E6: the guest's root owns its groups in the unified hierarchy and in name=systemd",
    check: async (guest, ids) => {
      const mountinfo = readFileSync("/proc/self/mountinfo", "utf8");
      const owner = ids === "mapped" ? firstId : 0;
      const membership = readFileSync(`/proc/${await guest.pid()}/cgroup`, "utf8");
      const owns = (base: string | undefined, key: string, files: readonly string[]): void => {
        if (base === undefined) return;
        const group = join(base, new RegExp(`^\\d+:${key}:(.*)$`, "m").exec(membership)?.[1] ?? "nowhere");
        for (const path of [group, ...files.map((file) => join(group, file))])
          assert.equal(statSync(path).uid, owner, path);
      };
      owns(cgroup2.exec(mountinfo)?.[1], "", ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"]);
      owns(named.exec(mountinfo)?.[1], "name=systemd", ["cgroup.procs", "tasks"]);
    },
  },
  {
    says: "V1: init is told container=lxc",
    check: async (guest) => {
      assert.equal((await environment(guest)).get("container"), "lxc");
    },
  },
  {
    says: "V2: container_uuid is a UUID, and the one in /run/host",
    check: async (guest) => {
      const uuid = (await environment(guest)).get("container_uuid") ?? "";
      assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      assert.equal(await guest.sh("cat /run/host/container-uuid"), uuid);
    },
  },
  {
    says: "V3: container_ttys names login ptys that lxc-console is joined with",
    check: async (guest) => {
      assert.equal((await environment(guest)).get("container_ttys"), "pts/1 pts/2");
      assert.equal(
        await guest.sh("stat -c '%F %t' /dev/pts/1 /dev/pts/2"),
        "character special file 88\ncharacter special file 88",
      );
      await guest.sh("(sleep 1; echo word from inside > /dev/pts/2) > /dev/null 2>&1 < /dev/null &");
      const { screen, status } = await underTerminal(
        [bin("lxc-console"), ...guest.at, "-t", "2"],
        [[/word from inside/, "\x01q"]],
        {
          cwd: "/",
          env: { ...process.env, ISLET_RUNTIME_DIR: runtimeDir },
          limit: 20_000,
        },
      );
      assert.equal(status, 0, screen);
    },
  },
  {
    says: "V4: container_host_id and its kin are those of the host's os-release",
    check: async (guest) => {
      const release = readFileSync("/etc/os-release", "utf8");
      const told = await environment(guest);
      for (const key of ["ID", "BUILD_ID", "VARIANT_ID", "VERSION_ID"])
        assert.equal(
          told.get(`container_host_${key.toLowerCase()}`),
          new RegExp(`^${key}="?([^"\\n]*)"?$`, "m").exec(release)?.[1],
        );
    },
  },
  {
    says: "V5: credentials are files of root's alone on a read-only ramfs",
    check: async (guest) => {
      assert.equal((await environment(guest)).get("CREDENTIALS_DIRECTORY"), "/run/host/credentials");
      const mount = (await mountsInside(guest)).get("/run/host/credentials");
      assert.equal(mount?.fstype, "ramfs");
      assert.ok(mount.options.includes("ro"));
      assert.equal(
        await guest.sh("stat -c '%a %u:%g' /run/host/credentials /run/host/credentials/*"),
        "500 0:0\n400 0:0\n400 0:0",
      );
      assert.equal(await guest.sh("cat /run/host/credentials/test.word"), "swordfish");
      assert.equal(await guest.sh("cat /run/host/credentials/test.file"), "two\nlines");
      const other = await guest.attach(["-u", "65534", "--", "/bin/cat", "/run/host/credentials/test.word"]);
      assert.match(other.stderr, /Permission denied/);
    },
  },
  {
    says: "V: init is told nothing else, and what is run later nothing at all",
    check: async (guest) => {
      assert.deepEqual(
        [...(await environment(guest)).keys()].filter((name) => !name.startsWith("container_host_")).sort(),
        ["CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "container", "container_ttys", "container_uuid"],
      );
      const later = await guest.attach(["--clear-env", "--", "/bin/env"]);
      assert.equal(later.status, 0);
      assert.doesNotMatch(later.stdout, /^(container|CREDENTIALS|NOTIFY|LISTEN)/m);
    },
  },
  {
    says: "A6: NOTIFY_SOCKET is a socket that root alone can write to",
    check: async (guest) => {
      assert.equal((await environment(guest)).get("NOTIFY_SOCKET"), "/run/host/notify");
      assert.equal(await guest.sh("stat -c '%F %a %u' /run/host/notify"), "socket 600 0");
    },
  },
  {
    says: "R: /run is a tmpfs of the manager's, and /run/host in it is read-only",
    check: async (guest) => {
      const mounts = await mountsInside(guest);
      const run = mounts.get("/run");
      assert.equal(run?.fstype, "tmpfs");
      assert.ok(run.options.includes("rw") && run.options.includes("nosuid") && run.options.includes("nodev"));
      assert.equal(await guest.sh("stat -c '%a %u:%g' /run"), "755 0:0");
      assert.equal(mounts.get("/run/host")?.fstype, "tmpfs");
      await fails(guest, "touch /run/host/x");
      await guest.sh("touch /run/x");
    },
  },
  {
    says: "R1: /run/host/incoming is there for mounts from outside",
    check: async (guest) => {
      assert.equal(await guest.sh("stat -c '%F %a' /run/host/incoming"), "directory 755");
    },
  },
  {
    says: "R2: /run/host/inaccessible has a node of each type that may be made",
    check: async (guest, ids) => {
      const wanted: Record<string, string> = {
        reg: "regular empty file",
        dir: "directory",
        fifo: "fifo",
        sock: "socket",
        chr: "character special file",
      };
      if (ids === "privileged") wanted["blk"] = "block special file";
      for (const [name, type] of Object.entries(wanted))
        assert.equal(await guest.sh(`stat -c '%F %a' /run/host/inaccessible/${name}`), `${type} 0`);
    },
  },
  {
    says: "R4: /run/host/os-release is the host's",
    check: async (guest) => {
      assert.equal(await guest.sh("cat /run/host/os-release"), readFileSync("/etc/os-release", "utf8").trim());
    },
  },
  {
    says: "R5: /run/host/container-manager says lxc",
    check: async (guest) => {
      assert.equal(await guest.sh("cat /run/host/container-manager"), "lxc");
    },
  },
  {
    says: "R8: what the guest puts into /run/host/unix-export the host can connect to, and nothing else",
    check: async (guest) => {
      const inside = "/run/host/unix-export";
      assert.equal(await guest.sh(`stat -c '%F %a %u:%g' ${inside}`), "directory 755 0:0");
      compileStatic(join(root, "test/support/unix-hello.c"), join(guest.rootfs, "bin/unix-hello"));
      await guest.sh(`unix-hello ${inside}/hello && ln -s /etc/passwd ${inside}/link && echo x > ${inside}/file`);
      const outside = exportOf(guest);
      // Sockets' addresses are short; this directory's path is not.
      const directory = openSync(outside, "r");
      const socket = connect(`/proc/self/fd/${directory}/hello`);
      assert.equal(await textOf(socket), "hello\n");
      closeSync(directory);
      assert.throws(() => readFileSync(join(outside, "link")), { code: "ELOOP" });
      assert.throws(
        () => {
          writeFileSync(join(outside, "file"), "y");
        },
        { code: "EROFS" },
      );
      // No more than sockets need.
      await fails(guest, `for i in $(seq 100); do : > ${inside}/$i || exit 1; done`);
      await fails(guest, `head -c 8000000 /dev/zero > ${inside}/file`);
      assert.equal(statSync(outside).uid, await guest.sh(`awk '{ print $2; exit }' /proc/self/uid_map`).then(Number));
      assert.equal(statSync(dirname(dirname(outside))).mode & 0o777, 0o700);
    },
  },
  {
    says: "D1: CAP_MKNOD is not dropped",
    check: async (guest) => {
      assert.ok(has(await bounding(guest), 27));
    },
  },
  {
    says: "D2: CAP_SYS_ADMIN is not dropped: the guest can mount",
    check: async (guest) => {
      assert.ok(has(await bounding(guest), 21));
      assert.equal(await guest.sh("unshare -m sh -c 'mount -t tmpfs tmpfs /mnt && echo mounted'"), "mounted");
    },
  },
  {
    says: "D3: there is no /dev/kmsg",
    check: async (guest) => {
      await fails(guest, "ls -d /dev/kmsg");
    },
  },
  {
    says: "D4: nothing pretends to be a virtual terminal",
    check: async (guest) => {
      assert.equal(await guest.sh("ls -d /dev/tty* /dev/vcs* 2>/dev/null | tr '\\n' ' '"), "/dev/tty");
    },
  },
  {
    says: "D5: no block device and no other device is passed",
    check: async (guest) => {
      // Bound nodes have the type of the file below them in the directory: stat tells.
      const seen = await guest.sh("find /dev -xdev ! -type d -exec stat -c '%n %F' {} +");
      assert.doesNotMatch(seen, /block/);
      const characters = seen.split("\n").flatMap((line) => /^\/dev\/(\S+) character/.exec(line)?.[1] ?? []);
      assert.deepEqual(
        characters.filter((name) => !name.startsWith("pts/")).sort(),
        [...nodes.map(([name]) => name), "console"].sort(),
      );
    },
  },
  {
    says: "D6: what is mounted of the cgroups is a whole hierarchy as the guest's namespace shows it",
    check: async (guest) => {
      const namespace = (pid: number | "self"): string =>
        execFileSync("readlink", [`/proc/${pid}/ns/cgroup`], { encoding: "utf8" });
      assert.notEqual(namespace(await guest.pid()), namespace("self"));
      for (const [point, mount] of await mountsFor(guest))
        if (mount.fstype.startsWith("cgroup")) assert.equal(mount.root, "/", point);
    },
  },
  {
    says: "D7: no part of /sys is writable but the guest's own groups",
    check: async (guest) => {
      for (const [point, mount] of await mountsInside(guest))
        if (mount.fstype === "sysfs") assert.ok(mount.options.includes("ro"), point);
    },
  },
  {
    says: "D8: the audit capabilities are dropped, and those of modules, raw devices and the clock",
    check: async (guest) => {
      const set = await bounding(guest);
      for (const number of [16, 17, 25, 29, 30, 37]) assert.ok(!has(set, number), `capability ${number}`);
      for (const number of [12, 22]) assert.ok(has(set, number), `capability ${number}`);
    },
  },
  {
    says: "section 7: what the manager mounts belongs to the guest's root",
    check: async (guest) => {
      assert.equal(
        await guest.sh("stat -c %u:%g /dev /dev/pts /dev/pts/0 /run /run/host /sys/fs/cgroup | tr '\\n' ' '"),
        "0:0 0:0 0:5 0:0 0:0 0:0",
      );
    },
  },
  {
    says: "section 8: the boot id is the guest's own",
    check: async (guest) => {
      const id = await guest.sh("cat /proc/sys/kernel/random/boot_id");
      assert.match(id, /^[0-9a-f-]{36}$/);
      assert.notEqual(id, readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
    },
  },
  {
    says: "V2: the uuid is the same at the next start",
    check: async (guest) => {
      const first = await guest.sh("cat /run/host/container-uuid");
      await guest.kill();
      await guest.start();
      assert.equal(await guest.sh("cat /run/host/container-uuid"), first);
    },
  },
];

/** Where the host finds the guest's sockets. */
const exportOf = (guest: Guest): string => exportLink(runtimeDir, guest.at[1] ?? "", guest.name);

/** What the tests' containers have in common: no words of LXC's own on mounts, devices or capabilities. */
function configOf(guest: Guest, ids: Ids, more = ""): string {
  const map = `lxc.idmap = u 0 ${firstId} 65536\nlxc.idmap = g 0 ${firstId} 65536\n`;
  return `lxc.rootfs.path = dir:${guest.rootfs}
lxc.signal.halt = SIGUSR1
lxc.tty.max = 2
lxc.net.0.type = empty
islet.guest = systemd
islet.credential.test.word = swordfish
islet.credential.test.file = file:${guest.directory}/secret
${ids === "mapped" ? `${map}lxc.rootfs.options = idmap=container\n` : ""}${more}`;
}

const { define } = guests();
const mounted = (): number =>
  readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .filter((line) => line.includes("cgroup")).length;

for (const ids of ["privileged", "mapped"] as const) {
  describe(`systemd's container interface, ${ids}`, () => {
    let guest: Guest;
    let before_ = 0;
    before(async () => {
      before_ = mounted();
      guest = define(`islt-sysd-${ids}-with-a-long-name`);
      execFileSync("mknod", [`${guest.rootfs}/root/block`, "b", "7", "0"]);
      execFileSync("mknod", [`${guest.rootfs}/root/mem`, "c", "1", "1"]);
      writeFileSync(join(guest.directory, "secret"), "two\nlines\n", { mode: 0o600 });
      writeFileSync(join(guest.directory, "config"), configOf(guest, ids));
      await guest.start();
    });
    after(async () => {
      await guest.kill();
      rmSync(`${guest.rootfs}/root/block`, { force: true });
    });

    for (const { says, check } of points) {
      it(says, async () => {
        await check(guest, ids);
      });
    }

    it("A5: the host has no more cgroup mounts than before, and no group beside the guest's", async () => {
      assert.equal(mounted(), before_);
      const groups = execFileSync(
        "find",
        ["/sys/fs/cgroup", "-maxdepth", "3", "-name", "init.scope", "-newer", guest.rootfs],
        { encoding: "utf8" },
      );
      // Others may have containers on this machine.
      const strange = groups
        .split("\n")
        .filter((path) => path !== "" && !/\/lxc\.payload\.|\.scope\/payload\//.test(path));
      assert.deepEqual(strange, []);
      await Promise.resolve();
    });
  });
}

it("R8: the way to its sockets goes when it has ended, also with its monitor", async () => {
  const guest = define("islt-sysd-export");
  writeFileSync(join(guest.directory, "secret"), "x");
  writeFileSync(join(guest.directory, "config"), configOf(guest, "privileged"));
  const outside = exportOf(guest);
  const isThere = (): boolean => lstatSync(outside, { throwIfNoEntry: false }) !== undefined;
  for (const stop of ["lxc-stop", "monitor"] as const) {
    await guest.start();
    assert.deepEqual(readdirSync(outside), []);
    if (stop === "lxc-stop") await guest.kill();
    else {
      const monitor = Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${await guest.pid()}/status`, "utf8"))?.[1]);
      process.kill(monitor, "SIGKILL");
      await waitFor("the guest to be cleared away", async () => (await guest.state()) === "STOPPED");
    }
    await waitFor("the link to go", () => !isThere());
  }
});

it("N1, N2, N3: the first veth is host0 inside and ve-NAME outside, with local addresses that stay", async (t) => {
  if (lacks(t, "veth")) return;
  const guest = define("islt-sysd-nics-with-a-long-name");
  writeFileSync(join(guest.directory, "secret"), "x");
  writeFileSync(
    join(guest.directory, "config"),
    configOf(guest, "privileged", "lxc.net.0.type = veth\nlxc.net.0.flags = up\n"),
  );
  const seen: string[] = [];
  for (let round = 0; round < 2; round += 1) {
    await guest.start();
    const inside = await guest.sh("cat /sys/class/net/host0/address");
    const near = /^Link:\s*(\S+)$/m.exec(await ok(["lxc-info", ...guest.at]))?.[1] ?? "";
    assert.match(near, /^ve-islt-sys[0-9a-f]{4}$/);
    const outside = readFileSync(`/sys/class/net/${near}/address`, "utf8").trim();
    for (const address of [inside, outside]) assert.equal(Number.parseInt(address.slice(0, 2), 16) & 3, 2, address);
    assert.notEqual(inside, outside);
    seen.push(`${near} ${inside} ${outside}`);
    await guest.kill();
  }
  assert.equal(seen[0], seen[1]);
});

it("V2: another container has another uuid, and islet.uuid says which", async () => {
  const wanted = "0f3c1b52-9a1e-4d07-b6c4-3e5d7a9f1c20";
  const uuids: string[] = [];
  for (const [name, more] of [
    ["islt-sysd-a", ""],
    ["islt-sysd-b", ""],
    ["islt-sysd-c", `islet.uuid = ${wanted}\n`],
  ] as const) {
    const guest = define(name);
    writeFileSync(join(guest.directory, "secret"), "x");
    writeFileSync(join(guest.directory, "config"), configOf(guest, "privileged", more));
    await guest.start();
    uuids.push(await guest.sh("cat /run/host/container-uuid"));
  }
  assert.equal(new Set(uuids).size, 3);
  assert.equal(uuids[2], wanted);
});

it("islet plan does not show what credentials say", async () => {
  const guest = define("islt-sysd-plan");
  writeFileSync(join(guest.directory, "secret"), "hidden too\n");
  writeFileSync(join(guest.directory, "config"), configOf(guest, "privileged"));
  for (const words of [[], ["--json"]]) {
    const text = await ok(["islet", "plan", ...guest.at, ...words]);
    assert.match(text, /test\.word/);
    assert.doesNotMatch(text, /swordfish|hidden too/);
  }
});

it("with lxc.mount.auto = cgroup:rw:force the guest has the host's hierarchies as its namespace shows them", async () => {
  const guest = define("islt-sysd-hybrid");
  writeFileSync(join(guest.directory, "secret"), "x");
  writeFileSync(
    join(guest.directory, "config"),
    configOf(guest, "privileged", "lxc.mount.auto = proc:mixed sys:ro cgroup:rw:force\n"),
  );
  await guest.start();
  const seen = [...(await mountsFor(guest))].filter(([, mount]) => mount.fstype.startsWith("cgroup"));
  const host = readFileSync("/proc/self/mountinfo", "utf8").match(/ - cgroup2? /g)?.length ?? 0;
  assert.equal(new Set(seen.map(([point]) => point)).size, host);
  for (const [point, mount] of seen) assert.equal(mount.root, "/", point);
});

it("E3: other device nodes can neither be made nor opened on a host with cgroup v2 alone, and E6 holds there, too", async (t) => {
  if (lacks(t, "cgroup2")) return;
  const own = await instance(t, { mntnsPid: await pureV2(t) });
  const rootfs = busybox(own.store, "islt-sysd-v2", "lxc.mount.auto =\nislet.guest = systemd\n");
  execFileSync("mknod", [`${rootfs}/root/mem`, "c", "1", "1"]);
  const at = own.store.at("islt-sysd-v2");
  await own.ok(["lxc-start", ...at]);
  const inside = (script: string): Promise<CommandResult> =>
    own.command(["lxc-attach", ...at, "--", "/bin/sh", "-c", script], { env: { PATH: "/bin:/sbin" } });
  for (const script of ["mknod /tmp/loop b 7 0", "mknod /tmp/pty c 136 9", "mknod /tmp/fuse c 10 229"])
    assert.match((await inside(script)).stderr, /not permitted/);
  assert.match((await inside("head -c 1 /root/mem")).stderr, /not permitted/);
  assert.equal(
    (await inside("mknod /tmp/null c 1 3 && echo x > /tmp/null && exec 3<>/dev/ptmx && echo fine")).stdout,
    "fine\n",
  );
  assert.equal((await inside("grep -cx 1 /sys/fs/cgroup/cgroup.procs")).stdout, "1\n");
  await own.ok(["lxc-stop", ...at, "-k"]);
});
