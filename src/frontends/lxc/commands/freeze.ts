import { IsletError } from "../../../base/errors.js";
import type { Command } from "../../../engine/engine.js";
import { containerConfig } from "./container-config.js";
import { type Call, lxcCommand } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { commonOptions, rcfileOption } from "./options.js";

export const freezeTable: CommandTable = {
  tool: "lxc-freeze",
  synopsis: "--name=NAME",
  description: "Freezes a container: all its processes stop where they are until lxc-unfreeze.",
  options: [...commonOptions, rcfileOption],
  operands: "any",
  named: true,
  containers: "running",
  notes: [
    "A container that is frozen already stays so. One whose processes do not freeze within ten seconds is thawed again.",
    "Exit status: 0 it is frozen, 1 it is not.",
  ],
};

export const unfreezeTable: CommandTable = {
  tool: "lxc-unfreeze",
  synopsis: "--name=NAME",
  description: "Lets the processes of a frozen container go on.",
  options: [...commonOptions, rcfileOption],
  operands: "any",
  named: true,
  containers: "frozen",
  notes: [
    "Exit status: 0 it is not frozen (any more, or because it does not run), 1 there is no such container, or failure.",
  ],
};

/** LXC reads the file and does nothing with it; that it can be read counts. */
export async function rcfileIsGood(call: Call): Promise<boolean> {
  return !call.options.has("rcfile") || (await containerConfig(call, { kind: "look" })).kind === "loaded";
}

async function freezeBody(call: Call): Promise<number> {
  if (!(await rcfileIsGood(call))) return 1;
  const freezing = Promise.race([call.engine.freeze(call.id), call.session.gone]);
  await call.progress.during({ what: `freezing ${call.id.name}` }, freezing);
  return 0;
}

async function unfreezeBody(call: Call): Promise<number> {
  const { engine, id } = call;
  if (!(await rcfileIsGood(call))) return 1;
  if ((await engine.status(id)).state === "STOPPED") {
    if (call.options.has("rcfile") || (await engine.readConfig(id)) !== null) return 0;
    throw new IsletError("ISLET_NOT_FOUND", `${id.name} doesn't exist`);
  }
  await Promise.race([engine.unfreeze(id), call.session.gone]);
  return 0;
}

export const freeze: Command = lxcCommand(freezeTable, freezeBody);
export const unfreeze: Command = lxcCommand(unfreezeTable, unfreezeBody);
