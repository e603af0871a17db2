import { IsletError } from "../base/errors.js";
import { bestStorage, type StorageKind, storageKinds, type StorageRequest, storageRequest } from "../spec/storage.js";

/** How a root file system is kept (lxc-create -B). What needs a program that is missing is ISLET_UNSUPPORTED, with the package's name. */
export type Storage =
  /** The first that can be had of btrfs, zfs, lvm and dir; `notice` hears which. */
  | { readonly kind: "best" }
  /** A directory: `path`, absolute, or STORE/NAME/rootfs. With a size: a limit by a project quota, where the file system has them. */
  | { readonly kind: "dir"; readonly path?: string; readonly size?: Bytes }
  /** A subvolume; with a size: a limit by a quota group. */
  | { readonly kind: "btrfs"; readonly size?: Bytes }
  /** Changes kept apart from what is below them: `lowers`, absolute paths, the topmost first, or an empty directory of the container's own. */
  | { readonly kind: "overlay"; readonly lowers?: readonly string[] }
  /** A file with a file system in it. Default: ext4, 1 GiB. */
  | { readonly kind: "loop"; readonly fstype?: string; readonly size?: Bytes }
  /** A logical volume, the container's name by default; of the group lxc.bdev.lvm.vg, in the thin pool lxc.bdev.lvm.thin_pool if there is one. */
  | {
      readonly kind: "lvm";
      readonly volume?: string;
      readonly group?: string;
      readonly thinPool?: string;
      readonly fstype?: string;
      readonly size?: Bytes;
    }
  /** A data set below `root`, by default lxc.bdev.zfs.root. */
  | { readonly kind: "zfs"; readonly root?: string; readonly size?: Bytes }
  /** A device that is there; without `fstype` the file system that it has. It is never removed. */
  | { readonly kind: "block"; readonly device: string; readonly fstype?: string };

/** At least 1. */
export type Bytes = number | bigint;

/** How the root file system of a copy is kept. */
export type CopyStorage =
  /** As the original's, of another size. */
  | { readonly kind: "same"; readonly size: Bytes }
  | { readonly kind: "dir" | "btrfs" | "overlay" }
  | { readonly kind: "zfs"; readonly size?: Bytes }
  | { readonly kind: "loop"; readonly size?: Bytes; readonly fstype?: string }
  | { readonly kind: "lvm"; readonly size?: Bytes; readonly fstype?: string; readonly group?: string };

const fields: Readonly<Record<StorageKind, readonly string[]>> = {
  dir: ["path", "size"],
  btrfs: ["size"],
  overlay: ["lowers"],
  loop: ["fstype", "size"],
  lvm: ["volume", "group", "thinPool", "fstype", "size"],
  zfs: ["root", "size"],
  block: ["device", "fstype"],
};

const wrong = (text: string): IsletError => new IsletError("ISLET_BAD_REQUEST", text);

/** `place`: `storage.size`. */
function bytes(value: Bytes, place: string): bigint {
  if (typeof value === "bigint" ? value > 0n : Number.isSafeInteger(value) && value > 0) return BigInt(value);
  throw wrong(`${place} is not a number of bytes, at least 1`);
}

/** What is given, undefined left out, with sizes as the engine has them. */
function given(storage: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(storage).flatMap(([name, value]: readonly [string, unknown]) => {
      if (value === undefined) return [];
      const isSize = name === "size" && (typeof value === "number" || typeof value === "bigint");
      return [[name, isSize ? bytes(value, "storage.size") : value] as const];
    }),
  );
}

/** The first that can be had is meant. ISLET_BAD_REQUEST. */
export function storageRequests(storage: Storage): readonly [StorageRequest, ...(readonly StorageRequest[])] {
  if (storage.kind === "best") {
    const lvm = { kind: "lvm", volume: null, group: null, thinPool: null, fstype: null, size: null } as const;
    return bestStorage(lvm, { kind: "zfs", root: null, size: null }, null);
  }
  const kind = storageKinds.find((each) => each === storage.kind);
  if (kind === undefined) throw wrong(`storage.kind is none of best, ${storageKinds.join(", ")}`);
  const absent = Object.fromEntries(fields[kind].map((name) => [name, null]));
  return [storageRequest({ ...absent, ...given(storage) }, "storage")];
}

const copyFields: Readonly<Record<CopyStorage["kind"], readonly string[]>> = {
  same: ["size"],
  dir: [],
  btrfs: [],
  overlay: [],
  zfs: ["size"],
  loop: ["size", "fstype"],
  lvm: ["size", "fstype", "group"],
};

/** Absent: as the original's. What a field may be is checked with the rest of the request. */
export function copyStorage(
  storage: CopyStorage | undefined,
): Readonly<Record<"storage" | "size" | "fstype" | "volumeGroup", unknown>> {
  if (storage === undefined) return { storage: null, size: null, fstype: null, volumeGroup: null };
  const { kind, ...rest } = given(storage);
  const known = Object.hasOwn(copyFields, String(kind)) ? copyFields[kind as CopyStorage["kind"]] : null;
  if (known === null) throw wrong(`storage.kind is none of ${Object.keys(copyFields).join(", ")}`);
  const unknown = Object.keys(rest).find((name) => !known.includes(name));
  if (unknown !== undefined) throw wrong(`storage.${unknown} is not known`);
  const { size = null, fstype = null, group = null } = rest;
  return { storage: kind === "same" ? null : kind, size, fstype, volumeGroup: group };
}
