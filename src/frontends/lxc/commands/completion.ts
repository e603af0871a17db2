import type { CommandTable, OptionRow } from "./getopt.js";
import { visibleShorts } from "./help.js";

/**
 * Completions for bash: a file for each command, made of its table, that says what its options take. What is done with that stands in
 * share/bash-completion/completions/_islet.
 */

/** Kinds of values, as _islet_value knows them; "none": nothing to offer. */
function kindOf(row: OptionRow, table: CommandTable): string {
  const argument = row.argument ?? "";
  if (row.long === "name") return `container:${table.containers ?? "any"}`;
  if (row.long.startsWith("share-")) return "container:running";
  if (/FILE$|^CONFIG$/.test(argument)) return "file";
  if (argument === "DIR" || (argument === "PATH" && /path|rootfs/.test(row.long))) return "directory";
  if (argument === "TEMPLATE") return "template";
  if (row.long === "logpriority") return "words:TRACE DEBUG INFO NOTICE WARN ERROR CRIT ALERT FATAL";
  if (row.words !== undefined) return `words:${row.words.join(" ")}`;
  return "none";
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const functionOf = (name: string): string => `_islet_${name.replace(/[^A-Za-z0-9]/g, "_")}`;

const origin = (from: string): string => `# Made by node scripts/docs.mjs from ${from}; change it there.`;

/** Whether the package lies in /usr/share or is linked there, _islet is beside the real file. */
const prelude =
  'declare -F _islet_complete >/dev/null || . "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/_islet"';

/** The file of a command under one of its names. */
export function commandCompletion(name: string, table: CommandTable): string {
  const takes = new Map<string, string>();
  const options: string[] = [];
  for (const row of table.options) {
    if (options.includes(`--${row.long}`)) continue;
    options.push(...visibleShorts(row).short.map((letter) => `-${letter}`), `--${row.long}`);
    if (row.argument === null) continue;
    const kind = `${row.optional === true ? "?" : ""}${kindOf(row, table)}`;
    for (const form of [...row.short.map((letter) => `-${letter}`), `--${row.long}`]) takes.set(form, kind);
  }
  return [
    origin("the option table of the command"),
    prelude,
    "",
    `${functionOf(name)}() {`,
    "    local -A takes=(",
    ...[...takes].map(([form, kind]) => `        [${quote(form)}]=${quote(kind)}`),
    "    )",
    `    local -a options=(${options.map(quote).join(" ")})`,
    `    local containers=${table.named ? (table.containers ?? "any") : "none"} operands=${table.operands}`,
    "    _islet_complete",
    "}",
    `complete -F ${functionOf(name)} ${name}`,
    "",
  ].join("\n");
}

/** `islet VERB`. `names`: of all commands that have a file. */
export function isletCompletion(names: readonly string[]): string {
  const verbs = [
    ...new Set([...names.map((name) => name.replace(/^(lxc|islet)-/, "")), "daemon", "help", "version"]),
  ].sort();
  return [
    origin("the registered commands"),
    prelude,
    "",
    "_islet_islet() {",
    `    local -a verbs=(${verbs.map(quote).join(" ")})`,
    "    _islet_verbs",
    "}",
    "complete -F _islet_islet islet",
    "",
  ].join("\n");
}
