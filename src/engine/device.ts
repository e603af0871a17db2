import { chmodSync, existsSync, fstatSync, readFileSync, statSync, writeFileSync, type Stats } from "node:fs";
import { IsletError } from "../base/errors.js";
import { closeFd, syscall } from "../host/addon.js";
import { toHostId } from "../spec/idmap.js";
import { readIdMap } from "../host/idmap.js";
import { ownFd, type OwnedFd } from "../host/fd.js";
import type { AttachTarget } from "../plan/attach.js";
import { deviceText } from "../plan/cgroup.js";
import { type NodePlace, planNodeIn, planNodeOut } from "../plan/device-bind.js";
import type { LaunchProgram } from "../program/ops.js";
import type { MonitorMeta } from "../runtime/monitors.js";
import type { HostFacts } from "../spec/host.js";
import type { Arch } from "../sys/arch.js";
import { cString } from "../sys/bytes.js";
import { errnoName, strerror } from "../sys/errno.js";
import { O_CLOEXEC, O_PATH, openFlags, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS } from "../sys/flags.js";
import { majorOf, minorOf, openHow } from "../sys/structs.js";
import { requireSyscall, type SyscallName } from "../sys/syscalls.js";
import { changeDevices, hasProgram } from "./device-rules.js";

/** A device node put into a running container, and taken out (lxc-device(1)). No path of the guest's is followed out of its root. */

const atCwd = -100;

function must(result: number, what: string, call: SyscallName): number {
  if (result >= 0) return result;
  throw new IsletError("ISLET_IO", `cannot ${what}: ${strerror(-result)}`, {
    errno: errnoName(result),
    syscall: call,
  });
}

interface Place {
  readonly directory: OwnedFd;
  readonly name: string;
}

/** The directory of a path inside, and the last name in it. `make`: directories that are missing are made. */
function placeOf(arch: Arch, pid: number, path: string, make: boolean): Place {
  const { directory, name } = splitPlace(path);
  const parts = directory.split("/").filter(Boolean);
  const openat = requireSyscall(arch, "openat");
  const { O_DIRECTORY } = openFlags(arch);
  const root = ownFd(
    must(
      syscall(openat, [atCwd, cString(`/proc/${pid}/root`), O_PATH | O_DIRECTORY | O_CLOEXEC, 0]),
      "open the container's root",
      "openat",
    ),
  );
  const how = openHow({
    flags: O_PATH | O_DIRECTORY | O_CLOEXEC,
    resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
  });
  const open = (count: number): number =>
    syscall(requireSyscall(arch, "openat2"), [
      root.number,
      cString(`/${parts.slice(0, count).join("/")}`),
      how,
      how.length,
    ]);
  try {
    let fd = open(parts.length);
    if (make && errnoName(fd) === "ENOENT") {
      for (let count = 1; count <= parts.length; count += 1) {
        const above = must(open(count - 1), `open /${parts.slice(0, count - 1).join("/")} in the container`, "openat2");
        const made = syscall(requireSyscall(arch, "mkdirat"), [above, cString(parts[count - 1] ?? ""), 0o755]);
        closeFd(above);
        if (made < 0 && errnoName(made) !== "EEXIST")
          must(made, `make /${parts.slice(0, count).join("/")} in the container`, "mkdirat");
      }
      fd = open(parts.length);
    }
    return { directory: ownFd(must(fd, `open /${parts.join("/")} in the container`, "openat2")), name };
  } finally {
    root[Symbol.dispose]();
  }
}

/** What is at a place, without following a link there; null: nothing. */
function lookAt(arch: Arch, place: Place): OwnedFd | null {
  const flags = O_PATH | O_CLOEXEC | openFlags(arch).O_NOFOLLOW;
  const fd = syscall(requireSyscall(arch, "openat"), [place.directory.number, cString(place.name), flags, 0]);
  if (errnoName(fd) === "ENOENT") return null;
  return ownFd(must(fd, `look at ${place.name} in the container`, "openat"));
}

