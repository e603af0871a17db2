import type { DetailedUsage } from "../../../engine/engine.js";
import type { DomainDoc } from "../xml/domain.js";
import { kibibytes } from "./parameters.js";

/** DOMAIN_GET_INFO. Memory in KiB, time in nanoseconds. */
export interface DomainInfo {
  readonly state: number;
  readonly maxMem: bigint;
  readonly memory: bigint;
  readonly nrVirtCpu: number;
  readonly cpuTime: bigint;
}

/** `usage` null: it does not run. */
export function domainInfo(
  doc: Pick<DomainDoc, "memory" | "vcpu">,
  state: number,
  usage: Pick<DetailedUsage, "memoryBytes" | "cpuNanoseconds"> | null,
): DomainInfo {
  return {
    state,
    maxMem: doc.memory,
    memory: usage === null ? doc.memory : kibibytes(usage.memoryBytes),
    nrVirtCpu: doc.vcpu.current ?? doc.vcpu.count,
    cpuTime: usage?.cpuNanoseconds ?? 0n,
  };
}
