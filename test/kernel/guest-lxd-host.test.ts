import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { reportOf } from "../support/guest-init.js";
import { instance, type Instance } from "../support/instance.js";
import { netns } from "../support/netns.js";
import { pureV2 } from "../support/pure-v2.js";
import { sharedHost } from "../support/shared-host.js";
import { lacks } from "../support/skip.js";
import { mountsOf, type SeenMount } from "./guest.js";
import { lxdContainer, type LxdKind } from "./guest-lxd.js";

/** Guests of the profile lxd on hosts of other kinds than the one that the tests run on. */

const kinds: readonly LxdKind[] = ["privileged", "id-mapped"];
const mayRun = (t: TestContext, kind: LxdKind): boolean => kind === "privileged" || !lacks(t, "userns");

interface Inside {
  readonly sh: (script: string) => Promise<string>;
  readonly mounts: () => Promise<ReadonlyMap<string, SeenMount>>;
}

async function started(own: Instance, kind: LxdKind, name: string, config: string = ""): Promise<Inside> {
  const rootfs = lxdContainer(own.store, kind, name, { config });
  const at = own.store.at(name);
  await own.ok(["lxc-start", ...at]);
  await reportOf(rootfs);
  const sh = async (script: string): Promise<string> =>
    (await own.ok(["lxc-attach", ...at, "--", "/bin/sh", "-c", script], { env: { PATH: "/usr/bin:/bin" } })).trim();
  return { sh, mounts: async () => mountsOf(await sh("cat /proc/self/mountinfo")) };
}

/** Mounts as a host with systemd has them, as far as this kernel has the file systems. */
const kernelMounts: readonly (readonly [path: string, fstype: string])[] = [
  ["/sys/fs/fuse/connections", "fusectl"],
  ["/sys/fs/pstore", "pstore"],
  ["/sys/kernel/debug", "debugfs"],
  ["/sys/kernel/security", "securityfs"],
  ["/sys/kernel/tracing", "tracefs"],
];

/** Where the configuration, or the host afterwards, mounts something else; every kernel has one of them. */
const somewhere = (): string =>
  kernelMounts.map(([path]) => path).findLast((path) => existsSync(path)) ?? assert.fail("no such directory");

function haveMounts(): readonly (readonly [path: string, fstype: string])[] {
  const types = readFileSync("/proc/filesystems", "utf8");
  return kernelMounts.filter(([path, type]) => existsSync(path) && new RegExp(`\\b${type}$`, "m").test(types));
}

