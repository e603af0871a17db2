import type { Slot } from "../../program/ops.js";
import { ENODEV, ENOENT } from "../../sys/errno.js";
import type { Family } from "../../sys/ip.js";
import { delNeighbourProxy, newNeighbourProxy } from "../../sys/netlink.js";
import type { NicSpec } from "../../spec/nic.js";
import type { NicContext } from "./nic.js";
import { deferRequest, interfaceIndex, request } from "./netlink.js";
import { addressBytes, addRoute, routeTo } from "./routes.js";
import { requireSwitch } from "./sysctl.js";

/** The host answers on a link for an address that is behind it (ip-neighbour(8), proxy). */
export interface ProxyEntry {
  readonly family: Family;
  readonly address: string;
  readonly at: NicSpec["at"];
}

/** `stays`: the link is not the container's, so the entry must be taken back at the end. */
export function addProxy(made: NicContext, entry: ProxyEntry, link: string, index: Slot, stays: boolean): void {
  const { monitor } = made.context;
  const address = addressBytes(entry.family, entry.address, entry.at);
  const show = `proxy ${entry.address} dev ${link}`;
  // Registered first, so that not even a lost answer leaves the entry. No answer says that it was there before: it is then taken over.
  if (stays) {
    const message = delNeighbourProxy({ index: "late", address });
    const note = `answer for ${entry.address} on ${link} no more`;
    // Somebody may have removed the entry, or the link itself.
    const gone = [ENOENT, ENODEV];
    deferRequest(monitor, message, { index }, `{RTM_DELNEIGH, ${show}}`, note, gone);
  }
  request(monitor, made.sockets, newNeighbourProxy({ index: "late", address }), { index }, `{RTM_NEWNEIGH, ${show}}`, {
    note: `answer for ${entry.address} on ${link}`,
    at: entry.at,
  });
}

type Proxied = Extract<NicSpec, { readonly type: "veth" | "ipvlan" }>;

/** lxc.net.N.l2proxy, once it is known that the host's switches allow it. */
export interface Proxy {
  readonly link: string;
  readonly index: Slot;
}

/** What must be so on the host for lxc.net.N.l2proxy, before anything is made; null: the nic does not ask for it, or has no link. */
export function checkProxy(made: NicContext, nic: Proxied): Proxy | null {
  const { link } = nic;
  if (!nic.l2proxy || link === null) return null;
  const { monitor } = made.context;
  const index = interfaceIndex(monitor, made.sockets, link, {
    note: `find the interface ${link}`,
    hints: { ENODEV: `there is no interface ${link} on the host; see lxc.net.${nic.index}.link` },
  });
  const what = `lxc.net.${nic.index}.l2proxy`;
  const families = new Set(nic.addresses.map((address) => address.family));
  if (families.has("ipv4")) requireSwitch(monitor, { family: "ipv4", link, name: "forwarding" }, what);
  if (families.has("ipv6")) {
    requireSwitch(monitor, { family: "ipv6", link, name: "proxy_ndp" }, what);
    requireSwitch(monitor, { family: "ipv6", link, name: "forwarding" }, what);
  }
  return { link, index };
}

/** The host answers on the link for each address of the nic. For an ipvlan it does so only if it has a route for it elsewhere: to lo. */
export function planProxy(made: NicContext, nic: Proxied, proxy: Proxy | null): void {
  if (proxy === null || nic.addresses.length === 0) return;
  const { monitor } = made.context;
  const lo =
    nic.type === "ipvlan" ? interfaceIndex(monitor, made.sockets, "lo", { note: "find the host's loopback" }) : null;
  for (const address of nic.addresses) {
    addProxy(made, address, proxy.link, proxy.index, true);
    if (lo !== null) addRoute(made, routeTo(address), "lo", lo, true);
  }
}
