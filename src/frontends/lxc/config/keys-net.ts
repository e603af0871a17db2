/** Rows: lxc.net.N.*, a table of their own, since every row belongs to one nic. */
import type { Source } from "../../../base/source.js";
import { addressOf, broadcastAddress, defaultPrefix, type Family, prefixedAddressOf } from "../../../spec/address.js";
import { splitWords } from "./grammar.js";
import {
  type AddressValue,
  type Draft,
  type Item,
  type NicType,
  nicTypes,
  type NicValues,
  type Values,
} from "./model.js";
import { type KeyKind, type KeyRow, lines } from "./row.js";
import { anyText, flag, oneOf, Problem, type Read, unsigned } from "./scalars.js";

export interface NicRow {
  /** What follows lxc.net.N. */
  readonly sub: string;
  readonly kind: KeyKind;
  readonly since: string;
  readonly doc: string;
  /** Types of nic that take it; null: all. The type must have been given before. */
  readonly types: readonly NicType[] | null;
  readonly set: (nic: NicValues, value: string, at: Source) => Problem | undefined;
  readonly clear: (nic: NicValues) => void;
  readonly get: (nic: NicValues) => string;
}

type NicScalar<T> = {
  [K in keyof NicValues]-?: [NicValues[K], Item<T> | null] extends [Item<T> | null, NicValues[K]] ? K : never;
}[keyof NicValues];
type NicList<T> = {
  [K in keyof NicValues]-?: [NicValues[K], Item<T>[]] extends [Item<T>[], NicValues[K]] ? K : never;
}[keyof NicValues];

interface Text {
  readonly sub: string;
  readonly kind?: KeyKind;
  readonly since?: string;
  readonly doc: string;
  readonly types?: readonly NicType[];
}

function described(text: Text, kind: KeyKind): Pick<NicRow, "sub" | "kind" | "since" | "doc" | "types"> {
  return {
    sub: text.sub,
    kind: text.kind ?? kind,
    since: text.since ?? "2.1",
    doc: text.doc,
    types: text.types ?? null,
  };
}

/** A key with one value; `show` turns it, or null where it was not given, into what is read back. */
export function one<T>(field: NicScalar<T>, read: Read<T>, show: (value: T | null) => string, text: Text): NicRow {
  const put = (nic: NicValues, item: Item<T> | null): void => {
    (nic as unknown as Record<NicScalar<T>, Item<T> | null>)[field] = item;
  };
  return {
    ...described(text, "text"),
    set: (nic, value, at) => {
      const result = read(value);
      if (result instanceof Problem) return result;
      put(nic, { value: result, at });
      return undefined;
    },
    clear: (nic) => put(nic, null),
    get: (nic) => show((nic as unknown as Record<NicScalar<T>, Item<T> | null>)[field]?.value ?? null),
  };
}

/** Read back without a line end after the last. */
function many<T>(field: NicList<T>, read: Read<T>, show: (value: T) => string, text: Text): NicRow {
  const items = (nic: NicValues): Item<T>[] => (nic as unknown as Record<NicList<T>, Item<T>[]>)[field];
  return {
    ...described(text, "lines"),
    set: (nic, value, at) => {
      const result = read(value);
      if (result instanceof Problem) return result;
      items(nic).push({ value: result, at });
      return undefined;
    },
    clear: (nic) => {
      items(nic).length = 0;
    },
    get: (nic) =>
      items(nic)
        .map((item) => show(item.value))
        .join("\n"),
  };
}

const asIs = (value: string | null): string => value ?? "";

function interfaceAddress(family: Family): Read<AddressValue> {
  return (value) => {
    const [text = "", broadcast, ...more] = splitWords(value);
    const parsed = prefixedAddressOf(family, text);
    if (parsed === null || more.length > 0 || (family === "ipv6" && broadcast !== undefined)) {
      return new Problem(
        `"${value}" is not an ${family === "ipv4" ? "IPv4 address: write A.B.C.D/PREFIX, perhaps with a broadcast address" : "IPv6 address"}`,
      );
    }
    const prefix = parsed.prefix ?? defaultPrefix(family, parsed.address);
    if (broadcast === undefined) {
      return {
        address: parsed.address,
        prefix,
        broadcast: family === "ipv4" ? broadcastAddress(parsed.address, prefix) : null,
      };
    }
    const given = addressOf("ipv4", broadcast);
    return given === null
      ? new Problem(`"${broadcast}" is not an IPv4 broadcast address`)
      : { address: parsed.address, prefix, broadcast: given };
  };
}

