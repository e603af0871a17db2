import type { DetailedUsage, ResourceUsage } from "./engine.js";
import { readKernelFile } from "../host/fd.js";
import type { MonitorMeta } from "../runtime/monitors.js";
import type { Arch } from "../sys/arch.js";

/** What the payload cgroups account, on whichever version has the controller. */
export function readUsage(arch: Arch, meta: MonitorMeta): ResourceUsage {
  const legacy = (controller: string): string | null =>
    meta.cgroups.find((item) => item.controllers.includes(controller))?.path ?? null;
  const on = (controller: string, file: string): string | null => {
    const path = legacy(controller);
    return path === null ? null : readKernelFile(arch, `${path}/${file}`);
  };
  const unified = (file: string): string | null =>
    meta.unified === null ? null : readKernelFile(arch, `${meta.unified}/${file}`);
  const memory = number(on("memory", "memory.usage_in_bytes")) ?? number(unified("memory.current"));
  const memsw = number(on("memory", "memory.memsw.usage_in_bytes"));
  return {
    cpuNanoseconds: number(on("cpuacct", "cpuacct.usage")) ?? cpuOfUnified(unified("cpu.stat")),
    blkioBytes: field(on("blkio", "blkio.throttle.io_service_bytes"), "Total") ?? ioOfUnified(unified("io.stat")),
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
  const on = (controller: string, file: string): string | null => {
    const path = meta?.cgroups.find((item) => item.controllers.includes(controller))?.path;
    return path === undefined ? null : readKernelFile(arch, `${path}/${file}`);
  };
  const unified = (file: string): string | null =>
    meta === null || meta.unified === null ? null : readKernelFile(arch, `${meta.unified}/${file}`);
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

function ioOfUnified(text: string | null): bigint | null {
  if (text === null) return null;
  let total = 0n;
  for (const match of text.matchAll(/\b[rw]bytes=(\d+)/g)) total += BigInt(match[1] ?? "0");
  return total;
}
