import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

import { IsletError } from "../base/errors.js";
import { errnoName, strerror } from "../sys/errno.js";

/**
 * The native addon (native/addon*.c) with types. Functions that answer with a number give `-errno` for an error, as the
 * kernel does; the others throw an IsletError (ISLET_IO). Wrong types throw a TypeError. Nothing here blocks but `run` and
 * `syscall` with a call that blocks.
 */

interface Native {
  syscall(nr: number, args: readonly (number | bigint | Uint8Array)[]): number;
  run(image: Uint8Array, fds: readonly number[]): RunResult;
  check(image: Uint8Array): void;
  spawn(
    path: string,
    argv: readonly string[],
    envp: readonly string[],
    fds: readonly number[],
    cwd: string | undefined,
    setsid: boolean,
    cgroupFds: readonly number[],
  ): Spawned | number;
  sendMessage(fd: number, data: Uint8Array, fds: readonly number[]): number;
  receiveMessage(fd: number, buffer: Uint8Array, maxFds: number): ReceivedMessage;
  peerCredentials(fd: number): PeerCredentials | number;
  closeFd(fd: number): number;
  memfd(name: string, data: Uint8Array, seal: boolean): number;
  watch(fd: number, events: number, callback: (revents: number) => void): object | number;
  watchUpdate(watch: object, events: number): number;
  watchRef(watch: object, keep: boolean): void;
  watchClose(watch: object): void;
}