function gateway(family: Family): Read<string> {
  return (value) => {
    if (value === "auto" || value === "dev") return value;
    return (
      addressOf(family, value) ??
      new Problem(`"${value}" is not a gateway: write an ${family === "ipv4" ? "IPv4" : "IPv6"} address, auto or dev`)
    );
  };
}

function route(family: Family): Read<string> {
  return (value) => {
    const parsed = prefixedAddressOf(family, value);
    return parsed?.prefix === undefined || parsed.prefix === null
      ? new Problem(`"${value}" is not a route: write ADDRESS/PREFIX`)
      : `${parsed.address}/${parsed.prefix}`;
  };
}

const showAddress = (value: AddressValue): string => `${value.address}/${value.prefix}`;
const vlan = unsigned(4094, 1);
const vlanOrNone: Read<number | "none"> = (value) => (value === "none" ? "none" : vlan(value));
const veth = ["veth"] as const;
const ipvlan = ["ipvlan"] as const;

/** lxc.net.N.type itself is the first row; its `set` is done by `setType`. */
export const nicRows: readonly NicRow[] = [
  one<NicType>("type", oneOf("a type of network device", nicTypes), (value) => value ?? "empty", {
    sub: "type",
    doc: "veth, macvlan, ipvlan, vlan, phys, empty (loopback only) or none (the host's network).",
  }),
  one<string>("flags", anyText, (value) => (value === null ? "" : "up"), {
    sub: "flags",
    doc: "up: the device is up at start.",
  }),
  one<string>("link", anyText, asIs, {
    sub: "link",
    doc: "Device of the host: the bridge of a veth, the parent of the other types.",
  }),
  {
    ...one<string>("name", anyText, asIs, { sub: "name", doc: "Name in the container. Default ethN." }),
    get: (nic) => nic.name?.value ?? (nic.type?.value === "empty" ? "lo" : ""),
  },
  one<string>("hwaddr", anyText, asIs, {
    sub: "hwaddr",
    doc: "MAC address; an x stands for a random digit, and the result is written back to the file.",
  }),
  one<string>("mtu", anyText, asIs, { sub: "mtu", doc: "Largest packet. Default: that of the link." }),
  many<AddressValue>("ipv4", interfaceAddress("ipv4"), showAddress, {
    sub: "ipv4.address",
    doc: "ADDRESS[/PREFIX] [BROADCAST]; without a prefix that of its class.",
  }),
  one<string>("gateway4", gateway("ipv4"), asIs, {
    sub: "ipv4.gateway",
    doc: "Default gateway: an address, auto (the link's own) or dev (a route without one).",
  }),
  many<AddressValue>("ipv6", interfaceAddress("ipv6"), showAddress, {
    sub: "ipv6.address",
    doc: "ADDRESS[/PREFIX]; without a prefix 64.",
  }),
  one<string>("gateway6", gateway("ipv6"), asIs, { sub: "ipv6.gateway", doc: "The same for IPv6." }),
  one<string>("scriptUp", anyText, asIs, {
    sub: "script.up",
    kind: "path",
    doc: "Run on the host when the device was made.",
  }),
  one<string>("scriptDown", anyText, asIs, {
    sub: "script.down",
    kind: "path",
    doc: "Run on the host before the device goes.",
  }),
  one<string>("pair", anyText, asIs, { sub: "veth.pair", doc: "Name of the host's end. Default random.", types: veth }),
  one<"bridge" | "router">("vethMode", oneOf("a mode of veth", ["bridge", "router"]), (value) => value ?? "bridge", {
    sub: "veth.mode",
    since: "3.2",
    doc: "bridge, or router: no bridge, routes on the host instead.",
    types: veth,
  }),
  many<string>("routes4", route("ipv4"), (value) => value, {
    sub: "veth.ipv4.route",
    since: "3.2",
    doc: "ADDRESS/PREFIX routed to the container.",
    types: veth,
  }),
  many<string>("routes6", route("ipv6"), (value) => value, {
    sub: "veth.ipv6.route",
    since: "3.2",
    doc: "The same for IPv6.",
    types: veth,
  }),
  one<number>("rxQueues", unsigned(4096, 1), (value) => String(value ?? ""), {
    sub: "veth.n_rxqueues",
    kind: "number",
    since: "5.0",
    doc: "Number of receive queues.",
    types: veth,
  }),
  one<number>("txQueues", unsigned(4096, 1), (value) => String(value ?? ""), {
    sub: "veth.n_txqueues",
    kind: "number",
    since: "5.0",
    doc: "Number of transmit queues.",
    types: veth,
  }),
  one<number | "none">("vethVlanId", vlanOrNone, (value) => (value === "none" ? "-1" : String(value ?? 0)), {
    sub: "veth.vlan.id",
    kind: "number",
    since: "5.0",
    doc: "Untagged VLAN on the bridge, 1 to 4094, or none.",
    types: veth,
  }),
  many<number>("vethTagged", vlan, String, {
    sub: "veth.vlan.tagged.id",
    since: "5.0",
    doc: "Tagged VLAN on the bridge, 1 to 4094.",
    types: veth,
  }),
  one<number>("vlanId", unsigned(0xffff), (value) => String(value ?? 0), {
    sub: "vlan.id",
    kind: "number",
    doc: "VLAN on the link.",
    types: ["vlan"],
  }),
  one<"private" | "vepa" | "bridge" | "passthru">(
    "macvlanMode",
    oneOf("a mode of macvlan", ["private", "vepa", "bridge", "passthru"]),
    (value) => value ?? "private",
    { sub: "macvlan.mode", doc: "private (default), vepa, bridge or passthru.", types: ["macvlan"] },
  ),
  one<"l2" | "l3" | "l3s">("ipvlanMode", oneOf("a mode of ipvlan", ["l3", "l3s", "l2"]), (value) => value ?? "l3", {
    sub: "ipvlan.mode",
    since: "3.2",
    doc: "l3 (default), l3s or l2.",
    types: ipvlan,
  }),
  one<"bridge" | "private" | "vepa">(
    "ipvlanIsolation",
    oneOf("an isolation of ipvlan", ["bridge", "private", "vepa"]),
    (value) => value ?? "bridge",
    { sub: "ipvlan.isolation", since: "3.2", doc: "bridge (default), private or vepa.", types: ipvlan },
  ),
  one<boolean>("l2proxy", flag, (value) => (value === true ? "1" : "0"), {
    sub: "l2proxy",
    kind: "flag",
    since: "3.2",
    doc: "1: the host answers for the container's addresses on the link.",
    types: ["veth", "ipvlan"],
  }),
];

