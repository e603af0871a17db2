import { uptime } from "node:os";
import type { Command, ContainerStatus, State } from "../../../../engine/engine.js";
import { IsletError } from "../../../../base/errors.js";
import { type Call, jsonText, lxcCommand, UsageError } from "../frame.js";
import type { CommandTable } from "../getopt.js";
import { type Column, tableLines } from "../layout.js";
import type { LoadedConfig } from "../load.js";
import { harmless, type Look, lookOf, plain, shortTime, styled } from "../look.js";
import { option } from "../options.js";
import { memoryCell, stateCell } from "./cells.js";
import { globs } from "./glob.js";
import { configurations } from "../system.js";
import { ownOptions } from "./options.js";

export const lsTable: CommandTable = {
  tool: "islet-ls",
  synopsis: "[--running|--stopped] [--format=table|json|names] [-P PATH] [NAME-PATTERN...]",
  description: "Shows the containers in a table that fits the terminal.",
  options: [
    option("running", "only those that are not stopped"),
    option("stopped", "only stopped ones"),
    option("format", "table (default), json, or names, one per line", {
      argument: "FORMAT",
      words: ["table", "json", "names"],
    }),
    ...ownOptions,
  ],
  operands: "any",
  named: false,
  notes: [
    "A NAME-PATTERN is a name, or has the wildcards `*`, `?` and `[...]` of the shell; quote it. Containers that match one of them are shown.",
    "Where the terminal is too narrow, long values are cut, then columns drop out, the least important first. The signs before the states, the bars and the colours depend on the terminal: there are no colours without one or when `NO_COLOR` is set, and only ASCII where the locale is not UTF-8.",
    "MEMORY is what the container's control group accounts, the cache of its files among it; the bar shows how much of the limit that is. CPU is the time used since the start. AUTO: it starts at boot (`lxc.start.auto`). READY, where any guest has an API (`islet.guest`): it has said that it is. IDS: its user ids are mapped to others of the host (`lxc.idmap`).",
    "`--format json` prints an array of objects with the members name, state, ready, uptimeSeconds, pid, ipv4, ipv6, memoryBytes, memoryLimitBytes, cpuNanoseconds, autostart and idMapped; what is not known is null. Programs that want LXC's columns use `lxc-ls --format json`.",
    "Exit status: 0; 1 when a pattern was given and nothing matches, or on failure.",
  ],
};

/** null: not known, or it does not run. */
export interface LsRow {
  readonly name: string;
  readonly state: State;
  /** The guest has said so; null: it has no way to. */
  readonly ready: boolean | null;
  readonly uptimeSeconds: number | null;
  readonly pid: number | null;
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
  readonly memoryBytes: bigint | null;
  readonly memoryLimitBytes: bigint | null;
  readonly cpuNanoseconds: bigint | null;
  readonly autostart: boolean | null;
  readonly idMapped: boolean | null;
}

/** Hundredths as long as they count. */
const cpuTime = (seconds: number): string => (seconds < 9.995 ? `${seconds.toFixed(2)}s` : shortTime(seconds));

/** The lines of the table. */
export function lsLines(rows: readonly LsRow[], look: Look): readonly string[] {
  const anyLimit = rows.some((row) => row.memoryLimitBytes !== null);
  const seconds = (value: number | null): string => (value === null ? "" : shortTime(value));
  const yes = (value: boolean | null): string => (value === true ? (look.unicode ? "✓" : "yes") : "");
  const columns: readonly Column<LsRow>[] = [
    { title: "NAME", rank: 0, least: 8, cell: (row) => styled("bold", harmless(row.name, look)) },
    { title: "STATE", rank: 0, cell: (row) => stateCell(row.state, look) },
    ...(rows.some(({ ready }) => ready !== null)
      ? [{ title: "READY", rank: 1, cell: (row: LsRow) => plain(yes(row.ready)) }]
      : []),
    { title: "UPTIME", rank: 4, side: "right", cell: (row) => plain(seconds(row.uptimeSeconds)) },
    { title: "PID", rank: 6, side: "right", cell: (row) => plain(row.pid === null ? "" : String(row.pid)) },
    { title: "IPV4", rank: 2, least: 15, cell: (row) => plain(row.ipv4.join(", ")) },
    { title: "IPV6", rank: 9, least: 16, cell: (row) => plain(row.ipv6.join(", ")) },
    {
      title: "MEMORY",
      rank: 3,
      cell: (row) => memoryCell(row.memoryBytes, row.memoryLimitBytes, anyLimit, look),
    },
    {
      title: "CPU",
      rank: 5,
      side: "right",
      cell: (row) => plain(row.cpuNanoseconds === null ? "" : cpuTime(Number(row.cpuNanoseconds) / 1e9)),
    },
    { title: "AUTO", rank: 7, cell: (row) => plain(yes(row.autostart)) },
    { title: "IDS", rank: 8, cell: (row) => plain(row.idMapped === true ? "mapped" : "") },
  ];
  return tableLines(rows, columns, look);
}

