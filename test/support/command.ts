import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { bin, runtimeDir } from "./paths.js";
import { patience } from "./patience.js";

export interface CommandOptions {
  /** Milliseconds; default 30 s. When it runs out the process is killed and the promise rejects with what it had printed. */
  readonly timeout?: number;
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
}

export interface CommandResult {
  readonly argv: readonly string[];
  /** Exit status, or 128 + signal number as a shell says it. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

const signalNumbers: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGKILL: 9, SIGTERM: 15 };

/** A name that begins with lxc- or is `islet` is the checkout's; Debian's own lxc is called by its path, /usr/bin/lxc-start. */
export function programOf(name: string): string {
  return /^(lxc-.*|islet)$/.test(name) ? bin(name) : name;
}

/** Runs a command with captured output and a deadline. */
export async function command(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [name = "", ...args] = argv;
  const timeout = (options.timeout ?? 30_000) * patience;
  const child = spawn(programOf(name), args, {
    cwd: options.cwd,
    env: { ...process.env, ISLET_RUNTIME_DIR: runtimeDir, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  // A command that does not read its input may be gone before it is written.
  child.stdin.on("error", () => {});
  child.stdin.end(options.input ?? "");
  return await new Promise((resolve, reject) => {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
      // A daemon that kept the pipes open would hold up "close" for ever.
      child.stdout.destroy();
      child.stderr.destroy();
    }, timeout);
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (late) reject(new Error(`${argv.join(" ")}: no end after ${timeout} ms\n${stdout}${stderr}`));
      else resolve({ argv, status: code ?? 128 + (signalNumbers[signal ?? ""] ?? 0), stdout, stderr });
    });
  });
}

/** Like command, but a status other than 0 fails the test with what was printed. Gives back stdout. */
export async function ok(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await command(argv, options);
  assert.equal(result.status, 0, `${argv.join(" ")}: status ${result.status}\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

/** Like command, but the status must be the one given. Gives back the whole result. */
export async function fails(
  argv: readonly string[],
  status: number,
  options: CommandOptions = {},
): Promise<CommandResult> {
  const result = await command(argv, options);
  assert.equal(result.status, status, `${argv.join(" ")}: status ${result.status}\n${result.stdout}${result.stderr}`);
  return result;
}
