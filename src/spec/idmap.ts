import type { Source } from "../base/source.js";

/** One extent of a user namespace's map (user_namespaces(7)). */
export interface IdMapEntry {
  readonly type: "uid" | "gid";
  /** First id inside. */
  readonly inside: number;
  /** First id on the host. */
  readonly outside: number;
  /** Number of ids, at least 1. */
  readonly count: number;
  readonly at: Source | null;
}

/** The host id that `id` inside stands for, or null where it is not mapped. */
export function toHostId(map: readonly IdMapEntry[], type: "uid" | "gid", id: number): number | null {
  for (const entry of map) {
    if (entry.type === type && id >= entry.inside && id < entry.inside + entry.count) {
      return entry.outside + (id - entry.inside);
    }
  }
  return null;
}
