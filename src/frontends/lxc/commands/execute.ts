import { errorLines, IsletError } from "../../../base/errors.js";
import type { Command, CommandSession, StartOptions } from "../../../engine/engine.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import { execStatus } from "../errors.js";
import { type Call, lxcCommand, unsignedOption, UsageError, warnOf } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import type { Definition } from "./load.js";
import { commonOptions, option, rcfileOption, shareOptions } from "./options.js";
import { definitionsOf, ignoreEnded, relayConsole, startConfig, withReplay } from "./start.js";

/** What cgroups, network and hooks of a container that has ended may take to go, milliseconds. */
const cleanupTime = 10_000;

export const executeTable: CommandTable = {
  tool: "lxc-execute",
  synopsis: "--name=NAME [OPTION...] [-- COMMAND...]",
  description: "Runs one command in a container of its own, under a tiny init.",
  options: [
    option("daemon", "return when the command runs", { short: "d" }),
    option("rcfile", "read the configuration from FILE", { short: "f", argument: "FILE" }),
    option("define", "set a configuration key for this run", { short: "s", argument: "KEY=VAL" }),
    option("uid", "user id inside", { short: "u", argument: "UID" }),
    option("gid", "group id inside", { short: "g", argument: "GID" }),
    ...shareOptions,
    ...commonOptions,
    rcfileOption,
  ],
  operands: "command",
  named: true,
  notes: [
    "Exit status: that of COMMAND, 128 + signal if one killed it, 255 if it cannot be executed, 1 if the container could not be made.",
    "Without COMMAND, lxc.execute.cmd of the configuration is run.",
  ],
};

/** Somebody types: the command gets the console's pty as its terminal. Otherwise it writes straight to where the caller does. */
const isInteractive = (session: CommandSession): boolean => session.terminals[0];

/** Which of the caller's descriptors the command gets itself; null: the console's pty in its place. */
function stdioOf(session: CommandSession): NonNullable<StartOptions["stdio"]> {
  if (!isInteractive(session)) return session.stdio;
  const [, output, error] = session.stdio;
  const [, outputTty, errorTty] = session.terminals;
  return [null, outputTty ? null : output, errorTty ? null : error];
}

/** Runs it in the foreground; resolves with the command's status once the name is free again. */
async function foreground(call: Call, spec: ContainerSpec, options: StartOptions): Promise<number> {
  const { engine, id, session } = call;
  let joined: number | null = null;
  const join = (descriptor: number): void => {
    joined = descriptor;
  };
  const { ended } = await engine.execute(spec, {
    ...options,
    stdio: stdioOf(session),
    ...(isInteractive(session) ? { join } : {}),
  });
  const finished = async (): Promise<number> => {
    if (isInteractive(session)) await relayConsole(call, joined).catch(ignoreEnded);
    const status = await ended;
    await engine.wait(id, ["STOPPED"], cleanupTime).catch(() => undefined);
    return status;
  };
  try {
    return await Promise.race([finished(), session.gone]);
  } catch (error) {
    // Whoever ran the command is gone, or can no longer see it: it does not live on unseen.
    await engine.stop(id, { kind: "kill", timeout: null, noKill: false }).catch(() => undefined);
    throw error;
  }
}

async function body(call: Call): Promise<number> {
  const { options, engine, report, operands, session } = call;
  const ids: Definition[] = [];
  for (const kind of ["uid", "gid"] as const) {
    const id = unsignedOption(options, kind);
    if (id !== null) ids.push({ key: `lxc.init.${kind}`, value: String(id) });
  }
  const config = await startConfig(call, [...definitionsOf(options), ...ids]);
  if (config === null) return 1;
  // LXC 5 crashes here.
  if (operands.length === 0 && (config.item("lxc.execute.cmd") ?? "") === "") {
    throw new UsageError("Missing command to execute!");
  }
  try {
    const command = operands.length === 0 ? null : operands;
    const daemon = options.has("daemon");
    const made = config.spec(call.id, call.caller, { command, mode: "supervised" }, report.info);
    const kind = isInteractive(session) && !daemon ? "pty" : "none";
    const spec: ContainerSpec = withReplay({ ...made, console: { ...made.console, kind, path: null, ttys: 0 } });
    const startOptions: StartOptions = { caller: call.caller, pidFile: null, console: "monitor", warn: warnOf(call) };
    if (!daemon) return await foreground(call, spec, startOptions);
    await engine.start(spec, startOptions);
    return 0;
  } catch (error) {
    if (error instanceof IsletError && error.code === "ISLET_RUNNING") throw error;
    for (const text of errorLines(error)) report.error(text);
    // lxc-init has one status for whatever cannot be executed.
    if (execStatus(error) !== null) return 255;
    report.error("Failed run an application inside container");
    return 1;
  }
}

export const execute: Command = lxcCommand(executeTable, body);
