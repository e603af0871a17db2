import assert from "node:assert/strict";
import { test } from "node:test";
import {
  MS_BIND,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_RELATIME,
  MS_SHARED,
} from "../../../../src/sys/flags.js";
import { parseMountOptions, showMountOptions } from "../../../../src/spec/mount-options.js";
import type { MountEntry } from "../../../../src/spec/mount.js";
import { convert, specFaults, specOf, withoutSources } from "./helper.js";

const rootfs = "lxc.rootfs.path = dir:/srv/root\n";

function entry(line: string): MountEntry {
  const [first] = specOf(`${rootfs}lxc.mount.entry = ${line}`).mounts.entries;
  assert.ok(first);
  return first;
}

test("types of root file systems are told by their prefix, or by what is there", () => {
  const source = (path: string): unknown =>
    specOf(`lxc.rootfs.path = ${path}`, {
      devices: { "/dev/lxc/a": { type: "b", major: 253, minor: 0 }, "/a.img": { type: "file", major: 0, minor: 0 } },
    }).rootfs.source;
  assert.deepEqual(source("dir:/a//b/"), { kind: "dir", path: "/a/b" });
  assert.deepEqual(source("/a:b"), { kind: "dir", path: "/a:b" });
  assert.deepEqual(source("/dev/lxc/a"), { kind: "block", driver: "block", path: "/dev/lxc/a" });
  assert.deepEqual(source("/a.img"), { kind: "loop", path: "/a.img" });
  assert.deepEqual(source("overlay:/l1:/l2:/u"), { kind: "overlay", lowers: ["/l1", "/l2"], upper: "/u" });
  assert.deepEqual(source("zfs:tank/lxc/a"), { kind: "zfs", dataset: "tank/lxc/a" });
  assert.deepEqual(source("nbd:/a.qcow2:1"), { kind: "other", driver: "nbd", path: "/a.qcow2:1" });
  assert.equal(specOf("lxc.rootfs.path = overlay:/l:/u").rootfs.documentPath, "/l:/u");
});

test("islet.rootfs.upper turns whatever directories there are into layers that are only read", () => {
  const source = (path: string, upper: string): unknown =>
    specOf(`lxc.rootfs.path = ${path}\nislet.rootfs.upper = ${upper}`).rootfs.source;
  assert.deepEqual(source("/a", "tmpfs"), { kind: "overlay", lowers: ["/a"], upper: null });
  assert.deepEqual(source("overlay:/l1:/l2:/u", "tmpfs:2g"), {
    kind: "overlay",
    lowers: ["/u", "/l1", "/l2"],
    upper: null,
    upperSize: 2 ** 31,
  });
  assert.match(
    specFaults("lxc.rootfs.path = loop:/a\nislet.rootfs.upper = tmpfs")[0] ?? "",
    /^islet\.rootfs\.upper works over directories only/,
  );
  for (const wrong of ["tmpfs:", "tmpfs:0", "tmpfs:-1", "tmpfs:99999T", "zram"])
    assert.match(
      specFaults(`lxc.rootfs.path = /a\nislet.rootfs.upper = ${wrong}`)[0] ?? "",
      /is not tmpfs or tmpfs:SIZE/,
    );
});

test("layers that lie in one another, and aufs, are faults that say what to write", () => {
  for (const path of ["overlay:/a:/a", "overlay:/a:/a/b", "overlay:/x:/a/b:/a"])
    assert.match(specFaults(`lxc.rootfs.path = ${path}`)[0] ?? "", /lie in one another .*give the upper layer/);
  assert.match(specFaults("lxc.rootfs.path = aufs:/a:/b")[0] ?? "", /^no kernel of today has aufs/);
});

test("a type that does not exist, layers that are missing and relative paths are faults", () => {
  assert.match(specFaults("lxc.rootfs.path = foo:/a")[0] ?? "", /^"foo" is not a type of root file system/);
  assert.match(
    specFaults("lxc.rootfs.path = overlay:/a")[0] ?? "",
    /does not name the layers of an overlay .*; write overlay:\/LOWER:\/UPPER$/,
  );
  assert.match(
    specFaults("lxc.rootfs.path = dir:a/b")[0] ?? "",
    /^the root file system "a\/b" is not an absolute path/,
  );
});

