import type {
  Command,
  ContainerId,
  ContainerStatus,
  Addresses,
  InterfaceStatus,
  NestedContainer,
  ResourceUsage,
  State,
} from "../../../engine/engine.js";
import { IsletError } from "../../../base/errors.js";
import { printable } from "../../../base/printable.js";
import { showFault } from "../../../base/source.js";
import { compileEre } from "./ere.js";
import { type Call, jsonText, lxcCommand, outputFormat } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import type { LoadedConfig } from "./load.js";
import { commonOptions, formatOption, option, rcfileOption } from "./options.js";
import { configurations } from "./system.js";

export const lsTable: CommandTable = {
  tool: "lxc-ls",
  synopsis:
    "[-1|-f] [-F COLUMNS] [--active|--running|--frozen|--stopped|--defined] [-g GROUPS] [--filter=REGEX] [REGEX]",
  description: "Lists containers, sorted by name.",
  options: [
    option("line", "one name per line, nothing else", { short: "1" }),
    option("fancy", "a table", { short: "f" }),
    option(
      "fancy-format",
      "columns of the table: NAME STATE PID RAM SWAP AUTOSTART GROUPS INTERFACE IPV4 IPV6 UNPRIVILEGED",
      { short: "F", argument: "COLUMNS" },
    ),
    option("active", "only those that are running or frozen"),
    option("running", "only those that are not stopped"),
    option("frozen", "only frozen ones"),
    option("stopped", "only stopped ones"),
    option("defined", "only those that have a configuration"),
    option("nesting", "also what running containers keep themselves, NUM levels deep (5)", {
      argument: "NUM",
      optional: true,
    }),
    option("groups", "only members of all these groups, separated by commas", { short: "g", argument: "GROUPS" }),
    option("filter", "only names that match (POSIX extended, anywhere in the name)", { argument: "REGEX" }),
    ...commonOptions,
    rcfileOption,
    formatOption,
  ],
  operands: "any",
  named: false,
  notes: [
    "Without -1 names are padded to the longest; programs use -1 or --format json.",
    "With `--nesting` a container inside another is `OUTER/NAME`, in a table NAME behind a backslash. It is looked for where the outer one keeps its containers, at the same path as this host does and on its root file system; AUTOSTART, GROUPS and UNPRIVILEGED are those of its own configuration without what that includes, and PID is that of the host. All of it is the outer container's word. Those of stopped containers are not listed.",
    "`--format json` prints an array of objects with the members of all columns: name, state, pid, ramBytes, swapBytes, autostart, groups, interfaces, ipv4, ipv6, unprivileged.",
  ],
};

/** One container, with what the columns asked for need; null: not known or not applicable, shown as `-`. */
export interface ListEntry {
  readonly name: string;
  readonly state: State;
  readonly pid: number | null;
  readonly ramBytes: bigint | null;
  readonly swapBytes: bigint | null;
  readonly autostart: boolean;
  readonly groups: readonly string[];
  readonly interfaces: readonly string[];
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
  readonly unprivileged: boolean;
  /** How deep inside another; absent: not at all. */
  readonly level?: number;
}

const megabytes = (bytes: bigint): string => `${(Number(bytes) / 1048576).toFixed(2)}MB`;
const list = (items: readonly string[]): string => (items.length === 0 ? "-" : items.join(", "));
const running = (entry: Pick<ListEntry, "state">): boolean => entry.state !== "STOPPED";

const columns = {
  NAME: ({ name, level }: ListEntry): string => (level === undefined ? name : `${"\\".padStart(level)}${name}`),
  STATE: (entry: ListEntry): string => entry.state,
  PID: (entry: ListEntry): string => (entry.pid === null ? "-" : String(entry.pid)),
  RAM: (entry: ListEntry): string => (running(entry) ? megabytes(entry.ramBytes ?? 0n) : "-"),
  SWAP: (entry: ListEntry): string => (running(entry) ? megabytes(entry.swapBytes ?? 0n) : "-"),
  AUTOSTART: (entry: ListEntry): string => (entry.autostart ? "1" : "0"),
  GROUPS: (entry: ListEntry): string => list(entry.groups),
  INTERFACE: (entry: ListEntry): string => list(entry.interfaces),
  IPV4: (entry: ListEntry): string => list(entry.ipv4),
  IPV6: (entry: ListEntry): string => list(entry.ipv6),
  UNPRIVILEGED: (entry: ListEntry): string => String(entry.unprivileged),
} as const;

