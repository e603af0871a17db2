import { fstatSync, statSync } from "node:fs";
import type { Arch } from "../sys/arch.js";
import { errnoName } from "../sys/errno.js";
import { NS_GET_OWNER_UID, NS_GET_PARENT, NS_GET_USERNS, SO_PEERPIDFD, SOL_SOCKET } from "../sys/flags.js";
import { requireSyscall } from "../sys/syscalls.js";
import { closeFd, syscall } from "./addon.js";

/** Who is at the other end of a socket, and what belongs to whom: by what the kernel says, never by what a peer says. */

/** The process that connected (SO_PEERPIDFD); null: this kernel has none (before 6.5). The caller closes it. */
export function peerPidfd(arch: Arch, connection: number): number | "gone" | null {
  const value = new Uint8Array(4);
  const length = new Uint8Array([4, 0, 0, 0]);
  const result = syscall(requireSyscall(arch, "getsockopt"), [connection, SOL_SOCKET, SO_PEERPIDFD, value, length]);
  if (result < 0) return errnoName(result) === "ENOPROTOOPT" ? null : "gone";
  return new DataView(value.buffer).getInt32(0, true);
}

/** Has the process behind a pidfd not ended yet? */
export function isAlive(arch: Arch, pidfd: number): boolean {
  return syscall(requireSyscall(arch, "pidfd_send_signal"), [pidfd, 0, 0, 0]) >= 0;
}

/** Is a process in our own namespace of that kind? */
export function sharesNamespace(pid: number, kind: "pid" | "user"): boolean {
  try {
    const [theirs, own] = [`/proc/${pid}/ns/${kind}`, `/proc/self/ns/${kind}`].map((path) => identity(statOf(path)));
    return theirs === own;
  } catch {
    return false;
  }
}

const statOf = (path: string): Identified => statSync(path, { bigint: true });

interface Identified {
  readonly dev: bigint;
  readonly ino: bigint;
}

const identity = ({ dev, ino }: Identified): string => `${dev}:${ino}`;

/** User namespaces are nested at most this deep (user_namespaces(7)). */
const deepest = 33;

/**
 * Whose a namespace is (a descriptor of one that is no user namespace): the user who made the outermost user namespace below our own that it
 * belongs to, and who may do everything in it therefore (user_namespaces(7), capability rules). null: it belongs to our own, or to none below it.
 */
export function namespaceOwner(arch: Arch, namespace: number): number | null {
  const ioctl = requireSyscall(arch, "ioctl");
  const own = identity(statOf("/proc/self/ns/user"));
  let at = syscall(ioctl, [namespace, NS_GET_USERNS, 0]);
  try {
    if (at < 0 || identity(fstatSync(at, { bigint: true })) === own) return null;
    for (let level = 0; level < deepest; level += 1) {
      const above = syscall(ioctl, [at, NS_GET_PARENT, 0]);
      if (above < 0) return null;
      if (identity(fstatSync(above, { bigint: true })) === own) {
        closeFd(above);
        const uid = new Uint8Array(4);
        return syscall(ioctl, [at, NS_GET_OWNER_UID, uid]) < 0 ? null : new DataView(uid.buffer).getUint32(0, true);
      }
      closeFd(at);
      at = above;
    }
    return null;
  } finally {
    if (at >= 0) closeFd(at);
  }
}
