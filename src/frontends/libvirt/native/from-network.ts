import { addressOf, type Family, macOf, prefixedAddressOf } from "../../../spec/address.js";
import type {
  Hostdev,
  Interface,
  InterfaceAddress,
  InterfaceRoute,
  InterfaceSource,
  OpaqueElement,
} from "../xml/domain.js";
import { badDomain, invalid, unsupported } from "./faults.js";
import { type NativeSetting, wordsOf } from "./lines.js";

export interface NativeNetwork {
  readonly interfaces: readonly Interface[];
  readonly hostdevs: readonly Hostdev[];
  /** No interface, and not the host's network either. */
  readonly isPrivate: boolean;
}

/** The lines of one interface, by what is behind `lxc.net.N.`. */
type Nic = readonly { readonly name: string; readonly setting: NativeSetting }[];

/** `newMac`: an address for each interface that has none of its own. */
export function networkOf(settings: readonly NativeSetting[], newMac: () => string): NativeNetwork {
  const nics = nicsOf(settings).filter((nic) => typeOf(nic) !== null);
  const made = nics.map((nic) => ({ type: typeOf(nic), ...deviceOf(nic, newMac) }));
  const interfaces = made.flatMap(({ nic }) => nic ?? []);
  const hostdevs = made.flatMap(({ hostdev }) => hostdev ?? []);
  const sharesHost = made.some(({ type }) => type === "none");
  return { interfaces, hostdevs, isPrivate: interfaces.length + hostdevs.length === 0 && !sharesHost };
}

/** Numbered interfaces in the order of their numbers, and those of old, which a line with their type begins, in theirs. */
function nicsOf(settings: readonly NativeSetting[]): readonly Nic[] {
  let numbered = new Map<number, { name: string; setting: NativeSetting }[]>();
  let listed: { name: string; setting: NativeSetting }[][] = [];
  for (const setting of settings) {
    const { key, value, line } = setting;
    if (!/^lxc\.net(?:work)?(?:\.|$)/.test(key)) continue;
    const [, number, name = ""] = /^lxc\.net(?:work)?\.(\d{1,6})(?:\.(.+))?$/.exec(key) ?? [];
    if (key === "lxc.net" || key === "lxc.network") {
      if (value !== "") throw unsupported(`${key} takes no value (line ${line})`);
      numbered = new Map();
      listed = [];
    } else if (number !== undefined) {
      const index = Number(number);
      if (name === "") numbered.delete(index);
      else {
        const lines = numbered.get(index) ?? [];
        lines.push({ name, setting });
        numbered.set(index, lines);
      }
    } else if (key.startsWith("lxc.network.")) {
      const old = key.slice("lxc.network.".length);
      if (old === "type") listed.push([]);
      listed.at(-1)?.push({ name: old, setting });
    } else throw unsupported(`${key} is not supported (line ${line})`);
  }
  return [...listed, ...[...numbered].sort(([a], [b]) => a - b).map(([, lines]) => lines)];
}

// prettier-ignore
const known = [
  "type", "link", "flags", "hwaddr", "name", "macvlan.mode", "vlan.id", "mtu", "veth.pair", "pair",
  "ipv4", "ipv4.address", "ipv4.gateway", "ipv6", "ipv6.address", "ipv6.gateway",
];

const valueOf = (nic: Nic, ...names: readonly string[]): NativeSetting | null => {
  const found = nic.findLast(({ name }) => names.includes(name))?.setting ?? null;
  return found === null || found.value === "" ? null : found;
};
const typeOf = (nic: Nic): string | null => valueOf(nic, "type")?.value ?? null;

function deviceOf(nic: Nic, newMac: () => string): { readonly nic?: Interface; readonly hostdev?: Hostdev } {
  const type = typeOf(nic);
  if (type === "none" || type === "empty") return {};
  for (const { name, setting } of nic)
    if (!known.includes(name)) throw unsupported(`${setting.key} is not supported (line ${setting.line})`);
  const addresses = { ips: addressesOf(nic), routes: routesOf(nic) };
  if (type === "phys" || type === "vlan") {
    const vlan = type === "vlan" ? valueOf(nic, "vlan.id") : null;
    const link = linkOf(nic);
    const name = vlan === null ? link : `${link}.${vlan.value}`;
    return { hostdev: { kind: "net", interface: name, ...addresses } };
  }
  const pair = valueOf(nic, "veth.pair", "pair")?.value ?? null;
  return {
    nic: {
      mac: macAddress(valueOf(nic, "hwaddr"), newMac()),
      source: sourceOf(nic),
      // A name of libvirt's own kind would be taken for one of its own.
      target: pair === null || type !== "veth" || pair.startsWith("vnet") ? null : pair,
      guest: valueOf(nic, "name")?.value ?? null,
      ...addresses,
      script: null,
      model: null,
      inbound: null,
      outbound: null,
      link: wordsOf(valueOf(nic, "flags")?.value ?? "").includes("up") ? "up" : "down",
      isolated: false,
      others: mtuOf(nic),
    },
  };
}

