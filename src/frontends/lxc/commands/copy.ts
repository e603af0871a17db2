import { errorLines, IsletError } from "../../../base/errors.js";
import { nameProblem } from "../../../spec/name.js";
import { storageKinds, type StorageKind } from "../../../spec/storage.js";
import type { Command, ContainerId } from "../../../engine/engine.js";
import { chosenOriginal, configFor, type Original, randomName } from "./copied.js";
import { mountEntries, parseMounts } from "./copy-mounts.js";
import { copyAs, ephemeralKey, type MakeCopy, quickest } from "./copy-work.js";
import { heardBy } from "./hearing.js";
import { sizeOf } from "./create-storage.js";
import { rcfileIsGood } from "./freeze.js";
import { isPlainFile, plainAttach, runInCopy, startCopy } from "./ephemeral.js";
import { type Call, lxcCommand, UsageError } from "./frame.js";
import type { CommandTable, ParsedOptions } from "./getopt.js";
import { commonOptions, option, rcfileOption } from "./options.js";

const ephemeralGroup = "Options for ephemeral containers (-e)";

export const copyTable: CommandTable = {
  tool: "lxc-copy",
  synopsis: "--name=NAME --newname=NEWNAME [OPTION...] [-- ARGUMENTS...]",
  description:
    "Copies a container, gives it another name (-R), or starts a copy of it that is gone when it stops (-e). What stands after -- goes to the clone hooks; with -e it is the command that is run.",
  options: [
    option("newname", "name of the copy", { short: "N", argument: "NEWNAME" }),
    option("newpath", "directory that the copy is put into (default: that of the original)", {
      short: "p",
      argument: "PATH",
    }),
    option("rename", "give the container another name", { short: "R" }),
    option("snapshot", "a copy that shares the original's files as long as they are not changed", { short: "s" }),
    option("allowrunning", "also if the original runs: it is frozen meanwhile", { short: "a" }),
    option("foreground", "join the terminal with the copy's console", { short: "F", group: ephemeralGroup }),
    option("daemon", "return when the copy runs (default)", { short: "d", group: ephemeralGroup }),
    option("ephemeral", "start a copy that is destroyed when it stops", { short: "e", group: ephemeralGroup }),
    option("mount", "mount into it {bind,overlay}=/SRC[:/DST],...", {
      short: "m",
      argument: "MOUNTS",
      group: ephemeralGroup,
    }),
    option("backingstorage", "where the copy's root file system is kept", {
      short: "B",
      argument: "TYPE",
      words: storageKinds,
    }),
    option("fssize", "size of a new device (default: as the original's; without a unit: M)", {
      short: "L",
      argument: "SIZE[U]",
    }),
    option("keepdata", "do not destroy it when it stops", { short: "D", group: ephemeralGroup }),
    option("keepname", "keep the host name of the original", { short: "K" }),
    option("keepmac", "keep its MAC addresses", { short: "M" }),
    option("tmpfs", "keep its changes in memory", { short: "t", group: ephemeralGroup }),
    ...commonOptions,
    rcfileOption,
    option("idmap", "id map of the copy: an lxc.idmap value (several times), or none; its files get the ids of that", {
      argument: "MAP",
    }),
  ],
  operands: "any",
  named: true,
  notes: [
    "Without -s the copy is independent, and costs nothing where the file system shares data (btrfs, XFS). With -s the copy of a directory is an overlay over the original, which then cannot be destroyed before it; subvolumes, LVM volumes and ZFS data sets get snapshots.",
    "The original is never written to. A copy that cannot be finished leaves nothing.",
    "The copy gets MAC addresses and, in etc/hostname and etc/hosts, a name of its own. An address that a bridge reserves (islet.net.N.reserve) stays with the original.",
    "-R renames a container that does not run, has no snapshots, and that no copy needs; its MAC addresses stay.",
    "A running original needs -a; it is frozen for the time of the copy, so that the copy is what a power failure would have left.",
  ],
};

const namedKinds: Readonly<Record<string, StorageKind>> = {
  ...Object.fromEntries(storageKinds.filter((kind) => kind !== "block").map((kind) => [kind, kind])),
  overlayfs: "overlay",
};

/** -B; null: as the original, or the overlay that -s makes. */
export function storageOption(text: string | null): StorageKind | null {
  if (text === null || text === "best") return null;
  const kind = namedKinds[text];
  if (kind !== undefined) return kind;
  if (["aufs", "nbd", "rbd"].includes(text))
    throw new IsletError("ISLET_UNSUPPORTED", `the storage driver ${text} is not available`);
  throw new UsageError(`"${text}" is not a valid backing storage type`);
}

