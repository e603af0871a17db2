import { closeSync, constants, openSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { readIdMap } from "../host/idmap.js";
import { ownerOf } from "../plan/context.js";
import type { HostFacts } from "../spec/host.js";
import type { IdMapEntry } from "../spec/idmap.js";
import { plainDirectory } from "../spec/rootfs.js";
import type { ContainerSpec } from "../spec/spec.js";
import { O_PATH } from "../sys/flags.js";
import { ioError } from "../base/io-error.js";

/**
 * The root directory of a running container (by its main process's pid) or of one that is to run, and whose ids its files carry. What must be mounted
 * for it is gone with the last descriptor of it. `binary`: of islet.
 */
export async function openRoot(
  host: HostFacts,
  binary: string,
  pid: number | null,
  spec: ContainerSpec | null,
): Promise<{ readonly root: number; readonly idmap: readonly IdMapEntry[] }> {
  const root = pid === null ? await stoppedRoot(host, binary, spec) : openDirectory(`/proc/${pid}/root`);
  try {
    return { root, idmap: pid === null ? storedMap(spec) : readIdMap(pid) };
  } catch (error) {
    closeSync(root);
    throw error;
  }
}

function openDirectory(path: string): number {
  try {
    return openSync(path, O_PATH | constants.O_DIRECTORY);
  } catch (error) {
    throw ioError(`open the root file system ${path}`, error);
  }
}

async function stoppedRoot(host: HostFacts, binary: string, spec: ContainerSpec | null): Promise<number> {
  const source = spec?.rootfs.source;
  if (spec === null || source === undefined)
    throw new IsletError("ISLET_NOT_RUNNING", "the container does not run", { hint: "start it first" });
  if (source.kind === "host" || source.kind === "other")
    throw new IsletError("ISLET_UNSUPPORTED", `the files of ${spec.name} can be reached only while it runs`, {
      hint: `its root file system is of the kind ${source.kind === "host" ? "host" : source.driver}; start it first`,
    });
  const directory = plainDirectory(source);
  if (directory !== null) return openDirectory(directory);
  const { openRoot: openMounted } = await import("../storage/open.js");
  const isForgetful = source.kind === "overlay" && source.upper === null;
  const owner = spec.rootfs.idmap === "as-is" ? ownerOf(spec) : null;
  const { fd } = await openMounted(host, binary, source, {
    write: !isForgetful,
    options: spec.rootfs.options,
    ...(owner === null ? {} : { owner }),
  });
  return fd;
}

/** Files of an idmapped mount carry the ids that the container sees. */
function storedMap(spec: ContainerSpec | null): readonly IdMapEntry[] {
  return spec === null || spec.rootfs.idmap !== "as-is" ? [] : spec.idmap;
}