for (const kind of kinds) {
  test(`M6: on a host that has debugfs and its like mounted, an id-mapped guest sees the mounts and a privileged one nothing of them (${kind})`, async (t) => {
    if (!mayRun(t, kind)) return;
    const there = haveMounts();
    // Some of them may be there already.
    const script = there
      .map(([path, type]) => `umount ${path} 2>/dev/null || :\nmount -t ${type} none ${path}`)
      .join("\n");
    const own = await instance(t, { mntnsPid: await sharedHost(t, script) });
    const { sh, mounts } = await started(own, kind, "islt-lxd-kernel");
    const found = await mounts();
    for (const [path, type] of there) {
      const mount = found.get(path);
      assert.equal(mount?.fstype, kind === "privileged" ? "sysfs" : type, path);
      assert.ok(mount.options.includes("nosuid") && mount.options.includes("noexec"), path);
      assert.match(mount.propagation.join(" "), /^shared:\d+$/, path);
      if (kind === "privileged") assert.equal(await sh(`ls -A ${path}`), "", path);
    }
    if (kind === "privileged") return;
    for (const path of ["/sys/kernel/debug", "/sys/kernel/tracing"].filter((one) => found.has(one)))
      assert.match(await sh(`ls ${path} 2>&1 || true`), /denied/, path);
  });

  test(`M6: nothing of that is left mounted on the host, and a mount of the host's afterwards stays out (${kind})`, async (t) => {
    if (!mayRun(t, kind)) return;
    const pid = await sharedHost(t);
    const own = await instance(t, { mntnsPid: pid });
    const table = (): string => readFileSync(`/proc/${pid}/mountinfo`, "utf8");
    const before = table();
    const { mounts } = await started(own, kind, "islt-lxd-late");
    assert.equal(table(), before);
    const path = somewhere();
    await own.ok(["mount", "-t", "tmpfs", "islt-late", path]);
    assert.notEqual((await mounts()).get(path)?.source, "islt-late");
  });

  test(`M4: on a host with cgroup v2 alone /sys/fs/cgroup is the guest's own cgroup, writable (${kind})`, async (t) => {
    if (lacks(t, "cgroup2") || !mayRun(t, kind)) return;
    const own = await instance(t, { mntnsPid: await pureV2(t) });
    const { sh, mounts } = await started(own, kind, "islt-lxd-v2");
    const mount = (await mounts()).get("/sys/fs/cgroup");
    assert.equal(mount?.fstype, "cgroup2");
    assert.ok(mount.options.includes("rw"));
    assert.equal(mount.root, "/");
    assert.equal(
      await sh("mkdir /sys/fs/cgroup/islt && rmdir /sys/fs/cgroup/islt; grep -c '^1$' /sys/fs/cgroup/cgroup.procs"),
      "1",
    );
  });

  test(`M4: where the guest keeps the host's cgroup namespace it finds its own part of every hierarchy (${kind})`, async (t) => {
    if (lacks(t, "cgroup1") || !mayRun(t, kind)) return;
    const own = await instance(t);
    const { mounts } = await started(own, kind, "islt-lxd-nocgns", "lxc.namespace.keep = cgroup\n");
    const memory = [...(await mounts())].filter(([path]) => path.startsWith("/sys/fs/cgroup/memory"));
    assert.ok(
      memory.some(([, mount]) => mount.root.endsWith("/lxc.payload.islt-lxd-nocgns") && mount.options.includes("rw")),
    );
  });

  test(`D8, D9: on a host whose nodes are for its root alone, or for all, the guest's are its own (${kind})`, async (t) => {
    if (lacks(t, "fuse and tun") || !mayRun(t, kind)) return;
    for (const mode of ["600", "666"]) {
      const script = `mkdir -p /mnt; mount -t tmpfs none /mnt; mkdir /mnt/net; mknod -m ${mode} /mnt/fuse c 10 229; mknod -m ${mode} /mnt/net/tun c 10 200
mount --bind /mnt/fuse /dev/fuse; mount --bind /mnt/net/tun /dev/net/tun`;
      const own = await instance(t, { mntnsPid: await sharedHost(t, script) });
      const { sh } = await started(own, kind, `islt-lxd-node${mode}`);
      assert.equal(
        await sh("stat -c %a /dev/fuse /dev/net/tun; exec 3<> /dev/fuse 4<> /dev/net/tun && echo open"),
        "666\n666\nopen",
      );
    }
  });

  test(`D8, D9: a host without these devices gives none, and starts all the same (${kind})`, async (t) => {
    if (!mayRun(t, kind)) return;
    const script = `mount -t tmpfs none /mnt; for name in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do mknod -m 666 /mnt/\${name%%:*} c $(echo \${name#*:} | tr : ' '); done
mkdir /mnt/pts; mount -t devpts -o newinstance,ptmxmode=0666 none /mnt/pts; ln -s pts/ptmx /mnt/ptmx; mount --move /mnt /dev`;
    const own = await instance(t, { mntnsPid: await sharedHost(t, script) });
    const { sh } = await started(own, kind, "islt-lxd-nodev");
    assert.equal(await sh("ls -d /dev/fuse /dev/net 2>/dev/null; echo end"), "end");
  });

  test(`N1, N3: nics without a name are ethN in order and up before init begins (${kind})`, async (t) => {
    if (lacks(t, "veth") || lacks(t, "bridge") || !mayRun(t, kind)) return;
    const net = await netns(t);
    await net.ok(["ip", "link", "add", "islt-br", "type", "bridge"]);
    const own = await instance(t, { netnsPid: net.pid });
    const nic = (index: number, more: string): string =>
      `lxc.net.${index}.type = veth\nlxc.net.${index}.link = islt-br\n${more}`;
    const config = `${nic(0, "")}${nic(1, "lxc.net.1.name = lan0\n")}${nic(2, "")}${nic(3, "lxc.net.3.flags = 0\n")}`;
    const { sh } = await started(own, kind, "islt-lxd-nics", config);
    assert.deepEqual((await sh("ls /sys/class/net")).split("\n").sort(), ["eth0", "eth1", "eth2", "lan0", "lo"]);
    for (const name of ["lo", "eth0", "lan0", "eth1"])
      assert.match(await sh(`ip link show ${name}`), /[<,]UP[,>]/, name);
    assert.doesNotMatch(await sh("ip addr"), /inet 10\./);
  });

  test(`D14: with nesting allowed, the guest's own user namespaces can mount proc and sysfs (${kind})`, async (t) => {
    if (!mayRun(t, kind)) return;
    const own = await instance(t);
    const mountIn = "unshare -Umpf --map-root-user sh -c 'mount -t proc proc /mnt && echo mounted' 2>&1 || true";
    const plain = await started(own, kind, "islt-lxd-flat");
    assert.doesNotMatch(await plain.sh(mountIn), /^mounted$/m);
    assert.equal(await plain.sh("ls -d /dev/.lxc 2>/dev/null || echo none"), "none");
    const nests = await started(own, kind, "islt-lxd-nests", "lxc.apparmor.allow_nesting = 1\n");
    assert.match(await nests.sh(mountIn), /^mounted$/m);
    assert.deepEqual(
      ["/dev/.lxc/proc", "/dev/.lxc/sys"],
      [...(await nests.mounts()).keys()].filter((path) => path.startsWith("/dev/.lxc")).sort(),
    );
  });
}

