import { lstatSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { IsletError } from "../base/errors.js";
import type { Arch } from "../sys/arch.js";
import { errnoName } from "../sys/errno.js";
import {
  AF_UNIX,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SO_TYPE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../sys/flags.js";
import { sockaddrUnixAbstract, sockaddrUnixPath, UNIX_PATH_MAX } from "../sys/structs.js";
import { requireSyscall } from "../sys/syscalls.js";
import { closeFd, syscall } from "./addon.js";
import { setNonBlocking } from "./fd.js";

/** What a service manager and a service say to each other: sd_listen_fds(3), sd_notify(3), without libsystemd. */

/** SD_LISTEN_FDS_START. */
const firstDescriptor = 3;

const SO_ACCEPTCONN = 30;
const F_SETFD = 2;
const FD_CLOEXEC = 1;

type Environment = Record<string, string | undefined>;

function socketOption(arch: Arch, fd: number, option: number): number {
  const value = new Uint8Array(4);
  const length = new Uint8Array([4, 0, 0, 0]);
  const result = syscall(requireSyscall(arch, "getsockopt"), [fd, SOL_SOCKET, option, value, length]);
  return result < 0 ? result : new DataView(value.buffer).getInt32(0, true);
}

/** The path a unix socket is bound to; null: it is none, or has no path. */
function boundPath(arch: Arch, fd: number): string | null {
  const address = new Uint8Array(2 + UNIX_PATH_MAX);
  const length = new Uint8Array([address.length, 0, 0, 0]);
  if (syscall(requireSyscall(arch, "getsockname"), [fd, address, length]) < 0) return null;
  const [family = 0] = new Uint16Array(address.buffer, 0, 1);
  const size = Math.min(address.length, new DataView(length.buffer).getInt32(0, true));
  if (family !== AF_UNIX || size <= 2 || address[2] === 0) return null;
  return new TextDecoder().decode(address.subarray(2, size)).replace(/\0.*$/s, "");
}

/** Directories may be links: /var/run is /run. One that is not there is none. */
function realPath(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path;
  }
}

/** Where clients look for the sockets: root's, that of the other users, and those of libvirt's clients, which are root's, too. */
export interface ListenerPaths {
  readonly root: string;
  readonly users: string;
  readonly libvirt: readonly string[];
}

/** `users` null: none was given. `libvirt`: by their paths above. */
export interface GivenListeners {
  readonly root: number;
  readonly users: number | null;
  readonly libvirt: ReadonlyMap<string, number>;
}

/**
 * The listening sockets that a service manager gave to this process, in any order, made fit for it: close-on-exec and non-blocking. null: none was
 * given. What says so is taken out of `environment` either way: it is for nobody whom we start.
 * @throws IsletError ISLET_BAD_REQUEST when they are no such sockets, ISLET_PERMISSION when others than root may connect to root's.
 */
export function takeListeners(arch: Arch, environment: Environment, paths: ListenerPaths): GivenListeners | null {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = environment;
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) Reflect.deleteProperty(environment, name);
  if (pid !== String(process.pid) || count === undefined || count === "0") return null;
  const refuse = (text: string): never => {
    throw new IsletError("ISLET_BAD_REQUEST", `LISTEN_FDS: ${text}`, {
      hint: `give one listening stream socket, ListenStream=${paths.root}`,
    });
  };
  const places = [paths.root, paths.users, ...paths.libvirt];
  if (!/^[1-9]\d?$/.test(count) || Number(count) > places.length)
    refuse(`${count} descriptors, but there are ${places.length} sockets at most`);
  const given = new Map<string, number>();
  for (let fd = firstDescriptor; fd < firstDescriptor + Number(count); fd += 1) {
    if (socketOption(arch, fd, SO_TYPE) !== SOCK_STREAM || socketOption(arch, fd, SO_ACCEPTCONN) !== 1)
      refuse(`descriptor ${fd} is no listening stream socket`);
    const bound = boundPath(arch, fd);
    const place = places.find((path) => bound !== null && realPath(path) === realPath(bound));
    if (place === undefined || (count === "1" && place !== paths.root))
      return refuse(`the socket is ${bound ?? "no unix socket with a path"}, but clients look for ${paths.root}`);
    if (given.has(place)) refuse(`two sockets are ${place}`);
    given.set(place, fd);
    syscall(requireSyscall(arch, "fcntl"), [fd, F_SETFD, FD_CLOEXEC]);
    setNonBlocking(arch, fd);
  }
  const root = given.get(paths.root) ?? refuse(`no socket is ${paths.root}`);
  for (const path of given.keys()) checkPermissions(path, path === paths.users ? 0 : 0o077);
  const libvirt = new Map([...given].filter(([path]) => paths.libvirt.includes(path)));
  return { root, users: given.get(paths.users) ?? null, libvirt };
}

/** As a socket of our own making would be. Who connects is asked all the same. */
function checkPermissions(path: string, forbidden: number): void {
  const { mode, uid } = lstatSync(path);
  if ((mode & forbidden) !== 0)
    throw new IsletError(
      "ISLET_PERMISSION",
      `the socket ${path} has mode ${(mode & 0o7777).toString(8).padStart(4, "0")}: others than its owner may connect`,
      { hint: "SocketMode=0600" },
    );
  if (uid !== 0 && uid !== process.getuid?.())
    throw new IsletError("ISLET_PERMISSION", `the socket ${path} belongs to user ${uid}`, { hint: "SocketUser=root" });
}

/**
 * What tells the service manager how we are ("READY=1"); does nothing where none wants to know, and never fails: a manager that does
 * not listen is not our trouble. NOTIFY_SOCKET is taken out of `environment`.
 */
export function createNotifier(arch: Arch, environment: Environment): (state: string) => void {
  const target = environment["NOTIFY_SOCKET"] ?? "";
  Reflect.deleteProperty(environment, "NOTIFY_SOCKET");
  if (!/^[/@]./.test(target)) return () => undefined;
  return (state) => {
    try {
      const address = target.startsWith("@") ? sockaddrUnixAbstract(target.slice(1)) : sockaddrUnixPath(target);
      const fd = syscall(requireSyscall(arch, "socket"), [AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0]);
      if (fd < 0) throw new IsletError("ISLET_IO", `socket: ${errnoName(fd)}`);
      const text = new TextEncoder().encode(state);
      const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
      const sent = syscall(requireSyscall(arch, "sendto"), [fd, text, text.length, flags, address, address.length]);
      closeFd(fd);
      if (sent < 0) throw new IsletError("ISLET_IO", `sendto: ${errnoName(sent)}`);
    } catch (error) {
      console.error(`cannot notify ${target}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
}
