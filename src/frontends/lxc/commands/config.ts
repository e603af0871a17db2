import type { Command } from "../../../engine/engine.js";
import type { CommandTable } from "./getopt.js";
import { jsonText, takeFormat } from "./frame.js";
import { systemConfig } from "./system.js";
import { formatOption, option } from "./options.js";
import { withTable } from "./tabled.js";

/** For the reference page: lxc-config looks at its first word only, and has none of the common options. */
export const configTable: CommandTable = {
  tool: "lxc-config",
  synopsis: "-l\nITEM",
  description: "Shows settings of the system configuration (lxc.conf): the names there are, or the value of one.",
  options: [
    option("list", "list the names of all settings", { short: "l" }),
    option("help", "show this", { short: "h" }),
    formatOption,
  ],
  operands: "any",
  named: false,
  notes: [
    "ITEM may be cut short: the first name of the list that begins with it is meant. A setting without a value prints `ITEM is not set.`, with status 0; an unknown one prints `Unknown configuration item: ITEM`, with status 1.",
    "Only the first word counts, and `--list` must be written `-l`: so it is in LXC.",
    "`--format json` prints an object: of every setting, or the one asked for, its value, null without one.",
  ],
};

/** lxc-config(1): what -l lists, in its order. */
const items = [
  "lxc.default_config",
  "lxc.lxcpath",
  "lxc.bdev.lvm.vg",
  "lxc.bdev.lvm.thin_pool",
  "lxc.bdev.zfs.root",
  "lxc.cgroup.use",
  "lxc.cgroup.pattern",
] as const;

/** Whatever an option begins with stands for it, the empty word included. */
const standsFor = (word: string, text: string): boolean => text.startsWith(word);

export const config: Command = withTable(configTable, (session) => {
  const [tool = "lxc-config"] = session.argv;
  const { format, rest } = takeFormat(session.argv.slice(1));
  const [word] = rest;
  if (format !== null && format !== "json" && format !== "text") {
    session.write(2, `${tool}: "${format}" is no output format; text and json are\n`);
    return Promise.resolve(1);
  }
  const answer = (text: string, status: number): Promise<number> => {
    session.write(1, `${text}\n`);
    return Promise.resolve(status);
  };
  if (word === undefined || standsFor(word, "-h") || standsFor(word, "--help")) {
    return answer(
      `Usage: ${tool} -l: list all available configuration items\n       ${tool} item: print configuration item`,
      0,
    );
  }
  const values = systemConfig(session.caller).items;
  const answerJson = (names: readonly string[]): Promise<number> => {
    session.write(1, jsonText(Object.fromEntries(names.map((name) => [name, values.get(name) ?? null]))));
    return Promise.resolve(0);
  };
  if (standsFor(word, "-l")) return format === "json" ? answerJson(items) : answer(items.join("\n"), 0);
  const item = items.find((name) => standsFor(word, name));
  if (item === undefined) return answer(`Unknown configuration item: ${word}`, 1);
  if (format === "json") return answerJson([item]);
  return answer(values.get(item) ?? `${word} is not set.`, 0);
});
