/**
 * Requests of rtnetlink(7) as bytes: links, addresses, routes. Each asks for an acknowledgement. Indexes, descriptors and
 * process ids may be `"late"`: the message then names the offset where a launch program stores them (`patchAt`).
 */
import { concat, cString, pack } from "./bytes.js";
import * as k from "./flags.js";
import type { Family } from "./ip.js";
import {
  attribute,
  attributeU16,
  attributeU32,
  attributeU8,
  join,
  late,
  netlinkMessage,
  raw,
  type Late,
  type NetlinkMessage,
  type Part,
} from "./nlmsg.js";
import { linkName } from "./structs.js";

const REQUEST = k.NLM_F_REQUEST | k.NLM_F_ACK;
const CREATE = REQUEST | k.NLM_F_CREATE | k.NLM_F_EXCL;

/** What every new link can be given. */
export interface LinkOptions {
  readonly name: string;
  /** Its place is `mtu`. */
  readonly mtu?: Late;
  /** Six bytes (ip.ts parseMac). */
  readonly hwaddr?: Uint8Array;
  readonly numRxQueues?: number;
  readonly numTxQueues?: number;
  readonly up?: boolean;
  /** A number that requests can mean several links by. */
  readonly group?: number;
  /** Create it in another network namespace. */
  readonly netnsFd?: Late;
  readonly seq?: number;
}

export interface VethOptions extends LinkOptions {
  readonly peerName: string;
  /** Its place is `peerMtu`. */
  readonly peerMtu?: Late;
  readonly peerHwaddr?: Uint8Array;
  readonly peerNumRxQueues?: number;
  readonly peerNumTxQueues?: number;
  /** The namespace the peer is born in. */
  readonly peerNetnsFd?: Late;
  /** A bridge for the near end. */
  readonly master?: Late;
}

/** A veth pair. The peer is born down: it cannot come up before its other end exists (ENOTCONN). At most one of netnsFd and peerNetnsFd is late; its place is `netnsFd`. */
export function newLinkVeth(veth: VethOptions): NetlinkMessage {
  const peer = join([
    ifinfomsg({}),
    ...linkAttributes(
      {
        name: veth.peerName,
        ...(veth.peerMtu === undefined ? {} : { mtu: veth.peerMtu }),
        ...(veth.peerHwaddr === undefined ? {} : { hwaddr: veth.peerHwaddr }),
        ...(veth.peerNumRxQueues === undefined ? {} : { numRxQueues: veth.peerNumRxQueues }),
        ...(veth.peerNumTxQueues === undefined ? {} : { numTxQueues: veth.peerNumTxQueues }),
        ...(veth.peerNetnsFd === undefined ? {} : { netnsFd: veth.peerNetnsFd }),
      },
      "peerMtu",
    ),
  ]);
  const master = veth.master === undefined ? [] : [attributeU32(k.IFLA_MASTER, veth.master, "masterIndex")];
  return newLink(veth, "veth", [attribute(k.VETH_INFO_PEER, peer)], master);
}

/** A link on top of another one; `parent` is the other's index in the namespace where the request is made. */
export interface StackedOptions extends LinkOptions {
  readonly parent: Late;
}

export type MacvlanMode = "private" | "vepa" | "bridge" | "passthru";

const MACVLAN_MODE: Readonly<Record<MacvlanMode, number>> = {
  private: k.MACVLAN_MODE_PRIVATE,
  vepa: k.MACVLAN_MODE_VEPA,
  bridge: k.MACVLAN_MODE_BRIDGE,
  passthru: k.MACVLAN_MODE_PASSTHRU,
};

export function newLinkMacvlan(link: StackedOptions & { readonly mode: MacvlanMode }): NetlinkMessage {
  return newLink(link, "macvlan", [attributeU32(k.IFLA_MACVLAN_MODE, MACVLAN_MODE[link.mode])], parentOf(link));
}

export type IpvlanMode = "l2" | "l3" | "l3s";
export type IpvlanIsolation = "bridge" | "private" | "vepa";

const IPVLAN_MODE: Readonly<Record<IpvlanMode, number>> = {
  l2: k.IPVLAN_MODE_L2,
  l3: k.IPVLAN_MODE_L3,
  l3s: k.IPVLAN_MODE_L3S,
};
const IPVLAN_FLAGS: Readonly<Record<IpvlanIsolation, number>> = {
  bridge: 0,
  private: k.IPVLAN_F_PRIVATE,
  vepa: k.IPVLAN_F_VEPA,
};

