/** A container's nics as <interface>s and <hostdev>s. */
import type { NicAddress, NicGateway, NicLimit, NicSpec } from "../../../spec/nic.js";
import type { NetworkSpec } from "../../../spec/spec.js";
import type {
  Bandwidth,
  Hostdev,
  Interface,
  InterfaceAddress,
  InterfaceRoute,
  InterfaceSource,
} from "../xml/domain.js";

export interface NetworkDevices {
  readonly interfaces: readonly Interface[];
  readonly hostdevs: readonly Hostdev[];
}

/** What libvirt has no word for (ipvlan) is left out. */
export function interfacesOf(network: NetworkSpec): NetworkDevices {
  const nics = network.kind === "own" ? network.nics : [];
  return { interfaces: nics.flatMap(interfaceOf), hostdevs: nics.flatMap(hostdevOf) };
}

function interfaceOf(nic: NicSpec): readonly Interface[] {
  const source = sourceOf(nic);
  if (source === null) return [];
  const isVeth = nic.type === "veth";
  return [
    {
      mac: nic.hwaddr ?? "00:00:00:00:00:00",
      source,
      target: isVeth ? nic.pair : null,
      guest: nic.name,
      ips: nic.addresses.map(addressOf),
      routes: routesOf(nic),
      script: nic.scriptUp,
      model: null,
      inbound: isVeth ? bandwidthOf(nic.limitIn) : null,
      outbound: isVeth ? bandwidthOf(nic.limitOut) : null,
      link: nic.up ? "up" : "down",
      isolated: isVeth && nic.isolated === true,
      others: [],
    },
  ];
}

function sourceOf(nic: NicSpec): InterfaceSource | null {
  switch (nic.type) {
    case "veth":
      if (nic.link !== null && nic.mode === "bridge") return { kind: "bridge", bridge: nic.link };
      return {
        kind: "ethernet",
        ips: (nic.hostAddresses ?? []).map(addressOf),
        routes: (nic.hostRoutes ?? []).map((route) => ({ ...plainRoute(route), metric: route.metric })),
      };
    case "macvlan":
      return { kind: "direct", dev: nic.link, mode: nic.mode === "passthru" ? "passthrough" : nic.mode };
    case "ipvlan":
    case "vlan":
    case "phys":
    case "empty":
      return null;
    default:
      return nic satisfies never;
  }
}

/** A VLAN of a link is named as the host's tools name it. */
function hostdevOf(nic: NicSpec): readonly Hostdev[] {
  if (nic.type !== "phys" && nic.type !== "vlan") return [];
  const name = nic.type === "phys" ? nic.link : `${nic.link}.${nic.vlanId}`;
  return [{ kind: "net", interface: name, ips: nic.addresses.map(addressOf), routes: routesOf(nic) }];
}

function addressOf({ address, family, prefix, peer }: NicAddress): InterfaceAddress {
  return { address, family, prefix, peer: peer ?? null };
}

/** A gateway that is not known beforehand has no word either. */
function routesOf(nic: NicSpec): readonly InterfaceRoute[] {
  const byGateway = (family: "ipv4" | "ipv6", to: string, gateway: NicGateway | null): readonly InterfaceRoute[] =>
    gateway?.kind === "address" ? [plainRoute({ family, to, prefix: 0, gateway: gateway.address })] : [];
  return [
    ...byGateway("ipv4", "0.0.0.0", nic.gateway4),
    ...byGateway("ipv6", "::", nic.gateway6),
    ...(nic.routes ?? []).map((route) => ({ ...plainRoute(route), metric: route.metric })),
  ];
}

function plainRoute(route: {
  readonly family: "ipv4" | "ipv6";
  readonly to: string;
  readonly prefix: number;
  readonly gateway: string;
}): InterfaceRoute {
  const { family, to, prefix, gateway } = route;
  return { family, address: to, prefix, netmask: null, gateway, metric: null };
}

function bandwidthOf(limit: NicLimit | null): Bandwidth | null {
  if (limit === null) return null;
  const kilobytes = (rate: number): number => Math.max(1, Math.round(rate / 8000));
  return {
    average: kilobytes(limit.rate),
    peak: limit.peak === undefined ? null : kilobytes(limit.peak),
    burst: limit.burst === undefined ? null : Math.round(limit.burst / 1024),
    floor: null,
  };
}
