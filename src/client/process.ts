import { constants } from "node:os";
import type { Duplex, Readable, Writable } from "node:stream";
import { IsletError } from "../base/errors.js";
import type { ContainerId } from "../engine/engine.js";
import type { LibraryCalls } from "../engine/library.js";
import { hostArch } from "../host/probe.js";
import { ptyStream } from "../host/pty-stream.js";
import { setTerminalSize } from "./terminal.js";
import { type Run, runTask } from "./runner.js";

/** Commands in a running container. */

export interface CommandOptions {
  /** Set on top of the container's own environment (lxc.environment, PATH, container=lxc). Nothing of this process's is passed on. */
  readonly env?: Readonly<Record<string, string>>;
  /** Working directory in the container; `/` where it does not exist. Default `/`. */
  readonly cwd?: string;
  /** Ids inside. Default 0. */
  readonly uid?: number;
  readonly gid?: number;
}

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

export interface SpawnOptions extends CommandOptions {
  /** Standard error goes where standard output goes, or nowhere. Default: a stream of its own. */
  readonly stderr?: "pipe" | "ignore";
}

export interface TerminalOptions extends CommandOptions {
  /** The command gets a pseudo terminal of the container as its controlling terminal. */
  readonly terminal: TerminalSize;
}

/** A command that runs. */
interface Process {
  /** Resolves with its exit status: 128 + N if signal N killed it. ISLET_NO_COMMAND when there was nothing to run. */
  readonly exit: Promise<number>;
  /** Sends it a signal, SIGTERM by default; nothing happens when it has ended. */
  kill(signal?: NodeJS.Signals | number): void;
}

/** Its streams end when the command and all that inherited them have closed them. */
export interface PipedProcess extends Process {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
}

export interface TerminalProcess extends Process {
  /** What is typed, and what is shown; ends with the terminal's last user. */
  readonly terminal: Duplex;
  resize(size: TerminalSize): void;
}

export interface ExecOptions extends CommandOptions {
  /** Standard input; empty by default. */
  readonly input?: string | Uint8Array;
  /** Milliseconds after which the command is killed (SIGKILL) and ISLET_TIMEOUT thrown. Default: none. */
  readonly timeout?: number;
  /** Aborted, the command is killed and the signal's reason thrown. */
  readonly signal?: AbortSignal;
  /** Bytes of output, of either stream, beyond which the command is killed and ISLET_BAD_REQUEST thrown. Default 64 MiB. */
  readonly maxBuffer?: number;
}

