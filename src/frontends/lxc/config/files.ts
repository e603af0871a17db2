/** The real files behind the readers: the only place of this folder that touches a disk. */
import { closeSync, constants, existsSync, fstatSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import type { Nibble } from "./hwaddr.js";
import type { ConfigFiles, FileKind } from "./model.js";

/** Larger than any configuration, small enough to be read without a thought. */
const maxFileSize = 1024 * 1024;

function readFile(path: string): string | null {
  // lxc-create -f /dev/null and lxc.include = /dev/null are old habits.
  if (path === "/dev/null") return "";
  // An exception for every lxc.conf that is not there would cost more than the look.
  if (!existsSync(path)) return null;
  let fd: number;
  try {
    // Without O_NONBLOCK a fifo would stop the reader for ever.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return null;
  }
  try {
    const stat = fstatSync(fd);
    return stat.isFile() && stat.size <= maxFileSize ? readFileSync(fd, "utf8") : null;
  } catch {
    return null;
  } finally {
    closeSync(fd);
  }
}

function listDirectory(path: string): readonly string[] | null {
  try {
    return readdirSync(path);
  } catch {
    return null;
  }
}

/** Regular files of the host up to 1 MiB. */
export const hostFiles: ConfigFiles = { read: readFile, list: listDirectory };

/** What a path of the host is, links followed; null where there is nothing that can be looked at. */
export function hostStat(path: string): FileKind | null {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  if (stat === undefined) return null;
  const type = stat.isCharacterDevice()
    ? "c"
    : stat.isBlockDevice()
      ? "b"
      : stat.isDirectory()
        ? "dir"
        : stat.isFile()
          ? "file"
          : "other";
  return { type, ...deviceNumbers(stat.rdev) };
}

/** makedev(3) as glibc packs it. */
function deviceNumbers(rdev: bigint): { readonly major: number; readonly minor: number } {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return { major: Number(major), minor: Number(minor) };
}

/** Random digits for MAC addresses: nothing that must be kept from being guessed. */
export const randomNibble: Nibble = () => Math.floor(Math.random() * 16);
