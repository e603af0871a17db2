import { pack, view } from "./bytes.js";

/** Ioctls of btrfs: linux/btrfs.h, the same on x86_64 and arm64. */

export const BTRFS_SUPER_MAGIC = 0x9123683e;
/** Inode number of a subvolume's top directory. */
export const BTRFS_FIRST_FREE_OBJECTID = 256;

export const BTRFS_IOC_SUBVOL_CREATE = 0x5000_940e;
export const BTRFS_IOC_SNAP_DESTROY = 0x5000_940f;
export const BTRFS_IOC_SNAP_CREATE_V2 = 0x5000_9417;
export const BTRFS_IOC_SUBVOL_SETFLAGS = 0x4008_941a;
export const BTRFS_IOC_QGROUP_LIMIT = 0x8030_942b;
export const BTRFS_IOC_GET_SUBVOL_ROOTREF = 0xd000_943d;
export const BTRFS_IOC_INO_LOOKUP_USER = 0xd000_943e;

const argumentBytes = 4096;
/** Longest name of a subvolume, bytes (BTRFS_VOL_NAME_MAX). */
export const btrfsNameMax = 255;
const maxReferences = 255;
const lookupNameBytes = 256;
/** BTRFS_QGROUP_LIMIT_MAX_RFER: of what can be reached in the subvolume, shared or not. */
const limitReferenced = 1n;

/** struct btrfs_ioctl_vol_args. */
export function volumeArguments(name: Uint8Array, fd: number = 0): Uint8Array {
  return pack(argumentBytes).u64(0, fd).put(8, name).bytes;
}

/** struct btrfs_ioctl_vol_args_v2: a writable snapshot of the subvolume `fd`. */
export function snapshotArguments(name: Uint8Array, fd: number): Uint8Array {
  return pack(argumentBytes).u64(0, fd).put(56, name).bytes;
}

/** struct btrfs_ioctl_qgroup_limit_args: of the subvolume that is asked. */
export function quotaLimit(bytes: bigint): Uint8Array {
  return pack(48).u64(8, limitReferenced).u64(16, bytes).bytes;
}

/** struct btrfs_ioctl_get_subvol_rootref_args, asking for those with this id or a higher one. */
export function referencesAfter(treeId: bigint): Uint8Array {
  return pack(argumentBytes).u64(0, treeId).bytes;
}

export interface SubvolumeReference {
  readonly tree: bigint;
  /** Inode number of the directory that it is in. */
  readonly directory: bigint;
}

/** The answer: subvolumes right below the one that was asked. */
export function readReferences(answer: Uint8Array): readonly SubvolumeReference[] {
  const fields = view(answer);
  const count = Math.min(fields.getUint8(8 + 16 * maxReferences), maxReferences);
  return Array.from({ length: count }, (_, index) => ({
    tree: fields.getBigUint64(8 + 16 * index, true),
    directory: fields.getBigUint64(16 + 16 * index, true),
  }));
}

/** struct btrfs_ioctl_ino_lookup_user_args. */
export function lookupArguments({ tree, directory }: SubvolumeReference): Uint8Array {
  return pack(argumentBytes).u64(0, directory).u64(8, tree).bytes;
}

const untilZero = (bytes: Uint8Array): Uint8Array => {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.slice(0, end);
};

/** The answer: its name, and the directory that it is in, relative to the one that was asked ("" for that itself, else with a slash at its end). */
export function readLookup(answer: Uint8Array): { readonly name: Uint8Array; readonly directory: Uint8Array } {
  const [name, directory] = [answer.subarray(16, 16 + lookupNameBytes), answer.subarray(16 + lookupNameBytes)];
  return { name: untilZero(name), directory: untilZero(directory) };
}
