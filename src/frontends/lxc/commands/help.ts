import type { CommandTable, OptionRow } from "./getopt.js";
import { commonGroup, mainGroup } from "./options.js";

/** What is typed: islet-ls is `islet ls`. */
export const invocation = (tool: string): string => tool.replace(/^islet-/, "islet ");

const shortForms = (row: OptionRow): string => row.short.map((letter) => `-${letter}`).join(", ");

export function longForm(row: OptionRow): string {
  if (row.argument === null) return `--${row.long}`;
  return row.optional === true ? `--${row.long}[=${row.argument}]` : `--${row.long}=${row.argument}`;
}

/** Rows that are listed: shorts that are digits exist only because LXC numbers its long options so. */
export const visibleShorts = (row: OptionRow): OptionRow =>
  row.long === "line" ? row : { ...row, short: row.short.filter((letter) => !/[0-9]/.test(letter)) };

const widest = 26;

function helpLines(row: OptionRow): readonly string[] {
  const shown = visibleShorts(row);
  const shorts = shortForms(shown);
  const left = `  ${shorts === "" ? "    " : `${shorts}, `}${longForm(shown)}`;
  return left.length < widest ? [`${left.padEnd(widest)}${row.help}`] : [left, `${"".padEnd(widest)}${row.help}`];
}

/** The options under their headings, in the order of --help. */
export function groups(table: CommandTable): ReadonlyMap<string, readonly OptionRow[]> {
  const map = new Map<string, OptionRow[]>([[mainGroup, []]]);
  const name = table.options.find((row) => row.long === "name");
  // LXC lists the name first, although its table has it behind the command's own options.
  const others = table.options.filter(
    (row, index) => row !== name && table.options.findIndex((other) => other.long === row.long) === index,
  );
  for (const row of name === undefined ? others : [name, ...others]) {
    const list = map.get(row.group);
    if (list === undefined) map.set(row.group, [row]);
    else list.push(row);
  }
  const common = map.get(commonGroup);
  if (common !== undefined) {
    map.delete(commonGroup);
    map.set(commonGroup, common);
  }
  return map;
}

/** The text of --help. */
export function helpText(table: CommandTable): string {
  const lines = [`Usage: ${invocation(table.tool)} ${table.synopsis}`, "", table.description, ""];
  for (const [heading, rows] of groups(table)) {
    lines.push(`${heading} :`, ...rows.flatMap(helpLines), "");
  }
  lines.push("An argument that a long option needs, its short form needs too.", "");
  return `${lines.join("\n")}\n`;
}

/** The text of --usage, laid out as LXC does: four options a line, names of arguments made from those of the options. */
export function usageText(table: CommandTable): string {
  let text = `Usage: ${invocation(table.tool)} `;
  let count = 0;
  for (const row of table.options) {
    const upper = row.long.toUpperCase();
    const argument = row.argument === null ? "" : row.optional === true ? `[=${upper}]` : `=${upper}`;
    for (const letter of row.short.length === 0 ? [null] : row.short) {
      text += `[${letter === null ? "" : `-${letter}|`}--${row.long}${argument}] `;
      count += 1;
      if (count % 4 === 0) text += "\n\t";
    }
  }
  return `${text}\n`;
}

const cell = (text: string): string => text.replaceAll("|", "\\|");

/** The reference page of a command (docs/reference/commands/TOOL.md). */
export function referencePage(table: CommandTable): string {
  const lines = [
    `# ${invocation(table.tool)}`,
    "",
    "<!-- made from the option table of the command; do not edit: UPDATE=1 in the test suite rewrites it -->",
    "",
    "```",
    ...table.synopsis.split("\n").map((line) => `${invocation(table.tool)} ${line}`.trimEnd()),
    "```",
    "",
    table.description,
    "",
  ];
  for (const [heading, rows] of groups(table)) {
    if (rows.length === 0) continue;
    lines.push(`## ${heading}`, "", "| option | meaning |", "|---|---|");
    for (const row of rows) {
      const shown = visibleShorts(row);
      const forms = [...shown.short.map((letter) => `\`-${letter}\``), `\`${longForm(shown)}\``].join(", ");
      lines.push(`| ${cell(forms)} | ${cell(row.help)} |`);
    }
    lines.push("");
  }
  for (const note of table.notes ?? []) lines.push(note, "");
  return `${lines.join("\n").trimEnd()}\n`;
}
