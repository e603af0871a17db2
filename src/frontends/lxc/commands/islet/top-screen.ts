import type { State } from "../../../../engine/engine.js";
import { type Column, tableLines } from "../layout.js";
import {
  bar,
  cutSpans,
  fillStyle,
  harmless,
  type Look,
  plain,
  render,
  shortBytes,
  shortTime,
  type Span,
  type Spans,
  styled,
} from "../look.js";
import { memoryCell, stateCell } from "./cells.js";
import { historyLength, type SortKey, type TopRow, type View, visibleRows } from "./top-model.js";

/** The picture that islet top shows, from data alone. */

export interface HostState {
  readonly name: string;
  readonly uptimeSeconds: number;
  readonly load: readonly number[];
  readonly processors: number;
  readonly memoryBytes: bigint;
  readonly memoryTotalBytes: bigint;
  /** Defined ones, running or not. */
  readonly containers: number;
}

const levels = { unicode: Array.from("▁▂▃▄▅▆▇█"), ascii: Array.from("_.-=+*%#") } as const;

/** The history as a curve; its top is one processor, or the greatest value beyond that. */
export function sparkline(history: readonly number[], look: Pick<Look, "unicode">): string {
  const signs = look.unicode ? levels.unicode : levels.ascii;
  const top = Math.max(100, ...history);
  return history
    .map((value) => signs[Math.min(signs.length - 1, Math.floor((value / top) * signs.length))] ?? "")
    .join("")
    .padStart(historyLength);
}

const rate = (bytes: number | null): Spans =>
  bytes === null ? [] : bytes < 1 ? styled("dim", "0") : plain(shortBytes(BigInt(Math.round(bytes))));

function cpuCell(row: TopRow): Spans {
  if (row.cpu === null) return [];
  const text = row.cpu < 99.95 ? row.cpu.toFixed(1) : row.cpu.toFixed(0);
  return row.cpu < 0.05 ? styled("dim", text) : row.cpu >= 90 ? styled("red", text) : plain(text);
}

interface TopColumn extends Column<TopRow> {
  readonly sorts: SortKey | null;
}

function columnsOf(rows: readonly TopRow[], chosen: string | null, look: Look): readonly TopColumn[] {
  const anyLimit = rows.some((row) => row.memoryLimitBytes !== null);
  const mark = look.unicode ? "▸" : ">";
  const name = (row: TopRow): Spans => [
    ...(chosen === null ? [] : plain(row.name === chosen ? `${mark} ` : "  ")),
    { text: harmless(row.name, look), style: row.name === chosen ? "reverse" : "bold" },
  ];
  return [
    { title: "NAME", sorts: "n", rank: 0, least: 10, cell: name },
    { title: "STATE", sorts: "s", rank: 6, cell: (row) => stateCell(row.state, look) },
    { title: "CPU%", sorts: "c", rank: 0, side: "right", cell: cpuCell },
    { title: "HISTORY", sorts: null, rank: 7, cell: (row) => styled("cyan", sparkline(row.history, look)) },
    {
      title: "MEMORY",
      sorts: "m",
      rank: 1,
      cell: (row) => memoryCell(row.memoryBytes, row.memoryLimitBytes, anyLimit, look),
    },
    { title: "READ/s", sorts: "i", rank: 4, side: "right", cell: (row) => rate(row.readRate) },
    { title: "WRITE/s", sorts: "i", rank: 4, side: "right", cell: (row) => rate(row.writeRate) },
    { title: "RECV/s", sorts: "t", rank: 3, side: "right", cell: (row) => rate(row.rxRate) },
    { title: "SENT/s", sorts: "t", rank: 3, side: "right", cell: (row) => rate(row.txRate) },
    {
      title: "PROCS",
      sorts: "p",
      rank: 5,
      side: "right",
      cell: (row) => plain(row.processes === null ? "" : String(row.processes)),
    },
  ];
}

function counts(rows: readonly TopRow[], host: HostState): string {
  const has = (...states: readonly State[]): number => rows.filter((row) => states.includes(row.state)).length;
  const frozen = has("FROZEN", "FREEZING");
  return `${rows.length - frozen} running${frozen > 0 ? `, ${frozen} frozen` : ""} of ${Math.max(host.containers, rows.length)}`;
}

const memoryBar = 12;

/** The two lines about the host. */
function headLines(rows: readonly TopRow[], host: HostState, look: Look): readonly string[] {
  const gap: Span = { text: "   " };
  const share = host.memoryTotalBytes === 0n ? 0 : Number(host.memoryBytes) / Number(host.memoryTotalBytes);
  const load = host.load.map((value) => value.toFixed(2)).join(" ");
  const first: Spans = [
    { text: harmless(host.name, look), style: "bold" },
    ...plain(`  up ${shortTime(host.uptimeSeconds)}`),
    gap,
    ...styled("dim", "containers "),
    ...plain(counts(rows, host)),
  ];
  const second: Spans = [
    ...styled("dim", "load "),
    ...plain(`${load} on ${host.processors} CPU${host.processors === 1 ? "" : "s"}`),
    gap,
    ...styled("dim", "memory "),
    ...bar(share, memoryBar, look, fillStyle(share)),
    ...plain(` ${shortBytes(host.memoryBytes)}/${shortBytes(host.memoryTotalBytes)}`),
  ];
  return [first, second].map((spans) => render(cutSpans(spans, look.columns ?? Number.MAX_SAFE_INTEGER, look), look));
}

