import type { Command } from "../../../../engine/engine.js";
import { type Call, lxcCommand, warnOf } from "../frame.js";
import type { CommandTable } from "../getopt.js";
import { commonOptions, option } from "../options.js";
import { definitionsOf, startConfig } from "../start.js";

export const planTable: CommandTable = {
  tool: "islet-plan",
  synopsis: "--name=NAME [OPTION...] [-- COMMAND...]",
  description: "Shows the program that lxc-start would run, one line per system call, without running it.",
  options: [
    option("json", "as JSON"),
    option("rcfile", "read the configuration from FILE", { short: "f", argument: "FILE" }),
    option("define", "set a configuration key", { short: "s", argument: "KEY=VAL" }),
    ...commonOptions,
  ],
  operands: "command",
  named: true,
};

async function body(call: Call): Promise<number> {
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

export const plan: Command = lxcCommand(planTable, body, { isOwn: true });
