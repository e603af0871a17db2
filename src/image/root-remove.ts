import { IsletError } from "../base/errors.js";
import { closeFd } from "../host/addon.js";
import { fileError, fileType, lookAt, namesIn, openDirectory, openWithin, sysCall, types } from "../host/root-fd.js";
import type { Arch } from "../sys/arch.js";
import { cString } from "../sys/bytes.js";
import { ENOENT } from "../sys/errno.js";
import { AT_REMOVEDIR, O_PATH, openFlags } from "../sys/flags.js";

/** Deeper trees are not an image's. */
const mostLevels = 200;

/** Where a path's last name is, and that name: the directory is an open O_PATH descriptor, the caller's. Negative: -errno. */
export function openParent(
  arch: Arch,
  root: number,
  path: Uint8Array,
): { readonly directory: number; readonly name: Uint8Array } {
  const end = path.at(-1) === 0 ? path.length - 1 : path.length;
  const slash = path.subarray(0, end).lastIndexOf(47);
  const last = Buffer.from(path.subarray(slash + 1, end)).toString("latin1");
  // Below the directory that is looked up, never itself or above it.
  if (last === "" || last === "." || last === "..")
    throw new IsletError("ISLET_BAD_REQUEST", `${Buffer.from(path.subarray(0, end)).toString()} names no file`);
  const parent = slash <= 0 ? cString(".") : Buffer.concat([path.subarray(0, slash), Buffer.from([0])]);
  const directory = openWithin(arch, root, parent, O_PATH | openFlags(arch).O_DIRECTORY);
  return { directory, name: Buffer.concat([path.subarray(slash + 1, end), Buffer.from([0])]) };
}

/** A file, link or tree within a root; its last name is not followed. What is not there is fine. ISLET_IO. Small trees only: it is done at once. */
export function removeWithin(arch: Arch, root: number, path: Uint8Array): void {
  const { directory, name } = openParent(arch, root, path);
  if (directory === -ENOENT) return;
  if (directory < 0)
    throw fileError(`look for ${Buffer.from(path).toString()} in the root file system`, directory, "openat2");
  try {
    removeAt(arch, directory, name, 0);
  } finally {
    closeFd(directory);
  }
}

function removeAt(arch: Arch, parent: number, name: Uint8Array, level: number): void {
  const fd = sysCall(arch, "openat", parent, name, O_PATH | 0o2000000 | openFlags(arch).O_NOFOLLOW, 0);
  if (fd === -ENOENT) return;
  if (fd < 0) throw fileError("look at a file of the root file system", fd, "openat");
  let isDirectory: boolean;
  try {
    isDirectory = (lookAt(arch, fd).mode & fileType) === types.directory;
  } finally {
    closeFd(fd);
  }
  if (isDirectory) removeContent(arch, parent, name, level);
  const done = sysCall(arch, "unlinkat", parent, name, isDirectory ? AT_REMOVEDIR : 0);
  if (done < 0 && done !== -ENOENT)
    throw fileError(`remove ${Buffer.from(name.subarray(0, -1)).toString()} in the root file system`, done, "unlinkat");
}

function removeContent(arch: Arch, parent: number, name: Uint8Array, level: number): void {
  const directory = openDirectory(arch, parent, name);
  if (directory === -ENOENT) return;
  if (directory < 0 || level > mostLevels)
    throw fileError("open a directory of the root file system", directory < 0 ? directory : -36, "openat");
  try {
    for (const each of namesIn(arch, directory)) removeAt(arch, directory, each, level + 1);
  } finally {
    closeFd(directory);
  }
}
