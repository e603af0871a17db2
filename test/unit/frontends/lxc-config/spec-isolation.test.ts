import assert from "node:assert/strict";
import { test } from "node:test";
import { specFaults, specOf, withoutSources } from "./helper.js";

const kinds = (text: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries(specOf(text).namespaces).map(([name, choice]) => [name, (choice as { kind: string }).kind]),
  );

test("an id map makes a user namespace", () => {
  const spec = specOf("lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536");
  assert.equal(spec.namespaces.user.kind, "new");
  assert.deepEqual(withoutSources(spec.idmap), [
    { type: "uid", inside: 0, outside: 100000, count: 65536 },
    { type: "gid", inside: 0, outside: 100000, count: 65536 },
  ]);
});

test("id maps that are empty, too large or overlap are faults", () => {
  const fault = (text: string): string => (specFaults(text)[0] ?? "").split(" (")[0] ?? "";
  assert.equal(fault("lxc.idmap = u 0 100000 0"), "the id map has no ids: the number must be at least 1");
  assert.equal(fault("lxc.idmap = u 0 4294967295 2"), "the id map goes beyond the largest id");
  assert.equal(
    fault("lxc.idmap = u 0 100000 1000\nlxc.idmap = u 999 200000 5"),
    "the ids inside overlap those of line 1",
  );
  assert.equal(
    fault("lxc.idmap = u 0 100000 1000\nlxc.idmap = u 1000 100999 5"),
    "the ids on the host overlap those of line 1",
  );
  assert.equal(fault("lxc.idmap = u 0 100000 1000\nlxc.idmap = g 0 100000 1000\nlxc.idmap = u 1000 101000 5"), "");
});

test("lxc.namespace.keep keeps what it names", () => {
  assert.deepEqual(kinds("lxc.namespace.keep = net ipc"), {
    mount: "new",
    pid: "new",
    uts: "new",
    ipc: "keep",
    net: "keep",
    user: "keep",
    cgroup: "new",
    time: "keep",
  });
  assert.deepEqual(specOf("lxc.namespace.keep = net").network, { kind: "host" });
});

test("lxc.namespace.clone makes only what it names, and the user namespace that an id map needs", () => {
  assert.deepEqual(kinds("lxc.namespace.clone = mnt time"), {
    mount: "new",
    pid: "keep",
    uts: "keep",
    ipc: "keep",
    net: "keep",
    user: "keep",
    cgroup: "keep",
    time: "new",
  });
  assert.equal(kinds("lxc.namespace.clone = mnt\nlxc.idmap = u 0 100000 1")["user"], "new");
});

test("a user namespace without an id map, and an id map without a user namespace, are faults", () => {
  assert.match(specFaults("lxc.namespace.clone = user mnt")[0] ?? "", /^a user namespace needs an lxc\.idmap/);
  assert.match(
    specFaults("lxc.namespace.keep = user\nlxc.idmap = u 0 1 1")[0] ?? "",
    /^an lxc\.idmap needs a user namespace of its own/,
  );
});

test("namespaces are shared with a process or a container", () => {
  const spec = specOf(
    "lxc.namespace.share.net = 123\nlxc.namespace.share.ipc = other\nlxc.namespace.share.uts = /srv/lxc/x",
  );
  const [net, ipc, uts] = [spec.namespaces.net, spec.namespaces.ipc, spec.namespaces.uts].map(withoutSources);
  assert.deepEqual(net, { kind: "share", with: { pid: 123 } });
  assert.deepEqual(ipc, { kind: "share", with: { container: "other" } });
  assert.deepEqual(uts, { kind: "share", with: { container: "/srv/lxc/x" } });
  assert.deepEqual(spec.network, { kind: "own", nics: [] });
});

test("an offset makes a time namespace", () => {
  const spec = specOf("lxc.time.offset.boot = -2h\nlxc.time.offset.monotonic = 5ms");
  assert.equal(spec.namespaces.time.kind, "new");
  assert.deepEqual(spec.process.timeOffset, { boottime: -7_200_000_000_000n, monotonic: 5_000_000n });
});

test("capabilities are numbers without doubles", () => {
  assert.deepEqual(specOf("lxc.cap.drop = mac_admin sys_time\nlxc.cap.drop = 25").security.capabilities, {
    kind: "drop",
    capabilities: [33, 25],
  });
  assert.deepEqual(specOf("lxc.cap.keep = none").security.capabilities, { kind: "keep", capabilities: [] });
  assert.deepEqual(specOf("lxc.cap.drop = kill\nlxc.cap.drop =\nlxc.cap.keep = chown").security.capabilities, {
    kind: "keep",
    capabilities: [0],
  });
});

