import assert from "node:assert/strict";
import { test } from "node:test";
import { convert, specFaults, specOf, withoutSources } from "./helper.js";

const nic = (text: string): unknown => {
  const { network } = specOf(text);
  return network.kind === "own" ? withoutSources(network.nics[0]) : network.kind;
};

const bare = {
  index: 0,
  name: null,
  up: false,
  hwaddr: null,
  mtu: null,
  addresses: [],
  gateway4: null,
  gateway6: null,
  scriptUp: null,
  scriptDown: null,
};

test("one nic of type none shares the host's network", () => {
  const spec = specOf("lxc.net.0.type = none");
  assert.deepEqual(spec.network, { kind: "host" });
  assert.deepEqual(spec.namespaces.net, {
    kind: "keep",
    at: { file: "/var/lib/lxc/web1/config", line: 1, key: "lxc.net.0.type" },
  });
});

test("a none beside other nics counts for nothing, as in LXC", () => {
  const { network, namespaces } = specOf("lxc.net.0.type = none\nlxc.net.1.type = veth");
  assert.equal(namespaces.net.kind, "new");
  assert.deepEqual(network.kind === "own" ? network.nics.map((one) => one.index) : null, [1]);
});

test("a veth has everything it was given", () => {
  assert.deepEqual(
    nic(`lxc.net.0.type = veth
lxc.net.0.flags = up
lxc.net.0.link = lxcbr0
lxc.net.0.name = eth5
lxc.net.0.hwaddr = 00:16:3E:a:BB:cc
lxc.net.0.mtu = 1400
lxc.net.0.ipv4.address = 10.0.3.5/24
lxc.net.0.ipv4.address = 192.168.1.1 192.168.1.200
lxc.net.0.ipv6.address = FE80::0:1
lxc.net.0.ipv4.gateway = auto
lxc.net.0.ipv6.gateway = fe80::ff
lxc.net.0.script.up = /up
lxc.net.0.script.down = /down
lxc.net.0.veth.pair = vethx
lxc.net.0.veth.mode = router
lxc.net.0.veth.ipv4.route = 10.1.0.0/16
lxc.net.0.veth.ipv6.route = fd00::/8
lxc.net.0.veth.n_rxqueues = 2
lxc.net.0.veth.n_txqueues = 3
lxc.net.0.l2proxy = 1
`),
    {
      ...bare,
      type: "veth",
      up: true,
      link: "lxcbr0",
      name: "eth5",
      hwaddr: "00:16:3e:0a:bb:cc",
      mtu: 1400,
      addresses: [
        { family: "ipv4", address: "10.0.3.5", prefix: 24, broadcast: "10.0.3.255" },
        { family: "ipv4", address: "192.168.1.1", prefix: 24, broadcast: "192.168.1.200" },
        { family: "ipv6", address: "fe80::1", prefix: 64, broadcast: null },
      ],
      gateway4: { kind: "auto" },
      gateway6: { kind: "address", address: "fe80::ff" },
      scriptUp: "/up",
      scriptDown: "/down",
      pair: "vethx",
      mode: "router",
      routes4: ["10.1.0.0/16"],
      routes6: ["fd00::/8"],
      rxQueues: 2,
      txQueues: 3,
      vlanId: null,
      vlanTagged: [],
      l2proxy: true,
      reservation: null,
      limitIn: null,
      limitOut: null,
      filter: null,
    },
  );
});

