import assert from "node:assert/strict";
import { test } from "node:test";
import { isletNicRows } from "../../../../src/frontends/lxc/config/keys-islet-net.js";
import { nicRows } from "../../../../src/frontends/lxc/config/keys-net.js";
import { chapters } from "../../../../src/frontends/lxc/config/table.js";
import { get, parse, parseFine } from "./helper.js";

/** For every row of the table: a value, and what is read back with it and with `KEY =` behind it. */
const samples: Readonly<Record<string, readonly [value: string, shown: string, cleared: string]>> = {
  "lxc.uts.name": ["web1", "web1", ""],
  "lxc.arch": ["amd64", "x86_64", ""],
  "islet.guest": ["lxd", "lxd", "lxc"],
  "islet.uuid": ["0F3C1B52-9a1e-8d07-b6c4-3e5d7a9f1c20", "0f3c1b52-9a1e-8d07-b6c4-3e5d7a9f1c20", ""],
  "islet.localtime": ["copy", "copy", ""],
  "islet.journal": ["try-guest", "try-guest", ""],
  "islet.scope": ["yes", "yes", ""],
  "islet.credential.passwd.hashed-password.root": ["$6$x", "$6$x", ""],
  "islet.bind.user": ["alice", "alice\n", ""],
  "islet.lxcfs": ["0", "0", "1"],
  "islet.rootfs.size": ["5G", "5G", ""],
  "islet.rootfs.upper": ["tmpfs:512M", "tmpfs:512M", ""],
  "islet.guest.api": ["1", "1", "0"],
  "lxc.ephemeral": ["1", "1", "0"],
  "lxc.init.cmd": ['/sbin/init --x "a b"', '/sbin/init --x "a b"', ""],
  "lxc.init.cwd": ["//tmp//./x/../y/", "/tmp/x/../y", ""],
  "lxc.init.uid": ["0x10", "16", "0"],
  "lxc.init.gid": ["010", "8", "0"],
  "lxc.init.groups": ["10, 20,30", "10,20,30", ""],
  "lxc.execute.cmd": ["/bin/sleep 1", "/bin/sleep 1", ""],
  "lxc.environment": ["A=1=2", "A=1=2\n", ""],
  "lxc.environment.runtime": ["B=1", "B=1\n", ""],
  "lxc.environment.hooks": ["C", "C\n", ""],
  "lxc.no_new_privs": ["1", "1", "0"],
  "lxc.keyring.session": ["1", "1", "0"],
  "lxc.sched.core": ["1", "1", "0"],
  "lxc.time.offset.boot": ["7h", "25200 s\n", "0 ns\n"],
  "lxc.time.offset.monotonic": ["3ms", "3000000ns\n", "0ns\n"],
  "lxc.prlimit.nofile": ["10 : 20", "10:20", ""],
  "lxc.sysctl.net.ipv4.ip_forward": ["1", "1", ""],
  "lxc.proc.oom_score_adj": ["-5", "-5", ""],
  "lxc.signal.halt": ["SIGRTMIN+3", "37", "0"],
  "lxc.signal.reboot": ["sigint", "2", "0"],
  "lxc.signal.stop": ["9", "9", "0"],
  "lxc.start.auto": ["1", "1", "0"],
  "lxc.start.delay": ["5", "5", "0"],
  "lxc.start.order": ["-5", "-5", "0"],
  "lxc.group": ["onboot  a", "onboot\na\n", ""],
  "lxc.monitor.unshare": ["1", "1", "0"],
  "lxc.monitor.signal.pdeath": ["SIGTERM", "15", "9"],
  "lxc.log.level": ["3", "NOTICE", "NOTSET"],
  "lxc.log.file": ["/var//log/x", "/var/log/x", ""],
  "lxc.log.syslog": ["local3", "local3", ""],
  "lxc.hook.pre-start": ["/a b", "/a b\n", ""],
  "lxc.hook.pre-mount": ["/a b", "/a b\n", ""],
  "lxc.hook.mount": ["/a b", "/a b\n", ""],
  "lxc.hook.autodev": ["/a b", "/a b\n", ""],
  "lxc.hook.start-host": ["/a b", "/a b\n", ""],
  "lxc.hook.start": ["/a b", "/a b\n", ""],
  "lxc.hook.stop": ["/a b", "/a b\n", ""],
  "lxc.hook.post-stop": ["/a b", "/a b\n", ""],
  "lxc.hook.clone": ["/a b", "/a b\n", ""],
  "lxc.hook.destroy": ["/a b", "/a b\n", ""],
  "lxc.hook.version": ["1", "1", "0"],
  "lxc.rootfs.path": ["dir:/a//b/", "/a/b", ""],
  "lxc.rootfs.mount": ["/mnt//x", "/mnt/x", ""],
  "lxc.rootfs.options": ["ro,idmap=container,x=y", "ro,idmap=container,x=y", ""],
  "lxc.rootfs.managed": ["0", "0", "1"],
  "lxc.mount.fstab": ["//etc//fstab", "/etc/fstab", ""],
  "lxc.mount.entry": ["a  b\tc", "a  b\tc\n", ""],
  "lxc.mount.auto": ["cgroup:rw:force sys:ro proc", "proc:mixed sys:ro cgroup:rw:force", ""],
  "lxc.autodev": ["0", "0", "1"],
  "lxc.autodev.tmpfs.size": ["1000", "1000", "0"],
  "lxc.console.path": ["/dev//tty8", "/dev/tty8", ""],
  "lxc.console.logfile": ["/x", "/x", ""],
  "lxc.console.rotate": ["1", "1", "0"],
  "lxc.console.size": ["5KB", "8192", "0"],
  "lxc.console.buffer.size": ["auto", "131072", "0"],
  "lxc.tty.max": ["0x5", "5", "0"],
  "lxc.tty.dir": ["lxc", "lxc", ""],
  "lxc.pty.max": ["1024", "1024", "0"],
  "lxc.idmap": ["u  0\t100000 65536", "u 0 100000 65536", ""],
  "lxc.namespace.clone": ["net pid", "pid\nnet\n", ""],
  "lxc.namespace.keep": ["net  user", "user\nnet\n", ""],
  "lxc.namespace.share.net": ["other", "other", ""],
  "lxc.cap.drop": ["sys_admin 3 CAP_MKNOD", "sys_admin\n3\nmknod\n", ""],
  "lxc.cap.keep": ["kill", "kill\n", ""],
  "lxc.apparmor.profile": ["unconfined", "unconfined", ""],
  "lxc.apparmor.allow_incomplete": ["1", "1", "0"],
  "lxc.apparmor.allow_nesting": ["1", "1", "0"],
  "lxc.apparmor.raw": ["deny mount,", "deny mount,\n", ""],
  "lxc.selinux.context": ["system_u:x", "system_u:x", ""],
  "lxc.selinux.context.keyring": ["system_u:y", "system_u:y", ""],
  "lxc.seccomp.profile": ["/a//x", "/a/x", ""],
  "lxc.seccomp.allow_nesting": ["1", "1", "0"],
  "lxc.seccomp.notify.proxy": ["unix:/x", "/x", ""],
  "lxc.seccomp.notify.cookie": ["foo", "foo", ""],
  "lxc.cgroup2.memory.max": ["1G", "1G\n", ""],
  "lxc.cgroup.cpu.shares": ["5", "5\n", ""],
  "lxc.cgroup.relative": ["1", "1", "0"],
  "lxc.cgroup.dir": ["a/b", "a/b", ""],
  "lxc.cgroup.dir.container": ["a/b", "a/b", ""],
  "lxc.cgroup.dir.monitor": ["m", "m", ""],
  "lxc.cgroup.dir.monitor.pivot": ["p", "p", ""],
  "lxc.cgroup.dir.container.inner": ["in", "in", ""],
  "lxc.net.0.type": ["none", "none", "none"],
  "islet.net.0.filter": ["all", "mac ipv4 ipv6", "none"],
};

