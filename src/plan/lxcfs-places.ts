import type { LxcfsFacts } from "../spec/host.js";
import { cpuDirectory, lxcfsInside } from "./lxcfs.js";
import type { LxcfsPlace, LxcfsRepair } from "./lxcfs-live.js";

/** What of a mount of the guest's matters here (proc(5), /proc/PID/mountinfo). */
export interface SeenLxcfs {
  readonly id: number;
  readonly device: string;
  /** What of LXCFS it shows. */
  readonly root: string;
  readonly point: string;
}

/** The well-known place at a path in the guest; null: LXCFS's files have no business there. */
export function lxcfsPlace(path: string): LxcfsPlace | null {
  const clean = path.replace(/^\//, "");
  const isPlace =
    clean === lxcfsInside ||
    clean === cpuDirectory ||
    new RegExp(`^${cpuDirectory}/[^/]+$`).test(clean) ||
    /^proc\/(pressure\/)?[^/]+$/.test(clean);
  if (!isPlace || clean.split("/").includes("..")) return null;
  const cut = clean.lastIndexOf("/");
  return { directory: clean.slice(0, cut), name: clean.slice(cut + 1), source: clean === lxcfsInside ? "" : clean };
}

export function pathOf(place: LxcfsPlace): string {
  return `/${place.directory}/${place.name}`;
}

/** Places in one guest: more than LXCFS has files, on a machine with very many processors. */
const mostPlaces = 128;
/** Dead mounts one on another: an LXCFS's, its hook's, and what a guest has made of them. */
const mostOnOne = 8;

/**
 * What is to be done in a guest. `mounts`: its mounts of LXCFS, the upper ones last. `dead`: devices of the host's that have died; those of an
 * LXCFS that the guest runs itself are not among them. `owed`: paths whose mounts were taken away before. `living`: there is one to mount.
 */
export function lxcfsRepairs(
  mounts: readonly SeenLxcfs[],
  dead: ReadonlySet<string>,
  owed: readonly string[],
  living: LxcfsFacts | null,
): readonly LxcfsRepair[] {
  const found = new Map<string, { readonly place: LxcfsPlace; readonly dead: number[] }>();
  const at = (path: string): { readonly place: LxcfsPlace; readonly dead: number[] } | null => {
    const known = found.get(path);
    if (known !== undefined) return known;
    const place = lxcfsPlace(path);
    if (place === null || found.size >= mostPlaces) return null;
    const made = { place, dead: [] };
    found.set(path, made);
    return made;
  };
  for (const { id, device, root, point } of mounts) {
    if (!dead.has(device)) continue;
    const place = lxcfsPlace(point);
    // What the guest has bound elsewhere is its own.
    if (place === null || root !== `/${place.source}`) continue;
    const entry = at(point);
    if (entry !== null && entry.dead.length < mostOnOne) entry.dead.unshift(id);
  }
  if (living !== null) for (const path of owed) at(path);
  return [...found.values()].map(({ place, dead: ids }) => ({
    place,
    dead: ids,
    bind: living !== null && offers(living, place.source),
  }));
}

function offers({ proc, cpu }: LxcfsFacts, source: string): boolean {
  if (source === "") return true;
  if (source === cpuDirectory) return cpu === "whole";
  if (source.startsWith("proc/")) return proc.includes(source.slice("proc/".length));
  return cpu !== "whole" && cpu.includes(source.slice(cpuDirectory.length + 1));
}
