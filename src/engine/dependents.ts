import { existsSync, readFileSync, unlinkSync } from "node:fs";
import { ioError, isErrno } from "../base/io-error.js";
import type { StorageHost } from "../storage/driver.js";
import { type ContainerId, isSameContainer } from "./engine.js";
import { configFileOf, directoryOf, settlePartial, writeWhole } from "./store.js";

/**
 * Who needs whose root file system, in LXC's files: `lxc_rdepends` of a copy names those it needs, `lxc_snapshots` of an original those that need
 * it. Both have two lines for each: store path, name.
 */

/** Text of such a file; lines without a partner (the counter of LXC 1.0 among them) say nothing. */
export function parseDependents(text: string): readonly ContainerId[] {
  const lines = text.split("\n");
  const found: ContainerId[] = [];
  for (let index = 0; index + 1 < lines.length; index += 2) {
    const storePath = lines[index] ?? "";
    const name = lines[index + 1] ?? "";
    if (storePath.startsWith("/") && name !== "" && !name.includes("/")) found.push({ storePath, name });
  }
  return found;
}

export function dependentsText(ids: readonly ContainerId[]): string {
  return ids.map(({ storePath, name }) => `${storePath}\n${name}\n`).join("");
}

function read(file: string): readonly ContainerId[] {
  try {
    return parseDependents(readFileSync(file, "utf8"));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw ioError(`read ${file}`, error);
  }
}

function write(file: string, ids: readonly ContainerId[]): void {
  if (ids.length > 0) {
    // As lasting as the copy itself, which nobody waits for either: a disk that is busy would make an instant a second.
    writeWhole(file, dependentsText(ids), 0o644, false);
    return;
  }
  try {
    unlinkSync(file);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw ioError(`remove ${file}`, error);
  }
}

const originalsFile = (id: ContainerId): string => `${directoryOf(id)}/lxc_rdepends`;
const copiesFile = (id: ContainerId): string => `${directoryOf(id)}/lxc_snapshots`;

/** Those whose root file systems `id` needs. */
export const originalsOf = (id: ContainerId): readonly ContainerId[] => read(originalsFile(id));

/** Whole: as the files say it, copies that are gone among them. */
export const notedCopiesOf = (id: ContainerId): readonly ContainerId[] => read(copiesFile(id));

/** How many copies LXC 1.0 has counted: it did not write down which. */
export function countedCopies(id: ContainerId): number {
  try {
    return Number(/^\s*([0-9]{1,9})\s*$/.exec(readFileSync(copiesFile(id), "utf8"))?.[1] ?? 0);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return 0;
    throw ioError(`read ${copiesFile(id)}`, error);
  }
}

/** Those that need the root file system of `id` and are there. One whose making was cut off is cleared away. */
export async function copiesOf(host: StorageHost, id: ContainerId): Promise<readonly ContainerId[]> {
  const there: ContainerId[] = [];
  for (const copy of notedCopiesOf(id)) {
    try {
      await settlePartial(host, copy);
    } catch {
      // It is being made at this moment: it counts.
    }
    if (existsSync(configFileOf(copy)) || existsSync(`${directoryOf(copy)}/partial`)) there.push(copy);
  }
  return there;
}

/** Both sides of it, the original's first: what is noted there protects it. */
export function noteCopy(copy: ContainerId, originals: readonly ContainerId[]): void {
  for (const original of originals) {
    const known = notedCopiesOf(original);
    if (!known.some((id) => isSameContainer(id, copy))) write(copiesFile(original), [...known, copy]);
  }
  if (originals.length > 0) write(originalsFile(copy), originals);
}

/** The copy is gone, or was never made: the originals need not be kept for it. */
export function forgetCopy(copy: ContainerId, originals: readonly ContainerId[]): void {
  for (const original of originals) {
    const known = notedCopiesOf(original);
    if (known.some((id) => isSameContainer(id, copy)))
      write(
        copiesFile(original),
        known.filter((id) => !isSameContainer(id, copy)),
      );
  }
}

/** It has become what the original is, and needs nobody but itself. */
export function dropOriginal(copy: ContainerId, original: ContainerId): void {
  forgetCopy(copy, [original]);
  write(
    originalsFile(copy),
    originalsOf(copy).filter((id) => !isSameContainer(id, original)),
  );
}

/** The copy has another name now. */
export function renameCopy(from: ContainerId, to: ContainerId, originals: readonly ContainerId[]): void {
  for (const original of originals) {
    const known = notedCopiesOf(original);
    if (!known.some((id) => isSameContainer(id, from))) continue;
    const others = known.filter((id) => !isSameContainer(id, to));
    write(
      copiesFile(original),
      others.map((id) => (isSameContainer(id, from) ? to : id)),
    );
  }
}