test("options of the root file system arrive, an id-mapped one needs a directory and an id map", () => {
  const map = "lxc.idmap = u 0 100000 65536\n";
  const spec = specOf(
    `${rootfs}${map}lxc.rootfs.options = ro,idmap=container\nlxc.rootfs.mount = /mnt\nlxc.rootfs.managed = 0`,
  ).rootfs;
  assert.deepEqual(
    [spec.options.flags, spec.idmap, spec.mountPoint, spec.managed],
    [MS_RDONLY, "container", "/mnt", false],
  );
  assert.deepEqual(specOf(`${rootfs}lxc.rootfs.options = idmap=/proc/1/ns/user`).rootfs.idmap, {
    userns: "/proc/1/ns/user",
  });
  assert.match(
    specFaults(`${rootfs}lxc.rootfs.options = idmap=container`)[0] ?? "",
    /^idmap=container needs an lxc\.idmap/,
  );
  assert.match(
    specFaults(`${map}lxc.rootfs.options = idmap=container`)[0] ?? "",
    /^idmap= needs a root file system of the container's own/,
  );
});

test("a mount entry is taken apart as fstab has it", () => {
  assert.deepEqual(withoutSources(entry("proc proc proc nodev,noexec,nosuid 0 0")), {
    source: "proc",
    target: "proc",
    fstype: "proc",
    options: { flags: MS_NODEV | MS_NOEXEC | MS_NOSUID, clear: 0, propagation: 0, data: "" },
    optional: false,
    create: null,
    sourceInContainer: false,
    idmap: null,
  });
  const shared = entry("/a\\040b  srv/x\\011y\tnone bind,ro,rshared,optional,create=dir,relative 0 0");
  assert.deepEqual(
    [shared.source, shared.target, shared.optional, shared.create, shared.sourceInContainer],
    ["/a b", "srv/x\ty", true, "dir", true],
  );
  assert.deepEqual(shared.options, { flags: MS_BIND | MS_RDONLY, clear: 0, propagation: MS_SHARED | MS_REC, data: "" });
  assert.equal(entry("shm dev/shm tmpfs rw,mode=1777,create=dir,size=1m").options.data, "mode=1777,size=1m");
  assert.deepEqual(entry("a b none").options, { flags: 0, clear: 0, propagation: 0, data: "" });
});

test("an id-mapped entry names the container's map or a user namespace", () => {
  const text = `${rootfs}lxc.idmap = u 0 1 1\nlxc.mount.entry = /a b none bind,idmap=container\nlxc.mount.entry = /a c none bind,idmap=/proc/5/ns/user`;
  assert.deepEqual(
    specOf(text).mounts.entries.map((one) => one.idmap),
    ["container", { userns: "/proc/5/ns/user" }],
  );
  assert.match(
    specFaults(`${rootfs}lxc.mount.entry = /a b none bind,idmap=container`)[0] ?? "",
    /^idmap=container needs an lxc\.idmap/,
  );
  assert.match(specFaults(`${rootfs}lxc.mount.entry = /a b none bind,idmap=x`)[0] ?? "", /^"idmap=x" is unknown/);
  assert.match(
    specFaults(`${rootfs}lxc.mount.entry = /a b none bind,create=link`)[0] ?? "",
    /^"create=link" is unknown/,
  );
  assert.match(
    specFaults(`${rootfs}lxc.mount.entry = /a`)[0] ?? "",
    /^"\/a" is not a mount: write SOURCE TARGET TYPE OPTIONS 0 0/,
  );
});

test("absolute targets below the root file system lose its path, whichever way it is written", () => {
  for (const target of ["/srv/root/srv/x", "/srv//root/./srv/x/", "/var/lib/lxc/web1/rootfs/srv/x"]) {
    assert.equal(entry(`/srv/x ${target} none bind 0 0`).target, "srv/x", target);
  }
  assert.equal(
    specOf("lxc.rootfs = /dev/lxc/a\nlxc.mount.entry=proc /var/lib/lxc/web1/rootfs/proc proc defaults 0 0").mounts
      .entries[0]?.target,
    "proc",
  );
  assert.equal(entry("/srv/x /srv/root none bind 0 0").target, "");
});

test("absolute targets elsewhere are left out with a notice", () => {
  const result = convert(
    `${rootfs}lxc.mount.entry = shm /dev/shm tmpfs defaults 0 0\nlxc.mount.entry = a /srv/rootx/y none bind`,
  );
  assert.equal(result.kind === "spec" ? result.spec.mounts.entries.length : -1, 0);
  assert.deepEqual(
    result.notices.map((notice) => notice.message),
    [
      '/var/lib/lxc/web1/config:2: the mount on "/dev/shm" is left out: the target is not below the container\'s root; write it without a leading slash',
      '/var/lib/lxc/web1/config:3: the mount on "/srv/rootx/y" is left out: the target is not below the container\'s root; write it without a leading slash',
    ],
  );
});

