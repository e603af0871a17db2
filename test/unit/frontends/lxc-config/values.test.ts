import assert from "node:assert/strict";
import { test } from "node:test";
import { getItem } from "../../../../src/frontends/lxc/config/config.js";
import { faultsOf, get, parse, parseFine } from "./helper.js";

/** What LXC 5.0.2 answers to lxc-info -c; measured. */
const measured: readonly (readonly [config: string, key: string, shown: string])[] = [
  ["lxc.arch = arm64", "lxc.arch", "x86_64"],
  ["lxc.arch = linux32", "lxc.arch", "i686"],
  ["lxc.init.groups = 10,20\nlxc.init.groups = 30", "lxc.init.groups", "10,20,30"],
  ["lxc.log.level = debug", "lxc.log.level", "DEBUG"],
  ["lxc.time.offset.boot = 7 s", "lxc.time.offset.boot", "7 s\n"],
  ["lxc.time.offset.boot = -7s", "lxc.time.offset.boot", "-7 s\n"],
  ["lxc.time.offset.monotonic=3m", "lxc.time.offset.monotonic", "180s\n"],
  ["lxc.time.offset.monotonic=1500us", "lxc.time.offset.monotonic", "1500000ns\n"],
  ["lxc.rootfs.path = overlay:/a:/b", "lxc.rootfs.path", "/a:/b"],
  ["lxc.rootfs.path = /a//b/", "lxc.rootfs.path", "/a/b"],
  ["lxc.mount.entry = a b c\nlxc.mount.entry = d e f", "lxc.mount.entry", "a b c\nd e f\n"],
  ["lxc.mount.auto = cgroup sys:ro\nlxc.mount.auto = proc:rw cgroup:rw", "lxc.mount.auto", "proc:rw sys:ro cgroup:rw"],
  ["lxc.mount.auto = sys cgroup:mixed", "lxc.mount.auto", "sys:mixed cgroup:mixed"],
  ["lxc.mount.auto = cgroup-full", "lxc.mount.auto", "cgroup-full"],
  ["lxc.autodev.tmpfs.size = 1M", "lxc.autodev.tmpfs.size", "500000"],
  ["lxc.console.size = 5K", "lxc.console.size", "4096"],
  ["lxc.console.size = 5 KB", "lxc.console.size", "8192"],
  ["lxc.console.size = 0", "lxc.console.size", "4096"],
  ["lxc.console.size = 9MB", "lxc.console.size", "16777216"],
  ["lxc.tty.dir=//lxc/", "lxc.tty.dir", "//lxc/"],
  ["lxc.tty.max = +1", "lxc.tty.max", "1"],
  ["lxc.start.order = 0x5", "lxc.start.order", "5"],
  ["lxc.idmap=u 0 100000 65536\nlxc.idmap = g 0 100000 1", "lxc.idmap", "u 0 100000 65536\ng 0 100000 1"],
  ["lxc.namespace.keep= mnt time cgroup", "lxc.namespace.keep", "mnt\ncgroup\ntime\n"],
  ["lxc.namespace.clone= net pid\nlxc.namespace.clone = uts", "lxc.namespace.clone", "pid\nuts\nnet\n"],
  ["lxc.cap.keep = none", "lxc.cap.keep", ""],
  ["lxc.cap.keep = kill none mknod", "lxc.cap.keep", "mknod\n"],
  ["lxc.cap.drop = mknod\nlxc.cap.drop =\nlxc.cap.keep = kill", "lxc.cap.keep", "kill\n"],
  [
    "lxc.prlimit.nofile = 10:20\nlxc.prlimit.core = unlimited",
    "lxc.prlimit",
    "lxc.prlimit.nofile = 10:20\nlxc.prlimit.core = unlimited\n",
  ],
  ["lxc.prlimit.nofile = 10\nlxc.prlimit.nofile = 20", "lxc.prlimit", "lxc.prlimit.nofile = 20\n"],
  ["lxc.sysctl.net.x = 1\nlxc.sysctl.net.x = 2", "lxc.sysctl", "lxc.sysctl.net.x = 2\n"],
  ["lxc.proc.oom_score_adj = 10", "lxc.proc", "lxc.proc.oom_score_adj = 10\n"],
  ["lxc.cgroup2.memory.max=1\nlxc.cgroup2.memory.max = 2", "lxc.cgroup2.memory.max", "1\n2\n"],
  [
    "lxc.cgroup2.memory.max=1\nlxc.cgroup2.devices.deny = a",
    "lxc.cgroup2",
    "lxc.cgroup2.memory.max = 1\nlxc.cgroup2.devices.deny = a\n",
  ],
  ["lxc.cgroup2.memory.max=1", "lxc.cgroup2.memory", ""],
  ["lxc.hook.start = /a b\nlxc.hook.start = /b", "lxc.hook.start", "/a b\n/b\n"],
  ["lxc.hook.start=/a\nlxc.hook =", "lxc.hook.start", ""],
  ["lxc.monitor.signal.pdeath = 0", "lxc.monitor.signal.pdeath", "0"],
  ["lxc.net.3.type = veth\nlxc.net.0.type = macvlan", "lxc.net", "macvlan\nveth\n"],
  ["lxc.net.0.flags = up", "lxc.net.0.type", "empty"],
  ["lxc.net.0.flags = up", "lxc.net", "empty\n"],
  ["lxc.net.0.type = empty", "lxc.net.0.name", "lo"],
  ["lxc.net.007.type = veth", "lxc.net.7.type", "veth"],
  ["lxc.net.0.type = veth\nlxc.net.0.ipv4.address = 10.0.3.5", "lxc.net.0.ipv4.address", "10.0.3.5/8"],
  ["lxc.net.0.type = veth\nlxc.net.0.ipv4.address = 0.0.0.0/0", "lxc.net.0.ipv4.address", "0.0.0.0/0"],
  ["lxc.net.0.type = veth\nlxc.net.0.link = b\nlxc.net.0.type = macvlan", "lxc.net.0.link", ""],
  ["lxc.net.0.type = veth\nlxc.net.0 =", "lxc.net", ""],
  ["lxc.net.0 =", "lxc.net", ""],
];

