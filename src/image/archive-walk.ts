import { createHash } from "node:crypto";
import { IsletError } from "../base/errors.js";
import { blockSize, damaged, padded, readHeader, readRecords, recordNumber } from "./tar-header.js";

/**
 * A tar archive whose first entries are small files, and whose last one says the SHA-256 of all bytes before it: what an archive has beside a tree
 * of files. The tree itself is looked at by who unpacks it (tar-check.ts).
 */

/** One of the first entries. */
export interface HeadFile {
  readonly bytes: Uint8Array;
  readonly mode: number;
}

export interface WalkedArchive {
  readonly head: ReadonlyMap<string, HeadFile>;
  /** From the first entry on that is none of the head's: again a tar archive. Ends with ISLET_IO or ISLET_UNTRUSTED if the sum is missing or wrong. */
  readonly rest: AsyncIterable<Uint8Array>;
  /** Of who does not want the rest. */
  close(): Promise<void>;
}

export interface HeadWanted {
  /** Of what is called so. */
  readonly isHead: (name: string) => boolean;
  /** Name of the first entry. */
  readonly first: string;
  /** What is thrown when that is another one. */
  readonly other: (at: string) => Error;
  /** Name of the last entry. */
  readonly sum: string;
}

const mostHeadFile = 16 << 20;
const mostHead = 64 << 20;
const mostExtension = 1 << 20;
const mostSum = 4096;

type Item =
  | { readonly kind: "file"; readonly name: string; readonly file: HeadFile }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array };

/** Reads the head. `at`: the archive's name, for messages. */
export async function walkArchive(
  chunks: AsyncIterable<Uint8Array>,
  at: string,
  wanted: HeadWanted,
): Promise<WalkedArchive> {
  const items = itemsOf(chunks, at, wanted);
  const close = async (): Promise<void> => {
    await items.return(undefined);
  };
  const head = new Map<string, HeadFile>();
  let total = 0;
  let first: Uint8Array | null = null;
  try {
    while (first === null) {
      const next = await items.next();
      if (next.done === true) break;
      if (next.value.kind === "bytes") first = next.value.bytes;
      else {
        const { name, file } = next.value;
        total += file.bytes.length + blockSize;
        if (total > mostHead || head.has(name))
          throw new IsletError("ISLET_UNTRUSTED", `${at} is refused: it has too much of ${name}`);
        head.set(name, file);
      }
    }
  } catch (error) {
    await close();
    throw error;
  }
  const rest = async function* (): AsyncGenerator<Uint8Array> {
    try {
      if (first !== null) yield first;
      for (;;) {
        const next = await items.next();
        if (next.done === true) return;
        if (next.value.kind === "bytes") yield next.value.bytes;
      }
    } finally {
      await close();
    }
  };
  return { head, rest: rest(), close };
}

/** What is done with the data that follows a header. */
type Data = { readonly done: ((bytes: Uint8Array) => Item | null) | null; readonly size: number };

