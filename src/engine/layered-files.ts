import {
  chmodSync,
  chownSync,
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  statfsSync,
  type Stats,
  utimesSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { ioError, isErrno } from "../base/io-error.js";
import { ownFd } from "../host/fd.js";
import { openTop, openWithin, sysCall } from "../host/root-fd.js";
import type { RootfsSource } from "../spec/rootfs.js";
import type { Arch } from "../sys/arch.js";
import { cString } from "../sys/bytes.js";
import { ENOENT } from "../sys/errno.js";
import { O_PATH } from "../sys/flags.js";
import { readText, type TextFiles } from "./text-files.js";

/** ext4, xfs, btrfs, tmpfs: the magic numbers of statfs(2). */
const upperTypes: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994]);

/** In a layer that nobody has mounted: a plain file or directory without attributes of its own; null: nothing. "else": only a mount shows it as the guest sees it. */
function lookBelow(arch: Arch, lower: number, path: string): Stats | null | "else" {
  const found = openWithin(arch, lower, path, O_PATH, 0, true);
  if (found === -ENOENT) return null;
  if (found < 0) return "else";
  using place = ownFd(found);
  const look = fstatSync(place.number);
  const attributes = sysCall(arch, "listxattr", cString(`/proc/self/fd/${place.number}`), new Uint8Array(0), 0);
  return (look.isFile() || look.isDirectory()) && attributes === 0 ? look : "else";
}

/** Such a root file system's layer below its changes, held open. */
export interface OpenLayers extends Disposable {
  readonly files: TextFiles;
}

/**
 * A fresh overlay over one directory, without mounting it: what is changed is written into the upper layer, as the kernel would copy it up (owner,
 * mode, times of directories). null: it is another kind of root file system, or there are links, attributes or other things at or on the way to one of
 * `paths` (one directory deep), the only files that may be changed, or there is one of `absent`.
 */
export function openLayers(
  arch: Arch,
  root: RootfsSource,
  paths: readonly string[],
  absent: readonly string[],
): OpenLayers | null {
  if (root.kind !== "overlay" || root.upper === null || root.lowers.length !== 1) return null;
  const { upper } = root;
  // What the kernel mounts as the upper layer of an overlay is known of these; with another one it is asked, by mounting it.
  if (!upperTypes.has(statfsSync(upper).type) || readdirSync(upper).length > 0) return null;
  const [below = ""] = root.lowers;
  if (!lstatSync(below).isDirectory()) return null;
  const lower = ownFd(openTop(arch, below));
  const files = absent.some((path) => lookBelow(arch, lower.number, path) !== null)
    ? null
    : filesOfLayers(arch, lower.number, upper, paths);
  if (files !== null) return { files, [Symbol.dispose]: () => lower[Symbol.dispose]() };
  lower[Symbol.dispose]();
  return null;
}

function filesOfLayers(arch: Arch, lower: number, upper: string, paths: readonly string[]): TextFiles | null {
  const looks = new Map(
    [...new Set(paths.map(dirname)), ...paths].map((path) => [path, lookBelow(arch, lower, path)] as const),
  );
  const plain = new Map<string, Stats>();
  for (const [path, look] of looks) {
    if (look === "else" || (look !== null && look.isDirectory() === paths.includes(path))) return null;
    if (look !== null) plain.set(path, look);
  }
  const texts = new Map<string, string>();
  return {
    change: (path, edit) => {
      const look = plain.get(path);
      const above = plain.get(dirname(path));
      if (look === undefined || above === undefined) return;
      const before = texts.get(path) ?? readBelow(arch, lower, path);
      if (before === null) return;
      const after = edit(before);
      if (after === before) return;
      texts.set(path, after);
      try {
        copyUp(`${upper}/${path}`, look, above, Buffer.from(after, "latin1"));
      } catch (error) {
        throw ioError(`write /${path} of the copy`, error);
      }
    },
    names: () => [],
  };
}

function readBelow(arch: Arch, lower: number, path: string): string | null {
  const found = openWithin(arch, lower, path, O_PATH, 0, true);
  if (found < 0) return null;
  using place = ownFd(found);
  return readText(arch, place.number);
}

/** The whole file: what the layer below has is covered by it. One directory deep. */
function copyUp(path: string, like: Stats, above: Stats, bytes: Uint8Array): void {
  const directory = dirname(path);
  try {
    mkdirSync(directory, { mode: 0o700 });
    chownSync(directory, above.uid, above.gid);
    chmodSync(directory, above.mode & 0o7777);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
  const file = openSync(path, "w", 0o600);
  try {
    fchownSync(file, like.uid, like.gid);
    fchmodSync(file, like.mode & 0o7777);
    writeSync(file, bytes);
  } finally {
    closeSync(file);
  }
  utimesSync(directory, above.atime, above.mtime);
}
