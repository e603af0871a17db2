import { IsletError } from "../base/errors.js";

/**
 * Headers of tar archives, both ways. Those of an archive are read into what they mean and written anew, so that the program that unpacks it
 * sees nothing that was not looked at: no record of an extension, no second reading of a number or name that means something else to it.
 * Names, targets and values of records are texts with a character per byte (latin1): file names need not be UTF-8.
 */

export const blockSize = 512;

/** A header block, as it stands there. */
export interface RawHeader {
  readonly type: string;
  readonly name: string;
  readonly linkname: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly major: number;
  readonly minor: number;
  /** Old GNU sparse files ("S"): what comes after the name fields; null otherwise. */
  readonly sparse: { readonly block: Uint8Array; readonly isExtended: boolean } | null;
}

/** What a tar program is told. */
export interface PlainHeader extends Omit<RawHeader, "sparse"> {
  readonly sparse: Uint8Array | null;
  /** Extension records (pax(1)), without those that are fields here. */
  readonly records: ReadonlyMap<string, string>;
}

/** ISLET_IO: the archive is damaged, or is none. `at`: for the message. */
export function damaged(at: string, why: string): IsletError {
  return new IsletError("ISLET_IO", `${at} is damaged: ${why}`);
}

/** null: a block of zeros, the end of an archive. */
export function readHeader(block: Uint8Array, at: string): RawHeader | null {
  let sum = 0;
  for (let index = 0; index < blockSize; index += 1) sum += block[index] ?? 0;
  if (sum === 0) return null;
  // The checksum's own field counts as blanks; what it says is at most 6 digits.
  for (let index = 148; index < 156; index += 1) sum += 32 - (block[index] ?? 0);
  if (number(block, 148, 8, "checksum", at) !== sum) throw damaged(at, "a header has a wrong checksum");
  const magic = latin1(block.subarray(257, 263));
  const isPosix = magic === "ustar\0";
  const isGnu = magic === "ustar ";
  const type = String.fromCharCode(block[156] ?? 0);
  const prefix = isPosix ? field(block, 345, 155) : "";
  const name = field(block, 0, 100);
  const isDevice = type === "3" || type === "4";
  return {
    type: type === "\0" || type === "7" ? "0" : type,
    name: prefix === "" ? name : `${prefix}/${name}`,
    linkname: field(block, 157, 100),
    mode: number(block, 100, 8, "mode", at) & 0o7777,
    uid: number(block, 108, 8, "owner", at),
    gid: number(block, 116, 8, "group", at),
    size: number(block, 124, 12, "size", at),
    mtime: number(block, 136, 12, "time", at, true),
    major: isDevice && (isPosix || isGnu) ? number(block, 329, 8, "device number", at) : 0,
    minor: isDevice && (isPosix || isGnu) ? number(block, 337, 8, "device number", at) : 0,
    sparse: type === "S" && isGnu ? { block: block.slice(), isExtended: block[482] === 1 } : null,
  };
}

const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");

function field(block: Uint8Array, at: number, length: number): string {
  const end = block.indexOf(0, at);
  return latin1(block.subarray(at, end < 0 || end > at + length ? at + length : end));
}

/** Octal with blanks around it, or GNU's base 256: a first byte of 0x80, or 0xff for negative ones. */
function number(
  block: Uint8Array,
  at: number,
  length: number,
  what: string,
  place: string,
  isSigned: boolean = false,
): number {
  const first = block[at] ?? 0;
  if (first === 0x80 || first === 0xff) {
    let value = first === 0xff ? -1n : 0n;
    for (let index = at + 1; index < at + length; index += 1) value = (value << 8n) | BigInt(block[index] ?? 0);
    if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < (isSigned ? -(1n << 40n) : 0n))
      throw damaged(place, `a header has an impossible ${what}`);
    return Number(value);
  }
  const text = field(block, at, length).trim();
  if (text === "") return 0;
  if (!/^[0-7]{1,12}$/.test(text)) throw damaged(place, `a header has a ${what} that is no number`);
  return Number.parseInt(text, 8);
}

