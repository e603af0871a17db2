import type { Command } from "../../../../engine/engine.js";
import { type Call, lxcCommand, UsageError } from "../frame.js";
import type { CommandTable } from "../getopt.js";
import { option } from "../options.js";
import { reached, timeoutOf, waitForState, waitTable } from "../wait.js";

export const isletWaitTable: CommandTable = {
  ...waitTable,
  tool: "islet-wait",
  synopsis: "NAME --ready|--state=STATE[|STATE]... [-t T]",
  description: "Waits until a guest says that it is ready, or until a container is in one of the states.",
  options: [option("ready", "until the guest has said that it is ready (PATCH /1.0 of its API)"), ...waitTable.options],
  notes: [
    'A guest says that it is ready through its API (docs/guests/api.md), for instance from cloud-init\'s runcmd: `curl --unix-socket /dev/lxd/sock -X PATCH -d \'{"state":"Ready"}\' lxd/1.0`. A guest that does not run yet is waited for.',
    ...(waitTable.notes ?? []),
  ],
};

async function body(call: Call): Promise<number> {
  const { engine, id, options } = call;
  if (!options.has("ready")) return await waitForState(call);
  if (options.has("state")) throw new UsageError("--ready and --state are two waits");
  const timeout = timeoutOf(options);
  const state = await reached(call, "ready", timeout, (aborted) => engine.waitReady(id, timeout, aborted));
  return state === null ? 0 : 1;
}

export const wait: Command = lxcCommand(isletWaitTable, body, { isOwn: true });
