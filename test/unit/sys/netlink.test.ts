import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";

import * as k from "../../../src/sys/flags.js";
import { broadcastOf, parseIpv4, parseIpv6, parseMac } from "../../../src/sys/ip.js";
import { parseAddresses, parseLink, parseLinks, parseRoutes } from "../../../src/sys/netlink-parse.js";
import * as n from "../../../src/sys/netlink.js";
import {
  attribute,
  attributeU32,
  netlinkMessage,
  parseAttributes,
  parseMessages,
  parseNetlinkError,
  patchAt,
  raw,
  type NetlinkMessage,
  type Received,
} from "../../../src/sys/nlmsg.js";

const mac = parseMac("00:16:3e:aa:bb:cc") ?? new Uint8Array();
const v4 = parseIpv4("10.9.0.2") ?? new Uint8Array();
const v6 = parseIpv6("fd00::2") ?? new Uint8Array();

function only(message: NetlinkMessage): Received {
  const [received, ...more] = parseMessages(message.bytes);
  assert.ok(received !== undefined && more.length === 0);
  return received;
}

const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString("hex");

// The bytes that iproute2 6.1 sends for the same request (strace -x), but for the order of attributes and the NUL behind the kind.
test("macvlan, ipvlan and vlan links carry what ip(8) would send", () => {
  const macvlan = (mode: n.MacvlanMode): NetlinkMessage =>
    n.newLinkMacvlan({ name: "islt-m", mode, parent: 3, hwaddr: mac });
  const ipvlan = (mode: n.IpvlanMode, isolation: n.IpvlanIsolation): NetlinkMessage =>
    n.newLinkIpvlan({ name: "islt-i", mode, isolation, parent: 3 });
  const cases: readonly (readonly [NetlinkMessage, string, string])[] = [
    [macvlan("private"), "macvlan", "0800010001000000"],
    [macvlan("vepa"), "macvlan", "0800010002000000"],
    [macvlan("bridge"), "macvlan", "0800010004000000"],
    [macvlan("passthru"), "macvlan", "0800010008000000"],
    // IPVLAN_MODE_L2 0, L3 1, L3S 2; IPVLAN_F_PRIVATE 1, IPVLAN_F_VEPA 2 (linux/if_link.h).
    [ipvlan("l2", "bridge"), "ipvlan", "06000100000000000600020000000000"],
    [ipvlan("l3", "bridge"), "ipvlan", "06000100010000000600020000000000"],
    [ipvlan("l3s", "private"), "ipvlan", "06000100020000000600020001000000"],
    [ipvlan("l3s", "vepa"), "ipvlan", "06000100020000000600020002000000"],
    [n.newLinkVlan({ name: "islt-vl", id: 7, parent: 3 }), "vlan", "0600010007000000"],
  ];
  for (const [message, kind, data] of cases) {
    const received = only(message);
    assert.equal(received.type, k.RTM_NEWLINK);
    assert.equal(k.showFlags(k.NLM_FLAGS, received.flags & 7), "NLM_F_REQUEST|NLM_F_ACK");
    assert.equal(received.flags & ~7, k.NLM_F_EXCL | k.NLM_F_CREATE);
    const info = parseAttributes(
      parseAttributes(received.payload.subarray(16)).get(k.IFLA_LINKINFO) ?? new Uint8Array(),
    );
    assert.equal(hex(info.get(k.IFLA_INFO_DATA)), data);
    const link = parseLink(received);
    assert.deepEqual([link.kind, link.link], [kind, 3]);
  }
});

test("a veth peer is described inside the request, with its namespace left for the program to fill in", () => {
  const message = n.newLinkVeth({
    name: "vethA",
    peerName: "eth0",
    mtu: 1400,
    peerMtu: 1300,
    peerHwaddr: mac,
    peerNetnsFd: "late",
    master: "late",
    numTxQueues: 2,
    peerNumRxQueues: 4,
    up: true,
  });
  const bytes = Uint8Array.from(message.bytes);
  const data = new DataView(bytes.buffer);
  data.setInt32(patchAt(message, "netnsFd"), 42, true);
  data.setInt32(patchAt(message, "masterIndex"), 7, true);
  const received = only({ bytes, patches: {} });
  const near = parseLink(received);
  assert.deepEqual([near.name, near.mtu, near.master, near.kind, near.flags], ["vethA", 1400, 7, "veth", k.IFF_UP]);
  const info = parseAttributes(parseAttributes(received.payload.subarray(16)).get(k.IFLA_LINKINFO) ?? new Uint8Array());
  const peer =
    parseAttributes(info.get(k.IFLA_INFO_DATA) ?? new Uint8Array()).get(k.VETH_INFO_PEER) ?? new Uint8Array();
  const far = parseLink({ ...received, payload: peer });
  assert.deepEqual([far.name, far.mtu, far.hwaddr, far.flags], ["eth0", 1300, "00:16:3e:aa:bb:cc", 0]);
  const attributes = parseAttributes(peer.subarray(16));
  assert.equal(hex(attributes.get(k.IFLA_NET_NS_FD)), "2a000000");
  assert.equal(hex(attributes.get(k.IFLA_NUM_RX_QUEUES)), "04000000");
});

