import { errorLines, IsletError } from "../../../base/errors.js";
import type { Command, StartOptions } from "../../../engine/engine.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import { execStatus } from "../errors.js";
import { executeEngine } from "./engine-extras.js";
import { type Call, lxcCommand, unsignedOption, UsageError } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import type { Definition } from "./load.js";
import { commonOptions, option, rcfileOption } from "./options.js";
import { definitionsOf, startConfig } from "./start.js";

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
    option("share-net", "share the network namespace of a container or process", { argument: "NAME" }),
    option("share-ipc", "share its IPC namespace", { argument: "NAME" }),
    option("share-uts", "share its UTS namespace", { argument: "NAME" }),
    option("share-pid", "share its pid namespace", { argument: "NAME" }),
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

async function body(call: Call): Promise<number> {
  const { options, engine, report, operands } = call;
  const ids: Definition[] = [];
  for (const kind of ["uid", "gid"] as const) {
    const id = unsignedOption(options, kind);
    if (id !== null) ids.push({ key: `lxc.init.${kind}`, value: String(id) });
  }
  const config = await startConfig(call, [...definitionsOf(options), ...ids]);
  if (config === null) return 1;
  // LXC 5 crashes here.
  if (operands.length === 0 && (config.item("lxc.execute.cmd") ?? "") === "")
    throw new UsageError("Missing command to execute!");
  try {
    const command = operands.length === 0 ? null : operands;
    const made = config.spec(call.id, call.caller, { command, mode: "supervised" }, report.info);
    const spec: ContainerSpec = { ...made, console: { ...made.console, kind: "none", path: null, ttys: 0 } };
    const startOptions: StartOptions = { caller: call.caller, pidFile: null, console: "monitor" };
    if (options.has("daemon")) {
      await engine.start(spec, startOptions);
      return 0;
    }
    const task = await executeEngine(engine).execute(spec, { ...startOptions, terminals: call.session.terminals });
    return await call.session.run(task);
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