export function newLinkIpvlan(
  link: StackedOptions & { readonly mode: IpvlanMode; readonly isolation: IpvlanIsolation },
): NetlinkMessage {
  const data = [
    attributeU16(k.IFLA_IPVLAN_MODE, IPVLAN_MODE[link.mode]),
    attributeU16(k.IFLA_IPVLAN_FLAGS, IPVLAN_FLAGS[link.isolation]),
  ];
  return newLink(link, "ipvlan", data, parentOf(link));
}

/** `id` 0 to 4094 (802.1Q). */
export function newLinkVlan(link: StackedOptions & { readonly id: number }): NetlinkMessage {
  return newLink(link, "vlan", [attributeU16(k.IFLA_VLAN_ID, vlanId(link.id))], parentOf(link));
}

export interface BridgeOptions extends LinkOptions {
  readonly stp?: boolean;
  /** In hundredths of a second. */
  readonly forwardDelay?: number;
  readonly vlanFiltering?: boolean;
}

export function newLinkBridge(link: BridgeOptions): NetlinkMessage {
  const data: Part[] = [];
  if (link.forwardDelay !== undefined) data.push(attributeU32(k.IFLA_BR_FORWARD_DELAY, link.forwardDelay));
  if (link.stp !== undefined) data.push(attributeU32(k.IFLA_BR_STP_STATE, link.stp ? 1 : 0));
  if (link.vlanFiltering !== undefined) data.push(attributeU8(k.IFLA_BR_VLAN_FILTERING, link.vlanFiltering ? 1 : 0));
  return newLink(link, "bridge", data, []);
}

/** A link of a kind without options of its own: dummy, ifb ... */
export function newLinkPlain(kind: string, link: LinkOptions): NetlinkMessage {
  return newLink(link, kind, [], []);
}

/** Which link: by index, or by name in the namespace where the request is made. */
export type LinkSelector = { readonly index: Late } | { readonly name: string };

export interface LinkChanges {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly hwaddr?: Uint8Array;
  /** Index of the bridge or bond, 0 for none. */
  readonly master?: Late;
  /** Move it to that namespace; with `rename` it arrives there under the new name. */
  readonly netnsFd?: Late;
  readonly netnsPid?: Late;
  /** Its index there (Linux 5.13); EBUSY if that is another's. */
  readonly newIndex?: Late;
  readonly alias?: string;
  readonly seq?: number;
}

/** Changes of an existing link, in one request. A new name needs the link's index: the name attribute cannot mean both. */
export function setLink(
  link: ({ readonly index: Late; readonly rename?: string } | { readonly name: string }) & LinkChanges,
): NetlinkMessage {
  const attributes: Part[] =
    "name" in link ? [nameAttribute(link.name)] : link.rename === undefined ? [] : [nameAttribute(link.rename)];
  if (link.mtu !== undefined) attributes.push(attributeU32(k.IFLA_MTU, link.mtu));
  if (link.hwaddr !== undefined) attributes.push(attribute(k.IFLA_ADDRESS, raw(link.hwaddr)));
  if (link.master !== undefined) attributes.push(attributeU32(k.IFLA_MASTER, link.master, "masterIndex"));
  if (link.netnsFd !== undefined) attributes.push(attributeU32(k.IFLA_NET_NS_FD, link.netnsFd, "netnsFd"));
  if (link.netnsPid !== undefined) attributes.push(attributeU32(k.IFLA_NET_NS_PID, link.netnsPid, "netnsPid"));
  if (link.newIndex !== undefined) attributes.push(attributeU32(k.IFLA_NEW_IFINDEX, link.newIndex, "newIndex"));
  if (link.alias !== undefined) attributes.push(attribute(k.IFLA_IFALIAS, raw(cString(link.alias))));
  const header = ifinfomsg({
    ...("index" in link ? { index: link.index } : {}),
    ...(link.up === undefined ? {} : { up: link.up }),
  });
  return netlinkMessage(k.RTM_SETLINK, REQUEST, link.seq ?? 0, header, ...attributes);
}

export function delLink(link: LinkSelector & { readonly seq?: number }): NetlinkMessage {
  return netlinkMessage(k.RTM_DELLINK, REQUEST, link.seq ?? 0, ...selected(link));
}

