/** What is at a path of the host. */
import { type Stats, statSync } from "node:fs";
import type { HostFile } from "./context.js";

/** Links are followed, as the kernel will do it. null: nothing is there, or nothing that can be seen. */
export function hostFile(path: string): HostFile | null {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? null : fileOf(found);
}

function fileOf(found: Stats): HostFile {
  if (found.isCharacterDevice() || found.isBlockDevice()) {
    const number = found.rdev;
    // Node gives st_rdev as the kernel's dev_t of 64 bits (makedev(3)).
    const major = Math.floor(number / 256) % 4096;
    const minor = (number % 256) + Math.floor(number / 2 ** 20) * 256;
    return { kind: found.isCharacterDevice() ? "c" : "b", major, minor };
  }
  if (found.isDirectory()) return { kind: "dir" };
  return { kind: found.isFile() ? "file" : "other" };
}