test("limits are bits a second, a filter is its words in their order", () => {
  const veth = "lxc.net.0.type = veth\nlxc.net.0.ipv4.address = 10.0.3.5/24\n";
  const guard = (text: string): unknown => {
    const { limitIn, limitOut, filter } = nic(veth + text) as Record<string, unknown>;
    return { limitIn, limitOut, filter };
  };
  const none = { limitIn: null, limitOut: null, filter: null };
  assert.deepEqual(guard("islet.net.0.limit.in = 10mbit\nislet.net.0.limit.out = 64000"), {
    ...none,
    limitIn: { rate: 10_000_000 },
    limitOut: { rate: 64_000 },
  });
  const burst =
    "islet.net.0.limit.in.burst = 1m\nislet.net.0.limit.in.peak = 20mbit\nislet.net.0.limit.out.burst = 20000";
  const limits = "islet.net.0.limit.in = 10mbit\nislet.net.0.limit.out = 64000";
  const both = {
    ...none,
    limitIn: { rate: 10_000_000, burst: 1_048_576, peak: 20_000_000 },
    limitOut: { rate: 64_000, burst: 20_000 },
  };
  assert.deepEqual(guard(`${burst}\n${limits}`), both);
  assert.deepEqual(specFaults(`${veth}islet.net.0.limit.out = 1mbit\n${burst}`), [
    "this needs islet.net.0.limit.in (/var/lib/lxc/web1/config:4 islet.net.0.limit.in.burst)",
    "this needs islet.net.0.limit.in (/var/lib/lxc/web1/config:5 islet.net.0.limit.in.peak)",
  ]);
  assert.deepEqual(specFaults(`${veth}${limits}\nislet.net.0.limit.in.peak = 10000kbit`), [
    "a peak of 10mbit is not above islet.net.0.limit.in = 10mbit (/var/lib/lxc/web1/config:5 islet.net.0.limit.in.peak)",
  ]);
  assert.deepEqual(guard("islet.net.0.filter = ipv6 mac"), { ...none, filter: { words: ["mac", "ipv6"] } });
  assert.deepEqual(guard("islet.net.0.filter = all"), { ...none, filter: { words: ["mac", "ipv4", "ipv6"] } });
  assert.deepEqual(guard("islet.net.0.filter = none"), none);
  assert.deepEqual(guard("islet.net.0.filter = all\nislet.net.0.limit.in = 1gbit\nislet.net.0 ="), none);
});

test("a filter of IPv4 needs an address or a network that is routed to the nic", () => {
  const veth = "lxc.net.0.type = veth";
  const fault =
    "the filter of nic 0 must know the nic's IPv4 address (/var/lib/lxc/web1/config:2 islet.net.0.filter); write lxc.net.0.ipv4.address, islet.net.0.reserve, or a filter without ipv4";
  assert.deepEqual(specFaults(`${veth}\nislet.net.0.filter = all`), [fault]);
  assert.deepEqual(specFaults(`${veth}\nislet.net.0.filter = mac ipv4`), [fault]);
  assert.deepEqual(specFaults(`${veth}\nislet.net.0.filter = mac ipv6`), []);
  assert.deepEqual(specFaults(`${veth}\nislet.net.0.filter = ipv4\nlxc.net.0.veth.ipv4.route = 10.1.0.0/16`), []);
  const many = Array.from({ length: 129 }, (_, i) => `lxc.net.0.ipv6.address = fd00::${i + 1}\n`).join("");
  assert.deepEqual(specFaults(`${veth}\nislet.net.0.filter = ipv6\n${many}`), [
    "the filter of nic 0 is for 128 addresses and networks, not 129 (/var/lib/lxc/web1/config:2 islet.net.0.filter)",
  ]);
});

test("a nic that asks for it is named as systemd names the nics of its containers", () => {
  const names = (text: string): unknown => {
    const { name, pair } = nic(`lxc.net.0.type = veth\n${text}`) as { name: unknown; pair: unknown };
    return [name, pair];
  };
  assert.deepEqual(names("islet.net.0.naming = systemd"), ["host0", "ve-web1"]);
  assert.deepEqual(names("islet.net.0.naming = systemd\nlxc.net.0.link = lxcbr0"), ["host0", "vb-web1"]);
  assert.deepEqual(names("islet.net.0.naming = systemd\nlxc.net.0.name = eth7"), ["eth7", "ve-web1"]);
  assert.deepEqual(names("islet.net.0.naming = systemd\nlxc.net.0.veth.pair = x"), ["host0", "x"]);
  assert.deepEqual(names("islet.guest = systemd"), ["host0", "ve-web1"]);
  assert.deepEqual(names("islet.guest = systemd\nislet.net.0.naming = lxc"), [null, null]);
  assert.deepEqual(names(""), [null, null]);
});