/** All links of the namespace that have that number, in one go: quicker than one after another. ENODEV when there is none. */
export function delLinkGroup(group: number, seq = 0): NetlinkMessage {
  return netlinkMessage(k.RTM_DELLINK, REQUEST, seq, ifinfomsg({}), attributeU32(k.IFLA_GROUP, group));
}

/** One link; the answer is an RTM_NEWLINK (parseLink) before the acknowledgement. */
export function getLink(link: LinkSelector & { readonly seq?: number }): NetlinkMessage {
  return netlinkMessage(k.RTM_GETLINK, REQUEST, link.seq ?? 0, ...selected(link));
}

/** All links of the namespace; answers until NLMSG_DONE. */
export function dumpLinks(seq = 0): NetlinkMessage {
  return netlinkMessage(k.RTM_GETLINK, k.NLM_F_REQUEST | k.NLM_F_DUMP, seq, ifinfomsg({}));
}

/** All addresses of the namespace; answers until NLMSG_DONE. */
export function dumpAddresses(family?: Family, seq = 0): NetlinkMessage {
  const header = pack(8).u8(0, family === undefined ? k.AF_UNSPEC : familyNumber(family)).bytes;
  return netlinkMessage(k.RTM_GETADDR, k.NLM_F_REQUEST | k.NLM_F_DUMP, seq, raw(header));
}

/** One VLAN of a bridge's port, or with `to` all from `id` to that one. */
export interface PortVlan {
  readonly id: number;
  readonly to?: number;
  /** Untagged frames that come in belong to it; not of a range. */
  readonly pvid?: boolean;
  /** Its frames go out without a tag. */
  readonly untagged?: boolean;
}

/**
 * Membership of a bridge's port in VLANs: `add` or `delete` (linux/if_bridge.h, struct bridge_vlan_info; bridge(8), vlan). The kernel takes
 * them in order, and deleting one that the port is not in is no error.
 */
export function bridgePortVlans(
  what: "add" | "delete",
  port: { readonly index: Late; readonly vlans: readonly PortVlan[]; readonly seq?: number },
): NetlinkMessage {
  const infos = port.vlans.flatMap((vlan) => {
    const flags =
      (vlan.pvid === true ? k.BRIDGE_VLAN_INFO_PVID : 0) | (vlan.untagged === true ? k.BRIDGE_VLAN_INFO_UNTAGGED : 0);
    if (vlan.to === undefined) return [portVlan(vlan.id, flags)];
    if (vlan.pvid === true || vlan.to <= vlan.id)
      throw new RangeError(`VLANs ${vlan.id} to ${vlan.to} are no range of a port`);
    return [
      portVlan(vlan.id, flags | k.BRIDGE_VLAN_INFO_RANGE_BEGIN),
      portVlan(vlan.to, flags | k.BRIDGE_VLAN_INFO_RANGE_END),
    ];
  });
  const header = ifinfomsg({ family: k.AF_BRIDGE, index: port.index });
  const type = what === "add" ? k.RTM_SETLINK : k.RTM_DELLINK;
  return netlinkMessage(type, REQUEST, port.seq ?? 0, header, attribute(k.IFLA_AF_SPEC, ...infos));
}

function portVlan(id: number, flags: number): Part {
  return attribute(k.IFLA_BRIDGE_VLAN_INFO, raw(pack(4).u16(0, flags).u16(2, vlanId(id)).bytes));
}

/** Whether a port of a bridge reaches only the bridge and ports that are not isolated. */
export function bridgePortIsolated(port: {
  readonly index: Late;
  readonly isolated: boolean;
  readonly seq?: number;
}): NetlinkMessage {
  const data = attribute(k.IFLA_INFO_SLAVE_DATA, attributeU8(k.IFLA_BRPORT_ISOLATED, port.isolated ? 1 : 0));
  const info = attribute(k.IFLA_LINKINFO, attribute(k.IFLA_INFO_SLAVE_KIND, raw(cString("bridge"))), data);
  return netlinkMessage(k.RTM_NEWLINK, REQUEST, port.seq ?? 0, ifinfomsg({ index: port.index }), info);
}

export interface AddressOptions {
  readonly index: Late;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly prefix: number;
  /** IPv4 only. */
  readonly broadcast?: Uint8Array;
  /** Of a point-to-point link: who is at its other end. */
  readonly peer?: Uint8Array;
  /** RT_SCOPE_*; 0 (universe) if not given. */
  readonly scope?: number;
  /** IPv6: use it at once, without duplicate address detection. */
  readonly noDad?: boolean;
  readonly seq?: number;
}