const isDevice = (stats: Stats): boolean => stats.isCharacterDevice() || stats.isBlockDevice();

/** What the host has at a path; null: no device. */
function hostDevice(path: string): Stats | null {
  const stats = existsSync(path) ? statSync(path) : null;
  return stats !== null && isDevice(stats) ? stats : null;
}

/** The network namespace of a process has an interface of this name (proc(5), /proc/PID/net/dev). */
export function isInterface(pid: number, name: string): boolean {
  const lines = readFileSync(`/proc/${pid}/net/dev`, "utf8").split("\n").slice(2);
  return lines.some((line) => line.slice(0, line.lastIndexOf(":")).trim() === name && name !== "");
}

/** What a node is to be; left out: as the host's. */
export interface NodeLook {
  /** Permissions. */
  readonly mode: number;
  /** May the payload write to it? */
  readonly write: boolean;
}

const modeOf = (stats: Stats, look: NodeLook | null): number =>
  look === null ? stats.mode : (stats.mode & ~0o7777) | look.mode;

/** Lets the payload use a device of the host's, or no longer; nothing where it is none. */
export function setAccess(host: HostFacts, meta: MonitorMeta, source: string, allow: boolean): void {
  const stats = hostDevice(source);
  if (stats !== null) changeAccess(host, meta, stats, allow);
}

/** Is anything at a path of the container's? */
export function hasNode({ arch }: HostFacts, pid: number, path: string): boolean {
  return statInside(arch, pid, path) !== null;
}

function changeAccess(host: HostFacts, meta: MonitorMeta, stats: Stats, allow: boolean, write = true): void {
  const device = {
    type: stats.isBlockDevice() ? "b" : "c",
    major: majorOf(stats.rdev),
    minor: minorOf(stats.rdev),
  } as const;
  const rule = { allow, ...device, read: true, write, mknod: true, at: null };
  const outer = meta.cgroups.find((item) => item.controllers.includes("devices"))?.path;
  if (outer === undefined) {
    if (hasProgram(meta)) changeDevices(host, meta, rule);
    return;
  }
  // The outer one first: nothing can be allowed below that is not allowed above.
  const below = (meta.attach as AttachTarget).legacyCgroups.filter((path) => path.startsWith(`${outer}/`));
  const text = deviceText(rule);
  const file = `devices.${allow ? "allow" : "deny"}`;
  for (const path of [outer, ...below]) {
    try {
      writeFileSync(`${path}/${file}`, text);
    } catch (cause) {
      throw new IsletError("ISLET_IO", `cannot write "${text}" to ${path}/${file}`, { cause });
    }
  }
}

/** Is a node that is made in the container dead? Then it is to be bound by what `bindNode` and `unbindNode` give. */
export function mustBind(meta: MonitorMeta): boolean {
  return (meta.attach as AttachTarget).userNamespace;
}

function splitPlace(path: string): NodePlace {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  const name = parts.pop();
  if (name === undefined || name === ".." || parts.includes(".."))
    throw new IsletError("ISLET_BAD_REQUEST", `${path} is no path for a device node`);
  return { directory: parts.length === 0 ? "" : `/${parts.join("/")}`, name };
}

/** What is at a path inside; null: nothing, or no way there. */
function statInside(arch: Arch, pid: number, path: string): Stats | null {
  let place: Place;
  try {
    place = placeOf(arch, pid, path, false);
  } catch (error) {
    if (error instanceof IsletError && error.errno === "ENOENT") return null;
    throw error;
  }
  try {
    const found = lookAt(arch, place);
    const stats = found === null ? null : fstatSync(found.number);
    found?.[Symbol.dispose]();
    return stats;
  } finally {
    place.directory[Symbol.dispose]();
  }
}

