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

/** The id inside that a host id stands for, or null where none does; without a map of that type ids are the same. */
export function toInsideId(map: readonly IdMapEntry[], type: "uid" | "gid", id: number): number | null {
  const own = map.filter((entry) => entry.type === type);
  if (own.length === 0) return id;
  const entry = own.find(({ outside, count }) => id >= outside && id < outside + count);
  return entry === undefined ? null : entry.inside + (id - entry.outside);
}
