import { IsletError } from "../../../../base/errors.js";
import type { Command } from "../../../../engine/engine.js";
import { type Call, lxcCommand, UsageError } from "../frame.js";
import type { CommandTable } from "../getopt.js";
import { option } from "../options.js";
import { timeoutOf, waitForState, waitTable } from "../wait.js";

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
  const { engine, id, options, report, session } = call;
  if (!options.has("ready")) return await waitForState(call);
  if (options.has("state")) throw new UsageError("--ready and --state are two waits");
  const timeout = timeoutOf(options);
  const left = new AbortController();
  try {
    await call.progress.during(
      {
        what: `waiting for ${id.name} to be ready`,
        limit: timeout === null ? null : { milliseconds: timeout, what: "given up" },
      },
      Promise.race([engine.waitReady(id, timeout, left.signal), session.gone]),
    );
    return 0;
  } catch (error) {
    if (!(error instanceof IsletError) || error.code !== "ISLET_TIMEOUT") throw error;
    report.error(`${error.message}; it is ${(await engine.status(id)).state}`);
    return 1;
  } finally {
    left.abort();
  }
}

export const wait: Command = lxcCommand(isletWaitTable, body, { isOwn: true });