/** Where the copy will be. */
function target({ options, id, resolve }: Call): ContainerId {
  const storePath = options.value("newpath") === null ? id.storePath : resolve(options.value("newpath") ?? "");
  const given = options.value("newname");
  if (given === null && !options.has("ephemeral")) throw new UsageError("Please specify the name of the copy with -N");
  const name = given ?? randomName(id.name);
  const problem = nameProblem(name);
  if (problem !== null) throw new IsletError("ISLET_BAD_NAME", problem);
  return { storePath, name };
}

/** --idmap: lxc.idmap values; null: as the original's. */
function idmapOption(options: ParsedOptions): MakeCopy["idmap"] {
  const given = options.values("idmap");
  if (given.length === 0) return null;
  const lines = given.filter((value) => value !== "none");
  const map = lines.map((line) => {
    const match = /^([ugb])\s+(\d{1,10})\s+(\d{1,10})\s+(\d{1,10})$/.exec(line.trim());
    if (match === null || match[1] === "b")
      throw new UsageError(
        `--idmap takes "u INSIDE OUTSIDE COUNT" and "g INSIDE OUTSIDE COUNT", or none, not "${line}"`,
      );
    const [, type, inside, outside, count] = match;
    return {
      type: type === "u" ? ("uid" as const) : ("gid" as const),
      inside: Number(inside),
      outside: Number(outside),
      count: Number(count),
      at: null,
    };
  });
  return { lines, map };
}

async function rename(call: Call, original: Original): Promise<number> {
  const to = { ...target(call), storePath: call.id.storePath };
  const { options, engine, caller, report } = call;
  const hostname = options.has("keepname") ? null : to.name;
  await engine.rename(original.spec, to, {
    caller,
    hostname,
    hookArguments: call.operands,
    notice: report.notice,
    config: configFor(original, to, {
      purpose: "move",
      hostname,
      keepMac: true,
      idmap: null,
      added: [],
      notice: report.notice,
    }),
  });
  return 0;
}

const sixLetters = (): string => randomName("").slice(1);

/** Copies, with a line that says how far it has come. */
export async function makeCopy(call: Call, original: Original, wanted: MakeCopy): Promise<void> {
  const { about, waiting } = heardBy(call, `copying ${original.id.name}`);
  await call.progress.during(about, copyAs(call.engine, original, wanted, waiting));
}

async function body(call: Call): Promise<number> {
  const { options, session, id } = call;
  const isEphemeral = options.has("ephemeral");
  if (options.has("rename") && (isEphemeral || options.has("snapshot")))
    throw new UsageError("-R can be combined with neither -e nor -s");
  for (const long of ["mount", "tmpfs", "keepdata"])
    if (options.has(long) && !isEphemeral) throw new UsageError(`--${long} is for ephemeral containers: add -e`);
  const isOnTmpfs = options.has("tmpfs");
  if (isOnTmpfs && options.has("keepdata"))
    throw new UsageError("a container on tmpfs (-t) has no data that could be kept (-D)");
  const storage = storageOption(options.value("backingstorage"));
  const idmap = idmapOption(options);
  const mounts = options.values("mount").flatMap((text) => parseMounts(text));
  const size = sizeOf(options);
  if (!(await rcfileIsGood(call))) return 1;
  try {
    const original = await chosenOriginal(call);
    if (options.has("rename")) return await rename(call, original);
    const to = target(call);
    const directory = `${to.storePath}/${to.name}`;
    const extra = mountEntries(mounts, directory, isPlainFile, sixLetters);
    const added: (readonly [string, string])[] = [
      ...(isEphemeral && !options.has("keepdata") ? [ephemeralKey] : []),
      ...extra.entries.map((entry) => ["lxc.mount.entry", entry] as const),
    ];
    await makeCopy(call, original, {
      target: to,
      how: isOnTmpfs
        ? { tmpfs: { bytes: size === null ? null : Number(size) } }
        : isEphemeral
          ? quickest(original)
          : options.has("snapshot")
            ? "snapshot"
            : "copy",
      storage,
      added,
      directories: extra.directories,
      size,
      fstype: null,
      volumeGroup: null,
      hookArguments: isEphemeral ? [] : call.operands,
      idmap,
      allowRunning: options.has("allowrunning"),
      keepName: options.has("keepname"),
      keepMac: options.has("keepmac"),
    });
    if (!isEphemeral) return 0;
    session.write(1, `Created ${to.name} as clone of ${id.name}\n`);
    if (isOnTmpfs) {
      session.write(1, "Container is placed on tmpfs.\nRebooting will cause all changes made to it to be lost!\n");
    }
    const hasCommand = call.operands.length > 0;
    if (!(await startCopy(call, to, options.has("foreground") && !hasCommand))) return 1;
    // LXC gives 0 whatever becomes of the command.
    if (hasCommand) await runInCopy(call, to, plainAttach(call.operands), options.has("keepdata"));
    return 0;
  } catch (error) {
    if (!(error instanceof IsletError)) throw error;
    for (const text of errorLines(error)) call.report.error(text);
    return 1;
  }
}

export const copy: Command = lxcCommand(copyTable, body);