const nicSamples: Readonly<Record<string, readonly [type: string, value: string, shown: string, cleared: string]>> = {
  type: ["veth", "phys", "phys", "phys"],
  flags: ["veth", "foo", "up", ""],
  link: ["veth", "lxcbr0", "lxcbr0", ""],
  name: ["veth", "eth7", "eth7", ""],
  hwaddr: ["veth", "00:16:3e:aa:bb:cc", "00:16:3e:aa:bb:cc", ""],
  mtu: ["veth", "1400", "1400", ""],
  "ipv4.address": ["veth", "10.0.3.5/24 10.0.3.255", "10.0.3.5/24", ""],
  "ipv4.gateway": ["veth", "10.0.3.1", "10.0.3.1", ""],
  "ipv6.address": ["veth", "fe80::0:1", "fe80::1/64", ""],
  "ipv6.gateway": ["veth", "dev", "dev", ""],
  "script.up": ["veth", "/a b", "/a b", ""],
  "script.down": ["veth", "/a b", "/a b", ""],
  "veth.pair": ["veth", "vethx", "vethx", ""],
  "veth.mode": ["veth", "router", "router", "bridge"],
  "veth.ipv4.route": ["veth", "10.0.0.0/8", "10.0.0.0/8", ""],
  "veth.ipv6.route": ["veth", "fe80::/10", "fe80::/10", ""],
  "veth.n_rxqueues": ["veth", "4", "4", ""],
  "veth.n_txqueues": ["veth", "4", "4", ""],
  "veth.vlan.id": ["veth", "none", "-1", "0"],
  "veth.vlan.tagged.id": ["veth", "5", "5", ""],
  "vlan.id": ["vlan", "5", "5", "0"],
  "macvlan.mode": ["macvlan", "bridge", "bridge", "private"],
  "ipvlan.mode": ["ipvlan", "l2", "l2", "l3"],
  "ipvlan.isolation": ["ipvlan", "vepa", "vepa", "bridge"],
  l2proxy: ["ipvlan", "1", "1", "0"],
};

