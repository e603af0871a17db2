import { existsSync, rmdirSync } from "node:fs";
import { flag, record, text } from "../base/decode.js";
import { ioError, isErrno } from "../base/io-error.js";
import type { StorageHost } from "../storage/driver.js";
import type { ContainerId } from "./engine.js";
import { runNotes } from "./run-notes.js";

interface Making extends ContainerId {
  /** Its directory was not there: an empty one is nobody's but ours. */
  readonly isNew: boolean;
}

/** Which containers are being made: what a daemon that was killed has left of them is removed by the next one at once, not only when somebody asks for that name. */
const notes = runNotes("making", record<Making>({ storePath: text, name: text, isNew: flag }));

/** Gives back what takes the note away; one that was there already is for whoever wrote it. */
export function noteMaking(host: StorageHost, { storePath, name }: ContainerId): () => void {
  const note = { storePath, name, isNew: !existsSync(`${storePath}/${name}`) };
  if (notes.read(host, note) !== null) return () => {};
  notes.write(host, note);
  return () => {
    notes.forget(host, note);
  };
}

/** `settle`: removes what was left half-made of one. What cannot be removed is told, and tried again by the next daemon. */
export async function settleMaking(host: StorageHost, settle: (id: ContainerId) => Promise<void>): Promise<void> {
  for (const note of notes.all(host)) {
    try {
      await settle(note);
      if (note.isNew) removeIfEmpty(`${note.storePath}/${note.name}`);
      notes.forget(host, note);
    } catch (error) {
      console.error(
        `cannot remove what a killed daemon has left of the container ${note.name} in ${note.storePath}`,
        error,
      );
    }
  }
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    // It has been made by now, or never was.
    if (!isErrno(error, "ENOENT", "ENOTDIR", "ENOTEMPTY", "EEXIST", "EBUSY"))
      throw ioError(`remove ${directory}`, error);
  }
}
