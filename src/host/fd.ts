import { IsletError } from "../base/errors.js";
import { errnoName, strerror } from "../sys/errno.js";
import { closeFd, syscall } from "./addon.js";
import type { Arch } from "../sys/arch.js";
import { cString } from "../sys/bytes.js";
import { AT_FDCWD, F_GETFL, F_SETFL, O_CLOEXEC, O_NONBLOCK, O_RDONLY } from "../sys/flags.js";
import { requireSyscall } from "../sys/syscalls.js";

/** A descriptor that this process must close; `using` closes it at the end of the scope. */
export interface OwnedFd extends Disposable {
  readonly number: number;
  /** Gives it up: whoever takes the number closes it. */
  release(): number;
}

export function ownFd(number: number): OwnedFd {
  let open = true;
  return {
    number,
    release(): number {
      open = false;
      return number;
    },
    [Symbol.dispose](): void {
      if (open) closeFd(number);
      open = false;
    },
  };
}

/** Both ends of a pipe, close-on-exec: what is read from, what is written to. ISLET_IO. */
export function makePipe(arch: Arch): readonly [read: OwnedFd, write: OwnedFd] {
  const ends = new Uint8Array(8);
  const status = syscall(requireSyscall(arch, "pipe2"), [ends, O_CLOEXEC]);
  if (status < 0)
    throw new IsletError("ISLET_IO", `cannot make a pipe: ${strerror(-status)}`, {
      errno: errnoName(-status),
      syscall: "pipe2",
    });
  const view = new DataView(ends.buffer);
  return [ownFd(view.getInt32(0, true)), ownFd(view.getInt32(4, true))];
}

/** Larger than what any of the kernel's files that are read this way holds on a common host; what is longer is read in turns. */
const room = new Uint8Array(16384);

/** The text of one of the kernel's files; null when it cannot be opened or read. No exception is made: many hosts lack many of them. */
export function readKernelFile(arch: Arch, path: string): string | null {
  const fd = syscall(requireSyscall(arch, "openat"), [AT_FDCWD, Buffer.from(`${path}\0`), O_RDONLY | O_CLOEXEC, 0]);
  if (fd < 0) return null;
  let text = "";
  for (;;) {
    const got = syscall(requireSyscall(arch, "read"), [fd, room, room.length]);
    if (got > 0) text += Buffer.from(room.buffer, 0, got).toString("latin1");
    // These files come in pages of lines: a read that is far from a page was the last.
    if (got >= 2048) continue;
    closeFd(fd);
    return got < 0 ? null : text;
  }
}

/** unlink(2), which need not find anything. */
export function removeFile(arch: Arch, path: string): void {
  syscall(requireSyscall(arch, "unlinkat"), [AT_FDCWD, cString(path), 0]);
}

/** Of all who share the open file (fcntl(2), F_SETFL). */
export function setNonBlocking(arch: Arch, fd: number): void {
  const fcntl = requireSyscall(arch, "fcntl");
  syscall(fcntl, [fd, F_SETFL, syscall(fcntl, [fd, F_GETFL, 0]) | O_NONBLOCK]);
}
