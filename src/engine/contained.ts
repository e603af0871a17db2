import { StringDecoder } from "node:string_decoder";
import { IsletError } from "../base/errors.js";
import { printable } from "../base/printable.js";
import { closeFd } from "../host/addon.js";
import type { RunEnd, RunOptions } from "../image/maker.js";
import { planContainedCommand } from "../plan/contained.js";
import type { HostFacts } from "../spec/host.js";
import { clientTask } from "./client-task.js";
import { environmentStrings } from "./commands.js";
import type { FillOptions } from "./engine.js";
import { outputSocket } from "./processes.js";

/** Longer lines are cut into pieces. */
const longestLine = 64 << 10;
const keptLines = 20;

/** MakeContext.run for whoever waits there. */
export async function runContained(
  host: HostFacts,
  argv: readonly string[],
  options: RunOptions,
  { caller, run, signal }: FillOptions,
): Promise<RunEnd> {
  signal?.throwIfAborted();
  const name = argv[0] ?? "";
  const program = planContainedCommand(
    {
      argv,
      environment: environmentStrings({ ...caller.environment, ...options.environment }),
      cwd: caller.cwd,
      hasInput: options.input !== undefined,
      writable: options.writable ?? null,
    },
    host,
  );
  const { output, theirs } = outputSocket(host.arch);
  const finished = run(clientTask(program, options.input === undefined ? [theirs] : [theirs, options.input]));
  finished.catch(() => undefined);
  // The session has taken its own copies.
  closeFd(theirs);
  options.started?.();
  const stop = (): void => {
    output.destroy();
  };
  signal?.addEventListener("abort", stop);
  const lastLines: string[] = [];
  const take = (line: string): void => {
    const text = printable(line);
    if (text.trim() === "") return;
    lastLines.push(text);
    if (lastLines.length > keptLines) lastLines.shift();
    options.line?.(text);
  };
  try {
    const decoder = new StringDecoder("utf8");
    let rest = "";
    for await (const chunk of output) {
      // Progress bars return to the start of the line.
      const parts = (rest + decoder.write(Buffer.from(chunk))).split(/[\r\n]/);
      rest = parts.pop() ?? "";
      if (rest.length > longestLine) {
        parts.push(rest);
        rest = "";
      }
      for (const part of parts) take(part);
    }
    take(rest);
    return { status: await finished, lastLines };
  } catch (error) {
    if (signal?.aborted === true) {
      // Its end: what it wrote to is taken away next.
      await finished.catch(() => undefined);
      throw signal.reason;
    }
    if (error instanceof IsletError && error.syscall?.startsWith("exec") === true && error.errno === "ENOENT")
      throw new IsletError("ISLET_UNSUPPORTED", `the program ${name} is missing on this host`, { cause: error });
    throw error;
  } finally {
    signal?.removeEventListener("abort", stop);
    output.destroy();
  }
}
