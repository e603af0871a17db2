import { IsletError } from "../../../base/errors.js";
import type { Command } from "../../../engine/engine.js";
import { type Call, lxcCommand } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { runForLines } from "./host-output.js";
import { commonOptions, option } from "./options.js";
import { withTable } from "./tabled.js";

export const psTable: CommandTable = {
  tool: "lxc-ps",
  synopsis: "[--lxc | --name=NAME,...] [--] [PS_OPTION...]",
  description: "Lists processes as ps(1) does, with the container each of them is in.",
  options: [
    option("lxc", "only processes in containers"),
    option("name", "only processes in these containers, comma-separated; may be repeated", {
      short: "n",
      argument: "NAME",
    }),
    ...commonOptions.filter((row) => row.long !== "name"),
  ],
  operands: "any",
  named: false,
  manyPaths: true,
  notes: [
    "The first word that is none of these options begins those of ps: `lxc-ps aux`, `lxc-ps -n web1 -- -ef`. The columns must include PID.",
    "The column CONTAINER is empty for processes of the host. The containers of all directories are told, as by the lxc-ps of LXC before 1.0; with `-P`, which may be repeated, those of these directories.",
    "Exit status: that of ps.",
  ],
};

/** argv with `--` put where the options of ps begin. */
export function splitPsWords(argv: readonly string[]): readonly string[] {
  const [tool = "", ...words] = argv;
  let at = 0;
  while (at < words.length) {
    const word = words[at] ?? "";
    if (word === "--") return argv;
    if (/^--[a-z]/.test(word)) {
      const row = psTable.options.find((item) => item.long === word.slice(2).split("=")[0]);
      if (row === undefined) break;
      at += row.argument !== null && !word.includes("=") ? 2 : 1;
    } else {
      const row = /^-.$/.test(word) ? psTable.options.find((item) => item.short.includes(word.charAt(1))) : undefined;
      if (row === undefined) break;
      at += row.argument !== null ? 2 : 1;
    }
  }
  return [tool, ...words.slice(0, at), "--", ...words.slice(at)];
}

/** Where the pid ends in every line, by the header; null: ps shows none. */
export function pidColumn(header: string): number | null {
  const match = /(^|\s)PID(?=\s|$)/.exec(header);
  return match === null ? null : match.index + match[0].length;
}

export function pidOfLine(line: string, end: number): number | null {
  const word = /(\d+)$/.exec(line.slice(0, end))?.[1];
  return word === undefined ? null : Number(word);
}

const heading = "CONTAINER";
/** Of the column; LXC's own. */
const narrowest = 10;

async function body(call: Call): Promise<number> {
  const { engine, options, session, report } = call;
  const names = options.values("name").flatMap((list) => list.split(",").filter((name) => name !== ""));
  const stores = options.has("lxcpath") ? [...new Set(call.stores)] : await engine.activeStores();
  const statuses = await Promise.all(stores.map((store) => engine.active(store)));
  const active = statuses.flat().map((status) => status.name);
  for (const name of names) if (!active.includes(name)) report.notice(`${name} is not running`);
  const isFiltered = options.has("lxc") || names.length > 0;
  const shown = names.length > 0 ? names : active;
  const width = Math.max(narrowest, ...shown.map((name) => name.length));
  // All processes are listed and then selected: a list of pids would be too old when ps reads it.
  const argv = ["ps", ...(isFiltered ? ["-e"] : []), ...options.operands];
  let end: number | null = null;
  let hasHeader = false;
  const made = await engine.hostOutput(argv, call.caller, null);
  const status = await runForLines(call, "ps", "procps", made, async (lines) => {
    let rows = lines;
    let out = "";
    if (!hasHeader) {
      const [header = "", ...others] = lines;
      hasHeader = true;
      rows = others;
      end = pidColumn(header);
      if (end !== null) out += `${heading.padEnd(width)} ${header}\n`;
    }
    if (end === null) return;
    const column = end;
    const pids = rows.map((line) => pidOfLine(line, column));
    const known = pids.filter((pid) => pid !== null);
    const found = await Promise.all(stores.map((store) => engine.containersOf(store, known)));
    const containers = new Map(found.flatMap((one) => [...one]));
    rows.forEach((line, index) => {
      const pid = pids[index] ?? null;
      const container = pid === null ? undefined : containers.get(pid);
      if (isFiltered && (container === undefined || (names.length > 0 && !names.includes(container)))) return;
      out += `${(container ?? "").padEnd(width)} ${line}\n`;
    });
    if (out !== "") session.write(1, out);
  });
  if (hasHeader && end === null && status === 0) {
    throw new IsletError("ISLET_BAD_REQUEST", "no PID column found in `ps' output", {
      hint: "use options of ps that show PID, such as -ef or -o pid,args",
    });
  }
  return status;
}

const command = lxcCommand(psTable, body);

export const ps: Command = withTable(psTable, (session, engine) =>
  command({ ...session, argv: splitPsWords(session.argv) }, engine),
);
