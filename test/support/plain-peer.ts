import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { closeFd, receiveMessage, sendMessage, syscall } from "../../src/host/addon.js";
import { errnoName } from "../../src/sys/errno.js";
import { sockaddrUnixPath } from "../../src/sys/structs.js";
import { requireSyscall } from "../../src/sys/syscalls.js";
import { sys, u32 } from "./frames.js";
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
  /** They are connections of TCP that whoever closes them last has to wait for (SO_LINGER, socket(7)), not its standard input. */
  readonly areLingering: boolean;
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

/** One that has more to send than the other side takes. */
function lingering(): number {
  const inet = Buffer.from([2, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  const listener = sys("socket", 2, 0o2000001, 0);
  sys("bind", listener, inet, inet.length);
  sys("listen", listener, 1);
  sys("getsockname", listener, inet, u32(inet.length));
  const fd = sys("socket", 2, 0o2000001, 0);
  sys("connect", fd, inet, inet.length);
  sys("accept4", listener, 0, 0, 0);
  const much = Buffer.alloc(1 << 20);
  const dontWait = 0x40;
  while (syscall(requireSyscall(currentArch, "sendto"), [fd, much, much.length, dontWait, 0, 0]) > 0);
  const [SOL_SOCKET, SO_LINGER] = [1, 13];
  sys("setsockopt", fd, SOL_SOCKET, SO_LINGER, u32(1, 3), 8);
  return fd;
}

function open({
  path,
  bytes,
  descriptors,
  areLingering,
}: Assault): { readonly fd: number; readonly refused: string | null } | string {
  const fd = syscall(requireSyscall(currentArch, "socket"), [1, STREAM, 0]);
  const address = sockaddrUnixPath(path);
  const connected = syscall(requireSyscall(currentArch, "connect"), [fd, address, address.length]);
  if (connected < 0) {
    closeFd(fd);
    return errnoName(connected);
  }
  const given = Array.from({ length: descriptors }, () => (areLingering ? lingering() : 0));
  const sent = bytes === "" ? 0 : sendMessage(fd, Buffer.from(bytes, "hex"), given);
  // Those that were not taken would keep ourselves waiting; so may one whose connection has just ended.
  if (areLingering && sent >= 0) for (const each of given) closeFd(each);
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
  if (process.getuid?.() !== wanted.uid) {
    process.setgroups?.([]);
    process.setgid?.(wanted.uid);
    process.setuid?.(wanted.uid);
  }
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
