import { RTN_UNICAST, RT_TABLE_MAIN } from "../sys/flags.js";
import type { LinkInfo, RouteInfo } from "../sys/netlink-parse.js";

/** Whether the host can do without one of its interfaces. */

/** Ports of a bridge that lead to guests, not out of the host. */
const guestKinds = new Set(["veth", "tun"]);

/** On top of what these are goes where the interface below goes. */
const stackedKinds = new Set(["vlan", "macvlan", "macvtap", "ipvlan", "macsec"]);

/**
 * Would no default route be left without the interface, which itself has one, or carries a bridge, bond or VLAN that has? Any default route
 * through another one is enough to say no, of whichever family.
 */
export function isOnlyUplink(name: string, links: readonly LinkInfo[], routes: readonly RouteInfo[]): boolean {
  const taken = links.find((link) => link.name === name);
  if (taken === undefined) return false;
  const ways = routes
    .filter(({ prefix, table, type }) => prefix === 0 && table === RT_TABLE_MAIN && type === RTN_UNICAST)
    .flatMap((route) => route.links);
  return ways.length > 0 && !ways.some((index) => leadsOut(index, taken.index, links, []));
}

/** `above`: what was looked at on the way down, so that no circle is endless. */
function leadsOut(index: number, without: number, links: readonly LinkInfo[], above: readonly number[]): boolean {
  if (index === without || above.includes(index)) return false;
  const link = links.find((each) => each.index === index);
  if (link === undefined) return false;
  const chain = [...above, index];
  if (stackedKinds.has(link.kind ?? "") && link.link !== null && link.linkNetnsId === null)
    return leadsOut(link.link, without, links, chain);
  const ports = links.filter(({ master }) => master === index);
  const outward = ports.filter(({ kind }) => !guestKinds.has(kind ?? ""));
  // Not with it as a port, which may be the virtual end of something: then the others are what it leads through.
  if (!ports.some((port) => port.index === without) && outward.length === 0) return true;
  return outward.some((port) => leadsOut(port.index, without, links, chain));
}
