import { errorCodes, errorDomains, LibvirtError } from "../errors.js";

/**
 * External Data Representation (RFC 4506) as libvirt uses it. What is read comes from strangers: a length is compared with its limit and with what is
 * left of the message before anything is allocated for it.
 */
export interface Codec<T> {
  /** Bytes that the shortest value takes. */
  readonly least: number;
  /** Throws a LibvirtError (39) for a value that does not fit. */
  write(out: XdrWriter, value: T): void;
  /** Throws a LibvirtError (39) where the message ends or breaks a limit. */
  read(from: XdrReader): T;
}

/** Payload of the largest message. */
export const maxPayload = 33_554_408;
/** Bytes of a string. */
export const maxString = 4_194_304;

/** What a message that cannot be read is answered with. */
export const undecodable = (): LibvirtError =>
  new LibvirtError(errorCodes.rpc, errorDomains.rpc, "Unable to decode message payload");
const unencodable = (): LibvirtError =>
  new LibvirtError(errorCodes.rpc, errorDomains.rpc, "Unable to encode message payload");

/**
 * Bytes of Node's pool, with what was there before in them: all of them must be written. An ArrayBuffer of its own for each message costs more than
 * what is done with it. No Buffer: the slices of those are not copies.
 */
export function pooled(length: number): Uint8Array {
  const { buffer, byteOffset } = Buffer.allocUnsafe(length);
  return new Uint8Array(buffer, byteOffset, length);
}

const padded = (length: number): number => (length + 3) & ~3;

export interface XdrReader {
  readonly left: number;
  /** The next bytes, not copied, and their padding skipped. */
  take(length: number): Uint8Array;
  /** The whole message. */
  readonly view: DataView;
  /** Skips the next bytes and their padding, and gives back where in `view` they are. */
  skip(length: number): number;
}

export function xdrReader(bytes: Uint8Array): XdrReader {
  let at = 0;
  const skip = (length: number): number => {
    const from = at;
    if (padded(length) > bytes.length - at) throw undecodable();
    at += padded(length);
    return from;
  };
  return {
    get left() {
      return bytes.length - at;
    },
    take(length) {
      const from = skip(length);
      return bytes.subarray(from, from + length);
    },
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    skip,
  };
}

export interface XdrWriter {
  put(bytes: Uint8Array): void;
  /** All that has been written, until the next `room`. */
  readonly view: DataView;
  /** Makes room for the next bytes, and gives back where in `view` it is. */
  room(length: number): number;
  finish(): Uint8Array;
}

function xdrWriter(): XdrWriter {
  // Padding has to be zero.
  let buffer = pooled(256).fill(0);
  let view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  let length = 0;
  const room = (more: number): number => {
    const from = length;
    length += padded(more);
    if (length > maxPayload) throw unencodable();
    if (length > buffer.length) {
      const larger = new Uint8Array(Math.max(length, buffer.length * 2));
      larger.set(buffer);
      buffer = larger;
      view = new DataView(buffer.buffer);
    }
    return from;
  };
  return {
    put(bytes) {
      const from = room(bytes.length);
      buffer.set(bytes, from);
    },
    get view() {
      return view;
    },
    room,
    finish: () => buffer.subarray(0, length),
  };
}

export function encode<T>(codec: Codec<T>, value: T): Uint8Array {
  const out = xdrWriter();
  codec.write(out, value);
  return out.finish();
}

const integer = <T extends number | bigint>(
  size: number,
  smallest: T,
  largest: T,
  get: (view: DataView, at: number) => T,
  set: (view: DataView, at: number, value: T) => void,
): Codec<T> => ({
  least: size,
  write: (out, value) => {
    if (value < smallest || value > largest || (typeof value === "number" && !Number.isInteger(value)))
      throw unencodable();
    const at = out.room(size);
    set(out.view, at, value);
  },
  read: (from) => get(from.view, from.skip(size)),
});

/** Also of `char` and `short`, which take four bytes like everything. */
export const i32: Codec<number> = integer(
  4,
  -(2 ** 31),
  2 ** 31 - 1,
  (view, at) => view.getInt32(at),
  (view, at, value) => {
    view.setInt32(at, value);
  },
);
export const u32: Codec<number> = integer(
  4,
  0,
  2 ** 32 - 1,
  (view, at) => view.getUint32(at),
  (view, at, value) => {
    view.setUint32(at, value);
  },
);
export const i64: Codec<bigint> = integer(
  8,
  -(2n ** 63n),
  2n ** 63n - 1n,
  (view, at) => view.getBigInt64(at),
  (view, at, value) => {
    view.setBigInt64(at, value);
  },
);
export const u64: Codec<bigint> = integer(
  8,
  0n,
  2n ** 64n - 1n,
  (view, at) => view.getBigUint64(at),
  (view, at, value) => {
    view.setBigUint64(at, value);
  },
);

