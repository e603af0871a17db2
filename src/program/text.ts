const encoder = new TextEncoder();

/**
 * Writes a text as UTF-8 at `offset` and returns its length; three bytes a character must be free. Programs have hundreds of short strings,
 * nearly all ASCII, for which a loop is several times faster than an encoder.
 */
export function putText(bytes: Uint8Array, offset: number, value: string): number {
  const { length } = value;
  for (let index = 0; index < length; index += 1) {
    const code = value.charCodeAt(index);
    if (code > 0x7f) return encoder.encodeInto(value, bytes.subarray(offset)).written;
    bytes[offset + index] = code;
  }
  return length;
}
