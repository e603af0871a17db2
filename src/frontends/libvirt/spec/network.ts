/** <interface> and the network interfaces among the <hostdev>s. */
import { leastBurst, mostBurst, mostFiltered } from "../../../spec/nic.js";
import { broadcastAddress, defaultPrefix, prefixOfMask } from "../../../spec/address.js";
import { leastRate, mostRate } from "../../../spec/rate.js";
import type { NicAddress, NicCommon, NicFilter, NicLimit, NicRoute, NicSpec } from "../../../spec/nic.js";
import type { NetworkSpec } from "../../../spec/spec.js";
import { errorCodes, errorDomains } from "../errors.js";
import type { Bandwidth, DomainDoc, Hostdev, Interface, InterfaceAddress, InterfaceRoute } from "../xml/domain.js";
import { type SpecContext, refusal, unsupported } from "./context.js";
import { sharesNetwork } from "./namespace.js";

/** Has the guest a network of its own? */
export function hasNetwork(doc: DomainDoc): boolean {
  return doc.interfaces.length > 0 || doc.features.privnet || doc.hostdevs.some(({ kind }) => kind === "net");
}

export function networkSpec(doc: DomainDoc, context: SpecContext): NetworkSpec {
  const hostdevs = doc.hostdevs.filter((hostdev) => hostdev.kind === "net");
  if (sharesNetwork(doc)) {
    // <privnet/> alone is left out, as libvirt's page says.
    if (doc.interfaces.length + hostdevs.length > 0)
      throw unsupported("Config asks for inherit net namespace as well as private network interfaces");
    return { kind: "own", nics: [] };
  }
  if (!hasNetwork(doc)) return { kind: "host" };
  const nics = doc.interfaces.map((item, index) => nicSpec(item, index, context));
  const physical = hostdevs.map((hostdev, index) => physicalNic(hostdev, nics.length + index));
  // lo comes up with any link that does: this one is nothing else. With interfaces of the host's alone it is the guest's business, as in libvirt.
  const loopback: readonly NicSpec[] =
    doc.interfaces.length > 0 || doc.features.privnet
      ? [{ ...plain(nics.length + physical.length), up: true, type: "empty" }]
      : [];
  return { kind: "own", nics: [...nics, ...physical, ...loopback] };
}

function plain(index: number): NicCommon {
  return {
    index,
    name: null,
    up: false,
    hwaddr: null,
    mtu: null,
    addresses: [],
    gateway4: null,
    gateway6: null,
    scriptUp: null,
    scriptDown: null,
    at: null,
  };
}

function commonPart(item: Interface, index: number): NicCommon {
  return {
    ...plain(index),
    name: item.guest,
    // Otherwise it is init that brings it up.
    up: item.ips.length > 0 || item.link === "up",
    hwaddr: item.mac,
    addresses: item.ips.map(nicAddress),
    ...(item.routes.length === 0 ? {} : { routes: item.routes.map(nicRoute) }),
  };
}

/** Throws LibvirtError. */
export function nicSpec(item: Interface, index: number, context: Pick<SpecContext, "networks">): NicSpec {
  const { source, script } = item;
  if (script !== null) throw unsupported("scripts are not supported on LXC network interfaces");
  refuseOthers(item);
  const common = commonPart(item, index);
  switch (source.kind) {
    case "bridge":
      return veth(item, common, source.bridge);
    case "network": {
      const bridge = bridgeOf(source.network, context);
      // A part of what the whole network may have: the one network has no such limit.
      if ((item.inbound?.floor ?? 0) > 0)
        throw refusal(
          errorCodes.configUnsupported,
          errorDomains.network,
          `Invalid use of 'floor' on interface with MAC address ${item.mac} - network '${source.network}' has no inbound QoS set`,
        );
      return veth(item, common, bridge);
    }
    case "ethernet":
      return {
        ...veth(item, common, null),
        ...(source.ips.length === 0 ? {} : { hostAddresses: source.ips.map(nicAddress) }),
        ...(source.routes.length === 0 ? {} : { hostRoutes: source.routes.map(nicRoute) }),
      };
    case "direct":
      if (item.inbound !== null || item.outbound !== null)
        throw unsupported("Unable to set network bandwidth on direct interfaces");
      return {
        ...common,
        type: "macvlan",
        link: source.dev,
        mode: source.mode === "passthrough" ? "passthru" : source.mode,
      };
    case "null":
      return { ...plain(index), type: "empty" };
    case "other":
      throw refusal(errorCodes.internal, errorDomains.lxc, `Unsupported network type ${source.type}`);
    default:
      return source satisfies never;
  }
}

/** What would be worse left out than refused: rules of who may send what to whom. */
function refuseOthers(item: Interface): void {
  for (const { name } of item.others) {
    if (name === "filterref" && item.source.kind === "direct")
      throw unsupported(`filterref is not supported for network interfaces of type direct`);
    if (name === "vlan")
      throw unsupported(
        `an interface of type '${item.source.kind}' is requesting a vlan tag, but that is not supported for this type of connection`,
      );
    if (name === "virtualport" && item.source.kind === "direct")
      throw unsupported("Unable to set port profile on direct interfaces");
    if (name === "virtualport") throw unsupported("ports of Open vSwitch (<virtualport>) are not supported");
  }
}

