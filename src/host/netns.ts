import { IsletError } from "../base/errors.js";
import { closeFd, syscall } from "./addon.js";
import type { Arch } from "../sys/arch.js";
import { errnoName } from "../sys/errno.js";
import {
  AF_INET,
  AF_INET6,
  IFF_LOOPBACK,
  IFF_UP,
  IFLA_EXT_MASK,
  IFLA_IFNAME,
  IFLA_TARGET_NETNSID,
  NETLINK_GET_STRICT_CHK,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETROUTE,
  RT_SCOPE_LINK,
  SOL_NETLINK,
} from "../sys/flags.js";
import {
  type NetlinkMessage,
  type Part,
  attribute,
  attributeU32,
  netlinkMessage,
  parseAttributes,
  parseMessages,
  parseNetlinkError,
  raw,
} from "../sys/nlmsg.js";
import {
  type AddressInfo,
  type LinkInfo,
  parseAddresses,
  parseLinks,
  parseRoutes,
  type RouteInfo,
} from "../sys/netlink-parse.js";
import { cString, pack } from "../sys/bytes.js";
import { requireSyscall } from "../sys/syscalls.js";

/**
 * Interfaces of another network namespace, asked for from our own one: the namespace gets an id here (RTM_NEWNSID) and dumps name it
 * (IFLA_TARGET_NETNSID). Nothing enters the namespace, so no thread of the daemon changes and no process is made.
 */

const RTM_NEWNSID = 88;
const RTM_GETNSID = 90;
const REQUEST_ACK = 0x5;
const REQUEST = 0x1;
const DUMP = 0x301;
const NETNSA_NSID = 1;
const NETNSA_PID = 2;
const NETNSA_FD = 3;
/** Leaves the counters out, most of a link's message. */
const RTEXT_FILTER_SKIP_STATS = 8;
const IFA_TARGET_NETNSID = 10;

export interface NamespaceInterface {
  readonly name: string;
  readonly up: boolean;
  readonly isLoopback: boolean;
  readonly hardwareAddress: string | null;
  readonly addresses: readonly Pick<AddressInfo, "family" | "address" | "prefix">[];
}

/** Kept from one question to the next: to open it takes longer than to ask. */
let kept: Socket | null = null;

interface Socket {
  readonly fd: number;
  /** Where answers arrive, one after another. */
  readonly buffer: Uint8Array;
  readonly arch: Arch;
}

function open(arch: Arch): Socket {
  const fd = syscall(requireSyscall(arch, "socket"), [16, 0o2000003, 0]);
  if (fd < 0) throw new IsletError("ISLET_IO", `cannot open a netlink socket: ${errnoName(fd)}`);
  const one = new Uint8Array([1, 0, 0, 0]);
  syscall(requireSyscall(arch, "setsockopt"), [fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, one, 4]);
  return { fd, arch, buffer: new Uint8Array(32768) };
}

function ask(socket: Socket, message: NetlinkMessage, whole: boolean): Uint8Array {
  const sent = syscall(requireSyscall(socket.arch, "sendto"), [
    socket.fd,
    message.bytes,
    message.bytes.length,
    0,
    0,
    0,
  ]);
  if (sent < 0) throw new IsletError("ISLET_IO", `cannot ask the kernel for interfaces: ${errnoName(sent)}`);
  const parts: Uint8Array[] = [];
  for (;;) {
    const got = syscall(requireSyscall(socket.arch, "recvfrom"), [
      socket.fd,
      socket.buffer,
      socket.buffer.length,
      0,
      0,
      0,
    ]);
    if (got <= 0) throw new IsletError("ISLET_IO", `cannot read the kernel's answer: ${errnoName(got)}`);
    const part = socket.buffer.slice(0, got);
    parts.push(part);
    // NLMSG_DONE is 3, NLMSG_ERROR 2.
    if (!whole || parseMessages(part).some((item) => item.type === 3 || item.type === 2)) break;
  }
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Which network namespace: that of a process, or one that is open. */
type Which = { readonly pid: number } | { readonly fd: number };

function namespaceId(socket: Socket, which: Which): number | null {
  const empty = raw(new Uint8Array(4));
  const named = "pid" in which ? attributeU32(NETNSA_PID, which.pid) : attributeU32(NETNSA_FD, which.fd);
  for (let round = 0; round < 2; round += 1) {
    const answer = parseMessages(ask(socket, netlinkMessage(RTM_GETNSID, REQUEST, 1, empty, named), false))[0];
    if (answer === undefined || parseNetlinkError(answer) !== undefined) return null;
    const id = parseAttributes(answer.payload.subarray(4)).get(NETNSA_NSID);
    const value = id === undefined ? -1 : new DataView(id.buffer, id.byteOffset, 4).getInt32(0, true);
    if (value >= 0) return value;
    ask(
      socket,
      netlinkMessage(RTM_NEWNSID, REQUEST_ACK, 2, empty, named, attributeU32(NETNSA_NSID, 0xffffffff)),
      false,
    );
  }
  return null;
}

/** Opens what every question needs. */
export function prepareQuestions(arch: Arch): void {
  kept ??= open(arch);
}

/** Asks in a network namespace; `none` when its process is gone or shares our namespace. */
function inNamespace<T>(arch: Arch, which: Which, none: T, question: (socket: Socket, id: number) => T): T {
  kept ??= open(arch);
  const socket = kept;
  let isDrained = false;
  try {
    const id = namespaceId(socket, which);
    const answer = id === null ? none : question(socket, id);
    isDrained = true;
    return answer;
  } finally {
    // After an error there may be answers left in it that nobody asked for.
    if (!isDrained) {
      kept = null;
      closeFd(socket.fd);
    }
  }
}

/** Link-local IPv6 addresses are left out, as LXC's tools do. */
function dumpAddresses(socket: Socket, id: number): readonly AddressInfo[] {
  const request = netlinkMessage(RTM_GETADDR, DUMP, 4, raw(new Uint8Array(8)), attributeU32(IFA_TARGET_NETNSID, id));
  return parseAddresses(ask(socket, request, true)).items.filter(
    ({ family, scope }) => family === "ipv4" || scope !== RT_SCOPE_LINK,
  );
}

export function addressesInNamespace(arch: Arch, pid: number): readonly AddressInfo[] {
  return inNamespace(arch, { pid }, [], dumpAddresses);
}

/** One link, not a dump: guests make as many as they like. `id` null: of this process's own namespace; null: there is none of that name. */
function linkByName(socket: Socket, id: number | null, name: string): LinkInfo | null {
  return oneLink(socket, id, raw(new Uint8Array(16)), attribute(IFLA_IFNAME, raw(cString(name))));
}

function linkByIndex(socket: Socket, id: number | null, index: number): LinkInfo | null {
  return oneLink(socket, id, raw(pack(16).u32(4, index).bytes));
}

function oneLink(socket: Socket, id: number | null, ...which: readonly Part[]): LinkInfo | null {
  const request = netlinkMessage(
    RTM_GETLINK,
    REQUEST,
    5,
    ...which,
    ...(id === null ? [] : [attributeU32(IFLA_TARGET_NETNSID, id)]),
    attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS),
  );
  const answer = ask(socket, request, false);
  return parseMessages(answer).some((item) => parseNetlinkError(item) !== undefined)
    ? null
    : (parseLinks(answer).items[0] ?? null);
}