test("the MTU of both ends of a pair may be the program's to fill in", () => {
  const message = n.newLinkVeth({ name: "a", peerName: "b", mtu: "late", peerMtu: "late" });
  const bytes = Uint8Array.from(message.bytes);
  const data = new DataView(bytes.buffer);
  data.setUint32(patchAt(message, "mtu"), 1400, true);
  data.setUint32(patchAt(message, "peerMtu"), 1300, true);
  const received = only({ bytes, patches: {} });
  assert.equal(parseLink(received).mtu, 1400);
  const info = parseAttributes(parseAttributes(received.payload.subarray(16)).get(k.IFLA_LINKINFO) ?? new Uint8Array());
  const peer =
    parseAttributes(info.get(k.IFLA_INFO_DATA) ?? new Uint8Array()).get(k.VETH_INFO_PEER) ?? new Uint8Array();
  assert.equal(parseLink({ ...received, payload: peer }).mtu, 1300);
});

test("changes of a link go by index with a new name, or by name without", () => {
  const moved = n.setLink({ index: "late", rename: "eth5", netnsFd: "late", mtu: 1300, up: true });
  assert.equal(patchAt(moved, "index"), 20);
  const link = parseLink(only(moved));
  assert.deepEqual([link.name, link.mtu, link.flags], ["eth5", 1300, k.IFF_UP]);
  const named = only(n.setLink({ name: "lo", up: false }));
  assert.equal(hex(named.payload.subarray(0, 16)), "00000000000000000000000001000000");
  assert.throws(() => patchAt(n.setLink({ name: "lo" }), "index"), TypeError);
  assert.throws(() => n.setLink({ name: "much-too-long-a-name" }), RangeError);
});

test("a route says which interfaces it leads through, also where there are several next hops", () => {
  const plain = { prefix: 0, table: k.RT_TABLE_MAIN, type: k.RTN_UNICAST };
  assert.deepEqual(parseRoutes(n.newRoute({ family: "ipv4", gateway: v4, index: 3 }).bytes).items, [
    { ...plain, links: [3] },
  ]);
  // struct rtnexthop of 16 bytes each, with a gateway.
  const hop = (index: number): readonly number[] => [16, 0, 0, 0, index, 0, 0, 0, 8, 0, 5, 0, ...v4];
  const head = Uint8Array.from([2, 0, 0, 0, 252, 3, 0, 1, 0, 0, 0, 0]);
  const hops = (bytes: readonly number[]): Uint8Array =>
    netlinkMessage(
      k.RTM_NEWROUTE,
      0,
      0,
      raw(head),
      attributeU32(k.RTA_TABLE, 1000),
      attribute(k.RTA_MULTIPATH, raw(Uint8Array.from(bytes))),
    ).bytes;
  assert.deepEqual(parseRoutes(hops([...hop(3), ...hop(7)])).items, [{ ...plain, table: 1000, links: [3, 7] }]);
  // A length of nothing is no endless loop.
  assert.deepEqual(parseRoutes(hops([0, 0, 0, 0, 3, 0, 0, 0])).items[0]?.links, [3]);
});

