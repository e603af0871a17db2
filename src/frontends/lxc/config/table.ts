/** The key table as a whole: one row per key of LXC 5.0.2 and 7.0. */
import { nearest } from "../../../base/nearest.js";
import { cgroupRows } from "./keys-cgroup.js";
import { isletRows } from "./keys-islet.js";
import { lifecycleRows } from "./keys-lifecycle.js";
import { mountRows } from "./keys-mount.js";
import { netRows } from "./keys-net.js";
import { processRows } from "./keys-process.js";
import { securityRows } from "./keys-security.js";
import { legacyRows } from "./legacy.js";
import type { KeyRow } from "./row.js";
import { Problem } from "./scalars.js";

/** Chapters in the order of the documentation. */
export const chapters: readonly { readonly title: string; readonly rows: readonly KeyRow[] }[] = [
  { title: "The system and its first process", rows: processRows },
  { title: "Starting, stopping, monitor, log and hooks", rows: lifecycleRows },
  { title: "Root file system, mounts, /dev and consoles", rows: mountRows },
  { title: "Isolation and security", rows: securityRows },
  { title: "Control groups", rows: cgroupRows },
  { title: "Network", rows: netRows },
  { title: "islet's own keys", rows: isletRows },
];

/** lxc.include is the reader's own business: it is expanded where it stands. */
export const includeKey = "lxc.include";

export const includeRow: KeyRow = {
  key: includeKey,
  kind: "path",
  since: "1.0",
  doc: "A file whose lines stand here, or a directory of which all *.conf are read, in the order of their names.",
  set: () => new Problem("lxc.include is expanded by the reader"),
  clear: () => undefined,
  get: () => null,
};

const exact = new Map<string, KeyRow>();
const families = new Map<string, KeyRow>();
for (const row of [...chapters.flatMap((chapter) => chapter.rows), ...legacyRows, includeRow]) {
  (row.rest === undefined ? exact : families).set(row.key, row);
}

export interface FoundKey {
  readonly row: KeyRow;
  /** What follows the family's prefix. */
  readonly rest: string;
}

const longestFamily = "lxc.namespace.share.";

/** The row of a key with its present name; null: there is no such key. */
export function findKey(key: string): FoundKey | null {
  const row = exact.get(key);
  if (row !== undefined) return { row, rest: "" };
  const prefix = key.startsWith(longestFamily)
    ? longestFamily
    : key.slice(0, key.indexOf(".", key.indexOf(".") + 1) + 1);
  const family = families.get(prefix);
  return family === undefined ? null : { row: family, rest: key.slice(prefix.length) };
}

/** The known key that is spelled most alike, for the hint; null where none comes near. */
export function nearestKey(key: string): string | null {
  // One slip in four letters is a slip, more is another word.
  return nearest(key, exact.keys(), Math.max(1, Math.min(2, Math.floor((key.length - 4) / 4))));
}
