import { IsletError } from "../../../base/errors.js";
import { printable } from "../../../base/printable.js";
import type { Command, ContainerEvent } from "../../../engine/engine.js";
import { compileEre } from "./ere.js";
import { type Call, lxcCommand } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { commonOptions, option, rcfileOption } from "./options.js";

export const monitorTable: CommandTable = {
  tool: "lxc-monitor",
  synopsis: "[--name=NAME] [-P PATH]... [-Q]",
  description: "Tells every change of state of containers, and how their main processes end, until it is interrupted.",
  options: [
    option("quit", "accepted; there is no lxc-monitord that could quit", { short: "Q" }),
    ...commonOptions.map((row) =>
      row.long === "name" ? { ...row, help: "names as an extended regular expression (.*: all)" } : row,
    ),
    rcfileOption,
  ],
  operands: "any",
  named: false,
  manyPaths: true,
  notes: [
    "`-P` may be given several times. NAME stands between `^` and `$`, so `web|db` is `^web|db$`, as with LXC. Operands are not looked at.",
    "Lines: `'NAME' changed state to [STATE]`, and `'NAME' exited with status [N]` before STOPPING; N is 0 for a main process that a signal killed.",
    "Each state is told once; LXC says FROZEN and THAWED twice on cgroup v1.",
    "Exit status: 1 the daemon has gone, or NAME is no regular expression. `-Q` does nothing, with status 0.",
  ],
};

/** Names of containers come from their directories, but who knows what a store holds. */
export function eventLine(event: ContainerEvent): string {
  const name = printable(event.name);
  switch (event.kind) {
    case "state":
      return `'${name}' changed state to [${event.state}]\n`;
    case "exit":
      // WEXITSTATUS, without a look at WIFEXITED.
      return `'${name}' exited with status [${(event.waitStatus >> 8) & 0xff}]\n`;
    // LXC knows nothing of it.
    case "ready":
      return "";
    default: {
      const impossible: never = event;
      return impossible;
    }
  }
}

async function body(call: Call): Promise<number> {
  const { engine, options, session, stores } = call;
  if (options.has("quit")) return 0;
  const name = options.value("name") ?? ".*";
  const expression = compileEre(`^${name}$`);
  if (expression === null) throw new IsletError("ISLET_BAD_REQUEST", `failed to compile the regex '${name}'`);
  const stop = await engine.subscribe((event) => {
    if (stores.includes(event.storePath) && expression.test(event.name)) session.write(1, eventLine(event));
  });
  try {
    return await session.gone;
  } finally {
    stop();
  }
}

export const monitor: Command = lxcCommand(monitorTable, body);
