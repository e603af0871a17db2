import { IsletError } from "../../../../base/errors.js";
import type { Command } from "../../../../engine/engine.js";
import { nameProblem } from "../../../../spec/name.js";
import { importFrom } from "../archive-work.js";
import { createTable } from "../create.js";
import { checkStorage, storageRequests } from "../create-storage.js";
import { type Call, lxcCommand, UsageError } from "../frame.js";
import { heardBy } from "../hearing.js";
import { option } from "../options.js";
import type { CommandTable } from "../getopt.js";
import { ownOptions } from "./options.js";

const storageOptions = ["bdev", "lvname", "vgname", "thinpool", "fstype", "fssize", "zfsroot"];

export const importTable: CommandTable = {
  tool: "islet-import",
  synopsis: "FILE|- [NAME] [--keep] [-B TYPE]",
  description: "Makes a container of a file that `islet export` has written.",
  options: [
    option("keep", "the same container: its MAC addresses, names and what it is to its guest stay", { short: "k" }),
    option("large", "also if it unpacks to more than 200 times its size"),
    ...createTable.options.filter(({ long }) => storageOptions.includes(long)),
    ...ownOptions,
  ],
  operands: "any",
  named: false,
  notes: [
    "FILE - is the standard input. Without NAME it is called as it was; a name that is taken is refused.",
    "Everything is looked at on the way in: the archive's checksum, its own description, every name, link, owner and size, and the configuration. What is cut off, changed, leads outside or is a decompression bomb leaves nothing.",
    "It gets new MAC addresses, its name as host name, and is another instance to its guest, unless --keep says that the original is gone for good. Addresses that a bridge reserves for the original are left out.",
    "Hooks, mounts and included files of the host are kept, and each is told: they are those of this host now. Do not start what a stranger gave you before you have read its configuration.",
    "Exit status: 0; 1 on failure.",
  ],
};

async function body(call: Call): Promise<number> {
  const { session, engine, options } = call;
  const [file, given, ...more] = call.operands;
  if (file === undefined) throw new UsageError("which file? islet export NAME makes one");
  if (more.length > 0) throw new UsageError("one file becomes one container");
  if (file === "-" && session.terminals[0]) throw new UsageError("an archive cannot be typed: name a file");
  if (given !== undefined) {
    const problem = nameProblem(given);
    if (problem !== null) throw new IsletError("ISLET_BAD_NAME", problem);
  }
  checkStorage(options);
  const wanted = {
    from: file === "-" ? { descriptor: session.stdio[0] } : { path: call.resolve(file) },
    large: options.has("large"),
    name: given ?? null,
    keep: options.has("keep"),
    storage: storageRequests(options, null),
  };
  const { about, waiting } = heardBy(call, `importing ${file}`);
  const { name } = await call.progress.during(about, importFrom(engine, call.id.storePath, wanted, waiting));
  if (given === undefined) session.write(1, `${name}\n`);
  return 0;
}

export const importCommand: Command = lxcCommand(importTable, body, { isOwn: true });
