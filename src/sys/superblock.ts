import { view } from "./bytes.js";

/** What is on a disk, by the marks that mkfs and its like leave at fixed places. Only the marks are looked at: whether the rest is sound, the kernel finds. */

/** Bytes from the beginning of a device that diskContent needs to see. */
export const superblockBytes: number = 0x10048;

export type DiskContent =
  /** `type` as mount(2) has it. */
  | { readonly kind: "filesystem"; readonly type: string }
  /** Something that has no directories; in words: "a partition table". */
  | { readonly kind: "other"; readonly what: string };

interface Mark {
  readonly at: number;
  readonly bytes: string;
  readonly is: DiskContent;
}

const filesystem = (type: string): DiskContent => ({ kind: "filesystem", type });
const other = (what: string): DiskContent => ({ kind: "other", what });

// prettier-ignore
const marks: readonly Mark[] = [
  { at: 0, bytes: "XFSB", is: filesystem("xfs") },
  { at: 0x10040, bytes: "_BHRfS_M", is: filesystem("btrfs") },
  { at: 0, bytes: "hsqs", is: filesystem("squashfs") },
  { at: 1024, bytes: "\xe2\xe1\xf5\xe0", is: filesystem("erofs") },
  { at: 1024, bytes: "\x10\x20\xf5\xf2", is: filesystem("f2fs") },
  { at: 4096 + 24, bytes: "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", is: filesystem("bcachefs") },
  { at: 4096 + 24, bytes: "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef", is: filesystem("bcachefs") },
  { at: 0x8000, bytes: "JFS1", is: filesystem("jfs") },
  { at: 0x10034, bytes: "ReIsEr", is: filesystem("reiserfs") },
  { at: 1024 + 6, bytes: "\x34\x34", is: filesystem("nilfs2") },
  { at: 0x8001, bytes: "CD001", is: filesystem("iso9660") },
  { at: 0, bytes: "LUKS\xba\xbe", is: other("a LUKS container, which must be opened first (cryptsetup open)") },
  { at: 4086, bytes: "SWAPSPACE2", is: other("swap space") },
  { at: 512, bytes: "LABELONE", is: other("a physical volume of LVM") },
  { at: 512, bytes: "EFI PART", is: other("a partition table: name the partition") },
  { at: 0, bytes: "QFI\xfb", is: other("a qcow2 image: make it a raw one (qemu-img convert -O raw)") },
];

/** What the first `superblockBytes` bytes (or all, of less) tell; null: no mark that is known. */
export function diskContent(bytes: Uint8Array): DiskContent | null {
  const ext = extType(bytes);
  if (ext !== null) return filesystem(ext);
  for (const mark of marks) if (hasMark(bytes, mark.at, mark.bytes)) return mark.is;
  return null;
}

function hasMark(bytes: Uint8Array, at: number, mark: string): boolean {
  if (at + mark.length > bytes.length) return false;
  for (let index = 0; index < mark.length; index += 1) if (bytes[at + index] !== mark.charCodeAt(index)) return false;
  return true;
}

const journal = 0x4;
/** Incompatible features that ext3 has: filetype, recover, meta_bg. */
const incompatOfExt3 = 0x2 | 0x4 | 0x10;
/** Features that only matter to writers, as ext3 has them: sparse_super, large_file, btree_dir. */
const compatOfExt3 = 0x1 | 0x2 | 0x4;
/** The device holds the journal of another file system. */
const journalDevice = 0x8;

/** ext2, ext3 and ext4 have one mark: the features that a writer must know tell them apart. */
function extType(bytes: Uint8Array): string | null {
  if (!hasMark(bytes, 1024 + 56, "\x53\xef") || bytes.length < 1024 + 104) return null;
  const superblock = view(bytes.subarray(1024));
  const [compat, incompat, readOnly] = [92, 96, 100].map((at) => superblock.getUint32(at, true));
  if (compat === undefined || incompat === undefined || readOnly === undefined) return null;
  if ((incompat & journalDevice) !== 0) return null;
  if ((incompat & ~incompatOfExt3) !== 0 || (readOnly & ~compatOfExt3) !== 0) return "ext4";
  return (compat & journal) !== 0 ? "ext3" : "ext2";
}

/** Types in /proc/filesystems that need a device. */
export function deviceFilesystems(text: string): readonly string[] {
  return text.split("\n").flatMap((line) => (line.startsWith("\t") ? [line.trim()] : []));
}
