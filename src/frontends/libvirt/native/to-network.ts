import { defaultPrefix, prefixOfMask } from "../../../spec/address.js";
import type { DomainDoc, Interface, InterfaceAddress, InterfaceRoute, SharedNamespaces } from "../xml/domain.js";
import { unsupported } from "./faults.js";
import type { NativeLine } from "./native-line.js";
import type { ToNativeContext } from "./to-native.js";

/** Interfaces first, then those of the host's that are handed over; a domain of neither has the host's network, or none. */
export function networkLines(doc: DomainDoc, context: Pick<ToNativeContext, "bridgeOf">): readonly NativeLine[] {
  const handed = doc.hostdevs.filter((hostdev) => hostdev.kind === "net");
  const isShared = isSharing(doc.namespaces);
  if (isShared && doc.interfaces.length + handed.length > 0)
    throw unsupported("Config asks for inherit net namespace as well as private network interfaces");
  if (isShared) return [];
  const linked = doc.interfaces.filter(({ source }) => source.kind !== "null");
  const names = guestNames(linked);
  const nics = [
    ...linked.map((nic, index) => interfaceLines(nic, names[index] ?? "", context)),
    ...handed.map(({ interface: link, ips, routes }) => [
      ["type", "phys"] as const,
      ["link", link] as const,
      ...addressLines(ips, routes),
    ]),
  ];
  if (nics.length > 0)
    return nics.flatMap((lines, index) =>
      lines.map(([name, value]): NativeLine => [`lxc.net.${index}.${name}`, value]),
    );
  return [["lxc.net.0.type", doc.features.privnet || doc.interfaces.length > 0 ? "empty" : "none"]];
}

const isSharing = (namespaces: SharedNamespaces | null): boolean =>
  namespaces !== null && namespaces.net !== null && namespaces.net.type !== "none";

/** eth0, eth1 ... in their order for those that have no name of their own. */
function guestNames(interfaces: readonly Interface[]): readonly string[] {
  const taken = new Set(interfaces.map(({ guest }) => guest));
  let next = 0;
  return interfaces.map(({ guest }) => {
    if (guest !== null) return guest;
    while (taken.has(`eth${next}`)) next++;
    return `eth${next++}`;
  });
}

/** Children of an interface that change nothing of what a container gets. */
const harmless = ["alias", "address", "driver", "boot", "rom", "coalesce"];

function interfaceLines(
  nic: Interface,
  name: string,
  context: Pick<ToNativeContext, "bridgeOf">,
): readonly NativeLine[] {
  const lacking = [
    nic.script !== null && "scripts",
    (nic.inbound !== null || nic.outbound !== null) && "bandwidth",
    nic.isolated && "isolated ports",
    ...nic.others.map((other) => other.name !== "mtu" && !harmless.includes(other.name) && other.name),
  ].find((each) => each !== false);
  if (lacking !== undefined) throw unsupported(`LXC has no ${lacking} of network interfaces`);
  const mtu = nic.others.flatMap((other) => (other.name === "mtu" ? [/size='(\d+)'/.exec(other.xml)?.[1]] : []))[0];
  // As libvirt has it: one with an address is up, whatever nobody said.
  const isUp = nic.link === "up" || nic.ips.length > 0;
  return [
    ...sourceLines(nic, context),
    ["name", name],
    ["hwaddr", nic.mac],
    ...(isUp ? [["flags", "up"] as const] : []),
    ...(mtu === undefined ? [] : [["mtu", mtu] as const]),
    ...addressLines(nic.ips, nic.routes),
  ];
}

function sourceLines(
  { source, target }: Interface,
  { bridgeOf }: Pick<ToNativeContext, "bridgeOf">,
): readonly NativeLine[] {
  const pair: readonly NativeLine[] = target === null ? [] : [["veth.pair", target]];
  const veth = (bridge: string): readonly NativeLine[] => [["type", "veth"], ["link", bridge], ...pair];
  switch (source.kind) {
    case "bridge":
      return veth(source.bridge);
    case "network": {
      const bridge = source.bridge ?? bridgeOf(source.network);
      if (bridge === null) throw unsupported(`no bridge of the network '${source.network}' is known`);
      return veth(bridge);
    }
    case "ethernet":
      if (source.ips.length + source.routes.length > 0)
        throw unsupported("LXC has no addresses of the host's end of an interface");
      return [["type", "veth"], ...pair];
    case "direct":
      return [
        ["type", "macvlan"],
        ["link", source.dev],
        ["macvlan.mode", source.mode === "passthrough" ? "passthru" : source.mode],
      ];
    case "null":
      return [["type", "empty"]];
    case "other":
      throw unsupported(`Unsupported network type ${source.type}`);
    default:
      return source satisfies never;
  }
}

function addressLines(ips: readonly InterfaceAddress[], routes: readonly InterfaceRoute[]): readonly NativeLine[] {
  return [
    ...ips.map(({ family, address, prefix, peer }): NativeLine => {
      if (peer !== null) throw unsupported("LXC has no peers of network interfaces");
      return [`${family}.address`, `${address}/${prefix ?? defaultPrefix(family, address)}`];
    }),
    ...routes.map((route): NativeLine => {
      if (!isDefault(route) || route.metric !== null)
        throw unsupported("LXC has no routes of network interfaces but a default gateway");
      return [`${route.family}.gateway`, route.gateway];
    }),
  ];
}

function isDefault({ family, address, prefix, netmask }: InterfaceRoute): boolean {
  const length = prefix ?? (netmask === null ? 0 : prefixOfMask(family, netmask));
  return (address === "0.0.0.0" || address === "::") && length === 0;
}
