import { errorDomains } from "../errors.js";
import type { Bandwidth, Interface, InterfaceSource, OpaqueElement } from "./domain.js";
import { opaqueText } from "./opaque.js";
import { type Addresses, readAddresses } from "./read-address.js";
import type { ReadContext } from "./read-context.js";
import type { XmlElement } from "./tree.js";
import {
  all,
  attribute,
  choice,
  detailError,
  elementsOf,
  filled,
  first,
  invalidArgument,
  required,
  uintAttribute,
} from "./values.js";
import { unsigned, unsigned32, unsupported, xmlError } from "./values.js";

const types = [
  "user",
  "ethernet",
  "vhostuser",
  "server",
  "client",
  "mcast",
  "network",
  "bridge",
  "internal",
  "direct",
  "hostdev",
  "udp",
  "vdpa",
  "null",
  "vds",
] as const;
type Type = (typeof types)[number];

const withoutSource: readonly Type[] = ["user", "ethernet", "null"];
const modes = ["vepa", "private", "bridge", "passthrough"] as const;
const models =
  "unknown netfront rtl8139 virtio e1000 e1000e virtio-transitional virtio-non-transitional usb-net spapr-vlan lan9118 scm91c111 vlance vmxnet vmxnet2 vmxnet3 Am79C970A Am79C973 82540EM 82545EM 82543GC".split(
    " ",
  );
/** Names that libvirt gives by itself; in a definition they mean nothing. */
const generated = /^(?:vnet|macvtap|macvlan)/;
/** Kept as they are, in this order. */
export const keptBeforeAddresses: readonly string[] = ["vlan", "virtualport"];
export const keptAfterScript: readonly string[] = ["downscript"];
export const keptAfterModel: readonly string[] = ["backend", "filterref", "tune"];
export const keptAtTheEnd: readonly string[] = ["mtu", "coalesce"];

export function readInterface(element: XmlElement, context: ReadContext): Interface {
  const type = choice(element, "type", types) ?? "user";
  const model = filled(first(element, "model"), "type");
  const known = models.find((each) => each.toLowerCase() === model?.toLowerCase());
  if (model !== null && known === undefined && !/^[A-Za-z0-9._-]+$/.test(model))
    throw invalidArgument("Model name contains invalid characters", errorDomains.domain);
  const sourceElement = first(element, "source");
  const host = sourceElement === null ? { ips: [], routes: [] } : readAddresses(sourceElement, "interface host IP");
  const source = readSource(type, sourceElement, host, context);
  checkVirtualPort(type, first(element, "virtualport"));
  const target = attribute(first(element, "target"), "dev");
  const guest = filled(first(element, "guest"), "dev");
  const link = filled(first(element, "link"), "state");
  const bandwidth = readBandwidth(first(element, "bandwidth"), type === "network");
  checkVlan(first(element, "vlan"));
  const macText = attribute(first(element, "mac"), "address");
  const mac = macText === null ? context.newMac() : readMac(macText);
  const guestSide = readAddresses(element, "guest interface");
  if (link !== null && link !== "up" && link !== "down") throw unsupported(`unknown interface link state '${link}'`);
  const mtu = filled(first(element, "mtu"), "size");
  if (mtu !== null && unsigned32(mtu) === null) throw xmlError("malformed mtu size");
  const isolated = choice(first(element, "port"), "isolated", ["yes", "no"] as const) === "yes";
  if (model !== null && known === undefined) throw unsupported(`driver does not support net model '${model}'`);
  checkSource(type, mac, host, isolated, first(element, "virtualport"));
  return {
    mac,
    source,
    target: target === null || target === "" || (!context.live && generated.test(target)) ? null : target,
    guest,
    ...guestSide,
    script: filled(first(element, "script"), "path"),
    model: known === undefined || known === "unknown" ? null : known,
    ...bandwidth,
    link,
    isolated,
    others: readOthers(element, type),
  };
}

function readSource(type: Type, source: XmlElement | null, host: Addresses, context: ReadContext): InterfaceSource {
  if (source === null && !withoutSource.includes(type))
    throw xmlError(`interface type='${type}' requires a 'source' element`);
  switch (type) {
    case "bridge":
      return { kind: type, bridge: required(source!, "bridge") };
    case "network":
      return {
        kind: type,
        network: required(source!, "network"),
        portgroup: attribute(source, "portgroup"),
        portId: context.live ? attribute(source, "portid") : null,
        bridge: context.live ? attribute(source, "bridge") : null,
      };
    case "ethernet":
      return { kind: type, ips: host.ips, routes: host.routes };
    case "direct":
      return { kind: type, dev: required(source!, "dev"), mode: choice(source, "mode", modes) ?? "vepa" };
    case "null":
      return { kind: type };
    default:
      return { kind: "other", type, xml: source === null || type === "user" ? "" : opaqueText(source) };
  }
}

