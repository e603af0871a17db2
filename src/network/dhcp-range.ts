import type { BridgeIpv4 } from "../spec/bridge.js";
import { formatIp, ipv4Bytes, ipv4Number } from "../sys/ip.js";

/**
 * Which addresses dnsmasq(8) gives to whom. Those that it has never heard of get no more than three quarters, so that a guest that asks under
 * one hardware address after another takes none from the containers, which are known by theirs.
 */

type Dhcp = BridgeIpv4["dhcp"];

/** Fewer are not shared out. */
const fewest = 16;

interface Shares {
  readonly first: number;
  /** How many there are at all. */
  readonly all: number;
  /** How many of them, from the first on, are for those that are not known. */
  readonly unknown: number;
}

/** null: the range says more than two addresses, which is for dnsmasq to understand, or it is small. */
function sharesOf({ range, most }: Dhcp): Shares | null {
  const words = range.split(",");
  const [first, last] = words.map(ipv4Number);
  if (typeof first !== "number" || typeof last !== "number" || words.length !== 2) return null;
  const all = Math.min(last - first + 1, most);
  return all < fewest ? null : { first, all, unknown: Math.floor((all * 3) / 4) };
}

const textOf = (address: number): string => formatIp(ipv4Bytes(address));

/** Values of --dhcp-range. */
export function dhcpRanges(dhcp: Dhcp): readonly string[] {
  const shares = sharesOf(dhcp);
  if (shares === null) return [dhcp.range];
  const { first, unknown } = shares;
  return [`tag:known,${dhcp.range}`, `tag:!known,${textOf(first)},${textOf(first + unknown - 1)}`];
}

/** For whom there are addresses that nobody has. `taken`: those that somebody has. */
export function freeFor(dhcp: Dhcp, taken: readonly string[]): "all" | "known" | "none" {
  if (taken.length >= dhcp.most) return "none";
  const shares = sharesOf(dhcp);
  if (shares === null) return "all";
  if (taken.length >= shares.all) return "none";
  const { first, unknown } = shares;
  const places = taken.map((text) => (ipv4Number(text) ?? 0) - first);
  return places.filter((place) => place >= 0 && place < unknown).length >= unknown ? "known" : "all";
}
