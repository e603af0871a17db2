import { closeSync, constants, ftruncateSync, lstatSync, openSync, statSync, unlinkSync } from "node:fs";
import { ioError, isErrno } from "../base/io-error.js";
import { contentOf } from "./content.js";
import type { StorageDriver } from "./driver.js";
import { checkFsType, defaultFsType, defaultSize, fsMaker, makeFileSystem } from "./mkfs.js";
import { requireTool } from "./programs.js";

/** A file with a file system in it: STORE/NAME/rootdev, as LXC calls it. It takes the room of what is in it, not of what could be. */

function unlinkFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw ioError(`remove ${path}`, error);
  }
}

export const loopDriver: StorageDriver<"loop"> = {
  plan(place, request) {
    const fstype = request.fstype ?? defaultFsType;
    checkFsType(fstype);
    requireTool(fsMaker(fstype));
    return Promise.resolve({ kind: "loop", path: `${place.directory}/rootdev` });
  },
  async create(source, _place, request, context) {
    if (source.kind !== "loop") return;
    const { path } = source;
    const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
    let fd: number;
    try {
      fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    } catch (error) {
      throw ioError(`make ${path}`, error);
    }
    try {
      try {
        ftruncateSync(fd, Number(request.size ?? defaultSize));
      } catch (error) {
        throw ioError(`make ${path} as large as ${request.size ?? defaultSize} bytes`, error);
      } finally {
        closeSync(fd);
      }
      await makeFileSystem(context, request.fstype ?? defaultFsType, path);
    } catch (error) {
      unlinkFile(path);
      throw error;
    }
  },
  request(source) {
    if (source.kind !== "loop") return Promise.resolve({ kind: "loop", fstype: null, size: null });
    const content = contentOf(source.path);
    return Promise.resolve({
      kind: "loop",
      fstype: content?.kind === "filesystem" ? content.type : null,
      size: statSync(source.path, { bigint: true }).size,
    });
  },
  remove(source) {
    return new Promise((resolve) => {
      // Only a file can have been made here: a device or a directory of that name is somebody else's.
      if (source.kind === "loop" && lstatSync(source.path, { throwIfNoEntry: false })?.isFile() === true)
        unlinkFile(source.path);
      resolve();
    });
  },
};
