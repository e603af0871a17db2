import { IsletError } from "../base/errors.js";
import type { IdMapEntry } from "../spec/idmap.js";
import { type TreeHost, type TreeTotals, type TreeWatcher, asDirectory, openAbove, runTree } from "./tree-process.js";

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

export interface RemoveOptions {
  /** 1 to 8; else as many as there are processors. */
  readonly threads?: number;
}

/**
 * Removes what is at a path (which is not followed if it is a link), with everything below it: files that are immutable or append-only and subvolumes
 * of btrfs, too. What is not there, or somebody else removes meanwhile, is fine. What another file system is mounted on stays, and where that is
 * known before (this process's own mounts) everything else does, too. Killed, it can be called again.
 * @throws IsletError ISLET_IO or ISLET_PERMISSION with the path and what to do; the signal's reason when it is aborted.
 */
export async function removeTree(
  host: TreeHost,
  path: string,
  options: RemoveOptions = {},
  watcher: TreeWatcher = {},
): Promise<TreeTotals> {
  const [, above = "", name = ""] = /^(.*?)\/*([^/]+)\/*$/s.exec(path) ?? [];
  if (name === "" || name === "." || name === ".." || !path.startsWith("/") || path.includes("\0"))
    throw new IsletError("ISLET_INTERNAL", `${path} is nothing to be removed`);
  const parent = openAbove(host.arch, above === "" ? "/" : above);
  if (parent === null) return { files: 0, bytes: 0 };
  using from = parent;
  const words = ["remove", ...threadWords(options.threads), `name=${name}`];
  const what = { words, from: from.number, to: null, name: null, source: above };
  for (let again = mostAgain; ; again -= 1) {
    try {
      return await runTree(host, what, watcher);
    } catch (error) {
      if (again === 0 || !(error instanceof IsletError) || error.errno !== "ENOTEMPTY") throw error;
    }
  }
}

/** How often a removal begins anew when somebody moves things about in the tree meanwhile. */
const mostAgain = 5;

export interface ShiftOptions extends IdShift {
  readonly tree: Directory;
  /** Waits until everything is on the disk (syncfs). */
  readonly sync?: boolean;
  /** 1 to 8; else as many as there are processors. */
  readonly threads?: number;
}

/**
 * Gives everything in a tree, the directory itself included, to other owners in place: ids of files, of access control lists and of capabilities.
 * Bits that a change of owner clears are set again; mount points and what is below them stay as they are. No id of one map may become one that the change takes
 * again; what has an id that the change gives is left as it is. So when the process is killed half way, some files have the old owners and some the new:
 * the same call again does the rest, the call with the maps exchanged (and `unmapped: "keep"`) gives everything back. After an error it has
 * given everything back itself; the error says if that failed.
 * @throws IsletError ISLET_IO or ISLET_PERMISSION with the path and what to do; the signal's reason when it is aborted (which kills it half way).
 */
export async function shiftTree(host: TreeHost, options: ShiftOptions, watcher: TreeWatcher = {}): Promise<TreeTotals> {
  using from = asDirectory(host.arch, options.tree);
  const words = [
    "shift",
    ...threadWords(options.threads),
    ...shiftWords(options),
    ...(options.sync === true ? ["sync=yes"] : []),
  ];
  return await runTree(host, { words, from: from.number, to: null, name: null, source: nameOf(options.tree) }, watcher);
}

const nameOf = (directory: Directory): string | null => (typeof directory === "string" ? directory : null);
