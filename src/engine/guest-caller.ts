import { closeSync, fstatSync, openSync, readFileSync, statSync } from "node:fs";
import { closeFd, peerCredentials, syscall } from "../host/addon.js";
import { isAlive, peerPidfd } from "../host/peer.js";
import type { GuestApiMeta, MonitorMeta } from "../runtime/monitors.js";
import type { HostFacts } from "../spec/host.js";
import type { Arch } from "../sys/arch.js";
import { NS_GET_PARENT } from "../sys/flags.js";
import { requireSyscall } from "../sys/syscalls.js";
import type { GuestCaller } from "./engine.js";
import { payloadOf } from "./processes.js";

/**
 * Who has connected to a guest's API. The socket says which guest is meant; the kernel says which process connected, and this says whether it is one
 * of that guest's: by its cgroup, which every process of a guest is below, or by its pid namespace, which is the guest's own or one inside it.
 * What a process calls itself counts for nothing.
 */

/** A process that has connected. */
export interface Peer {
  readonly pid: number;
  readonly uid: number;
  /** null: this kernel has none (before 6.5). Belongs to whoever holds the peer. */
  readonly pidfd: number | "gone" | null;
}

/** Who is at the other end of a connection. */
export function peerOf(arch: Arch, connection: number): Peer {
  const { pid, uid } = peerCredentials(connection);
  return { pid, uid, pidfd: pid === 0 ? "gone" : peerPidfd(arch, connection) };
}

export function forgetPeer({ pidfd }: Peer): void {
  if (typeof pidfd === "number") closeFd(pidfd);
}

/** `init`: the main process, as far as it is known. */
export function guestCaller(
  host: HostFacts,
  meta: MonitorMeta,
  api: GuestApiMeta,
  init: number | null,
  { pid, uid, pidfd }: Peer,
): GuestCaller {
  if (pid === 0 || pidfd === "gone") return "stranger";
  if (!isInCgroup(host, meta, pid) && !isInPidNamespace(host.arch, init, pid)) return "stranger";
  // Had it ended meanwhile, its number might have been somebody else's by now.
  if (pidfd !== null && !isAlive(host.arch, pidfd)) return "stranger";
  return uid === api.rootUid ? "root" : "user";
}

function isInCgroup(host: HostFacts, meta: MonitorMeta, pid: number): boolean {
  const [payload] = payloadOf(meta, host.cgroups);
  if (payload === undefined) return false;
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/cgroup`, "utf8");
  } catch {
    return false;
  }
  return isBelow(text, payload.controllers, payload.path);
}

/** Is it the cgroup at `path`, or one below? Not one of that name somewhere else: guests make cgroups of any name. */
export function isBelow(text: string, controllers: string, path: string): boolean {
  return text.split("\n").some((line) => {
    const match = /^\d+:([^:]*):(\/.*)$/.exec(line);
    return match !== null && match[1] === controllers && `${match[2] ?? ""}/`.startsWith(`${path}/`);
  });
}

/** Pid namespaces are nested at most this deep (pid_namespaces(7)). */
const deepest = 32;

function isInPidNamespace(arch: Arch, init: number | null, pid: number): boolean {
  if (init === null) return false;
  const ioctl = requireSyscall(arch, "ioctl");
  let fd: number | null = null;
  try {
    const wanted = statSync(`/proc/${init}/ns/pid`, { bigint: true });
    const own = statSync("/proc/self/ns/pid", { bigint: true });
    // A guest that shares the host's pid namespace cannot be told by it.
    if (wanted.ino === own.ino) return false;
    fd = openSync(`/proc/${pid}/ns/pid`, "r");
    for (let level = 0; level <= deepest; level += 1) {
      const { ino } = fstatSync(fd, { bigint: true });
      if (ino === wanted.ino) return true;
      if (ino === own.ino) return false;
      const parent = syscall(ioctl, [fd, NS_GET_PARENT, 0]);
      closeSync(fd);
      fd = null;
      if (parent < 0) return false;
      fd = parent;
    }
    return false;
  } catch {
    return false;
  } finally {
    if (fd !== null) closeSync(fd);
  }
}
