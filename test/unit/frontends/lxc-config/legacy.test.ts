import assert from "node:assert/strict";
import { test } from "node:test";
import { getItem } from "../../../../src/frontends/lxc/config/config.js";
import { legacyNames } from "../../../../src/frontends/lxc/config/legacy.js";
import { faultsOf, parseFine, specOf } from "./helper.js";

/** A value that each old key takes. */
const values: Readonly<Record<string, string>> = {
  "lxc.tty": "4",
  "lxc.pts": "1024",
  "lxc.aa_allow_incomplete": "1",
  "lxc.id_map": "u 0 100000 65536",
  "lxc.haltsignal": "SIGUSR1",
  "lxc.rebootsignal": "SIGTERM",
  "lxc.stopsignal": "9",
  "lxc.loglevel": "DEBUG",
  "lxc.syslog": "local0",
  "lxc.init_uid": "5",
  "lxc.init_gid": "6",
};

for (const [old, name] of Object.entries(legacyNames)) {
  if (old === "lxc.limit" || old === "lxc.network") continue;
  test(`${old} is read${name === null ? " without effect" : ` as ${name}`}, with a notice`, () => {
    const config = parseFine(`${old} = ${values[old] ?? "/x"}`);
    assert.deepEqual(
      config.notices.map((notice) => notice.message),
      [`/var/lib/lxc/web1/config:1: ${old}${name === null ? " has no effect any more" : ` -> ${name}`}`],
    );
    if (name !== null) assert.notEqual(getItem(config, name), getItem(parseFine(""), name));
    assert.deepEqual(config.faults, []);
  });
}

test("present names give no notice", () => {
  assert.deepEqual(parseFine("lxc.mount.entry = a b c\nlxc.cgroup.cpu.shares = 5\nlxc.arch = x86").notices, []);
});

test("bare lxc.mount is the table of mounts, lxc.mount.entry and lxc.mount.auto keep their meaning", () => {
  const config = parseFine("lxc.mount = /f\nlxc.mount.entry = a b c\nlxc.mount.auto = proc");
  assert.equal(getItem(config, "lxc.mount.fstab"), "/f");
  assert.equal(getItem(config, "lxc.mount.entry"), "a b c\n");
});

test("each lxc.network.type opens a nic, and what follows belongs to it", () => {
  const config = parseFine(`lxc.network.type = veth
lxc.network.link = br0
lxc.network.ipv4 = 10.2.3.5/24 10.2.3.255
lxc.network.type = macvlan
lxc.network.macvlan.mode = bridge
lxc.network.link = eth0
lxc.network.ipv6 = fe80::1
lxc.network.lxcscript.up = /up
`);
  assert.equal(getItem(config, "lxc.net"), "veth\nmacvlan\n");
  assert.equal(getItem(config, "lxc.net.0.link"), "br0");
  assert.equal(getItem(config, "lxc.net.0.ipv4.address"), "10.2.3.5/24");
  assert.equal(getItem(config, "lxc.net.1.link"), "eth0");
  assert.equal(getItem(config, "lxc.net.1.macvlan.mode"), "bridge");
  assert.equal(getItem(config, "lxc.net.1.ipv6.address"), "fe80::1/64");
  assert.equal(getItem(config, "lxc.net.1.script.up"), "/up");
});

test("an unnumbered key before any lxc.network.type is a fault", () => {
  assert.deepEqual(faultsOf("lxc.network.link = br0"), [
    "lxc.network.link comes before any lxc.network.type: it cannot be told which network device it is for (/var/lib/lxc/web1/config:1 lxc.network.link)",
  ]);
});

test("lxc.network.N.KEY is lxc.net.N.KEY, numbered from 0", () => {
  const config = parseFine(
    "lxc.network.0.type = veth\nlxc.network.1.type = phys\nlxc.network.1.link = eth1\nlxc.network.0.ipv4.gateway = auto",
  );
  assert.equal(getItem(config, "lxc.net.1.link"), "eth1");
  assert.equal(getItem(config, "lxc.net.0.ipv4.gateway"), "auto");
});

test("old and new network keys may be mixed: a type of the old form opens the nic after the highest number", () => {
  const config = parseFine("lxc.net.4.type = veth\nlxc.network.type = phys\nlxc.network.link = eth1");
  assert.equal(getItem(config, "lxc.net.5.link"), "eth1");
});

test("lxc.network = and an empty lxc.network.type drop all nics", () => {
  for (const clear of ["lxc.network =", "lxc.network.type =", "lxc.net ="]) {
    const config = parseFine(`lxc.network.type = veth\n${clear}\nlxc.network.type = phys\n`);
    assert.equal(getItem(config, "lxc.net"), "phys\n", clear);
  }
});

test("lxc.network.0 = drops that nic", () => {
  assert.equal(getItem(parseFine("lxc.network.type = veth\nlxc.network.0 ="), "lxc.net"), "");
});

test("lxc.limit.NAME is lxc.prlimit.NAME", () => {
  assert.equal(getItem(parseFine("lxc.limit.nofile = 10"), "lxc.prlimit.nofile"), "10");
});

test("lxc.rootfs.backend says the type of lxc.rootfs", () => {
  const overlay = specOf("lxc.rootfs = /lower:/upper\nlxc.rootfs.backend = overlayfs").rootfs.source;
  assert.deepEqual(overlay, { kind: "overlay", lowers: ["/lower"], upper: "/upper" });
  assert.deepEqual(specOf("lxc.rootfs = overlayfs:/lower:/upper").rootfs.source, overlay);
});

test("a file of 2013 without any network keys has an empty network of its own, as since LXC 1.0", () => {
  assert.deepEqual(specOf("lxc.utsname = a\nlxc.tty = 4\nlxc.rootfs = /r").network, { kind: "own", nics: [] });
});

test("a wrong value under an old name is reported with the old name", () => {
  assert.deepEqual(faultsOf("lxc.tty = x"), [
    '"x" is not a whole number from 0 to 4294967295 (/var/lib/lxc/web1/config:1 lxc.tty)',
  ]);
});