async function* itemsOf(
  chunks: AsyncIterable<Uint8Array>,
  at: string,
  wanted: HeadWanted,
): AsyncGenerator<Item, undefined> {
  const hash = createHash("sha256");
  let carry: Uint8Array = new Uint8Array(0);
  let left = 0;
  let data: Data = { done: null, size: 0 };
  let pieces: Uint8Array[] = [];
  let isHead = true;
  let isFirst = true;
  let records: ReadonlyMap<string, string> = new Map();
  let longName: string | null = null;
  let state = "entries" as "entries" | "sum" | "over";

  const collect = (size: number, most: number, done: (bytes: Uint8Array) => Item | null): void => {
    if (size > most) throw damaged(at, "an entry that must be small is not");
    data = { done, size };
    left = padded(size);
    pieces = [];
  };
  const finish = (): Item | null => {
    const { done, size } = data;
    data = { done: null, size: 0 };
    return done === null ? null : done(Buffer.concat(pieces).subarray(0, size));
  };

  /** Of one entry: true, if it is the last. */
  const enter = (block: Uint8Array): boolean => {
    const header = readHeader(block, at);
    if (header === null) throw damaged(at, `it is cut off: there is no ${wanted.sum}`);
    const { type, size } = header;
    if (isFirst && (type !== "0" || header.name !== wanted.first)) throw wanted.other(at);
    isFirst = false;
    if (type === "x" || type === "g") {
      isHead = false;
      collect(size, mostExtension, (bytes) => {
        if (type === "x") records = readRecords(bytes, at);
        return null;
      });
      return false;
    }
    if (type === "L" || type === "K") {
      isHead = false;
      collect(size, mostExtension, (bytes) => {
        if (type === "L") longName = Buffer.from(bytes).toString("latin1");
        return null;
      });
      return false;
    }
    const own = records;
    const name = own.get("GNU.sparse.name") ?? own.get("path") ?? longName ?? header.name;
    records = new Map();
    longName = null;
    if (type === "0" && header.name === wanted.sum && own.size === 0) {
      collect(size, mostSum, (bytes) => {
        checkSum(hash.digest("hex"), bytes, at);
        return null;
      });
      return true;
    }
    if (isHead && type === "0" && wanted.isHead(name)) {
      collect(size, mostHeadFile, (bytes) => ({ kind: "file", name, file: { bytes, mode: header.mode } }));
      return false;
    }
    isHead = false;
    if (type === "S") throw damaged(at, "it has a file with holes as islet writes none");
    const isData = type === "0" && !name.endsWith("/");
    const recorded = own.get("size");
    const real = isData ? (recorded === undefined ? size : recordNumber(recorded, "size", at)) : 0;
    if (real < 0) throw damaged(at, "a size is negative");
    data = { done: null, size: real };
    left = padded(real);
    return false;
  };

  for await (const chunk of chunks) {
    const bytes: Uint8Array = carry.length === 0 ? chunk : Buffer.concat([carry, chunk]);
    carry = new Uint8Array(0);
    let next = 0;
    /** Bytes from here on are not handed on yet. */
    let from = 0;
    while (state !== "over" && next < bytes.length) {
      if (left > 0) {
        const piece = bytes.subarray(next, next + left);
        if (data.done !== null) pieces.push(piece.slice());
        next += piece.length;
        left -= piece.length;
        if (left > 0) break;
      } else {
        if (bytes.length - next < blockSize) break;
        const wasHead = isHead;
        const isLast = enter(bytes.subarray(next, next + blockSize));
        if (isLast) {
          // Everything before it counts.
          hash.update(bytes.subarray(from, next));
          if (!wasHead && next > from) yield { kind: "bytes", bytes: bytes.subarray(from, next) };
          from = next;
          state = "sum";
        } else if (wasHead && !isHead) {
          hash.update(bytes.subarray(from, next));
          from = next;
        }
        next += blockSize;
      }
      if (left === 0 && data.done !== null) {
        const item = finish();
        if (item !== null) yield item;
        // oxlint-disable-next-line typescript/no-unnecessary-condition -- set above
        if (state === "sum") state = "over";
      }
    }
    if (state === "over") {
      if (bytes.subarray(next).some((byte) => byte !== 0)) throw damaged(at, `something follows ${wanted.sum}`);
      continue;
    }
    if (state === "entries") {
      hash.update(bytes.subarray(from, next));
      if (!isHead && next > from) yield { kind: "bytes", bytes: bytes.subarray(from, next) };
    }
    carry = bytes.slice(next);
  }
  if (state !== "over") throw damaged(at, `it is cut off: there is no ${wanted.sum}`);
  yield { kind: "bytes", bytes: new Uint8Array(2 * blockSize) };
  return undefined;
}

function checkSum(real: string, content: Uint8Array, at: string): void {
  const said = Buffer.from(content).toString("latin1").trim();
  if (!/^[0-9a-f]{64}$/.test(said)) throw damaged(at, "its checksum cannot be read");
  if (said !== real)
    throw new IsletError("ISLET_UNTRUSTED", `${at} is refused: it is not what was exported (SHA-256 differs)`, {
      hint: "copy the file anew, or export the container again",
    });
}
