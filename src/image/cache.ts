import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fstatSync,
  futimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { IsletError } from "../base/errors.js";
import { ioError, isErrno } from "../base/io-error.js";
import { pathAndAncestors } from "../base/paths.js";
import { findProgram, programOutput, runProgram } from "../host/run-program.js";
import { isLocked, tryLock } from "../host/file-lock.js";
import { fileError, sysCall } from "../host/root-fd.js";
import type { ImageFacts, ImageSource, ImageStatus } from "../spec/image.js";
import { removeTree } from "../storage/tree.js";
import type { Arch } from "../sys/arch.js";
import { cString } from "../sys/bytes.js";
import { AT_FDCWD, RENAME_EXCHANGE } from "../sys/flags.js";
import type { MadeImage } from "./maker.js";
import { type ImageRecord, mostRecordBytes, readRecord, recordVersion, sourceText } from "./record.js";

/**
 * Images that are there to be copied:
 *
 *   NAME/{rootfs/, image.json, used}   whole, always: it comes by one rename; `used` has the time of the last use, and is locked by who copies
 *   .making/NAME/                      on its way, by whoever has locked .making/NAME.lock
 *   .downloads/NAME/                   what a maker that failed has downloaded
 *   .gone/*                            on its way out
 *
 * Whatever of the last three nobody has locked was left by a daemon that died, and goes.
 */
export interface ImageCache {
  /** An image as long as it is held: it is not removed, and stays what it is. null: it is not there. */
  readonly hold: (name: string) => HeldImage | null;
  /**
   * Makes it, unless somebody else has done so meanwhile; whoever makes it at the same time is waited for. `anew`: although it is there; the old
   * one serves until then, and stays when this fails.
   */
  readonly make: (name: string, source: ImageSource, making: Making) => Promise<void>;
  /** A directory that is the caller's until `work` has ended; nothing of it stays. */
  readonly withScratch: <T>(work: (directory: string) => Promise<T>) => Promise<T>;
  readonly list: () => readonly ImageStatus[];
  /** How an image that is there was made (record.ts, readSource); null: there is none. */
  readonly sourceOf: (name: string) => string | null;
  readonly prune: (wanted: (image: ImageStatus) => boolean) => Promise<readonly string[]>;
}

export interface HeldImage {
  readonly facts: ImageFacts;
  /** A path that is good as long as it is held. */
  readonly rootfs: string;
  /** Notes that a container was made of it. */
  readonly touch: () => void;
  readonly release: () => void;
}

interface Held extends HeldImage {
  readonly record: ImageRecord;
  /** Somebody else holds it, too. */
  readonly isShared: () => boolean;
}

export interface Making {
  readonly anew: boolean;
  readonly signal: AbortSignal;
  readonly progress: (text: string) => void;
  readonly make: (rootfs: string, downloads: string) => Promise<MadeImage>;
}

export interface CacheHost {
  readonly arch: Arch;
  readonly binary: string;
  /** Absolute. */
  readonly directory: string;
}

/** Downloads that nobody has come back to for so long are no good any more. */
const downloadsKept = 24 * 3600 * 1000;
const lookAgain = 100;
const longest = 10 * 60 * 1000;

