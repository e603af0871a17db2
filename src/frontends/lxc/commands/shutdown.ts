import { IsletError } from "../../../base/errors.js";
import type { Command } from "../../../engine/engine.js";
import { type Call, lxcCommand, UsageError } from "./frame.js";
import type { CommandTable, ParsedOptions } from "./getopt.js";
import { commonOptions, option } from "./options.js";

export const shutdownTable: CommandTable = {
  tool: "lxc-shutdown",
  synopsis: "--name=NAME [-w] [-r] [-t T]",
  description: "Asks a container's init to shut down or to reboot. A command of LXC before 1.0; today's is lxc-stop.",
  options: [
    option("wait", "wait for the end", { short: "w" }),
    option("reboot", "reboot it, and do not wait", { short: "r" }),
    option("timeout", "wait so many seconds at most, then kill it", { short: "t", argument: "T" }),
    ...commonOptions,
  ],
  operands: "any",
  named: true,
  notes: [
    "The signals are those of lxc.signal.halt and lxc.signal.reboot; without them what init understands, SIGPWR mostly, and SIGINT.",
    "Exit status: 0, also when it had to be killed; 1 it does not run, or failure.",
  ],
};

/** Milliseconds; null for ever. */
function timeoutOf(options: ParsedOptions): number | null {
  const text = options.value("timeout") ?? "-1";
  if (!/^(-1|[0-9]{1,9})$/.test(text)) throw new UsageError(`"${text}" is no number of seconds`);
  return text === "-1" ? null : Number(text) * 1000;
}

async function body(call: Call): Promise<number> {
  const { engine, id, options, session } = call;
  const timeout = timeoutOf(options);
  if (options.has("reboot")) {
    await engine.stop(id, { kind: "reboot", timeout: 0, noKill: true });
    return 0;
  }
  await engine.stop(id, { kind: "clean", timeout: 0, noKill: true });
  if (!options.has("wait") && !options.has("timeout")) return 0;
  const left = new AbortController();
  try {
    await Promise.race([engine.wait(id, ["STOPPED"], timeout, left.signal), session.gone]);
    session.write(1, `Container ${id.name} has shut down\n`);
  } catch (error) {
    if (!(error instanceof IsletError) || error.code !== "ISLET_TIMEOUT") throw error;
    session.write(1, `Calling lxc-stop on ${id.name}\n`);
    await kill(call);
  } finally {
    left.abort();
  }
  return 0;
}

async function kill({ engine, id }: Call): Promise<void> {
  try {
    await engine.stop(id, { kind: "kill", timeout: null, noKill: false });
  } catch (error) {
    // It ended by itself just now.
    if (!(error instanceof IsletError) || error.code !== "ISLET_NOT_RUNNING") throw error;
  }
}

export const shutdown: Command = lxcCommand(shutdownTable, body);
