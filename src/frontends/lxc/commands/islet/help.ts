import { nearest } from "../../../../base/nearest.js";
import type { Command } from "../../../../engine/engine.js";
import { type Call, lxcCommand } from "../frame.js";
import type { CommandTable } from "../getopt.js";
import { helpText } from "../help.js";
import { tableOf } from "../tabled.js";
import { isletCommands } from "./commands.js";
import { helpOption } from "./options.js";

export const helpTable: CommandTable = {
  tool: "islet-help",
  synopsis: "[COMMAND]",
  description: "Lists the commands, or shows the options of one.",
  options: helpOption,
  operands: "any",
  named: false,
};

type Loaders = Readonly<Record<string, () => Promise<Command>>>;

/** What `islet VERB` runs; null: there is no such command. `lxc-VERB` is always LXC's. */
export function findVerb(
  verb: string,
  lxc: Loaders,
): { readonly name: string; readonly load: () => Promise<Command> } | null {
  const own = Object.hasOwn(isletCommands, verb) ? isletCommands[verb] : undefined;
  if (own !== undefined) return { name: `islet-${verb}`, load: own };
  const name = verb.startsWith("lxc-") ? verb : `lxc-${verb}`;
  const load = Object.hasOwn(lxc, name) ? lxc[name] : undefined;
  return load === undefined ? null : { name, load };
}

/** Verbs of LXC's commands, sorted. */
const lxcVerbs = (lxc: Loaders): readonly string[] =>
  Object.keys(lxc)
    .filter((name) => name.startsWith("lxc-"))
    .map((name) => name.slice(4))
    .sort();

/** The line about a command that does not exist. */
export function unknownVerb(verb: string, lxc: Loaders): string {
  const near = nearest(verb, [...Object.keys(isletCommands), "daemon", ...lxcVerbs(lxc)], verb.length < 3 ? 1 : 2);
  return `there is no command "${verb}"; ${near === null ? "" : `did you mean ${near}? `}islet help lists them`;
}

/** The commands, in lines of at most 80 columns. */
export async function isletHelp(lxc: Loaders): Promise<string> {
  const own: (readonly [string, string])[] = [];
  for (const [verb, load] of Object.entries(isletCommands)) {
    const sentence = /^.*?[.](?=\s|$)/s.exec(tableOf(await load())?.description ?? "")?.[0] ?? "";
    own.push([verb, sentence.slice(0, -1)]);
  }
  own.push(["daemon", "Be the daemon, in the foreground: for service managers"]);
  own.sort(([left], [right]) => (left < right ? -1 : 1));
  const verbs = lxcVerbs(lxc).filter((verb) => !Object.hasOwn(isletCommands, verb));
  const rows: string[] = [];
  for (const verb of verbs) {
    const last = rows.at(-1);
    if (last === undefined || last.length + 1 + verb.length > 80) rows.push(`  ${verb}`);
    else rows[rows.length - 1] = `${last} ${verb}`;
  }
  return [
    "Usage: islet COMMAND [OPTION...]",
    "",
    "Of islet alone:",
    ...own.map(([verb, text]) => `  ${verb.padEnd(9)} ${text}`),
    "",
    "Every lxc-COMMAND is also `islet COMMAND`:",
    ...rows,
    "",
    "`islet help COMMAND` shows the options of a command. `islet lxc-ls` and `islet lxc-top` are LXC's.",
    "",
  ].join("\n");
}

async function body(call: Call): Promise<number> {
  // This module is part of what it lists.
  const { commands } = await import("../../index.js");
  const [verb] = call.operands;
  if (verb === undefined) {
    call.session.write(1, await isletHelp(commands));
    return 0;
  }
  const found = findVerb(verb, commands);
  if (found === null) {
    call.session.write(2, `islet help: ${unknownVerb(verb, commands)}\n`);
    return 1;
  }
  const table = tableOf(await found.load());
  if (table !== null) call.session.write(1, helpText(table));
  return 0;
}

export const help: Command = lxcCommand(helpTable, body, { isOwn: true });
