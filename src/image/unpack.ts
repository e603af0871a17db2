import { closeSync, readdirSync, statfsSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { closeFd } from "../host/addon.js";
import { fileType, lookWithin, openTop, types } from "../host/root-fd.js";
import type { Arch } from "../sys/arch.js";
import { openArchive, peekAt, plainBytes, type ArchiveSource } from "./archive-source.js";
import type { MakeContext } from "./maker.js";
import { diskFull } from "./programs.js";
import { checkedTar, countedBytes } from "./tar-check.js";
import type { IdChange } from "./tar-ids.js";
import { createPathGuard, type Look } from "./tar-paths.js";
import { extractTar } from "./unpack-tar.js";

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
  /** Gives everything other owners. */
  readonly ids?: IdChange;
}

export interface Unpacked {
  readonly entries: number;
  /** Of all files. */
  readonly bytes: number;
}

export type { ArchiveSource } from "./archive-source.js";

/**
 * Unpacks an archive into a directory, with numeric owners, times, xattrs, ACLs, capabilities and holes: tar, plain or compressed with gzip, xz,
 * zstd or bzip2, or (a file only) squashfs; told by its first bytes. `into`: absolute, of nobody else's; it need not be empty: what the archive
 * has replaces what is there (layers). null: nothing is written, but all is looked at. Nothing is ever written outside of it.
 * ISLET_UNTRUSTED: an entry that leads outside, or a bomb. ISLET_UNSUPPORTED: a program is missing. ISLET_IO: a broken archive, a full disk.
 */
export async function unpack(
  archive: ArchiveSource,
  into: string | null,
  options: UnpackOptions,
  context: MakeContext,
): Promise<Unpacked> {
  const { arch, signal } = context;
  const opened = typeof archive === "string" ? openArchive(archive) : await peekAt(archive.bytes, archive.name);
  const { name } = opened;
  const meter = createMeter(name, into, options.limits ?? {}, context.progress);
  if (opened.kind === "squashfs") {
    closeSync(opened.fd);
    const { unpackSquashfs } = await import("./unpack-squashfs.js");
    return await unpackSquashfs(opened.path, into, meter.totals, context);
  }
  const { bytes, packed } = plainBytes(arch, opened, signal);
  const ratio = options.limits?.ratio ?? 200;
  const root = into !== null && readdirSync(into).length > 0 ? openTop(arch, into) : null;
  try {
    const checked = checkedTar(
      countedBytes(bytes, name, () => (64 << 20) + ratio * packed()),
      {
        archive: name,
        guard: createPathGuard(name, root === null ? null : lookIn(arch, root)),
        below: options.below ?? "",
        devices: options.devices ?? "keep",
        entry: (entry) => {
          signal.throwIfAborted();
          if (options.skip?.(entry) === true) return false;
          meter.add(entry.size);
          options.onEntry?.(entry);
          return true;
        },
        makeWay: async (path) => {
          if (into === null) return;
          const { removeWithin } = await import("./root-remove.js");
          if (root !== null) removeWithin(arch, root, Buffer.from(path, "latin1"));
        },
        file: options.onFile ?? null,
        output: options.ids === undefined ? null : { prefix: "./", ids: options.ids, isPart: false },
      },
    );
    if (into === null) for await (const chunk of checked) void chunk;
    else await extractTar(name, checked, into, context);
  } finally {
    if (root !== null) closeFd(root);
  }
  return meter.result();
}

interface Meter {
  readonly add: (bytes: number) => void;
  readonly totals: (totals: Unpacked) => void;
  readonly result: () => Unpacked;
}

/** Counts, and throws when it is too much. */
function createMeter(
  archive: string,
  into: string | null,
  limits: UnpackLimits,
  progress: (text: string) => void,
): Meter {
  const mostEntries = limits.entries ?? 2_000_000;
  const mostBytes = limits.bytes ?? Number.POSITIVE_INFINITY;
  const free = into === null ? Number.POSITIVE_INFINITY : freeBytes(into);
  let entries = 0;
  let bytes = 0;
  let told = 0;
  const check = (): void => {
    if (entries > mostEntries)
      throw new IsletError("ISLET_UNTRUSTED", `${archive} is refused: it has more than ${mostEntries} entries`);
    if (bytes > mostBytes)
      throw new IsletError("ISLET_UNTRUSTED", `${archive} is refused: its files have more than ${mostBytes} bytes`);
    if (bytes > free) throw diskFull(archive, "ENOSPC");
    if (bytes - told < 4 << 20) return;
    told = bytes;
    progress(`unpacking, ${Math.floor(bytes / 1048576)} MiB`);
  };
  return {
    add(size) {
      entries += 1;
      bytes += size;
      check();
    },
    totals(totals) {
      ({ entries, bytes } = totals);
      check();
    },
    result: () => ({ entries, bytes }),
  };
}

function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}

/** At a tree that an earlier layer has made. */
function lookIn(arch: Arch, root: number): Look {
  return (path) => {
    const found = lookWithin(arch, root, Buffer.from(`${path}\0`, "latin1"), true);
    if (found === null) return null;
    const type = found.mode & fileType;
    return type === types.directory ? "directory" : type === types.symlink ? "symlink" : "other";
  };
}
