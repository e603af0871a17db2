import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import type { IdMapEntry } from "../spec/idmap.js";
import type { ContainerSpec } from "../spec/spec.js";
import { ioError } from "./store.js";

/** O_PATH of every architecture. */
const pathOnly = 0o10000000;

/** The root directory of a running container (by its main process's pid) or of one that is to run, and whose ids its files carry. */
export function openRoot(
  pid: number | null,
  spec: ContainerSpec | null,
): { readonly root: number; readonly idmap: readonly IdMapEntry[] } {
  const path = pid === null ? stoppedRoot(spec) : `/proc/${pid}/root`;
  let root: number;
  try {
    root = openSync(path, pathOnly | constants.O_DIRECTORY);
  } catch (error) {
    throw ioError(`open the root file system ${path}`, error);
  }
  try {
    return { root, idmap: pid === null ? storedMap(spec) : liveMap(pid) };
  } catch (error) {
    closeSync(root);
    throw error;
  }
}

function stoppedRoot(spec: ContainerSpec | null): string {
  const source = spec?.rootfs.source;
  if (spec === null || source === undefined)
    throw new IsletError("ISLET_NOT_RUNNING", "the container does not run", { hint: "start it first" });
  if (source.kind === "dir") return source.path;
  throw new IsletError("ISLET_UNSUPPORTED", `the files of ${spec.name} can be reached only while it runs`, {
    hint: `its root file system is of the kind ${source.kind}; start it first`,
  });
}

/** Files of an idmapped mount carry the ids that the container sees. */
function storedMap(spec: ContainerSpec | null): readonly IdMapEntry[] {
  return spec === null || spec.rootfs.idmap !== "as-is" ? [] : spec.idmap;
}

/** user_namespaces(7). */
function liveMap(pid: number): readonly IdMapEntry[] {
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
