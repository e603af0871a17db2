/** lxc.net.* as a spec's network. */
import { showSource, type Source } from "../../../base/source.js";
import { macOf } from "../../../spec/address.js";
import { rateText } from "../../../spec/rate.js";
import { mostFiltered } from "../../../spec/nic.js";
import type { NicAddress, NicCommon, NicFilter, NicGateway, NicLimit, NicSpec } from "../../../spec/nic.js";
import type { NetworkSpec } from "../../../spec/spec.js";
import { type Collector, fault, skipped } from "./collector.js";
import type { AddressValue, Item, NicValues, Values } from "./model.js";

/** The first nic that asks for the host's network, if nothing but that is asked for: then there is no network namespace. */
export function hostNetworkNic(values: Values): NicValues | null {
  const [first] = values.nics;
  return first !== undefined && values.nics.every((nic) => nic.type?.value === "none") ? first : null;
}

/** `netNamespace`: what became of the network namespace. */
export function networkSpec(values: Values, netNamespace: "new" | "keep" | "share", into: Collector): NetworkSpec {
  const real = values.nics.filter((nic) => nic.type?.value !== "none");
  if (netNamespace !== "new") {
    for (const nic of real.filter((one) => one.type?.value !== undefined && one.type.value !== "empty")) {
      skipped(into, `lxc.net.${nic.index} has no effect: the container has no network namespace of its own`, nic.at);
    }
    return netNamespace === "keep" ? { kind: "host" } : { kind: "own", nics: [] };
  }
  const nics = real.map((nic) => nicSpec(nic, into));
  const names = new Set<string>();
  for (const nic of nics) {
    if (nic.name !== null && names.has(nic.name)) fault(into, `two network devices are called "${nic.name}"`, nic.at);
    if (nic.name !== null) names.add(nic.name);
  }
  checkTwins(real, into);
  return { kind: "own", nics };
}

/** Two nics of one link that want the same address: neither would work. On different links they may. */
function checkTwins(nics: readonly NicValues[], into: Collector): void {
  const seen = new Map<string, { readonly nic: NicValues; readonly at: Source }>();
  const check = (what: string, nic: NicValues, at: Source): void => {
    const link = nic.link?.value ?? null;
    if (link === null) return;
    const vlan = nic.vlanId?.value ?? nic.vethVlanId?.value ?? "";
    const key = `${what}\0${link}\0${vlan}`;
    const first = seen.get(key);
    if (first === undefined) seen.set(key, { nic, at });
    else if (first.nic !== nic)
      fault(into, `two network devices on ${link} have ${what}: this one and that of ${showSource(first.at)}`, at);
  };
  for (const nic of nics) {
    // Every ipvlan has its link's.
    const mac = nic.hwaddr === null || nic.type?.value === "ipvlan" ? null : macOf(nic.hwaddr.value);
    if (nic.hwaddr !== null && mac !== null) check(`the hardware address ${mac}`, nic, nic.hwaddr.at);
    for (const { value, at } of [...nic.ipv4, ...nic.ipv6]) check(`the address ${value.address}`, nic, at);
  }
}

/** IFNAMSIZ without its zero byte. */
const maxInterfaceName = 15;

function interfaceName(item: Item<string> | null, into: Collector, prefix = false): string | null {
  if (item === null) return null;
  const name = prefix ? item.value.replace(/\+$/, "") : item.value;
  if (
    name.length > maxInterfaceName ||
    (/[^\0-\x7f]/.test(name) && new TextEncoder().encode(name).length > maxInterfaceName)
  ) {
    fault(
      into,
      `"${name}" is longer than ${maxInterfaceName} bytes, the most the kernel takes for a network device`,
      item.at,
    );
  } else if (/[/\s:]/.test(name) || name === "." || name === ".." || name === "") {
    fault(into, `"${name}" cannot be the name of a network device`, item.at);
  }
  return item.value;
}