export type Column = keyof typeof columns;
const allColumns = Object.keys(columns) as readonly Column[];
const defaultColumns: readonly Column[] = ["NAME", "STATE", "AUTOSTART", "GROUPS", "IPV4", "IPV6", "UNPRIVILEGED"];

/** The columns of -F in its order, or the first word that is none. */
export function parseColumns(text: string): { readonly columns: readonly Column[] } | { readonly unknown: string } {
  const found: Column[] = [];
  for (const word of text.split(",").map((part) => part.trim())) {
    if (word === "") continue;
    const column = allColumns.find((name) => name === word.toUpperCase());
    if (column === undefined) return { unknown: word };
    found.push(column);
  }
  return { columns: found };
}

/** printf's `%-*s` counts bytes. */
const pad = (text: string, width: number): string => text + " ".repeat(Math.max(0, width - Buffer.byteLength(text)));

/** LXC makes room for the number even where it shows a dash. */
function cellWidth(entry: ListEntry, column: Column): number {
  const shown = Buffer.byteLength(columns[column](entry));
  return column === "RAM" || column === "SWAP" ? Math.max(shown, megabytes(0n).length) : shown;
}

/** The table: every cell as wide as its column, a blank after each, header first. */
export function fancyTable(entries: readonly ListEntry[], shown: readonly Column[]): string {
  const widths = shown.map((column) => Math.max(column.length, ...entries.map((entry) => cellWidth(entry, column))));
  const row = (cells: readonly string[]): string =>
    `${cells.map((text, index) => `${pad(text, widths[index] ?? 0)} `).join("")}\n`;
  return [row(shown), ...entries.map((entry) => row(shown.map((column) => columns[column](entry))))].join("");
}

/** Names padded to the longest, as many in a row as `width` columns take (0: no terminal, one per row). */
export function nameRows(names: readonly string[], width: number): string {
  // LXC starts from the width of the heading NAME, although it prints none here.
  const cell = Math.max(4, ...names.map((name) => Buffer.byteLength(name)));
  let text = "";
  let used = 0;
  for (const name of names) {
    text += pad(name, cell);
    used += cell;
    if (used + cell >= width) {
      text += "\n";
      used = 0;
    } else {
      text += " ";
      used += 1;
    }
  }
  return used > 0 ? `${text}\n` : text;
}

interface Needs {
  readonly interfaces: boolean;
  readonly addresses: boolean;
  readonly usage: boolean;
}

function neededFor(shown: readonly Column[]): Needs {
  return {
    interfaces: shown.includes("INTERFACE"),
    addresses: shown.includes("IPV4") || shown.includes("IPV6"),
    usage: shown.includes("RAM") || shown.includes("SWAP"),
  };
}

/** `wanted` null: all will do; empty: it must be in some. */
function isInGroups(groups: readonly string[], wanted: readonly string[] | null): boolean {
  return wanted === null || (groups.length > 0 && wanted.every((group) => groups.includes(group)));
}

export const groupsOf = (config: LoadedConfig | null): readonly string[] =>
  (config?.item("lxc.group") ?? "").split("\n").filter((group) => group !== "");

const stoppedStatus = (id: ContainerId): ContainerStatus => ({
  ...id,
  state: "STOPPED",
  initPid: null,
  exitStatus: null,
  startedAt: null,
  annotations: {},
});

/** The configuration in the store; null: there is none. Of one that cannot be read the user is told. */
export async function storedConfig(call: Call, id: ContainerId): Promise<LoadedConfig | null | "broken"> {
  try {
    const source = await call.engine.readConfig(id);
    if (source === null) return null;
    const loaded = (await configurations()).loadConfig(source, call.caller);
    if (loaded.kind === "loaded") return loaded.config;
    for (const fault of loaded.faults) call.report.notice(showFault(fault));
  } catch (error) {
    if (!(error instanceof IsletError)) throw error;
    if (error.code === "ISLET_PARTIAL") return "broken";
  }
  call.report.bare(`Failed to load config for ${id.name}`);
  return "broken";
}

