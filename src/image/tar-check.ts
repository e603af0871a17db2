import { IsletError } from "../base/errors.js";
import { printable } from "../base/printable.js";
import type { ArchiveEntry } from "./unpack.js";
import {
  blockSize,
  damaged,
  isWantedRecord,
  padded,
  readHeader,
  readRecords,
  type RawHeader,
  recordNumber,
  writeHeader,
} from "./tar-header.js";
import { changedRecords, type IdChange } from "./tar-ids.js";
import { canonicalName, canonicalTarget, type PathGuard, refused } from "./tar-paths.js";

/** Who looks at the entries of an archive. */
export interface TarChecks {
  /** What the archive is called in messages. */
  readonly archive: string;
  readonly guard: PathGuard;
  /** Only what is below this directory; "": all. */
  readonly below: string;
  readonly devices: "keep" | "skip";
  /** null: left out. Throws to refuse the archive. */
  readonly entry: (entry: ArchiveEntry) => boolean;
  /** A directory of an earlier layer is where the entry, no directory, shall be. */
  readonly makeWay: (path: string) => Promise<void>;
  /** Of files beside `below`. null: nobody wants them. */
  readonly file: ((name: string, text: string) => void) | null;
  /** null: as it is, "./" in front of all names. */
  readonly output: TarOutput | null;
}

/** What is made of the entries. */
export interface TarOutput {
  /** In front of names: "rootfs/". */
  readonly prefix: string;
  readonly ids: IdChange | null;
  /** More follows: the end is not marked. */
  readonly isPart: boolean;
}

const types: Readonly<Record<string, ArchiveEntry["type"]>> = {
  "0": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "directory",
  "6": "fifo",
  S: "file",
};
const letters = { file: "0", hardlink: "1", symlink: "2", char: "3", block: "4", directory: "5", fifo: "6" } as const;

/** Largest extended header, name, or file of metadata. */
const mostText = 1 << 20;

/** Of the entry to come. */
interface Extensions {
  records: ReadonlyMap<string, string>;
  name: string | null;
  linkname: string | null;
}

/** What is done with the bytes that follow a header. */
type Sink =
  | { readonly kind: "pass" }
  | { readonly kind: "drop" }
  | { readonly kind: "keep"; readonly pieces: Uint8Array[]; readonly done: (bytes: Uint8Array) => void }
  /** Further blocks of an old GNU map of holes, which go before the data. */
  | { readonly kind: "map"; readonly size: number; readonly isDropped: boolean };

const outSize = 256 << 10;

/**
 * A tar archive, each header of it looked at and written anew before a byte of its entry goes on; ends at the archive's end. Throws ISLET_UNTRUSTED
 * and ISLET_IO (the archive is cut off, or damaged).
 */