export function newNic(index: number, at: Source): NicValues {
  // prettier-ignore
  return {
    index, at, type: null, flags: null, link: null, name: null, hwaddr: null, mtu: null, ipv4: [], ipv6: [], gateway4: null, gateway6: null,
    scriptUp: null, scriptDown: null, pair: null, vethMode: null, routes4: [], routes6: [], rxQueues: null, txQueues: null, vethVlanId: null,
    vethTagged: [], vlanId: null, macvlanMode: null, ipvlanMode: null, ipvlanIsolation: null, l2proxy: null,
    naming: null, reserve: null,
    limitIn: null, limitInBurst: null, limitInPeak: null, limitOut: null, limitOutBurst: null, filter: null,
  };
}

export function findNic(values: Values, index: number): NicValues | undefined {
  return values.nics.find((nic) => nic.index === index);
}

function needNic(draft: Draft, index: number, at: Source): NicValues {
  const found = findNic(draft, index);
  if (found !== undefined) return found;
  const nic = newNic(index, at);
  draft.nics = [...draft.nics, nic].sort((a, b) => a.index - b.index);
  return nic;
}

function dropNic(draft: Draft, index: number): void {
  draft.nics = draft.nics.filter((nic) => nic.index !== index);
}

/** N and the rest of `N`, `N.sub`; null for anything else. */
function splitNic(rest: string): { readonly index: number; readonly sub: string | null } | null {
  const match = /^([0-9]{1,9})(?:\.(.+))?$/.exec(rest);
  return match?.[1] === undefined ? null : { index: Number(match[1]), sub: match[2] ?? null };
}

