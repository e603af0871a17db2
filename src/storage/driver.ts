import type { Arch } from "../sys/arch.js";
import type { RootfsSource } from "../spec/rootfs.js";
import type { StorageKind, StorageRequest } from "../spec/storage.js";

/** One way to keep root file systems. A file each: dir.ts, btrfs.ts, …; drivers.ts loads the one that is asked for. */

export interface StorageHost {
  readonly arch: Arch;
  /** islet's static binary. */
  readonly binary: string;
  readonly runtimeDir: string;
  /** This process is root of a user namespace only. */
  readonly inUserNamespace: boolean;
}

/** The container that a root file system is for. Its directory is there. */
export interface StoragePlace {
  readonly name: string;
  /** STORE/NAME. */
  readonly directory: string;
  /** The defaults of the host's administrator (lxc.conf): lxc.bdev.lvm.vg, lxc.bdev.lvm.thin_pool, lxc.bdev.zfs.root. */
  readonly defaults: Readonly<Record<string, string>>;
}

/** Who waits for it. */
export interface StorageContext {
  readonly host: StorageHost;
  /** Bytes done so far. */
  readonly progress?: (done: { readonly files: number; readonly bytes: number }) => void;
  readonly notice?: (text: string) => void;
  readonly signal?: AbortSignal;
}

type RequestOf<K extends StorageKind> = Extract<StorageRequest, { kind: K }>;

export interface StorageDriver<K extends StorageKind = StorageKind> {
  /**
   * Where it will be; makes nothing. The answer is noted before `create` is called, so that what a dead creator left can be removed.
   * ISLET_UNSUPPORTED: the host, or this place, cannot have such a one (with the package or module that helps); ISLET_EXISTS: it is there already
   * and belongs to somebody else; ISLET_BAD_REQUEST.
   */
  plan(place: StoragePlace, request: RequestOf<K>, context: StorageContext): Promise<RootfsSource>;
  /** Makes it, empty (lost+found aside), belonging to root. Fails with nothing left of it. */
  create(source: RootfsSource, place: StoragePlace, request: RequestOf<K>, context: StorageContext): Promise<void>;
  /**
   * Makes `to` (planned with the same request kind) a copy on write of `from`. null: absent; false: not of that one: it has to be copied.
   * `depends`: `from` cannot go as long as `to` is there.
   */
  snapshot?(
    from: RootfsSource,
    to: RootfsSource,
    place: StoragePlace,
    context: StorageContext,
  ): Promise<false | { readonly depends: boolean }>;
  /** What a copy of it needs to be as large as it: for a new one of the same kind. */
  request(source: RootfsSource, context: StorageContext): Promise<RequestOf<K>>;
  /** Idempotent: what is gone already is fine. Never follows anything out of it. */
  remove(source: RootfsSource, place: StoragePlace, context: StorageContext): Promise<void>;
}
