import type { BridgeNetwork } from "../spec/bridge.js";
import { formatIp, ipv4Bytes, ipv4Number } from "../sys/ip.js";
import { parseLeases } from "./leases.js";

/** Addresses that nobody has, for a moment's use, from the host's own tables. IPv4 as numbers. */

export interface Route {
  readonly link: string;
  readonly network: number;
  readonly mask: number;
}

/** For documentation (RFC 5737): nobody is to have them. */
export const testNetworks = ["192.0.2.0", "198.51.100.0", "203.0.113.0"] as const;

const maskOf = (prefix: number): number => (prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0);

/** Of /proc/net/route: the main table, without default routes. */
export function parseRoutes(text: string): readonly Route[] {
  return text.split("\n").flatMap((line) => {
    const [link = "", destination = "", , , , , , mask = ""] = line.split("\t");
    if (![destination, mask].every((word) => /^[0-9A-F]{8}$/.test(word)) || mask === "00000000") return [];
    return [{ link, network: hexadecimal(destination), mask: hexadecimal(mask) }];
  });
}

/** Interfaces of default routes in /proc/net/route. */
export function parseUplinks(text: string): readonly string[] {
  const links = [...text.matchAll(/^(\S+)\t00000000\t(?:[^\t]*\t){5}00000000\t/gm)].map(([, link = ""]) => link);
  return [...new Set(links)];
}

/** The file has the bytes of an address in the order of this machine's numbers: the lowest first. */
const hexadecimal = (word: string): number => {
  const bytes = word.match(/../g)?.reverse().join("") ?? "0";
  return Number.parseInt(bytes, 16);
};

const overlap = (a: Omit<Route, "link">, b: Omit<Route, "link">): boolean => {
  const mask = (a.mask & b.mask) >>> 0;
  return (a.network & mask) >>> 0 === (b.network & mask) >>> 0;
};

const networkOf = (net: BridgeNetwork): Omit<Route, "link"> => ({
  network: ipv4Number(net.ipv4.network.address) ?? 0,
  mask: maskOf(net.ipv4.network.prefix),
});

/** Of /proc/net/fib_trie: every address and network of any table. */
export function parseAddresses(text: string): readonly Route[] {
  return [...text.matchAll(/\|-- ([0-9.]+)$/gm)].flatMap(([, word = ""]) => {
    const network = ipv4Number(word);
    return network === null || network === 0 ? [] : [{ link: "", network, mask: maskOf(32) }];
  });
}

/** A network for documentation that the host has neither a route nor an address in; null: all of them are in use. */
export function freeNetwork(net: BridgeNetwork, known: readonly Route[]): Uint8Array | null {
  const used = [...known, networkOf(net)];
  const free = testNetworks.find((text) => {
    const one = { network: ipv4Number(text) ?? 0, mask: maskOf(24) };
    return !used.some((route) => overlap(route, one));
  });
  return free === undefined ? null : ipv4Bytes(ipv4Number(free) ?? 0);
}

/** Other interfaces with a route into the bridge's network that is as narrow or narrower. */
export function rivalsOf(net: BridgeNetwork, routes: readonly Route[]): readonly string[] {
  const own = networkOf(net);
  const others = routes.filter(
    ({ link, mask, network }) => link !== net.name && mask >= own.mask && overlap({ mask, network }, own),
  );
  return [...new Set(others.map(({ link }) => link))];
}

/** Addresses that are looked at, at most. */
const most = 4096;

/**
 * The last address of those that are given by DHCP without a lease, and that the host knows no neighbour of; null: there is none. `leases`:
 * dnsmasq's file; `neighbours`: /proc/net/arp.
 */
export function freeAddress(net: BridgeNetwork, leases: string, neighbours: string): Uint8Array | null {
  const own = networkOf(net);
  const [first, last] = net.ipv4.dhcp.range.split(",").map(ipv4Number);
  const top = last ?? ((own.network | ~own.mask) >>> 0) - 1;
  const bottom = first ?? own.network + 1;
  const taken = new Set([net.ipv4.address]);
  for (const { address } of parseLeases(leases)) taken.add(address);
  for (const line of neighbours.split("\n")) taken.add(line.split(/ +/)[0] ?? "");
  for (let address = top; address >= bottom && address > top - most; address -= 1) {
    const bytes = ipv4Bytes(address);
    if (!taken.has(formatIp(bytes))) return bytes;
  }
  return null;
}
