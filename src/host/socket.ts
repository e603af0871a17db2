import { unlinkSync, chmodSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { errnoName, strerror } from "../sys/errno.js";
import { SO_PASSRIGHTS, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET } from "../sys/flags.js";
import { sockaddrUnixPath } from "../sys/structs.js";
import { type Arch } from "../sys/arch.js";
import { requireSyscall } from "../sys/syscalls.js";
import { closeFd, syscall, watch } from "./addon.js";

/** Unix stream sockets by path (unix(7)), as descriptors that can be handed on. */

function must(result: number, what: string, call: string): number {
  if (result < 0)
    throw new IsletError("ISLET_IO", `cannot ${what}: ${errnoName(result)} (${strerror(result)})`, {
      errno: errnoName(result),
      syscall: call,
    });
  return result;
}

/** `mode` null: the directory alone keeps others out. */
export function listenUnix(arch: Arch, path: string, backlog: number, mode: number | null): number {
  const fd = must(
    syscall(requireSyscall(arch, "socket"), [1, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0]),
    "make a socket",
    "socket",
  );
  try {
    const address = sockaddrUnixPath(path);
    const bound = syscall(requireSyscall(arch, "bind"), [fd, address, address.length]);
    if (bound < 0 && errnoName(bound) === "EADDRINUSE") {
      const somebody = connectUnix(arch, path);
      if (somebody !== null) {
        closeFd(somebody);
        must(bound, `listen on ${path}`, "bind");
      }
      unlinkSync(path);
      must(syscall(requireSyscall(arch, "bind"), [fd, address, address.length]), `listen on ${path}`, "bind");
    } else must(bound, `listen on ${path}`, "bind");
    if (mode !== null) chmodSync(path, mode);
    must(syscall(requireSyscall(arch, "listen"), [fd, backlog]), `listen on ${path}`, "listen");
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

/**
 * Whoever connects to this listener cannot send descriptors: sendmsg(2) gives EPERM there. They would be closed by us, and closing a stranger's
 * may take as long as the stranger likes (SO_LINGER, socket(7)). false: the kernel is older than 6.16 and lets them through.
 */
export function refuseDescriptors(arch: Arch, listener: number): boolean {
  return syscall(requireSyscall(arch, "setsockopt"), [listener, SOL_SOCKET, SO_PASSRIGHTS, new Uint8Array(4), 4]) === 0;
}

/** A connected descriptor; null when nobody listens there. */
export function connectUnix(arch: Arch, path: string): number | null {
  const fd = must(
    syscall(requireSyscall(arch, "socket"), [1, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0]),
    "make a socket",
    "socket",
  );
  const address = sockaddrUnixPath(path);
  const result = syscall(requireSyscall(arch, "connect"), [fd, address, address.length]);
  if (result === 0) return fd;
  closeFd(fd);
  const name = errnoName(result);
  if (name === "ECONNREFUSED" || name === "ENOENT") return null;
  must(result, `connect to ${path}`, "connect");
  return null;
}

/** Calls back with the descriptor of every connection. Returns what stops it (the listening descriptor stays open). */
export function acceptAll(arch: Arch, fd: number, accepted: (connection: number) => void): { close(): void } {
  const accept4 = requireSyscall(arch, "accept4");
  return watch(fd, "in", () => {
    for (let round = 0; round < 64; round += 1) {
      const connection = syscall(accept4, [fd, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK]);
      if (connection < 0) return;
      accepted(connection);
    }
  });
}

/** Both ends of a stream socket pair; `blocking`: for ends that go to other processes. */
export function socketPair(arch: Arch): readonly [number, number] {
  const both = new Uint8Array(8);
  must(
    syscall(requireSyscall(arch, "socketpair"), [1, SOCK_STREAM | SOCK_CLOEXEC, 0, both]),
    "make a socket pair",
    "socketpair",
  );
  const view = new DataView(both.buffer);
  return [view.getInt32(0, true), view.getInt32(4, true)];
}