test("addresses and routes have the family and prefix of their bytes", () => {
  const address = only(n.newAddress({ index: 9, address: v4, prefix: 24, broadcast: broadcastOf(v4, 24) }));
  const parsed = parseAddresses(
    n.newAddress({ index: 9, address: v4, prefix: 24, broadcast: broadcastOf(v4, 24) }).bytes,
  );
  assert.equal(address.type, k.RTM_NEWADDR);
  assert.deepEqual(parsed.items, [
    {
      index: 9,
      family: "ipv4",
      address: "10.9.0.2",
      prefix: 24,
      scope: 0,
      flags: 0,
      label: null,
      broadcast: "10.9.0.255",
    },
  ]);
  const six = parseAddresses(n.newAddress({ index: 9, address: v6, prefix: 64, noDad: true }).bytes).items[0];
  assert.deepEqual([six?.family, six?.address, six?.flags], ["ipv6", "fd00::2", k.IFA_F_NODAD]);
  // family, prefix; table main, protocol boot, scope, type unicast; flags
  assert.equal(
    hex(only(n.newRoute({ family: "ipv4", gateway: v4, index: 3 })).payload.subarray(0, 12)),
    "02000000fe03000100000000",
  );
  assert.equal(hex(only(n.newRoute({ family: "ipv4", index: 3 })).payload.subarray(0, 12)), "02000000fe03fd0100000000");
  assert.equal(
    hex(only(n.newRoute({ family: "ipv6", gateway: v6, onlink: true })).payload.subarray(0, 12)),
    "0a000000fe03000104000000",
  );
  assert.throws(() => n.newAddress({ index: 1, address: v4, prefix: 33 }), RangeError);
  assert.throws(() => n.newAddress({ index: 1, address: new Uint8Array(5), prefix: 3 }), RangeError);
});

test("a bridge port's VLANs are requests of the bridge family", () => {
  const message = n.bridgePortVlans("add", {
    index: "late",
    vlans: [{ id: 5, pvid: true, untagged: true }, { id: 6 }],
  });
  const received = only(message);
  assert.equal(received.payload[0], k.AF_BRIDGE);
  assert.equal(hex(received.payload.subarray(16)), "14001a0008000200060005000800020000000600");
  assert.equal(only(n.bridgePortVlans("delete", { index: 1, vlans: [{ id: 1 }] })).type, k.RTM_DELLINK);
  assert.throws(() => n.bridgePortVlans("add", { index: 1, vlans: [{ id: 4095 }] }), RangeError);
  assert.throws(() => n.bridgePortVlans("add", { index: 1, vlans: [{ id: 5, to: 5 }] }), RangeError);
  assert.throws(() => n.bridgePortVlans("add", { index: 1, vlans: [{ id: 5, to: 9, pvid: true }] }), RangeError);
});

// The bytes of iproute2 6.1 (strace -e write=3), the sequence numbers, which are times there, made 0. islt-a is link 3.
test("VLANs, routes and proxy entries are the bytes that bridge(8) and ip(8) send", () => {
  const ip = (text: string): Uint8Array => parseIpv4(text) ?? parseIpv6(text) ?? new Uint8Array();
  const cases: readonly (readonly [string, NetlinkMessage, string])[] = [
    [
      "bridge vlan del vid 1-4094 dev islt-a",
      n.bridgePortVlans("delete", { index: 3, vlans: [{ id: 1, to: 4094 }] }),
      "340000001100050000000000000000000700000003000000000000000000000014001a000800020008000100080002001000fe0f",
    ],
    [
      "bridge vlan add vid 20 dev islt-a pvid untagged",
      n.bridgePortVlans("add", { index: 3, vlans: [{ id: 20, pvid: true, untagged: true }] }),
      "2c000000130005000000000000000000070000000300000000000000000000000c001a000800020006001400",
    ],
    [
      "bridge vlan add vid 30 dev islt-a",
      n.bridgePortVlans("add", { index: 3, vlans: [{ id: 30 }] }),
      "2c000000130005000000000000000000070000000300000000000000000000000c001a000800020000001e00",
    ],
    [
      "ip neigh replace proxy 10.6.0.50 dev islt-a",
      n.newNeighbourProxy({ index: 3, address: ip("10.6.0.50") }),
      "240000001c0005050000000000000000020000000300000080000800080001000a060032",
    ],
    [
      "ip neigh del proxy 10.6.0.50 dev islt-a",
      n.delNeighbourProxy({ index: 3, address: ip("10.6.0.50") }),
      "240000001d0005000000000000000000020000000300000080000800080001000a060032",
    ],
    [
      "ip neigh replace proxy fd06::50 dev islt-a",
      n.newNeighbourProxy({ index: 3, address: ip("fd06::50") }),
      "300000001c00050500000000000000000a000000030000008000080014000100fd060000000000000000000000000050",
    ],
    [
      "ip route add 10.6.0.50/32 dev islt-a",
      n.newRoute({ family: "ipv4", destination: { address: ip("10.6.0.50"), prefix: 32 }, index: 3 }),
      "2c00000018000506000000000000000002200000fe03fd0100000000080001000a0600320800040003000000",
    ],
    [
      "ip -6 route add fd06::50/128 dev islt-a",
      n.newRoute({ family: "ipv6", destination: { address: ip("fd06::50"), prefix: 128 }, index: 3 }),
      "380000001800050600000000000000000a800000fe0300010000000014000100fd0600000000000000000000000000500800040003000000",
    ],
  ];
  for (const [command, message, bytes] of cases) assert.equal(hex(message.bytes), bytes, command);
});