/** A new address of a link; EEXIST when the link has it. */
export function newAddress(address: AddressOptions): NetlinkMessage {
  return netlinkMessage(k.RTM_NEWADDR, CREATE, address.seq ?? 0, ...addressParts(address));
}

export function delAddress(address: AddressOptions): NetlinkMessage {
  return netlinkMessage(k.RTM_DELADDR, REQUEST, address.seq ?? 0, ...addressParts(address));
}

function addressParts(address: AddressOptions): readonly Part[] {
  const header = pack(4)
    .u8(0, familyOf(address.address))
    .u8(1, prefixOf(address.prefix, address.address))
    .u8(2, address.noDad === true ? k.IFA_F_NODAD : 0)
    .u8(3, address.scope ?? k.RT_SCOPE_UNIVERSE).bytes;
  const parts = [
    raw(header),
    late(address.index, "index"),
    attribute(k.IFA_LOCAL, raw(address.address)),
    attribute(k.IFA_ADDRESS, raw(address.peer ?? address.address)),
  ];
  if (address.broadcast !== undefined) parts.push(attribute(k.IFA_BROADCAST, raw(address.broadcast)));
  return parts;
}

export interface RouteOptions {
  readonly family: Family;
  /** null or absent: the default route. */
  readonly destination?: { readonly address: Uint8Array; readonly prefix: number } | null;
  readonly gateway?: Uint8Array;
  /** The outgoing link. */
  readonly index?: Late;
  /** The gateway is on the link although no address of ours covers it. */
  readonly onlink?: boolean;
  readonly source?: Uint8Array;
  readonly metric?: number;
  readonly seq?: number;
}

/** A new route of the main table; EEXIST when it is there. */
export function newRoute(route: RouteOptions): NetlinkMessage {
  return netlinkMessage(k.RTM_NEWROUTE, CREATE, route.seq ?? 0, ...routeParts(route));
}

export function delRoute(route: RouteOptions): NetlinkMessage {
  return netlinkMessage(k.RTM_DELROUTE, REQUEST, route.seq ?? 0, ...routeParts(route));
}

function routeParts(route: RouteOptions): readonly Part[] {
  const { destination = null, gateway } = route;
  // Without a gateway an IPv4 destination must be on the link itself (ip-route(8) does the same).
  const scope = gateway === undefined && route.family === "ipv4" ? k.RT_SCOPE_LINK : k.RT_SCOPE_UNIVERSE;
  const header = pack(12)
    .u8(0, familyNumber(route.family))
    .u8(1, destination === null ? 0 : prefixOf(destination.prefix, destination.address))
    .u8(4, k.RT_TABLE_MAIN)
    .u8(5, k.RTPROT_BOOT)
    .u8(6, scope)
    .u8(7, k.RTN_UNICAST)
    .u32(8, route.onlink === true ? k.RTNH_F_ONLINK : 0).bytes;
  const parts = [raw(header)];
  if (destination !== null) parts.push(attribute(k.RTA_DST, raw(destination.address)));
  if (gateway !== undefined) parts.push(attribute(k.RTA_GATEWAY, raw(gateway)));
  if (route.index !== undefined) parts.push(attributeU32(k.RTA_OIF, route.index, "index"));
  if (route.source !== undefined) parts.push(attribute(k.RTA_PREFSRC, raw(route.source)));
  if (route.metric !== undefined) parts.push(attributeU32(k.RTA_PRIORITY, route.metric));
  return parts;
}

/** Answer neighbour requests for an address on behalf of whoever has it behind us (ip neigh add proxy). */
export function newNeighbourProxy(entry: {
  readonly index: Late;
  readonly address: Uint8Array;
  readonly seq?: number;
}): NetlinkMessage {
  return netlinkMessage(
    k.RTM_NEWNEIGH,
    REQUEST | k.NLM_F_CREATE | k.NLM_F_REPLACE,
    entry.seq ?? 0,
    ...neighbourParts(entry),
  );
}

export function delNeighbourProxy(entry: {
  readonly index: Late;
  readonly address: Uint8Array;
  readonly seq?: number;
}): NetlinkMessage {
  return netlinkMessage(k.RTM_DELNEIGH, REQUEST, entry.seq ?? 0, ...neighbourParts(entry));
}