/** What may not go together, found when all is read. */
function checkSource(type: Type, mac: string, host: Addresses, isolated: boolean, port: XmlElement | null): void {
  if (type !== "ethernet" && host.ips.length + host.routes.length > 0)
    throw unsupported(
      `Invalid attempt to set network interface host-side IP route and/or address info on interface of type '${type}'. This is only supported on interfaces of type 'ethernet'`,
    );
  const where = `interface ${mac} - <port isolated='yes'/> is not supported for network interfaces with`;
  if (isolated && type !== "network" && type !== "bridge") throw unsupported(`${where} type='${type}'`);
  const profile = attribute(port, "type");
  if (isolated && profile !== null) throw unsupported(`${where} virtualport type='${profile}'`);
}

function readMac(text: string): string {
  const parts = text.trimEnd().split(":");
  if (parts.length !== 6 || !parts.every((part) => /^[0-9a-fA-F]{1,2}$/.test(part)))
    throw xmlError(`unable to parse mac address '${text}'`);
  const bytes = parts.map((part) => Number.parseInt(part, 16));
  if ((bytes[0]! & 1) === 1) throw xmlError(`expected unicast mac address, found multicast '${text}'`);
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

function readBandwidth(element: XmlElement | null, floor: boolean): Pick<Interface, "inbound" | "outbound"> {
  if (element === null) return { inbound: null, outbound: null };
  if (attribute(element, "classID") !== null)
    throw detailError("classID attribute not supported on <bandwidth> in this usage context");
  const one = (name: string): XmlElement | null => {
    const found = elementsOf(element).filter((each) => each.name === name);
    if (found.length > 1) throw detailError(`Only one child <${name}> element allowed`);
    return found[0] ?? null;
  };
  const [inElement, outElement] = [one("inbound"), one("outbound")];
  const inbound = readRate(inElement);
  if (inbound !== null && (inbound.floor ?? 0) > 0 && !floor)
    throw unsupported("floor attribute is not supported for this config", errorDomains.none);
  const outbound = readRate(outElement);
  if ((outbound?.floor ?? 0) > 0)
    throw unsupported("'floor' attribute allowed only in <inbound> element", errorDomains.none);
  return { inbound, outbound };
}

/** null also for what limits nothing. */
function readRate(element: XmlElement | null): Bandwidth | null {
  if (element === null) return null;
  const number = (name: string): number | null => {
    const text = attribute(element, name);
    if (text === null) return null;
    const value = unsigned(text, BigInt(Number.MAX_SAFE_INTEGER));
    if (value === null) throw unsupported(`could not convert bandwidth ${name} value '${text}'`, errorDomains.none);
    return Number(value);
  };
  const average = number("average");
  if (average === null && attribute(element, "floor") === null)
    throw detailError("Missing mandatory average or floor attributes");
  if (average === null && (attribute(element, "peak") !== null || attribute(element, "burst") !== null))
    throw unsupported("'peak' and 'burst' require 'average' attribute", errorDomains.none);
  const none = (value: number | null): number | null => (value === 0 ? null : value);
  const rate = {
    average: average ?? 0,
    peak: none(number("peak")),
    burst: none(number("burst")),
    floor: none(number("floor")),
  };
  return rate.average === 0 && rate.floor === null ? null : rate;
}

const noDomain = errorDomains.none;

function checkVlan(element: XmlElement | null): void {
  if (element === null) return;
  const tags = all(element, "tag");
  if (tags.length === 0)
    throw xmlError("missing tag id - each <vlan> must have at least one <tag id='n'/> subelement", noDomain);
  for (const tag of tags) {
    required(tag, "id");
    const id = uintAttribute(tag, "id") ?? 0;
    if (id > 4095) throw xmlError(`vlan tag id ${id} too large (maximum 4095)`, noDomain);
  }
}

const profiles = ["none", "802.1Qbg", "802.1Qbh", "openvswitch", "midonet"];

function checkVirtualPort(type: Type, element: XmlElement | null): void {
  if (element === null) return;
  if (!["network", "bridge", "direct", "hostdev"].includes(type))
    throw unsupported(`<virtualport> element unsupported for <interface type='${type}'>`);
  const profile = attribute(element, "type");
  if (profile === null && type !== "network") throw xmlError("missing required virtualport type", noDomain);
  if (profile !== null && !profiles.slice(1).includes(profile))
    throw unsupported(`unknown virtualport type ${profile}`, noDomain);
}

function readOthers(element: XmlElement, type: Type): readonly OpaqueElement[] {
  const others: OpaqueElement[] = [];
  for (const name of [...keptBeforeAddresses, ...keptAfterScript, ...keptAfterModel, ...keptAtTheEnd]) {
    const found = first(element, name);
    if (found === null) continue;
    if (
      name === "filterref" &&
      (attribute(found, "filter") === null || !["network", "bridge", "ethernet"].includes(type))
    )
      continue;
    others.push({ name, xml: opaqueText(found) });
  }
  return others;
}