/** Permits a device to a container with an id map, and gives the program that puts its node there. */
export function bindNode(
  host: HostFacts,
  meta: MonitorMeta,
  pid: number,
  source: string,
  destination: string,
  look: NodeLook | null = null,
): LaunchProgram {
  const at = splitPlace(destination);
  const stats = foundDevice(source);
  // What is mounted on a directory is not ours to unmount.
  if (statInside(host.arch, pid, destination)?.isDirectory() === true)
    throw new IsletError("ISLET_BAD_REQUEST", `${destination} is a directory in the container`);
  const map = readIdMap(pid);
  const owner = { uid: toHostId(map, "uid", 0) ?? 0, gid: toHostId(map, "gid", 0) ?? 0 };
  const program = planNodeIn({ source, mode: modeOf(stats, look), device: stats.rdev, owner }, at, host);
  changeAccess(host, meta, stats, true, look?.write);
  return program;
}

/** The same the other way. `keepAccess`: the container has it at another path, too. */
export function unbindNode(
  host: HostFacts,
  meta: MonitorMeta,
  pid: number,
  source: string,
  destination: string,
  keepAccess = false,
): LaunchProgram {
  const at = splitPlace(destination);
  const inside = statInside(host.arch, pid, destination);
  if (inside === null || !isDevice(inside)) throw noDevice(destination);
  if (!keepAccess) changeAccess(host, meta, hostDevice(source) ?? inside, false);
  return planNodeOut(at, host);
}

function foundDevice(source: string): Stats {
  const stats = hostDevice(source);
  if (stats !== null) return stats;
  throw new IsletError("ISLET_NOT_FOUND", `${source} is neither a device nor an interface of the host`);
}

function noDevice(destination: string): IsletError {
  return new IsletError("ISLET_NOT_FOUND", `there is no device ${destination} in the container`);
}

export function addNode(
  host: HostFacts,
  meta: MonitorMeta,
  pid: number,
  source: string,
  destination: string,
  look: NodeLook | null = null,
): void {
  const { arch } = host;
  const stats = foundDevice(source);
  const mode = modeOf(stats, look);
  const place = placeOf(arch, pid, destination, true);
  try {
    changeAccess(host, meta, stats, true, look?.write);
    const old = lookAt(arch, place);
    if (old !== null) {
      old[Symbol.dispose]();
      must(
        syscall(requireSyscall(arch, "unlinkat"), [place.directory.number, cString(place.name), 0]),
        `remove ${destination} in the container`,
        "unlinkat",
      );
    }
    must(
      syscall(requireSyscall(arch, "mknodat"), [place.directory.number, cString(place.name), mode, stats.rdev]),
      `make ${destination} in the container`,
      "mknodat",
    );
    // Not the daemon's umask but the host's node says who may use it; the guest may have put another thing there meanwhile.
    const made = lookAt(arch, place);
    if (made === null) return;
    if (fstatSync(made.number).rdev === stats.rdev) chmodSync(`/proc/self/fd/${made.number}`, mode & 0o7777);
    made[Symbol.dispose]();
  } finally {
    place.directory[Symbol.dispose]();
  }
}

export function removeNode(
  host: HostFacts,
  meta: MonitorMeta,
  pid: number,
  source: string,
  destination: string,
  keepAccess = false,
): void {
  const { arch } = host;
  const place = placeOf(arch, pid, destination, false);
  try {
    const node = lookAt(arch, place);
    const inside = node === null ? null : fstatSync(node.number);
    node?.[Symbol.dispose]();
    if (inside === null || !isDevice(inside)) throw noDevice(destination);
    must(
      syscall(requireSyscall(arch, "unlinkat"), [place.directory.number, cString(place.name), 0]),
      `remove ${destination} in the container`,
      "unlinkat",
    );
    if (!keepAccess) changeAccess(host, meta, hostDevice(source) ?? inside, false);
  } finally {
    place.directory[Symbol.dispose]();
  }
}
