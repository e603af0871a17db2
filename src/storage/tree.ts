import { lstat, readdir, rmdir, unlink } from "node:fs/promises";
import { ioError, isErrno } from "../base/io-error.js";
import { IsletError } from "../base/errors.js";
import type { IdMapEntry } from "../spec/idmap.js";
import { type TreeHost, type TreeTotals, type TreeWatcher, asDirectory, runTree } from "./tree-process.js";

export type { TreeHost, TreeTotals, TreeWatcher } from "./tree-process.js";

/**
 * Whole trees of files, copied, removed and given to other owners by a process of its own (`islet tree`, native/tree*.c) with a few threads. It
 * takes trees for hostile: it follows no link, opens no device, and leaves no file system. It ends with this process.
 */

/** A directory: a path (which may not be a link itself), or a descriptor of it, which stays the caller's. */
export type Directory = string | number;

/** Ids are taken back by `from` (of the host to inside) and given by `to` (of inside to the host); an empty map changes none. */
export interface IdShift {
  readonly from: readonly IdMapEntry[];
  readonly to: readonly IdMapEntry[];
  /** An id that is in no map: an error (the default), or it stays. */
  readonly unmapped?: "fails" | "keep";
}

export interface CopyOptions {
  readonly from: Directory;
  /** An empty directory; it gets owner, mode, times and attributes of `from`, and while it is filled nobody but root can look into it. */
  readonly to: Directory;
  readonly shift?: IdShift;
  /** Paths below `from`, without a slash at the beginning or end: they are left out with everything below them. */
  readonly leaveOut?: readonly string[];
  /** Waits until everything is on the disk (syncfs). */
  readonly sync?: boolean;
  /** 1 to 8; else as many as there are processors. */
  readonly threads?: number;
}

const mapWords = (map: readonly IdMapEntry[]): string =>
  map
    .map(({ type, inside, outside, count }) => `${type === "uid" ? "u" : "g"}:${inside}:${outside}:${count}`)
    .join(",");

/** The words of a shift. */
const shiftWords = (shift: IdShift): readonly string[] => [
  `from=${mapWords(shift.from)}`,
  `to=${mapWords(shift.to)}`,
  ...(shift.unmapped === "keep" ? ["unmapped=keep"] : []),
];

const threadWords = (threads: number | undefined): readonly string[] =>
  threads === undefined ? [] : [`threads=${threads}`];

/**
 * Copies everything below a directory with all that files have: types, modes, owners, times, hard links, holes, extended attributes, access control
 * lists, capabilities and flags of inodes; data is shared where the file system can. Mount points in it become empty directories. What changes
 * meanwhile is there in one state or the other, or, if it vanishes, not at all. When it fails or is killed the copy is incomplete, and the caller's to remove.
 * @throws IsletError ISLET_IO or ISLET_PERMISSION with the path and what to do; the signal's reason when it is aborted.
 */
export async function copyTree(host: TreeHost, options: CopyOptions, watcher: TreeWatcher = {}): Promise<TreeTotals> {
  for (const path of options.leaveOut ?? []) {
    if (path === "" || path.startsWith("/") || path.endsWith("/") || path.includes("\0"))
      throw new IsletError("ISLET_INTERNAL", `${path} is not a path below the tree`);
  }
  using from = asDirectory(host.arch, options.from);
  using to = asDirectory(host.arch, options.to);
  const words = [
    "copy",
    ...threadWords(options.threads),
    ...(options.shift === undefined ? [] : shiftWords(options.shift)),
    ...(options.leaveOut ?? []).map((path) => `leave-out=${path}`),
    ...(options.sync === true ? ["sync=yes"] : []),
  ];
  const what = { words, from: from.number, to: to.number, name: nameOf(options.to), source: nameOf(options.from) };
  return await runTree(host, what, watcher);
}

const nameOf = (directory: Directory): string | null => (typeof directory === "string" ? directory : null);

/** Removes a tree without leaving its file system: what is mounted below stays, with an error. Links are removed, never followed. */
export async function removeTree(_host: TreeHost, path: string): Promise<void> {
  try {
    const top = await lstat(path);
    if (!top.isDirectory()) {
      await unlink(path);
      return;
    }
    await removeBelow(path, top.dev);
    await rmdir(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    if (error instanceof IsletError) throw error;
    throw ioError(`remove ${path}`, error);
  }
}

async function removeBelow(path: string, device: number): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true });
  for (const entry of entries) {
    const child = `${path}/${entry.name}`;
    if (!entry.isDirectory()) {
      await unlink(child);
      continue;
    }
    const found = await lstat(child);
    if (found.dev !== device)
      throw new IsletError("ISLET_IO", `cannot remove ${child}: another file system is mounted there`, {
        hint: "unmount it first",
      });
    await removeBelow(child, device);
    await rmdir(child);
  }
}
