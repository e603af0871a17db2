import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { syscall } from "../host/addon.js";
import type { Arch } from "../sys/arch.js";
import { cString } from "../sys/bytes.js";
import { O_CLOEXEC, O_NONBLOCK, O_PATH, O_RDONLY, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS } from "../sys/flags.js";
import { openHow } from "../sys/structs.js";
import { requireSyscall } from "../sys/syscalls.js";

/** Files of a guest's. Its links are followed inside its root (openat2(2), RESOLVE_IN_ROOT), never out of it; what is no plain file is not there. */

export interface GuestFile {
  /** At most as many bytes of the beginning as asked for. */
  readonly text: string;
  /** Bytes. */
  readonly size: number;
}

/** The beginning of a file; null: there is no such plain file. `root`: the directory of a guest that does not run, or /proc/PID/root. `path`: without a leading slash. */
export function readGuestFile(arch: Arch, root: string, path: string, most: number): GuestFile | null {
  return withFile(arch, root, path, O_RDONLY | O_NONBLOCK, (fd) => {
    const buffer = new Uint8Array(most);
    let length = 0;
    while (length < most) {
      const count = readSync(fd, buffer, length, most - length, null);
      if (count === 0) break;
      length += count;
    }
    return { text: new TextDecoder().decode(buffer.subarray(0, length)), size: fstatSync(fd).size };
  });
}

/** Whether there is a plain file that somebody may execute. */
export function hasGuestProgram(arch: Arch, root: string, path: string): boolean {
  return withFile(arch, root, path, O_PATH, (fd) => (fstatSync(fd).mode & 0o111) !== 0) ?? false;
}

function withFile<T>(arch: Arch, root: string, path: string, flags: number, use: (fd: number) => T): T | null {
  let directory: number;
  try {
    directory = openSync(root, O_PATH | constants.O_DIRECTORY);
  } catch {
    return null;
  }
  const how = openHow({ flags: flags | O_CLOEXEC, resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS });
  const fd = syscall(requireSyscall(arch, "openat2"), [directory, cString(path), how, how.length]);
  closeSync(directory);
  if (fd < 0) return null;
  try {
    return fstatSync(fd).isFile() ? use(fd) : null;
  } finally {
    closeSync(fd);
  }
}

/** The login shell of a user id by the guest's passwd; /bin/sh where it names none. */
export function loginShell(passwd: string, uid: number): string {
  for (const line of passwd.split("\n")) {
    const fields = line.split(":");
    const shell = fields[6]?.trim() ?? "";
    if (fields.length >= 7 && fields[2] === String(uid) && shell.startsWith("/")) return shell;
  }
  return "/bin/sh";
}
