import { IsletError } from "../base/errors.js";
import type { Fault } from "../base/source.js";
import type { JoinedNic, NicAddress, NicSpec } from "../spec/nic.js";
import { networkAddress } from "../spec/address.js";
import { broadcastOf, formatIp, parseIp } from "../sys/ip.js";
import type { AddressInfo } from "../sys/netlink-parse.js";

/** What a nic may not have because somebody else on its link does: pure rules, from what is known of the others. */

/** Another container that runs, or is being started. */
export interface Neighbour {
  readonly name: string;
  readonly nics: readonly JoinedNic[];
}

/** Where a nic meets others at the level of Ethernet; null: nowhere. */
export function segmentOf(nic: NicSpec): string | null {
  switch (nic.type) {
    case "veth":
      if (nic.mode === "router" || nic.link === null) return null;
      return typeof nic.vlanId === "number" ? `${nic.link} VLAN ${nic.vlanId}` : nic.link;
    case "macvlan":
    case "ipvlan":
      return nic.link;
    default:
      return null;
  }
}

/** Those that bring something of their own. */
export function joinedNics(nics: readonly NicSpec[]): readonly JoinedNic[] {
  return nics.flatMap((nic) => {
    const segment = segmentOf(nic);
    // Every ipvlan has its link's own.
    const hwaddr = nic.type === "ipvlan" ? null : nic.hwaddr;
    if (segment === null || (hwaddr === null && nic.addresses.length === 0)) return [];
    return [{ segment, hwaddr, addresses: nic.addresses.map(({ address }) => address) }];
  });
}

/** @throws IsletError ISLET_BAD_CONFIG, which names the other. */
export function refuseClashes(nics: readonly NicSpec[], others: Iterable<Neighbour>): void {
  const own = nics.flatMap((nic) => {
    const segment = segmentOf(nic);
    return segment === null ? [] : [{ nic, segment }];
  });
  if (own.length === 0) return;
  for (const other of others) {
    for (const theirs of other.nics) {
      for (const { nic, segment } of own) {
        if (theirs.segment !== segment) continue;
        if (nic.hwaddr !== null && nic.hwaddr === theirs.hwaddr)
          throw taken(`the hardware address ${nic.hwaddr}`, other.name, segment, nic.at);
        const same = nic.addresses.find(({ address }) => theirs.addresses.includes(address));
        if (same !== undefined) throw taken(`the address ${same.address}`, other.name, segment, same.at);
      }
    }
  }
}

function taken(what: string, by: string, segment: string, at: NicSpec["at"]): IsletError {
  return new IsletError("ISLET_BAD_CONFIG", `${by}, which runs on ${segment} too, has ${what} already`, { at });
}

/**
 * An address in the networks of a bridge. One that cannot work is refused; one outside all of them may be meant so, with routes on the host.
 * @throws IsletError ISLET_BAD_CONFIG
 */
export function addressWarning(address: NicAddress, bridge: string, has: readonly AddressInfo[]): Fault | null {
  const { family, at } = address;
  const networks = has.filter((each) => each.family === family);
  const refuse = (what: string): never => {
    throw new IsletError("ISLET_BAD_CONFIG", `${address.address} is ${what}`, { at });
  };
  for (const each of networks) {
    if (each.address === address.address) refuse(`the address of ${bridge} itself`);
    const bytes = parseIp("ipv4", each.address);
    if (bytes === undefined || each.prefix > 30) continue;
    const network = `${networkAddress(family, each.address, each.prefix)}/${each.prefix}`;
    if (networkAddress(family, each.address, each.prefix) === address.address)
      refuse(`the network of ${bridge}, ${network}, and no host's address`);
    if (formatIp(broadcastOf(bytes, each.prefix)) === address.address)
      refuse(`the broadcast address of ${network}, which ${bridge} has`);
  }
  const isInside = networks.some(
    ({ address: its, prefix }) =>
      networkAddress(family, address.address, prefix) === networkAddress(family, its, prefix),
  );
  if (networks.length === 0 || isInside) return null;
  const shown = networks.map(({ address: its, prefix }) => `${networkAddress(family, its, prefix)}/${prefix}`);
  return {
    message: `${address.address} is not in the network of ${bridge}, ${[...new Set(shown)].join(", ")}: unless the host has a route to it, nobody reaches it`,
    at,
  };
}
