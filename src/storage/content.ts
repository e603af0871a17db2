import { closeSync, constants, openSync, readSync } from "node:fs";
import { ioError } from "../base/io-error.js";
import { type DiskContent, diskContent, superblockBytes } from "../sys/superblock.js";

/** What is on a device or in a file; null: nothing that is known. */
export function contentOf(path: string): DiskContent | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw ioError(`look at ${path}`, error);
  }
  try {
    const bytes = new Uint8Array(superblockBytes);
    return diskContent(bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0)));
  } catch (error) {
    throw ioError(`read ${path}`, error);
  } finally {
    closeSync(fd);
  }
}