function load(): Native {
  // dist/src/host/ -> build/
  const file = fileURLToPath(new URL("../../../build/addon.node", import.meta.url));
  try {
    return createRequire(import.meta.url)(file) as Native;
  } catch (cause) {
    throw new IsletError(
      "ISLET_UNSUPPORTED",
      `cannot load ${file}: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        hint: "build the native parts: make -C native",
        cause,
      },
    );
  }
}

const native: Native = load();

function ioError(what: string, negative: number, syscallName: string): IsletError {
  return new IsletError("ISLET_IO", `cannot ${what}: ${strerror(-negative)}`, {
    errno: errnoName(-negative),
    syscall: syscallName,
  });
}

/**
 * One system call, made as CALL of a launch program makes it: a Uint8Array passes its address (the kernel may write to it).
 * Restarted when a signal interrupts it, but for close. Calls that make a process are refused (-EPERM).
 * @returns the result, or -errno. Results beyond 2^53 (addresses) are not exact.
 */
export function syscall(nr: number, args: readonly (number | bigint | Uint8Array)[]): number {
  return native.syscall(nr, args);
}

export type RunResult =
  | {
      readonly kind: "ok";
      /** The argument of END. */
      readonly result: number;
      /** All slots at the end; values beyond 2^53 are not exact. */
      readonly slots: readonly number[];
    }
  | {
      readonly kind: "failed";
      /** 72 bytes: docs/protocol/program.md, Errors. */
      readonly record: Uint8Array;
    };

/**
 * Runs a copy of a launch program in this process, which has threads: CLONE fails with EPERM and TELL with ENOSYS. Its deferred
 * blocks have run when this returns, whether it failed or not. It blocks the event loop for as long as its calls do.
 * @param fds fill the preset slots; as many as the program declares.
 * @throws TypeError when the decoder refuses the image.
 */
export function run(image: Uint8Array, fds: readonly number[]): RunResult {
  return native.run(image, fds);
}

/**
 * Asks the decoder about an image and runs nothing.
 * @throws TypeError that says what is wrong and at which operation, rule or relocation.
 */
export function check(image: Uint8Array): void {
  native.check(image);
}

export interface SpawnOptions {
  /** Directory in which the program starts; this process's own otherwise. */
  readonly cwd?: string;
  /** In a session of its own (setsid(2)), without a controlling terminal. */
  readonly setsid?: boolean;
  /**
   * Open `cgroup.procs` files: the process is put into each of them before this returns, but after its exec, so a child that it
   * makes at once may stay behind. One failure fails the spawn.
   */
  readonly cgroupFds?: readonly number[];
}

export interface Spawned {
  readonly pid: number;
  /** Close-on-exec; the caller's to close. Readable when the process has ended; it must then be reaped (waitid). */
  readonly pidfd: number;
}

/**
 * Starts a program with posix_spawn(3): no copy of this process is made. The child gets an empty signal mask, default dispositions
 * and, of descriptors, 0-2 (this process's, unless given) and those in `fds`, and no other.
 * @param path no search in PATH; relative to `cwd` when that is given.
 * @param fds pairs [number in the child, ours]; order and overlap of the numbers do not matter.
 * @throws IsletError ISLET_IO, also when the program cannot be executed; then no process is left.
 */
export function spawn(
  path: string,
  argv: readonly string[],
  envp: readonly string[],
  fds: readonly (readonly [child: number, ours: number])[],
  options: SpawnOptions = {},
): Spawned {
  const made = native.spawn(
    path,
    argv,
    envp,
    fds.flat(),
    options.cwd,
    options.setsid ?? false,
    options.cgroupFds ?? [],
  );
  if (typeof made === "number") throw ioError(`run ${path}`, made, "posix_spawn");
  return made;
}

/**
 * One sendmsg(2) with descriptors (SCM_RIGHTS, at most 253), never blocking, never SIGPIPE. A stream needs at least one byte of data
 * to carry descriptors; when fewer bytes went than were given, the descriptors have gone with the first of them.
 * @returns bytes sent, or -errno (-EAGAIN: the peer's buffer is full).
 */
export function sendMessage(fd: number, data: Uint8Array, fds: readonly number[]): number {
  return native.sendMessage(fd, data, fds);
}

export interface ReceivedMessage {
  /** Bytes received, 0 at the end of a stream, or -errno (-EAGAIN: nothing there). */
  readonly bytes: number;
  /** Close-on-exec; the caller's to close. */
  readonly fds: readonly number[];
  /** Descriptors beyond `maxFds` came and were closed, or a datagram was longer than the buffer. */
  readonly truncated: boolean;
}

/** One recvmsg(2), never blocking, that takes at most `maxFds` (0 to 253) descriptors. */
export function receiveMessage(fd: number, buffer: Uint8Array, maxFds: number): ReceivedMessage {
  return native.receiveMessage(fd, buffer, maxFds);
}

export interface PeerCredentials {
  /** 0 when the peer lives in a pid namespace that this one cannot see. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/**
 * Who connected (or made the socket pair): SO_PEERCRED, unix(7).
 * @throws IsletError ISLET_IO when it is not a unix socket.
 */
export function peerCredentials(fd: number): PeerCredentials {
  const peer = native.peerCredentials(fd);
  if (typeof peer === "number") throw ioError(`tell who is connected on descriptor ${fd}`, peer, "getsockopt");
  return peer;
}

/** close(2). @returns 0 or -errno; an interrupted close has closed. */
export function closeFd(fd: number): number {
  return native.closeFd(fd);
}

/**
 * An anonymous file in memory, close-on-exec, at offset 0: memfd_create(2).
 * @param seal makes content and size unchangeable for everybody.
 * @returns the descriptor, or -errno.
 */
export function memfd(name: string, data: Uint8Array, seal: boolean): number {
  return native.memfd(name, data, seal);
}

/**
 * "change": once now and then whenever the file says that it has changed (EPOLLET): for /proc/PID/mountinfo, which is always readable.
 */
export type WatchEvents = "in" | "out" | "inout" | "change";

/** Bits that a watch's callback gets: epoll_ctl(2). Error and hang-up come unasked. */
export const watchIn = 1;
export const watchOut = 4;
export const watchError = 8;
export const watchHangup = 16;
/** EPOLLET, as the signed number that it is in 32 bits. */
const watchEdge = 1 << 31;

export interface Watch {
  /** Other events from now on. @throws IsletError ISLET_IO when the watch or its descriptor is closed. */
  update(events: WatchEvents): void;
  /** Keep the event loop alive while watching (the initial state). */
  ref(): void;
  unref(): void;
  /** No callback after this. The descriptor stays open. A second call does nothing. */
  close(): void;
}

function eventBits(events: WatchEvents): number {
  switch (events) {
    case "in":
      return watchIn;
    case "out":
      return watchOut;
    case "inout":
      return watchIn | watchOut;
    case "change":
      return watchIn | watchEdge;
    default: {
      const impossible: never = events;
      throw new TypeError(`unknown events ${String(impossible)}`);
    }
  }
}

/**
 * Calls back on the event loop for as long as the descriptor is ready (level-triggered): whoever does not read, or close the watch at
 * a hang-up, is called again at once. Any descriptor that epoll takes: sockets, pipes, terminals, pidfds, netlink; the same one
 * several times, too. Its flags are not touched (O_NONBLOCK). An exception in the callback becomes an 'uncaughtException'. The watch
 * lives until `close`, even if the handle is dropped; close it before the descriptor.
 * @throws IsletError ISLET_IO; EPERM: a regular file or directory, always ready.
 */
export function watch(fd: number, events: WatchEvents, callback: (revents: number) => void): Watch {
  const made = native.watch(fd, eventBits(events), callback);
  if (typeof made === "number") throw ioError(`watch descriptor ${fd}`, made, "epoll_ctl");
  return {
    update(wanted: WatchEvents): void {
      const status = native.watchUpdate(made, eventBits(wanted));
      if (status < 0) throw ioError(`watch descriptor ${fd}`, status, "epoll_ctl");
    },
    ref(): void {
      native.watchRef(made, true);
    },
    unref(): void {
      native.watchRef(made, false);
    },
    close(): void {
      native.watchClose(made);
    },
  };
}
