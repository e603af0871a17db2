import { syscall } from "./addon.js";
import type { Arch } from "../sys/arch.js";
import { requireSyscall } from "../sys/syscalls.js";

/** Arguments that every one of these calls refuses before it does anything: EINVAL, EBADF or EPERM where it exists. */
const bad = -1;
const all = 0xffff_ffff;
const attempts = {
  openat2: [bad, new Uint8Array(8), new Uint8Array(24), 0],
  open_tree: [bad, new Uint8Array(8), all],
  move_mount: [bad, new Uint8Array(8), bad, new Uint8Array(8), all],
  fsopen: [new Uint8Array(8), all],
  fsconfig: [bad, all, 0, 0, 0],
  fsmount: [bad, all, 0],
  mount_setattr: [bad, new Uint8Array(8), all, new Uint8Array(32), 0],
  pidfd_open: [bad, all],
  pidfd_send_signal: [bad, 0, 0, all],
  close_range: [1, 0, all],
} as const satisfies Readonly<Record<string, readonly (number | Uint8Array)[]>>;

const ENOSYS = 38;

/** System calls of launch programs that this kernel (or a filter above us) does not have. */
export function missingCalls(arch: Arch): readonly string[] {
  return Object.entries(attempts).flatMap(([name, args]) => {
    // What makes a process is not asked here: the addon refuses it.
    return syscall(requireSyscall(arch, name as keyof typeof attempts), args) === -ENOSYS ? [name] : [];
  });
}
