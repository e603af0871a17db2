import { IsletError } from "../base/errors.js";
import type { Arch } from "../sys/arch.js";
import { cString } from "../sys/bytes.js";
import { EAGAIN, ELOOP, ENOENT, ENOTDIR, errnoName, strerror } from "../sys/errno.js";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  O_CLOEXEC,
  O_PATH,
  O_RDONLY,
  openFlags,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../sys/flags.js";
import { openHow } from "../sys/structs.js";
import { requireSyscall, type SyscallName } from "../sys/syscalls.js";
import { closeFd, syscall } from "./addon.js";

/** Files below a directory whose content nobody trusts, reached by descriptors (openat2(2)): no link leads out of it, nothing is opened unseen. */

/** As stat(2) has it. */
export interface FileLook {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly links: number;
}

export const fileType = 0o170000;
export const types = {
  directory: 0o040000,
  file: 0o100000,
  symlink: 0o120000,
  char: 0o020000,
  block: 0o060000,
} as const;

/** A system call by name. @returns its result or -errno. */
export function sysCall(arch: Arch, name: SyscallName, ...args: readonly (number | bigint | Uint8Array)[]): number {
  return syscall(requireSyscall(arch, name), args);
}

/** ISLET_IO. */
export function fileError(what: string, negative: number, syscallName: string): IsletError {
  return new IsletError("ISLET_IO", `cannot ${what}: ${strerror(-negative)}`, {
    errno: errnoName(-negative),
    syscall: syscallName,
    ...(negative === -28 ? { hint: "the file system is full" } : {}),
  });
}

/** The root itself: a directory of the host's, whose own last name is no link. @returns a descriptor. */
export function openTop(arch: Arch, path: string): number {
  const flags = O_PATH | O_CLOEXEC | openFlags(arch).O_DIRECTORY | openFlags(arch).O_NOFOLLOW;
  const fd = sysCall(arch, "openat", AT_FDCWD, cString(path), flags, 0);
  if (fd < 0) throw fileError(`open ${path}`, fd, "openat");
  return fd;
}

/**
 * openat2(2) within a root. Links are followed as the container would; with `strict` there may be none. @returns a descriptor or -errno.
 * `path` as bytes: with a NUL at its end. EXDEV, ELOOP and ENOTDIR are the guest's doing.
 */
export function openWithin(
  arch: Arch,
  root: number,
  path: string | Uint8Array,
  flags: number,
  mode = 0,
  strict = false,
): number {
  const resolve = strict
    ? RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
    : RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const how = openHow({ flags: flags | O_CLOEXEC, mode, resolve });
  const name = typeof path === "string" ? cString(path === "" ? "." : path) : path;
  // The kernel gives up when names move about while it looks (EAGAIN).
  for (let tries = 0; ; tries += 1) {
    const fd = sysCall(arch, "openat2", root, name, how, how.length);
    if (fd !== -EAGAIN || tries === 32) return fd;
  }
}

const statSize = 144;

/** By a descriptor, O_PATH ones too. */
export function lookAt(arch: Arch, fd: number): FileLook {
  const stat = new Uint8Array(statSize);
  const done = sysCall(arch, "newfstatat", fd, cString(""), stat, AT_EMPTY_PATH);
  if (done < 0) throw fileError("look at a file", done, "newfstatat");
  const at = new DataView(stat.buffer);
  // struct stat of x86_64: nlink u64 at 16, mode at 24; of arm64: mode at 16, nlink u32 at 20. Both: size at 48.
  const isX86 = arch === "x86_64";
  return {
    links: isX86 ? Number(at.getBigUint64(16, true)) : at.getUint32(20, true),
    mode: at.getUint32(isX86 ? 24 : 16, true),
    uid: at.getUint32(isX86 ? 28 : 24, true),
    gid: at.getUint32(isX86 ? 32 : 28, true),
    size: Number(at.getBigInt64(48, true)),
  };
}

/** What is at a path, its last name not followed; null: nothing, or (`strict`) what is on the way is a link or a file. */
export function lookWithin(arch: Arch, root: number, path: string | Uint8Array, strict = false): FileLook | null {
  const fd = openWithin(arch, root, path, O_PATH | openFlags(arch).O_NOFOLLOW, 0, strict);
  if (fd === -ENOENT || (strict && (fd === -ELOOP || fd === -ENOTDIR))) return null;
  if (fd < 0)
    throw fileError(
      `look at ${typeof path === "string" ? path : Buffer.from(path).toString()} in the root file system`,
      fd,
      "openat2",
    );
  try {
    return lookAt(arch, fd);
  } finally {
    closeFd(fd);
  }
}

/** Names in an open directory (not O_PATH), without order, each with a NUL at its end: they need not be UTF-8. */
export function namesIn(arch: Arch, directory: number): readonly Uint8Array[] {
  const room = new Uint8Array(64 << 10);
  const fields = new DataView(room.buffer);
  const names: Uint8Array[] = [];
  for (;;) {
    const got = sysCall(arch, "getdents64", directory, room, room.length);
    if (got < 0) throw fileError("read a directory", got, "getdents64");
    if (got === 0) return names;
    // linux_dirent64: u64 d_ino, s64 d_off, u16 d_reclen, u8 d_type, the name and a NUL.
    for (let at = 0; at < got; at += fields.getUint16(at + 16, true)) {
      const name = room.slice(at + 19, room.indexOf(0, at + 19) + 1);
      const isSelf = name[0] === 46 && (name.length === 2 || (name.length === 3 && name[1] === 46));
      if (!isSelf) names.push(name);
    }
  }
}

/** An open directory for `namesIn`, below another; never through a link. `name` with a NUL at its end. @returns a descriptor or -errno. */
export function openDirectory(arch: Arch, parent: number, name: Uint8Array): number {
  const flags = O_RDONLY | O_CLOEXEC | openFlags(arch).O_DIRECTORY | openFlags(arch).O_NOFOLLOW;
  return sysCall(arch, "openat", parent, name, flags, 0);
}
