import { closeSync, existsSync, mkdirSync, openSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import { pathAndAncestors } from "../../../base/paths.js";
import { showFault } from "../../../base/source.js";
import type { Caller, ClientTask, CommandSession, ContainerId, Engine, StartOptions } from "../../../engine/engine.js";
import { nameProblem } from "../../../spec/name.js";
import { toFailure } from "../errors.js";
import { fileProblem } from "./container-config.js";
import { type CommandTable, type ParsedOptions, parseOptions } from "./getopt.js";
import { helpText, invocation, usageText } from "./help.js";
import { tellHint, tellHintFor } from "./hints.js";
import { defaultStore } from "./system.js";
import { fileLog, type Log, noLog, parsePriority, type Priority } from "./log.js";
import { isletVersion, lxcVersion } from "./options.js";
import { type Progress, withProgress } from "./progress.js";
import { type TabledCommand, withTable } from "./tabled.js";

/** Messages of a command: on standard error unless --quiet, and into the log file if one was asked for. */
export interface Report {
  /** `TOOL: NAME: text` */
  readonly error: (text: string) => void;
  /** The text alone, as LXC prints some of its messages; not silenced by --quiet, as there. */
  readonly bare: (text: string) => void;
  /** Something the user should know although nothing failed. */
  readonly notice: (text: string) => void;
  /** For the log file only. */
  readonly info: (text: string) => void;
}

/** A command line that has been understood. */
export interface Call {
  readonly table: CommandTable;
  /** As it is typed. */
  readonly tool: string;
  readonly options: ParsedOptions;
  /** Without the container's name. */
  readonly operands: readonly string[];
  /** name is "" for commands without one. */
  readonly id: ContainerId;
  /** The container paths: one, unless the table has `manyPaths`. */
  readonly stores: readonly string[];
  readonly report: Report;
  readonly progress: Progress;
  /** Runs a program that has nothing to do with the terminal: the progress line stays. */
  readonly runUnseen: (task: ClientTask) => Promise<number>;
  readonly session: CommandSession;
  readonly engine: Engine;
  readonly caller: Caller;
  /** Of the system's configuration; read only when asked for. */
  readonly resolve: (path: string) => string;
}

/** A command line that makes no sense, found by the command itself; `reason` null: LXC's fixed sentence must do. */
export class UsageError extends Error {}

export type Body = (call: Call) => Promise<number>;

interface Frame {
  /** A command of islet alone: help goes to standard output, a wrong command line gets one line. */
  readonly isOwn?: boolean;
  /** Does something after --help was printed: template help of lxc-create. */
  readonly afterHelp?: (call: {
    readonly options: ParsedOptions;
    readonly session: CommandSession;
    readonly engine: Engine;
  }) => Promise<void>;
}

const posixly = (caller: Caller): boolean => caller.environment["POSIXLY_CORRECT"] !== undefined;

/** LXC takes -P once. Trailing slashes go; a relative path is relative to the caller's directory. */
function storePath(options: ParsedOptions, caller: Caller): string {
  const given = options.value("lxcpath");
  return given === null ? defaultStore(caller) : resolve(caller.cwd, given);
}

/** LXC's rule (lxc(7)): -l without -o logs to STORE/NAME/NAME.log, or /var/log/lxc/NAME.log for the default store. */
function logFile(options: ParsedOptions, id: ContainerId, caller: Caller): string | null {
  const given = options.value("logfile");
  if (given === "none") return null;
  if (given !== null) return resolve(caller.cwd, given);
  if (!options.has("logpriority")) return null;
  const file = id.name === "" ? "lxc.log" : `${id.name}.log`;
  if (caller.uid === 0 && id.storePath === "/var/lib/lxc") return `/var/log/lxc/${file}`;
  return id.name === "" ? null : `${id.storePath}/${id.name}/${file}`;
}

function makeReport(tool: string, id: ContainerId, options: ParsedOptions, session: CommandSession): Report {
  const quiet = options.has("quiet");
  const line = (text: string): void => session.write(2, `${tool}: ${id.name === "" ? "" : `${id.name}: `}${text}\n`);
  let log: Log = noLog;
  const file = logFile(options, id, session.caller);
  if (file !== null) {
    const asked = options.value("logpriority");
    const priority: Priority | null = asked === null ? "ERROR" : parsePriority(asked);
    if (priority === null && !quiet) line(`unknown log priority "${asked ?? ""}", ERROR is used`);
    log = fileLog(file, priority ?? "ERROR", tool, id.name, line);
  }
  return {
    error(text) {
      if (!quiet) line(text);
      log.write("ERROR", text);
    },
    bare(text) {
      session.write(2, `${text}\n`);
      log.write("ERROR", text);
    },
    notice(text) {
      if (!quiet) line(text);
      log.write("WARN", text);
    },
    info(text) {
      log.write("INFO", text);
    },
  };
}

/** The file of -o is there as soon as the command runs, its directory is made; otherwise what LXC says then, for the path as it was given. */
function prepareLog(file: string): ((given: string) => readonly string[]) | null {
  try {
    for (const each of pathAndAncestors(dirname(file))) if (!existsSync(each)) mkdirSync(each);
  } catch (error) {
    const why = fileProblem(error);
    return (given) => [
      `${why} - Failed to create directory "${given}"`,
      `${why} - Failed to create dir for log file "${given}"`,
      `${why} - Failed to enable logfile`,
    ];
  }
  try {
    closeSync(openSync(file, "a", 0o640));
    return null;
  } catch (error) {
    const why = fileProblem(error);
    return (given) => [`${why} - Failed to open log file "${given}"`, `${why} - Failed to enable logfile`];
  }
}

/** Prints an engine's error in LXC's words; the result is the exit status. */
export function reportFailure(call: Pick<Call, "table" | "id" | "report">, error: unknown): number {
  const failure = toFailure(error, { tool: call.table.tool, name: call.id.name, store: call.id.storePath });
  for (const line of failure.lines) {
    if (line.bare === true) call.report.bare(line.text);
    else call.report.error(line.text);
  }
  return failure.status;
}

/** What a start warns of: told, and logged as LXC logs it. */
export const warnOf =
  ({ report }: Pick<Call, "report">): NonNullable<StartOptions["warn"]> =>
  (fault) => {
    report.notice(showFault(fault));
  };

/** Makes a command of a table and what it does: options, help, name, container path, logging and the words for errors. */
export function lxcCommand(table: CommandTable, body: Body, frame: Frame = {}): TabledCommand {
  return withTable(table, async (raw, engine) => {
    let session = raw;
    const { caller } = session;
    const isOwn = frame.isOwn === true;
    const tool = invocation(table.tool);
    const usageProblem = (text: string): number => {
      session.write(2, `${tool}: ${text}\n`);
      return 1;
    };

    const parsed = parseOptions(table, session.argv.slice(1), () => posixly(caller));
    if (parsed.kind === "problem") {
      session.write(
        2,
        isOwn
          ? `${tool}: ${parsed.text}; ${tool} --help lists the options\n`
          : `${tool}: ${parsed.text}\n${helpText(table)}`,
      );
      return 1;
    }
    const { options } = parsed;
    const asked = options.given.find(([long]) => long === "help" || long === "usage" || long === "version")?.[0];
    switch (asked) {
      case "help":
        session.write(isOwn ? 1 : 2, helpText(table));
        await frame.afterHelp?.({ options, session, engine });
        return 0;
      case "usage":
        session.write(2, usageText(table));
        return 0;
      case "version":
        session.write(1, isOwn ? `islet ${isletVersion}\n` : `${lxcVersion}\n`);
        return 0;
      default:
        break;
    }
    if (table.manyPaths !== true && options.values("lxcpath").length > 1) {
      session.write(2, "This command only accepts 1 -P,--lxcpath arguments\n");
      return 1;
    }

    let operands = options.operands;
    let name = "";
    if (table.named) {
      const given = options.value("name");
      name = given ?? operands[0] ?? "";
      if (given === null) operands = operands.slice(1);
      const problem = nameProblem(name);
      if (problem !== null) {
        usageProblem(problem);
        if (name === "") tellHint({ session, options, tool }, `${tool} -n NAME; islet ls shows the names`);
        return 1;
      }
    }

    const shown = withProgress(raw, options.has("quiet"));
    session = shown.session;
    const id: ContainerId = { storePath: storePath(options, caller), name };
    const report = makeReport(tool, id, options, session);
    const log = options.value("logfile");
    if (log !== null && log !== "none") {
      const problem = prepareLog(resolve(caller.cwd, log));
      if (problem !== null) {
        if (!options.has("quiet"))
          for (const text of problem(log))
            session.write(2, `${tool}: ${id.name === "" ? "" : `${id.name}: `}${text}\n`);
        return 1;
      }
    }
    const call: Call = {
      table,
      tool,
      options,
      operands,
      id,
      stores: options.has("lxcpath")
        ? options.values("lxcpath").map((path) => resolve(caller.cwd, path))
        : [id.storePath],
      report,
      progress: shown.progress,
      runUnseen: (task) => raw.run(task),
      session,
      engine,
      caller,
      resolve: (path) => (isAbsolute(path) ? path : resolve(caller.cwd, path)),
    };
    try {
      return await body(call);
    } catch (error) {
      if (error instanceof UsageError) {
        if (error.message !== "") session.write(2, `${tool}: ${error.message}\n`);
        return isOwn ? 1 : usageProblem("could not parse command line");
      }
      const status = reportFailure(call, error);
      await tellHintFor(call, error);
      return status;
    }
  });
}

/** A non-negative decimal number of an option, as LXC's strtoul-based parsers take it. */
export function unsignedOption(options: ParsedOptions, long: string): number | null {
  const text = options.value(long);
  if (text === null) return null;
  if (!/^[0-9]{1,10}$/.test(text) || Number(text) > 0xfffffffe)
    throw new UsageError(`"${text}" is not a number that --${long} takes`);
  return Number(text);
}

export type OutputFormat = "text" | "json";

export function outputFormat(options: ParsedOptions): OutputFormat {
  const text = options.value("format") ?? "text";
  if (text === "text" || text === "json") return text;
  throw new UsageError(`"${text}" is no output format; text and json are`);
}

/** Numbers that a double cannot hold exactly become strings. */
const exact = (_key: string, item: unknown): unknown =>
  typeof item === "bigint" ? (item <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(item) : String(item)) : item;

/** JSON for programs, indented. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, exact, 2)}\n`;
}

/** One of many values that come one after another: a line each. */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value, exact)}\n`;
}

/** `--format` of the commands that look at their words themselves, and the other words. */
export function takeFormat(words: readonly string[]): {
  readonly format: string | null;
  readonly rest: readonly string[];
} {
  const at = words.findIndex((word) => word === "--format" || word.startsWith("--format="));
  const word = words[at];
  if (word === undefined) return { format: null, rest: words };
  if (word !== "--format") return { format: word.slice("--format=".length), rest: words.toSpliced(at, 1) };
  return { format: words[at + 1] ?? "", rest: words.toSpliced(at, 2) };
}