function nicSpec(nic: NicValues, into: Collector): NicSpec {
  const type = nic.type?.value ?? "empty";
  const common = commonPart(nic, into);
  const link = interfaceName(nic.link, into, type === "phys");
  const typeAt = nic.type?.at ?? nic.at;
  const needLink = (): string => {
    if (link === null) fault(into, `a ${type} network device needs lxc.net.${nic.index}.link`, typeAt);
    return link ?? "";
  };
  const l2proxy = nic.l2proxy?.value ?? false;
  switch (type) {
    case "veth": {
      const mode = nic.vethMode?.value ?? "bridge";
      if (l2proxy && mode !== "router") fault(into, "l2proxy needs veth.mode = router", nic.l2proxy?.at ?? typeAt);
      else if (l2proxy && link === null)
        skipped(into, `l2proxy has no effect without lxc.net.${nic.index}.link`, nic.l2proxy?.at ?? typeAt);
      checkPortVlans(nic, mode === "bridge" && link !== null, into);
      return {
        ...common,
        type,
        link,
        mode,
        pair: interfaceName(nic.pair, into),
        routes4: nic.routes4.map((item) => item.value),
        routes6: nic.routes6.map((item) => item.value),
        rxQueues: nic.rxQueues?.value ?? null,
        txQueues: nic.txQueues?.value ?? null,
        vlanId: nic.vethVlanId?.value ?? null,
        vlanTagged: nic.vethTagged.map((item) => item.value),
        l2proxy,
        reservation: nic.reserve === null ? null : { address: nic.reserve.value, at: nic.reserve.at },
        limitIn: limit(nic, "in", into),
        limitOut: limit(nic, "out", into),
        filter: filter(nic, into),
      };
    }
    case "macvlan":
      return { ...common, type, link: needLink(), mode: nic.macvlanMode?.value ?? "private" };
    case "ipvlan": {
      const mode = nic.ipvlanMode?.value ?? "l3";
      if (l2proxy && mode !== "l3s") fault(into, "l2proxy needs ipvlan.mode = l3s", nic.l2proxy?.at ?? typeAt);
      return { ...common, type, link: needLink(), mode, isolation: nic.ipvlanIsolation?.value ?? "bridge", l2proxy };
    }
    case "vlan": {
      const id = nic.vlanId;
      if (id === null) fault(into, `a vlan network device needs lxc.net.${nic.index}.vlan.id`, typeAt);
      else if (id.value > 4094) fault(into, `${id.value} is not a VLAN: 0 to 4094`, id.at);
      return { ...common, type, link: needLink(), vlanId: id?.value ?? 0 };
    }
    case "phys":
      return { ...common, type, link: needLink() };
    case "empty":
    case "none":
      return { ...common, type: "empty" };
    default:
      return type satisfies never;
  }
}

/** VLANs are of a bridge's port; the port is in each of them once. */
function checkPortVlans(nic: NicValues, isPort: boolean, into: Collector): void {
  const { vethVlanId, vethTagged } = nic;
  for (const item of vethVlanId === null ? vethTagged : [vethVlanId, ...vethTagged]) {
    if (!isPort) fault(into, `VLANs need veth.mode = bridge and lxc.net.${nic.index}.link, the bridge`, item.at);
  }
  for (const item of vethTagged) {
    if (item.value === vethVlanId?.value)
      fault(into, `VLAN ${item.value} cannot be both veth.vlan.id and veth.vlan.tagged.id`, item.at);
  }
}

function limit(nic: NicValues, way: "in" | "out", into: Collector): NicLimit | null {
  const [item, burst, peak] =
    way === "in" ? [nic.limitIn, nic.limitInBurst, nic.limitInPeak] : [nic.limitOut, nic.limitOutBurst, null];
  const key = `islet.net.${nic.index}.limit.${way}`;
  if (item === null) {
    for (const more of [burst, peak]) if (more !== null) fault(into, `this needs ${key}`, more.at);
    return null;
  }
  if (peak !== null && peak.value <= item.value)
    fault(into, `a peak of ${rateText(peak.value)} is not above ${key} = ${rateText(item.value)}`, peak.at);
  return {
    rate: item.value,
    ...(burst === null ? {} : { burst: burst.value }),
    ...(peak === null ? {} : { peak: peak.value }),
    at: item.at,
  };
}

