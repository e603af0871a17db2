import type { Command } from "../../../engine/engine.js";
import { type Call, lxcCommand } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { runForLines } from "./host-output.js";
import { commonOptions } from "./options.js";
import { withTable } from "./tabled.js";

export const netstatTable: CommandTable = {
  tool: "lxc-netstat",
  synopsis: "--name=NAME [--] [NETSTAT_OPTION...]",
  description: "Runs netstat(8) of the host in the network of a running container.",
  options: commonOptions,
  operands: "any",
  named: true,
  notes: [
    "The first word behind the name that is none of these options begins those of netstat: `lxc-netstat -n web1 -tln`.",
    "Exit status: that of netstat, 1 where the container does not run.",
  ],
};

/** argv with `--` put where the options of netstat begin; `-n` after the name is netstat's. */
export function splitNetstatWords(argv: readonly string[]): readonly string[] {
  const [tool = "", ...words] = argv;
  let at = 0;
  let hasName = false;
  while (at < words.length) {
    const word = words[at] ?? "";
    if (word === "--") return argv;
    const long = /^--([a-z]+)(=.*)?$/.exec(word);
    const row = netstatTable.options.find((item) =>
      long === null ? /^-.$/.test(word) && item.short.includes(word.charAt(1)) : item.long === long[1],
    );
    if (row === undefined || (row.long === "name" && hasName)) {
      // The name may stand alone.
      if (hasName || word.startsWith("-")) break;
      hasName = true;
      at += 1;
      continue;
    }
    if (row.long === "name") hasName = true;
    at += row.argument !== null && long?.[2] === undefined ? 2 : 1;
  }
  // Without a name nothing else matters, and no option shall be taken for one.
  if (!hasName) return [tool, ...words.slice(0, at)];
  return [tool, ...words.slice(0, at), "--", ...words.slice(at)];
}

async function body(call: Call): Promise<number> {
  const { engine, id, operands, session } = call;
  if ((await engine.status(id)).state === "STOPPED") {
    call.report.bare(`no process found for '${id.name}'`);
    return 1;
  }
  const made = await engine.hostOutput(["netstat", ...operands], call.caller, id);
  return await runForLines(call, "netstat", "net-tools", made, (lines) => {
    session.write(1, lines.map((line) => `${line}\n`).join(""));
    return Promise.resolve();
  });
}

const command = lxcCommand(netstatTable, body);

export const netstat: Command = withTable(netstatTable, (session, engine) =>
  command({ ...session, argv: splitNetstatWords(session.argv) }, engine),
);