/** The keys PREFIX.N.SUB. What is cleared without a SUB is up to `clearAll`. */
export function nicFamily(
  prefix: "lxc.net." | "islet.net.",
  rows: readonly NicRow[],
  clearAll: (draft: Draft, index: number) => void,
): Pick<KeyRow, "set" | "clear" | "get"> {
  const bySub: ReadonlyMap<string, NicRow> = new Map(rows.map((row) => [row.sub, row]));
  const unknown = (rest: string): Problem => new Problem(`Unsupported config key "${prefix}${rest}"`);

  function set(draft: Draft, value: string, at: Source, rest: string): Problem | undefined {
    const split = splitNic(rest);
    if (split === null) return unknown(rest);
    if (split.sub === null) {
      const key = `${prefix}${rest}`;
      return new Problem(`${key} takes no value: write ${key}.${rows === nicRows ? "type = TYPE" : "KEY = VALUE"}`);
    }
    const row = bySub.get(split.sub);
    if (row === undefined) return unknown(rest);
    const type = findNic(draft, split.index)?.type?.value ?? null;
    if (row.types !== null && (type === null || !row.types.includes(type))) {
      const wanted = `lxc.net.${split.index}.type = ${row.types.join(" or ")}`;
      return new Problem(
        type === null ? `${row.sub} needs ${wanted} before it` : `${row.sub} belongs to ${wanted}, this nic is ${type}`,
      );
    }
    const nic = needNic(draft, split.index, at);
    if (row.sub !== "type" || type === null) return row.set(nic, value, at);
    // A second type makes a new nic of it, as in LXC. (LXC also forgets what was said before the first type; that loss helps nobody.)
    const fresh = newNic(split.index, at);
    draft.nics = draft.nics.map((other) => (other.index === split.index ? fresh : other));
    return row.set(fresh, value, at);
  }

  function clear(draft: Draft, rest: string): Problem | undefined {
    const split = splitNic(rest);
    if (split === null) return unknown(rest);
    if (split.sub === null || split.sub === "type") {
      clearAll(draft, split.index);
      return undefined;
    }
    const row = bySub.get(split.sub);
    if (row === undefined) return unknown(rest);
    const nic = findNic(draft, split.index);
    if (nic === undefined)
      return new Problem(`there is no lxc.net.${split.index} of which ${split.sub} could be cleared`);
    row.clear(nic);
    return undefined;
  }

  function get(values: Values, rest: string): string | null {
    const split = splitNic(rest);
    const nic = split === null ? undefined : findNic(values, split.index);
    if (split === null || nic === undefined) return null;
    if (split.sub === null) {
      const type = nic.type?.value ?? "empty";
      return lines(rows.filter((row) => row.types === null || row.types.includes(type)).map((row) => row.sub));
    }
    return bySub.get(split.sub)?.get(nic) ?? null;
  }

  return { set, clear, get };
}

export const netRows: readonly KeyRow[] = [
  {
    key: "lxc.net",
    kind: "group",
    since: "2.1",
    doc: "All network devices; can only be cleared. None at all: a network namespace with loopback only.",
    set: () => new Problem("lxc.net takes no value: write lxc.net.N.type = TYPE"),
    clear: (draft) => {
      draft.nics = [];
      draft.legacyNic = null;
      return undefined;
    },
    get: (values) => lines(values.nics.map((nic) => nic.type?.value ?? "empty")),
  },
  {
    key: "lxc.net.",
    rest: "N.KEY",
    kind: "family",
    since: "2.1",
    doc: "A key of nic N, see below; lxc.net.N = removes the nic.",
    ...nicFamily("lxc.net.", nicRows, dropNic),
  },
];
