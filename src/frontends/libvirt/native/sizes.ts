import { internal } from "./faults.js";

/**
 * Bytes of `8m`, `128MiB`, `1GB` (10^9), `4096`. Throws where it is no size, one of nothing, or one that no field of libvirt's holds.
 */
export function sizeInBytes(text: string): bigint {
  const match = /^(\d{1,20})(%|[a-z]*)$/i.exec(text);
  const [, digits = "", unit = ""] = match ?? [];
  if (unit === "%") throw internal(`can't convert relative size: '${text}'`);
  const factor = match === null ? null : unitFactor(unit.toLowerCase());
  const bytes = factor === null ? null : BigInt(digits) * factor;
  if (bytes === null || bytes >= 1n << 64n) throw internal(`failed to convert size: '${text}'`);
  return bytes;
}

/** As libvirt reads units: b is a byte, k and KiB are 1024, KB is 1000. */
function unitFactor(unit: string): bigint | null {
  if (unit === "" || unit === "b" || unit === "byte" || unit === "bytes") return 1n;
  const power = "kmgtpe".indexOf(unit.charAt(0)) + 1;
  const base = { "": 1024n, ib: 1024n, b: 1000n }[unit.slice(1)];
  return power === 0 || base === undefined ? null : base ** BigInt(power);
}

/** KiB that bytes take. */
export const kibibytesFor = (bytes: bigint): bigint => (bytes + 1023n) / 1024n;

/** A whole number of at most 64 bits, not negative unless that is allowed. */
export function wholeNumber(text: string, signed: "signed" | "unsigned" = "unsigned"): bigint | null {
  const pattern = signed === "signed" ? /^-?\d{1,19}$/ : /^\d{1,19}$/;
  return pattern.test(text) ? BigInt(text) : null;
}
