import { existsSync, fstatSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { run, syscall } from "../host/addon.js";
import { ownFd, type OwnedFd, removeFile } from "../host/fd.js";
import type { AttachTarget } from "../plan/attach.js";
import { type DeviceException, type DevicePolicy, withRule } from "../plan/device-bpf.js";
import { isDeviceProgram, planDeviceLoad, planDeviceQuery, planProgramName } from "../plan/device-live.js";
import { encodeProgram } from "../program/encode.js";
import type { LaunchProgram, Slot } from "../program/ops.js";
import { decodeRecord, failureError } from "../program/report.js";
import { type MonitorMeta, monitorDirectory, monitorId } from "../runtime/monitors.js";
import type { DeviceRule } from "../spec/cgroup.js";
import type { HostFacts } from "../spec/host.js";
import type { Arch } from "../sys/arch.js";
import { cString } from "../sys/bytes.js";
import { errnoName, strerror } from "../sys/errno.js";
import {
  AT_FDCWD,
  BPF_CGROUP_DEVICE,
  BPF_F_ALLOW_MULTI,
  BPF_F_REPLACE,
  BPF_PROG_ATTACH,
  BPF_PROG_GET_FD_BY_ID,
  LOCK_EX,
  O_CLOEXEC,
  O_PATH,
  O_RDONLY,
  openFlags,
} from "../sys/flags.js";
import { BPF_PROG_ATTACH_SIZE, bpfProgAttach } from "../sys/structs.js";
import { requireSyscall } from "../sys/syscalls.js";
import { writeWhole } from "./store.js";

/**
 * Device rules of running containers on the unified hierarchy. The kernel does not give the rules of a program back, and the monitor
 * knows those of the configuration alone: what was changed since is in a file of the runtime directory, by the id of the
 * program that keeps it. A file whose program is not attached to the container's cgroup means nothing: so a reboot, or a daemon that dies
 * between two steps, needs no care.
 */

type Host = Pick<HostFacts, "arch" | "runtimeDir">;

interface Entry {
  /** The kernel's id of the program, while it lives nobody else's. */
  readonly program: number;
  readonly policy: DevicePolicy;
}

interface State {
  readonly version: 1;
  /** Inode of the cgroup. */
  readonly cgroup: string;
  /** What is attached, and what is about to replace it. */
  readonly entries: readonly Entry[];
}

const prefix = "devices-";

function stateFile(runtimeDir: string, meta: MonitorMeta): string {
  return `${runtimeDir}/${prefix}${monitorId(meta.storePath, meta.name)}`;
}

/** The rules in force; null: the container's hierarchy has files for them. */
export function currentDevices(host: Host, meta: MonitorMeta): DevicePolicy | null {
  if (!hasProgram(meta)) return null;
  const cgroup = openCgroup(host.arch, meta);
  try {
    return inForce(host, meta, cgroup).policy;
  } finally {
    cgroup[Symbol.dispose]();
  }
}

/** Are the container's device rules kept by a program? */
export function hasProgram(meta: MonitorMeta): boolean {
  return !meta.cgroups.some((item) => item.controllers.includes("devices")) && meta.unified !== null;
}

/** One more rule: the program with it replaces the one without, so that there is never none. The caller keeps changes of a container apart. */
export function changeDevices(host: Host, meta: MonitorMeta, rule: DeviceRule): void {
  const lock = lockChanges(host);
  try {
    replaceProgram(host, meta, rule);
  } finally {
    lock[Symbol.dispose]();
  }
}

function replaceProgram(host: Host, meta: MonitorMeta, rule: DeviceRule): void {
  const { arch, runtimeDir } = host;
  const cgroup = openCgroup(arch, meta);
  try {
    const now = inForce(host, meta, cgroup);
    const policy = withRule(now.policy, rule);
    if (JSON.stringify(policy) === JSON.stringify(now.policy)) return;
    const made = loaded(arch, policy);
    let old: OwnedFd | null = null;
    try {
      const entries = [{ program: made.id, policy }];
      if (now.program !== null) {
        old = openProgram(arch, now.program);
        entries.unshift({ program: now.program, policy: now.policy });
      }
      const state: State = { version: 1, cgroup: inode(cgroup), entries };
      writeWhole(stateFile(runtimeDir, meta), JSON.stringify(state), 0o600);
      const attach = bpfProgAttach({
        type: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI | (old === null ? 0 : BPF_F_REPLACE),
        cgroupFd: cgroup.number,
        programFd: made.program.number,
        ...(old === null ? {} : { replaceFd: old.number }),
      });
      must(bpf(arch, BPF_PROG_ATTACH, attach, BPF_PROG_ATTACH_SIZE), "attach the changed device rules");
    } finally {
      made.program[Symbol.dispose]();
      old?.[Symbol.dispose]();
    }
  } finally {
    cgroup[Symbol.dispose]();
  }
}

/**
 * One change at a time, whoever makes it: programs that have an engine in themselves share the runtime directory with the daemon. Nobody
 * holds it longer than the few calls of a change; a guest cannot have it.
 */
function lockChanges({ arch, runtimeDir }: Host): OwnedFd {
  const flags = O_RDONLY | O_CLOEXEC | openFlags(arch).O_DIRECTORY;
  const fd = syscall(requireSyscall(arch, "openat"), [AT_FDCWD, cString(runtimeDir), flags, 0]);
  if (fd < 0) throw new IsletError("ISLET_IO", `cannot open ${runtimeDir}: ${strerror(-fd)}`, { errno: errnoName(fd) });
  syscall(requireSyscall(arch, "flock"), [fd, LOCK_EX]);
  return ownFd(fd);
}

/** The container has stopped: its rules are those of its configuration again. */
export function forgetDevices(
  { arch, runtimeDir, cgroups }: Pick<HostFacts, "arch" | "runtimeDir" | "cgroups">,
  meta: Pick<MonitorMeta, "storePath" | "name">,
): void {
  // Where v1 keeps the rules there is no such file.
  if (cgroups.legacy.some(({ controllers }) => controllers.includes("devices"))) return;
  removeFile(arch, `${runtimeDir}/${prefix}${monitorId(meta.storePath, meta.name)}`);
}

/** Removes what is there of containers that stopped while there was no daemon: those without a monitor's socket. */
export function sweepDevices(runtimeDir: string): void {
  for (const entry of readdirSync(runtimeDir)) {
    if (!entry.startsWith(prefix) || existsSync(`${monitorDirectory(runtimeDir)}/${entry.slice(prefix.length)}`))
      continue;
    rmSync(`${runtimeDir}/${entry}`, { force: true });
  }
}

interface InForce {
  readonly policy: DevicePolicy;
  /** null: there is no program, or not any more. */
  readonly program: number | null;
}

function inForce(host: Host, meta: MonitorMeta, cgroup: OwnedFd): InForce {
  const { arch, runtimeDir } = host;
  if (meta.devices === undefined || meta.devices === null) {
    throw new IsletError(
      "ISLET_UNSUPPORTED",
      `${meta.name} was started by a release of islet that cannot change the devices of a running container on cgroup v2`,
      { hint: "start it again" },
    );
  }
  const attached = attachedTo(arch, cgroup);
  const state = readState(stateFile(runtimeDir, meta));
  if (state?.cgroup === inode(cgroup)) {
    const entry = state.entries.find(({ program }) => attached.includes(program));
    if (entry !== undefined) return entry;
  }
  return { policy: meta.devices, program: attached.find((id) => isOurs(arch, id)) ?? null };
}

// --- the kernel -----------------------------------------------------------------------------------------------------

function must(result: number, what: string): number {
  if (result >= 0) return result;
  throw new IsletError("ISLET_IO", `cannot ${what}: ${strerror(-result)}`, {
    errno: errnoName(result),
    syscall: "bpf",
  });
}

function bpf(arch: Arch, command: number, attr: Uint8Array, size: number): number {
  return syscall(requireSyscall(arch, "bpf"), [command, attr, size]);
}

function openCgroup(arch: Arch, meta: MonitorMeta): OwnedFd {
  const path = (meta.attach as AttachTarget).unifiedCgroup ?? meta.unified ?? "";
  const flags = O_PATH | O_CLOEXEC | openFlags(arch).O_DIRECTORY | openFlags(arch).O_NOFOLLOW;
  const fd = syscall(requireSyscall(arch, "openat"), [AT_FDCWD, cString(path), flags, 0]);
  if (fd >= 0) return ownFd(fd);
  throw new IsletError("ISLET_IO", `cannot open the cgroup ${path}: ${strerror(-fd)}`, { errno: errnoName(fd) });
}

const inode = (cgroup: OwnedFd): string => String(fstatSync(cgroup.number, { bigint: true }).ino);

function slotsOf(program: LaunchProgram, fds: readonly number[]): (slot: Slot) => number {
  const result = run(
    encodeProgram(program, (bytes) => new Uint8Array(bytes), "without notes"),
    fds,
  );
  if (result.kind === "ok") return ({ index }) => result.slots[index] ?? 0;
  const record = decodeRecord(result.record);
  if (record === null) throw new IsletError("ISLET_INTERNAL", "a program of the daemon's own left no report");
  throw failureError(program, record, "ISLET_IO");
}

function attachedTo(arch: Arch, cgroup: OwnedFd): readonly number[] {
  const { program, count, ids } = planDeviceQuery(arch);
  const found = slotsOf(program, [cgroup.number]);
  return ids.slice(0, found(count)).map(found);
}

function openProgram(arch: Arch, id: number): OwnedFd {
  const attr = new Uint8Array(12);
  new DataView(attr.buffer).setUint32(0, id, true);
  return ownFd(must(bpf(arch, BPF_PROG_GET_FD_BY_ID, attr, attr.length), `open the device program ${id}`));
}

function isOurs(arch: Arch, id: number): boolean {
  const descriptor = openProgram(arch, id);
  try {
    const { program, name } = planProgramName(arch);
    return isDeviceProgram(name.map(slotsOf(program, [descriptor.number])));
  } finally {
    descriptor[Symbol.dispose]();
  }
}

function loaded(arch: Arch, policy: DevicePolicy): { readonly program: OwnedFd; readonly id: number } {
  const { program, descriptor, id } = planDeviceLoad(arch, policy);
  const found = slotsOf(program, []);
  return { program: ownFd(found(descriptor)), id: found(id) };
}

// --- the file -------------------------------------------------------------------------------------------------------

/** Bytes: thousands of rules. */
const maxState = 1024 * 1024;

/** null: there is none that can be read. */
function readState(file: string): State | null {
  try {
    const text = readFileSync(file, "utf8");
    return text.length > maxState ? null : decodeState(JSON.parse(text));
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

const isCount = (value: unknown): value is number => typeof value === "number" && Number.isInteger(value) && value >= 0;

/** Own state files carry a version; one that is not whole is none. */
export function decodeState(value: unknown): State | null {
  if (!isRecord(value) || value["version"] !== 1 || typeof value["cgroup"] !== "string") return null;
  if (!Array.isArray(value["entries"])) return null;
  const entries: Entry[] = [];
  for (const entry of value["entries"] as readonly unknown[]) {
    if (!isRecord(entry) || !isCount(entry["program"])) return null;
    const policy = decodePolicy(entry["policy"]);
    if (policy === null) return null;
    entries.push({ program: entry["program"], policy });
  }
  return { version: 1, cgroup: value["cgroup"], entries };
}

function decodePolicy(value: unknown): DevicePolicy | null {
  if (!isRecord(value) || !Array.isArray(value["exceptions"])) return null;
  const { mode } = value as { readonly mode?: unknown };
  if (mode !== "allow" && mode !== "deny") return null;
  const exceptions: DeviceException[] = [];
  for (const one of value["exceptions"] as readonly unknown[]) {
    if (!isRecord(one)) return null;
    const { type, major, minor, access } = one as Readonly<Record<keyof DeviceException, unknown>>;
    if ((type !== "b" && type !== "c") || !isCount(access) || access > 7) return null;
    if (!(major === null || isCount(major)) || !(minor === null || isCount(minor))) return null;
    exceptions.push({ type, major, minor, access });
  }
  return { mode, exceptions };
}
