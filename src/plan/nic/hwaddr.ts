import type { NicSpec } from "../../spec/nic.js";

/** Sixteen hexadecimal digits for each nic, from those of the start: FNV-1a twice, with different beginnings. */
export function randomOf(index: number, random: string): string {
  const hash = (begin: number): string => {
    let value = begin;
    for (const char of `${random}/${index}`) value = Math.imul(value ^ char.charCodeAt(0), 0x01000193) >>> 0;
    return value.toString(16).padStart(8, "0");
  };
  return hash(0x811c9dc5) + hash(0x9747b28c);
}

export function octets(digits: string): string {
  return digits.replace(/(..)(?=.)/g, "$1:");
}

/**
 * The hardware address inside: given, or made of the container's own digits, so that it is the same at every start: whoever gives addresses by
 * DHCP knows the container again.
 */
export function insideHwaddr(nic: Pick<NicSpec, "hwaddr" | "index">, digits: string): string {
  return nic.hwaddr ?? `02:${octets(randomOf(nic.index, `${digits}/inside`).slice(6, 16))}`;
}