/** A container whose configuration cannot be read is told of and left out, as LXC does. */
async function configOf(call: Call, status: ContainerStatus): Promise<LoadedConfig | null | "broken"> {
  // What runs keeps the configuration it was started with.
  const kept = status.state === "STOPPED" ? null : (await configurations()).configOfRunning(status);
  if (kept !== null) return kept;
  const stored = await storedConfig(call, status);
  return stored === null && status.state === "STOPPED" ? "broken" : stored;
}

async function entryOf(
  call: Call,
  status: ContainerStatus,
  needs: Needs,
  wantedGroups: readonly string[] | null,
): Promise<ListEntry | null> {
  const config = await configOf(call, status);
  if (config === "broken") return null;
  const groups = groupsOf(config);
  if (!isInGroups(groups, wantedGroups)) return null;
  const isRunning = status.state !== "STOPPED";
  const none: Addresses = { ipv4: [], ipv6: [] };
  const [interfaces, addresses, usage]: [readonly InterfaceStatus[], Addresses, ResourceUsage | null] =
    await Promise.all([
      isRunning && needs.interfaces ? call.engine.interfaces(status) : [],
      isRunning && needs.addresses ? call.engine.addresses(status) : none,
      isRunning && needs.usage ? call.engine.usage(status) : null,
    ]);
  return {
    name: status.name,
    state: status.state,
    pid: status.initPid,
    ramBytes: usage?.memoryBytes ?? null,
    swapBytes: usage?.swapBytes ?? null,
    autostart: config?.item("lxc.start.auto") === "1",
    groups,
    interfaces: interfaces.map((nic) => nic.name).sort(),
    ipv4: addresses.ipv4,
    ipv6: addresses.ipv6,
    unprivileged: (config?.item("lxc.idmap") ?? "") !== "",
  };
}

type Filter = (one: Pick<ContainerStatus, "name" | "state">) => boolean;

/** What the state options and the name filter leave; null: nothing can match. */
function filterOf(call: Call): Filter | null {
  const { options } = call;
  const pattern = options.value("filter") ?? (call.operands.length === 1 ? (call.operands[0] ?? null) : null);
  const filter = pattern === null ? null : compileEre(pattern);
  if (pattern !== null && filter === null) {
    call.report.notice(`"${pattern}" is no extended regular expression: nothing can match it`);
    return null;
  }
  return ({ name, state }) =>
    (filter === null || filter.test(name)) &&
    (!options.has("running") || state !== "STOPPED") &&
    (!options.has("frozen") || options.has("active") || state === "FROZEN") &&
    (!options.has("stopped") || state === "STOPPED");
}

/** Those of the store that the filter leaves. */
async function candidates(call: Call, filter: Filter): Promise<readonly ContainerStatus[]> {
  const { engine, id, options } = call;
  const { storePath } = id;
  const onlyActive = options.has("active") || options.has("frozen");
  const [active, defined] = await Promise.all([
    engine.active(storePath),
    onlyActive && !options.has("defined") ? [] : engine.defined(storePath),
  ]);
  const all = new Map<string, ContainerStatus>(
    onlyActive ? [] : defined.map((name) => [name, stoppedStatus({ storePath, name })]),
  );
  const isDefined = new Set(defined);
  for (const status of active) all.set(status.name, status);
  return [...all.values()]
    .filter(filter)
    .filter((status) => !options.has("defined") || isDefined.has(status.name))
    .sort((left, right) => Buffer.compare(Buffer.from(left.name), Buffer.from(right.name)));
}

/** Levels by --nesting, as strtoul(3) reads them; LXC's five where it is no number. */
function nestingLevels(call: Call): number {
  if (!call.options.has("nesting")) return 0;
  const text = call.options.value("nesting") ?? "";
  return /^[0-9]{1,9}$/.test(text) ? Number(text) : 5;
}

