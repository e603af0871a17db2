import { IsletError } from "../base/errors.js";
import type { MakeContext } from "./maker.js";

/** An entry of an archive, before anything of it is written. */
export interface ArchiveEntry {
  /** Relative, without "." and trailing slashes: "etc/hostname"; "" is the root itself. */
  readonly name: string;
  readonly type: "file" | "directory" | "symlink" | "hardlink" | "char" | "block" | "fifo";
  /** Bytes of data that it takes up once unpacked. */
  readonly size: number;
  /** Of a symlink, as it is; of a hard link, relative to the root. */
  readonly target: string | null;
}

export interface UnpackLimits {
  /** Bytes of all files together. Default: what is free where they go. */
  readonly bytes?: number;
  /** Default 2,000,000. */
  readonly entries?: number;
  /** How many times larger than the archive its content may be. Default 200, of what exceeds 64 MiB. */
  readonly ratio?: number;
}

export interface UnpackOptions {
  /** Only what is below this directory of the archive, without it: "rootfs". */
  readonly below?: string;
  readonly limits?: UnpackLimits;
  /** Gets each entry that is not below `below` or left out by `skip`. */
  readonly onEntry?: (entry: ArchiveEntry) => void;
  /** True: it is left out. */
  readonly skip?: (entry: ArchiveEntry) => boolean;
  /** Text of files of at most 1 MiB beside what is below `below`, by name: metadata. */
  readonly onFile?: (name: string, text: string) => void;
  /** Device nodes; default "keep". */
  readonly devices?: "keep" | "skip";
}

export interface Unpacked {
  readonly entries: number;
  /** Of all files. */
  readonly bytes: number;
}

/** What an archive comes from: a file, by its path, or bytes with what is known of their number. */
export type ArchiveSource = string | { readonly bytes: AsyncIterable<Uint8Array>; readonly name: string };

/**
 * Unpacks an archive into a directory, with numeric owners, times, xattrs, ACLs, capabilities and holes: tar, plain or compressed with gzip, xz,
 * zstd or bzip2, or (a file only) squashfs; told by its first bytes. `into`: absolute, of nobody else's; it need not be empty: what the archive
 * has replaces what is there (layers). null: nothing is written, but all is looked at. Nothing is ever written outside of it.
 * ISLET_UNTRUSTED: an entry that leads outside, or a bomb. ISLET_UNSUPPORTED: a program is missing. ISLET_IO: a broken archive, a full disk.
 */
export function unpack(
  _archive: ArchiveSource,
  _into: string | null,
  _options: UnpackOptions,
  _context: MakeContext,
): Promise<Unpacked> {
  return Promise.reject(new IsletError("ISLET_UNSUPPORTED", "archives cannot be unpacked yet"));
}
