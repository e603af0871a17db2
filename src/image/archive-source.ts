import { closeSync, constants, createReadStream, fstatSync, openSync, readSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import type { Arch } from "../sys/arch.js";
import { type Filter, filtered } from "./pipes.js";

/** Archives by their first bytes, and what a decompressor makes of them. */

/** What an archive comes from: a file, by its path, or bytes with what is known of their number. */
export type ArchiveSource = string | { readonly bytes: AsyncIterable<Uint8Array>; readonly name: string };

export type OpenedArchive =
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

export function openArchive(path: string): OpenedArchive {
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

export async function peekAt(bytes: AsyncIterable<Uint8Array>, name: string): Promise<OpenedArchive> {
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

/** What is in an archive that is no squashfs, decompressed; takes its descriptor over. `packed`: bytes that it takes up, as far as they are known by now. */
export function plainBytes(
  arch: Arch,
  opened: Exclude<OpenedArchive, { kind: "squashfs" }>,
  signal: AbortSignal,
): { readonly bytes: AsyncIterable<Uint8Array>; readonly packed: () => number } {
  let fed = 0;
  const counting = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      signal.throwIfAborted();
      fed += chunk.length;
      yield chunk;
    }
  };
  const input = opened.kind === "file" ? opened.fd : counting(opened.bytes);
  const bytes =
    opened.filter !== null
      ? filtered(arch, opened.filter, input, opened.name)
      : typeof input === "number"
        ? (createReadStream("", { fd: input, start: 0, highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>)
        : input;
  return { bytes, packed: () => opened.size ?? fed };
}
