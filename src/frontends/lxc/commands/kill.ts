import { IsletError } from "../../../base/errors.js";
import type { Command } from "../../../engine/engine.js";
import { type Call, lxcCommand } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { commonOptions } from "./options.js";

export const killTable: CommandTable = {
  tool: "lxc-kill",
  synopsis: "--name=NAME [SIGNUM]",
  description: "Sends a signal (9) to a container's init. A command of LXC before 1.0; today's is lxc-stop -k.",
  options: commonOptions,
  operands: "any",
  named: true,
  notes: [
    "SIGNUM is a number from 1 to 64, no name. The signal is sent whatever the state: a frozen init gets it when it is thawed.",
    "Exit status: 0 sent, 255 not.",
  ],
};

const SIGKILL = 9;
/** The number behind the last signal (signal(7), NSIG). */
const behindLast = 65;
const failed = 255;

async function body(call: Call): Promise<number> {
  const { engine, id, operands, report } = call;
  const [text] = operands;
  const signal = text === undefined ? SIGKILL : /^[0-9]{1,3}$/.test(text) ? Number(text) : 0;
  if (signal === 0 || signal >= behindLast) {
    report.error(`'${text ?? ""}' isn't a valid signal number`);
    return failed;
  }
  try {
    await engine.signal(id, signal);
    return 0;
  } catch (error) {
    if (!(error instanceof IsletError) || error.code !== "ISLET_NOT_RUNNING") throw error;
    report.error("failed to get the init pid");
    return failed;
  }
}

export const kill: Command = lxcCommand(killTable, body);
