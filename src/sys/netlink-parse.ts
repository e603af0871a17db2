/** Answers of rtnetlink(7): links and addresses as data. Unknown attributes are passed over; cut-off ones throw RangeError. */
import { fromCString, view } from "./bytes.js";
import * as k from "./flags.js";
import { formatIp, formatMac, type Family } from "./ip.js";
import { parseAttributes, parseMessages, parseNetlinkError, type NetlinkError, type Received } from "./nlmsg.js";

/** Counters of a link (struct rtnl_link_stats64), as seen from the namespace the link is in. */
export interface LinkStats {
  readonly rxPackets: bigint;
  readonly txPackets: bigint;
  readonly rxBytes: bigint;
  readonly txBytes: bigint;
  readonly rxErrors: bigint;
  readonly txErrors: bigint;
  readonly rxDropped: bigint;
  readonly txDropped: bigint;
}

export interface LinkInfo {
  readonly index: number;
  readonly name: string;
  /** IFF_* bits. */
  readonly flags: number;
  readonly mtu: number | null;
  /** `aa:bb:cc:dd:ee:ff`, or null where the link has none. */
  readonly hwaddr: string | null;
  /** veth, bridge ...; null for hardware and lo. */
  readonly kind: string | null;
  /** Index of the bridge or bond it belongs to. */
  readonly master: number | null;
  /** Index of the peer or parent; in another namespace when linkNetnsId is given. */
  readonly link: number | null;
  readonly linkNetnsId: number | null;
  /** What somebody has written to it (IFLA_IFALIAS). */
  readonly alias: string | null;
  readonly stats: LinkStats | null;
}

export interface AddressInfo {
  readonly index: number;
  readonly family: Family;
  /** Our own address (IFA_LOCAL where the kernel gives one). */
  readonly address: string;
  readonly prefix: number;
  /** RT_SCOPE_*. */
  readonly scope: number;
  /** IFA_F_* bits. */
  readonly flags: number;
  readonly label: string | null;
  readonly broadcast: string | null;
}

export interface RouteInfo {
  /** Bits of the destination: 0 is the default route. */
  readonly prefix: number;
  /** RT_TABLE_*. */
  readonly table: number;
  /** RTN_*. */
  readonly type: number;
  /** Indexes of the interfaces it leads through; more than one where it has several next hops. */
  readonly links: readonly number[];
}

/** The outcome of a dump so far. */
export interface Dump<T> {
  readonly items: readonly T[];
  /** NLMSG_DONE or an error was seen: nothing more comes. */
  readonly done: boolean;
  /** The table changed meanwhile: ask again for a consistent picture. */
  readonly interrupted: boolean;
  readonly error: NetlinkError | null;
}

/** struct ifinfomsg and attributes (RTM_NEWLINK). */
export function parseLink(received: Received): LinkInfo {
  const { payload } = received;
  if (payload.length < 16) throw new RangeError(`link message of ${payload.length} bytes`);
  const header = view(payload);
  const attributes = parseAttributes(payload.subarray(16));
  const u32 = (type: number): number | null => number32(attributes.get(type));
  const name = attributes.get(k.IFLA_IFNAME);
  const hwaddr = attributes.get(k.IFLA_ADDRESS);
  const info = attributes.get(k.IFLA_LINKINFO);
  const kind = info === undefined ? undefined : parseAttributes(info).get(k.IFLA_INFO_KIND);
  const alias = attributes.get(k.IFLA_IFALIAS);
  const stats = attributes.get(k.IFLA_STATS64);
  return {
    index: header.getInt32(4, true),
    name: name === undefined ? "" : fromCString(name),
    flags: header.getUint32(8, true),
    mtu: u32(k.IFLA_MTU),
    hwaddr: hwaddr === undefined || hwaddr.length === 0 ? null : formatMac(hwaddr),
    kind: kind === undefined ? null : fromCString(kind),
    master: u32(k.IFLA_MASTER),
    link: u32(k.IFLA_LINK),
    linkNetnsId: u32(k.IFLA_LINK_NETNSID),
    alias: alias === undefined ? null : fromCString(alias),
    stats: stats === undefined || stats.length < 64 ? null : parseStats(stats),
  };
}

function parseStats(bytes: Uint8Array): LinkStats {
  const data = view(bytes);
  const at = (word: number): bigint => data.getBigUint64(8 * word, true);
  return {
    rxPackets: at(0),
    txPackets: at(1),
    rxBytes: at(2),
    txBytes: at(3),
    rxErrors: at(4),
    txErrors: at(5),
    rxDropped: at(6),
    txDropped: at(7),
  };
}