const keysHelp: readonly (readonly [string, string])[] = [
  ["c", "sort by CPU"],
  ["m", "sort by memory"],
  ["i", "sort by disk I/O"],
  ["t", "sort by network traffic"],
  ["p", "sort by processes"],
  ["n", "sort by name"],
  ["s", "sort by state"],
  ["r", "the other way round; the same key once more does so, too"],
  ["/", "show only names with these letters; Esc: all again"],
  ["up, down", "choose a row; PgUp, PgDn, Home, End; Esc: none"],
  ["?", "this help"],
  ["q", "quit"],
];

const footKeys: readonly (readonly [string, string])[] = [
  ["c", "pu"],
  ["m", "em"],
  ["i", "/o"],
  ["t", "raffic"],
  ["p", "rocs"],
  ["n", "ame"],
  ["s", "tate"],
  ["r", "everse"],
  ["/", "filter"],
  ["?", "help"],
  ["q", "uit"],
];

function footLine(view: View, look: Look): string {
  const spans: Spans =
    view.typing !== null
      ? [...styled("bold", "names with: "), ...plain(harmless(view.filter, look)), ...styled("reverse", " ")]
      : [
          ...footKeys.flatMap(([key, rest], index): Spans => [
            ...(index === 0 ? [] : plain("  ")),
            ...styled("bold", key),
            ...styled("dim", rest),
          ]),
          ...(view.filter === "" ? [] : plain(`   only names with "${harmless(view.filter, look)}"`)),
        ];
  return render(cutSpans(spans, look.columns ?? Number.MAX_SAFE_INTEGER, look), look);
}

/** The table as plain lines, which no key sorts. */
export const plainTable = (rows: readonly TopRow[], look: Look): readonly string[] =>
  tableLines(
    rows,
    columnsOf(rows, null, look).filter((column) => column.title !== "HISTORY"),
    look,
  );

/** The table; the heading that is sorted by is marked. */
export function topTable(rows: readonly TopRow[], view: View, look: Look): readonly string[] {
  const columns = columnsOf(rows, view.chosen, look);
  const { by, reverse } = view.order;
  const isDown = (by === "n" || by === "s") === reverse;
  const arrow = look.unicode ? (isDown ? "▾" : "▴") : isDown ? "v" : "^";
  const marked = columns.map((column) =>
    column.sorts === by ? { ...column, title: `${column.title}${arrow}` } : column,
  );
  return tableLines(rows, marked, look, (title, column) =>
    styled(marked.find((one) => one === column)?.sorts === by ? "bold" : "dim", title),
  );
}

/** Rows of containers that fit below the head and above the foot. */
export const pageOf = (height: number): number => Math.max(1, height - 5);

/** Which part of the rows is shown: the chosen one is always in it. */
export function window(count: number, chosen: number, page: number, from: number): number {
  const last = Math.max(0, count - page);
  const start = Math.min(from, last);
  if (chosen < 0) return start;
  return Math.max(Math.min(start, chosen), chosen - page + 1);
}

export interface Picture {
  /** As many as the terminal has. */
  readonly lines: readonly string[];
  /** The first row that is shown, for the next picture. */
  readonly from: number;
}

export function picture(
  rows: readonly TopRow[],
  host: HostState,
  view: View,
  height: number,
  from: number,
  look: Look,
): Picture {
  const shown = visibleRows(rows, view);
  const page = pageOf(height);
  const first = window(
    shown.length,
    shown.findIndex((row) => row.name === view.chosen),
    page,
    from,
  );
  const fit = (text: string): string => render(cutSpans(plain(text), look.columns ?? 80, look), look);
  const nothing = rows.length === 0 ? "nothing runs" : `no name has "${harmless(view.filter, look)}" in it`;
  const [head = "", ...table] = topTable(shown, view, look);
  const body = view.help
    ? ["", ...keysHelp.map(([key, text]) => fit(`  ${key.padEnd(9)} ${text}`))]
    : shown.length === 0
      ? [fit(nothing)]
      : [head, ...table.slice(first, first + page)];
  const top = [...headLines(rows, host, look), ""].slice(0, Math.max(0, height - 2));
  const middle = body.slice(0, Math.max(0, height - top.length - 1));
  const blank = Array.from({ length: Math.max(0, height - top.length - middle.length - 1) }, () => "");
  return { lines: [...top, ...middle, ...blank, footLine(view, look)].slice(0, height), from: first };
}

/** What brings the lines to a terminal: each over the old one, nothing is cleared first, so nothing flickers. */
export const paint = (lines: readonly string[]): string =>
  `\u001b[H${lines.map((line) => `${line}\u001b[K`).join("\r\n")}\u001b[J`;
