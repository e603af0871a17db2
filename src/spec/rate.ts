import { leastBurst, mostBurst } from "./nic.js";

/** Rates of network devices as text: `10mbit`, in the units of tc(8), which are powers of ten; what passes at once: `10m`, in powers of 1024. */

type Units = readonly (readonly [unit: string, size: number])[];

/** `match`: [, number, unit], a unit left out is 1; null: the text was none. */
function inUnits(match: RegExpExecArray | null, units: Units): number | null {
  if (match?.[1] === undefined) return null;
  const unit = (match[2] ?? "").toLowerCase();
  return Number(match[1]) * (units.find(([name]) => name === unit)?.[1] ?? 1);
}

/** In the largest unit that leaves a whole number. */
function shortest(value: number, units: Units): string {
  const [unit, size] = units.find(([, each]) => value % each === 0) ?? ["", 1];
  return `${value / size}${unit}`;
}

const units: Units = [
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
  const rate = inUnits(/^([0-9]{1,12})\s*(bit|kbit|mbit|gbit)?$/i.exec(text), units);
  return rate === null || rate < leastRate || rate > mostRate ? null : rate;
}

export const rateText = (rate: number): string => shortest(rate, units);

const sizes: Units = [
  ["g", 1024 ** 3],
  ["m", 1024 ** 2],
  ["k", 1024],
  ["", 1],
];

/** Bytes; null for a wrong text, or a burst beyond the limits. */
export function burstOf(text: string): number | null {
  const burst = inUnits(/^([0-9]{1,10})\s*([kmg]?)$/i.exec(text), sizes);
  return burst === null || burst < leastBurst || burst > mostBurst ? null : burst;
}

export const burstText = (burst: number): string => shortest(burst, sizes);
