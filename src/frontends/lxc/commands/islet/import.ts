import { IsletError } from "../../../../base/errors.js";
import type { Command, ContainerArchive, ContainerId, FillOptions } from "../../../../engine/engine.js";
import type { IdMapEntry } from "../../../../spec/idmap.js";
import { nameProblem } from "../../../../spec/name.js";
import { plainDirectory } from "../../../../spec/rootfs.js";
import { host } from "../../config/config.js";
import { showBytes } from "../../config/keys-islet.js";
import { importedConfig } from "../../config/portable.js";
import { rootfsValue } from "../../config/rootfs-value.js";
import { storageDefaults } from "../copied.js";
import { createTable } from "../create.js";
import { signalOf } from "../gone.js";
import { checkStorage, storageRequests } from "../create-storage.js";
import { type Call, lxcCommand, UsageError } from "../frame.js";
import type { CommandTable } from "../getopt.js";
import { loadConfig } from "../load.js";
import { option } from "../options.js";
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

/** The configuration it gets, and its check. */
function configOf(call: Call, archive: ContainerArchive, id: ContainerId, size: bigint | null): Configured {
  const { options, caller, report } = call;
  const keep = options.has("keep");
  const directory = `${id.storePath}/${id.name}`;
  const file = `${directory}/config`;
  let text = "";
  return {
    config: (root) => {
      if (root === null) throw new IsletError("ISLET_INTERNAL", "an import has a root file system");
      const limit =
        size !== null && root.kind === "dir" ? [["islet.rootfs.size", showBytes(Number(size))] as const] : [];
      const made = importedConfig({
        text: archive.config,
        directory,
        root: rootfsValue(root),
        isPlain: plainDirectory(root) === `${directory}/rootfs`,
        hostname: keep ? null : id.name,
        nibble: keep ? null : host.nibble,
        keep,
        added: limit,
      });
      for (const notice of made.notices) report.notice(notice);
      ({ text } = made);
      return text;
    },
    check: () => {
      const loaded = loadConfig({ file, text }, caller);
      if (loaded.kind === "faulty")
        throw new IsletError("ISLET_BAD_CONFIG", "the configuration in the archive cannot be used", {
          faults: loaded.faults,
        });
      const spec = loaded.config.spec(id, caller, { command: null, mode: "exec" }, () => undefined);
      return spec.rootfs.idmap === "as-is" ? spec.idmap : [];
    },
  };
}

interface Configured {
  readonly config: Parameters<ContainerArchive["create"]>[1]["config"];
  readonly check: () => readonly IdMapEntry[];
}

async function body(call: Call): Promise<number> {
  const { session, engine, caller, options, report } = call;
  const [file, given, ...more] = call.operands;
  if (file === undefined) throw new UsageError("which file? islet export NAME makes one");
  if (more.length > 0) throw new UsageError("one file becomes one container");
  if (file === "-" && session.terminals[0]) throw new UsageError("an archive cannot be typed: name a file");
  if (given !== undefined) {
    const problem = nameProblem(given);
    if (problem !== null) throw new IsletError("ISLET_BAD_NAME", problem);
  }
  checkStorage(options);
  const [storage, ...alternatives] = storageRequests(options, null);
  let what = `importing ${file}`;
  const waiting: FillOptions = {
    caller,
    run: (task) => call.runUnseen(task),
    progress: (text) => {
      what = text;
    },
    notice: report.notice,
    signal: signalOf(session.gone),
  };
  const work = async (): Promise<void> => {
    const archive = await engine.readArchive({
      ...waiting,
      from: file === "-" ? { descriptor: session.stdio[0] } : { path: call.resolve(file) },
      large: options.has("large"),
    });
    try {
      const id = { storePath: call.id.storePath, name: given ?? archive.name };
      const size = storage.kind === "dir" ? storage.size : null;
      await archive.create(id, {
        storage,
        alternatives,
        storageDefaults: storageDefaults(caller),
        ...configOf(call, archive, id, size),
        hostname: options.has("keep") ? null : id.name,
        keepInstance: options.has("keep"),
      });
      if (given === undefined) session.write(1, `${id.name}\n`);
    } finally {
      await archive.close();
    }
  };
  await call.progress.during(() => ({ what }), work());
  return 0;
}

export const importCommand: Command = lxcCommand(importTable, body, { isOwn: true });
