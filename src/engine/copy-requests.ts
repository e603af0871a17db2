import type { IdMapEntry } from "../spec/idmap.js";
import type { RootfsSource } from "../spec/rootfs.js";
import type { StorageKind } from "../spec/storage.js";
import type { Caller } from "./engine.js";

/** What a front end says about copies, snapshots and new names; part of the engine's list of requests (engine.ts). */

/** A container's own text for the copy of a container, and what has to go with it. */
export interface CopiedConfig {
  readonly text: string;
  /** Files that lie beside the configuration, by their paths below the container's directory: they are copied where they are. */
  readonly files: readonly string[];
  /** Empty directories that are made below the copy's directory, for root alone. */
  readonly directories: readonly string[];
  /** Of the copy: run in it when its root file system is there, with `hookArguments` after LXC's own. */
  readonly hooks: readonly string[];
  readonly hookVersion: 0 | 1;
  /** LXC_ROOTFS_PATH of these hooks. */
  readonly rootfsPath: string;
}

/** What all that makes a copy has. */
export interface CopyBasics {
  readonly caller: Caller;
  /** lxc.bdev.* of the host's administrator, by key. */
  readonly storageDefaults: Readonly<Record<string, string>>;
  /** The copy's configuration; `root`: where its root file system is, null: it has none of its own. Called once, with the directory already there. */
  readonly config: (root: RootfsSource | null) => CopiedConfig;
  readonly progress?: (text: string) => void;
  readonly notice?: (text: string) => void;
  readonly signal?: AbortSignal;
}

export interface CopyOptions extends CopyBasics {
  /**
   * copy: on its own, whatever happens to the original. snapshot: it may need the original's files, which then cannot be destroyed; made
   * in an instant. tmpfs: such a one whose changes are only in memory.
   */
  readonly how: "copy" | "snapshot" | { readonly tmpfs: { readonly bytes: number | null } };
  /** null: as the original is kept; what cannot be so alone (an overlay) becomes a directory. */
  readonly storage: StorageKind | null;
  /** Bytes, of a device; null: as the original. */
  readonly size: bigint | null;
  readonly fstype: string | null;
  readonly volumeGroup: string | null;
  /** A running original is frozen for the copy. Otherwise: ISLET_RUNNING. */
  readonly allowRunning: boolean;
  /** What the copy calls itself, in etc/hostname and etc/hosts; null: as the original. */
  readonly hostname: string | null;
  /** Of the copy: files get other owners on the way; null: that of the original. */
  readonly idmap: readonly IdMapEntry[] | null;
  readonly hookArguments: readonly string[];
}

export interface RenameOptions {
  readonly caller: Caller;
  /** Its new configuration. `root`: where its root file system will be. */
  readonly config: (root: RootfsSource | null) => CopiedConfig;
  readonly hostname: string | null;
  readonly hookArguments: readonly string[];
  readonly notice?: (text: string) => void;
}

export interface SnapshotOptions extends CopyBasics {
  /** What is kept beside it. */
  readonly comment: Uint8Array | null;
}

/** One of a container's snapshots: itself a container, in the store STORE/NAME/snaps. */
export interface SnapshotStatus {
  readonly name: string;
  /** STORE/NAME/snaps */
  readonly storePath: string;
  /** When it was made, local time as LXC writes it (`2026:11:21 23:53:57`); null: nobody knows. */
  readonly made: string | null;
  readonly comment: string | null;
}