test("an address may be reserved", () => {
  const reserved = (text: string): unknown =>
    (nic(`lxc.net.0.type = veth\n${text}`) as { reservation: unknown }).reservation;
  assert.deepEqual(reserved("islet.net.0.reserve = 10.0.3.50"), { address: "10.0.3.50" });
  assert.equal(reserved(""), null);
  assert.match(
    specFaults("lxc.net.0.type = veth\nislet.net.0.reserve = fd42::1")[0] ?? "",
    /"fd42::1" is not an IPv4 address such as 10\.0\.3\.50/,
  );
});

test("a port of a bridge has VLANs, each of them once", () => {
  const port = "lxc.net.0.type = veth\nlxc.net.0.link = br0";
  const vlans = (text: string): unknown => {
    const { vlanId, vlanTagged } = nic(`${port}\n${text}`) as { vlanId: unknown; vlanTagged: unknown };
    return [vlanId, vlanTagged];
  };
  assert.deepEqual(vlans("lxc.net.0.veth.vlan.id = none\nlxc.net.0.veth.vlan.tagged.id = 5"), ["none", [5]]);
  assert.deepEqual(vlans("lxc.net.0.veth.vlan.id = 7\nlxc.net.0.veth.vlan.tagged.id = 5"), [7, [5]]);
});

test("a gateway that is a link-local IPv6 address needs no other address", () => {
  const text = "lxc.net.0.type = veth\nlxc.net.0.flags = up\nlxc.net.0.ipv6.gateway = fe80::1";
  assert.deepEqual((nic(text) as { gateway6: unknown }).gateway6, { kind: "address", address: "fe80::1" });
});

test("l2proxy without a link is told to have no effect", () => {
  const result = convert("lxc.net.0.type = veth\nlxc.net.0.veth.mode = router\nlxc.net.0.l2proxy = 1");
  assert.deepEqual(
    result.notices.map((notice) => notice.message),
    ["/var/lib/lxc/web1/config:3: l2proxy has no effect without lxc.net.0.link"],
  );
});

test("the other types have their own keys and defaults", () => {
  assert.deepEqual(nic("lxc.net.0.type = macvlan\nlxc.net.0.link = eth0"), {
    ...bare,
    type: "macvlan",
    link: "eth0",
    mode: "private",
  });
  assert.deepEqual(nic("lxc.net.0.type = ipvlan\nlxc.net.0.link = eth0"), {
    ...bare,
    type: "ipvlan",
    link: "eth0",
    mode: "l3",
    isolation: "bridge",
    l2proxy: false,
  });
  assert.deepEqual(nic("lxc.net.0.type = vlan\nlxc.net.0.link = eth0\nlxc.net.0.vlan.id = 7"), {
    ...bare,
    type: "vlan",
    link: "eth0",
    vlanId: 7,
  });
  assert.deepEqual(nic("lxc.net.0.type = phys\nlxc.net.0.link = eth+"), { ...bare, type: "phys", link: "eth+" });
  assert.deepEqual(nic("lxc.net.0.flags = up"), { ...bare, type: "empty", up: true });
});

