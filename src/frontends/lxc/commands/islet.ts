import { errorLines } from "../../../base/errors.js";
import type { Command, CommandSession } from "../../../engine/engine.js";
import { type Call, lxcCommand, warnOf } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { commonOptions, isletVersion, option } from "./options.js";
import { definitionsOf, startConfig } from "./start.js";

export type CommandLoaders = Readonly<Record<string, () => Promise<Command>>>;

export const planTable: CommandTable = {
  tool: "islet-plan",
  synopsis: "--name=NAME [OPTION...] [-- COMMAND...]",
  description:
    "Shows the program that lxc-start would run, one line per system call, without running it. Called as `islet plan`.",
  options: [
    option("json", "as JSON"),
    option("rcfile", "read the configuration from FILE", { short: "f", argument: "FILE" }),
    option("define", "set a configuration key", { short: "s", argument: "KEY=VAL" }),
    ...commonOptions,
  ],
  operands: "command",
  named: true,
};

async function planBody(call: Call): Promise<number> {
  const { operands, engine, session, caller } = call;
  const config = await startConfig(call, definitionsOf(call.options));
  if (config === null) return 1;
  const command = operands.length === 0 ? null : operands;
  const spec = config.spec(call.id, caller, { command, mode: "exec" }, call.report.notice);
  const planned = await engine.plan(spec, { caller, pidFile: null, console: "monitor", warn: warnOf(call) });
  const text = planned.text.endsWith("\n") ? planned.text : `${planned.text}\n`;
  session.write(1, call.options.has("json") ? `${JSON.stringify(planned.json, null, 2)}\n` : text);
  return 0;
}

const plan: Command = lxcCommand(planTable, planBody);

/** The same session under another name. */
function renamed(session: CommandSession, argv: readonly string[]): CommandSession {
  return {
    argv,
    caller: session.caller,
    stdio: session.stdio,
    terminals: session.terminals,
    rows: session.rows,
    columns: session.columns,
    write: (descriptor, text) => session.write(descriptor, text),
    run: (task) => session.run(task),
    relay: (descriptor, options) => session.relay(descriptor, options),
    gone: session.gone,
    screen: (on) => session.screen(on),
  };
}

export function isletHelp(loaders: CommandLoaders): string {
  const verbs = Object.keys(loaders)
    // `islet version` is islet's own.
    .filter((name) => name.startsWith("lxc-") && name !== "lxc-version")
    .map((name) => name.slice(4))
    .sort();
  return [
    "Usage: islet COMMAND [OPTION...]",
    "",
    "Every lxc-COMMAND is also `islet COMMAND`:",
    `  ${verbs.join(" ")}`,
    "",
    "Of islet alone:",
    "  plan NAME [--json]   show the system calls that starting NAME would make",
    "  version              print the version",
    "  daemon               be the daemon, in the foreground: for service managers",
    "  help                 show this",
    "",
    "`islet COMMAND --help` shows the options of a command.",
    "",
  ].join("\n");
}

/** `islet`: commands by verb. `islet start` and `islet lxc-start` are lxc-start. */
export function islet(loaders: CommandLoaders): Command {
  return async (session, engine) => {
    const [, verb, ...rest] = session.argv;
    switch (verb) {
      case undefined:
        session.write(2, isletHelp(loaders));
        return 1;
      case "help":
      case "--help":
      case "-h":
        session.write(1, isletHelp(loaders));
        return 0;
      case "version":
      case "--version":
        session.write(1, `islet ${isletVersion}\n`);
        return 0;
      case "plan":
        return await plan(renamed(session, ["islet-plan", ...rest]), engine);
      default:
        break;
    }
    const name = verb.startsWith("lxc-") ? verb : `lxc-${verb}`;
    const load = Object.hasOwn(loaders, name) ? loaders[name] : undefined;
    if (load === undefined) {
      session.write(2, `islet: there is no command "${verb}"; islet help lists them\n`);
      return 1;
    }
    let command: Command;
    try {
      command = await load();
    } catch (error) {
      for (const text of errorLines(error)) session.write(2, `islet: ${text}\n`);
      return 1;
    }
    return await command(renamed(session, [name, ...rest]), engine);
  };
}