test("D10, M6: what the configuration mounts itself at such a place is mounted once, as it says", async (t) => {
  const own = await instance(t);
  const path = somewhere();
  const { mounts, sh } = await started(
    own,
    "privileged",
    "islt-lxd-own",
    `lxc.mount.entry = none dev/mqueue tmpfs size=8k,create=dir 0 0\nlxc.mount.entry = none ${path.slice(1)} tmpfs size=8k 0 0\n`,
  );
  assert.equal((await mounts()).get("/dev/mqueue")?.fstype, "tmpfs");
  assert.equal(await sh(`grep -c ' /dev/mqueue \\| ${path} ' /proc/self/mountinfo`), "2");
});

test("D10: in the host's ipc namespace there is no /dev/mqueue of the host's for an id-mapped guest, and the start is none the worse", async (t) => {
  if (lacks(t, "userns")) return;
  const own = await instance(t);
  const { mounts } = await started(own, "id-mapped", "islt-lxd-ipc", "lxc.namespace.keep = ipc\n");
  assert.ok(!(await mounts()).has("/dev/mqueue"));
});

test("P6: a seccomp policy of the configuration's own takes the place of the profile's", async (t) => {
  if (lacks(t, "seccomp")) return;
  const own = await instance(t);
  const policy = `${own.store.path}/.policy`;
  writeFileSync(policy, "2\ndenylist\ndelete_module errno 1\n");
  chmodSync(policy, 0o644);
  const rootfs = lxdContainer(own.store, "privileged", "islt-lxd-policy", {
    config: `lxc.seccomp.profile = ${policy}\n`,
  });
  await own.ok(["lxc-start", ...own.store.at("islt-lxd-policy")]);
  const calls = (await reportOf(rootfs)).get("call") ?? [];
  // A kernel without modules and kexec has no such calls either: these two tell.
  assert.ok(!calls.includes("open_by_handle_at 38") && !calls.includes("umount-force 13"), calls.join());
  assert.ok(calls.includes("delete_module 1"), calls.join());
});

test("DC: rules and capabilities of the configuration's own take the place of the profile's", async (t) => {
  const own = await instance(t);
  const { sh } = await started(
    own,
    "privileged",
    "islt-lxd-rules",
    "lxc.cgroup.devices.deny = c 1:7 rwm\nlxc.cgroup2.devices.allow = a\nlxc.cgroup2.devices.deny = c 1:7 rwm\nlxc.cap.drop = mknod\n",
  );
  assert.match(await sh("echo x 2>&1 > /dev/full || true"), /^$|Operation not permitted/);
  assert.equal(await sh("mknod /root/n b 7 0 2>&1 | grep -c permitted"), "1");
  assert.equal(await sh("echo x > /dev/null && echo fine"), "fine");
});

for (const kind of kinds) {
  test(`DC: on a host with cgroup v2 alone the devices of a privileged guest are the same (${kind})`, async (t) => {
    if (lacks(t, "cgroup2") || !mayRun(t, kind)) return;
    const own = await instance(t, { mntnsPid: await pureV2(t) });
    const { sh } = await started(own, kind, "islt-lxd-v2dev");
    assert.equal(await sh("echo x > /dev/null && echo open"), "open");
    const made = await sh("mknod /root/loop b 7 0 2>&1 && cat /root/loop 2>&1 | head -c 80 || true");
    assert.match(made, /not permitted/);
  });
}
