// What the scripts share: where the checkout is, running commands, saying things.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/** A failure that has been put into words: printed without a stack. */
export class Failure extends Error {}

/**
 * Runs a command to its end. Output is captured, or passed through with `show`. Never throws for an exit status.
 * `timeout` is in seconds.
 */
export function run(command, args, { cwd = root, env = process.env, show = false, timeout = 600, input } = {}) {
  const result = spawnSync(command, args, {
    cwd,
    env,
    input,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    timeout: timeout * 1000,
    killSignal: "SIGKILL",
    stdio: show ? ["ignore", "inherit", "inherit"] : [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  const note =
    result.error?.code === "ETIMEDOUT"
      ? `${command}: no end after ${timeout} s\n`
      : result.error
        ? `${command}: ${result.error.message}\n`
        : "";
  return {
    ok: result.status === 0,
    status: result.status ?? (result.error?.code === "ETIMEDOUT" ? 124 : 127),
    stdout: result.stdout ?? "",
    stderr: (result.stderr ?? "") + note,
  };
}

/** Like run, but a non-zero status is a Failure that carries the output. */
export function must(command, args, options = {}) {
  const result = run(command, args, options);
  if (!result.ok) {
    const output = `${result.stdout}${result.stderr}`.trimEnd();
    throw new Failure(`${[command, ...args].join(" ")}: exit status ${result.status}${output ? `\n${output}` : ""}`);
  }
  return result;
}

/** Full path of a command on PATH (or in the sbin directories, which a user's PATH may lack), or null. */
export function which(name) {
  for (const dir of [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin", "/usr/bin", "/bin"]) {
    if (dir !== "" && existsSync(join(dir, name))) return join(dir, name);
  }
  return null;
}

/** All files below a directory (relative to the checkout), as paths relative to the checkout, sorted. */
export function filesBelow(dir, accept = () => true) {
  const top = join(root, dir);
  if (!existsSync(top)) return [];
  return readdirSync(top, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length + 1))
    .filter(accept)
    .toSorted();
}

export function mtime(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

const colour = process.stdout.isTTY === true && process.env.NO_COLOR === undefined && process.env.TERM !== "dumb";
const paint = (code) => (text) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
export const bold = paint("1");
export const dim = paint("2");
export const red = paint("31");
export const green = paint("32");
export const yellow = paint("33");

/** Runs a script's main function: a Failure becomes its text and exit status 1. */
export async function main(body) {
  try {
    process.exitCode = (await body()) ?? 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Failure ? red(error.message) : (error?.stack ?? String(error))}\n`);
    process.exitCode = 1;
  }
}