/** What a configuration of a guest's says itself: nothing that it includes is looked for. */
function itemsOf(config: string, key: string): readonly string[] {
  return config.split("\n").flatMap((line) => {
    const [name = "", ...value] = line.split("=");
    return name.trim() === key ? [printable(value.join("=").trim())] : [];
  });
}

function nestedEntries(
  found: readonly NestedContainer[],
  parent: string,
  level: number,
  keeps: Filter,
  wantedGroups: readonly string[] | null,
  withPath: boolean,
): readonly ListEntry[] {
  return found.flatMap((one) => {
    const groups = itemsOf(one.config, "lxc.group");
    if (!keeps(one) || !isInGroups(groups, wantedGroups)) return [];
    const name = printable(one.name);
    const path = `${parent}/${name}`;
    const entry: ListEntry = {
      name: withPath ? path : name,
      state: one.state,
      pid: one.pid,
      ramBytes: one.usage?.memoryBytes ?? null,
      swapBytes: one.usage?.swapBytes ?? null,
      autostart: itemsOf(one.config, "lxc.start.auto").at(-1) === "1",
      groups,
      interfaces: one.interfaces.map((nic) => printable(nic.name)).sort(),
      ipv4: one.addresses.ipv4,
      ipv6: one.addresses.ipv6,
      unprivileged: ["lxc.idmap", "lxc.id_map"].some((key) => itemsOf(one.config, key).length > 0),
      ...(withPath ? {} : { level }),
    };
    return [entry, ...nestedEntries(one.inside, path, level + 1, keeps, wantedGroups, withPath)];
  });
}

/** A container that is shown, and what is inside of it. */
async function withNested(
  call: Call,
  entry: ListEntry,
  levels: number,
  keeps: Filter,
  wantedGroups: readonly string[] | null,
  withPath: boolean,
): Promise<readonly ListEntry[]> {
  if (levels === 0 || !running(entry)) return [entry];
  const onlyActive = call.options.has("active") || call.options.has("frozen");
  const keepsNested: Filter = (one) => keeps(one) && (!onlyActive || one.state !== "STOPPED");
  try {
    const found = await call.engine.nested({ storePath: call.id.storePath, name: entry.name }, levels);
    return [entry, ...nestedEntries(found, entry.name, 1, keepsNested, wantedGroups, withPath)];
  } catch (error) {
    // It stopped, or has not begun.
    if (error instanceof IsletError && error.code === "ISLET_NOT_RUNNING") return [entry];
    throw error;
  }
}

async function body(call: Call): Promise<number> {
  const { options, session } = call;
  const json = outputFormat(options) === "json";
  const fancy = options.has("fancy") && !json;
  const format = options.value("fancy-format");
  let shown: readonly Column[] = json ? allColumns : [];
  if (fancy) {
    const parsed = format === null ? { columns: defaultColumns } : parseColumns(format);
    if ("unknown" in parsed) {
      call.report.bare(`Invalid key: ${parsed.unknown}`);
      return 0;
    }
    shown = parsed.columns;
  }
  // An empty -g leaves those that are in some group.
  const wantedGroups =
    options
      .value("groups")
      ?.split(",")
      .map((group) => group.trim())
      .filter((group) => group !== "") ?? null;
  const needs = neededFor(shown);
  const keeps = filterOf(call);
  const statuses = keeps === null ? [] : await candidates(call, keeps);
  const found = await Promise.all(statuses.map((status) => entryOf(call, status, needs, wantedGroups)));
  const outer = found.filter((entry): entry is ListEntry => entry !== null);
  const levels = nestingLevels(call);
  const entries =
    keeps === null
      ? outer
      : (await Promise.all(outer.map((one) => withNested(call, one, levels, keeps, wantedGroups, !fancy)))).flat();
  if (json) session.write(1, jsonText(entries));
  else if (entries.length === 0) return 0;
  else if (fancy) session.write(1, fancyTable(entries, shown));
  else if (options.has("line")) session.write(1, entries.map((entry) => `${entry.name}\n`).join(""));
  else
    session.write(
      1,
      nameRows(
        entries.map((entry) => entry.name),
        session.terminals.some(Boolean) ? session.columns : 0,
      ),
    );
  return 0;
}

export const ls: Command = lxcCommand(lsTable, body);
