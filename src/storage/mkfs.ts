import { IsletError } from "../base/errors.js";
import type { StorageContext } from "./driver.js";
import { runTool, type Tool } from "./programs.js";

/** File systems in files and devices. */

export const defaultFsType = "ext4";
/** Bytes: LXC's default. */
export const defaultSize: bigint = 1n << 30n;

interface Maker {
  readonly from: string;
  readonly words: readonly string[];
}

// Whatever a device held before is of no use: the callers have looked at that.
const ext: Maker = { from: "e2fsprogs", words: ["-q", "-F"] };
const forced = (from: string): Maker => ({ from, words: ["-q", "-f"] });
const makers: Readonly<Record<string, Maker>> = {
  ext2: ext,
  ext3: ext,
  ext4: ext,
  xfs: forced("xfsprogs"),
  btrfs: forced("btrfs-progs"),
  f2fs: forced("f2fs-tools"),
  jfs: { from: "jfsutils", words: ["-q"] },
  nilfs2: forced("nilfs-tools"),
};

export function fsMaker(fstype: string): Tool {
  const known = Object.hasOwn(makers, fstype) ? makers[fstype] : undefined;
  return { name: `mkfs.${fstype}`, from: known?.from ?? `the package that has mkfs.${fstype}` };
}

/** @throws IsletError ISLET_BAD_REQUEST: no name of a file system. */
export function checkFsType(fstype: string): void {
  if (/^[a-z][a-z0-9_-]{0,30}$/.test(fstype)) return;
  throw new IsletError("ISLET_BAD_REQUEST", `"${fstype}" is not the name of a file system type`, {
    hint: "such as ext4, xfs or btrfs",
  });
}

/** Makes a file system; it is empty (lost+found aside), and its top directory is root's, mode 0755. */
export async function makeFileSystem(context: StorageContext, fstype: string, path: string): Promise<void> {
  const words = Object.hasOwn(makers, fstype) ? (makers[fstype]?.words ?? []) : [];
  await runTool(context, fsMaker(fstype), [...words, path], `make a file system ${fstype} in ${path}`, "SIGKILL");
}
