import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { IsletError } from "../base/errors.js";

/** The content of a file that is what it seems: no pipe or device that keeps its reader waiting. */
export interface PlainFile {
  readonly bytes: Uint8Array;
  /** The lower twelve bits. */
  readonly mode: number;
}

/** `most`: bytes. `done`: what cannot be done otherwise: "copied". Throws the error of open(2) as it is; ISLET_IO: it is something else, or too large. */
export function readPlainFile(path: string, most: number, done: string): PlainFile {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile() || stats.size > most)
      throw new IsletError("ISLET_IO", `${path} is not a plain file of a sane size: it cannot be ${done}`);
    return { bytes: readFileSync(fd), mode: stats.mode & 0o7777 };
  } finally {
    closeSync(fd);
  }
}
