import type { Source } from "../../base/source.js";
import type { Block } from "../../program/assembler.js";
import type { Slot } from "../../program/ops.js";
import { EEXIST } from "../../sys/errno.js";
import { parseIp } from "../../sys/ip.js";
import { newAddress, newRoute } from "../../sys/netlink.js";
import type { NicAddress, NicRoute } from "../../spec/nic.js";
import { type NetSockets, request } from "./netlink.js";
import { addressBytes } from "./routes.js";

/** An address of the link with that index and name, wherever the sockets are. */
export function addAddress(block: Block, sockets: NetSockets, address: NicAddress, name: string, index: Slot): void {
  const { family, prefix, peer } = address;
  const bytes = addressBytes(family, address.address, address.at);
  const broadcast = address.broadcast === null ? undefined : parseIp("ipv4", address.broadcast);
  const message = newAddress({
    index: "late",
    address: bytes,
    prefix,
    ...(broadcast === undefined ? {} : { broadcast }),
    ...(peer === undefined ? {} : { peer: addressBytes(family, peer, address.at) }),
  });
  const text = peer === undefined ? `${address.address}/${prefix}` : `${address.address} peer ${peer}/${prefix}`;
  request(block, sockets, message, { index }, `{RTM_NEWADDR, ${text}}`, {
    note: `give ${name} the address ${text}`,
    at: address.at,
    on: [{ on: EEXIST, to: "next" }],
  });
}

/** A route through a gateway that this link leads to. */
export function addRouteBy(
  block: Block,
  sockets: NetSockets,
  route: NicRoute,
  name: string,
  index: Slot,
  at: Source | null,
): void {
  const { family, to, prefix, gateway, metric } = route;
  const message = newRoute({
    family,
    destination: prefix === 0 ? null : { address: addressBytes(family, to, at), prefix },
    gateway: addressBytes(family, gateway, at),
    index: "late",
    ...(metric === null ? {} : { metric }),
  });
  const where = prefix === 0 ? "everything" : `${to}/${prefix}`;
  const text = `${prefix === 0 ? "default" : where} via ${gateway}${metric === null ? "" : ` metric ${metric}`}`;
  request(block, sockets, message, { index }, `{RTM_NEWROUTE, ${text} dev ${name}}`, {
    note: `route ${where} through ${gateway}`,
    at,
    hints: {
      ENETUNREACH: "the gateway is not on a network of the nic's addresses",
      ENETDOWN: `${name} is not up`,
      EINVAL: "bits are set beyond the prefix",
    },
  });
}