test("what no kernel would take is a fault with its line", () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      "lxc.net.0.type = macvlan",
      /^a macvlan network device needs lxc\.net\.0\.link \(\/var\/lib\/lxc\/web1\/config:1 lxc\.net\.0\.type\)$/,
    ],
    ["lxc.net.0.type = vlan\nlxc.net.0.link = a", /needs lxc\.net\.0\.vlan\.id/],
    ["lxc.net.0.type = vlan\nlxc.net.0.link = a\nlxc.net.0.vlan.id = 4095", /^4095 is not a VLAN: 0 to 4094/],
    ["lxc.net.0.type = veth\nlxc.net.0.link = abcdefghijklmnop", /is longer than 15 bytes/],
    ["lxc.net.0.type = veth\nlxc.net.0.name = éééééééé", /is longer than 15 bytes/],
    ["lxc.net.0.type = veth\nlxc.net.0.name = a/b", /^"a\/b" cannot be the name of a network device/],
    ["lxc.net.0.type = veth\nlxc.net.0.hwaddr = foo", /^"foo" is not a MAC address/],
    ["lxc.net.0.type = veth\nlxc.net.0.hwaddr = 00:16:3e:xx:xx:xx", /^"00:16:3e:xx:xx:xx" is not a MAC address/],
    [
      "lxc.net.0.type = veth\nlxc.net.0.hwaddr = 01:16:3e:00:00:00",
      /is a multicast address: the second digit must be even/,
    ],
    ["lxc.net.0.type = veth\nlxc.net.0.mtu = foo", /^"foo" is not an MTU: 68 to 65536/],
    ["lxc.net.0.type = veth\nlxc.net.0.l2proxy = 1", /^l2proxy needs veth\.mode = router/],
    [
      "lxc.net.0.type = veth\nlxc.net.0.veth.vlan.id = 5",
      /^VLANs need veth\.mode = bridge and lxc\.net\.0\.link, the bridge \(\/var\/lib\/lxc\/web1\/config:2 lxc\.net\.0\.veth\.vlan\.id\)$/,
    ],
    [
      "lxc.net.0.type = veth\nlxc.net.0.link = a\nlxc.net.0.veth.mode = router\nlxc.net.0.veth.vlan.tagged.id = 5",
      /^VLANs need veth\.mode = bridge/,
    ],
    [
      "lxc.net.0.type = veth\nlxc.net.0.link = a\nlxc.net.0.veth.vlan.id = 5\nlxc.net.0.veth.vlan.tagged.id = 5",
      /^VLAN 5 cannot be both veth\.vlan\.id and veth\.vlan\.tagged\.id/,
    ],
    ["lxc.net.0.type = ipvlan\nlxc.net.0.link = a\nlxc.net.0.l2proxy = 1", /^l2proxy needs ipvlan\.mode = l3s/],
    [
      "lxc.net.0.type = veth\nlxc.net.0.ipv4.address = 10.0.0.1\nlxc.net.0.ipv4.gateway = dev",
      /^Cannot add ipv4 gateway for lxc\.net\.0 when not bringing up the interface/,
    ],
    [
      "lxc.net.0.type = veth\nlxc.net.0.flags = up\nlxc.net.0.ipv6.gateway = dev",
      /^Cannot add ipv6 gateway for lxc\.net\.0 when not assigning an address/,
    ],
    [
      "lxc.net.0.type = veth\nlxc.net.0.flags = up\nlxc.net.0.ipv4.address = 10.0.0.1\nlxc.net.0.ipv4.gateway = auto",
      /gateway = auto needs lxc\.net\.0\.link/,
    ],
    [
      "lxc.net.0.type = veth\nlxc.net.0.name = a\nlxc.net.1.type = veth\nlxc.net.1.name = a",
      /^two network devices are called "a"/,
    ],
  ];
  for (const [text, pattern] of cases) {
    const faults = specFaults(text);
    assert.equal(faults.length, 1, text);
    assert.match(faults[0] ?? "", pattern);
  }
});

test("broadcast addresses are computed, for /31 and /32 there is none", () => {
  const broadcast = (address: string): unknown =>
    (nic(`lxc.net.0.type = veth\nlxc.net.0.ipv4.address = ${address}`) as { addresses: { broadcast: unknown }[] })
      .addresses[0]?.broadcast;
  assert.deepEqual(
    [broadcast("10.0.3.5/24"), broadcast("10.0.3.5/31"), broadcast("10.0.3.5/32"), broadcast("172.16.0.1")],
    ["10.0.3.255", null, null, "172.16.255.255"],
  );
});

test("nics that a kept or shared network namespace makes senseless are reported", () => {
  const result = convert("lxc.net.0.type = veth\nlxc.namespace.share.net = other");
  assert.deepEqual(
    result.notices.map((notice) => notice.message),
    ["/var/lib/lxc/web1/config:1: lxc.net.0 has no effect: the container has no network namespace of its own"],
  );
});
