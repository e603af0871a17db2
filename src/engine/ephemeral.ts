import { record, text } from "../base/decode.js";
import { IsletError } from "../base/errors.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { StorageHost } from "../storage/driver.js";
import { copiesOf } from "./dependents.js";
import type { ContainerId } from "./engine.js";
import { partialText, readPartial } from "./partial.js";
import { runNotes } from "./run-notes.js";
import { removeContainer } from "./store.js";

/**
 * Containers that are destroyed when they end (lxc.ephemeral). They are written down below the runtime directory when they start, so that the
 * next daemon destroys those that ended while there was none.
 */

interface Note extends ContainerId {
  /** As partial.ts writes it. */
  readonly root: string;
}

const notes = runNotes("ephemeral", record<Note>({ storePath: text, name: text, root: text }));

/** It starts. */
export function noteEphemeral(host: StorageHost, { storePath, name, rootfs }: ContainerSpec): void {
  notes.write(host, { storePath, name, root: rootfs.managed ? partialText(rootfs.source) : "" });
}

/** It could not be started: whoever has it may try again. */
export const forgetEphemeral = (host: StorageHost, id: ContainerId): void => {
  notes.forget(host, id);
};

/** Those that have been written down. */
export const notedEphemerals = (host: StorageHost): readonly ContainerId[] => notes.all(host);

/** It has ended: all of it goes, unless others have come to need it. */
export async function destroyEphemeral(host: StorageHost, id: ContainerId): Promise<void> {
  const root = readPartial(notes.read(host, id)?.root ?? "");
  const copies = await copiesOf(host, id);
  if (copies.length === 0) {
    try {
      await removeContainer(host, id, root);
    } catch (error) {
      // A program with an engine of its own saw it end, too, and is at it.
      if (error instanceof IsletError && error.code === "ISLET_BUSY") return;
      throw error;
    }
  } else console.error(`the ephemeral container ${id.name} stays: ${copies[0]?.name ?? ""} needs its root file system`);
  notes.forget(host, id);
}
