import type { LiveUsage, State } from "../../../../engine/engine.js";

/** From counts at moments to rates, and what the user chose to see. Nothing is read here. */

/** What is known of one container at one moment. */
export interface ContainerSample {
  readonly name: string;
  readonly state: State;
  /** Another one means that counters began anew. */
  readonly pid: number | null;
  readonly usage: LiveUsage;
  /** As the container sees it; null: no interface with a host's end. */
  readonly rxBytes: bigint | null;
  readonly txBytes: bigint | null;
}

export interface Sample {
  /** Milliseconds, of any clock that goes on evenly. */
  readonly at: number;
  readonly containers: readonly ContainerSample[];
}

/** Rates are per second; null: not accounted, or not known yet. */
export interface TopRow {
  readonly name: string;
  readonly state: State;
  /** Percent of one processor. */
  readonly cpu: number | null;
  /** The last values of `cpu`, the newest last. */
  readonly history: readonly number[];
  readonly memoryBytes: bigint | null;
  readonly memoryLimitBytes: bigint | null;
  readonly readRate: number | null;
  readonly writeRate: number | null;
  readonly rxRate: number | null;
  readonly txRate: number | null;
  readonly processes: bigint | null;
}

export interface Model {
  readonly last: Sample | null;
  readonly rows: readonly TopRow[];
}

export const emptyModel: Model = { last: null, rows: [] };

/** Values that a sparkline shows. */
export const historyLength = 10;

export function advance(model: Model, sample: Sample): Model {
  const before = new Map(model.last?.containers.map((one) => [one.name, one]));
  const rows = new Map(model.rows.map((row) => [row.name, row]));
  const seconds = (sample.at - (model.last?.at ?? sample.at)) / 1000;
  return {
    last: sample,
    rows: sample.containers.map((now): TopRow => {
      const found = before.get(now.name);
      const then = found !== undefined && found.pid === now.pid ? found : null;
      const rate = (value: (one: ContainerSample) => bigint | null): number | null => {
        const later = value(now);
        const earlier = then === null ? null : value(then);
        if (later === null || earlier === null || seconds <= 0 || later < earlier) return null;
        return Number(later - earlier) / seconds;
      };
      const nanoseconds = rate((one) => one.usage.cpuNanoseconds);
      const cpu = nanoseconds === null ? null : nanoseconds / 1e7;
      const history = rows.get(now.name)?.history ?? [];
      return {
        name: now.name,
        state: now.state,
        cpu,
        history: cpu === null ? history : [...history, cpu].slice(-historyLength),
        memoryBytes: now.usage.memoryBytes,
        memoryLimitBytes: now.usage.memoryLimitBytes,
        readRate: rate((one) => one.usage.readBytes),
        writeRate: rate((one) => one.usage.writtenBytes),
        rxRate: rate((one) => one.rxBytes),
        txRate: rate((one) => one.txBytes),
        processes: now.usage.processes,
      };
    }),
  };
}

export type SortKey = "c" | "m" | "i" | "t" | "p" | "n" | "s";
export const sortKeys: readonly SortKey[] = ["c", "m", "i", "t", "p", "n", "s"];

export interface Order {
  readonly by: SortKey;
  readonly reverse: boolean;
}

const byName = (a: TopRow, b: TopRow): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

/** What is sorted by; null comes last. */
function amount(row: TopRow, by: Exclude<SortKey, "n" | "s">): number {
  const sum = (...values: readonly (number | null)[]): number =>
    values.every((value) => value === null) ? -1 : values.reduce<number>((total, value) => total + (value ?? 0), 0);
  switch (by) {
    case "c":
      return sum(row.cpu);
    case "m":
      return Number(row.memoryBytes ?? -1n);
    case "i":
      return sum(row.readRate, row.writeRate);
    case "t":
      return sum(row.rxRate, row.txRate);
    case "p":
      return Number(row.processes ?? -1n);
    default: {
      const impossible: never = by;
      return impossible;
    }
  }
}

/** Names and states ascend, amounts descend; what is equal stands by name. */
export function sortRows(rows: readonly TopRow[], { by, reverse }: Order): readonly TopRow[] {
  const sign = reverse ? -1 : 1;
  const compare = (a: TopRow, b: TopRow): number => {
    if (by === "n") return sign * byName(a, b);
    if (by === "s") return sign * (a.state < b.state ? -1 : a.state > b.state ? 1 : 0) || byName(a, b);
    return sign * (amount(b, by) - amount(a, by)) || byName(a, b);
  };
  return [...rows].sort(compare);
}

/** What the user sees of the rows. */
export interface View {
  readonly order: Order;
  /** Names must contain it, whatever the case. */
  readonly filter: string;
  /** The filter is being typed; what it was before. */
  readonly typing: { readonly before: string } | null;
  /** By name: the row stays chosen wherever it goes. */
  readonly chosen: string | null;
  readonly help: boolean;
}

