import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cleanup, type Cleaner } from "./cleanup.js";
import { testDir } from "./paths.js";
import { waitFor } from "./wait.js";

/** One system call as strace(1) saw it. */
export interface TracedCall {
  readonly name: string;
  /** As strace prints them: flags by name, strings in quotes. */
  readonly args: readonly string[];
  /** null: it did not return (execve's caller is gone, exit_group). */
  readonly result: number | null;
  /** E..., or null for success. */
  readonly error: string | null;
}

export interface Trace {
  /** Calls per process, in order; complete once `ended` has resolved. */
  readonly calls: (pid: number) => readonly TracedCall[];
  /** Resolves when all that was traced has ended. */
  readonly ended: Promise<void>;
}

/** Follows a process from now on, and all its children unless it is to be `alone`: what is not followed is not slowed down. */
export async function strace(t: Cleaner, pid: number, alone?: "alone"): Promise<Trace> {
  const directory = mkdtempSync(join(testDir, "islt-strace-"));
  const words = [
    ...(alone === "alone" ? ["--output-separately"] : ["-f", "-ff"]),
    "-v",
    "-s",
    "65536",
    "-e",
    "signal=none",
    // A system call only where the kernel has no vdso.
    "-e",
    "trace=!clock_gettime",
    "-o",
    join(directory, "trace"),
    "-p",
    String(pid),
  ];
  const child = spawn("strace", words, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const ended = new Promise<void>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", () => resolve());
  });
  // Whatever happens, nothing stays stopped in its tracks: what strace itself undoes after SIGTERM may wait for ever for a process that is just
  // being made, the kernel lets all of them go when it is gone.
  const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
  cleanup(t)(async () => {
    clearTimeout(timer);
    child.kill("SIGKILL");
    await ended;
    rmSync(directory, { recursive: true, force: true });
  });
  await waitFor("strace to attach", () => /attached/.test(said));
  return {
    ended,
    calls: (of) => {
      const file = readdirSync(directory).find((name) => name === `trace.${of}`);
      return file === undefined ? [] : parseTrace(readFileSync(join(directory, file), "utf8"));
    },
  };
}

/** Lines of an strace of one process; resumed, unfinished and restarted calls, signals and exits are left out. */
export function parseTrace(text: string): readonly TracedCall[] {
  return text.split("\n").flatMap((line): readonly TracedCall[] => {
    const match = /^(\w+)\((.*)\)\s+= (\?|-?\d+|0x[0-9a-f]+)(?: (E[A-Z0-9]+))?/.exec(line);
    if (match === null || line.startsWith("restart_syscall")) return [];
    const [, name = "", args = "", result = "", error] = match;
    // Interrupted by a signal; the kernel makes it again.
    if (error?.startsWith("ERESTART") === true) return [];
    return [{ name, args: splitArguments(args), result: result === "?" ? null : Number(result), error: error ?? null }];
  });
}

/** At the commas that are outside of strings, brackets and braces. */
export function splitArguments(text: string): readonly string[] {
  const out: string[] = [];
  let depth = 0;
  let quoted = false;
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (quoted) {
      if (char === "\\") at += 1;
      else if (char === '"') quoted = false;
    } else if (char === '"') quoted = true;
    else if (char === "[" || char === "{" || char === "(") depth += 1;
    else if (char === "]" || char === "}" || char === ")") depth -= 1;
    else if (char === "," && depth === 0) {
      out.push(text.slice(from, at).trim());
      from = at + 1;
    }
  }
  const last = text.slice(from).trim();
  return last === "" && out.length === 0 ? [] : [...out, last];
}
