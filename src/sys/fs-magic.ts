/** File systems by the number that statfs(2) tells: linux/magic.h. */

const names: ReadonlyMap<number, string> = new Map([
  [0xef53, "ext2, ext3 or ext4"],
  [0x58465342, "xfs"],
  [0x9123683e, "btrfs"],
  [0x01021994, "tmpfs"],
  [0x794c7630, "an overlay"],
  [0x2fc12fc1, "zfs"],
  [0x6969, "NFS"],
  [0xf2f52010, "f2fs"],
  [0xca451a4e, "bcachefs"],
  [0x65735546, "FUSE"],
  [0x01021997, "9p"],
  [0x00c0ffee, "hostfs"],
]);

/** In words, for messages. */
export function showFsMagic(type: number): string {
  return names.get(type) ?? `a file system of the type 0x${(type >>> 0).toString(16)}`;
}