export async function* checkedTar(chunks: AsyncIterable<Uint8Array>, checks: TarChecks): AsyncGenerator<Uint8Array> {
  const at = checks.archive;
  const prefix = checks.output?.prefix ?? "./";
  let out = new Uint8Array(outSize);
  let used = 0;
  const head = new Uint8Array(blockSize);
  let headUsed = 0;
  /** Bytes of the present entry's data with padding, and without. */
  let left = 0;
  let wanted = 0;
  // Not narrowed to what it begins with: it is set by the functions below.
  let sink = { kind: "drop" } as Sink;
  let coming: Extensions = { records: new Map(), name: null, linkname: null };
  let isOver = false;

  const put = function* (bytes: Uint8Array): Generator<Uint8Array> {
    if (used + bytes.length > outSize) {
      if (used > 0) yield out.subarray(0, used);
      // What was given away is not ours to write to any more.
      out = new Uint8Array(outSize);
      used = 0;
      if (bytes.length >= outSize / 4) {
        yield bytes;
        return;
      }
    }
    out.set(bytes, used);
    used += bytes.length;
  };
  const follow = (size: number, to: Sink): void => {
    wanted = size;
    left = padded(size);
    sink = to;
    if (left === 0 && to.kind === "keep") to.done(new Uint8Array(0));
  };
  const keep = (size: number, done: (text: string) => void, bytes?: (bytes: Uint8Array) => void): void => {
    if (size > mostText) throw damaged(at, "an extended header is larger than 1 MiB");
    const finish = bytes ?? ((all: Uint8Array): void => done(textOf(all)));
    follow(size, { kind: "keep", pieces: [], done: finish });
  };

  /** Everything a header leads to; gives what goes on in its place. */
  const take = async (header: RawHeader): Promise<Uint8Array | null> => {
    switch (header.type) {
      case "x":
        keep(
          header.size,
          () => undefined,
          (bytes) => {
            coming = { ...coming, records: readRecords(bytes, at) };
          },
        );
        return null;
      case "g":
        keep(
          header.size,
          () => undefined,
          (bytes) => {
            const records = readRecords(bytes, at);
            if (["path", "linkpath", "size"].some((key) => records.has(key)))
              throw refused(at, header.name, "gives all others the same name");
          },
        );
        return null;
      case "L":
        keep(header.size, (text) => {
          coming = { ...coming, name: text };
        });
        return null;
      case "K":
        keep(header.size, (text) => {
          coming = { ...coming, linkname: text };
        });
        return null;
      case "V":
        follow(header.size, { kind: "drop" });
        return null;
      default: {
        const extensions = coming;
        coming = { records: new Map(), name: null, linkname: null };
        return await takeEntry(header, extensions);
      }
    }
  };

  const takeEntry = async (header: RawHeader, { records, ...long }: Extensions): Promise<Uint8Array | null> => {
    const sparseName = records.get("GNU.sparse.name");
    const rawName = sparseName ?? records.get("path") ?? long.name ?? header.name;
    const isDirectory = header.type === "0" && rawName.endsWith("/");
    const type = isDirectory ? "directory" : types[header.type];
    if (type === undefined) throw refused(at, rawName, `is of an unknown type (${JSON.stringify(header.type)})`);
    const isFile = type === "file";
    const recorded = records.get("size");
    if (header.type === "S" && recorded !== undefined) throw refused(at, rawName, "says its size twice");
    const size = isFile ? (recorded === undefined ? header.size : recordNumber(recorded, "size", at)) : 0;
    if (size < 0) throw damaged(at, "a size is negative");
    const map = (data: number, isDropped: boolean): void => {
      if (header.sparse?.isExtended !== true) return;
      left = wanted = blockSize;
      sink = { kind: "map", size: data, isDropped };
    };
    const drop = (): null => {
      follow(size, { kind: "drop" });
      map(size, true);
      return null;
    };

    const full = canonicalName(rawName, at);
    const name = belowOf(full, checks.below);
    if (name === null) {
      const { file } = checks;
      if (!isFile || file === null || header.sparse !== null || size > mostText) return drop();
      keep(
        size,
        () => undefined,
        (bytes) => {
          file(decode(full), Buffer.from(bytes).toString("utf8"));
        },
      );
      return null;
    }
    let target: string | null = null;
    const rawTarget = records.get("linkpath") ?? long.linkname ?? header.linkname;
    if (type === "hardlink") {
      target = belowOf(canonicalTarget(rawTarget, at), checks.below);
      if (target === null) throw refused(at, rawName, "is a hard link to something outside");
    } else if (type === "symlink") {
      if (rawTarget === "" || rawTarget.includes("\0")) throw refused(at, rawName, "is a link to nowhere");
      target = rawTarget;
    }
    if (name === "" && type !== "directory") throw refused(at, rawName, "is not a directory");
    const entry: ArchiveEntry = { name: decode(name), type, size, target: target === null ? null : decode(target) };
    if (!checks.entry(entry)) return drop();
    if (checks.devices === "skip" && (type === "char" || type === "block")) return drop();
    const kind = type === "directory" || type === "symlink" ? type : "other";
    if (checks.guard.admit(name, kind, type === "hardlink" ? target : null) !== "free") await checks.makeWay(name);

    const ids = checks.output?.ids ?? null;
    const changedId = (key: "uid" | "gid", value: number): number => {
      const now = ids === null ? value : ids(key, value);
      if (now === null) throw unmapped(at, rawName, key, value);
      return now;
    };
    const wantedRecords = new Map([...records].filter(([key]) => isWantedRecord(key)));
    const kept =
      ids === null
        ? wantedRecords
        : changedRecords(wantedRecords, ids, (key, value) => unmapped(at, rawName, key, value));
    if (sparseName !== undefined) kept.set("GNU.sparse.name", prefix === "./" ? name : `${prefix}${name}`);
    const mtime = records.get("mtime");
    if (mtime !== undefined && /^-?\d{1,12}(\.\d{1,12})?$/.test(mtime)) kept.set("mtime", mtime);
    const id = (key: "uid" | "gid"): number => {
      const text = records.get(key);
      const value = text === undefined ? header[key] : recordNumber(text, key, at);
      if (value < 0 || value > 0xfffffffe) throw damaged(at, `an entry's ${key} is impossible`);
      return changedId(key, value);
    };
    follow(size, { kind: "pass" });
    map(size, false);
    return writeHeader({
      type: header.sparse === null ? letters[type] : "S",
      // A name that begins with "-" or is empty stays what it is.
      name: type === "directory" ? `${prefix}${name}${name === "" ? "" : "/"}` : `${prefix}${name}`,
      linkname: type === "hardlink" ? `${prefix}${target ?? ""}` : (target ?? ""),
      mode: header.mode,
      uid: id("uid"),
      gid: id("gid"),
      size,
      mtime: header.mtime,
      major: header.major,
      minor: header.minor,
      sparse: header.sparse?.block ?? null,
      records: kept,
    });
  };

  for await (const chunk of chunks) {
    for (let next = 0; next < chunk.length && !isOver;) {
      if (left > 0) {
        const piece = chunk.subarray(next, next + left);
        next += piece.length;
        left -= piece.length;
        if (sink.kind === "pass") yield* put(piece);
        else if (sink.kind === "keep") {
          sink.pieces.push(piece.slice());
          if (left === 0) sink.done(Buffer.concat(sink.pieces).subarray(0, wanted));
        } else if (sink.kind === "map") {
          head.set(piece, headUsed);
          headUsed += piece.length;
          if (left > 0) continue;
          headUsed = 0;
          if (!sink.isDropped) yield* put(head.slice());
          if (head[504] === 1) left = blockSize;
          else follow(sink.size, { kind: sink.isDropped ? "drop" : "pass" });
        }
        continue;
      }
      const piece = chunk.subarray(next, next + blockSize - headUsed);
      next += piece.length;
      let block = piece;
      if (piece.length < blockSize) {
        head.set(piece, headUsed);
        headUsed += piece.length;
        if (headUsed < blockSize) continue;
        headUsed = 0;
        block = head;
      }
      const header = readHeader(block, at);
      if (header === null) isOver = true;
      else {
        const made = await take(header);
        if (made !== null) yield* put(made);
      }
    }
    // What comes after the end is taken, too: only then does the decompressor say that all was well.
  }
  // GNU tar writes two blocks of zeros; some others none.
  if (left > 0 || headUsed > 0) throw damaged(at, "it is cut off");
  if (checks.output?.isPart !== true) yield* put(new Uint8Array(2 * blockSize));
  yield out.subarray(0, used);
}