export function createImageCache(host: CacheHost): ImageCache {
  const { arch, directory } = host;
  const at = (...names: readonly string[]): string => [directory, ...names].join("/");
  const gone = async (path: string): Promise<void> => {
    await removeTree(host, path);
  };

  /** The directory itself, root's alone: what is in it has set-id programs of strangers. */
  const prepare = (): void => {
    try {
      for (const each of pathAndAncestors(directory).slice(0, -1)) makeDirectory(each, 0o755);
      for (const each of [directory, at(".making"), at(".downloads"), at(".gone")]) makeDirectory(each, 0o700);
    } catch (error) {
      throw ioError(`make the image cache ${directory}`, error);
    }
    const { uid, mode } = statSync(directory);
    if (uid !== process.getuid?.() || (mode & 0o022) !== 0)
      throw new IsletError("ISLET_PERMISSION", `the image cache ${directory} can be changed by others`, {
        hint: `chown root ${directory}; chmod 700 ${directory}`,
      });
  };

  const hold = (name: string): Held | null => {
    const top = openOrNull(at(checkName(name)), "directory");
    if (top === null) return null;
    const path = `/proc/${process.pid}/fd/${top}`;
    const used = openOrNull(`${path}/used`, "file");
    const release = (): void => {
      if (used !== null) closeSync(used);
      closeSync(top);
    };
    // Somebody removes it who has the lock, or has had it: then the file is gone.
    if (used !== null && tryLock(arch, used, "shared") && fstatSync(used).nlink > 0) {
      const record = recordIn(path);
      if (record !== null) {
        return {
          facts: record.facts,
          record,
          isShared: () => isLocked(arch, used),
          rootfs: `${path}/rootfs`,
          touch: () => {
            const now = Date.now() / 1000;
            futimesSync(used, now, now);
          },
          release,
        };
      }
    }
    release();
    return null;
  };

  /** null: somebody else has it. */
  const lockMaking = (name: string): number | null => {
    const fd = openSync(at(".making", `${name}.lock`), "a+", 0o600);
    if (tryLock(arch, fd, "exclusive")) return fd;
    closeSync(fd);
    return null;
  };

  const waitForMaking = async (name: string, { signal, progress }: Making): Promise<number> => {
    for (let isWaiting = false; ; isWaiting = true) {
      signal.throwIfAborted();
      const lock = lockMaking(name);
      if (lock !== null) return lock;
      if (!isWaiting) progress(`waiting for ${name}, which is being made for another container`);
      await sleep(lookAgain, null, { signal });
    }
  };

  /** Puts what is whole in its place. */
  const publish = async (name: string): Promise<void> => {
    const [made, place] = [at(".making", name), at(name)];
    const sync = findProgram("sync");
    // Renamed, it is taken for whole: so it must be on the disk before.
    if (sync !== null) await runProgram(arch, sync, ["-f", `${made}/image.json`], longest);
    if (!existsSync(place)) {
      renameSync(made, place);
      return;
    }
    const done = sysCall(arch, "renameat2", AT_FDCWD, cString(made), AT_FDCWD, cString(place), RENAME_EXCHANGE);
    if (done < 0) throw fileError(`put the image ${name} in place of the old one`, done, "renameat2");
    await discard(made);
  };

  /** Takes an image out of sight, and away as soon as nobody copies it. */
  const discard = async (path: string): Promise<void> => {
    const out = at(".gone", randomBytes(8).toString("hex"));
    renameSync(path, out);
    await removeUnused(out);
  };

  const removeUnused = async (path: string): Promise<boolean> => {
    const used = openOrNull(`${path}/used`, "to write");
    if (used !== null && !tryLock(arch, used, "exclusive")) {
      closeSync(used);
      return false;
    }
    try {
      await gone(path);
    } finally {
      if (used !== null) closeSync(used);
    }
    return true;
  };

  const status = (name: string): ImageStatus | null => {
    const held = hold(name);
    if (held === null) return null;
    try {
      return {
        ...held.facts,
        bytes: held.record.bytes,
        used: Math.round(statSync(at(name, "used")).mtimeMs),
        isBusy: held.isShared() || isMade(name),
      };
    } finally {
      held.release();
    }
  };

  const isMade = (name: string): boolean => {
    const lock = openOrNull(at(".making", `${name}.lock`), "file");
    if (lock === null) return false;
    try {
      return isLocked(arch, lock);
    } finally {
      closeSync(lock);
    }
  };

  const names = (): readonly string[] => namesIn(directory).filter((name) => !name.startsWith("."));

  /** What dead daemons left. */
  const sweep = async (): Promise<void> => {
    for (const name of namesIn(at(".gone"))) await removeUnused(at(".gone", name));
    const locked = (name: string, work: () => Promise<void>): Promise<void> => {
      const lock = lockMaking(name);
      if (lock === null) return Promise.resolve();
      return work().finally(() => {
        closeSync(lock);
      });
    };
    for (const name of namesIn(at(".making"))) {
      if (!name.endsWith(".lock")) await locked(name, () => gone(at(".making", name)));
      // No name of an image's: nobody waits for it.
      else if (name.startsWith(".")) await locked(name.slice(0, -".lock".length), () => gone(at(".making", name)));
    }
    for (const name of namesIn(at(".downloads"))) {
      const look = statSync(at(".downloads", name), { throwIfNoEntry: false });
      if (look !== undefined && Date.now() - look.mtimeMs > downloadsKept)
        await locked(name, () => gone(at(".downloads", name)));
    }
  };

  return {
    hold,
    sourceOf: (name) => {
      const held = hold(name);
      held?.release();
      return held?.record.source ?? null;
    },
    async make(name, source, making) {
      checkName(name);
      prepare();
      const began = Date.now();
      const lock = await waitForMaking(name, making);
      const [place, downloads] = [at(".making", name), at(".downloads", name)];
      try {
        const there = hold(name);
        there?.release();
        // Somebody has done what we waited for.
        if (there !== null && (!making.anew || there.record.facts.made >= began)) return;
        await gone(place);
        makeDirectory(place, 0o700);
        makeDirectory(downloads, 0o700);
        mkdirSync(`${place}/rootfs`, { mode: 0o755 });
        const made = await making.make(`${place}/rootfs`, downloads);
        making.signal.throwIfAborted();
        making.progress("keeping the image for the next time");
        const record: ImageRecord = {
          version: recordVersion,
          facts: { ...made, name },
          bytes: await diskBytes(arch, `${place}/rootfs`),
          source: sourceText(source),
        };
        writeFileSync(`${place}/image.json`, JSON.stringify(record), { mode: 0o600 });
        writeFileSync(`${place}/used`, "", { mode: 0o600 });
        await publish(name);
        await gone(downloads);
      } catch (error) {
        // The first error counts.
        await gone(place).catch(() => undefined);
        throw error;
      } finally {
        closeSync(lock);
      }
    },
    async withScratch(work) {
      prepare();
      const name = `.scratch-${randomBytes(8).toString("hex")}`;
      const lock = lockMaking(name);
      const place = at(".making", name);
      try {
        makeDirectory(place, 0o700);
        return await work(place);
      } finally {
        await gone(place);
        await gone(at(".making", `${name}.lock`));
        if (lock !== null) closeSync(lock);
      }
    },
    list: () => names().flatMap((name) => status(name) ?? []),
    async prune(wanted) {
      const out: string[] = [];
      const all = names();
      if (all.length > 0) prepare();
      for (const name of all) {
        const found = status(name);
        // Of another release, or broken: nobody can use it.
        if (found !== null && !wanted(found)) continue;
        const used = openOrNull(at(name, "used"), "to write");
        const isFree = used === null || tryLock(arch, used, "exclusive");
        if (isFree && existsSync(at(name))) {
          const away = at(".gone", randomBytes(8).toString("hex"));
          renameSync(at(name), away);
          await gone(away);
          out.push(name);
        }
        if (used !== null) closeSync(used);
      }
      await sweep();
      return out;
    },
  };
}

function checkName(name: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$/.test(name))
    throw new IsletError("ISLET_NOT_FOUND", `there is no image ${name}: no image can be called so`);
  return name;
}

function makeDirectory(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw ioError(`read ${directory}`, error);
  }
}

function openOrNull(path: string, how: "directory" | "file" | "to write"): number | null {
  try {
    return openSync(path, how === "to write" ? "r+" : "r");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return null;
    throw ioError(`open ${path}`, error);
  }
}

function recordIn(directory: string): ImageRecord | null {
  const path = `${directory}/image.json`;
  try {
    return statSync(path).size > mostRecordBytes ? null : readRecord(readFileSync(path, "utf8"));
  } catch {
    return null;
  }
}

/** What it takes up; 0 if that cannot be found out. */
async function diskBytes(arch: Arch, path: string): Promise<number> {
  const du = findProgram("du");
  const text = du === null ? null : await programOutput(arch, du, ["-s", "--block-size=1", "--", path], longest);
  const bytes = Number(/^\d+/.exec(text ?? "")?.[0] ?? 0);
  return Number.isSafeInteger(bytes) ? bytes : 0;
}
