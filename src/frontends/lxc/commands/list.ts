import { IsletError } from "../../../base/errors.js";
import { unreachable } from "../../../base/never.js";
import type { Command, State } from "../../../engine/engine.js";
import { autoDirectory, autoLinks } from "./auto-links.js";
import { type Call, jsonText, lxcCommand, outputFormat } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { configurations, defaultStore } from "./system.js";
import { commonOptions, formatOption } from "./options.js";

export const listTable: CommandTable = {
  tool: "lxc-list",
  synopsis: "",
  description:
    "Lists containers by state, in the form of Debian's and Ubuntu's LXC 0.7 and 0.8. Today's command is lxc-ls.",
  options: [
    ...commonOptions.map((row) => (row.long === "name" ? { ...row, help: "accepted; selects nothing" } : row)),
    formatOption,
  ],
  operands: "any",
  named: false,
  notes: [
    "`(auto)` stands behind those that start at boot: `lxc.start.auto = 1`, or a link in `/etc/lxc/auto`. A container whose configuration is broken is listed all the same.",
    "`--format json` prints an array of objects with the members name, state and autostart.",
  ],
};

const headings = ["RUNNING", "FROZEN", "STOPPED"] as const;
type Heading = (typeof headings)[number];

/** Whatever is between two states has processes that run. */
function headingOf(state: State): Heading {
  switch (state) {
    case "FROZEN":
      return "FROZEN";
    case "STOPPED":
      return "STOPPED";
    case "STARTING":
    case "RUNNING":
    case "STOPPING":
    case "ABORTING":
    case "FREEZING":
    case "THAWED":
      return "RUNNING";
    default:
      return unreachable(state);
  }
}

export interface Listed {
  readonly name: string;
  readonly state: State;
  readonly auto: boolean;
}

/** Every heading, the containers below it, a blank line. */
export function listText(entries: readonly Listed[]): string {
  return headings
    .map((heading) => {
      const names = entries.filter((entry) => headingOf(entry.state) === heading);
      return `${heading}\n${names.map(({ name, auto }) => `  ${name}${auto ? " (auto)" : ""}\n`).join("")}\n`;
    })
    .join("");
}

async function startsAlone(call: Call, name: string): Promise<boolean> {
  try {
    const source = await call.engine.readConfig({ storePath: call.id.storePath, name });
    if (source === null) return false;
    const loaded = (await configurations()).loadConfig(source, call.caller);
    return loaded.kind === "loaded" && loaded.config.item("lxc.start.auto") === "1";
  } catch (error) {
    if (error instanceof IsletError) return false;
    throw error;
  }
}

async function body(call: Call): Promise<number> {
  const { engine, caller, session } = call;
  const { storePath } = call.id;
  const linked = autoLinks(autoDirectory, storePath, storePath === defaultStore(caller));
  const [active, defined] = await Promise.all([engine.active(storePath), engine.defined(storePath)]);
  const states = new Map<string, State>(defined.map((name) => [name, "STOPPED"]));
  for (const { name, state } of active) states.set(name, state);
  const entries = await Promise.all(
    [...states].map(async ([name, state]): Promise<Listed> => ({
      name,
      state,
      auto: linked.has(name) || (await startsAlone(call, name)),
    })),
  );
  entries.sort((left, right) => Buffer.compare(Buffer.from(left.name), Buffer.from(right.name)));
  session.write(
    1,
    outputFormat(call.options) === "json"
      ? jsonText(entries.map(({ name, state, auto }) => ({ name, state, autostart: auto })))
      : listText(entries),
  );
  return 0;
}

export const list: Command = lxcCommand(listTable, body);
