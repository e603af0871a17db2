import { spawn } from "../host/addon.js";
import { reapWhenDone } from "../host/reap.js";
import { IsletError } from "../base/errors.js";

/** NAME=VALUE, as execve(2) takes it. */
export function environmentStrings(environment: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(environment).map(([name, value]) => `${name}=${value}`);
}

/** Runs a command of the host to its end; its output goes nowhere. Resolves with the exit status (128 + signal). */
export function runHostCommand(
  argv: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<number> {
  const made = spawn(argv[0] ?? "/bin/sh", argv, environmentStrings(environment), [], { cwd: "/", setsid: true });
  return new Promise((resolve) => {
    reapWhenDone(made.pidfd, resolve, true);
  });
}

export async function runHook(
  command: string,
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
  what: string,
): Promise<void> {
  const quoted = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`);
  const status = await runHostCommand(["/bin/sh", "-c", ["exec", command, ...quoted].join(" ")], environment);
  if (status !== 0)
    throw new IsletError("ISLET_HOOK_FAILED", `the ${what} hook ${command} ended with status ${status}`);
}