function linkOf(nic: Nic): string {
  const link = valueOf(nic, "link");
  if (link === null) throw unsupported("Missing 'link' attribute for NIC");
  return link.value;
}

function sourceOf(nic: Nic): InterfaceSource {
  const type = valueOf(nic, "type");
  if (type?.value === "veth") {
    const link = valueOf(nic, "link");
    return link === null ? { kind: "ethernet", ips: [], routes: [] } : { kind: "bridge", bridge: link.value };
  }
  if (type?.value !== "macvlan")
    throw unsupported(`network type '${type?.value ?? ""}' is not supported (line ${type?.line ?? 0})`);
  const mode = valueOf(nic, "macvlan.mode");
  return { kind: "direct", dev: linkOf(nic), mode: macvlanMode(mode) };
}

function macvlanMode(mode: NativeSetting | null): "private" | "vepa" | "bridge" | "passthrough" {
  switch (mode?.value) {
    case undefined:
    case "private":
      return "private";
    case "vepa":
      return "vepa";
    case "bridge":
      return "bridge";
    case "passthru":
      return "passthrough";
    default:
      throw unsupported(`Unknown macvlan type: ${mode?.value ?? ""} (line ${mode?.line ?? 0})`);
  }
}

/** Digits that a template leaves open (`00:16:3e:xx:xx:xx`) are those of `random`. */
function macAddress(setting: NativeSetting | null, random: string): string {
  if (setting === null) return random;
  const filled = setting.value.replace(/x/gi, (_, at: number) => random[at] ?? "0");
  const mac = macOf(filled);
  if (mac === null) throw badDomain(`unable to parse mac address '${setting.value}'`);
  if ((Number.parseInt(mac.slice(0, 2), 16) & 1) === 1)
    throw badDomain(`expected unicast mac address, found multicast '${setting.value}'`);
  return mac;
}

/** As the XML reader keeps what it echoes. */
function mtuOf(nic: Nic): readonly OpaqueElement[] {
  const mtu = valueOf(nic, "mtu");
  if (mtu === null) return [];
  if (!/^\d{1,5}$/.test(mtu.value)) throw unsupported(`${mtu.key} '${mtu.value}' is no number (line ${mtu.line})`);
  return [{ name: "mtu", xml: `<mtu size='${mtu.value}'/>` }];
}

const families = ["ipv4", "ipv6"] as const;

/** In the order of the lines; an empty one takes those of its family before it back. */
function addressesOf(nic: Nic): readonly InterfaceAddress[] {
  const given = nic.flatMap(({ name, setting: { value } }, at) => {
    const family = families.find((each) => name === each || name === `${each}.address`);
    return family === undefined ? [] : [{ family, value, at }];
  });
  const since = (family: Family): number =>
    given.findLast((each) => each.family === family && each.value === "")?.at ?? -1;
  const from = { ipv4: since("ipv4"), ipv6: since("ipv6") };
  return given.filter(({ family, at }) => at > from[family]).map(({ family, value }) => addressIn(family, value));
}

/** `ADDRESS/PREFIX`; a broadcast address behind it follows from it. */
function addressIn(family: Family, value: string): InterfaceAddress {
  const parsed = prefixedAddressOf(family, wordsOf(value)[0] ?? "");
  if (parsed === null || parsed.prefix === null) throw invalid(`Invalid CIDR address: '${value}'`);
  return { address: parsed.address, family, prefix: parsed.prefix, peer: null };
}

function routesOf(nic: Nic): readonly InterfaceRoute[] {
  return families.flatMap((family) => {
    const setting = valueOf(nic, `${family}.gateway`);
    if (setting === null) return [];
    const gateway = addressOf(family, setting.value);
    // `auto` and `dev`: what they stand for is known only when the container starts.
    if (gateway === null) throw unsupported(`${setting.key} '${setting.value}' is no address (line ${setting.line})`);
    const address = family === "ipv4" ? "0.0.0.0" : "::";
    return [{ family, address, prefix: null, netmask: null, gateway, metric: null }];
  });
}
