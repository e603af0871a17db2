import type { Command } from "../../../../engine/engine.js";
import { lxcCommand } from "../frame.js";
import type { CommandTable } from "../getopt.js";
import { isletVersion } from "../options.js";
import { helpOption } from "./options.js";

export const versionTable: CommandTable = {
  tool: "islet-version",
  synopsis: "",
  description: "Prints islet's version.",
  options: helpOption,
  operands: "any",
  named: false,
};

export const version: Command = lxcCommand(
  versionTable,
  ({ session }) => {
    session.write(1, `islet ${isletVersion}\n`);
    return Promise.resolve(0);
  },
  { isOwn: true },
);
