import { attachTable } from "./attach.js";
import { cgroupTable } from "./cgroup.js";
import { autostartTable } from "./autostart.js";
import { checkconfigTable } from "./checkconfig.js";
import { configTable } from "./config.js";
import { consoleTable } from "./console.js";
import { createTable } from "./create.js";
import { destroyTable } from "./destroy.js";
import { deviceTable } from "./device.js";
import { executeTable } from "./execute.js";
import { freezeTable, unfreezeTable } from "./freeze.js";
import type { CommandTable } from "./getopt.js";
import { referencePage } from "./help.js";
import { infoTable } from "./info.js";
import { planTable } from "./islet.js";
import { listTable } from "./list.js";
import { lsTable } from "./ls.js";
import { monitorTable } from "./monitor.js";
import { startTable } from "./start.js";
import { stopTable } from "./stop.js";
import { waitTable } from "./wait.js";
import { updateConfigTable } from "./update-config.js";
import { versionTable } from "./version.js";
import { netstatTable } from "./netstat.js";
import { psTable } from "./ps.js";
import { startTable } from "./start.js";
import { stopTable } from "./stop.js";
import { topTable } from "./top.js";
import { unshareTable } from "./unshare.js";
import { usernsexecTable } from "./usernsexec.js";

/** Every command that parses options as LXC's tools do and has their common options. */
export const commandTables: readonly CommandTable[] = [
  attachTable,
  autostartTable,
  cgroupTable,
  consoleTable,
  createTable,
  destroyTable,
  deviceTable,
  executeTable,
  freezeTable,
  infoTable,
  lsTable,
  monitorTable,
  planTable,
  startTable,
  stopTable,
  unfreezeTable,
  waitTable,
];

/** Commands that read their command line in their own way; LXC's are scripts, or older than its common options. */
export const otherTables: readonly CommandTable[] = [
  checkconfigTable,
  configTable,
  listTable,
  netstatTable,
  planTable,
  psTable,
  startTable,
  stopTable,
  topTable,
  unshareTable,
  updateConfigTable,
  usernsexecTable,
  versionTable,
];

/** The reference pages: path below the package's root, and text. */
export function commandPages(): readonly { readonly path: string; readonly text: string }[] {
  return [...commandTables, ...otherTables].map((table) => ({
    path: `docs/reference/commands/${table.tool}.md`,
    text: referencePage(table),
  }));
}
