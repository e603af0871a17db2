import { errorLines, IsletError } from "../../../base/errors.js";
import type { ClientTask, Command, CommandSession, Engine, StartOptions } from "../../../engine/engine.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import { execStatus } from "../errors.js";
import { commandLine, containerConfig } from "./container-config.js";
import { type Call, lxcCommand, unsignedOption, UsageError } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { commonOptions, option, rcfileOption } from "./options.js";
import { definitionsOf } from "./start.js";

/** What lxc-execute asks of the engine beside its closed list: a container whose main process has the caller's stdio and is its descendant. */
export interface ExecuteEngine extends Engine {
  /** The task's result is the command's exit status (128 + signal). The task ends when the container has ended. ISLET_RUNNING. */
  execute(spec: ContainerSpec, options: StartOptions & { readonly terminals: CommandSession["terminals"] }): Promise<ClientTask>;
}

const canExecute = (engine: Engine): engine is ExecuteEngine => "execute" in engine && typeof engine.execute === "function";

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

/** LXC splits lxc.execute.cmd like a shell without expansions: blanks separate, both kinds of quotes join. */
export function splitQuoted(text: string): readonly string[] {
  const found: string[] = [];
  let word: string | null = null;
  let quote: string | null = null;
  for (const character of text) {
    if (quote !== null) {
      if (character === quote) quote = null;
      else word = `${word ?? ""}${character}`;
    } else if (character === '"' || character === "'") {
      quote = character;
      word ??= "";
    } else if (character === " " || character === "\t") {
      if (word !== null) found.push(word);
      word = null;
    } else word = `${word ?? ""}${character}`;
  }
  if (word !== null) found.push(word);
  return found;
}

async function body(call: Call): Promise<number> {
  const { options, engine, report } = call;
  const uid = unsignedOption(options, "uid");
  const gid = unsignedOption(options, "gid");
  const loaded = await containerConfig(call, definitionsOf(options));
  if (loaded.kind === "failed") return 1;
  if (loaded.kind === "absent") throw new IsletError("ISLET_NOT_FOUND", `there is no container ${call.id.name} in ${call.id.storePath}`);

  const command = call.operands.length > 0 ? call.operands : splitQuoted(loaded.config.item("lxc.execute.cmd") ?? "");
  if (command.length === 0) throw new UsageError("Missing command to execute!");
  const base = await loaded.config.spec(call.id, call.caller);
  const spec: ContainerSpec = {
    ...base,
    init: {
      ...base.init,
      mode: "supervised",
      command: { value: command, at: { file: commandLine, line: 0, key: "" } },
      uid: uid ?? base.init.uid,
      gid: gid ?? base.init.gid,
    },
    console: { ...base.console, kind: "none", path: null, ttys: 0 },
  };
  const startOptions: StartOptions = { caller: call.caller, pidFile: null, console: "monitor" };
  try {
    if (options.has("daemon")) {
      await engine.start(spec, startOptions);
      return 0;
    }
    if (!canExecute(engine)) throw new IsletError("ISLET_UNSUPPORTED", "running a command in the foreground is not available yet", { hint: "use -d" });
    return await call.session.run(await engine.execute(spec, { ...startOptions, terminals: call.session.terminals }));
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
