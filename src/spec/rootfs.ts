import type { Source } from "../base/source.js";
import type { MountOptions } from "./mount.js";

/** The root file system. Only `dir` and `host` can be planned today; the others name what a document asked for. */
export type RootfsSource =
  | { readonly kind: "host" }
  | { readonly kind: "dir"; readonly path: string }
  | { readonly kind: "overlay"; readonly lowers: readonly string[]; readonly upper: string }
  | {
      readonly kind: "device";
      readonly driver: "lvm" | "loop" | "nbd" | "zfs" | "btrfs" | "rbd" | "block";
      readonly path: string;
    };

export interface RootfsSpec {
  readonly source: RootfsSource;
  /** The value as the document had it, without a driver prefix: LXC_ROOTFS_PATH. "" for host. */
  readonly documentPath: string;
  /** Where it is mounted in the private mount namespace (LXC_ROOTFS_MOUNT); null: islet's own directory. */
  readonly mountPoint: string | null;
  readonly options: MountOptions;
  /** Whose ids the files carry: `as-is`; `idmapped`: map by the container's idmap through an idmapped mount, or by that user namespace. */
  readonly idmap: "as-is" | "container" | { readonly userns: string };
  /** destroy and clone also deal with the rootfs. */
  readonly managed: boolean;
  readonly at: Source | null;
}
