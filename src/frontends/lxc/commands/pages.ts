import { commands } from "../index.js";
import type { CommandTable } from "./getopt.js";
import { referencePage } from "./help.js";
import { planTable } from "./islet.js";
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

/** Every command's table, for what is made of all of them. A command with several names has one. */
export const commandTables: readonly CommandTable[] = [
  ...new Set([...registered.map(({ table }) => table), planTable]),
];

/** Further names of commands. */
const aliases: readonly NamedTable[] = registered.filter(({ name, table }) => name !== table.tool);

/** A file made of the tables: path below the package's root, and text. */
export interface GeneratedFile {
  readonly path: string;
  readonly text: string;
}

/** The reference pages. */
export function commandPages(): readonly GeneratedFile[] {
  return commandTables.map((table) => ({
    path: `docs/reference/commands/${table.tool}.md`,
    text: referencePage(table),
  }));
}

/** The man pages. */
export function manPages(): readonly GeneratedFile[] {
  const names = commandTables.map((table) => table.tool);
  return [
    { path: "share/man/man1/islet.1", text: isletManPage(commandTables) },
    ...commandTables.map((table) => ({
      path: `share/man/man1/${table.tool}.1`,
      text: commandManPage(table, names),
    })),
    ...aliases.map(({ name, table }) => ({ path: `share/man/man1/${name}.1`, text: aliasManPage(table.tool) })),
  ];
}
