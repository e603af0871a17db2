import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { nativeFromDomain, type ToNativeContext } from "../../../../src/frontends/libvirt/native/to-native.js";
import { readNative } from "../../../../src/frontends/libvirt/native/lines.js";
import type { DomainDoc } from "../../../../src/frontends/libvirt/xml/domain.js";
import { specOf } from "../lxc-config/helper.js";
import { filesystem, nic as anyNic } from "../../../support/domain.js";
import { fromNative, refusal, withRoot } from "./native.js";

const devices: Readonly<Record<string, "b" | "c">> = { "/dev/sdb": "b", "/dev/net/tun": "c" };
const host: ToNativeContext = {
  deviceNumbers: (path) => {
    const kind = devices[path];
    return kind === undefined ? null : { kind, major: kind === "b" ? 8 : 10, minor: kind === "b" ? 16 : 200 };
  },
  isDirectory: (path) => path !== "/etc/hosts",
  bridgeOf: (network) => (network === "default" ? "virbr0" : null),
};
const basic: DomainDoc = withRoot("lxc.net.0.type = empty");
const native = (changes: Partial<DomainDoc> = {}): string => nativeFromDomain({ ...basic, ...changes }, host);
/** Values of a key, in their order. */
const valuesOf = (text: string, key: string): readonly string[] =>
  readNative(text)
    .filter((line) => line.key === key)
    .map(({ value }) => value);