export interface ExecResult {
  /** 128 + N if signal N killed it. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const sigkill = constants.signals.SIGKILL;
const defaultMaxBuffer = 64 * 1024 * 1024;

export function signalNumber(signal: NodeJS.Signals | number): number {
  const number = typeof signal === "number" ? signal : constants.signals[signal];
  if (!Number.isInteger(number) || number < 1 || number > 64)
    throw new IsletError("ISLET_BAD_REQUEST", `there is no signal ${signal}`);
  return number;
}

/** What could not be executed in the container has a code of its own. */
function named(error: unknown, command: string): unknown {
  if (!(error instanceof IsletError) || error.syscall?.startsWith("exec") !== true) return error;
  const why = error.errno === "ENOENT" ? "is not there" : `cannot be executed (${error.errno ?? "unknown"})`;
  return new IsletError("ISLET_NO_COMMAND", `${command} ${why}`, {
    cause: error,
    syscall: error.syscall,
    ...(error.errno === undefined ? {} : { errno: error.errno }),
  });
}

async function begin(
  calls: LibraryCalls,
  id: ContainerId,
  argv: readonly string[],
  options: CommandOptions,
  stdio: Parameters<typeof runTask>[1],
  withTerminal: boolean,
): Promise<Run & { readonly exit: Promise<number> }> {
  const [command] = argv;
  if (command === undefined || command === "") throw new IsletError("ISLET_BAD_REQUEST", "no command was given");
  const wrong = [...argv, ...Object.entries(options.env ?? {}).flat(), options.cwd ?? ""].find((text) =>
    text.includes("\0"),
  );
  if (wrong !== undefined) throw new IsletError("ISLET_BAD_REQUEST", "a NUL in an argument of a command");
  const task = await calls.attach(id, {
    command: argv,
    environment: "clear",
    set: Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`),
    uid: options.uid ?? null,
    gid: options.gid ?? null,
    cwd: options.cwd ?? "/",
    terminals: [withTerminal, withTerminal, withTerminal],
  });
  const run = runTask(task, stdio);
  const exit = run.result.catch((error: unknown) => {
    throw named(error, command);
  });
  exit.catch(() => undefined);
  // Made, not yet executed: whether it could be, `exit` tells.
  await run.started.catch((error: unknown) => {
    throw named(error, command);
  });
  return { ...run, exit };
}

export async function spawnPiped(
  calls: LibraryCalls,
  id: ContainerId,
  argv: readonly string[],
  options: SpawnOptions,
): Promise<PipedProcess> {
  const run = await begin(calls, id, argv, options, ["pipe", "pipe", options.stderr ?? "pipe"], false);
  const { stdin, stdout, stderr } = run.child;
  if (stdin === null || stdout === null) throw new IsletError("ISLET_INTERNAL", "a process without its streams");
  // The command need not read what it is given.
  stdin.on("error", () => undefined);
  return {
    stdin,
    stdout,
    stderr: stderr ?? stdout,
    exit: run.exit,
    kill: (signal = "SIGTERM") => {
      run.signal(signalNumber(signal));
    },
  };
}

export async function spawnInTerminal(
  calls: LibraryCalls,
  id: ContainerId,
  argv: readonly string[],
  options: TerminalOptions,
): Promise<TerminalProcess> {
  const run = await begin(calls, id, argv, options, ["ignore", "ignore", "ignore"], true);
  const master = await run.descriptor;
  setTerminalSize(master, options.terminal);
  const terminal = ptyStream(hostArch(), master);
  const exit = run.exit.then(async (status) => {
    await drained(terminal);
    return status;
  });
  // Nobody need ask.
  exit.catch(() => undefined);
  return {
    terminal,
    resize: (size) => {
      // Its number may be another file's by then.
      if (!terminal.destroyed) setTerminalSize(master, size);
    },
    exit,
    kill: (signal = "SIGTERM") => {
      run.signal(signalNumber(signal));
    },
  };
}

/** Milliseconds for what a command has written to its terminal last; the kernel passes it on by and by. */
const drainTime = 250;

/** Until somebody who reads a terminal has read all of it. What keeps it open, a process in the background, is not waited for. */
async function drained(terminal: Duplex): Promise<void> {
  if (terminal.readableFlowing !== true || terminal.readableEnded || terminal.destroyed) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, drainTime);
    const over = (): void => {
      clearTimeout(timer);
      resolve();
    };
    terminal.once("end", over);
    terminal.once("close", over);
  });
}

/** Collects a stream; calls back when there is too much of it. */
function collect(stream: Readable, limit: number, exceeded: () => void): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  return new Promise((resolve) => {
    stream.on("data", (part: Buffer) => {
      size += part.length;
      if (size > limit) exceeded();
      else parts.push(part);
    });
    stream.on("close", () => {
      resolve(Buffer.concat(parts).toString("utf8"));
    });
  });
}

export async function execute(
  calls: LibraryCalls,
  id: ContainerId,
  argv: readonly string[],
  options: ExecOptions,
): Promise<ExecResult> {
  const { timeout, signal } = options;
  signal?.throwIfAborted();
  const process = await spawnPiped(calls, id, argv, options);
  let timer: NodeJS.Timeout | null = null;
  let aborted = (): void => undefined;
  try {
    return await new Promise<ExecResult>((resolve, reject) => {
      // Not waited for: in a frozen container nothing dies.
      const end = (why: Error): void => {
        process.kill(sigkill);
        process.stdout.destroy();
        process.stderr.destroy();
        reject(why);
      };
      const limit = options.maxBuffer ?? defaultMaxBuffer;
      const tooMuch = (): void => {
        const hint = "use spawn and its streams";
        end(new IsletError("ISLET_BAD_REQUEST", `${argv[0] ?? ""} wrote more than ${limit} bytes`, { hint }));
      };
      if (timeout !== undefined) {
        timer = setTimeout(() => {
          end(new IsletError("ISLET_TIMEOUT", `${argv[0] ?? ""} did not end within ${timeout / 1000} s`));
        }, timeout);
      }
      aborted = (): void => {
        end(signal?.reason instanceof Error ? signal.reason : new Error("aborted"));
      };
      // It may have been while the command began: that is not told any more.
      if (signal?.aborted === true) aborted();
      else signal?.addEventListener("abort", aborted);
      process.stdin.end(options.input ?? "");
      Promise.all([
        process.exit,
        collect(process.stdout, limit, tooMuch),
        collect(process.stderr, limit, tooMuch),
      ]).then(([exitCode, stdout, stderr]) => {
        resolve({ exitCode, stdout, stderr });
      }, reject);
    });
  } finally {
    if (timer !== null) clearTimeout(timer);
    signal?.removeEventListener("abort", aborted);
  }
}
