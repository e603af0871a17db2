import type { Arch } from "../sys/arch.js";
import { F_OFD_GETLK, F_OFD_SETLK } from "../sys/flags.js";
import { requireSyscall } from "../sys/syscalls.js";
import { syscall } from "./addon.js";

/** F_RDLCK and F_WRLCK of fcntl(2). */
const lockTypes = { shared: 0, exclusive: 1 } as const;

/**
 * A lock of the open file description on a whole file (fcntl(2), F_OFD_SETLK), which goes with the last descriptor of it; false: somebody else
 * has one that forbids it. Shared: the descriptor must be readable; exclusive: writable.
 */
export function tryLock(arch: Arch, fd: number, kind: keyof typeof lockTypes): boolean {
  const flock = new Uint8Array(32);
  new DataView(flock.buffer).setInt16(0, lockTypes[kind], true);
  return syscall(requireSyscall(arch, "fcntl"), [fd, F_OFD_SETLK, flock]) === 0;
}

/** Whether somebody else, by another open file description, has a lock on any of it. */
export function isLocked(arch: Arch, fd: number): boolean {
  const flock = new Uint8Array(32);
  const fields = new DataView(flock.buffer);
  fields.setInt16(0, lockTypes.exclusive, true);
  // F_UNLCK: nothing would be in the way.
  return syscall(requireSyscall(arch, "fcntl"), [fd, F_OFD_GETLK, flock]) === 0 && fields.getInt16(0, true) !== 2;
}
