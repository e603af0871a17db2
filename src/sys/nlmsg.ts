/** The framing of netlink(7): message headers, attributes (nested, aligned to 4 bytes), errors. */
import { align, concat, fromCString, pack, view, type Int } from "./bytes.js";
import { NLMSG_ERROR, NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS, NLM_F_ACK_TLVS, NLM_F_CAPPED } from "./flags.js";

/** A 32-bit value that is known now, or only when the program runs: `late` leaves zero and notes the place in `patches`. */
export type Late = number | "late";

/** Names of the places that a program stores a 32-bit value into. */
export type PatchName =
  "index" | "parentIndex" | "masterIndex" | "netnsFd" | "netnsPid" | "mtu" | "peerMtu" | "newIndex" | "programFd";

export type Patches = Readonly<Partial<Record<PatchName, number>>>;

/** Bytes with the offsets of what is still to be filled in. */
export interface Part {
  readonly bytes: Uint8Array;
  readonly patches: Patches;
}

/** A complete netlink message, its length a multiple of 4. All patches are 32 bits wide. */
export type NetlinkMessage = Part;

/** struct nlmsghdr: u32 length, u16 type, u16 flags, u32 sequence, u32 port; 16 bytes. */
export const NLMSGHDR_AT = { len: 0, type: 4, flags: 6, seq: 8, pid: 12 } as const;
export const NLMSGHDR_SIZE = 16;

/** The offset of a late value; TypeError when the message has none of that name. */
export function patchAt(message: Part, name: PatchName): number {
  const at = message.patches[name];
  if (at === undefined) throw new TypeError(`the message has no place for ${name}`);
  return at;
}

/** Bytes without late values. */
export function raw(bytes: Uint8Array): Part {
  return { bytes, patches: {} };
}

/** The parts one after the other. */
export function join(parts: readonly Part[]): Part {
  const patches: Partial<Record<PatchName, number>> = {};
  let at = 0;
  for (const part of parts) {
    for (const [name, offset] of Object.entries(part.patches) as [PatchName, number][]) {
      if (patches[name] !== undefined) throw new TypeError(`two places for ${name} in one message`);
      patches[name] = at + offset;
    }
    at += part.bytes.length;
  }
  return { bytes: concat(parts.map((part) => part.bytes)), patches };
}

/** struct nlattr (or rtattr): u16 length without padding, u16 type, the payload, padding to 4 bytes. */
export function attribute(type: number, ...payload: readonly Part[]): Part {
  const body = join(payload);
  const length = 4 + body.bytes.length;
  if (length > 0xffff) throw new RangeError(`netlink attribute ${type} of ${length} bytes`);
  const header = pack(4).u16(0, length).u16(2, type).bytes;
  return join([raw(header), body, raw(new Uint8Array(align(length, 4) - length))]);
}

export function attributeU8(type: number, value: Int): Part {
  return attribute(type, raw(pack(1).u8(0, value).bytes));
}

export function attributeU16(type: number, value: Int): Part {
  return attribute(type, raw(pack(2).u16(0, value).bytes));
}

/** A 32-bit attribute; a late value is noted under `name`. */
export function attributeU32(type: number, value: Late, name?: PatchName): Part {
  return attribute(type, late(value, name));
}

/** A 32-bit number that may be late. */
export function late(value: Late, name?: PatchName): Part {
  if (value !== "late") return raw(pack(4).u32(0, value).bytes);
  if (name === undefined) throw new TypeError("a late value needs a name");
  return { bytes: new Uint8Array(4), patches: { [name]: 0 } };
}

/** A whole message. `seq` comes back in the answer's header; port 0 lets the kernel fill in the socket's. */
export function netlinkMessage(type: number, flags: number, seq: number, ...payload: readonly Part[]): NetlinkMessage {
  const body = join(payload);
  const padded = align(body.bytes.length, 4);
  const header = pack(NLMSGHDR_SIZE)
    .u32(NLMSGHDR_AT.len, NLMSGHDR_SIZE + body.bytes.length)
    .u16(NLMSGHDR_AT.type, type)
    .u16(NLMSGHDR_AT.flags, flags)
    .u32(NLMSGHDR_AT.seq, seq).bytes;
  return join([raw(header), body, raw(new Uint8Array(padded - body.bytes.length))]);
}

