/** Addresses as text, for front ends, which see src/spec but not src/sys. Everything here is in canonical form: RFC 5952, lower-case MAC. */
import {
  broadcastOf,
  classfulPrefix,
  formatIp,
  formatMac,
  netmask,
  networkOf,
  parseIp,
  parseMac,
  parsePrefixed,
} from "../sys/ip.js";
import type { Family } from "../sys/ip.js";

export type { Family };

export interface AddressText {
  readonly address: string;
  /** null: none was given. */
  readonly prefix: number | null;
}

/** An address without a prefix; null for a wrong text. */
export function addressOf(family: Family, text: string): string | null {
  const bytes = parseIp(family, text);
  return bytes === undefined ? null : formatIp(bytes);
}

/** `ADDRESS[/PREFIX]`; null for a wrong text. */
export function prefixedAddressOf(family: Family, text: string): AddressText | null {
  const parsed = parsePrefixed(family, text);
  return parsed === undefined ? null : { address: formatIp(parsed.address), prefix: parsed.prefix };
}

/** The prefix an address has without one being given: by class (RFC 791) for IPv4, 64 for IPv6. `address` must be valid. */
export function defaultPrefix(family: Family, address: string): number {
  const bytes = family === "ipv4" ? parseIp(family, address) : undefined;
  return bytes === undefined ? 64 : classfulPrefix(bytes);
}

/** The broadcast address of a valid IPv4 address; null where a network has none: /31 (RFC 3021) and /32. */
export function broadcastAddress(address: string, prefix: number): string | null {
  const bytes = parseIp("ipv4", address);
  return bytes === undefined || prefix > 30 ? null : formatIp(broadcastOf(bytes, prefix));
}

/** A MAC address in lower case with two digits each; null for a wrong text. */
export function macOf(text: string): string | null {
  if (/^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(text)) return text;
  const bytes = parseMac(text);
  return bytes === undefined ? null : formatMac(bytes);
}

/** Of `255.255.255.0` it is 24; null for a text that is no mask, or one with holes. */
export function prefixOfMask(family: Family, text: string): number | null {
  const bytes = parseIp(family, text);
  if (bytes === undefined) return null;
  const prefix = bytes.reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0);
  return netmask(prefix, bytes.length).every((byte, index) => byte === bytes[index]) ? prefix : null;
}

/** The valid address without its host bits. */
export function networkAddress(family: Family, address: string, prefix: number): string {
  const bytes = parseIp(family, address);
  return bytes === undefined ? address : formatIp(networkOf(bytes, prefix));
}
