/** IP and Ethernet addresses: text to bytes and back. */

export type Family = "ipv4" | "ipv6";

/** `10.0.3.17` as 4 bytes; undefined unless it is four decimal numbers (no leading zeros: their meaning differs between programs). */
export function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255))
    return undefined;
  return Uint8Array.from(parts, Number);
}

/** An IPv4 address as a number, to be counted and compared with; null: it is none. */
export function ipv4Number(text: string): number | null {
  return parseIpv4(text)?.reduce((sum, byte) => sum * 256 + byte, 0) ?? null;
}

export function ipv4Bytes(number: number): Uint8Array {
  return Uint8Array.from([24, 16, 8, 0], (shift) => (number >>> shift) & 0xff);
}

/** An IPv6 address (RFC 4291 2.2: `::`, embedded IPv4 at the end) as 16 bytes; no zone. Undefined for anything else. */
export function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groups(halves[0] ?? "", halves.length === 1);
  const tail = halves.length === 2 ? groups(halves[1] ?? "", true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const words = [...head, ...Array.from({ length: missing }, () => 0), ...tail];
  return Uint8Array.from(words.flatMap((word) => [word >> 8, word & 0xff]));
}

function groups(text: string, last: boolean): readonly number[] | undefined {
  if (text === "") return [];
  const out: number[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    if (last && i === parts.length - 1 && part.includes(".")) {
      const [a = 0, b = 0, c = 0, d = 0] = parseIpv4(part) ?? [];
      if (parseIpv4(part) === undefined) return undefined;
      out.push((a << 8) | b, (c << 8) | d);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) out.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return out;
}

/** An address of that family; undefined for a wrong text. */
export function parseIp(family: Family, text: string): Uint8Array | undefined {
  return family === "ipv4" ? parseIpv4(text) : parseIpv6(text);
}

/** The text of 4 or 16 bytes; IPv6 as RFC 5952 and inet_ntop write it. Throws RangeError for another length. */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) throw new RangeError(`an address of ${bytes.length} bytes`);
  const words = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  const run = longestZeroRun(words);
  const mapped =
    run.start === 0 && (run.length === 6 || (run.length === 5 && words[5] === 0xffff)) && (words[6] ?? 0) !== 0;
  if (mapped) return `::${run.length === 5 ? "ffff:" : ""}${bytes.subarray(12).join(".")}`;
  const hex = (part: readonly number[]): string => part.map((word) => word.toString(16)).join(":");
  if (run.length < 2) return hex(words);
  return `${hex(words.slice(0, run.start))}::${hex(words.slice(run.start + run.length))}`;
}

function longestZeroRun(words: readonly number[]): { readonly start: number; readonly length: number } {
  let best = { start: -1, length: 0 };
  let start = -1;
  for (const [i, word] of words.entries()) {
    if (word !== 0) start = -1;
    else {
      if (start < 0) start = i;
      if (i - start + 1 > best.length) best = { start, length: i - start + 1 };
    }
  }
  return best;
}

/** An address with an optional prefix, as lxc.net.N.ipv4.address has it. */
export interface Prefixed {
  readonly address: Uint8Array;
  /** null: none was given. */
  readonly prefix: number | null;
}

/** `ADDRESS` or `ADDRESS/PREFIX`; undefined for a wrong text or a prefix beyond 32 or 128. */
export function parsePrefixed(family: Family, text: string): Prefixed | undefined {
  const slash = text.indexOf("/");
  const address = parseIp(family, slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  if (slash < 0) return { address, prefix: null };
  const digits = text.slice(slash + 1);
  if (!/^[0-9]{1,3}$/.test(digits) || Number(digits) > address.length * 8) return undefined;
  return { address, prefix: Number(digits) };
}

/** The prefix of an IPv4 address without one, by its class (RFC 791): 8, 16, 24; 32 for multicast and beyond; 0 for 0.0.0.0. */
export function classfulPrefix(address: Uint8Array): number {
  const first = address[0] ?? 0;
  if (address.every((byte) => byte === 0)) return 0;
  if (first < 128) return 8;
  if (first < 192) return 16;
  return first < 224 ? 24 : 32;
}

/** The mask of a prefix, of `length` bytes. */
export function netmask(prefix: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => 0xff & ~(0xff >> Math.max(0, Math.min(8, prefix - 8 * i))));
}

/** The address with all host bits zero. */
export function networkOf(address: Uint8Array, prefix: number): Uint8Array {
  const mask = netmask(prefix, address.length);
  return address.map((byte, i) => byte & (mask[i] ?? 0));
}

/** The address with all host bits one: the broadcast address of an IPv4 network. */
export function broadcastOf(address: Uint8Array, prefix: number): Uint8Array {
  const mask = netmask(prefix, address.length);
  return address.map((byte, i) => byte | (0xff & ~(mask[i] ?? 0)));
}

/** Six bytes of `aa:bb:cc:dd:ee:ff`, one or two digits each, any case; undefined for anything else. */
export function parseMac(text: string): Uint8Array | undefined {
  const parts = text.split(":");
  if (parts.length !== 6 || !parts.every((part) => /^[0-9a-fA-F]{1,2}$/.test(part))) return undefined;
  return Uint8Array.from(parts, (part) => Number.parseInt(part, 16));
}

/** Lower case, two digits each, with colons; any length. */
export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}