/** One message of a datagram. */
export interface Received {
  readonly type: number;
  readonly flags: number;
  readonly seq: number;
  readonly pid: number;
  readonly payload: Uint8Array;
}

/** The messages of one datagram (or of several, concatenated). Throws RangeError when a length leaves the buffer. */
export function parseMessages(bytes: Uint8Array): readonly Received[] {
  const out: Received[] = [];
  const data = view(bytes);
  let at = 0;
  while (at + NLMSGHDR_SIZE <= bytes.length) {
    const length = data.getUint32(at, true);
    if (length < NLMSGHDR_SIZE || at + length > bytes.length)
      throw new RangeError(`netlink message of ${length} bytes at ${at} of ${bytes.length}`);
    out.push({
      type: data.getUint16(at + NLMSGHDR_AT.type, true),
      flags: data.getUint16(at + NLMSGHDR_AT.flags, true),
      seq: data.getUint32(at + NLMSGHDR_AT.seq, true),
      pid: data.getUint32(at + NLMSGHDR_AT.pid, true),
      payload: bytes.subarray(at + NLMSGHDR_SIZE, at + length),
    });
    at += align(length, 4);
  }
  return out;
}

const NLA_TYPE_MASK = 0x3fff;

/** Attributes by type, the nested and byte-order bits removed; of a repeated type the last one counts. Throws RangeError. */
export function parseAttributes(bytes: Uint8Array): ReadonlyMap<number, Uint8Array> {
  const out = new Map<number, Uint8Array>();
  const data = view(bytes);
  let at = 0;
  while (at + 4 <= bytes.length) {
    const length = data.getUint16(at, true);
    if (length < 4 || at + length > bytes.length)
      throw new RangeError(`netlink attribute of ${length} bytes at ${at} of ${bytes.length}`);
    out.set(data.getUint16(at + 2, true) & NLA_TYPE_MASK, bytes.subarray(at + 4, at + length));
    at += align(length, 4);
  }
  return out;
}

/** What an NLMSG_ERROR says. `errno` 0 is the acknowledgement of success. */
export interface NetlinkError {
  /** Positive errno. */
  readonly errno: number;
  /** The kernel's sentence (needs NETLINK_EXT_ACK), or null. */
  readonly message: string | null;
  /** Offset in the request of the attribute it objects to, or null. */
  readonly offset: number | null;
  /** Type of the request that failed. */
  readonly requestType: number;
}

/** struct nlmsgerr and its attributes; undefined when the message is no NLMSG_ERROR. Throws RangeError when it is cut off. */
export function parseNetlinkError(received: Received): NetlinkError | undefined {
  if (received.type !== NLMSG_ERROR) return undefined;
  const { payload } = received;
  if (payload.length < 20) throw new RangeError(`netlink error of ${payload.length} bytes`);
  const data = view(payload);
  const errno = -data.getInt32(0, true);
  const requestType = data.getUint16(8, true);
  if ((received.flags & NLM_F_ACK_TLVS) === 0) return { errno, message: null, offset: null, requestType };
  const request = (received.flags & NLM_F_CAPPED) === 0 ? data.getUint32(4, true) : NLMSGHDR_SIZE;
  const attributes = parseAttributes(payload.subarray(4 + align(request, 4)));
  const text = attributes.get(NLMSGERR_ATTR_MSG);
  const offset = attributes.get(NLMSGERR_ATTR_OFFS);
  return {
    errno,
    message: text === undefined ? null : fromCString(text),
    offset: offset === undefined ? null : view(offset).getUint32(0, true),
    requestType,
  };
}
