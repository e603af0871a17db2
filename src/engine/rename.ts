import { existsSync, readdirSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { syscall } from "../host/addon.js";
import { plainDirectory, type RootfsSource } from "../spec/rootfs.js";
import type { ContainerSpec } from "../spec/spec.js";
import { cString } from "../sys/bytes.js";
import { errnoName, strerror } from "../sys/errno.js";
import { AT_FDCWD, RENAME_NOREPLACE } from "../sys/flags.js";
import { requireSyscall } from "../sys/syscalls.js";
import type { StorageHost } from "../storage/driver.js";
import { openPlace } from "./copy-root.js";
import type { RenameOptions } from "./copy-requests.js";
import { runCloneHooks } from "./copy.js";
import { copiesOf, originalsOf, renameCopy } from "./dependents.js";
import type { ContainerId } from "./engine.js";
import { giveName } from "./identity.js";
import { filesOfRoot } from "./text-files.js";
import { type Journal, removeJournal, syncDirectory, writeJournal } from "./journal.js";
import { checkName, configFileOf, directoryOf, writeWhole } from "./store.js";

/** A path that lies in a directory that is called something else now. */
export const movedPath = (path: string, from: string, to: string): string =>
  path === from || path.startsWith(`${from}/`) ? to + path.slice(from.length) : path;

/** The same root file system when the container's directory has moved. What is kept elsewhere keeps its name. */
export function movedRoot(source: RootfsSource, from: string, to: string): RootfsSource {
  switch (source.kind) {
    case "dir":
    case "btrfs":
    case "loop":
      return { ...source, path: movedPath(source.path, from, to) };
    case "overlay":
      return {
        ...source,
        lowers: source.lowers.map((lower) => movedPath(lower, from, to)),
        upper: source.upper === null ? null : movedPath(source.upper, from, to),
      };
    case "host":
    case "block":
    case "zfs":
    case "other":
      return source;
    default: {
      const impossible: never = source;
      return impossible;
    }
  }
}

/** Gives a container that does not run another name: its directory moves, nothing is copied. All of it or nothing, whenever the daemon dies. */
export async function renameContainer(
  host: StorageHost,
  source: ContainerSpec,
  target: ContainerId,
  options: RenameOptions,
): Promise<void> {
  checkName(target.name);
  const from: ContainerId = { storePath: source.storePath, name: source.name };
  if (existsSync(configFileOf(target)))
    throw new IsletError("ISLET_EXISTS", `there is a container ${target.name} already`);
  const copies = await copiesOf(host, from);
  if (copies.length > 0) throw hasCopies(from, copies, "renamed");
  const snaps = `${directoryOf(from)}/snaps`;
  if (existsSync(snaps) && readdirSync(snaps).length > 0) {
    throw new IsletError("ISLET_HAS_SNAPSHOTS", `${from.name} has snapshots: it cannot be renamed`, {
      hint: `lxc-snapshot -n ${from.name} -d ALL removes them`,
    });
  }
  const root = movedRoot(source.rootfs.source, directoryOf(from), directoryOf(target));
  const config = options.config(root);
  const journal: Journal = {
    version: 1,
    kind: "rename",
    from: from.name,
    to: target.name,
    files: { config: config.text },
    entries: [],
    undo: "",
    done: "",
  };
  const open = writeJournal(host, from, journal);
  try {
    const moved = syscall(requireSyscall(host.arch, "renameat2"), [
      AT_FDCWD,
      cString(directoryOf(from)),
      AT_FDCWD,
      cString(directoryOf(target)),
      RENAME_NOREPLACE,
    ]);
    if (moved < 0) {
      removeJournal(from);
      throw moveError(directoryOf(target), -moved);
    }
    finishRename(target, journal);
  } finally {
    open.close();
  }
  // What the guest calls itself is no part of its name: without it the container is whole.
  const isWritable = !(root.kind === "overlay" && root.upper === null) && root.kind !== "host";
  if (!isWritable || (options.hostname === null && config.hooks.length === 0)) return;
  try {
    using reached = await openPlace(host, root, true);
    if (options.hostname !== null)
      giveName(filesOfRoot(host.arch, reached.fd), options.hostname, source.hostname?.value ?? from.name);
    const mount = plainDirectory(root) ?? `/proc/${process.pid}/fd/${reached.fd}`;
    await runCloneHooks(config, from, target, { arch: host.arch, fd: reached.fd, mount }, options);
  } catch (error) {
    options.notice?.(
      `${target.name} has its new name, but not inside: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function moveError(path: string, errno: number): IsletError {
  if (errnoName(errno) === "EEXIST")
    return new IsletError("ISLET_EXISTS", `${path} exists already and is not a container`, {
      hint: "choose another name",
    });
  if (errnoName(errno) === "EXDEV")
    return new IsletError("ISLET_UNSUPPORTED", `${path} would be on another file system`, {
      hint: "copy the container there, then destroy the old one",
    });
  return new IsletError("ISLET_IO", `cannot rename to ${path}: ${strerror(errno)}`, { errno: errnoName(errno) });
}

/** `id`: where the journal was found. Idempotent. */
export function finishRename(id: ContainerId, journal: Journal): void {
  if (id.name !== journal.to) {
    // It was never moved.
    removeJournal(id);
    return;
  }
  const directory = directoryOf(id);
  syncDirectory(id.storePath);
  for (const [name, content] of Object.entries(journal.files)) writeWhole(`${directory}/${name}`, content, 0o640);
  renameCopy({ ...id, name: journal.from }, id, originalsOf(id));
  removeJournal(id);
}

/** A clear line that names them. */
export function hasCopies(
  id: ContainerId,
  copies: readonly ContainerId[],
  what: "destroyed" | "renamed" | "restored",
): IsletError {
  const names = copies.map(({ storePath, name }) => (storePath === id.storePath ? name : `${storePath}/${name}`));
  const list = names.length > 8 ? `${names.slice(0, 8).join(", ")} and ${names.length - 8} more` : names.join(", ");
  return new IsletError(
    "ISLET_HAS_CLONES",
    `${id.name} cannot be ${what}: ${list} ${names.length === 1 ? "needs" : "need"} its root file system`,
    { hint: what === "destroyed" ? `lxc-destroy -n ${id.name} -s removes all of them` : "destroy them first" },
  );
}
