import { pack, view } from "./bytes.js";

/** Project quotas: quotactl(2), ioctl_xfs_fsgetxattr(2); linux/quota.h and linux/fs.h, the same on x86_64 and arm64. */

export const FS_IOC_FSGETXATTR = 0x801c_581f;
export const FS_IOC_FSSETXATTR = 0x401c_5820;
/** What is made in the directory belongs to its project. */
export const FS_XFLAG_PROJINHERIT = 0x200;

const PRJQUOTA = 2;
const command = (word: number): number => ((word << 8) | PRJQUOTA) >>> 0;
export const PRJ_GETQUOTA: number = command(0x800007);
export const PRJ_SETQUOTA: number = command(0x800008);
const QIF_BLIMITS = 1;
/** Limits are told in such blocks. */
const blockBytes = 1024n;

/** struct fsxattr: 28 bytes. */
export const fsxattrBytes = 28;

export interface ProjectFlags {
  readonly project: number;
  readonly inherits: boolean;
}

export function readProject(answer: Uint8Array): ProjectFlags {
  const fields = view(answer);
  return { project: fields.getUint32(12, true), inherits: (fields.getUint32(0, true) & FS_XFLAG_PROJINHERIT) !== 0 };
}

/** The attributes that were read, in another project; a directory's children will be in it, too. */
export function withProject(answer: Uint8Array, project: number, inherits: boolean): Uint8Array {
  const flags = view(answer).getUint32(0, true);
  return pack(fsxattrBytes)
    .put(0, answer)
    .u32(0, inherits ? flags | FS_XFLAG_PROJINHERIT : flags)
    .u32(12, project).bytes;
}

/** sizeof(struct if_dqblk). */
export const dqblkBytes = 72;

export interface ProjectUse {
  /** Bytes; null: none. */
  readonly limit: bigint | null;
  readonly bytes: bigint;
  readonly inodes: bigint;
}

export function readUse(answer: Uint8Array): ProjectUse {
  const fields = view(answer);
  const hard = fields.getBigUint64(0, true) * blockBytes;
  return {
    limit: hard === 0n ? null : hard,
    bytes: fields.getBigUint64(16, true),
    inodes: fields.getBigUint64(40, true),
  };
}

/** struct if_dqblk: the same limit, hard and soft; null: none. */
export function limitTo(bytes: bigint | null): Uint8Array {
  const blocks = bytes === null ? 0n : (bytes + blockBytes - 1n) / blockBytes;
  return pack(dqblkBytes).u64(0, blocks).u64(8, blocks).u32(64, QIF_BLIMITS).bytes;
}