function unmapped(at: string, rawName: string, key: "uid" | "gid", value: number): IsletError {
  const name = printable(Buffer.from(rawName, "latin1").toString("utf8")).slice(0, 200);
  return new IsletError("ISLET_BAD_REQUEST", `${at}: ${name} has the ${key} ${value}, which is in no id map`, {
    hint: "give it an owner of the container's, or change lxc.idmap",
  });
}

function belowOf(name: string, below: string): string | null {
  if (below === "") return name;
  if (name === below) return "";
  return name.startsWith(`${below}/`) ? name.slice(below.length + 1) : null;
}

/** GNU's long names end with a NUL. */
const textOf = (bytes: Uint8Array): string => {
  const text = Buffer.from(bytes).toString("latin1");
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
};

/** A name as text; what is no UTF-8 is shown with replacement characters. */
const decode = (name: string): string => (/^[ -~]*$/.test(name) ? name : Buffer.from(name, "latin1").toString("utf8"));

/** ISLET_UNTRUSTED when more comes out of an archive than it can hold in earnest. */
export async function* countedBytes(
  chunks: AsyncIterable<Uint8Array>,
  archive: string,
  most: () => number,
  hint: string = "it may be a decompression bomb",
): AsyncGenerator<Uint8Array> {
  let total = 0;
  for await (const chunk of chunks) {
    total += chunk.length;
    if (total > most())
      throw new IsletError(
        "ISLET_UNTRUSTED",
        `${archive} is refused: it unpacks to a multiple of its size that no image has`,
        { hint },
      );
    yield chunk;
  }
}
