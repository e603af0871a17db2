import {
  type Codec,
  charArray,
  chars,
  double,
  i32,
  i64,
  list,
  maxString,
  opaque,
  optional,
  string,
  struct,
  bool32,
  u32,
  u64,
  uuid,
  type XdrReader,
  undecodable,
  type XdrWriter,
} from "./xdr.js";

/** The words that the table of procedures is written in: what each means here, and how it stands on the wire (remote_protocol.x). */

/** A domain as clients name it. The server goes by uuid alone; `id`: of a running one, else -1. */
export interface DomainRef {
  readonly name: string;
  readonly uuid: string;
  readonly id: number;
}
/** A network, a storage pool, a network filter. */
export interface ObjectRef {
  readonly name: string;
  readonly uuid: string;
}
export interface InterfaceRef {
  readonly name: string;
  readonly mac: string;
}
export interface NodeDeviceRef {
  readonly name: string;
}
export interface SecretRef {
  readonly uuid: string;
  readonly usageType: number;
  readonly usageID: string;
}
/** A snapshot or checkpoint. */
export interface SnapshotRef {
  readonly name: string;
  readonly dom: DomainRef;
}

export type ParameterValue =
  | { readonly kind: "int" | "uint"; readonly value: number }
  | { readonly kind: "llong" | "ullong"; readonly value: bigint }
  | { readonly kind: "double"; readonly value: number }
  | { readonly kind: "boolean"; readonly value: boolean }
  | { readonly kind: "string"; readonly value: string };
/** virTypedParameter: a named value that knows its type. */
export type TypedParameter = { readonly field: string } & ParameterValue;

/** `tag`: virDomainMemoryStatTags. */
export interface MemoryStat {
  readonly tag: number;
  readonly val: bigint;
}
export interface NodeStat {
  readonly field: string;
  readonly value: bigint;
}
export interface StatsRecord {
  readonly dom: DomainRef;
  readonly params: readonly TypedParameter[];
}
/** `type`: 0 IPv4, 1 IPv6. */
export interface DomainAddress {
  readonly type: number;
  readonly addr: string;
  readonly prefix: number;
}
export interface DomainInterface {
  readonly name: string;
  readonly hwaddr: string | null;
  readonly addrs: readonly DomainAddress[];
}
/** The label ends with a NUL. */
export interface SecurityLabel {
  readonly label: string;
  readonly enforcing: number;
}
/** `cpu_time`: nanoseconds. */
export interface VcpuInfo {
  readonly number: number;
  readonly state: number;
  readonly cpu_time: bigint;
  readonly cpu: number;
}
export interface Filesystem {
  readonly mountpoint: string;
  readonly name: string;
  readonly fstype: string;
  readonly dev_aliases: readonly string[];
}
export interface IoThread {
  readonly iothread_id: number;
  readonly cpumap: Uint8Array;
}
/** virDomainEventType and its detail. */
export interface LifecycleMessage {
  readonly dom: DomainRef;
  readonly event: number;
  readonly detail: number;
}
export interface RebootMessage {
  readonly dom: DomainRef;
}

/** A word of the table to the type of its value. */
export interface WireTypes {
  readonly i32: number;
  readonly u32: number;
  readonly i64: bigint;
  readonly u64: bigint;
  readonly str: string;
  readonly uuid: string;
  readonly bytes: Uint8Array;
  /** `char x<>`: with its NUL. */
  readonly chars: string;
  /** `char x[32]` */
  readonly char32: string;
  readonly dom: DomainRef;
  readonly object: ObjectRef;
  readonly iface: InterfaceRef;
  readonly nodeDevice: NodeDeviceRef;
  readonly secret: SecretRef;
  readonly snapshot: SnapshotRef;
  readonly param: TypedParameter;
  readonly memoryStat: MemoryStat;
  readonly nodeStat: NodeStat;
  readonly statsRecord: StatsRecord;
  readonly domainInterface: DomainInterface;
  readonly securityLabel: SecurityLabel;
  readonly vcpuInfo: VcpuInfo;
  readonly filesystem: Filesystem;
  readonly ioThread: IoThread;
  readonly lifecycle: LifecycleMessage;
  readonly reboot: RebootMessage;
}
export type WireWord = keyof WireTypes;
/** A word, one that may be missing (`str?`), or any number of them (`str[]`). */
export type FieldWord = WireWord | `${WireWord}?` | `${WireWord}[]`;
export type FieldType<W> = W extends WireWord
  ? WireTypes[W]
  : W extends `${infer Each extends WireWord}?`
    ? WireTypes[Each] | null
    : W extends `${infer Each extends WireWord}[]`
      ? readonly WireTypes[Each][]
      : never;

