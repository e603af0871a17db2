/** Rates of network devices as text: `10mbit`, in the units of tc(8), which are powers of ten. */

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
