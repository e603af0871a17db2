import type { Spread } from "./stats.js";

/** islet, the two managers that it is compared with, and the least that a comparison can take. */
export const sideNames = ["islet", "lxc", "libvirt", "floor"] as const;
export type SideName = (typeof sideNames)[number];

/** What a measurement may cost at most: a ratio of islet's median to another side's, or an absolute value of islet's own. */
export type Budget =
  | { readonly kind: "ratio"; readonly to: Exclude<SideName, "islet">; readonly limit: number }
  | { readonly kind: "absolute"; readonly limit: number }
  | { readonly kind: "none" };

export interface Measured {
  readonly name: string;
  readonly unit: "ms" | "us" | "kB" | "MB";
  readonly sides: Readonly<Record<SideName, Spread | null>>;
  readonly budget: Budget;
  /** What went wrong, one line each; a side that failed has no numbers. */
  readonly faults: readonly string[];
}

/** islet's median as a ratio to the side the budget names, to the other manager's if it names none; null where a side is missing. */
export function ratioOf({ sides, budget }: Measured): number | null {
  const other = budget.kind === "ratio" ? sides[budget.to] : (sides.lxc ?? sides.libvirt ?? sides.floor);
  return sides.islet === null || other === null ? null : sides.islet.median / other.median;
}

/** null: nothing to hold, or nothing measured. */
export function holds(measured: Measured): boolean | null {
  const { sides, budget } = measured;
  switch (budget.kind) {
    case "none":
      return null;
    case "absolute":
      return sides.islet === null ? null : sides.islet.median <= budget.limit;
    case "ratio": {
      const ratio = ratioOf(measured);
      return ratio === null ? null : ratio <= budget.limit;
    }
    default:
      return budget satisfies never;
  }
}

/** Something went wrong, or what the budget needs is not there. */
function lacks({ faults, budget }: Measured): boolean {
  return faults.length > 0 || budget.kind !== "none";
}

function number(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function cell(spread: Spread | null): string {
  return spread === null
    ? "-"
    : `${number(spread.median)} (${number(spread.min)} ${number(spread.p25)}-${number(spread.p75)})`;
}

function budgetText({ budget, unit }: Measured): string {
  switch (budget.kind) {
    case "none":
      return "";
    case "absolute":
      return `<= ${budget.limit} ${unit}`;
    case "ratio":
      return `<= ${budget.limit} x ${budget.to}`;
    default:
      return budget satisfies never;
  }
}

const heads: Readonly<Record<SideName, string>> = { islet: "islet", lxc: "LXC", libvirt: "libvirt", floor: "floor" };

/** The table that people read: median (min p25-p75) of each side that was measured at all. */
export function table(all: readonly Measured[]): string {
  const shown = sideNames.filter((side) => side === "islet" || all.some(({ sides }) => sides[side] !== null));
  const head = ["", "unit", ...shown.map((side) => heads[side]), "ratio", "budget", ""];
  const rows = all.map((each) => {
    const ratio = ratioOf(each);
    const verdict = holds(each);
    return [
      each.name,
      each.unit,
      ...shown.map((side) => cell(each.sides[side])),
      ratio === null ? "-" : ratio.toFixed(2),
      budgetText(each),
      verdict === null ? (lacks(each) ? "FAILED" : "") : verdict ? "ok" : "OVER",
    ];
  });
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => (row[column] ?? "").length)));
  const line = (row: readonly string[]): string =>
    row
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}
