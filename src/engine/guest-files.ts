import { closeSync, fstatSync, readSync } from "node:fs";
import { syscall } from "../host/addon.js";
import { openHow } from "../sys/structs.js";
import { O_CLOEXEC, O_NONBLOCK, O_RDONLY, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS } from "../sys/flags.js";
import type { Arch } from "../sys/arch.js";
import { requireSyscall } from "../sys/syscalls.js";
import { cString } from "../sys/bytes.js";

/**
 * A small regular file of a running guest, read through its root without ever leaving it (openat2(2), RESOLVE_IN_ROOT): "" where it is
 * missing or is anything else. At most `limit` bytes.
 */
export function readGuestFile(arch: Arch, pid: number, path: string, limit: number): string {
  const openat2 = requireSyscall(arch, "openat2");
  const rootPath = cString(`/proc/${pid}/root`);
  const root = syscall(requireSyscall(arch, "openat"), [-100, rootPath, 0o10000000 | O_CLOEXEC, 0]);
  if (root < 0) return "";
  const how = openHow({ flags: O_RDONLY | O_CLOEXEC | O_NONBLOCK, resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS });
  const fd = syscall(openat2, [root, cString(path), how, how.length]);
  closeSync(root);
  if (fd < 0) return "";
  try {
    if (!fstatSync(fd).isFile()) return "";
    const buffer = new Uint8Array(limit);
    return new TextDecoder().decode(buffer.subarray(0, readSync(fd, buffer)));
  } catch {
    return "";
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
