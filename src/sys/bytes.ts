/** Little-endian packing of kernel structures. Both architectures are little-endian. */

/** A field that is unsigned, or negative in two's complement. */
export type Int = number | bigint;

/** A writer over a fixed buffer; positions are byte offsets, values wrap to the width of the field. */
export interface Packer {
  readonly bytes: Uint8Array;
  u8(at: number, value: Int): Packer;
  u16(at: number, value: Int): Packer;
  u32(at: number, value: Int): Packer;
  u64(at: number, value: Int): Packer;
  /** Raw bytes. Throws RangeError when they leave the buffer. */
  put(at: number, bytes: Uint8Array): Packer;
}

/** A zeroed buffer of `size` bytes with a writer. */
export function pack(size: number): Packer {
  const bytes = new Uint8Array(size);
  const fields = new DataView(bytes.buffer);
  const packer: Packer = {
    bytes,
    u8(at, value) {
      fields.setUint8(at, Number(BigInt.asUintN(8, integer(value))));
      return packer;
    },
    u16(at, value) {
      fields.setUint16(at, Number(BigInt.asUintN(16, integer(value))), true);
      return packer;
    },
    u32(at, value) {
      fields.setUint32(at, Number(BigInt.asUintN(32, integer(value))), true);
      return packer;
    },
    u64(at, value) {
      fields.setBigUint64(at, BigInt.asUintN(64, integer(value)), true);
      return packer;
    },
    put(at, source) {
      bytes.set(source, at);
      return packer;
    },
  };
  return packer;
}

/** A view for reading a structure that came from the kernel. */
export function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The parts one after the other. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The next multiple of `to`, a power of two. */
export function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}

/** UTF-8 of a text with a NUL at the end. Throws RangeError when the text itself has a NUL: the kernel would see less of it. */
export function cString(text: string): Uint8Array {
  if (text.includes("\0")) throw new RangeError(`a NUL byte in ${JSON.stringify(text)}`);
  return new TextEncoder().encode(`${text}\0`);
}

/** The text before the first NUL, or all of it. */
export function fromCString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function integer(value: Int): bigint {
  return typeof value === "bigint" ? value : BigInt(value);
}