function bridgeOf(network: string, context: Pick<SpecContext, "networks">): string {
  const found = context.networks(network);
  if (found === null)
    throw refusal(errorCodes.noNetwork, errorDomains.network, `no network with matching name '${network}'`);
  return found.bridge;
}

function veth(item: Interface, common: NicCommon, link: string | null): Extract<NicSpec, { readonly type: "veth" }> {
  return {
    ...common,
    type: "veth",
    link,
    mode: "bridge",
    pair: item.target,
    routes4: [],
    routes6: [],
    rxQueues: null,
    txQueues: null,
    vlanId: null,
    vlanTagged: [],
    l2proxy: false,
    reservation: null,
    limitIn: limitIn(item.inbound),
    limitOut: limitOut(item.outbound),
    filter: filterOf(item),
    ...(item.isolated ? { isolated: true } : {}),
  };
}

/** libvirt's own filters that say whose the frames must be (formatnwfilter, "Pre-existing network filters"). */
const filterWords: Readonly<Record<string, readonly NicFilter[]>> = {
  "no-mac-spoofing": ["mac"],
  "no-ip-spoofing": ["mac", "ipv4"],
  "no-arp-ip-spoofing": ["mac", "ipv4"],
  // With both families known, nothing else comes out.
  "clean-traffic": ["mac", "ipv4", "ipv6"],
};

/** What is not one of them would not be done: no guest starts without a filter that it is to have. */
function filterOf({ others, ips }: Interface): { readonly words: readonly NicFilter[]; readonly at: null } | null {
  const reference = others.find(({ name }) => name === "filterref");
  if (reference === undefined) return null;
  const name = /\sfilter=(["'])(.*?)\1/.exec(reference.xml)?.[2] ?? "";
  const words = Object.hasOwn(filterWords, name) ? filterWords[name] : undefined;
  if (words === undefined) throw unsupported(`the network filter '${name}' is not supported`);
  if (words.includes("ipv4") && !ips.some(({ family }) => family === "ipv4"))
    throw unsupported(`the network filter '${name}' needs the interface's IPv4 address: give it as <ip>`);
  if (ips.length > mostFiltered)
    throw unsupported(`the network filter '${name}' is for ${mostFiltered} addresses, not ${ips.length}`);
  return { words, at: null };
}

/**
 * As the driver's tc(8) commands work, for which kilobytes a second are thousands of bytes and those of a burst are 1024. What a class of htb gets in a burst it
 * gets at the speed of its peak, and without one there is no burst; a peak below the average is the limit.
 */
function limitIn(bandwidth: Bandwidth | null): NicLimit | null {
  if (bandwidth === null || bandwidth.average <= 0) return null;
  const average = rateOf(bandwidth.average);
  const peak = rateOf(bandwidth.peak ?? bandwidth.average);
  if (peak <= average) return { rate: peak, at: null };
  return { rate: average, peak, ...(bandwidth.burst === null ? {} : { burst: burstOf(bandwidth.burst) }), at: null };
}

/** A policer has no peak; where nothing is said of its burst it is as many kilobytes as pass in a second. */
function limitOut(bandwidth: Bandwidth | null): NicLimit | null {
  if (bandwidth === null || bandwidth.average <= 0) return null;
  return { rate: rateOf(bandwidth.average), burst: burstOf(bandwidth.burst ?? bandwidth.average), at: null };
}

const rateOf = (kilobytes: number): number => Math.min(Math.max(kilobytes * 8000, leastRate), mostRate);
const burstOf = (kilobytes: number): number => Math.min(Math.max(kilobytes * 1024, leastBurst), mostBurst);

export function nicAddress({ family, address, prefix, peer }: InterfaceAddress): NicAddress {
  const length = prefix ?? defaultPrefix(family, address);
  return {
    family,
    address,
    prefix: length,
    broadcast: family === "ipv4" && peer === null ? broadcastAddress(address, length) : null,
    ...(peer === null ? {} : { peer }),
    at: null,
  };
}

export function nicRoute(route: InterfaceRoute): NicRoute {
  const { family, address, prefix, netmask, gateway, metric } = route;
  const ofMask = netmask === null ? null : prefixOfMask(family, netmask);
  const isDefault = /^[0.:]+$/.test(address);
  return {
    family,
    to: address,
    prefix: prefix ?? ofMask ?? (isDefault ? 0 : defaultPrefix(family, address)),
    gateway,
    metric,
  };
}

function physicalNic(hostdev: Extract<Hostdev, { readonly kind: "net" }>, index: number): NicSpec {
  const { ips, routes } = hostdev;
  return {
    ...plain(index),
    name: hostdev.interface,
    up: ips.length > 0,
    addresses: ips.map(nicAddress),
    ...(routes.length === 0 ? {} : { routes: routes.map(nicRoute) }),
    type: "phys",
    link: hostdev.interface,
  };
}