/** struct ifaddrmsg and attributes (RTM_NEWADDR); undefined for a family other than IPv4 and IPv6. */
export function parseAddress(received: Received): AddressInfo | undefined {
  const { payload } = received;
  if (payload.length < 8) throw new RangeError(`address message of ${payload.length} bytes`);
  const header = view(payload);
  const number = header.getUint8(0);
  if (number !== k.AF_INET && number !== k.AF_INET6) return undefined;
  const attributes = parseAttributes(payload.subarray(8));
  const address = attributes.get(k.IFA_LOCAL) ?? attributes.get(k.IFA_ADDRESS);
  if (address === undefined || address.length !== (number === k.AF_INET ? 4 : 16)) return undefined;
  const label = attributes.get(k.IFA_LABEL);
  const broadcast = attributes.get(k.IFA_BROADCAST);
  return {
    index: header.getUint32(4, true),
    family: number === k.AF_INET ? "ipv4" : "ipv6",
    address: formatIp(address),
    prefix: header.getUint8(1),
    scope: header.getUint8(3),
    flags: number32(attributes.get(k.IFA_FLAGS)) ?? header.getUint8(2),
    label: label === undefined ? null : fromCString(label),
    broadcast: broadcast?.length === 4 ? formatIp(broadcast) : null,
  };
}

/** struct rtmsg and attributes (RTM_NEWROUTE). */
export function parseRoute(received: Received): RouteInfo {
  const { payload } = received;
  if (payload.length < 12) throw new RangeError(`route message of ${payload.length} bytes`);
  const header = view(payload);
  const attributes = parseAttributes(payload.subarray(12));
  const link = number32(attributes.get(k.RTA_OIF));
  return {
    prefix: header.getUint8(1),
    table: number32(attributes.get(k.RTA_TABLE)) ?? header.getUint8(4),
    type: header.getUint8(7),
    links: [...(link === null ? [] : [link]), ...nextHops(attributes.get(k.RTA_MULTIPATH))],
  };
}

/** The interfaces of a row of struct rtnexthop, each of which says how long it is with its attributes. */
function nextHops(bytes: Uint8Array | undefined): readonly number[] {
  const links: number[] = [];
  for (let at = 0; bytes !== undefined && at + 8 <= bytes.length;) {
    const hop = view(bytes.subarray(at));
    links.push(hop.getInt32(4, true));
    at += Math.max(8, (hop.getUint16(0, true) + 3) & ~3);
  }
  return links;
}

/** The routes of the datagrams received so far. */
export function parseRoutes(bytes: Uint8Array): Dump<RouteInfo> {
  return dump(bytes, k.RTM_NEWROUTE, parseRoute);
}

/** The links of the datagrams received so far (whole datagrams, one after the other). */
export function parseLinks(bytes: Uint8Array): Dump<LinkInfo> {
  return dump(bytes, k.RTM_NEWLINK, parseLink);
}

/** The addresses of the datagrams received so far. */
export function parseAddresses(bytes: Uint8Array): Dump<AddressInfo> {
  return dump(bytes, k.RTM_NEWADDR, parseAddress);
}

function dump<T>(bytes: Uint8Array, type: number, parse: (received: Received) => T | undefined): Dump<T> {
  const items: T[] = [];
  let done = false;
  let interrupted = false;
  let error: NetlinkError | null = null;
  for (const received of parseMessages(bytes)) {
    if ((received.flags & k.NLM_F_DUMP_INTR) !== 0) interrupted = true;
    if (received.type === type) {
      const item = parse(received);
      if (item !== undefined) items.push(item);
    } else if (received.type === k.NLMSG_DONE) {
      done = true;
      // A dump that broke off says so here: the payload is 0 or -errno.
      const code = received.payload.length < 4 ? 0 : view(received.payload).getInt32(0, true);
      if (code < 0) error = { errno: -code, message: null, offset: null, requestType: type };
    } else if (received.type === k.NLMSG_ERROR) {
      done = true;
      const failure = parseNetlinkError(received);
      if (failure !== undefined && failure.errno !== 0) error = failure;
    }
  }
  return { items, done, interrupted, error };
}

function number32(bytes: Uint8Array | undefined): number | null {
  return bytes === undefined || bytes.length < 4 ? null : view(bytes).getUint32(0, true);
}