/** What may be sent from must be known. Of IPv6 each nic has a link-local address: then that is all. */
function filter(nic: NicValues, into: Collector): { words: readonly NicFilter[]; at: Source } | null {
  if (nic.filter === null || nic.filter.value.length === 0) return null;
  const { value: words, at } = nic.filter;
  if (words.includes("ipv4") && nic.ipv4.length === 0 && nic.routes4.length === 0 && nic.reserve === null)
    fault(
      into,
      `the filter of nic ${nic.index} must know the nic's IPv4 address`,
      at,
      `write lxc.net.${nic.index}.ipv4.address, islet.net.${nic.index}.reserve, or a filter without ipv4`,
    );
  const count = nic.ipv4.length + nic.ipv6.length + nic.routes4.length + nic.routes6.length;
  if (count > mostFiltered)
    fault(into, `the filter of nic ${nic.index} is for ${mostFiltered} addresses and networks, not ${count}`, at);
  return { words, at };
}

function commonPart(nic: NicValues, into: Collector): NicCommon {
  const up = nic.flags !== null;
  const name = nic.name?.value ?? `lxc.net.${nic.index}`;
  for (const [family, gateway, addresses] of [
    ["ipv4", nic.gateway4, nic.ipv4],
    ["ipv6", nic.gateway6, nic.ipv6],
  ] as const) {
    if (gateway === null) continue;
    if (!up)
      fault(
        into,
        `Cannot add ${family} gateway for ${name} when not bringing up the interface`,
        gateway.at,
        `write lxc.net.${nic.index}.flags = up`,
      );
    // A link-local IPv6 address is there without being given, and enough to reach such a gateway.
    const isLinkLocal = family === "ipv6" && /^fe[89ab]/.test(gateway.value);
    if (addresses.length === 0 && !isLinkLocal)
      fault(
        into,
        `Cannot add ${family} gateway for ${name} when not assigning an address`,
        gateway.at,
        `write lxc.net.${nic.index}.${family}.address`,
      );
    if (gateway.value === "auto" && nic.link === null)
      fault(into, `${family}.gateway = auto needs lxc.net.${nic.index}.link, whose address it is`, gateway.at);
  }
  return {
    index: nic.index,
    name: interfaceName(nic.name, into),
    up,
    hwaddr: hwaddr(nic.hwaddr, into),
    mtu: mtu(nic.mtu, into),
    addresses: [...addressSpecs("ipv4", nic.ipv4), ...addressSpecs("ipv6", nic.ipv6)],
    gateway4: gatewaySpec(nic.gateway4),
    gateway6: gatewaySpec(nic.gateway6),
    scriptUp: nic.scriptUp?.value ?? null,
    scriptDown: nic.scriptDown?.value ?? null,
    at: nic.type?.at ?? nic.at,
  };
}

function addressSpecs(family: "ipv4" | "ipv6", items: readonly Item<AddressValue>[]): readonly NicAddress[] {
  return items.map(({ value, at }) => ({ family, ...value, at }));
}

function gatewaySpec(item: Item<string> | null): NicGateway | null {
  if (item === null) return null;
  const at: Source = item.at;
  if (item.value === "auto") return { kind: "auto", at };
  return item.value === "dev" ? { kind: "device", at } : { kind: "address", address: item.value, at };
}

function hwaddr(item: Item<string> | null, into: Collector): string | null {
  if (item === null) return null;
  const mac = macOf(item.value);
  if (mac === null)
    fault(
      into,
      `"${item.value}" is not a MAC address`,
      item.at,
      "write six bytes as in 00:16:3e:12:34:56; an x stands for a random digit",
    );
  else if ((Number.parseInt(mac.slice(1, 2), 16) & 1) === 1)
    fault(into, `"${mac}" is a multicast address: the second digit must be even`, item.at);
  else if (mac === "00:00:00:00:00:00") fault(into, `"${mac}" is no network device's address`, item.at);
  return mac;
}

function mtu(item: Item<string> | null, into: Collector): number | null {
  if (item === null) return null;
  const value = /^[0-9]{1,6}$/.test(item.value) ? Number(item.value) : 0;
  if (value < 68 || value > 65_536) fault(into, `"${item.value}" is not an MTU: 68 to 65536`, item.at);
  return value;
}
