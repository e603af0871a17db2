import { commands } from "../index.js";
import { commandCompletion, isletCompletion } from "./completion.js";
import type { CommandTable } from "./getopt.js";
import { referencePage } from "./help.js";
import { isletCommands } from "./islet/commands.js";
import { aliasManPage, commandManPage, isletManPage } from "./man.js";
import { tableOf } from "./tabled.js";

/** What is generated of all commands: those registered in ../index.ts, found by the table that each of them carries. */

interface NamedTable {
  /** What the client is called by. */
  readonly name: string;
  readonly table: CommandTable;
}

const registered: readonly NamedTable[] = (
  await Promise.all(
    Object.entries(commands).map(async ([name, load]) => {
      const table = tableOf(await load());
      return table === null ? [] : [{ name, table }];
    }),
  )
).flat();

const own: readonly CommandTable[] = (
  await Promise.all(
    Object.values(isletCommands).map(async (load) => {
      const table = tableOf(await load());
      return table === null ? [] : [table];
    }),
  )
).flat();

const allTables: readonly CommandTable[] = [...new Set([...registered.map(({ table }) => table), ...own])];

const hasCommonOptions = (table: CommandTable): boolean => table.options.some((row) => row.long === "usage");

/** Every command that has LXC's common options. A command with several names is there once. */
export const commandTables: readonly CommandTable[] = allTables.filter(hasCommonOptions);

/** Commands that read their command line in a way of their own; LXC's are scripts, or older than its common options. */
export const otherTables: readonly CommandTable[] = allTables.filter((table) => !hasCommonOptions(table));

/** Further names of commands. */
const aliases: readonly NamedTable[] = registered.filter(({ name, table }) => name !== table.tool);

/** A file made of the tables: path below the package's root, and text. */
export interface GeneratedFile {
  readonly path: string;
  readonly text: string;
}

/** The reference pages. */
export function commandPages(): readonly GeneratedFile[] {
  return allTables.map((table) => ({
    path: `docs/reference/commands/${table.tool}.md`,
    text: referencePage(table),
  }));
}

/** The man pages. */
export function manPages(): readonly GeneratedFile[] {
  const names = allTables.map((table) => table.tool);
  return [
    { path: "share/man/man1/islet.1", text: isletManPage(allTables) },
    ...allTables.map((table) => ({
      path: `share/man/man1/${table.tool}.1`,
      text: commandManPage(table, names),
    })),
    ...aliases.map(({ name, table }) => ({ path: `share/man/man1/${name}.1`, text: aliasManPage(table.tool) })),
  ];
}

/** The completions of bash; share/bash-completion/completions/_islet, which they call, is written by hand. */
export function completionFiles(): readonly GeneratedFile[] {
  const folder = "share/bash-completion/completions";
  const named = [...allTables.map((table) => ({ name: table.tool, table })), ...aliases];
  return [
    { path: `${folder}/islet`, text: isletCompletion(named.map(({ name }) => name)) },
    ...named.map(({ name, table }) => ({ path: `${folder}/${name}`, text: commandCompletion(name, table) })),
  ];
}