for (const [config, key, shown] of measured) {
  test(`${JSON.stringify(config)} shows ${JSON.stringify(shown)} for ${key}, as in LXC 5`, () => {
    assert.equal(get(config, key), shown);
  });
}

test("what cannot be asked for answers null: unknown keys, lxc.hook, lxc.include, nics that are not there", () => {
  const config = parseFine("lxc.net.0.type = veth");
  for (const key of [
    "lxc.nosuch",
    "lxc.hook",
    "lxc.include",
    "lxc.net.1",
    "lxc.net.1.type",
    "lxc.net.0.nosuch",
    "lxc.namespace.share.foo",
    "foo",
    "",
  ]) {
    assert.equal(getItem(config, key), null, key);
  }
});

test("old names can be asked for", () => {
  const config = parseFine(
    "lxc.uts.name = a\nlxc.tty.max = 3\nlxc.net.0.type = veth\nlxc.net.0.ipv4.address = 10.0.0.1/24\nlxc.prlimit.core = 1",
  );
  assert.equal(getItem(config, "lxc.utsname"), "a");
  assert.equal(getItem(config, "lxc.tty"), "3");
  assert.equal(getItem(config, "lxc.network"), "veth\n");
  assert.equal(getItem(config, "lxc.network.type"), "veth");
  assert.equal(getItem(config, "lxc.network.0.ipv4"), "10.0.0.1/24");
  assert.equal(getItem(config, "lxc.limit.core"), "1");
});

test("a nic as a whole answers the names of the keys its type has", () => {
  const names = get("lxc.net.0.type = macvlan", "lxc.net.0")?.split("\n") ?? [];
  assert.ok(names.includes("macvlan.mode") && names.includes("hwaddr") && !names.includes("veth.pair"));
});

