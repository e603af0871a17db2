import type { DetailedUsage } from "../../../engine/engine.js";
import { kibibytes } from "./parameters.js";

/** virDomainMemoryStatTags, those that a container has. */
const tags = { swapIn: 0, actual: 6, rss: 7 } as const;

export interface MemoryStat {
  readonly tag: number;
  readonly val: bigint;
}

/**
 * DOMAIN_MEMORY_STATS of a running domain, in KiB: `current` is its currentMemory. As libvirt has it, swap_in is what is swapped out, on cgroup v1 with the
 * memory in use.
 */
export function memoryStats(
  usage: Pick<DetailedUsage, "memoryBytes" | "memorySwapBytes">,
  current: bigint,
  maxStats: number,
): readonly MemoryStat[] {
  return [
    { tag: tags.actual, val: current },
    ...(usage.memorySwapBytes === null ? [] : [{ tag: tags.swapIn, val: kibibytes(usage.memorySwapBytes) }]),
    ...(usage.memoryBytes === null ? [] : [{ tag: tags.rss, val: kibibytes(usage.memoryBytes) }]),
  ].slice(0, maxStats);
}