test("the seccomp policy is read, a missing one is a fault", () => {
  const text =
    "lxc.seccomp.profile = /p\nlxc.seccomp.allow_nesting = 1\nlxc.seccomp.notify.proxy = unix:/s\nlxc.seccomp.notify.cookie = c";
  assert.deepEqual(withoutSources(specOf(text, { files: { "/p": "2\ndenylist\n" } }).security.seccomp), {
    file: "/p",
    text: "2\ndenylist\n",
    allowNesting: true,
    notifyProxy: "/s",
    notifyCookie: "c",
  });
  assert.deepEqual(specFaults("lxc.seccomp.profile = /p"), [
    'the seccomp policy "/p" cannot be read: it is missing or not a plain file (/var/lib/lxc/web1/config:1 lxc.seccomp.profile)',
  ]);
});

test("security modules' values arrive", () => {
  const { apparmor, selinux, noNewPrivileges } = specOf(
    "lxc.aa_profile = unconfined\nlxc.apparmor.allow_nesting = 1\nlxc.apparmor.raw = a\nlxc.apparmor.raw = b\nlxc.selinux.context = x\nlxc.selinux.context.keyring = y\nlxc.no_new_privs = 1",
  ).security;
  assert.deepEqual(withoutSources(apparmor), {
    profile: { value: "unconfined" },
    allowIncomplete: false,
    allowNesting: true,
    raw: ["a", "b"],
  });
  assert.deepEqual(withoutSources(selinux), { context: { value: "x" }, keyringContext: "y", mountContext: null });
  assert.equal(noNewPrivileges, true);
});

test("device rules of both versions are taken apart in order", () => {
  const { devicesV1, devicesV2, settings } = specOf(
    `lxc.cgroup.devices.deny = a
lxc.cgroup.devices.allow = c *:* m
lxc.cgroup.devices.allow = b 7:* rwm
lxc.cgroup2.devices.allow = c 1:3 rw
lxc.cgroup2.devices.allow = /dev/kvm rwm
lxc.cgroup.memory.limit_in_bytes = 320000000
lxc.cgroup2.memory.max = 1G
`,
    { devices: { "/dev/kvm": { type: "c", major: 10, minor: 232 } } },
  ).cgroup;
  const all = { read: true, write: true, mknod: true };
  assert.deepEqual(withoutSources(devicesV1), [
    { allow: false, type: "a", major: null, minor: null, ...all },
    { allow: true, type: "c", major: null, minor: null, read: false, write: false, mknod: true },
    { allow: true, type: "b", major: 7, minor: null, ...all },
  ]);
  assert.deepEqual(withoutSources(devicesV2), [
    { allow: true, type: "c", major: 1, minor: 3, read: true, write: true, mknod: false },
    { allow: true, type: "c", major: 10, minor: 232, ...all },
  ]);
  assert.deepEqual(withoutSources(settings), [
    { version: "v1", file: "memory.limit_in_bytes", value: "320000000" },
    { version: "v2", file: "memory.max", value: "1G" },
  ]);
});

test("device rules that make no sense, and devices that are not there, are faults", () => {
  for (const rule of ["c 1:3", "c 1:3 x", "d 1:3 rwm", "c 1 rwm", "c 1:3 rwm more", "x", "c -1:3 rwm"]) {
    assert.match(
      specFaults(`lxc.cgroup2.devices.allow = ${rule}`)[0] ?? "",
      /is not a device rule .*; write a, c MAJOR:MINOR rwm/,
      rule,
    );
  }
  assert.match(specFaults("lxc.cgroup2.devices.allow = /dev/none rwm")[0] ?? "", /^there is no device "\/dev\/none" /);
  const devices = { "/dev/shm": { type: "dir", major: 0, minor: 0 } } as const;
  assert.match(
    specFaults("lxc.cgroup2.devices.allow = /dev/shm rwm", { devices })[0] ?? "",
    /^"\/dev\/shm" is not a device /,
  );
});

test("directories of control groups are checked together", () => {
  const both = specOf(
    "lxc.cgroup.dir.container = a\nlxc.cgroup.dir.monitor = b\nlxc.cgroup.dir.monitor.pivot = c\nlxc.cgroup.dir.container.inner = d\nlxc.cgroup.relative = 1",
  );
  const { payload, monitor, pivot, inner, relative, parent } = both.cgroup;
  assert.deepEqual([payload, monitor, pivot, inner, relative, parent], ["a", "b", "c", "d", true, null]);
  assert.match(specFaults("lxc.cgroup.dir.container = a")[0] ?? "", /must be given together/);
  assert.match(
    specFaults("lxc.cgroup.dir = x\nlxc.cgroup.dir.container = a\nlxc.cgroup.dir.monitor = b")[0] ?? "",
    /^lxc\.cgroup\.dir excludes/,
  );
  assert.equal(specOf("", { context: { cgroupPattern: "lxc/%n" } }).cgroup.pattern, "lxc/%n");
});