type Format = "table" | "json" | "names";

function formatOf(call: Call): Format {
  const text = call.options.value("format") ?? "table";
  if (text === "table" || text === "json" || text === "names") return text;
  throw new UsageError(`"${text}" is no output format; table, json and names are`);
}

interface Choice {
  readonly chosen: readonly ContainerStatus[];
  /** Before anything was left out. */
  readonly count: number;
}

async function choose(call: Call): Promise<Choice> {
  const { engine, id, operands, options } = call;
  const { storePath } = id;
  if (options.has("running") && options.has("stopped"))
    throw new UsageError("--running and --stopped leave nothing to show");
  const [active, defined] = await Promise.all([
    engine.active(storePath),
    options.has("running") ? [] : engine.defined(storePath),
  ]);
  const all = new Map<string, ContainerStatus>(
    defined.map((name) => [
      name,
      { storePath, name, state: "STOPPED", initPid: null, exitStatus: null, startedAt: null, annotations: {} },
    ]),
  );
  for (const status of active) all.set(status.name, status);
  const matches = globs(operands);
  return {
    count: all.size,
    chosen: [...all.values()]
      .filter(({ name }) => matches(name))
      .filter(({ state }) => !options.has("stopped") || state === "STOPPED")
      .filter(({ state }) => !options.has("running") || state !== "STOPPED")
      .sort((left, right) => Buffer.compare(Buffer.from(left.name), Buffer.from(right.name))),
  };
}

/** null: none, or it cannot be used. */
async function configOf(call: Call, status: ContainerStatus): Promise<LoadedConfig | null> {
  const kept = status.state === "STOPPED" ? null : (await configurations()).configOfRunning(status);
  if (kept !== null) return kept;
  try {
    const source = await call.engine.readConfig(status);
    if (source === null) return null;
    const loaded = (await configurations()).loadConfig(source, call.caller);
    if (loaded.kind === "loaded") return loaded.config;
    call.report.notice(
      `the configuration of ${harmless(status.name, { unicode: true })} has faults; islet doctor shows them`,
    );
  } catch (error) {
    if (!(error instanceof IsletError)) throw error;
    call.report.notice(error.message);
  }
  return null;
}

async function rowOf(call: Call, status: ContainerStatus, now: number): Promise<LsRow> {
  const isRunning = status.state !== "STOPPED";
  const [config, addresses, usage, ready] = await Promise.all([
    configOf(call, status),
    isRunning ? call.engine.addresses(status) : { ipv4: [], ipv6: [] },
    isRunning ? call.engine.liveUsage(status, { activity: false }) : null,
    isRunning ? call.engine.isReady(status) : null,
  ]);
  return {
    name: status.name,
    state: status.state,
    ready,
    uptimeSeconds: status.startedAt === null ? null : Math.max(0, Math.floor(now - status.startedAt / 1000)),
    pid: status.initPid,
    ipv4: addresses.ipv4,
    ipv6: addresses.ipv6,
    memoryBytes: usage?.memoryBytes ?? null,
    memoryLimitBytes: usage?.memoryLimitBytes ?? null,
    cpuNanoseconds: usage?.cpuNanoseconds ?? null,
    autostart: config === null ? null : config.item("lxc.start.auto") === "1",
    idMapped: config === null ? null : (config.item("lxc.idmap") ?? "") !== "",
  };
}

/** The one line where there is nothing to show. */
function nothing(call: Call, count: number): string {
  const { id, operands, options } = call;
  if (operands.length > 0 && count > 0) return `no container matches ${operands.join(" or ")}`;
  if (options.has("running")) return `nothing runs in ${id.storePath}; islet ls --stopped shows what could`;
  if (count > 0) return "nothing is stopped: all containers run";
  const where = options.has("lxcpath") ? ` -P ${options.value("lxcpath") ?? ""}` : "";
  return `there are no containers in ${id.storePath} yet; this makes one: lxc-create${where} -n NAME -t busybox`;
}

async function body(call: Call): Promise<number> {
  const { operands, session } = call;
  const format = formatOf(call);
  const { chosen, count } = await choose(call);
  const failed = operands.length > 0 && chosen.length === 0 ? 1 : 0;
  if (format === "names") {
    session.write(1, chosen.map(({ name }) => `${name}\n`).join(""));
    return failed;
  }
  // The clock that `startedAt` is of.
  const now = uptime();
  const rows = await Promise.all(chosen.map((status) => rowOf(call, status, now)));
  if (format === "json") session.write(1, jsonText(rows));
  else if (rows.length === 0) call.report.notice(harmless(nothing(call, count), { unicode: true }));
  else session.write(1, `${lsLines(rows, lookOf(session, 1)).join("\n")}\n`);
  return failed;
}

export const ls: Command = lxcCommand(lsTable, body, { isOwn: true });
