import { fstatSync } from "node:fs";
import { IsletError } from "../../../base/errors.js";
import type { Command, TakenTerminal } from "../../../engine/engine.js";
import { type Call, lxcCommand, UsageError } from "./frame.js";
import { rcfileIsGood } from "./freeze.js";
import type { CommandTable } from "./getopt.js";
import { commonOptions, option, rcfileOption } from "./options.js";

export const consoleTable: CommandTable = {
  tool: "lxc-console",
  synopsis: "--name=NAME [--tty NUMBER]",
  description: "Joins the terminal with a tty of a running container, or with its console.",
  options: [
    option("tty", "number of the tty; 0 is the console (default: a free one)", { short: "t", argument: "NUMBER" }),
    option("escape", "letter of the escape key, alone or after ^ (^a)", { short: "e", argument: "PREFIX" }),
    ...commonOptions,
    rcfileOption,
  ],
  operands: "any",
  named: true,
  containers: "running",
  notes: [
    "The escape key and then q leave; the escape key twice sends it once. A PREFIX that is no letter leaves no way out but the end of the container.",
    "It ends with status 0 when the user leaves, when the standard input ends and when the container ends or reboots; with 1 when there is no such tty, or somebody else has it.",
    "A tty is taken as long as lxc-console runs. Where no login program of the container uses it, a line on standard error says so.",
  ],
};

/** `-e`: a letter stands for Control and that letter, as LXC counts; null: there is no escape key. */
export function parseEscape(text: string): number | null {
  const char = (text.startsWith("^") ? text[1] : text[0])?.charCodeAt(0) ?? 0;
  const key = 1 + char - (char > 0x5a ? 0x61 : 0x41);
  return char < 0x80 && key >= 1 ? key : null;
}

/** `-t` as LXC's strtoul(3) with any base reads it; null: any that is free. */
export function parseTty(text: string | null): number | null {
  if (text === null) return null;
  const digits = /^[ \t\n\v\f\r]*\+?(0x[0-9a-f]+|[0-9]+)$/i.exec(text)?.[1] ?? "";
  const octal = /^0[0-9]+$/.test(digits);
  const number = octal ? Number(`0o${digits.slice(1)}`) : Number(digits);
  if (digits === "" || Number.isNaN(number) || number > 0xffffffff)
    throw new UsageError(`"${text}" is not the number of a tty`);
  return number === 0xffffffff ? null : number;
}

/** Descriptors that epoll(7) takes, and LXC with it: files and /dev/null are never waited for. */
function canBeWaitedFor(descriptor: number): boolean {
  const stat = fstatSync(descriptor);
  const isMemoryDevice = stat.isCharacterDevice() && stat.rdev >> 8 === 1;
  return !stat.isFile() && !stat.isDirectory() && !isMemoryDevice;
}

function banner(number: number, escape: number): string {
  const key = String.fromCharCode(0x60 + escape);
  return `\nConnected to tty ${number}\nType <Ctrl+${key} q> to exit the console, <Ctrl+${key} Ctrl+${key}> to enter Ctrl+${key} itself\n`;
}

const SIGTERM = 15;

/** Joins the client with the terminal; the exit status. */
async function join(call: Call, terminal: TakenTerminal, escape: number | null): Promise<number> {
  const { engine, id, session } = call;
  const isConsole = terminal.number === 0;
  const resize = (rows: number, columns: number): void => {
    // A tty gets its size from the client; the console is the monitor's.
    if (isConsole) void engine.resizeConsole(id, rows, columns).catch(() => undefined);
  };
  if (session.rows > 0) resize(session.rows, session.columns);
  let leave: (status: number) => void = () => undefined;
  const signalled = new Promise<number>((resolve) => {
    leave = resolve;
  });
  const over = session.relay(terminal.descriptor, {
    escape,
    endsWithInput: true,
    lease: terminal.lease,
    onResize: resize,
    onSignal: (signal) => leave(signal === SIGTERM ? 0 : 128 + signal),
  });
  return await Promise.race([over.then(() => 0), signalled, session.gone]);
}

export async function joinConsole(call: Call): Promise<number> {
  const { engine, id, options, report, session } = call;
  const wanted = parseTty(options.value("tty"));
  const escape = parseEscape(options.value("escape") ?? "^a");
  if (!(await rcfileIsGood(call))) return 1;
  if ((await engine.status(id)).state === "STOPPED")
    throw new IsletError("ISLET_NOT_RUNNING", `${id.name} is not running`);
  const terminal = await engine.takeTerminal(id, wanted);
  try {
    if (!canBeWaitedFor(session.stdio[0])) {
      report.error("the standard input is neither a terminal nor a pipe or socket");
      report.error("Failed to add stdin handler");
      return 1;
    }
    if (escape !== null) session.write(2, banner(terminal.number, escape));
    if (terminal.isInUse === false) {
      report.notice(
        `nothing in the container has tty ${terminal.number} as its terminal: a login prompt needs a getty there`,
      );
    }
    return await join(call, terminal, escape);
  } finally {
    terminal.release();
  }
}

export const console: Command = lxcCommand(consoleTable, joinConsole);