test("a dump is read until it is done, and says what went wrong", () => {
  const link = netlinkMessage(
    k.RTM_NEWLINK,
    k.NLM_F_MULTI,
    5,
    raw(new Uint8Array(16)),
    attribute(k.IFLA_IFNAME, raw(Buffer.from("eth0\0"))),
    attributeU32(k.IFLA_MTU, 1500),
  );
  const done = netlinkMessage(k.NLMSG_DONE, k.NLM_F_MULTI | k.NLM_F_DUMP_INTR, 5, raw(new Uint8Array(4)));
  const first = parseLinks(link.bytes);
  assert.deepEqual([first.items.map((one) => one.name), first.done], [["eth0"], false]);
  const all = parseLinks(n.batch([link, link, done]));
  assert.deepEqual([all.items.length, all.done, all.interrupted, all.error], [2, true, true, null]);
  const broken = netlinkMessage(k.NLMSG_DONE, k.NLM_F_MULTI, 5, raw(Uint8Array.of(0xf0, 0xff, 0xff, 0xff)));
  assert.equal(parseLinks(broken.bytes).error?.errno, 16);
});

test("an error of the kernel keeps its sentence and the attribute it is about", () => {
  // A real answer (6.18): a link of an unknown kind, NETLINK_EXT_ACK on, the request repeated.
  const text = [
    "74000000020000020000000009430000a1ffffff48000000100005060000000000000000000000000000000001000000",
    "010000000b00030069736c742d6400000a0001000200000000010000100012000a00010064756d6d7900000018000100",
    "556e6b6e6f776e20646576696365207479706500",
  ].join("");
  const [received] = parseMessages(Buffer.from(text, "hex"));
  assert.ok(received !== undefined);
  assert.deepEqual(parseNetlinkError(received), {
    errno: 95,
    message: "Unknown device type",
    offset: null,
    requestType: k.RTM_NEWLINK,
  });
  assert.equal(parseNetlinkError({ ...received, type: k.NLMSG_DONE }), undefined);
});

test("cut-off and lying lengths are range errors, never an endless loop", () => {
  const good = n.newLinkVeth({ name: "a", peerName: "b", peerNetnsFd: 3 }).bytes;
  fc.assert(
    fc.property(fc.nat(good.length), fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 }), (length, at, value) => {
      const bytes = Uint8Array.from(good);
      bytes[at] = value;
      try {
        parseLinks(bytes.subarray(0, length));
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }),
  );
  assert.throws(() => parseMessages(Uint8Array.of(4, 0, 0, 0, ...new Uint8Array(12))), RangeError);
  assert.throws(() => parseAttributes(Uint8Array.of(0, 0, 1, 0)), RangeError);
  assert.throws(() => attribute(1, raw(new Uint8Array(70_000))), RangeError);
});

test("two late values of one name do not fit into one message", () => {
  assert.throws(
    () => n.newLinkVeth({ name: "a", peerName: "b", netnsFd: "late", peerNetnsFd: "late" }),
    /two places for netnsFd/,
  );
});

test("links of a group go in one request, and a neighbour is forgotten without being a proxy", () => {
  const gone = only(n.delLinkGroup(0x40000007));
  assert.equal(gone.type, k.RTM_DELLINK);
  assert.equal(hex(parseAttributes(gone.payload.subarray(16)).get(k.IFLA_GROUP)), "07000040");
  // An index would mean one link.
  assert.equal(hex(gone.payload.subarray(0, 16)), "00".repeat(16));
  const neighbour = only(n.delNeighbour({ index: 5, address: v4 }));
  assert.deepEqual(
    [neighbour.type, hex(neighbour.payload.subarray(0, 12))],
    [k.RTM_DELNEIGH, "020000000500000080000000"],
  );
});