const str = string(maxString);
const dom: Codec<DomainRef> = struct({ name: str, uuid, id: i32 });
const object: Codec<ObjectRef> = struct({ name: str, uuid });

const kinds: readonly (readonly [ParameterValue["kind"], Codec<unknown>])[] = [
  ["int", i32],
  ["uint", u32],
  ["llong", i64],
  ["ullong", u64],
  ["double", double],
  ["boolean", bool32],
  ["string", str],
];
const param: Codec<TypedParameter> = {
  least: 12,
  write: (out: XdrWriter, { field, kind, value }) => {
    str.write(out, field);
    const index = kinds.findIndex(([each]) => each === kind);
    i32.write(out, index + 1);
    kinds[index]?.[1].write(out, value);
  },
  read: (from: XdrReader) => {
    const field = str.read(from);
    const [kind, codec] = kinds[i32.read(from) - 1] ?? [];
    // Of a type that nobody knows the length is unknown too.
    if (kind === undefined || codec === undefined) throw undecodable();
    return { field, kind, value: codec.read(from) } as TypedParameter;
  },
};

/** How a word stands on the wire, and how many of it a list may have at most. */
const words: { readonly [W in WireWord]: readonly [codec: Codec<WireTypes[W]>, most: number] } = {
  i32: [i32, 16_384],
  u32: [u32, 16_384],
  i64: [i64, 16_384],
  u64: [u64, 1024],
  str: [str, 65_536],
  uuid: [uuid, 16_384],
  bytes: [opaque(65_536), 16_384],
  chars: [chars(4097), 64],
  char32: [charArray(32), 64],
  dom: [dom, 16_384],
  object: [object, 16_384],
  iface: [struct({ name: str, mac: str }), 16_384],
  nodeDevice: [struct({ name: str }), 65_536],
  secret: [struct({ uuid, usageType: i32, usageID: str }), 16_384],
  snapshot: [struct({ name: str, dom }), 16_384],
  param: [param, 4096],
  memoryStat: [struct({ tag: i32, val: u64 }), 1024],
  nodeStat: [struct({ field: str, value: u64 }), 16],
  statsRecord: [struct({ dom, params: list(param, 4096) }), 16_384],
  domainInterface: [
    struct({
      name: str,
      hwaddr: optional(str),
      addrs: list(struct({ type: i32, addr: str, prefix: u32 }), 2048),
    }),
    2048,
  ],
  securityLabel: [struct({ label: chars(4097), enforcing: i32 }), 64],
  vcpuInfo: [struct({ number: u32, state: i32, cpu_time: u64, cpu: i32 }), 16_384],
  filesystem: [struct({ mountpoint: str, name: str, fstype: str, dev_aliases: list(str, 256) }), 256],
  ioThread: [struct({ iothread_id: u32, cpumap: opaque(2048) }), 16_384],
  lifecycle: [struct({ dom, event: i32, detail: i32 }), 1],
  reboot: [struct({ dom }), 1],
};

function codecOf(word: FieldWord): Codec<unknown> {
  const [codec, most] = words[word.replace(/\?$|\[\]$/, "") as WireWord];
  if (word.endsWith("?")) return optional(codec as Codec<unknown>);
  return word.endsWith("[]") ? list(codec as Codec<unknown>, most) : codec;
}

export type Shape = Readonly<Record<string, FieldWord>>;
export type ShapeType<S> = { readonly [K in keyof S]: FieldType<S[K]> };

/** The codec of a payload: its fields by name, in their order. */
export const payloadCodec = (shape: Shape): Codec<Readonly<Record<string, unknown>>> =>
  struct(Object.fromEntries(Object.entries(shape).map(([name, word]) => [name, codecOf(word)])));

/** What an error answer carries (remote_error). */
export interface WireError {
  readonly code: number;
  readonly domain: number;
  readonly message: string | null;
  readonly level: number;
  readonly dom: DomainRef | null;
  readonly str1: string | null;
  readonly str2: string | null;
  readonly str3: string | null;
  readonly int1: number;
  readonly int2: number;
  readonly net: ObjectRef | null;
}

export const wireError: Codec<WireError> = struct({
  code: i32,
  domain: i32,
  message: optional(str),
  level: i32,
  dom: optional(dom),
  str1: optional(str),
  str2: optional(str),
  str3: optional(str),
  int1: i32,
  int2: i32,
  net: optional(object),
});
