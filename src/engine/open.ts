import { closeSync, constants, openSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { readIdMap } from "../host/idmap.js";
import type { IdMapEntry } from "../spec/idmap.js";
import { plainDirectory } from "../spec/rootfs.js";
import type { ContainerSpec } from "../spec/spec.js";
import { O_PATH } from "../sys/flags.js";
import { ioError } from "../base/io-error.js";

/** The root directory of a running container (by its main process's pid) or of one that is to run, and whose ids its files carry. */
export function openRoot(
  pid: number | null,
  spec: ContainerSpec | null,
): { readonly root: number; readonly idmap: readonly IdMapEntry[] } {
  const path = pid === null ? stoppedRoot(spec) : `/proc/${pid}/root`;
  let root: number;
  try {
    root = openSync(path, O_PATH | constants.O_DIRECTORY);
  } catch (error) {
    throw ioError(`open the root file system ${path}`, error);
  }
  try {
    return { root, idmap: pid === null ? storedMap(spec) : readIdMap(pid) };
  } catch (error) {
    closeSync(root);
    throw error;
  }
}

function stoppedRoot(spec: ContainerSpec | null): string {
  const source = spec?.rootfs.source;
  if (spec === null || source === undefined)
    throw new IsletError("ISLET_NOT_RUNNING", "the container does not run", { hint: "start it first" });
  const directory = plainDirectory(source);
  if (directory !== null) return directory;
  throw new IsletError("ISLET_UNSUPPORTED", `the files of ${spec.name} can be reached only while it runs`, {
    hint: `its root file system is of the kind ${source.kind}; start it first`,
  });
}

/** Files of an idmapped mount carry the ids that the container sees. */
function storedMap(spec: ContainerSpec | null): readonly IdMapEntry[] {
  return spec === null || spec.rootfs.idmap !== "as-is" ? [] : spec.idmap;
}
