import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { busyboxRootfs } from "./store.js";

/** Files with file systems, and loop devices, of tests. */

export type DiskType = "ext4" | "xfs" | "btrfs";

const sizes: Readonly<Record<DiskType, number>> = { ext4: 24 << 20, xfs: 300 << 20, btrfs: 128 << 20 };

/** A sparse file with that file system, filled from `content`. It is mounted for a moment where nobody else sees it. */
export function makeDisk(path: string, type: DiskType, content: string): void {
  writeFileSync(path, "");
  truncateSync(path, sizes[type]);
  execFileSync(`mkfs.${type}`, ["-q", path], { stdio: "ignore" });
  const script = 'mount -t "$1" -o loop "$2" "$3" && cp -a "$4/." "$3/" && umount "$3"';
  const place = mkdtempSync(join(tmpdir(), "islt-disk-"));
  try {
    execFileSync("unshare", ["-m", "sh", "-c", script, "sh", type, path, place, content]);
  } finally {
    rmSync(place, { recursive: true });
  }
}

/** A disk with a busybox system, which `prepare` may change before. */
export function busyboxDisk(path: string, type: DiskType, prepare: (rootfs: string) => void = () => undefined): void {
  const rootfs = mkdtempSync(join(tmpdir(), "islt-content-"));
  try {
    busyboxRootfs(rootfs);
    prepare(rootfs);
    makeDisk(path, type, rootfs);
  } finally {
    rmSync(rootfs, { recursive: true });
  }
}

/** Attaches a file to a loop device, by losetup(8); its path. */
export function attach(path: string, words: readonly string[] = []): string {
  return execFileSync("losetup", ["-f", "--show", ...words, path], { encoding: "utf8" }).trim();
}

export function detach(device: string): void {
  execFileSync("losetup", ["-d", device]);
}

/** Loop devices over files below a directory. */
export function loopsOf(directory: string): readonly string[] {
  const all = JSON.parse(execFileSync("losetup", ["-J", "-O", "NAME,BACK-FILE"], { encoding: "utf8" }) || "{}") as {
    readonly loopdevices?: readonly { readonly name: string; readonly "back-file": string | null }[];
  };
  return (all.loopdevices ?? [])
    .filter((each) => each["back-file"]?.startsWith(`${directory}/`) === true)
    .map(({ name }) => name);
}

/** Lines of this process's mount table that have the word in them. */
export function mountsWith(word: string): readonly string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(word));
}
