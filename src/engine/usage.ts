import type { DetailedUsage, LiveUsage, ResourceUsage } from "./engine.js";
import { readKernelFile } from "../host/fd.js";
import type { MonitorMeta } from "../runtime/monitors.js";
import type { Arch } from "../sys/arch.js";

type Cgroups = Pick<MonitorMeta, "cgroups" | "unified">;

/** Texts of the payload cgroups' files, by controller on cgroup v1 and in the unified one; null where there is none. `meta` null: none at all. */
function filesOf(
  arch: Arch,
  meta: Cgroups | null,
): {
  readonly on: (controller: string, file: string) => string | null;
  readonly unified: (file: string) => string | null;
} {
  const read = (directory: string | null | undefined, file: string): string | null =>
    directory === null || directory === undefined ? null : readKernelFile(arch, `${directory}/${file}`);
  return {
    on: (controller, file) => read(meta?.cgroups.find((item) => item.controllers.includes(controller))?.path, file),
    unified: (file) => read(meta?.unified, file),
  };
}

/** What the payload cgroups account, on whichever version has the controller. */
export function readUsage(arch: Arch, meta: Cgroups): ResourceUsage {
  const { on, unified } = filesOf(arch, meta);
  const memory = number(on("memory", "memory.usage_in_bytes")) ?? number(unified("memory.current"));
  const memsw = number(on("memory", "memory.memsw.usage_in_bytes"));
  return {
    cpuNanoseconds: number(on("cpuacct", "cpuacct.usage")) ?? cpuOfUnified(unified("cpu.stat")),
    blkioBytes:
      field(on("blkio", "blkio.throttle.io_service_bytes"), "Total") ?? sum(unified("io.stat"), /\b[rw]bytes=(\d+)/g),
    memoryBytes: memory,
    kernelMemoryBytes: number(on("memory", "memory.kmem.usage_in_bytes")) ?? field(unified("memory.stat"), "kernel"),
    swapBytes:
      memsw !== null && memory !== null
        ? memsw > memory
          ? memsw - memory
          : 0n
        : number(unified("memory.swap.current")),
  };
}

/** lxc-top's columns. `meta` null: a container that does not run. */
export function readDetailedUsage(arch: Arch, meta: MonitorMeta | null): DetailedUsage {
  const { on, unified } = filesOf(arch, meta);
  const cpuStat = on("cpuacct", "cpuacct.stat");
  const cpuUnified = cpuStat === null ? unified("cpu.stat") : null;
  const bytes = on("blkio", "blkio.throttle.io_service_bytes");
  const io = bytes === null ? unified("io.stat") : null;
  const basic = meta === null ? null : readUsage(arch, meta);
  return {
    cpuNanoseconds: basic?.cpuNanoseconds ?? null,
    cpuSystemTicks: field(cpuStat, "system") ?? ticks(field(cpuUnified, "system_usec")),
    cpuUserTicks: field(cpuStat, "user") ?? ticks(field(cpuUnified, "user_usec")),
    blkioBytes: basic?.blkioBytes ?? null,
    blkioReadBytes: bytes === null ? sum(io, /\brbytes=(\d+)/g) : sum(bytes, / Read (\d+)/g),
    blkioWriteBytes: bytes === null ? sum(io, /\bwbytes=(\d+)/g) : sum(bytes, / Write (\d+)/g),
    blkioOperations: field(on("blkio", "blkio.throttle.io_serviced"), "Total") ?? sum(io, /\b[rw]ios=(\d+)/g),
    memoryBytes: basic?.memoryBytes ?? null,
    memorySwapBytes: number(on("memory", "memory.memsw.usage_in_bytes")) ?? number(unified("memory.swap.current")),
    kernelMemoryBytes: basic?.kernelMemoryBytes ?? null,
  };
}

/** The columns of islet ls and islet top: as few files as that takes. `meta` null: a container that does not run. */
export function readLiveUsage(arch: Arch, meta: MonitorMeta | null, activity: boolean): LiveUsage {
  const { on, unified } = filesOf(arch, meta);
  const limit = number(on("memory", "memory.limit_in_bytes")) ?? number(unified("memory.max"));
  const bytes = activity ? on("blkio", "blkio.throttle.io_service_bytes") : null;
  const io = activity && bytes === null ? unified("io.stat") : null;
  return {
    cpuNanoseconds: number(on("cpuacct", "cpuacct.usage")) ?? cpuOfUnified(unified("cpu.stat")),
    memoryBytes: number(on("memory", "memory.usage_in_bytes")) ?? number(unified("memory.current")),
    memoryLimitBytes: limit === null || limit >= noLimit ? null : limit,
    readBytes: bytes === null ? sum(io, /\brbytes=(\d+)/g) : sum(bytes, / Read (\d+)/g),
    writtenBytes: bytes === null ? sum(io, /\bwbytes=(\d+)/g) : sum(bytes, / Write (\d+)/g),
    processes: activity ? (number(on("pids", "pids.current")) ?? number(unified("pids.current"))) : null,
  };
}

/** cgroup v1 says "no limit" with the largest number of whole pages. */
const noLimit = 1n << 62n;

/** Microseconds as USER_HZ ticks. */
function ticks(microseconds: bigint | null): bigint | null {
  return microseconds === null ? null : microseconds / 10_000n;
}

function sum(text: string | null, pattern: RegExp): bigint | null {
  if (text === null) return null;
  let total = 0n;
  for (const match of text.matchAll(pattern)) total += BigInt(match[1] ?? "0");
  return total;
}

function number(text: string | null): bigint | null {
  return text !== null && /^\d+\s*$/.test(text) ? BigInt(text.trim()) : null;
}

function field(text: string | null, name: string): bigint | null {
  const match = text === null ? null : new RegExp(`^${name} (\\d+)$`, "m").exec(text);
  return match?.[1] === undefined ? null : BigInt(match[1]);
}

function cpuOfUnified(text: string | null): bigint | null {
  const microseconds = field(text, "usage_usec");
  return microseconds === null ? null : microseconds * 1000n;
}
