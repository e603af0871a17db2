import { attachTable } from "./attach.js";
import { cgroupTable } from "./cgroup.js";
import { createTable } from "./create.js";
import { destroyTable } from "./destroy.js";
import { executeTable } from "./execute.js";
import { freezeTable, unfreezeTable } from "./freeze.js";
import type { CommandTable } from "./getopt.js";
import { referencePage } from "./help.js";
import { infoTable } from "./info.js";
import { planTable } from "./islet.js";
import { killTable } from "./kill.js";
import { lsTable } from "./ls.js";
import { monitorTable } from "./monitor.js";
import { shutdownTable } from "./shutdown.js";
import { startTable } from "./start.js";
import { stopTable } from "./stop.js";
import { waitTable } from "./wait.js";

/** Every command's table, for what is made of all of them. */
export const commandTables: readonly CommandTable[] = [
  attachTable,
  cgroupTable,
  createTable,
  destroyTable,
  executeTable,
  freezeTable,
  infoTable,
  killTable,
  lsTable,
  monitorTable,
  shutdownTable,
  startTable,
  stopTable,
  unfreezeTable,
  waitTable,
  planTable,
];

/** The reference pages: path below the package's root, and text. */
export function commandPages(): readonly { readonly path: string; readonly text: string }[] {
  return commandTables.map((table) => ({
    path: `docs/reference/commands/${table.tool}.md`,
    text: referencePage(table),
  }));
}
