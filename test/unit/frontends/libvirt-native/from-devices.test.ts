import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fromNative, generatedMac, refusal, withRoot } from "./native.js";

describe("domxml-from-native: filesystems", () => {
  const rootOf = (path: string, ...lines: readonly string[]) =>
    fromNative([`lxc.uts.name = c1`, `lxc.rootfs.path = ${path}`, ...lines].join("\n")).filesystems[0];
  for (const [path, source] of [
    ["/srv/c1", { kind: "mount", dir: "/srv/c1" }],
    ["dir:/srv/c1", { kind: "mount", dir: "/srv/c1" }],
    ["btrfs:/srv/c1", { kind: "mount", dir: "/srv/c1" }],
    ["/dev/vg/c1", { kind: "block", dev: "/dev/vg/c1" }],
    ["lvm:/dev/vg/c1", { kind: "block", dev: "/dev/vg/c1" }],
    ["loop:/srv/c1.img", { kind: "file", file: "/srv/c1.img", driver: "loop", format: "raw" }],
  ] as const)
    it(`takes ${path} as root`, () => {
      assert.deepEqual(rootOf(path), { source, accessMode: "passthrough", target: "/", readonly: false });
    });

  it("keeps a root read-only that is", () => {
    assert.equal(rootOf("/srv/c1", "lxc.rootfs.options = noatime,ro")?.readonly, true);
  });

  for (const path of ["overlay:/a:/b", "overlayfs:/a:/b", "zfs:tank/c1", "nbd:/a"])
    it(`refuses ${path} with its line`, () => {
      const detail = `lxc.rootfs.path '${path}' cannot be a filesystem of a domain (line 2)`;
      assert.throws(() => rootOf(path), refusal(67, 17, detail));
    });

  for (const [entry, source, target, readonly] of [
    ["/srv/data data none bind 0 0", { kind: "mount", dir: "/srv/data" }, "/data", false],
    ["/srv/data\tdata/sub none\tbind,ro 0 0", { kind: "mount", dir: "/srv/data" }, "/data/sub", true],
    ["/srv/data /srv/c1/data/ none bind 0 0", { kind: "mount", dir: "/srv/data" }, "/data", false],
    ["/a\\040b c\\040d none bind 0 0", { kind: "mount", dir: "/a b" }, "/c d", false],
    ["/dev/sdb1 mnt ext4 ro 0 0", { kind: "block", dev: "/dev/sdb1" }, "/mnt", true],
    ["/dev/net dev/net none bind,create=dir 0 0", { kind: "mount", dir: "/dev/net" }, "/dev/net", false],
    ["etc mnt none bind,relative 0 0", { kind: "bind", dir: "/etc" }, "/mnt", false],
    ["none tmp tmpfs size=1g 0 0", { kind: "ram", usage: 1_048_576n }, "/tmp", false],
    ["none tmp tmpfs size=4096,ro 0 0", { kind: "ram", usage: 4n }, "/tmp", true],
    ["none tmp tmpfs size=2MB 0 0", { kind: "ram", usage: 1954n }, "/tmp", false],
  ] as const)
    it(`turns the mount entry ${JSON.stringify(entry)} into a filesystem`, () => {
      assert.deepEqual(withRoot(`lxc.mount.entry = ${entry}`).filesystems[1], {
        source,
        accessMode: "passthrough",
        target,
        readonly,
      });
    });

  for (const entry of [
    "proc proc proc defaults 0 0",
    "sysfs sys sysfs defaults 0 0",
    "/proc/sys proc/sys none bind 0 0",
    "securityfs sys/kernel/security securityfs defaults 0 0",
    "selinuxfs /sys/fs/selinux selinuxfs defaults 0 0",
    "devpts dev/pts devpts defaults 0 0",
    "mqueue dev/mqueue mqueue rw,create=dir,optional 0 0",
  ])
    it(`leaves out ${entry}, which every guest has or mounts itself`, () => {
      assert.equal(withRoot(`lxc.mount.entry = ${entry}`).filesystems.length, 1);
    });

  for (const [entry, detail] of [
    ["none tmp tmpfs size=50% 0 0", "can't convert relative size: '50%'"],
    ["none tmp tmpfs size=8q 0 0", "failed to convert size: '8q'"],
    ["none tmp tmpfs mode=755 0 0", "missing tmpfs size, set the size option"],
    ["/a b none", "invalid lxc.mount.entry '/a b none' (line 3)"],
  ] as const)
    it(`refuses the mount entry ${entry}`, () => {
      assert.throws(() => withRoot(`lxc.mount.entry = ${entry}`), refusal(1, 17, detail));
    });
});