/** Forget which hardware address a neighbour has; ENOENT when it is not known. */
export function delNeighbour(entry: {
  readonly index: Late;
  readonly address: Uint8Array;
  readonly seq?: number;
}): NetlinkMessage {
  return netlinkMessage(k.RTM_DELNEIGH, REQUEST, entry.seq ?? 0, ...neighbourParts(entry, 0));
}

function neighbourParts(
  entry: { readonly index: Late; readonly address: Uint8Array },
  flags: number = k.NTF_PROXY,
): readonly Part[] {
  const tail = pack(4).u16(0, k.NUD_PERMANENT).u8(2, flags).bytes;
  return [
    raw(pack(4).u8(0, familyOf(entry.address)).bytes),
    late(entry.index, "index"),
    raw(tail),
    attribute(k.NDA_DST, raw(entry.address)),
  ];
}

function newLink(link: LinkOptions, kind: string, data: readonly Part[], more: readonly Part[]): NetlinkMessage {
  const info = [attribute(k.IFLA_INFO_KIND, raw(cString(kind)))];
  if (data.length > 0) info.push(attribute(k.IFLA_INFO_DATA, ...data));
  const parts = [
    ifinfomsg({ up: link.up === true }),
    ...linkAttributes(link),
    ...more,
    attribute(k.IFLA_LINKINFO, ...info),
  ];
  return netlinkMessage(k.RTM_NEWLINK, CREATE, link.seq ?? 0, ...parts);
}

function linkAttributes(link: LinkOptions, mtuPlace: "mtu" | "peerMtu" = "mtu"): readonly Part[] {
  const parts = [nameAttribute(link.name)];
  if (link.mtu !== undefined) parts.push(attributeU32(k.IFLA_MTU, link.mtu, mtuPlace));
  if (link.hwaddr !== undefined) parts.push(attribute(k.IFLA_ADDRESS, raw(link.hwaddr)));
  if (link.group !== undefined) parts.push(attributeU32(k.IFLA_GROUP, link.group));
  if (link.numTxQueues !== undefined) parts.push(attributeU32(k.IFLA_NUM_TX_QUEUES, link.numTxQueues));
  if (link.numRxQueues !== undefined) parts.push(attributeU32(k.IFLA_NUM_RX_QUEUES, link.numRxQueues));
  if (link.netnsFd !== undefined) parts.push(attributeU32(k.IFLA_NET_NS_FD, link.netnsFd, "netnsFd"));
  return parts;
}

/** struct ifinfomsg: u8 family, u16 type, s32 index, u32 flags, u32 mask of the flags to change. */
function ifinfomsg(info: { readonly family?: number; readonly index?: Late; readonly up?: boolean }): Part {
  const flags = pack(8);
  if (info.up !== undefined) flags.u32(0, info.up ? k.IFF_UP : 0).u32(4, k.IFF_UP);
  return join([raw(pack(4).u8(0, info.family ?? k.AF_UNSPEC).bytes), late(info.index ?? 0, "index"), raw(flags.bytes)]);
}

function selected(link: LinkSelector): readonly Part[] {
  return "index" in link ? [ifinfomsg({ index: link.index })] : [ifinfomsg({}), nameAttribute(link.name)];
}

function nameAttribute(name: string): Part {
  return attribute(k.IFLA_IFNAME, raw(linkName(name)));
}

function parentOf(link: StackedOptions): readonly Part[] {
  return [attributeU32(k.IFLA_LINK, link.parent, "parentIndex")];
}

function vlanId(id: number): number {
  if (!Number.isInteger(id) || id < 0 || id > 4094) throw new RangeError(`VLAN ${id} is not 0 to 4094`);
  return id;
}

function familyNumber(family: Family): number {
  return family === "ipv4" ? k.AF_INET : k.AF_INET6;
}

function familyOf(address: Uint8Array): number {
  if (address.length !== 4 && address.length !== 16) throw new RangeError(`an address of ${address.length} bytes`);
  return address.length === 4 ? k.AF_INET : k.AF_INET6;
}

function prefixOf(prefix: number, address: Uint8Array): number {
  if (!Number.isInteger(prefix) || prefix < 0 || prefix > address.length * 8)
    throw new RangeError(`prefix ${prefix} of an address of ${address.length} bytes`);
  return prefix;
}

/** Several requests for one send(2); the kernel answers each. No late values. */
export function batch(messages: readonly NetlinkMessage[]): Uint8Array {
  return concat(messages.map((message) => message.bytes));
}