/** Records of a pax extended header: "LENGTH KEY=VALUE\n" each. */
export function readRecords(bytes: Uint8Array, at: string): ReadonlyMap<string, string> {
  const text = latin1(bytes);
  const records = new Map<string, string>();
  for (let next = 0; next < text.length;) {
    const match = /^(\d{1,9}) ([^=\n]+)=/.exec(text.slice(next, next + 512));
    const length = Number(match?.[1]);
    const end = next + length;
    if (match === null || end > text.length || next + match[0].length >= end || text[end - 1] !== "\n") {
      // Padding with zeros is not an error of the archive.
      if (/^\0+$/.test(text.slice(next))) break;
      throw damaged(at, "an extended header cannot be read");
    }
    const key = match[2] ?? "";
    if (records.has(key) && key.startsWith("GNU.sparse."))
      throw new IsletError("ISLET_UNSUPPORTED", `${at} has sparse files in a format of tar's that is no longer used`);
    records.set(key, text.slice(next + match[0].length, end - 1));
    next = end;
  }
  return records;
}

/** Extended attributes that may come out of an archive; not labels, nor what overlayfs takes its own directions from. */
function isWantedAttribute(name: string): boolean {
  if (name.startsWith("user.")) return !name.startsWith("user.overlay.");
  if (name.startsWith("trusted.")) return !name.startsWith("trusted.overlay.");
  return name === "security.capability" || name.startsWith("system.posix_acl_");
}

const attribute = "SCHILY.xattr.";

/** Records that are handed on as they are: attributes, ACLs and maps of holes. */
export function isWantedRecord(key: string): boolean {
  if (key.startsWith(attribute)) return isWantedAttribute(key.slice(attribute.length));
  return (
    key === "SCHILY.acl.access" ||
    key === "SCHILY.acl.default" ||
    ["major", "minor", "realsize", "size", "map", "numblocks"].some((word) => key === `GNU.sparse.${word}`)
  );
}

/** A decimal number of a record, whole. */
export function recordNumber(text: string, what: string, at: string): number {
  const value = /^-?\d{1,16}(\.\d*)?$/.test(text) ? Math.floor(Number(text)) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw damaged(at, `an extended header has a ${what} that is no number`);
  return value;
}

/** The header, with an extended one in front of it where it does not fit into the old format. */
export function writeHeader(header: PlainHeader): Uint8Array {
  const records = new Map(header.records);
  if (header.name.length > 100) records.set("path", header.name);
  if (header.linkname.length > 100) records.set("linkpath", header.linkname);
  const id = 0o7777777;
  if (header.uid > id) records.set("uid", String(header.uid));
  if (header.gid > id) records.set("gid", String(header.gid));
  if (header.size > 0o77777777777) records.set("size", String(header.size));
  if (header.mtime < 0 || header.mtime > 0o77777777777) records.set("mtime", String(header.mtime));
  const own = oneBlock(header, header.type);
  if (records.size === 0) return own;
  const text = Buffer.from([...records].map(([key, value]) => record(key, value)).join(""), "latin1");
  const extension = oneBlock(
    { ...header, name: "././@PaxHeader", linkname: "", size: text.length, sparse: null, major: 0, minor: 0 },
    "x",
  );
  const whole = new Uint8Array(blockSize + padded(text.length) + blockSize);
  whole.set(extension);
  whole.set(text, blockSize);
  whole.set(own, whole.length - blockSize);
  return whole;
}

/** Rounded up to whole blocks. */
export const padded = (size: number): number => Math.ceil(size / blockSize) * blockSize;

function record(key: string, value: string): string {
  const rest = key.length + value.length + 3;
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

function oneBlock(header: Omit<PlainHeader, "records">, type: string): Uint8Array {
  const block = Buffer.alloc(blockSize);
  const octal = (value: number, at: number, length: number): void => {
    const fits = value >= 0 && value < 8 ** (length - 1) ? value : 0;
    block.write(fits.toString(8).padStart(length - 1, "0"), at, "latin1");
  };
  if (header.sparse !== null) block.set(header.sparse);
  block.fill(0, 0, 345);
  block.write(header.name.slice(0, 100), 0, "latin1");
  octal(header.mode, 100, 8);
  octal(header.uid, 108, 8);
  octal(header.gid, 116, 8);
  octal(header.size, 124, 12);
  octal(header.mtime, 136, 12);
  block.write("        ", 148, "latin1");
  block.write(type, 156, "latin1");
  block.write(header.linkname.slice(0, 100), 157, "latin1");
  // GNU's magic goes with its sparse files, whose map is where ustar has a prefix.
  block.write(header.sparse === null ? "ustar\u000000" : "ustar  \0", 257, "latin1");
  octal(header.major, 329, 8);
  octal(header.minor, 337, 8);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}
