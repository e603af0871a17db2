import type { Command, DetailedUsage, Screen } from "../../../engine/engine.js";
import { type Call, jsonLine, lxcCommand, outputFormat, unsignedOption, UsageError } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { lxcBytes } from "./info.js";
import { commonOptions, formatOption, option, rcfileOption } from "./options.js";

export const topTable: CommandTable = {
  tool: "lxc-top",
  synopsis: "[-d SECONDS] [-b] [-s KEY] [-r]",
  description: "Shows what the running containers use of processor, disk and memory, again and again.",
  options: [
    option("delay", "seconds between refreshes (3; with --batch 300)", { short: "d", argument: "SECONDS" }),
    option("batch", "print lines of comma-separated values, for files and programs", { short: "b" }),
    option("sort", "sort by n name, c CPU, b block I/O, m memory, s memory and swap, k kernel memory (n)", {
      short: "s",
      argument: "KEY",
    }),
    option("reverse", "sort the other way round", { short: "r" }),
    ...commonOptions,
    rcfileOption,
    formatOption,
  ],
  operands: "any",
  named: false,
  manyPaths: true,
  notes: [
    "Keys: `q` quits; `n`, `c`, `b`, `m`, `s`, `k` sort by that, the same once more turns the order round, as `r` does. Names ascend, everything else descends.",
    "`-P` may be repeated: the containers of all these directories are shown.",
    "`--batch --format json` prints an object on a line of its own for each container and refresh, with the members timeMilliseconds, name, cpuNanoseconds, cpuSystemTicks, cpuUserTicks, blkioBytes, blkioReadBytes, blkioWriteBytes, blkioOperations, memoryBytes, memorySwapBytes, kernelMemoryBytes.",
    "Needs a terminal as standard input, but with `--batch`, which ends when its reader does. CPU times of the columns Sys and User have a resolution of 10 ms.",
  ],
};

export type SortKey = "n" | "c" | "b" | "m" | "s" | "k";
const sortKeys: readonly SortKey[] = ["n", "c", "b", "m", "s", "k"];

export interface Order {
  readonly by: SortKey;
  readonly reverse: boolean;
}

/** One container's counts; what is not accounted counts as 0, as LXC has it. */
export interface TopRow extends Readonly<Record<keyof DetailedUsage, bigint>> {
  readonly name: string;
}

const fields = [
  "cpuNanoseconds",
  "cpuSystemTicks",
  "cpuUserTicks",
  "blkioBytes",
  "blkioReadBytes",
  "blkioWriteBytes",
  "blkioOperations",
  "memoryBytes",
  "memorySwapBytes",
  "kernelMemoryBytes",
] as const satisfies readonly (keyof DetailedUsage)[];

function makeRow(name: string, value: (field: (typeof fields)[number]) => bigint): TopRow {
  const counts = Object.fromEntries(fields.map((field) => [field, value(field)])) as Omit<TopRow, "name">;
  return { name, ...counts };
}

export const topRow = (name: string, usage: DetailedUsage): TopRow => makeRow(name, (field) => usage[field] ?? 0n);

const sortField: Readonly<Record<Exclude<SortKey, "n">, (typeof fields)[number]>> = {
  c: "cpuNanoseconds",
  b: "blkioBytes",
  m: "memoryBytes",
  s: "memorySwapBytes",
  k: "kernelMemoryBytes",
};

const byName = (a: TopRow, b: TopRow): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

export function sortRows(rows: readonly TopRow[], order: Order): readonly TopRow[] {
  const sign = order.reverse ? -1 : 1;
  const { by } = order;
  if (by === "n") return [...rows].sort((a, b) => sign * byName(a, b));
  const field = sortField[by];
  return [...rows].sort((a, b) => (a[field] === b[field] ? byName(a, b) : sign * (a[field] > b[field] ? -1 : 1)));
}

