import { leastBurst, mostBurst } from "./nic.js";

/** Rates of network devices as text: `10mbit`, in the units of tc(8), which are powers of ten; what passes at once: `10m`, in powers of 1024. */

const units: readonly (readonly [unit: string, bits: number])[] = [
  ["gbit", 1e9],
  ["mbit", 1e6],
  ["kbit", 1e3],
  ["bit", 1],
];

/** What the kernel shapes sensibly: below, a packet of the usual size would take more than a second. */
export const leastRate = 16_000;
export const mostRate = 100_000_000_000;

/** Bits a second; null for a wrong text, or a rate beyond the limits. */
export function rateOf(text: string): number | null {
  const match = /^([0-9]{1,12})\s*(bit|kbit|mbit|gbit)?$/i.exec(text);
  if (match?.[1] === undefined) return null;
  const unit = (match[2] ?? "bit").toLowerCase();
  const rate = Number(match[1]) * (units.find(([name]) => name === unit)?.[1] ?? 1);
  return rate < leastRate || rate > mostRate ? null : rate;
}

/** In the largest unit that leaves a whole number. */
export function rateText(rate: number): string {
  const [unit, bits] = units.find(([, size]) => rate % size === 0) ?? ["bit", 1];
  return `${rate / bits}${unit}`;
}

const sizes: readonly (readonly [unit: string, bytes: number])[] = [
  ["g", 1024 ** 3],
  ["m", 1024 ** 2],
  ["k", 1024],
  ["", 1],
];

/** Bytes; null for a wrong text, or a burst beyond the limits. */
export function burstOf(text: string): number | null {
  const match = /^([0-9]{1,10})\s*([kmg]?)$/i.exec(text);
  if (match?.[1] === undefined) return null;
  const unit = (match[2] ?? "").toLowerCase();
  const burst = Number(match[1]) * (sizes.find(([name]) => name === unit)?.[1] ?? 1);
  return burst < leastBurst || burst > mostBurst ? null : burst;
}

/** In the largest unit that leaves a whole number. */
export function burstText(burst: number): string {
  const [unit, bytes] = sizes.find(([, size]) => burst % size === 0) ?? ["", 1];
  return `${burst / bytes}${unit}`;
}
