import {
  constants,
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { IsletError } from "../base/errors.js";
import { ioError, isErrno } from "../base/io-error.js";
import { nameProblem } from "../spec/name.js";
import { removeFile } from "../host/fd.js";
import { tryLock } from "../host/file-lock.js";
import type { RootfsSource } from "../spec/rootfs.js";
import { makeDirectories } from "../storage/dir.js";
import type { StorageHost } from "../storage/driver.js";
import { removeTree } from "../storage/tree.js";
import type { ContainerId } from "./engine.js";
import { noteMaking } from "./making.js";
import { partialText, removePartial } from "./partial.js";
import type { Wholes } from "./whole.js";

/** LXC's container store: STOREPATH/NAME/{config,rootfs,partial}. A container exists if its config file does. */

export function directoryOf(id: ContainerId): string {
  return `${id.storePath}/${id.name}`;
}

export function configFileOf(id: ContainerId): string {
  return `${directoryOf(id)}/config`;
}

export function checkName(name: string): void {
  const problem = nameProblem(name);
  if (problem !== null) throw new IsletError("ISLET_BAD_NAME", problem);
}

/** What is in a directory; [] where there is none. ISLET_IO. */
export function entriesOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw ioError(`list ${directory}`, error);
  }
}

/** Names that have a config, sorted by code units; containers under construction are not there yet. */
export function definedNames(storePath: string, wholes: Wholes): readonly string[] {
  return entriesOf(storePath)
    .filter(
      (name) =>
        !name.startsWith(".") &&
        (wholes.look(`${storePath}/${name}`) ||
          // Without it for a moment while it is changing places with what it was: whoever asks for it finds it whole.
          ((existsSync(`${storePath}/${name}/config`) || existsSync(`${storePath}/${name}/islet-journal`)) &&
            !existsSync(`${storePath}/${name}/partial`))),
    )
    .sort();
}

/** Largest config we read, bytes. */
export const maxConfig: number = 16 * 1024 * 1024;

export async function readConfigText(
  host: StorageHost,
  id: ContainerId,
): Promise<{ readonly file: string; readonly text: string } | null> {
  checkName(id.name);
  const file = configFileOf(id);
  await settle(host, id);
  try {
    const found = statSync(file);
    if (!found.isFile() || found.size > maxConfig)
      throw new IsletError("ISLET_BAD_CONFIG", `${file} is not a configuration file`);
    return { file, text: readFileSync(file, "utf8") };
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return null;
    if (error instanceof IsletError) throw error;
    throw ioError(`read ${file}`, error);
  }
}

/** Whatever a dead daemon has left of a change of it is finished or taken back. ISLET_PARTIAL: it is being created. */
export async function settle(host: StorageHost, id: ContainerId): Promise<void> {
  await settlePartial(host, id);
  if (existsSync(`${directoryOf(id)}/islet-journal`)) await (await import("./journal.js")).settleJournal(host, id);
}