const isletNicSamples: Readonly<Record<string, readonly [value: string, shown: string, cleared: string]>> = {
  naming: ["systemd", "systemd", ""],
  reserve: ["10.0.3.50", "10.0.3.50", ""],
  "limit.in": ["10000kbit", "10mbit", ""],
  "limit.in.burst": ["2048k", "2m", ""],
  "limit.in.peak": ["1000000kbit", "1gbit", ""],
  "limit.out": ["1500000", "1500kbit", ""],
  "limit.out.burst": ["20000", "20000", ""],
  filter: ["ipv6  mac", "mac ipv6", "none"],
};

test("every row of the key table has a sample here, and groups can only be cleared", () => {
  for (const row of chapters.flatMap((chapter) => chapter.rows)) {
    if (row.kind === "group") {
      assert.equal(parse(`${row.key} = 1`).faults.length, 1, row.key);
      parseFine(`${row.key} =`);
    } else if (row.rest === undefined) assert.ok(samples[row.key], row.key);
    else
      assert.ok(
        Object.keys(samples).some((key) => key.startsWith(row.key)),
        row.key,
      );
  }
  assert.deepEqual(nicRows.map((row) => row.sub).sort(), Object.keys(nicSamples).sort());
  assert.deepEqual(isletNicRows.map((row) => row.sub).sort(), Object.keys(isletNicSamples).sort());
});

for (const [key, [value, shown, cleared]] of Object.entries(samples)) {
  if (key.startsWith("lxc.net.") || key.startsWith("islet.net.")) continue;
  test(`${key} = ${value} is read back as LXC shows it, and as ${JSON.stringify(cleared)} when cleared`, () => {
    assert.equal(get(`${key} = ${value}`, key), shown);
    assert.equal(get(`${key} = ${value}\n${key} =`, key), cleared);
    assert.equal(get("", key), cleared);
  });
}

for (const [sub, [type, value, shown, cleared]] of Object.entries(nicSamples)) {
  test(`lxc.net.7.${sub} = ${value} is read back as LXC shows it`, () => {
    const nic = `lxc.net.7.type = ${type}\n`;
    assert.equal(get(`${nic}lxc.net.7.${sub} = ${value}`, `lxc.net.7.${sub}`), shown);
    if (sub !== "type")
      assert.equal(get(`${nic}lxc.net.7.${sub} = ${value}\nlxc.net.7.${sub} =`, `lxc.net.7.${sub}`), cleared);
  });
}

for (const [sub, [value, shown, cleared]] of Object.entries(isletNicSamples)) {
  test(`islet.net.7.${sub} = ${value} is read back in one form`, () => {
    const nic = "lxc.net.7.type = veth\n";
    const key = `islet.net.7.${sub}`;
    assert.equal(get(`${nic}${key} = ${value}`, key), shown);
    for (const clear of [`${key} =`, "islet.net.7 ="])
      assert.equal(get(`${nic}${key} = ${value}\n${clear}`, key), cleared);
    assert.equal(get(nic, key), cleared);
    assert.equal(
      get(nic, "islet.net.7"),
      "naming\nreserve\nlimit.in\nlimit.in.burst\nlimit.in.peak\nlimit.out\nlimit.out.burst\nfilter\n",
    );
  });
}

test("the table has the keys of LXC 7.0 and those of 5.0.2", () => {
  const rows = chapters.flatMap((chapter) => chapter.rows).filter((row) => row.key.startsWith("lxc."));
  const settable = rows.filter((row) => row.kind !== "group" && row.key !== "lxc.net.").length;
  // 84 settable keys of 7.0 less lxc.include, which the reader has, and lxc.cgroup.* of 5.0.2.
  assert.equal(settable, 84 - 1 + 1);
  assert.equal(nicRows.length, 25);
  for (const row of [...rows, ...nicRows]) assert.match(row.doc, /\.$/);
});