/** What LXC 5.0.2 refuses to load; measured, but for what is marked. */
const refused: readonly (readonly [config: string, message: string])[] = [
  ["lxc.uts.name = " + "a".repeat(65), "the host name is longer than 64 bytes"],
  ["lxc.arch = foo", 'Unsupported personality "foo"'],
  ["lxc.init.uid = -1", '"-1" is not a whole number from 0 to 4294967294'],
  ["lxc.init.groups = a", '"a" is not a whole number from 0 to 4294967294'],
  ["lxc.log.level = 9", '"9" is not a log level: trace debug info notice warn error crit alert fatal, or 0 to 8'],
  [
    "lxc.log.syslog = foo",
    '"foo" is not a facility of syslog: daemon, local0, local1, local2, local3, local4, local5, local6, local7',
  ],
  ["lxc.keyring.session = 2", '"2" is neither 0 nor 1'],
  ["lxc.time.offset.boot = 7", '"7" is not a time: write a number with h, m, s, ms, us or ns'],
  [
    "lxc.rootfs.options = ro,optional",
    '"optional" cannot be an option of the root file system: it is for lxc.mount.entry',
  ],
  [
    "lxc.rootfs.options = ro,create=dir",
    '"create=dir" cannot be an option of the root file system: it is for lxc.mount.entry',
  ],
  ["lxc.mount.auto = proc,sys", 'Invalid filesystem to automount "proc,sys"'],
  ["lxc.mount.auto = foo", 'Invalid filesystem to automount "foo"'],
  ["lxc.mount.auto = proc:ro", 'Invalid filesystem to automount "proc:ro"'],
  ["lxc.mount.auto = shmounts", 'Invalid filesystem to automount "shmounts"'],
  ["lxc.console.size = -1", '"-1" is not a size: write auto, or a number with B, KB, MB or GB'],
  ["lxc.tty.max = 5a", '"5a" is not a whole number from 0 to 4294967295'],
  ["lxc.tty.max = 99999999999", '"99999999999" is not a whole number from 0 to 4294967295'],
  ["lxc.start.delay = -5", '"-5" is not a whole number from 0 to 2147483647'],
  [
    "lxc.idmap=u 0 100000",
    '"u 0 100000" is not an id map: write u, g or b, first id inside, first id on the host, number of ids',
  ],
  ["lxc.namespace.keep= foo", '"foo" is not a namespace: user mnt pid uts ipc net cgroup time'],
  [
    "lxc.namespace.clone= net pid\nlxc.namespace.keep = uts",
    "lxc.namespace.clone and lxc.namespace.keep are mutually exclusive",
  ],
  ["lxc.namespace.share.foo = 1", '"foo" is not a namespace: user mnt pid uts ipc net cgroup time'],
  ["lxc.cap.drop = foo", 'Invalid capability specified: "foo"'],
  ["lxc.cap.drop = 99", 'Invalid capability specified: "99"'],
  ["lxc.cap.drop = none", 'Invalid capability specified: "none"'],
  ["lxc.cap.drop = mknod\nlxc.cap.keep = kill", "Keeping and dropping capabilities are mutually exclusive"],
  ["lxc.cap.keep = none\nlxc.cap.drop = mknod", "Keeping and dropping capabilities are mutually exclusive"],
  ["lxc.prlimit.nofile = infinity", '"infinity" is not a limit: write SOFT, SOFT:HARD or unlimited'],
  ["lxc.prlimit = 1", "lxc.prlimit takes no value: write lxc.prlimit.NAME = VALUE"],
  ["lxc.cgroup = 1", "lxc.cgroup takes no value: write lxc.cgroup.CONTROLLER.FILE = VALUE"],
  ["lxc.cgroup.dir = /a/b", '"/a/b" begins with a slash: the path must be relative'],
  ["lxc.cgroup.dir = a/../b", '"a/../b" contains ".."'],
  ["lxc.cgroup.dir.container.inner = a/b", '"a/b" must be a single name without a slash'],
  ["lxc.hook.version = 2", "Invalid hook version specified. Currently only 0 (legacy) and 1 are supported"],
  ["lxc.hook = 1", "lxc.hook takes no value: write lxc.hook.KIND = COMMAND"],
  ["lxc.seccomp.notify.proxy = foo:/x", '"foo:/x" is not unix:/PATH or unix:@NAME'],
  [
    "lxc.signal.halt = PWR",
    '"PWR" is not a signal: write a number, or a name with its prefix such as SIGPWR or SIGRTMIN+3',
  ],
  ["lxc.net = x", "lxc.net takes no value: write lxc.net.N.type = TYPE"],
  ["lxc.net.0 = x", "lxc.net.0 takes no value: write lxc.net.0.type = TYPE"],
  ["lxc.net.0.link =", "there is no lxc.net.0 of which link could be cleared"],
  ["lxc.net.x.type = veth", 'Unsupported config key "lxc.net.x.type"'],
  ["lxc.net.0.foo = 1", 'Unsupported config key "lxc.net.0.foo"'],
  ["lxc.net.0.type = foo", '"foo" is not a type of network device: veth, macvlan, ipvlan, vlan, phys, empty, none'],
  ["lxc.net.0.vlan.id = 5\nlxc.net.0.type = vlan", "vlan.id needs lxc.net.0.type = vlan before it"],
  [
    "lxc.net.0.type = macvlan\nlxc.net.0.veth.pair = x",
    "veth.pair belongs to lxc.net.0.type = veth, this nic is macvlan",
  ],
  ["lxc.net.0.type = veth\nislet.net.0 = x", "islet.net.0 takes no value: write islet.net.0.KEY = VALUE"],
  ["islet.net.0.foo = 1", 'Unsupported config key "islet.net.0.foo"'],
  ["islet.net.0.filter = mac\nlxc.net.0.type = veth", "filter needs lxc.net.0.type = veth before it"],
  [
    "lxc.net.0.type = macvlan\nislet.net.0.limit.in = 1mbit",
    "limit.in belongs to lxc.net.0.type = veth, this nic is macvlan",
  ],
  ["lxc.net.0.type = phys\nislet.net.0.filter = mac", "filter belongs to lxc.net.0.type = veth, this nic is phys"],
  ...["fast", "1mb", "1000", "200gbit", "-1mbit", "1.5mbit"].map(
    (value) =>
      [
        `lxc.net.0.type = veth\nislet.net.0.limit.out = ${value}`,
        `"${value}" is not a rate from 16kbit to 100gbit: write 500kbit, 10mbit, 1gbit, or bits a second`,
      ] as const,
  ),
  ...["1mb", "16383", "4g", "-1m", "1.5m", "big"].map(
    (value) =>
      [
        `lxc.net.0.type = veth\nislet.net.0.limit.in.burst = ${value}`,
        `"${value}" is not a burst from 16k to 4095m: write 64k, 10m, 1g (powers of 1024), or bytes`,
      ] as const,
  ),
  ...[
    ["ip", "ip"],
    ["mac all", "all"],
    ["none mac", "none"],
  ].map(
    ([value = "", word = ""]) =>
      [
        `lxc.net.0.type = veth\nislet.net.0.filter = ${value}`,
        `"${word}" is not a filter: write mac, ipv4 and ipv6 with blanks between, all or none`,
      ] as const,
  ),
  ["lxc.net.0.type = veth\nlxc.net.0.veth.mode = foo", '"foo" is not a mode of veth: bridge, router'],
  ["lxc.net.0.type = veth\nlxc.net.0.veth.vlan.id = 5000", '"5000" is not a whole number from 1 to 4094'],
  ["lxc.net.0.type = veth\nlxc.net.0.veth.n_rxqueues = 0", '"0" is not a whole number from 1 to 4096'],
  ["lxc.net.0.type = veth\nlxc.net.0.veth.ipv4.route = 10.0.0.1", '"10.0.0.1" is not a route: write ADDRESS/PREFIX'],
  [
    "lxc.net.0.type = veth\nlxc.net.0.ipv4.address = 10.0.3.5/33",
    '"10.0.3.5/33" is not an IPv4 address: write A.B.C.D/PREFIX, perhaps with a broadcast address',
  ],
  ["lxc.net.0.type = veth\nlxc.net.0.ipv4.address = 10.0.3.5/24 foo", '"foo" is not an IPv4 broadcast address'],
  ["lxc.net.0.type = veth\nlxc.net.0.ipv6.address = foo", '"foo" is not an IPv6 address'],
  ["lxc.net.0.type = veth\nlxc.net.0.ipv4.gateway = foo", '"foo" is not a gateway: write an IPv4 address, auto or dev'],
  ["lxc.net.0.type = vlan\nlxc.net.0.vlan.id = 70000", '"70000" is not a whole number from 0 to 65535'],
  // Taken by LXC, which then cannot start: of no use to anyone.
  ["lxc.environment = =x", '"=x" is neither NAME=VALUE nor NAME'],
  [
    "lxc.signal.halt = 99",
    '"99" is not a signal: write a number, or a name with its prefix such as SIGPWR or SIGRTMIN+3',
  ],
];

