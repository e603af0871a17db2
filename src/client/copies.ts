import { resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { IsletError } from "../base/errors.js";
import type { Compression, ContainerId } from "../engine/engine.js";
import { copyRequest, type CopyRequest, exportRequest, type LibraryCalls, snapshotRequest } from "../engine/library.js";
import type { RunningContainer, StoppedContainer } from "./container.js";
import { type Bytes, copyStorage, type CopyStorage } from "./storage.js";
import { performed, type WorkOptions } from "./work.js";

/** Copies, snapshots and exports of a container. */

/** A range of ids of a container's and of the host's; `count` at least 1. */
export interface IdRange {
  readonly type: "uid" | "gid";
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

interface EveryCopy extends WorkOptions {
  /** Directory of the container store. Default: that of the original. */
  readonly store?: string;
  /** A running original is frozen for the time of the copy. Default false: ISLET_RUNNING. */
  readonly allowRunning?: boolean;
  /** It calls itself as the original does. Default false: by its own name. */
  readonly keepName?: boolean;
  /** Default false: new MAC addresses. */
  readonly keepMac?: boolean;
  /** Its id map; its files get the ids of that. `[]`: none. Default: the original's. */
  readonly idmap?: readonly IdRange[];
}

export interface CopyOptions extends EveryCopy {
  /**
   * copy: on its own, whatever happens to the original. snapshot: shares the original's files as long as they are not changed; the original then cannot be
   * destroyed before it (ISLET_HAS_CLONES). Default: copy.
   */
  readonly how?: "copy" | "snapshot";
  /** Default: as the original's; of a snapshot whatever shares files. */
  readonly storage?: CopyStorage;
  /** Words for its clone hooks (lxc.hook.clone), after LXC's own. */
  readonly hookArguments?: readonly string[];
}

export interface EphemeralOptions extends EveryCopy {
  /** Default: the original's with six random letters. */
  readonly name?: string;
  /** Its changes are kept in memory alone, at most so many bytes; true: as many as a tmpfs may have. Default: on the disk until it stops. */
  readonly memory?: true | Bytes;
}

export interface Snapshot {
  readonly name: string;
  /** null: nobody knows. */
  readonly made: Date | null;
  readonly comment: string | null;
}

export interface TakeOptions extends WorkOptions {
  /** Default: snapN, N the lowest free number, as LXC's. */
  readonly name?: string;
  /** Kept with it; 1 MiB at most. */
  readonly comment?: string;
}

/** What was put aside of a container; a name that there is none of is ISLET_NOT_FOUND. */
export interface Snapshots {
  /** In the order of their numbers. */
  list(): Promise<readonly Snapshot[]>;
  /** Makes another container of one. `await using` destroys that again. */
  copy(name: string, newName: string, options?: WorkOptions): Promise<StoppedContainer & AsyncDisposable>;
  destroy(name: string): Promise<void>;
}

export interface StoppedSnapshots extends Snapshots {
  /** Puts the container aside as it is now; resolves with the snapshot's name. ISLET_EXISTS. */
  take(options?: TakeOptions): Promise<string>;
  /** The container becomes what it was, whole or not at all. ISLET_HAS_CLONES. */
  restore(name: string, options?: WorkOptions): Promise<void>;
}

export interface ExportOptions extends WorkOptions {
  /** Default: zstd, or gzip where this host has no zstd. */
  readonly compress?: Compression;
  /** A running container is frozen for the time. Default false: ISLET_RUNNING. */
  readonly allowRunning?: boolean;
}

/** What others can be made of. */
export interface Copyable {
  /**
   * Makes a container as this one. `await using` destroys it again. ISLET_EXISTS, ISLET_RUNNING; ISLET_UNSUPPORTED where it cannot be kept so.
   * Nothing is left of what fails.
   */
  copy(name: string, options?: CopyOptions): Promise<StoppedContainer & AsyncDisposable>;
  /** Starts a copy that is destroyed when it stops, and shares this one's files where it can. `await using` kills it. */
  runCopy(options?: EphemeralOptions): Promise<RunningContainer & AsyncDisposable>;
  /** Writes it into one file, in place of one of that name when it is whole; `Islet.import` takes that. ISLET_BUSY: its files were changed meanwhile. */
  export(path: string, options?: ExportOptions): Promise<void>;
}

/** What becomes of ids. */
export interface Makes {
  /** `await using` destroys it. */
  readonly made: (id: ContainerId) => StoppedContainer & AsyncDisposable;
}

function requestOf(
  options: CopyOptions,
  how: CopyRequest["how"],
  more: Partial<Record<keyof CopyRequest, unknown>> = {},
): CopyRequest {
  const { allowRunning = false, keepName = false, keepMac = false, idmap = null, hookArguments = [] } = options;
  const own = { how, ephemeral: false, allowRunning, keepName, keepMac, idmap, hookArguments };
  return copyRequest({ ...own, ...copyStorage(options.storage), ...more }, "");
}

const sizeOf = (memory: EphemeralOptions["memory"]): unknown =>
  typeof memory === "number" && Number.isSafeInteger(memory) ? BigInt(memory) : memory === true ? null : memory;

/** Milliseconds. */
const patience = 10_000;
const interval = 50;

/** An ephemeral container goes by itself when it stops: who sees that under way waits for it. */
async function unlessBusy(end: () => PromiseLike<void>): Promise<void> {
  for (const limit = performance.now() + patience; ; await setTimeout(interval)) {
    try {
      await end();
      return;
    } catch (error) {
      const isGoing = error instanceof IsletError && ["ISLET_BUSY", "ISLET_PARTIAL"].includes(error.code);
      if (!isGoing || performance.now() > limit) throw error;
    }
  }
}

export function copyable(calls: LibraryCalls, id: ContainerId, { made }: Makes): Copyable {
  const targetOf = ({ store }: EveryCopy, name: string | null): Parameters<LibraryCalls["copy"]>[1] => ({
    storePath: store === undefined ? id.storePath : resolve(store),
    name,
  });
  return {
    copy: async (name, options = {}) => {
      const request = requestOf(options, options.how ?? "copy");
      const copied = await performed(options, "ignore", (work) =>
        calls.copy(id, targetOf(options, name), request, work),
      );
      return made(copied);
    },
    runCopy: async (options = {}) => {
      const { memory, name = null } = options;
      const request = requestOf(
        options,
        memory === undefined ? "quickest" : "tmpfs",
        memory === undefined ? { ephemeral: true } : { ephemeral: true, size: sizeOf(memory) },
      );
      const copied = await performed(options, "ignore", (work) =>
        calls.copy(id, targetOf(options, name), request, work),
      );
      const copy = made(copied);
      const end = (): Promise<void> => unlessBusy(() => copy[Symbol.asyncDispose]());
      try {
        options.signal?.throwIfAborted();
        return { ...(await copy.start()), [Symbol.asyncDispose]: end };
      } catch (error) {
        await end();
        throw error;
      }
    },
    export: async (path, options = {}) => {
      const { compress = null, allowRunning = false } = options;
      const request = exportRequest({ path: resolve(path), compress, allowRunning }, "");
      await performed(options, "ignore", (work) => calls.export(id, request, work));
    },
  };
}

export function snapshotsOf(calls: LibraryCalls, id: ContainerId, { made }: Makes): StoppedSnapshots {
  return {
    list: async () =>
      (await calls.snapshots(id)).map(({ name, made: when, comment }) => ({
        name,
        made: when === null ? null : new Date(when),
        comment,
      })),
    take: async (options = {}) => {
      const request = snapshotRequest({ name: options.name ?? null, comment: options.comment ?? null }, "");
      return await performed(options, "ignore", (work) => calls.snapshot(id, request, work));
    },
    restore: (name, options = {}) => performed(options, "ignore", (work) => calls.restore(id, name, work)),
    copy: async (name, newName, options = {}) => {
      const target: ContainerId = { storePath: id.storePath, name: newName };
      await performed(options, "ignore", (work) => calls.copySnapshot(id, name, target, work));
      return made(target);
    },
    destroy: (name) => calls.destroySnapshot(id, name),
  };
}
