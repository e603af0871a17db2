import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { closeFd, receiveMessage, sendMessage, syscall } from "../../src/host/addon.js";
import { errnoName } from "../../src/sys/errno.js";
import { sockaddrUnixPath } from "../../src/sys/structs.js";
import { requireSyscall } from "../../src/sys/syscalls.js";
import { currentArch } from "./image.js";

/**
 * A process that becomes a user and then does to a socket what it is told, as nobody's client would: `node plain-peer.js`, with an Assault as
 * JSON on its standard input and an Outcome on its standard output.
 */
export interface Assault {
  readonly path: string;
  readonly uid: number;
  readonly connections: number;
  /** What each of them sends, in hexadecimal; the first byte with that many descriptors. */
  readonly bytes: string;
  readonly descriptors: number;
  /** Milliseconds that it waits for the end of each. */
  readonly patience: number;
}

export interface Outcome {
  /** Of the connections that were made. */
  readonly answers: readonly Answer[];
  /** Errors of connect(2). */
  readonly errors: readonly string[];
}

export interface Answer {
  /** In hexadecimal. */
  readonly bytes: string;
  /** Errno of the send; null: it was taken. */
  readonly refused: string | null;
  /** The other side has closed it. */
  readonly isEnded: boolean;
}

const STREAM = 0o2004001;

function open({
  path,
  bytes,
  descriptors,
}: Assault): { readonly fd: number; readonly refused: string | null } | string {
  const fd = syscall(requireSyscall(currentArch, "socket"), [1, STREAM, 0]);
  const address = sockaddrUnixPath(path);
  const connected = syscall(requireSyscall(currentArch, "connect"), [fd, address, address.length]);
  if (connected < 0) {
    closeFd(fd);
    return errnoName(connected);
  }
  const given = Array.from({ length: descriptors }, () => 0);
  const sent = bytes === "" ? 0 : sendMessage(fd, Buffer.from(bytes, "hex"), given);
  return { fd, refused: sent < 0 ? errnoName(sent) : null };
}

/** What has come; null: that was all. */
function take(fd: number): Uint8Array | null {
  const buffer = new Uint8Array(65536);
  const got = receiveMessage(fd, buffer, 0);
  if (got.bytes > 0) return buffer.slice(0, got.bytes);
  return got.bytes < 0 && errnoName(got.bytes) === "EAGAIN" ? new Uint8Array(0) : null;
}

async function answerOf(
  { fd, refused }: { readonly fd: number; readonly refused: string | null },
  until: number,
): Promise<Answer> {
  const parts: Uint8Array[] = [];
  for (;;) {
    const part = take(fd);
    if (part !== null) parts.push(part);
    if (part !== null && Date.now() < until) {
      if (part.length === 0) await sleep(5);
      continue;
    }
    return { bytes: Buffer.concat(parts).toString("hex"), refused, isEnded: part === null };
  }
}

async function assault(): Promise<Outcome> {
  const wanted = JSON.parse(readFileSync(0, "utf8")) as Assault;
  process.setgroups?.([]);
  process.setgid?.(wanted.uid);
  process.setuid?.(wanted.uid);
  const errors: string[] = [];
  const opened = Array.from({ length: wanted.connections }, () => open(wanted)).flatMap((each) => {
    if (typeof each !== "string") return [each];
    errors.push(each);
    return [];
  });
  const until = Date.now() + wanted.patience;
  return { answers: await Promise.all(opened.map((each) => answerOf(each, until))), errors };
}

process.stdout.write(JSON.stringify(await assault()));
