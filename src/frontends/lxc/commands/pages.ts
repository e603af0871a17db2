import { attachTable } from "./attach.js";
import { createTable } from "./create.js";
import { destroyTable } from "./destroy.js";
import { deviceTable } from "./device.js";
import { executeTable } from "./execute.js";
import type { CommandTable } from "./getopt.js";
import { referencePage } from "./help.js";
import { infoTable } from "./info.js";
import { planTable } from "./islet.js";
import { lsTable } from "./ls.js";
import { netstatTable } from "./netstat.js";
import { psTable } from "./ps.js";
import { startTable } from "./start.js";
import { stopTable } from "./stop.js";
import { topTable } from "./top.js";
import { unshareTable } from "./unshare.js";
import { usernsexecTable } from "./usernsexec.js";

/** Every command's table, for what is made of all of them. */
export const commandTables: readonly CommandTable[] = [
  attachTable,
  createTable,
  destroyTable,
  deviceTable,
  executeTable,
  infoTable,
  lsTable,
  netstatTable,
  psTable,
  startTable,
  stopTable,
  topTable,
  unshareTable,
  usernsexecTable,
  planTable,
];

/** The reference pages: path below the package's root, and text. */
export function commandPages(): readonly { readonly path: string; readonly text: string }[] {
  return commandTables.map((table) => ({
    path: `docs/reference/commands/${table.tool}.md`,
    text: referencePage(table),
  }));
}