export const double: Codec<number> = {
  least: 8,
  write: (out, value) => {
    const at = out.room(8);
    out.view.setFloat64(at, value);
  },
  read: (from) => from.view.getFloat64(from.skip(8)),
};

/** An int of which anything but 0 means yes. */
export const bool32: Codec<boolean> = {
  least: 4,
  write: (out, value) => {
    i32.write(out, value ? 1 : 0);
  },
  read: (from) => i32.read(from) !== 0,
};

/** At most `max` elements: a length that was read is believed only when so many can still come. */
function readLength(from: XdrReader, max: number, least: number): number {
  const length = u32.read(from);
  if (length > max || length * least > from.left) throw undecodable();
  return length;
}

function writeLength(out: XdrWriter, length: number, max: number): void {
  if (length > max) throw unencodable();
  u32.write(out, length);
}

/** Bytes of any number up to `max`. */
export const opaque = (max: number): Codec<Uint8Array> => ({
  least: 4,
  write: (out, value) => {
    writeLength(out, value.length, max);
    out.put(value);
  },
  read: (from) => from.take(readLength(from, max, 1)).slice(),
});

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Text of at most `max` bytes; as in C, it ends before its first NUL. Bytes that are no UTF-8 become U+FFFD. */
export const string = (max: number): Codec<string> => ({
  least: 4,
  write: (out, value) => {
    const bytes = encoder.encode(value);
    writeLength(out, bytes.length, max);
    out.put(bytes);
  },
  read: (from) => {
    const bytes = from.take(readLength(from, max, 1));
    const end = bytes.indexOf(0);
    return decoder.decode(end === -1 ? bytes : bytes.subarray(0, end));
  },
});

/** Sixteen bytes, as lower-case text with dashes. */
export const uuid: Codec<string> = {
  least: 16,
  write: (out, value) => {
    const bytes = Buffer.from(value.replaceAll("-", ""), "hex");
    if (bytes.length !== 16) throw unencodable();
    out.put(bytes);
  },
  read: (from) => {
    const bytes = from.take(16);
    const hex = Buffer.from(bytes.buffer, bytes.byteOffset, 16).toString("hex");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  },
};

/** `char x[length]`, four bytes each, as text with its NULs; what is too short is filled up with them. */
export const charArray = (length: number): Codec<string> => ({
  least: 4 * length,
  write: (out, value) => {
    if (value.length > length) throw unencodable();
    writeChars(out, value.padEnd(length, "\0"));
  },
  read: (from) => readChars(from, length),
});

/** `char x<max>`: the same with the number of them before; C's strings have their NUL in it. */
export const chars = (max: number): Codec<string> => ({
  least: 4,
  write: (out, value) => {
    writeLength(out, value.length, max);
    writeChars(out, value);
  },
  read: (from) => readChars(from, readLength(from, max, 4)),
});

function writeChars(out: XdrWriter, value: string): void {
  for (const byte of Buffer.from(value, "latin1")) i32.write(out, (byte << 24) >> 24);
}

function readChars(from: XdrReader, length: number): string {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 1) bytes[at] = i32.read(from);
  return Buffer.from(bytes).toString("latin1");
}

/** A pointer: there or not. */
export const optional = <T>(codec: Codec<T>): Codec<T | null> => ({
  least: 4,
  write: (out, value) => {
    u32.write(out, value === null ? 0 : 1);
    if (value !== null) codec.write(out, value);
  },
  read: (from) => {
    const there = u32.read(from);
    if (there > 1) throw undecodable();
    return there === 0 ? null : codec.read(from);
  },
});

export const list = <T>(codec: Codec<T>, max: number): Codec<readonly T[]> => ({
  least: 4,
  write: (out, values) => {
    writeLength(out, values.length, max);
    for (const value of values) codec.write(out, value);
  },
  read: (from) => Array.from({ length: readLength(from, max, codec.least) }, () => codec.read(from)),
});

type Fields = Readonly<Record<string, Codec<unknown>>>;
export type ValueOf<C> = C extends Codec<infer T> ? T : never;
export type StructOf<F extends Fields> = { readonly [K in keyof F]: ValueOf<F[K]> };

/** The fields in their order, without names. */
export const struct = <F extends Fields>(fields: F): Codec<StructOf<F>> => {
  const entries = Object.entries(fields);
  return {
    least: entries.reduce((sum, [, codec]) => sum + codec.least, 0),
    write: (out, value) => {
      for (const [name, codec] of entries) codec.write(out, value[name]);
    },
    read: (from) => {
      const value: Record<string, unknown> = {};
      for (const [name, codec] of entries) value[name] = codec.read(from);
      return value as StructOf<F>;
    },
  };
};