describe("domxml-from-native: networks", () => {
  const nic = (...lines: readonly string[]) => withRoot(...lines.map((line) => `lxc.net.0.${line}`));

  it("makes a bridge's, an ethernet and a direct interface", () => {
    const sources = (...lines: readonly string[]) => nic(...lines).interfaces.map(({ source }) => source);
    assert.deepEqual(sources("type = veth", "link = br0"), [{ kind: "bridge", bridge: "br0" }]);
    assert.deepEqual(sources("type = veth"), [{ kind: "ethernet", ips: [], routes: [] }]);
    for (const [mode, word] of [
      ["private", "private"],
      ["vepa", "vepa"],
      ["bridge", "bridge"],
      ["passthru", "passthrough"],
    ])
      assert.deepEqual(sources("type = macvlan", "link = eth0", `macvlan.mode = ${mode}`), [
        { kind: "direct", dev: "eth0", mode: word },
      ]);
    assert.deepEqual(sources("type = macvlan", "link = eth0"), [{ kind: "direct", dev: "eth0", mode: "private" }]);
  });

  it("hands interfaces of the host over, a VLAN's by its name", () => {
    assert.deepEqual(nic("type = phys", "link = eth1", "ipv4.address = 10.0.0.5/24").hostdevs, [
      {
        kind: "net",
        interface: "eth1",
        ips: [{ address: "10.0.0.5", family: "ipv4", prefix: 24, peer: null }],
        routes: [],
      },
    ]);
    assert.equal(nic("type = phys", "link = eth1").features.privnet, false);
    const [vlan] = nic("type = vlan", "link = eth1", "vlan.id = 7").hostdevs;
    assert.equal(vlan?.kind === "net" && vlan.interface, "eth1.7");
  });

  it("tells the host's network, none and an empty one apart", () => {
    const privnet = (...lines: readonly string[]) => withRoot(...lines).features.privnet;
    assert.equal(privnet(), true);
    assert.equal(privnet("lxc.net.0.type = empty"), true);
    assert.equal(privnet("lxc.net.0.type = none"), false);
    assert.equal(privnet("lxc.network.type = none"), false);
    assert.equal(privnet("lxc.net.0.type = veth"), false);
  });

  it("has LXC's addresses, gateways, names and state", () => {
    const [found] = nic(
      "type = veth",
      "link = br0",
      "flags = up",
      "name = wan0",
      "hwaddr = 00:16:3E:11:22:33",
      "veth.pair = c1-wan",
      "mtu = 1400",
      "ipv4.address = 10.0.0.2/24 10.0.0.255",
      "ipv6.address = fd00::2/64",
      "ipv4.address = 10.0.1.2/16",
      "ipv4.gateway = 10.0.0.1",
      "ipv6.gateway = fd00::1",
    ).interfaces;
    const route = { prefix: null, netmask: null, metric: null };
    assert.deepEqual(found, {
      mac: "00:16:3e:11:22:33",
      source: { kind: "bridge", bridge: "br0" },
      target: "c1-wan",
      guest: "wan0",
      ips: [
        { address: "10.0.0.2", family: "ipv4", prefix: 24, peer: null },
        { address: "fd00::2", family: "ipv6", prefix: 64, peer: null },
        { address: "10.0.1.2", family: "ipv4", prefix: 16, peer: null },
      ],
      routes: [
        { family: "ipv4", address: "0.0.0.0", gateway: "10.0.0.1", ...route },
        { family: "ipv6", address: "::", gateway: "fd00::1", ...route },
      ],
      script: null,
      model: null,
      inbound: null,
      outbound: null,
      link: "up",
      isolated: false,
      others: [{ name: "mtu", xml: "<mtu size='1400'/>" }],
    });
  });

  it("makes up the MAC address, or what a template leaves open", () => {
    const macOf = (...lines: readonly string[]) => nic("type = veth", ...lines).interfaces[0]?.mac;
    assert.equal(macOf(), generatedMac);
    assert.equal(macOf("hwaddr = 00:16:3e:xx:xx:xX"), "00:16:3e:12:34:56");
  });

  it("keeps the interfaces of old in their order, each with its own gateway", () => {
    const doc = withRoot(
      "lxc.network.type = veth",
      "lxc.network.link = br0",
      "lxc.network.ipv4 = 10.0.0.2/24",
      "lxc.network.ipv4.gateway = 10.0.0.1",
      "lxc.network.type = macvlan",
      "lxc.network.link = eth0",
      "lxc.network.flags = up",
    );
    assert.deepEqual(
      doc.interfaces.map(({ source, routes, link }) => [source.kind, routes.length, link]),
      [
        ["bridge", 1, "down"],
        ["direct", 0, "up"],
      ],
    );
  });

  it("orders numbered interfaces by number, and an empty line takes them back", () => {
    const guests = (...lines: readonly string[]) => withRoot(...lines).interfaces.map(({ guest }) => guest);
    const two = [
      "lxc.net.10.type = veth",
      "lxc.net.10.name = b",
      "lxc.net.2.type = veth",
      "lxc.net.2.name = a",
    ] as const;
    assert.deepEqual(guests(...two), ["a", "b"]);
    assert.deepEqual(guests(...two, "lxc.net.2 ="), ["b"]);
    assert.deepEqual(guests(...two, "lxc.net ="), []);
    const cleared = nic("type = veth", "ipv4.address = 10.0.0.2/24", "ipv6.address = fd00::1/64", "ipv4.address =");
    assert.deepEqual(
      cleared.interfaces[0]?.ips.map(({ family }) => family),
      ["ipv6"],
    );
  });

  for (const [lines, code, domain, detail] of [
    [["type = veth", "ipv4.address = 10.0.0.2"], 8, 17, "Invalid CIDR address: '10.0.0.2'"],
    [["type = veth", "ipv6.address = 10.0.0.2/8"], 8, 17, "Invalid CIDR address: '10.0.0.2/8'"],
    [["type = veth", "ipv4.address = 10.0.0.2/33"], 8, 17, "Invalid CIDR address: '10.0.0.2/33'"],
    [["type = macvlan"], 67, 17, "Missing 'link' attribute for NIC"],
    [["type = phys"], 67, 17, "Missing 'link' attribute for NIC"],
    [["type = macvlan", "link = a", "macvlan.mode = x"], 67, 17, "Unknown macvlan type: x (line 5)"],
    [["type = ipvlan", "link = a"], 67, 17, "network type 'ipvlan' is not supported (line 3)"],
    [["type = veth", "script.up = /x"], 67, 17, "lxc.net.0.script.up is not supported (line 4)"],
    [["type = veth", "ipv4.gateway = auto"], 67, 17, "lxc.net.0.ipv4.gateway 'auto' is no address (line 4)"],
    [["type = veth", "mtu = big"], 67, 17, "lxc.net.0.mtu 'big' is no number (line 4)"],
    [["type = veth", "hwaddr = zz"], 27, 20, "unable to parse mac address 'zz'"],
    [
      ["type = veth", "hwaddr = 01:00:00:00:00:01"],
      27,
      20,
      "expected unicast mac address, found multicast '01:00:00:00:00:01'",
    ],
  ] as const)
    it(`refuses ${lines.join(", ")}`, () => {
      assert.throws(() => nic(...lines), refusal(code, domain, detail));
    });
});
