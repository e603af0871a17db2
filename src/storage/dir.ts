import { lstatSync, mkdirSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { ioError, isErrno } from "../base/io-error.js";
import { pathAndAncestors } from "../base/paths.js";
import type { StorageDriver } from "./driver.js";
import { removeTree } from "./tree.js";

/** A directory: LXC's default. */

/** Makes a directory and those above it, mode 0755; what is there already stays as it is. */
export function makeDirectories(path: string): void {
  for (const each of pathAndAncestors(path)) {
    try {
      mkdirSync(each, { mode: 0o755 });
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
  }
}

/** Anything of that name, a link to nowhere too. */
export const isThere = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

/** A root file system elsewhere goes with its container, but never one that is a directory of the system itself. */
function isSafeToRemove(path: string): boolean {
  return path.split("/").filter(Boolean).length >= 2;
}

export const dirDriver: StorageDriver<"dir"> = {
  async plan(place, { path, size }, { host }) {
    if (size !== null) {
      const { quotaProblemOf } = await import("./quota.js");
      const problem = quotaProblemOf(host.arch, path ?? place.directory);
      // LXC's words for it.
      if (problem !== null)
        throw new IsletError(
          "ISLET_UNSUPPORTED",
          `Filesystem type and size are only valid with block devices, or project quotas: ${problem.why}`,
          { hint: problem.hint },
        );
    }
    return { kind: "dir", path: path ?? `${place.directory}/rootfs` };
  },
  async create(source, _place, request, { host }) {
    if (source.kind !== "dir") return;
    const wasThere = isThere(source.path);
    try {
      makeDirectories(source.path);
    } catch (error) {
      if (!wasThere) await removeTree(host, source.path);
      throw ioError(`make ${source.path}`, error);
    }
    if (request.size === null) return;
    const { limitDirectory } = await import("./quota.js");
    try {
      await limitDirectory(host.arch, source.path, request.size);
    } catch (error) {
      if (!wasThere) await removeTree(host, source.path);
      throw error;
    }
  },
  async request(source, { host }) {
    const { sizeOfDirectory } = await import("./quota.js");
    return { kind: "dir", path: null, size: source.kind === "dir" ? sizeOfDirectory(host.arch, source.path) : null };
  },
  async remove(source, place, { host }) {
    if (source.kind !== "dir") return;
    const { path } = source;
    if (!path.startsWith(`${place.directory}/`) && !isSafeToRemove(path)) return;
    const { freeProject, projectOf } = await import("./quota.js");
    const project = projectOf(host.arch, path);
    await removeTree(host, path);
    if (project !== null) freeProject(host.arch, path, project);
  },
};