/** What a key makes of the order; null: it quits. */
export function pressed(key: string, order: Order): Order | null {
  // ^C and ^\ come as keys from a raw terminal.
  if (key === "q" || key === "\u0003" || key === "\u001c") return null;
  if (key === "r") return { ...order, reverse: !order.reverse };
  const by = sortKeys.find((known) => known === key);
  if (by === undefined) return order;
  return { by, reverse: order.by === by ? !order.reverse : false };
}

export const batchHeader =
  "time_ms,container,cpu_nanos,cpu_sys_userhz,cpu_user_userhz,blkio_bytes,blkio_iops,mem_used_bytes,memsw_used_bytes,kernel_mem_used_bytes\n";

export function batchLine(row: TopRow, milliseconds: number): string {
  return `${[
    milliseconds,
    row.name,
    row.cpuNanoseconds,
    row.cpuSystemTicks,
    row.cpuUserTicks,
    row.blkioBytes,
    row.blkioOperations,
    row.memoryBytes,
    row.memorySwapBytes,
    row.kernelMemoryBytes,
  ].join(",")}\n`;
}

/** The same as an object on a line of its own. */
export const batchJson = (row: TopRow, milliseconds: number): string =>
  jsonLine({ timeMilliseconds: milliseconds, ...row });

/** Bytes without a unit are padded to the width of those with one. */
const amount = (bytes: bigint): string => (bytes > 1024n ? lxcBytes(bytes) : `${String(bytes).padStart(3)}.00   `);

const hundredths = (value: number): string => value.toFixed(2).padStart(12);

function line(name: string, row: TopRow, total: TopRow): string {
  const blkio = `${amount(row.blkioBytes)}(${amount(row.blkioReadBytes)}/${amount(row.blkioWriteBytes)})`;
  return [
    name.slice(0, 18).padEnd(18),
    hundredths(Math.fround(Number(row.cpuNanoseconds)) / 1e9),
    hundredths(Number(row.cpuSystemTicks) / 100),
    hundredths(Number(row.cpuUserTicks) / 100),
    blkio.padStart(36),
    amount(row.memoryBytes).padStart(10),
    ...(total.memorySwapBytes > 0n ? [amount(row.memorySwapBytes).padStart(10)] : []),
    ...(total.kernelMemoryBytes > 0n ? [amount(row.kernelMemoryBytes).padStart(10)] : []),
  ].join(" ");
}

function header(
  words: readonly [string, string, string, string, string, string, string, string],
  total: TopRow,
): string {
  const [name, used, sys, user, blkio, memory, swap, kernel] = words;
  return [
    name.padEnd(18),
    used.padStart(12),
    sys.padStart(12),
    user.padStart(12),
    blkio.padStart(36),
    memory.padStart(10),
    ...(total.memorySwapBytes > 0n ? [swap.padStart(10)] : []),
    ...(total.kernelMemoryBytes > 0n ? [kernel.padStart(10)] : []),
  ].join(" ");
}

/** Of a terminal that does not tell its size. */
const usualRows = 25;

/** The whole screen, from its clearing on. A terminal narrower than the lines wraps them: fewer fit then. */
export function screenText(rows: readonly TopRow[], height: number, width: number): string {
  const total = makeRow("", (field) => rows.reduce((sum, row) => sum + row[field], 0n));
  const head = header(["Container", "CPU", "CPU", "CPU", "BlkIO", "Mem", "MemSw", "KMem"], total);
  const linesEach = width > 0 ? Math.ceil(head.length / width) : 1;
  const shown = rows.slice(0, Math.max(0, Math.floor((height > 0 ? height : usualRows) / linesEach) - 3));
  return [
    `\u001b[H\u001b[J\u001b[7m\u001b[1m${head}`,
    header(["Name", "Used", "Sys", "User", "Total(Read/Write)", "Used", "Used", "Used"], total),
    `\u001b[0m${shown.map((row) => `${line(row.name, row, total)}\r\n`).join("")}${line(`TOTAL ${shown.length} of ${rows.length}`, total, total)}`,
  ].join("\r\n");
}