/** A container under construction is busy; one whose creator died is removed, as LXC does it. */
export async function settlePartial(host: StorageHost, id: ContainerId): Promise<void> {
  const partial = `${directoryOf(id)}/partial`;
  if (!existsSync(partial)) return;
  let fd: number;
  try {
    fd = openSync(partial, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return;
    throw ioError(`look at ${partial}`, error);
  }
  try {
    if (!tryLock(host.arch, fd, "exclusive"))
      throw new IsletError("ISLET_PARTIAL", `the container ${id.name} is being created`, {
        hint: "wait until its creation has ended",
      });
    await removeMarked(host, id, readFileSync(fd, "utf8"));
  } finally {
    closeSync(fd);
  }
}

/** Its root file system, wherever it is, what it needs of others, and its directory: the mark goes last, so that whoever is killed can be followed. */
async function removeMarked(host: StorageHost, id: ContainerId, note: string): Promise<void> {
  const { forgetCopy, originalsOf } = await import("./dependents.js");
  const originals = originalsOf(id);
  await removePartial(host, id, note);
  const directory = directoryOf(id);
  for (const name of readdirSync(directory)) {
    if (name !== "partial" && name !== "config" && name !== "lxc_rdepends")
      await removeTree(host, `${directory}/${name}`);
  }
  forgetCopy(id, originals);
  try {
    await removeTree(host, directory);
  } catch (error) {
    // Somebody's disk is mounted there: it is empty now.
    if (!(error instanceof IsletError && error.errno === "EBUSY" && isEmptyDirectory(directory))) throw error;
  }
}

/**
 * Removes a container for good: marked as one that is not whole, so that what a dead daemon leaves of it goes at the next look. What cannot be
 * removed (something is mounted in it) leaves it as it is, without what is gone already, and it can be tried again.
 */
export async function removeContainer(host: StorageHost, id: ContainerId, root: RootfsSource | null): Promise<void> {
  const partial = `${directoryOf(id)}/partial`;
  // First, so that a mark that we are killed right after is found.
  const forget = noteMaking(host, id);
  let fd: number;
  try {
    fd = openSync(partial, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    forget();
    if (isErrno(error, "ENOENT")) return;
    throw ioError(`mark ${directoryOf(id)}`, error);
  }
  if (!tryLock(host.arch, fd, "exclusive")) {
    closeSync(fd);
    forget();
    throw new IsletError("ISLET_BUSY", `the container ${id.name} is being changed`, {
      hint: "wait until that is done",
    });
  }
  try {
    const note = root === null ? "" : partialText(root);
    ftruncateSync(fd, 0);
    writeSync(fd, note, 0);
    await removeMarked(host, id, note);
  } catch (error) {
    removeFile(host.arch, partial);
    throw error;
  } finally {
    closeSync(fd);
    forget();
  }
}

const temporaryMark = ".islet-";

/** Files of a container that a dead daemon has not come to the end of writing (writeWhole): whatever it was about, it has not happened. */
export function dropUnwritten(id: ContainerId): void {
  const directory = directoryOf(id);
  for (const name of existsSync(directory) ? readdirSync(directory) : []) {
    const pid = /\.islet-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`) && lstatSync(`${directory}/${name}`).isFile())
      unlinkSync(`${directory}/${name}`);
  }
}

/**
 * Writes a file whole: a temporary one beside it, fsync, rename. Not `lasting`: without the fsync, for what is about something that runs and
 * would not outlive a power failure itself.
 */
export function writeWhole(path: string, text: string, mode: number, lasting: boolean = true): void {
  const temporary = `${path}${temporaryMark}${process.pid}`;
  try {
    const fd = openSync(
      temporary,
      constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW,
      mode,
    );
    try {
      writeSync(fd, text);
      if (lasting) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    try {
      unlinkSync(temporary);
    } catch {
      // It was never made, or has been renamed.
    }
    throw ioError(`write ${path}`, error);
  }
}

/** What a fresh file system has by itself does not count. */
const contents = (directory: string): readonly string[] =>
  readdirSync(directory).filter((name) => name !== "lost+found");

/** A directory that somebody made for the container, or mounted there: it may be used, and stays if nothing comes of it. */
function isEmptyDirectory(path: string): boolean {
  return lstatSync(path).isDirectory() && contents(path).length === 0;
}

/** A container's directory while it is made; `finish` completes it, `abandon` removes everything. */
export interface Construction {
  readonly directory: string;
  /** Where its root file system will be: noted, so that it goes as well if we are killed. */
  note(root: RootfsSource): void;
  finish(): void;
  abandon(): Promise<void>;
}

/** Makes its directory. False: an empty one was there already. */
function makeOrTake(id: ContainerId): boolean {
  const directory = directoryOf(id);
  try {
    makeDirectories(id.storePath);
    mkdirSync(directory, { mode: 0o770 });
    return true;
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw ioError(`make ${directory}`, error);
    if (existsSync(configFileOf(id))) throw new IsletError("ISLET_EXISTS", `the container ${id.name} exists already`);
    if (!isEmptyDirectory(directory)) {
      throw new IsletError("ISLET_EXISTS", `${directory} exists already and is not a container`, {
        hint: "empty it or choose another name",
      });
    }
    return false;
  }
}

export function beginConstruction(host: StorageHost, id: ContainerId): Construction {
  checkName(id.name);
  const directory = directoryOf(id);
  const partial = `${directory}/partial`;
  // First: whatever there is of it when we are killed is found.
  const forget = noteMaking(host, id);
  let isOurs: boolean;
  try {
    isOurs = makeOrTake(id);
  } catch (error) {
    forget();
    throw error;
  }
  let fd: number;
  try {
    fd = openSync(partial, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    forget();
    if (isOurs) rmdirSync(directory);
    // Two found the same empty directory.
    else if (isErrno(error, "EEXIST")) {
      throw new IsletError("ISLET_EXISTS", `the container ${id.name} exists already`);
    }
    throw ioError(`make ${partial}`, error);
  }
  tryLock(host.arch, fd, "exclusive");
  return {
    directory,
    note(root): void {
      ftruncateSync(fd, 0);
      writeSync(fd, partialText(root), 0);
    },
    finish(): void {
      unlinkSync(partial);
      closeSync(fd);
      forget();
    },
    async abandon(): Promise<void> {
      if (isOurs) await removeTree(host, directory);
      else for (const name of contents(directory)) await removeTree(host, `${directory}/${name}`);
      closeSync(fd);
      forget();
    },
  };
}

/** In a directory that is there already: nothing but a root file system, and what is left of a configuration that a killed daemon was writing. */
export function holdsOnlyRoot(id: ContainerId): boolean {
  checkName(id.name);
  const directory = directoryOf(id);
  const names = entriesOf(directory).filter((name) => !unwrittenConfig.test(name));
  // What a link leads to is another's.
  return (
    names.join("/") === "rootfs" && [directory, `${directory}/rootfs`].every((path) => lstatSync(path).isDirectory())
  );
}

/**
 * Makes a container around the root file system in its directory (holdsOnlyRoot). There is never a mark of a creation that was not finished: what has one is
 * removed whole. `config` comes last, since it makes the container; whoever is killed before has left files that `fill` wrote, and the root as it was.
 */
export async function constructAround(
  host: StorageHost,
  id: ContainerId,
  fill: (directory: string) => Promise<void>,
  config: () => string,
): Promise<void> {
  const directory = directoryOf(id);
  const forget = noteMaking(host, id);
  try {
    dropUnwritten(id);
    await fill(directory);
    writeWhole(configFileOf(id), config(), 0o640);
  } catch (error) {
    for (const name of entriesOf(directory)) if (name !== "rootfs") await removeTree(host, `${directory}/${name}`);
    throw error;
  } finally {
    forget();
  }
}

/**
 * Removes a container but not the root file system in its directory, which is not islet's (lxc.rootfs.managed = 0). Without a mark, as above: `config` goes first, and with it the
 * container.
 */
export async function removeAround(host: StorageHost, id: ContainerId): Promise<void> {
  const directory = directoryOf(id);
  const names = entriesOf(directory).filter((name) => name !== "rootfs" && name !== "config");
  for (const name of ["config", ...names]) await removeTree(host, `${directory}/${name}`);
}

const unwrittenConfig = /^config\.islet-\d+$/;

/** Removes a container's configuration and named files beside it; its directory, too, if nothing else is in it. */
export function forgetContainer(id: ContainerId, beside: readonly string[]): void {
  const directory = directoryOf(id);
  // What was being written when a daemon was killed goes as well.
  const left = readdirSync(directory).filter((name) => unwrittenConfig.test(name));
  for (const name of ["config", ...beside, ...left]) rmSync(`${directory}/${name}`, { force: true });
  try {
    rmdirSync(directory);
  } catch (error) {
    if (!isErrno(error, "ENOTEMPTY", "EEXIST", "ENOENT")) throw ioError(`remove ${directory}`, error);
  }
}
