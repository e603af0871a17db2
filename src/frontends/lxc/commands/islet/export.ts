import { IsletError } from "../../../../base/errors.js";
import { type Command, compressions, type Compression } from "../../../../engine/engine.js";
import { exportTo } from "../archive-work.js";
import { heardBy } from "../hearing.js";
import { type Call, lxcCommand, UsageError } from "../frame.js";
import type { CommandTable } from "../getopt.js";
import { option } from "../options.js";
import { ownOptions } from "./options.js";

export const exportTable: CommandTable = {
  tool: "islet-export",
  synopsis: "NAME [FILE|-] [--compress=zstd|gzip|none] [--running]",
  description: "Writes a container into one file, which `islet import` makes a container of again.",
  options: [
    option("compress", "zstd (default, if this host has it), gzip or none", {
      argument: "PROGRAM",
      words: [...compressions],
    }),
    option("running", "also if it runs: it is frozen meanwhile"),
    ...ownOptions,
  ],
  operands: "any",
  named: true,
  notes: [
    "Without FILE it is NAME.tar.zst (.tar.gz, .tar) in the present directory, and its path is printed; - is the standard output. The file is there when it is whole, in place of one of that name; nobody but its owner can read it.",
    "Owners are those that the container itself sees, whatever its id map; extended attributes, ACLs, capabilities, hard links, holes and devices are kept. What is mounted in the root file system is not part of it. Snapshots are not, either.",
    "Paths of its own directory in the configuration fit wherever it is imported, and files there that the configuration names (hooks, fstab) go along, with its settings.",
    "Exit status: 0; 1 on failure, which leaves no file.",
  ],
};

/** --compress. */
function compression(call: Call): Compression | null {
  const text = call.options.value("compress");
  if (text === null) return null;
  const found = compressions.find((each) => each === text);
  if (found === undefined) throw new UsageError(`"${text}" is none of ${compressions.join(", ")}`);
  return found;
}

async function body(call: Call): Promise<number> {
  const { session, engine, id, options, report } = call;
  const [file = null, ...more] = call.operands;
  if (more.length > 0) throw new UsageError("one container into one file");
  if (file === "-" && session.terminals[1])
    throw new UsageError("an archive is nothing for a terminal: name a file, or let a program read it");
  const compress = compression(call);
  const path = (extension: string): string => call.resolve(file ?? `${id.name}.${extension}`);
  const wanted = {
    to: file === "-" ? { descriptor: session.stdio[1] } : { path },
    compress,
    allowRunning: options.has("running"),
  };
  const { about, waiting } = heardBy(call, `exporting ${id.name}`);
  try {
    const { path: made } = await call.progress.during(about, exportTo(engine, id, wanted, waiting));
    if (file === null && made !== null) session.write(1, `${made}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof IsletError) || error.code !== "ISLET_RUNNING" || options.has("running")) throw error;
    report.error(`it is running: stop it, or add --running, which freezes it for the time`);
    return 1;
  }
}

export const exportCommand: Command = lxcCommand(exportTable, body, { isOwn: true });
