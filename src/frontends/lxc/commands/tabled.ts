import type { Command } from "../../../engine/engine.js";
import type { CommandTable } from "./getopt.js";

/** A command that carries the table it was made of: what is generated of all commands finds it by the command alone. */
export type TabledCommand = Command & { readonly table: CommandTable };

/** `command` is a new function, made for this table alone. */
export function withTable(table: CommandTable, command: Command): TabledCommand {
  return Object.assign(command, { table });
}

/** null: a command without options of its own (`islet`). */
export function tableOf(command: Command): CommandTable | null {
  return "table" in command ? (command as TabledCommand).table : null;
}
