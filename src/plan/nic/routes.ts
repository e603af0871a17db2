import { IsletError } from "../../base/errors.js";
import type { Slot } from "../../program/ops.js";
import { ESRCH } from "../../sys/errno.js";
import { type Family, parseIp, parsePrefixed } from "../../sys/ip.js";
import { delRoute, newRoute, type RouteOptions } from "../../sys/netlink.js";
import type { NicAddress, NicSpec } from "../../spec/nic.js";
import type { NicContext } from "./nic.js";
import { deferRequest, request } from "./netlink.js";

/** Somewhere that the host reaches through one of its interfaces. */
export interface HostRoute {
  readonly family: Family;
  /** ADDRESS/PREFIX. */
  readonly to: string;
  readonly at: NicSpec["at"];
}

/** The bytes of an address of the spec; IsletError where a front end has let a wrong one through. */
export function addressBytes(family: Family, text: string, at: NicSpec["at"]): Uint8Array {
  const bytes = parseIp(family, text);
  if (bytes === undefined) throw new IsletError("ISLET_BAD_CONFIG", `"${text}" is not an address`, { at });
  return bytes;
}

/** The route to one address and nothing else. */
export function routeTo(address: NicAddress): HostRoute {
  const { family, at } = address;
  return { family, to: `${address.address}/${family === "ipv4" ? 32 : 128}`, at };
}

/**
 * A route of the host's through the interface with that index. `stays`: the interface is not the container's, so the route must be
 * taken back at the end; the others go with theirs.
 */
export function addRoute(made: NicContext, route: HostRoute, link: string, index: Slot, stays: boolean): void {
  const parsed = parsePrefixed(route.family, route.to);
  if (parsed?.prefix === undefined || parsed.prefix === null)
    throw new IsletError("ISLET_BAD_CONFIG", `"${route.to}" is not a route`, { at: route.at });
  const { monitor } = made.context;
  const options: RouteOptions = {
    family: route.family,
    destination: { address: parsed.address, prefix: parsed.prefix },
    index: "late",
  };
  request(monitor, made.sockets, newRoute(options), { index }, `{RTM_NEWROUTE, ${route.to} dev ${link}}`, {
    note: `route ${route.to} through ${link}`,
    at: route.at,
    hints: {
      EEXIST: `the host has a route to ${route.to} already; perhaps another container has it${stays ? `, or a monitor that was killed left it (ip route del ${route.to} dev ${link})` : ""}`,
      EINVAL: "bits are set beyond the prefix, or the address cannot be routed to",
      EACCES: "IPv6 is turned off on this interface",
    },
  });
  if (stays) {
    const note = `remove the route to ${route.to} through ${link}`;
    deferRequest(monitor, delRoute(options), { index }, `{RTM_DELROUTE, ${route.to} dev ${link}}`, note, [ESRCH]);
  }
}
