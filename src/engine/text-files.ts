import { fstatSync, readSync, writeSync } from "node:fs";
import { ioError } from "../base/io-error.js";
import { ownFd } from "../host/fd.js";
import { namesIn, openWithin, sysCall } from "../host/root-fd.js";
import type { Arch } from "../sys/arch.js";
import { cString } from "../sys/bytes.js";
import {
  AT_FDCWD,
  O_CLOEXEC,
  O_NOCTTY,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  openFlags,
} from "../sys/flags.js";

/** Small text files of a root file system that is being copied: nobody runs in it yet, but what is in it is its guest's. */
export interface TextFiles {
  /** Changes a plain file that is there; what it means is not looked at: bytes are characters. */
  readonly change: (path: string, edit: (text: string) => string) => void;
  /** Names in a directory; none where there is no such directory. */
  readonly names: (directory: string) => readonly string[];
}

/** No such file is larger, bytes. */
const most = 1024 * 1024;

/** What was found without being opened (it may be a device) is opened. */
const openAgain = (arch: Arch, place: number, flags: number): number =>
  sysCall(arch, "openat", AT_FDCWD, cString(`/proc/self/fd/${place}`), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);

/** `place`: a descriptor of anything, O_PATH. null: no plain file that is small enough. */
export function readText(arch: Arch, place: number): string | null {
  const look = fstatSync(place);
  if (!look.isFile() || look.size > most) return null;
  const opened = openAgain(arch, place, O_RDONLY);
  if (opened < 0) return null;
  using file = ownFd(opened);
  const bytes = Buffer.alloc(look.size);
  return bytes.subarray(0, readSync(file.number, bytes, 0, look.size, 0)).toString("latin1");
}

/** In a root file system that is there as a whole. The guest's links are followed within it, never out of it. `root`: stays the caller's. */
export function filesOfRoot(arch: Arch, root: number): TextFiles {
  return {
    change: (path, edit) => {
      const found = openWithin(arch, root, path, O_PATH);
      if (found < 0) return;
      using place = ownFd(found);
      const before = readText(arch, place.number);
      if (before === null) return;
      const after = edit(before);
      if (after === before) return;
      // Written where it is, so it keeps its owner and mode. Emptied as it is opened: an overlay copies nothing up then, and waits for no disk.
      const emptied = openAgain(arch, place.number, O_WRONLY | O_TRUNC);
      if (emptied < 0) return;
      using target = ownFd(emptied);
      try {
        writeSync(target.number, Buffer.from(after, "latin1"), 0, undefined, 0);
      } catch (error) {
        throw ioError(`write /${path} of the copy`, error);
      }
    },
    names: (directory) => {
      const found = openWithin(arch, root, directory, O_RDONLY | openFlags(arch).O_DIRECTORY);
      if (found < 0) return [];
      using place = ownFd(found);
      return namesIn(arch, place.number).map((name) => Buffer.from(name.subarray(0, -1)).toString());
    },
  };
}
