import { bold, escape, heading, inline, italic, line, page, tagged, title, usage } from "../roff.js";
import type { CommandTable, OptionRow } from "./getopt.js";
import { groups, invocation, visibleShorts } from "./help.js";
import { isletVersion } from "./options.js";

/** The man pages of commands: section 1, one for each table, and islet(1), which lists them. */

const release = `islet ${isletVersion}`;
const exitNote = "Exit status: ";

/** A sentence as what follows the dash in a NAME section. */
function purpose(description: string): string {
  const sentence = /^.*?[.](?=\s|$)/s.exec(description)?.[0].slice(0, -1) ?? description;
  return /^[A-Z][a-z]/.test(sentence) ? sentence.charAt(0).toLowerCase() + sentence.slice(1) : sentence;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

function forms(row: OptionRow): string {
  const shown = visibleShorts(row);
  const long =
    row.argument === null
      ? bold(`--${row.long}`)
      : row.optional === true
        ? line(bold(`--${row.long}`), "[=", italic(row.argument), "]")
        : line(bold(`--${row.long}`), "=", italic(row.argument));
  return [...shown.short.map((letter) => bold(`-${letter}`)), long].join(", ");
}

/** `text` names other commands: those that exist, in the order of the alphabet. */
function mentioned(table: CommandTable, names: readonly string[]): readonly string[] {
  const text = [table.description, ...(table.notes ?? []), ...table.options.map((row) => row.help)].join("\n");
  const words = new Set(text.match(/\b(?:lxc|islet)-[a-z]+(?:-[a-z]+)*/g) ?? []);
  return [...names].sort().filter((name) => name !== table.tool && words.has(name));
}

const reference = (name: string, section: number): string => line(bold(name), `(${section})`);

/** The page of one command. `names`: of all commands that have a page. */
export function commandManPage(table: CommandTable, names: readonly string[]): string {
  const lines = [
    title(table.tool, 1, release),
    heading("Name"),
    line(escape(table.tool), " \\- ", escape(purpose(table.description))),
    heading("Synopsis"),
    ...table.synopsis
      .split("\n")
      .flatMap((text, index) => [
        ...(index === 0 ? [] : [".br"]),
        line(bold(invocation(table.tool)), text === "" ? "" : " ", usage(text)),
      ]),
    heading("Description"),
    inline(table.description),
    ...(table.options.length === 0 ? [] : [heading("Options")]),
  ];
  for (const [name, rows] of groups(table)) {
    if (rows.length === 0) continue;
    if (name !== "Options") lines.push(`.SS "${escape(name)}"`);
    for (const row of rows) lines.push(...tagged(forms(row), row.help === "" ? "\\&" : inline(capital(row.help))));
  }
  const notes = table.notes ?? [];
  const exits = notes.filter((note) => note.startsWith(exitNote));
  const others = notes.filter((note) => !note.startsWith(exitNote));
  if (others.length > 0) {
    lines.push(heading("Notes"), ...others.flatMap((note, index) => [...(index === 0 ? [] : [".PP"]), inline(note)]));
  }
  if (exits.length > 0) {
    lines.push(heading("Exit status"), ...exits.map((note) => inline(capital(note.slice(exitNote.length)))));
  }
  const related = [
    reference("islet", 1),
    ...mentioned(table, names).map((name) => reference(name, 1)),
    ...(table.named ? [reference("lxc.container.conf", 5)] : []),
  ];
  lines.push(heading("See also"), related.join(",\n"));
  return page("the option table of the command", lines);
}

/** A second name of a command shows the page of the first. */
export const aliasManPage = (tool: string): string => `.so man1/${tool}.1\n`;

/** islet(1): what there is. */
export function isletManPage(tables: readonly CommandTable[]): string {
  return page("the option tables of the commands", [
    title("islet", 1, release),
    heading("Name"),
    "islet \\- run whole operating systems in containers",
    heading("Synopsis"),
    line(bold("islet"), " ", usage("COMMAND [OPTION...]")),
    heading("Description"),
    inline(
      "islet runs system containers: whole operating systems, with an init, services, logins and consoles, that share the host's kernel. Its commands are those of LXC, on LXC's configuration files. Every `lxc-COMMAND` is also `islet COMMAND`.",
    ),
    heading("Commands"),
    ...tables.flatMap((table) => tagged(reference(table.tool, 1), `${inline(capital(purpose(table.description)))}.`)),
    ...tagged(
      line(bold("islet daemon")),
      inline("Be the daemon, in the foreground, with the socket that a service manager has given: sd_listen_fds(3)."),
    ),
    heading("Environment"),
    ...tagged(
      bold("ISLET_RUNTIME_DIR"),
      inline(
        "Directory of the daemon's and the monitors' sockets, instead of /run/islet: for tests and second instances.",
      ),
    ),
    heading("Files"),
    ...tagged(italic("/var/lib/lxc/NAME/config"), inline("The configuration of a container: lxc.container.conf(5).")),
    ...tagged(italic("/etc/lxc/"), "System\\-wide and default configuration."),
    ...tagged(
      italic("/run/islet/socket"),
      inline(
        "Where the daemon listens. The first command starts it; it may be killed at any time, containers go on running.",
      ),
    ),
    heading("See also"),
    [...tables.map((table) => reference(table.tool, 1)), reference("lxc.container.conf", 5)].join(",\n"),
  ]);
}
