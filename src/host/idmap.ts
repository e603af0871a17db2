import { readFileSync } from "node:fs";
import type { IdMapEntry } from "../spec/idmap.js";

/** The map of the user namespace that a process is in (user_namespaces(7)). Throws as readFileSync does when it has ended. */
export function readIdMap(pid: number): readonly IdMapEntry[] {
  return (["uid", "gid"] as const).flatMap((type) =>
    readFileSync(`/proc/${pid}/${type}_map`, "utf8")
      .split("\n")
      .flatMap((line) => {
        const [inside, outside, count] = line.trim().split(/\s+/).map(Number);
        return inside === undefined || outside === undefined || count === undefined
          ? []
          : [{ type, inside, outside, count, at: null }];
      }),
  );
}