for (const [config, message] of refused) {
  test(`${JSON.stringify(config)} is refused: ${message}`, () => {
    const lines = config.split("\n");
    // The last line is the bad one, but for the type that comes too late.
    const bad = message.endsWith("before it") ? 0 : lines.length - 1;
    const key = lines[bad]?.split("=")[0]?.trim();
    assert.deepEqual(faultsOf(config), [`${message} (/var/lib/lxc/web1/config:${bad + 1} ${key})`]);
  });
}

test("lxc.cap.keep = none keeps nothing, lxc.cap.keep = puts the default back", () => {
  assert.equal(parseFine("lxc.cap.keep = none").values.capKeepMode, true);
  assert.equal(parseFine("lxc.cap.keep = none\nlxc.cap.keep =").values.capKeepMode, false);
});

test("lxc.mount.fstab = clears, which LXC calls an error", () => {
  assert.equal(get("lxc.mount.fstab = /etc/fstab\nlxc.mount.fstab =", "lxc.mount.fstab"), "");
});

test("lxc.idmap = b maps users and groups alike", () => {
  assert.equal(get("lxc.idmap = b 0 100000 65536", "lxc.idmap"), "u 0 100000 65536\ng 0 100000 65536");
});

test("what a nic was told before its first type is kept", () => {
  assert.equal(get("lxc.net.0.link = b\nlxc.net.0.flags = up\nlxc.net.0.type = veth", "lxc.net.0.link"), "b");
});

test("a value may hold the other kind of quote, backslashes and non-ASCII text", () => {
  assert.equal(get('lxc.environment = "A=it\'s"', "lxc.environment"), "A=it's\n");
  assert.equal(get("lxc.environment = A=\\n é ☃", "lxc.environment"), "A=\\n é ☃\n");
});

test("clearing one scope of the environment leaves the others", () => {
  const config = parse("lxc.environment = A=1\nlxc.environment.hooks = B=1\nlxc.environment =\n");
  assert.equal(getItem(config, "lxc.environment"), "");
  assert.equal(getItem(config, "lxc.environment.hooks"), "B=1\n");
});