export const firstView: View = {
  order: { by: "c", reverse: false },
  filter: "",
  typing: null,
  chosen: null,
  help: false,
};

export function visibleRows(rows: readonly TopRow[], view: View): readonly TopRow[] {
  const wanted = view.filter.toLowerCase();
  return sortRows(
    rows.filter((row) => row.name.toLowerCase().includes(wanted)),
    view.order,
  );
}

export type Key =
  | "up"
  | "down"
  | "pageup"
  | "pagedown"
  | "home"
  | "end"
  | "enter"
  | "escape"
  | "backspace"
  | "quit"
  /** Text. */
  | { readonly char: string };

const sequences: Readonly<Record<string, Key>> = {
  "[A": "up",
  OA: "up",
  "[B": "down",
  OB: "down",
  "[5~": "pageup",
  "[6~": "pagedown",
  "[H": "home",
  OH: "home",
  "[1~": "home",
  "[F": "end",
  OF: "end",
  "[4~": "end",
};

/** What was typed, as a terminal sends it. Other control sequences mean nothing. */
export function keysOf(text: string): readonly Key[] {
  const keys: Key[] = [];
  let rest = text;
  while (rest !== "") {
    const first = String.fromCodePoint(rest.codePointAt(0) ?? 0);
    if (first === "\u001b") {
      // oxlint-disable-next-line no-control-regex -- just what terminals send
      const [, sequence] = /^\u001b(\[[0-9;?]*[ -/]*[@-~]|O[@-~])/.exec(rest) ?? [];
      if (sequence === undefined) keys.push("escape");
      else {
        const key = sequences[sequence];
        if (key !== undefined) keys.push(key);
      }
      rest = rest.slice(1 + (sequence?.length ?? 0));
      continue;
    }
    rest = rest.slice(first.length);
    // ^C and ^\ come as keys from a raw terminal.
    if (first === "\u0003" || first === "\u001c") keys.push("quit");
    else if (first === "\r" || first === "\n") keys.push("enter");
    else if (first === "\u007f" || first === "\b") keys.push("backspace");
    else if (first >= " " && !(first >= "\u0080" && first < "\u00a0")) keys.push({ char: first });
  }
  return keys;
}

const longestFilter = 64;

function typed(key: Key, view: View, before: string): View {
  if (typeof key === "object")
    return view.filter.length < longestFilter ? { ...view, filter: view.filter + key.char } : view;
  switch (key) {
    case "backspace":
      return view.filter === ""
        ? { ...view, typing: null }
        : { ...view, filter: Array.from(view.filter).slice(0, -1).join("") };
    case "escape":
      return { ...view, filter: before, typing: null };
    default:
      return { ...view, typing: null };
  }
}

/** Moves the choice by so many rows; the first one to be chosen is at the end that it comes from. */
function moved(view: View, rows: readonly TopRow[], by: number): View {
  if (rows.length === 0) return view;
  const now = rows.findIndex((row) => row.name === view.chosen);
  const wanted = now < 0 ? (by > 0 ? by - 1 : by + rows.length) : now + by;
  const next = rows[Math.max(0, Math.min(rows.length - 1, wanted))];
  return { ...view, chosen: next?.name ?? null };
}

/** What a key makes of the view; null: it quits. `rows`: those that are seen; `page`: how many fit. */
export function pressed(key: Key, view: View, rows: readonly TopRow[], page: number): View | null {
  if (key === "quit") return null;
  if (view.typing !== null && key !== "up" && key !== "down") return typed(key, view, view.typing.before);
  switch (key) {
    case "up":
      return moved(view, rows, -1);
    case "down":
      return moved(view, rows, 1);
    case "pageup":
      return moved(view, rows, -page);
    case "pagedown":
      return moved(view, rows, page);
    case "home":
      return moved(view, rows, -rows.length);
    case "end":
      return moved(view, rows, rows.length);
    case "escape":
      return { ...view, help: false, chosen: null, filter: "" };
    case "enter":
    case "backspace":
      return { ...view, help: false };
    default:
      break;
  }
  const { char } = key;
  if (char === "q") return null;
  if (char === "/") return { ...view, help: false, typing: { before: view.filter } };
  if (char === "?" || char === "h") return { ...view, help: !view.help };
  if (char === "k") return moved(view, rows, -1);
  if (char === "j") return moved(view, rows, 1);
  const { order } = view;
  if (char === "r") return { ...view, order: { ...order, reverse: !order.reverse } };
  const by = sortKeys.find((known) => known === char);
  if (by === undefined) return view;
  return { ...view, order: { by, reverse: order.by === by ? !order.reverse : false } };
}
