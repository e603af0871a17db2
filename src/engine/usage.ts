import { existsSync, readFileSync } from "node:fs";
import type { ResourceUsage } from "./engine.js";
import type { MonitorMeta } from "../runtime/monitors.js";

function read(path: string): string | null {
  // Many hosts lack some of these files: an exception for each would cost more than all that are there.
  if (!existsSync(path)) return null;
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

function number(path: string): bigint | null {
  const text = read(path);
  return text !== null && /^\d+\s*$/.test(text) ? BigInt(text.trim()) : null;
}

/** What the payload cgroups account, on whichever version has the controller. */
export function readUsage(meta: MonitorMeta): ResourceUsage {
  const legacy = (controller: string): string | null =>
    meta.cgroups.find((item) => item.controllers.includes(controller))?.path ?? null;
  const on = (controller: string, file: string): bigint | null => {
    const path = legacy(controller);
    return path === null ? null : number(`${path}/${file}`);
  };
  const unified = meta.unified;
  const memory =
    on("memory", "memory.usage_in_bytes") ?? (unified === null ? null : number(`${unified}/memory.current`));
  const memsw = on("memory", "memory.memsw.usage_in_bytes");
  return {
    cpuNanoseconds:
      on("cpuacct", "cpuacct.usage") ?? (unified === null ? null : cpuOfUnified(read(`${unified}/cpu.stat`))),
    blkioBytes: blkioTotal(legacy("blkio")) ?? (unified === null ? null : ioOfUnified(read(`${unified}/io.stat`))),
    memoryBytes: memory,
    kernelMemoryBytes:
      on("memory", "memory.kmem.usage_in_bytes") ??
      (unified === null ? null : field(read(`${unified}/memory.stat`), "kernel")),
    swapBytes:
      memsw !== null && memory !== null
        ? memsw > memory
          ? memsw - memory
          : 0n
        : unified === null
          ? null
          : number(`${unified}/memory.swap.current`),
  };
}

function field(text: string | null, name: string): bigint | null {
  const match = text === null ? null : new RegExp(`^${name} (\\d+)$`, "m").exec(text);
  return match?.[1] === undefined ? null : BigInt(match[1]);
}

function cpuOfUnified(text: string | null): bigint | null {
  const microseconds = field(text, "usage_usec");
  return microseconds === null ? null : microseconds * 1000n;
}

function blkioTotal(path: string | null): bigint | null {
  const text = path === null ? null : read(`${path}/blkio.throttle.io_service_bytes`);
  return field(text, "Total");
}

function ioOfUnified(text: string | null): bigint | null {
  if (text === null) return null;
  let total = 0n;
  for (const match of text.matchAll(/\b[rw]bytes=(\d+)/g)) total += BigInt(match[1] ?? "0");
  return total;
}
