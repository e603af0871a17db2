import type { OptionRow } from "./getopt.js";

/** What LXC's own tools print for --version: the level of compatibility, which scripts compare. */
export const lxcVersion = "5.0.2";
export const isletVersion = "0.1.0";

export const mainGroup = "Options";
export const commonGroup = "Common options";

interface RowDetails {
  readonly short?: string;
  readonly argument?: string;
  readonly optional?: boolean;
  readonly words?: readonly string[];
  readonly group?: string;
}

export function option(long: string, help: string, details: RowDetails = {}): OptionRow {
  return {
    long,
    short: (details.short ?? "").split(""),
    argument: details.argument ?? null,
    ...(details.optional === true ? { optional: true } : {}),
    ...(details.words === undefined ? {} : { words: details.words }),
    help,
    group: details.group ?? mainGroup,
  };
}

/** The options every lxc-* command has, in LXC's order. `rcfileShort`: the commands that have -f for it list it themselves. */
export const commonOptions: readonly OptionRow[] = [
  option("name", "name of the container (otherwise the first operand)", { short: "n", argument: "NAME" }),
  option("help", "show this help", { short: "h?", group: commonGroup }),
  option("usage", "list the options, shortly", { group: commonGroup }),
  option("version", "print the version", { group: commonGroup }),
  option("quiet", "write no messages on standard error", { short: "q", group: commonGroup }),
  option("logfile", "also write messages to FILE (none: to no file)", {
    short: "o",
    argument: "FILE",
    group: commonGroup,
  }),
  option("logpriority", "least priority that is logged, a name or number (ERROR)", {
    short: "l",
    argument: "LEVEL",
    group: commonGroup,
  }),
  option("lxcpath", "directory of the containers", { short: "P", argument: "PATH", group: commonGroup }),
];

/** --rcfile for the commands that have no -f of their own for it. */
export const rcfileOption: OptionRow = option("rcfile", "read the configuration from FILE", {
  argument: "FILE",
  group: commonGroup,
});

/** --format: islet's own, so that programs need not parse tables. */
export const formatOption: OptionRow = option("format", "text (default) or json", {
  argument: "FORMAT",
  words: ["text", "json"],
});

/** Namespaces of others that a start can join. */
export const shareOptions: readonly OptionRow[] = [
  option("share-net", "share the network namespace of a container or process", { argument: "NAME" }),
  option("share-ipc", "share its IPC namespace", { argument: "NAME" }),
  option("share-uts", "share its UTS namespace", { argument: "NAME" }),
  option("share-pid", "share its pid namespace", { argument: "NAME" }),
];
