import {
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  statfsSync,
} from "node:fs";
import { IsletError } from "../base/errors.js";
import { closeFd } from "../host/addon.js";
import { fileType, lookWithin, openTop, types } from "../host/root-fd.js";
import type { Arch } from "../sys/arch.js";
import type { MakeContext } from "./maker.js";
import { type Filter, filtered } from "./pipes.js";
import { diskFull } from "./programs.js";
import { checkedTar, countedBytes } from "./tar-check.js";
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
  const packed = opened.size;
  let fed = 0;
  const counting = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      signal.throwIfAborted();
      fed += chunk.length;
      yield chunk;
    }
  };
  const input = opened.kind === "file" ? opened.fd : counting(opened.bytes);
  const plain =
    opened.filter !== null
      ? filtered(arch, opened.filter, input, name)
      : typeof input === "number"
        ? createReadStream("", { fd: input, start: 0, highWaterMark: 1 << 20 })
        : input;
  const ratio = options.limits?.ratio ?? 200;
  const root = into !== null && readdirSync(into).length > 0 ? openTop(arch, into) : null;
  try {
    const checked = checkedTar(
      countedBytes(plain, name, () => (64 << 20) + ratio * (packed ?? fed)),
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

type Opened =
  | { readonly kind: "squashfs"; readonly name: string; readonly path: string; readonly fd: number }
  | {
      readonly kind: "file";
      readonly name: string;
      readonly fd: number;
      readonly size: number;
      readonly filter: Filter | null;
    }
  | {
      readonly kind: "bytes";
      readonly name: string;
      readonly bytes: AsyncIterable<Uint8Array>;
      readonly size: null;
      readonly filter: Filter | null;
    };

const filters: readonly (Filter & { readonly magic: readonly number[] })[] = [
  { magic: [0x1f, 0x8b], program: "gzip", words: ["-dc"], packageName: "gzip" },
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], program: "xz", words: ["-dc", "-T0"], packageName: "xz-utils" },
  { magic: [0x28, 0xb5, 0x2f, 0xfd], program: "zstd", words: ["-dcq", "--long=31"], packageName: "zstd" },
  { magic: [0x42, 0x5a, 0x68], program: "bzip2", words: ["-dc"], packageName: "bzip2" },
];

const squashfsMagic = [0x68, 0x73, 0x71, 0x73];
const headSize = 512;

const begins = (bytes: Uint8Array, magic: readonly number[]): boolean =>
  magic.every((byte, index) => bytes[index] === byte);

/** What the first bytes say; null: a plain tar. */
function filterOf(head: Uint8Array, name: string): Filter | null {
  const found = filters.find(({ magic }) => begins(head, magic));
  if (found !== undefined) return found;
  const isTar = Buffer.from(head.subarray(257, 262)).toString("latin1") === "ustar";
  // An empty one is all zeros; the oldest have no magic, but a checksum.
  if (!isTar && head.length >= headSize && !looksLikeTar(head))
    throw new IsletError(
      "ISLET_IO",
      `${name} is no archive: tar (plain, gzip, xz, zstd, bzip2) and squashfs are known`,
    );
  if (head.length < headSize) throw new IsletError("ISLET_IO", `${name} is no archive: it is too short`);
  return null;
}

const looksLikeTar = (head: Uint8Array): boolean =>
  head.every((byte) => byte === 0) || /^[0-7 ]{6}[\0 ]/.test(Buffer.from(head.subarray(148, 156)).toString("latin1"));

function openArchive(path: string): Opened {
  let fd: number;
  try {
    // A fifo does not make us wait.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (cause) {
    const missing = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    throw new IsletError("ISLET_IO", missing ? `there is no file ${path}` : `cannot open ${path}`, { cause });
  }
  try {
    const look = fstatSync(fd);
    if (!look.isFile()) throw new IsletError("ISLET_IO", `${path} is not a file`);
    const head = Buffer.alloc(headSize);
    const first = head.subarray(0, readSync(fd, head, 0, headSize, 0));
    if (begins(first, squashfsMagic)) return { kind: "squashfs", name: path, path, fd };
    return { kind: "file", name: path, fd, size: look.size, filter: filterOf(first, path) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

async function peekAt(bytes: AsyncIterable<Uint8Array>, name: string): Promise<Opened> {
  const iterator = bytes[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  let length = 0;
  while (length < headSize) {
    const next = await iterator.next();
    if (next.done === true) break;
    first.push(next.value);
    length += next.value.length;
  }
  const head = Buffer.concat(first);
  const rest = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield head;
      for (;;) {
        const next = await iterator.next();
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await iterator.return?.();
    }
  };
  if (begins(head, squashfsMagic))
    throw new IsletError("ISLET_UNSUPPORTED", `${name} is a squashfs, which can be unpacked from a file only`);
  return { kind: "bytes", name, bytes: rest(), size: null, filter: filterOf(head.subarray(0, headSize), name) };
}
