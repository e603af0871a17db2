import { closeSync, constants, fstatSync, ftruncateSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";
import { isErrno } from "../base/io-error.js";
import { escaped } from "../base/printable.js";
import { nameProblem } from "../spec/name.js";

/** Logs that are kept: DIRECTORY/NAME.log for each of many names, root's alone, none of them larger than a limit. */
export interface KeptLogs {
  /** Whole or not at all. Never fails: what cannot be written is lost, with one line of complaint until it can be again. */
  append(name: string, lines: readonly string[]): void;
}

export interface LogLimits {
  /** Bytes of a log. */
  readonly size: number;
  /** Older ones beside it, NAME.log.0 the latest. */
  readonly backups: number;
}

/** As virtlogd has them. */
export const usualLimits: LogLimits = { size: 2 * 1024 * 1024, backups: 3 };

/** `complain`: takes a line. */
export function createKeptLogs(
  directory: string,
  complain: (line: string) => void,
  limits: LogLimits = usualLimits,
): KeptLogs {
  let complaint: string | null = null;
  return {
    append(name, lines) {
      try {
        const problem = nameProblem(name);
        if (problem !== null) throw new Error(problem);
        const place = openPlace(directory);
        try {
          appendTo(place, `${name}.log`, bytesOf(lines, limits.size), limits);
        } finally {
          closeSync(place);
        }
        complaint = null;
      } catch (error) {
        const why = reasonOf(error);
        if (why !== complaint) complain(escaped(`the log of "${name}" in ${directory} cannot be written: ${why}`));
        complaint = why;
      }
    },
  };
}

/** Without the call and its path, which is a descriptor's. */
const reasonOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split(", ")[0] ?? "";

const { O_APPEND, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

/** The directory, which is made if need be: a link in its place is none, and nobody but its owner can have put anything there. */
function openPlace(directory: string): number {
  const open = (): number => openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  let place: number;
  try {
    place = open();
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    place = open();
  }
  const { uid, mode } = fstatSync(place);
  if (uid === process.geteuid?.() && (mode & 0o022) === 0) return place;
  closeSync(place);
  throw new Error("others may write to that directory");
}

function appendTo(place: number, file: string, bytes: Buffer, limits: LogLimits): void {
  let log = openLog(place, file);
  try {
    const { size } = fstatSync(log);
    if (size > 0 && size + bytes.length > limits.size) {
      closeSync(log);
      log = -1;
      rotate(place, file, limits.backups);
      log = openLog(place, file);
    }
    writeWhole(log, bytes);
  } finally {
    if (log !== -1) closeSync(log);
  }
}

/** By the open directory: whatever becomes of its name meanwhile. */
const within = (place: number, file: string): string => `/proc/self/fd/${place}/${file}`;

/** A plain file of one name, which is waited for by nobody: no link, no pipe, no device. */
function openLog(place: number, file: string): number {
  const log = openSync(within(place, file), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  const look = fstatSync(log);
  if (look.isFile() && look.nlink === 1 && look.uid === process.geteuid?.()) return log;
  closeSync(log);
  throw new Error(`${file} is no plain file of root's`);
}

/** What is cut off by a full disk would be taken for what was said. */
function writeWhole(log: number, bytes: Buffer): void {
  const before = fstatSync(log).size;
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(log, bytes, at);
  } catch (error) {
    ftruncateSync(log, before);
    throw error;
  }
}

function rotate(place: number, file: string, backups: number): void {
  for (let index = backups - 1; index >= 0; index -= 1) {
    const from = index === 0 ? file : `${file}.${index - 1}`;
    try {
      renameSync(within(place, from), within(place, `${file}.${index}`));
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }
}

/** Bytes of one line: an environment may be as long as a message. */
const longestLine = 64 * 1024;

function bytesOf(lines: readonly string[], most: number): Buffer {
  const cut = (line: string): string => (line.length > longestLine ? `${line.slice(0, longestLine)}...` : line);
  const bytes = Buffer.from(lines.map((line) => `${cut(line)}\n`).join(""));
  return bytes.length > most ? Buffer.concat([bytes.subarray(0, most - 1), Buffer.from("\n")]) : bytes;
}
