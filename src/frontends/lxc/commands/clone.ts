import { errorLines, IsletError } from "../../../base/errors.js";
import { nameProblem } from "../../../spec/name.js";
import type { Command, ContainerId } from "../../../engine/engine.js";
import { makeCopy, storageOption } from "./copy.js";
import { plainCopy } from "./copy-work.js";
import { type Original, readOriginal } from "./copied.js";
import { sizeOf } from "./create-storage.js";
import { type Call, lxcCommand } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { commonGroup, commonOptions, option } from "./options.js";

const ownOptions = new Set(["name", "logfile", "logpriority"]);

export const cloneTable: CommandTable = {
  tool: "lxc-clone",
  synopsis: "-o ORIGINAL -n NEW [OPTION...] [-- ARGUMENTS...]",
  description: "Copies a container. A command of LXC before 2.0; today's is lxc-copy.",
  options: [
    option("orig", "the container to copy", { short: "o", argument: "ORIGINAL" }),
    option("new", "name of the copy", { short: "n", argument: "NEW" }),
    option("snapshot", "a snapshot: of an LVM volume, a subvolume, or an overlay over a directory", { short: "s" }),
    option("fssize", "size of a new device (default: as the original's; without a unit: M)", {
      short: "L",
      argument: "SIZE[U]",
    }),
    option("vgname", "volume group of a new LVM volume", { short: "v", argument: "VG" }),
    option("fstype", "file system of a new device", { short: "t", argument: "TYPE" }),
    option("backingstore", "where the copy's root file system is kept", { short: "B", argument: "TYPE" }),
    option("newpath", "directory that the copy is put into", { short: "p", argument: "PATH" }),
    option("keepname", "keep the host name of the original", { short: "K" }),
    option("keepmac", "keep its MAC addresses", { short: "M" }),
    option("copyhooks", "accepted; hooks in the container's directory are always copied", { short: "H" }),
    ...commonOptions.filter(({ long }) => !ownOptions.has(long)),
    option("force", "accepted", { group: commonGroup }),
  ],
  operands: "any",
  named: false,
  notes: [
    "The names may also stand alone: lxc-clone ORIGINAL NEW. What follows them goes to the clone hooks.",
    "On btrfs the copy is a snapshot without -s, too.",
    "Exit status: 0, or 1 with one line on standard error, where the commands of 2013 wrote to standard output.",
  ],
};

async function body(call: Call): Promise<number> {
  const { options, engine, caller, session, report } = call;
  const words = [...call.operands];
  const from = options.value("orig") ?? words.shift() ?? "";
  const name = options.value("new") ?? words.shift() ?? "";
  const fail = (text: string): number => {
    report.error(text);
    return 1;
  };
  if (from === "") return fail("no original container name specified");
  if (name === "") return fail("no new container name specified");
  const problem = nameProblem(from) ?? nameProblem(name);
  if (problem !== null) return fail(problem);
  const { storePath } = call.id;
  const newpath = options.value("newpath");
  const target: ContainerId = { storePath: newpath === null ? storePath : call.resolve(newpath), name };
  const say = (text: string): void => {
    if (!options.has("quiet")) session.write(1, `${text}\n`);
  };
  let original: Original;
  try {
    original = await readOriginal(engine, caller, { storePath, name: from });
    say("Tweaking configuration");
    say("Copying rootfs...");
    await makeCopy(call, original, {
      ...plainCopy,
      target,
      how: options.has("snapshot") ? "snapshot" : "copy",
      storage: storageOption(options.value("backingstore")),
      size: sizeOf(options),
      fstype: options.value("fstype"),
      volumeGroup: options.value("vgname"),
      hookArguments: words,
      keepName: options.has("keepname"),
      keepMac: options.has("keepmac"),
    });
  } catch (error) {
    if (!(error instanceof IsletError)) throw error;
    if (error.code === "ISLET_NOT_FOUND") return fail(`'${from}' does not exist`);
    if (error.code === "ISLET_EXISTS") return fail(`'${name}' already exists`);
    if (error.code === "ISLET_RUNNING") return fail(`'${from}' is running; stop it first: lxc-stop -n ${from}`);
    for (const text of errorLines(error)) report.error(text);
    return 1;
  }
  say("Updating rootfs...");
  say(`'${name}' created`);
  return 0;
}

export const clone: Command = lxcCommand(cloneTable, body);
