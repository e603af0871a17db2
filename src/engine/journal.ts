import { constants, closeSync, existsSync, fsyncSync, openSync, readFileSync, unlinkSync } from "node:fs";
import { dictionary, type Decoder, integer, list, oneOf, record, text } from "../base/decode.js";
import { IsletError } from "../base/errors.js";
import { ioError, isErrno } from "../base/io-error.js";
import type { StorageHost } from "../storage/driver.js";
import type { ContainerId } from "./engine.js";
import { noteMaking } from "./making.js";
import { tryLock } from "../host/file-lock.js";
import { directoryOf, writeWhole } from "./store.js";

/**
 * STORE/NAME/islet-journal: what is being done to a container that is there already, so that whoever comes after a dead daemon can finish it or
 * take it back. Locked as long as somebody works on it.
 */

export interface Journal {
  readonly version: 1;
  /** rename: to be called `to`. prepare: something is put together beside it. exchange: that takes the place of what was there. */
  readonly kind: "rename" | "prepare" | "exchange";
  readonly from: string;
  readonly to: string;
  /** Whole files that it has in the end, by name. */
  readonly files: Readonly<Record<string, string>>;
  /** exchange: what of the old one goes, whether or not the new one has it. */
  readonly entries: readonly string[];
  /** As partial.ts writes it: a root file system outside of the container's directory that goes: the new one's if it is taken back, else the old one's. */
  readonly undo: string;
  readonly done: string;
}

const decode: Decoder<Journal> = record<Journal>({
  version: integer(1, 1) as Decoder<1>,
  kind: oneOf("rename", "prepare", "exchange"),
  from: text,
  to: text,
  files: dictionary(text),
  entries: list(text),
  undo: text,
  done: text,
});

export const journalFile = (id: ContainerId): string => `${directoryOf(id)}/islet-journal`;

/** Written, on the disk, and locked until it is closed. */
export interface OpenJournal {
  /** What is done next. At every moment one of the two is there, and locked. */
  rewrite(journal: Journal): void;
  close(): void;
}

export function writeJournal(host: StorageHost, id: ContainerId, journal: Journal): OpenJournal {
  const path = journalFile(id);
  // First, so that the next daemon looks for what of the journal itself was half-written.
  const forget = [id, { ...id, name: journal.to }].map((each) => noteMaking(host, each));
  const write = (now: Journal): number => {
    writeWhole(path, JSON.stringify(now), 0o600);
    const opened = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
    tryLock(host.arch, opened, "exclusive");
    return opened;
  };
  let fd: number;
  try {
    fd = write(journal);
  } catch (error) {
    for (const each of forget) each();
    throw error;
  }
  return {
    rewrite: (next) => {
      const before = fd;
      fd = write(next);
      closeSync(before);
    },
    close: () => {
      closeSync(fd);
      for (const each of forget) each();
    },
  };
}

export function removeJournal(id: ContainerId): void {
  try {
    unlinkSync(journalFile(id));
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw ioError(`remove ${journalFile(id)}`, error);
  }
}

/** What has been renamed in a directory is on the disk before anything that follows. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Finishes, or takes back, what a dead daemon was doing to the container. What is just being done is left alone. */
export async function settleJournal(host: StorageHost, id: ContainerId): Promise<void> {
  const path = journalFile(id);
  if (!existsSync(path)) return;
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return;
    throw ioError(`look at ${path}`, error);
  }
  try {
    // It is being done by somebody who lives.
    if (!tryLock(host.arch, fd, "exclusive")) return;
    let journal: Journal;
    try {
      journal = decode(JSON.parse(readFileSync(fd, "utf8")), "");
    } catch (error) {
      throw new IsletError("ISLET_IO", `${path} is broken`, {
        hint: "look at the container, then remove that file",
        cause: error,
      });
    }
    switch (journal.kind) {
      case "rename": {
        const { finishRename } = await import("./rename.js");
        finishRename(id, journal);
        return;
      }
      case "prepare":
      case "exchange": {
        const { settleRestore } = await import("./restore.js");
        await settleRestore(host, id, journal);
        return;
      }
      default: {
        const impossible: never = journal.kind;
        return impossible;
      }
    }
  } finally {
    closeSync(fd);
  }
}