const nic = anyNic({ kind: "bridge", bridge: "br0" });
const noRoute = { netmask: null, metric: null } as const;
describe("domxml-to-native", () => {
  it("writes a configuration that LXC's own reader takes whole", () => {
    const text = native({
      filesystems: [
        filesystem({ kind: "mount", dir: "/srv/my guest" }, "/", { readonly: true }),
        filesystem({ kind: "mount", dir: "/srv/a b" }, "/data"),
        filesystem({ kind: "ram", usage: 10_240n }, "/tmp"),
      ],
      interfaces: [{ ...nic, link: "up", ips: [{ address: "10.0.0.2", family: "ipv4", prefix: 24, peer: null }] }],
      idmap: {
        uids: [{ start: 0, target: 100_000, count: 65_536 }],
        gids: [{ start: 0, target: 100_000, count: 65_536 }],
      },
      hostdevs: [{ kind: "misc", char: "/dev/net/tun" }],
      cputune: { shares: 512n, period: 100_000n, quota: 50_000n },
    });
    const made = specOf(text);
    assert.equal(made.network.kind === "own" && made.network.nics.length, 1);
    assert.deepEqual(
      made.mounts.entries.map(({ source, target, create }) => [source, target, create]),
      [
        ["/srv/a b", "data", "dir"],
        ["tmpfs", "tmp", "dir"],
        ["/dev/net/tun", "dev/net/tun", "file"],
      ],
    );
    assert.equal(made.idmap.length, 2);
    assert.deepEqual([made.cgroup.devicesV1.length, made.cgroup.devicesV2.length], [11, 11]);
  });

  it("says of a plain domain only what LXC needs", () => {
    const lines = native()
      .split("\n")
      .filter((line) => !line.includes("devices."));
    assert.deepEqual(lines, [
      "lxc.uts.name = c1",
      "lxc.arch = x86_64",
      "lxc.rootfs.path = dir:/srv/c1",
      "lxc.mount.auto = proc:mixed sys:ro cgroup:mixed",
      "lxc.init.cmd = /sbin/init",
      "lxc.tty.max = 1",
      "lxc.pty.max = 1024",
      "lxc.net.0.type = empty",
      "lxc.cgroup.memory.limit_in_bytes = 67108864",
      "lxc.cgroup2.memory.max = 67108864",
      "",
    ]);
  });

  it("lets a domain open what libvirt's may, and nothing else", () => {
    for (const version of ["cgroup", "cgroup2"]) {
      assert.deepEqual(valuesOf(native(), `lxc.${version}.devices.deny`), ["a"]);
      assert.deepEqual(
        valuesOf(native(), `lxc.${version}.devices.allow`),
        ["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2", "10:229", "136:*"].map((numbers) => `c ${numbers} rwm`),
      );
    }
  });

  for (const [what, changes, key, expected] of [
    [
      "init's arguments",
      { os: { ...basic.os, init: "/bin/sh", initArgs: ["-c", "echo 'a b'", "", 'x"y z'] } },
      "lxc.init.cmd",
      [`/bin/sh -c "echo 'a b'" "" 'x"y z'`],
    ],
    [
      "init's environment",
      { os: { ...basic.os, cmdline: "quiet", initEnv: [{ name: "A", value: " b" }] } },
      "lxc.environment",
      ["LIBVIRT_LXC_CMDLINE=quiet", "A= b"],
    ],
    ["init's directory", { os: { ...basic.os, initDir: "/root" } }, "lxc.init.cwd", ["/root"]],
    ["init's user", { os: { ...basic.os, initUser: "+1000" } }, "lxc.init.uid", ["1000"]],
    ["init's group root", { os: { ...basic.os, initGroup: "root" } }, "lxc.init.gid", ["0"]],
    ["no root", { filesystems: [] }, "lxc.rootfs.path", []],
    [
      "a root on a device",
      { filesystems: [filesystem({ kind: "block", dev: "/dev/vg/a" }, "/")] },
      "lxc.rootfs.path",
      ["/dev/vg/a"],
    ],
    [
      "a root in a file",
      { filesystems: [filesystem({ kind: "file", file: "/a.img", driver: null, format: null }, "/")] },
      "lxc.rootfs.path",
      ["loop:/a.img"],
    ],
    [
      "a file that is bound",
      { filesystems: [filesystem({ kind: "mount", dir: "/etc/hosts" }, "/etc/hosts", { readonly: true })] },
      "lxc.mount.entry",
      ["/etc/hosts etc/hosts none bind,ro,create=file 0 0"],
    ],
    [
      "a directory of the guest's own",
      { filesystems: [filesystem({ kind: "bind", dir: "/root" }, "/old")] },
      "lxc.mount.entry",
      ["root old none bind,relative,create=dir 0 0"],
    ],
    [
      "a disk",
      {
        disks: [
          {
            type: "block",
            device: "disk",
            driver: null,
            format: null,
            source: "/dev/sdb",
            target: "sda",
            bus: null,
            readonly: true,
          },
        ],
      },
      "lxc.mount.entry",
      ["/dev/sdb dev/sda none bind,create=file 0 0"],
    ],
    [
      "the default capabilities",
      { features: { ...basic.features, capabilities: null } },
      "lxc.cap.drop",
      ["sys_module sys_time mknod audit_control mac_admin"],
    ],
    [
      "changes of the default capabilities",
      {
        features: {
          ...basic.features,
          capabilities: {
            policy: "default",
            states: [
              { name: "mknod", on: true },
              { name: "sys_chroot", on: false },
            ],
          },
        },
      },
      "lxc.cap.drop",
      ["sys_module sys_time audit_control mac_admin sys_chroot"],
    ],
    [
      "no capability",
      { features: { ...basic.features, capabilities: { policy: "deny", states: [] } } },
      "lxc.cap.keep",
      ["none"],
    ],
    ["the host's network", { features: { ...basic.features, privnet: false } }, "lxc.net.0.type", ["none"]],
    [
      "an interface without a link",
      { features: { ...basic.features, privnet: false }, interfaces: [{ ...nic, source: { kind: "null" } }] },
      "lxc.net.0.type",
      ["empty"],
    ],
    ["names of interfaces", { interfaces: [nic, { ...nic, guest: "eth0" }, nic] }, "lxc.net.2.name", ["eth2"]],
    [
      "a network",
      {
        interfaces: [
          {
            ...nic,
            source: { kind: "network", network: "default", portgroup: null, portId: null, bridge: null },
          },
        ],
      },
      "lxc.net.0.link",
      ["virbr0"],
    ],
    ["an interface nobody brings up", { interfaces: [nic] }, "lxc.net.0.flags", []],
    [
      "a default route",
      {
        interfaces: [
          {
            ...nic,
            routes: [{ family: "ipv4", address: "0.0.0.0", prefix: 0, gateway: "10.0.0.1", ...noRoute }],
          },
        ],
      },
      "lxc.net.0.ipv4.gateway",
      ["10.0.0.1"],
    ],
    [
      "a direct interface",
      { interfaces: [{ ...nic, source: { kind: "direct", dev: "eth0", mode: "passthrough" } }] },
      "lxc.net.0.macvlan.mode",
      ["passthru"],
    ],
    ["shares", { cputune: { shares: 1024n, period: null, quota: null } }, "lxc.cgroup2.cpu.weight", ["39"]],
    ["a quota", { cputune: { shares: null, period: null, quota: 50_000n } }, "lxc.cgroup2.cpu.max", ["50000 100000"]],
    ["no quota", { cputune: { shares: null, period: 20_000n, quota: -1n } }, "lxc.cgroup2.cpu.max", ["max 20000"]],
    [
      "swap beside memory",
      { memtune: { hardLimit: 1000n, softLimit: null, swapHardLimit: 1500n } },
      "lxc.cgroup2.memory.swap.max",
      ["512000"],
    ],
    [
      "limits that are none",
      { memtune: { hardLimit: 9_007_199_254_740_991n, softLimit: null, swapHardLimit: null } },
      "lxc.cgroup.memory.limit_in_bytes",
      [],
    ],
    [
      "limits of a device",
      {
        blkio: {
          weight: null,
          devices: [{ path: "/dev/sdb", weight: null, readIops: 5, writeIops: null, readBytes: 7n, writeBytes: null }],
        },
      },
      "lxc.cgroup2.io.max",
      ["8:16 rbps=7 riops=5"],
    ],
    [
      "a shared namespace",
      { namespaces: { net: { type: "name", value: "c2" }, ipc: null, uts: { type: "pid", value: "42" } } },
      "lxc.namespace.share.uts",
      ["42"],
    ],
    [
      "a label",
      {
        seclabels: [
          { type: "static", model: "selinux", relabel: null, label: "a:b:c", baseLabel: null, imageLabel: null },
        ],
      },
      "lxc.selinux.context",
      ["a:b:c"],
    ],
  ] as const satisfies readonly (readonly [string, Partial<DomainDoc>, string, readonly string[]])[])
    it(`writes ${what} as ${key}`, () => {
      assert.deepEqual(valuesOf(native(changes), key), expected);
    });

  for (const [detail, changes] of [
    ["LXC has no on_reboot action destroy", { onReboot: "destroy" }],
    ["LXC has no on_poweroff action restart", { onPoweroff: "restart" }],
    ["LXC has no on_crash action preserve", { onCrash: "preserve" }],
    ["LXC has no resource partition /a", { partition: "/a" }],
    [
      "LXC has no timer rtc",
      { clock: { offset: "localtime", attributes: {}, timers: [{ name: "rtc", present: true }] } },
    ],
    ["LXC cannot start an init with blanks or quotes in its path: /a b", { os: { ...basic.os, init: "/a b" } }],
    ["LXC cannot be told the argument ' \" of init", { os: { ...basic.os, initArgs: ["' \""] } }],
    ["LXC has no user of init by name: www", { os: { ...basic.os, initUser: "www" } }],
    ["Only PTY console types are supported", { consoles: [{ type: "file", targetType: "lxc", port: 0 }] }],
    ["LXC has no root of type ram", { filesystems: [filesystem({ kind: "ram", usage: 1n }, "/")] }],
    [
      "LXC mounts /dev/sdb on /m only with the type of its file system, which a domain does not name",
      { filesystems: [filesystem({ kind: "block", dev: "/dev/sdb" }, "/m")] },
    ],
    [
      "LXC cannot mount the file /a on /m",
      { filesystems: [filesystem({ kind: "file", file: "/a", driver: null, format: null }, "/m")] },
    ],
    [
      "LXC cannot mount /a of format qcow2 as root",
      { filesystems: [filesystem({ kind: "file", file: "/a", driver: "nbd", format: "qcow2" }, "/")] },
    ],
    ["/dev/nope is no device of this host", { hostdevs: [{ kind: "storage", block: "/dev/nope" }] }],
    ["LXC has no words for a pci device of the host", { hostdevs: [{ kind: "pci", xml: "" }] }],
    ["LXC has no scripts of network interfaces", { interfaces: [{ ...nic, script: "/x" }] }],
    [
      "LXC has no filterref of network interfaces",
      { interfaces: [{ ...nic, others: [{ name: "filterref", xml: "" }] }] },
    ],
    [
      "LXC has no bandwidth of network interfaces",
      { interfaces: [{ ...nic, inbound: { average: 1, peak: null, burst: null, floor: null } }] },
    ],
    [
      "LXC has no routes of network interfaces but a default gateway",
      {
        interfaces: [
          {
            ...nic,
            routes: [{ family: "ipv4", address: "10.1.0.0", prefix: 16, gateway: "10.0.0.1", ...noRoute }],
          },
        ],
      },
    ],
    [
      "no bridge of the network 'lan' is known",
      {
        interfaces: [
          { ...nic, source: { kind: "network", network: "lan", portgroup: null, portId: null, bridge: null } },
        ],
      },
    ],
    ["Unsupported network type user", { interfaces: [{ ...nic, source: { kind: "other", type: "user", xml: "" } }] }],
    [
      "Config asks for inherit net namespace as well as private network interfaces",
      { interfaces: [nic], namespaces: { net: { type: "pid", value: "1" }, ipc: null, uts: null } },
    ],
    [
      "LXC cannot share the network namespace red by its name",
      { namespaces: { net: { type: "netns", value: "red" }, ipc: null, uts: null } },
    ],
    [
      'lxc.init.cwd cannot have control characters: "/a\\nlxc.hook.pre-start = /x"',
      { os: { ...basic.os, initDir: "/a\nlxc.hook.pre-start = /x" } },
    ],
  ] as const satisfies readonly (readonly [string, Partial<DomainDoc>])[])
    it(`refuses: ${detail}`, () => {
      assert.throws(() => native(changes), refusal(67, 17, detail));
    });

  it("says which LXC understands words in quotes", () => {
    const told = (...initArgs: readonly string[]) =>
      native({ os: { ...basic.os, initArgs } }).includes("# LXC before 6.0");
    assert.deepEqual([told("-a", 'b"c'), told("b c")], [false, true]);
  });

  it("comes back from domxml-from-native as it was", () => {
    const doc = fromNative(
      [
        "lxc.uts.name = web.1",
        "lxc.rootfs.path = dir:/srv/web 1",
        "lxc.rootfs.options = ro",
        "lxc.arch = x86",
        "lxc.tty.max = 3",
        "lxc.mount.entry = /srv/a\\040b data none bind,ro 0 0",
        "lxc.mount.entry = etc old none bind,relative 0 0",
        "lxc.mount.entry = none tmp tmpfs size=8m 0 0",
        "lxc.net.0.type = veth",
        "lxc.net.0.link = br0",
        "lxc.net.0.flags = up",
        "lxc.net.0.name = wan0",
        "lxc.net.0.hwaddr = 00:16:3e:11:22:33",
        "lxc.net.0.mtu = 1400",
        "lxc.net.0.ipv4.address = 10.0.0.2/24",
        "lxc.net.0.ipv4.gateway = 10.0.0.1",
        "lxc.net.0.ipv6.address = fd00::2/64",
        "lxc.net.1.type = macvlan",
        "lxc.net.1.link = eth0",
        "lxc.net.1.name = lan0",
        "lxc.net.2.type = phys",
        "lxc.net.2.link = eth1",
        "lxc.idmap = u 0 100000 65536",
        "lxc.idmap = g 0 100000 65536",
        "lxc.cap.drop = sys_time mknod",
        "lxc.cgroup.memory.limit_in_bytes = 128M",
        "lxc.cgroup.memory.soft_limit_in_bytes = 64M",
        "lxc.cgroup.memory.memsw.limit_in_bytes = 256M",
        "lxc.cgroup.cpu.shares = 512",
        "lxc.cgroup.cpu.cfs_period_us = 100000",
        "lxc.cgroup.cpu.cfs_quota_us = -1",
        "lxc.cgroup.cpuset.cpus = 0-1",
        "lxc.cgroup.cpuset.mems = 0",
        "lxc.cgroup.blkio.weight = 500",
        "lxc.cgroup.blkio.throttle.read_bps_device = 8:16 1048576",
      ].join("\n"),
    );
    assert.deepEqual(fromNative(nativeFromDomain(doc, host)), doc);
  });

  it("brings the arguments of init to it as they are, whatever is in them", () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[ -~]{0,12}$/)), (initArgs) => {
        fc.pre(!initArgs.some((word) => word.includes("'") && word.includes('"')));
        const [command = ""] = valuesOf(native({ os: { ...basic.os, initArgs } }), "lxc.init.cmd");
        assert.deepEqual(lxcWords(command), ["/sbin/init", ...initArgs]);
      }),
    );
  });
});

/** As LXC takes a command apart (lxc_string_split_quoted): a word in quotes ends with the next of them, any other with the next blank. */
function lxcWords(text: string): readonly string[] {
  return [...text.matchAll(/\s*(?:"([^"]*)"|'([^']*)'|(\S+))/g)].map(([, a, b, c]) => a ?? b ?? c ?? "");
}