/** The hardware address of one of a namespace's interfaces; null: there is none of that name. */
export function hardwareAddress(arch: Arch, pid: number, name: string): string | null {
  return inNamespace(arch, { pid }, null, (socket, id) => linkByName(socket, id, name)?.hwaddr ?? null);
}

/** `id` null: of this process's own namespace. */
function dumpLinks(socket: Socket, id: number | null): readonly LinkInfo[] {
  const request = netlinkMessage(
    RTM_GETLINK,
    DUMP,
    3,
    raw(new Uint8Array(16)),
    ...(id === null ? [] : [attributeU32(IFLA_TARGET_NETNSID, id)]),
    attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS),
  );
  return parseLinks(ask(socket, request, true)).items;
}

/** The interfaces of the network namespace that a descriptor is of; null: it is of none, or of this process's own. */
export function linksOfDescriptor(arch: Arch, fd: number): readonly LinkInfo[] | null {
  return inNamespace<readonly LinkInfo[] | null>(arch, { fd }, null, dumpLinks);
}

/** The interface of that name in this process's own network namespace; null: there is none. */
export function ownLink(arch: Arch, name: string): LinkInfo | null {
  kept ??= open(arch);
  return linkByName(kept, null, name);
}

/** The addresses of an interface of this process's own network namespace; link-local ones of IPv6 are left out. */
export function ownAddresses(arch: Arch, index: number): readonly AddressInfo[] {
  kept ??= open(arch);
  const header = new Uint8Array(8);
  new DataView(header.buffer).setUint32(4, index, true);
  return parseAddresses(ask(kept, netlinkMessage(RTM_GETADDR, DUMP, 6, raw(header)), true)).items.filter(
    (item) => item.index === index && (item.family === "ipv4" || item.scope !== RT_SCOPE_LINK),
  );
}

/** The routes of this process's own network namespace, of all tables that the kernel tells of. */
export function ownRoutes(arch: Arch): readonly RouteInfo[] {
  kept ??= open(arch);
  const socket = kept;
  return [AF_INET, AF_INET6].flatMap((family) => {
    const header = new Uint8Array(12);
    header[0] = family;
    return parseRoutes(ask(socket, netlinkMessage(RTM_GETROUTE, DUMP, 7, raw(header)), true)).items;
  });
}

/** An interface of an open network namespace, by its number there; null: there is none. */
export function linkInNamespace(arch: Arch, namespace: number, index: number): LinkInfo | null {
  return inNamespace(arch, { fd: namespace }, null, (socket, id) => linkByIndex(socket, id, index));
}

/** What other interfaces of our own call an open network namespace (`linkNetnsId`); null: it has no number, or is our own. */
export function numberOfNamespace(arch: Arch, namespace: number): number | null {
  return inNamespace(arch, { fd: namespace }, null, (_, id) => id);
}

/** The interfaces of this process's own network namespace. */
export function ownLinks(arch: Arch): readonly LinkInfo[] {
  kept ??= open(arch);
  return dumpLinks(kept, null);
}

export function interfacesInNamespace(arch: Arch, pid: number): readonly NamespaceInterface[] {
  return inNamespace(arch, { pid }, [], (socket, id) => {
    const links = dumpLinks(socket, id);
    const byIndex = new Map<number, NamespaceInterface["addresses"][number][]>();
    for (const { index, family, address, prefix } of dumpAddresses(socket, id)) {
      const own = byIndex.get(index) ?? [];
      own.push({ family, address, prefix });
      byIndex.set(index, own);
    }
    return links.map(({ index, name, flags, hwaddr }) => ({
      name,
      up: (flags & IFF_UP) !== 0,
      isLoopback: (flags & IFF_LOOPBACK) !== 0,
      hardwareAddress: hwaddr,
      addresses: byIndex.get(index) ?? [],
    }));
  });
}
