import { absolutePath, bigInteger, type Decoder, list, oneOf, orNull, record, text, variant } from "../base/decode.js";

/** How a root file system is to be kept (lxc-create -B). Sizes are bytes. */
export type StorageRequest =
  /** A directory: STORE/NAME/rootfs, or `path`. `size`: a limit by a project quota, where the file system has them; null: none. */
  | { readonly kind: "dir"; readonly path: string | null; readonly size: bigint | null }
  /** A subvolume STORE/NAME/rootfs. `size`: a limit by a quota group; null: none. */
  | { readonly kind: "btrfs"; readonly size: bigint | null }
  /** Changes kept apart from what is below them. `lowers`: null: an empty directory of the container's own. */
  | { readonly kind: "overlay"; readonly lowers: readonly string[] | null }
  /** A file STORE/NAME/rootdev with a file system in it. */
  | { readonly kind: "loop"; readonly fstype: string | null; readonly size: bigint | null }
  /** A logical volume; null: the container's name; the system's lxc.bdev.lvm.vg, else lxc; a thin pool (lxc.bdev.lvm.thin_pool) if there is one. */
  | {
      readonly kind: "lvm";
      readonly volume: string | null;
      readonly group: string | null;
      readonly thinPool: string | null;
      readonly fstype: string | null;
      readonly size: bigint | null;
    }
  /** A data set below `root`; null: the system's lxc.bdev.zfs.root, else lxc. */
  | { readonly kind: "zfs"; readonly root: string | null; readonly size: bigint | null }
  /** A device that is there, with a file system in it or one to be made: `fstype` null takes the one that it has. It is never removed. */
  | { readonly kind: "block"; readonly device: string; readonly fstype: string | null };

export type StorageKind = StorageRequest["kind"];

export const storageKinds = ["dir", "btrfs", "overlay", "loop", "lvm", "zfs", "block"] as const;

type Of<K extends StorageKind> = Extract<StorageRequest, { readonly kind: K }>;

/** Bytes; no file is larger. */
const size = orNull(bigInteger(1n, (1n << 63n) - 1n));
const name = orNull(text);

/** Of a program that asks; what the names mean on this host its driver says. */
export const storageRequest: Decoder<StorageRequest> = variant<StorageRequest>({
  dir: record<Of<"dir">>({ kind: oneOf("dir"), path: orNull(absolutePath), size }),
  btrfs: record<Of<"btrfs">>({ kind: oneOf("btrfs"), size }),
  overlay: record<Of<"overlay">>({ kind: oneOf("overlay"), lowers: orNull(list(absolutePath)) }),
  loop: record<Of<"loop">>({ kind: oneOf("loop"), fstype: name, size }),
  lvm: record<Of<"lvm">>({ kind: oneOf("lvm"), volume: name, group: name, thinPool: name, fstype: name, size }),
  zfs: record<Of<"zfs">>({ kind: oneOf("zfs"), root: name, size }),
  block: record<Of<"block">>({ kind: oneOf("block"), device: absolutePath, fstype: name }),
});

/** LXC's order, for who does not care how: what has snapshots before a directory. A size is one of a volume: the others are as large as what they are on. */
export function bestStorage(
  lvm: Of<"lvm">,
  zfs: Of<"zfs">,
  path: string | null,
): readonly [StorageRequest, ...(readonly StorageRequest[])] {
  return [{ kind: "btrfs", size: null }, { ...zfs, size: null }, lvm, { kind: "dir", path, size: null }];
}