const defaultDelay = 3;
const defaultBatchDelay = 300;
/** Milliseconds between refreshes: LXC's 0 would keep a processor busy; timers take no more than the other. */
const leastDelay = 100;
const longestDelay = 2 ** 31 - 1;

async function rowsOf(call: Call, stores: readonly string[]): Promise<readonly TopRow[]> {
  const rows: TopRow[] = [];
  for (const store of stores) {
    for (const status of await call.engine.active(store)) {
      rows.push(topRow(status.name, await call.engine.detailedUsage(status)));
    }
  }
  return rows;
}

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds).unref();
  });

async function batch(call: Call, stores: readonly string[], order: Order, delay: number): Promise<number> {
  const json = outputFormat(call.options) === "json";
  if (!json) call.session.write(1, batchHeader);
  for (;;) {
    const rows = sortRows(await rowsOf(call, stores), order);
    call.session.write(1, rows.map((row) => (json ? batchJson(row, Date.now()) : batchLine(row, Date.now()))).join(""));
    await Promise.race([pause(delay), call.session.gone]);
  }
}

async function live(call: Call, stores: readonly string[], first: Order, delay: number): Promise<number> {
  const { session } = call;
  let order = first;
  let status = 0;
  let size = { rows: session.rows, columns: session.columns };
  let timer: NodeJS.Timeout | null = null;
  let isOver = false;
  let failure: unknown = null;
  const quit = (code: number): void => {
    isOver = true;
    status = code;
    screen.close();
  };
  const draw = async (): Promise<void> => {
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(redraw, delay).unref();
    // A terminal that is stopped (^S) or slow gets the next one.
    if (screen.busy) return;
    const rows = sortRows(await rowsOf(call, stores), order);
    if (!isOver) screen.write(screenText(rows, size.rows, size.columns));
  };
  const redraw = (): void => {
    draw().catch((error: unknown) => {
      failure ??= error;
      quit(1);
    });
  };
  const screen: Screen = session.screen({
    input: (bytes) => {
      for (const byte of bytes) {
        const next = pressed(String.fromCharCode(byte), order);
        if (next === null) {
          quit(0);
          return;
        }
        order = next;
      }
      redraw();
    },
    resize: (rows, columns) => {
      size = { rows, columns };
      redraw();
    },
    // INT and QUIT end LXC's as its key does.
    signal: (signal) => {
      quit(signal === 2 || signal === 3 ? 0 : 128 + signal);
    },
  });
  redraw();
  await Promise.race([screen.over, session.gone]).finally(() => {
    isOver = true;
    if (timer !== null) clearTimeout(timer);
    screen.close();
  });
  session.write(2, "\n");
  if (failure !== null) throw failure instanceof Error ? failure : new Error("lxc-top cannot go on");
  return status;
}

async function body(call: Call): Promise<number> {
  const { options, session } = call;
  const isBatch = options.has("batch");
  const seconds = unsignedOption(options, "delay") ?? (isBatch ? defaultBatchDelay : defaultDelay);
  const delay = Math.min(Math.max(seconds * 1000, leastDelay), longestDelay);
  const by = sortKeys.find((key) => key === options.value("sort")?.charAt(0)) ?? "n";
  const order: Order = { by, reverse: options.has("reverse") };
  const stores = [...new Set(call.stores)];
  if (options.has("format") && !isBatch) throw new UsageError("--format is for --batch");
  if (isBatch) return await batch(call, stores, order, delay);
  if (!session.terminals[0]) {
    call.report.bare("stdin is not a tty");
    call.report.bare("Failed to setup terminal");
    return 1;
  }
  return await live(call, stores, order, delay);
}

export const top: Command = lxcCommand(topTable, body);
