import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type Decoder, record, text } from "../base/decode.js";
import { nameProblem } from "../spec/name.js";
import type { RootfsSource } from "../spec/rootfs.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { StorageHost } from "../storage/driver.js";
import { copiesOf } from "./dependents.js";
import type { ContainerId } from "./engine.js";
import { partialText, readPartial } from "./partial.js";
import { removeContainer } from "./store.js";

/**
 * Containers that are destroyed when they end (lxc.ephemeral). They are written down below the runtime directory when they start, so that the
 * next daemon destroys those that ended while there was none.
 */

interface Note extends ContainerId {
  /** As partial.ts writes it. */
  readonly root: string;
}

const decode: Decoder<Note> = record<Note>({ storePath: text, name: text, root: text });

const directoryOf = (host: StorageHost): string => `${host.runtimeDir}/ephemeral`;

const fileOf = (host: StorageHost, { storePath, name }: ContainerId): string =>
  `${directoryOf(host)}/${createHash("sha256").update(`${storePath}/${name}`).digest("hex").slice(0, 32)}`;

/** It starts. */
export function noteEphemeral(host: StorageHost, spec: ContainerSpec): void {
  mkdirSync(directoryOf(host), { recursive: true, mode: 0o700 });
  const { storePath, name, rootfs } = spec;
  const note: Note = { storePath, name, root: rootfs.managed ? partialText(rootfs.source) : "" };
  writeFileSync(fileOf(host, spec), JSON.stringify(note), { mode: 0o600 });
}

/** It could not be started: whoever has it may try again. */
export function forgetEphemeral(host: StorageHost, id: ContainerId): void {
  rmSync(fileOf(host, id), { force: true });
}

function read(file: string): Note | null {
  try {
    const note = decode(JSON.parse(readFileSync(file, "utf8")), "");
    return nameProblem(note.name) === null && note.storePath.startsWith("/") ? note : null;
  } catch {
    return null;
  }
}

/** Those that have been written down. */
export function notedEphemerals(host: StorageHost): readonly ContainerId[] {
  let files: readonly string[];
  try {
    files = readdirSync(directoryOf(host));
  } catch {
    return [];
  }
  return files.flatMap((file) => read(`${directoryOf(host)}/${file}`) ?? []);
}

/** It has ended: all of it goes, unless others have come to need it. */
export async function destroyEphemeral(host: StorageHost, id: ContainerId): Promise<void> {
  const file = fileOf(host, id);
  const root: RootfsSource | null = readPartial(read(file)?.root ?? "");
  const copies = await copiesOf(host, id);
  if (copies.length === 0) await removeContainer(host, id, root);
  else console.error(`the ephemeral container ${id.name} stays: ${copies[0]?.name ?? ""} needs its root file system`);
  rmSync(file, { force: true });
}