test("without a root file system of its own an absolute target is the host's path", () => {
  assert.equal(specOf("lxc.mount.entry = tmpfs /mnt tmpfs defaults 0 0").mounts.entries[0]?.target, "mnt");
});

test("a target never leaves the root by its dots", () => {
  assert.equal(entry("/x ../../etc none bind").target, "etc");
  assert.equal(entry("/x a/./../../b none bind").target, "b");
});

test("the table of mounts comes first, with its own file and lines in sources", () => {
  const files = {
    "/var/lib/lxc/web1/fstab":
      "# old habit\nproc            proc         proc    nodev,noexec,nosuid 0 0\n\nsysfs           sys          sysfs defaults  0 0\n/srv/x /var/lib/lxc/web1/rootfs/srv/x none bind 0 0\n",
  };
  const { entries } = specOf(
    "lxc.rootfs = /var/lib/lxc/web1/rootfs\nlxc.mount.entry = a b none bind\nlxc.mount = /var/lib/lxc/web1/fstab",
    { files },
  ).mounts;
  assert.deepEqual(
    entries.map((one) => one.target),
    ["proc", "sys", "srv/x", "b"],
  );
  assert.deepEqual(entries[1]?.at, { file: "/var/lib/lxc/web1/fstab", line: 4, key: "lxc.mount.fstab" });
  assert.deepEqual(specFaults("lxc.mount = /none"), [
    'the mount table "/none" cannot be read: it is missing or not a plain file (/var/lib/lxc/web1/config:1 lxc.mount)',
  ]);
});

test("automatic mounts: a later word of a class replaces the earlier, forces and defaults are told apart", () => {
  const auto = specOf(
    "lxc.mount.auto = proc sys:ro cgroup\nlxc.mount.auto = proc:rw cgroup-full:mixed:force shmounts:/a:/b",
  ).mounts.auto;
  assert.deepEqual(withoutSources(auto), {
    proc: "rw",
    sys: "ro",
    cgroup: { scope: "full", mode: "mixed", force: true },
    shared: { host: "/a", container: "/b" },
  });
  assert.equal(specOf("lxc.mount.auto = shmounts:/a").mounts.auto.shared?.container, "/dev/.lxc-mounts");
  assert.deepEqual(specOf("lxc.mount.auto = cgroup").mounts.auto.cgroup, {
    scope: "own",
    mode: "default",
    force: false,
  });
  assert.deepEqual(specOf("lxc.mount.auto = cgroup2:ro").mounts.auto.cgroup, { scope: "v2", mode: "ro", force: true });
  assert.deepEqual(specOf("lxc.mount.auto = cgroup2").mounts.auto.cgroup, { scope: "v2", mode: "rw", force: true });
});

test("of mount options that contradict each other the last wins", () => {
  assert.deepEqual(parseMountOptions(["ro", "rw", "exec", "noexec"]), {
    flags: MS_NOEXEC,
    clear: MS_RDONLY,
    propagation: 0,
    data: "",
  });
  assert.equal(parseMountOptions(["rbind"]).flags, MS_BIND | MS_REC);
  assert.equal(parseMountOptions(["shared", "private"]).propagation, MS_PRIVATE);
  assert.deepEqual(
    parseMountOptions(["defaults", "noauto", "user", "x-systemd.automount", "comment=a", "", "toString"]),
    { flags: 0, clear: 0, propagation: 0, data: "toString" },
  );
});

test("mount options are shown in words that mean the same", () => {
  for (const words of [
    "ro,nosuid,rbind,rslave",
    "rw,dev,exec,suid,relatime,uid=5,gid=6",
    "bind",
    "remount,strictatime,nolazytime",
    "nosymfollow,dirsync",
  ]) {
    const options = parseMountOptions(words.split(","));
    assert.deepEqual(parseMountOptions(showMountOptions(options)), options, words);
  }
  assert.deepEqual(showMountOptions(parseMountOptions(["relatime"])), ["relatime"]);
  assert.equal(parseMountOptions(["relatime"]).flags, MS_RELATIME);
});
