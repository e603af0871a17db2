import type { Source } from "../base/source.js";
import type { MountOptions } from "./mount.js";

/** The root file system, as a document named it. */
export type RootfsSource =
  | { readonly kind: "host" }
  | { readonly kind: "dir"; readonly path: string }
  /** A subvolume; started as the directory that it is. */
  | { readonly kind: "btrfs"; readonly path: string }
  | OverlaySource
  /** A file with a file system in it. */
  | { readonly kind: "loop"; readonly path: string }
  /** A device with a file system; `driver` as the document named it ("block": a bare path of a device). */
  | { readonly kind: "block"; readonly driver: "block" | "lvm"; readonly path: string }
  | { readonly kind: "zfs"; readonly dataset: string }
  /** What cannot be started. */
  | { readonly kind: "other"; readonly driver: "nbd" | "rbd"; readonly path: string };

export interface OverlaySource {
  readonly kind: "overlay";
  /** Directories; the first one is the topmost. */
  readonly lowers: readonly string[];
  /** LXC's delta directory, with `work` beside it; null: on a tmpfs that goes with the container (every start begins anew). */
  readonly upper: string | null;
  /** Size of that tmpfs, bytes; absent: the kernel's default, half of the memory. */
  readonly upperSize?: number;
}

/** The directory of the host that is the container's root just as it is; null: something must be mounted first, or it is the host's own. */
export function plainDirectory(source: RootfsSource): string | null {
  return source.kind === "dir" || source.kind === "btrfs" ? source.path : null;
}

export interface RootfsSpec {
  readonly source: RootfsSource;
  /** The value as the document had it, without a driver prefix: LXC_ROOTFS_PATH. "" for host. */
  readonly documentPath: string;
  /** Where it is mounted in the private mount namespace (LXC_ROOTFS_MOUNT); null: islet's own directory. */
  readonly mountPoint: string | null;
  readonly options: MountOptions;
  /** Whose ids the files carry: `as-is`; `idmapped`: map by the container's idmap through an idmapped mount, or by that user namespace. */
  readonly idmap: "as-is" | "container" | { readonly userns: string };
  /** Bytes that a directory may have, by a project quota; absent: what its file system has. */
  readonly size?: number;
  /** destroy and clone also deal with the rootfs. */
  readonly managed: boolean;
  readonly at: Source | null;
}
