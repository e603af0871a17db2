import type { Command } from "../../../engine/engine.js";
import type { CommandTable } from "./getopt.js";
import { lxcVersion } from "./options.js";
import { withTable } from "./tabled.js";

/** For the reference page: lxc-version never looked at its command line. */
export const versionTable: CommandTable = {
  tool: "lxc-version",
  synopsis: "",
  description: "Prints the version of LXC that islet is compatible with, in the form of LXC 0.7: `lxc version: 5.0.2`.",
  options: [],
  operands: "any",
  named: false,
  notes: ["Every `lxc-*` command prints the bare number with `--version`; `islet version` prints islet's own."],
};

export const version: Command = withTable(versionTable, (session) => {
  session.write(1, `lxc version: ${lxcVersion}\n`);
  return Promise.resolve(0);
});
