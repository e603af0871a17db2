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

const isThere = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

/** A root file system elsewhere goes with its container, but never one that is a directory of the system itself. */
function isSafeToRemove(path: string): boolean {
  return path.split("/").filter(Boolean).length >= 2;
}

export const dirDriver: StorageDriver<"dir"> = {
  plan: (place, request) => Promise.resolve({ kind: "dir", path: request.path ?? `${place.directory}/rootfs` }),
  async create(source, _place, request, { host }) {
    if (source.kind !== "dir") return;
    if (request.size !== null) {
      throw new IsletError("ISLET_UNSUPPORTED", `the size of the directory ${source.path} cannot be limited`);
    }
    const wasThere = isThere(source.path);
    try {
      makeDirectories(source.path);
    } catch (error) {
      if (!wasThere) await removeTree(host, source.path);
      throw ioError(`make ${source.path}`, error);
    }
  },
  request: (_source) => Promise.resolve({ kind: "dir", path: null, size: null }),
  async remove(source, place, { host }) {
    if (source.kind !== "dir") return;
    if (source.path.startsWith(`${place.directory}/`) || isSafeToRemove(source.path))
      await removeTree(host, source.path);
  },
};
