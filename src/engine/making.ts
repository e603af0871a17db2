import { record, text } from "../base/decode.js";
import type { StorageHost } from "../storage/driver.js";
import type { ContainerId } from "./engine.js";
import { runNotes } from "./run-notes.js";

/** Which containers are being made: what a daemon that was killed has left of them is removed by the next one at once, not only when somebody asks for that name. */
const notes = runNotes("making", record<ContainerId>({ storePath: text, name: text }));

/** Gives back what takes the note away; one that was there already is for whoever wrote it. */
export function noteMaking(host: StorageHost, { storePath, name }: ContainerId): () => void {
  const id = { storePath, name };
  if (notes.read(host, id) !== null) return () => {};
  notes.write(host, id);
  return () => {
    notes.forget(host, id);
  };
}

/** `settle`: removes what was left half-made of one. What cannot be removed is told, and tried again by the next daemon. */
export async function settleMaking(host: StorageHost, settle: (id: ContainerId) => Promise<void>): Promise<void> {
  for (const id of notes.all(host)) {
    try {
      await settle(id);
      notes.forget(host, id);
    } catch (error) {
      console.error(
        `cannot remove what a killed daemon has left of the container ${id.name} in ${id.storePath}`,
        error,
      );
    }
  }
}
