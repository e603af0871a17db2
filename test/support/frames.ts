import { patience } from "./patience.js";
import { closeFd, receiveMessage, sendMessage, syscall, watch, type Watch } from "../../src/host/addon.js";
import { currentArch } from "./image.js";
import { requireSyscall, type SyscallName } from "../../src/sys/syscalls.js";

/** Frames of docs/protocol/control.md over sockets with descriptors, for tests that play the daemon. */

const AF_UNIX = 1;
const STREAM = 0o2004001; // SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK

export interface Frame {
  readonly type: number;
  readonly payload: Buffer;
  readonly fds: readonly number[];
}

export interface Wire {
  readonly fd: number;
  send(type: number, payload?: Uint8Array, fds?: readonly number[]): void;
  /** Bytes as they are, frames or not. */
  sendRaw(bytes: Uint8Array): void;
  /** The next frame, or null at the end of the stream; rejects after `timeout` milliseconds. */
  next(timeout?: number): Promise<Frame | null>;
  close(): void;
}

/** A system call that must succeed. */
export function sys(name: SyscallName, ...args: readonly (number | bigint | Uint8Array)[]): number {
  const result = syscall(requireSyscall(currentArch, name), args);
  if (result < 0) throw new Error(`${name}: errno ${-result}`);
  return result;
}

function address(path: string): Buffer {
  const bytes = Buffer.alloc(110);
  bytes.writeUInt16LE(AF_UNIX);
  bytes.write(path, 2);
  return bytes;
}

export function socketPair(): readonly [number, number] {
  const both = Buffer.alloc(8);
  sys("socketpair", AF_UNIX, STREAM, 0, both);
  return [both.readInt32LE(0), both.readInt32LE(4)];
}

export function connectUnix(path: string): Wire {
  const fd = sys("socket", AF_UNIX, STREAM, 0);
  sys("connect", fd, address(path), 110);
  return wire(fd);
}

/** Calls back with every connection. Close with the function that it returns. */
export function listenUnix(path: string, accepted: (peer: Wire) => void): () => void {
  const fd = sys("socket", AF_UNIX, STREAM, 0);
  sys("bind", fd, address(path), 110);
  sys("listen", fd, 128);
  const waiting = watch(fd, "in", () => {
    accepted(wire(sys("accept4", fd, 0, 0, 0o2004000)));
  });
  return () => {
    waiting.close();
    closeFd(fd);
  };
}

export function u32(...words: readonly number[]): Buffer {
  const bytes = Buffer.alloc(words.length * 4);
  words.forEach((word, index) => bytes.writeUInt32LE(word >>> 0, index * 4));
  return bytes;
}

export function string(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([u32(bytes.length), bytes]);
}

export function encodeFrame(type: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(payload.length);
  head.writeUInt16LE(type, 4);
  return Buffer.concat([head, payload]);
}

/** Speaks frames on a non-blocking socket, which it owns. */
export function wire(fd: number): Wire {
  const frames: Frame[] = [];
  let ended = false;
  let open = true;
  let wake: (() => void) | null = null;
  let head: Buffer | null = null;
  let part = Buffer.alloc(8);
  let have = 0;
  let fds: number[] = [];
  let unsent: { bytes: Uint8Array; fds: readonly number[] }[] = [];

  function finish(): void {
    ended = true;
    waiting.close();
  }

  function take(): boolean {
    const room = part.subarray(have);
    const got = room.length === 0 ? { bytes: 0, fds: [], truncated: false } : receiveMessage(fd, room, 16);
    if (got.bytes === -11) return false;
    fds.push(...got.fds);
    if (got.bytes < 0 || (got.bytes === 0 && room.length > 0)) {
      finish();
      return false;
    }
    have += got.bytes;
    if (have < part.length) return true;
    if (head === null) {
      head = part;
      part = Buffer.alloc(head.readUInt32LE(0));
    } else {
      frames.push({ type: head.readUInt16LE(4), payload: part, fds });
      head = null;
      part = Buffer.alloc(8);
      fds = [];
    }
    have = 0;
    return true;
  }

  function flush(): void {
    for (;;) {
      const first = unsent[0];
      if (first === undefined) break;
      const sent = sendMessage(fd, first.bytes, first.fds);
      if (sent === -11) {
        waiting.update("inout");
        return;
      }
      if (sent < 0) {
        unsent = [];
        return;
      }
      unsent[0] = { bytes: first.bytes.subarray(sent), fds: [] };
      if (sent === first.bytes.length) unsent.shift();
    }
    waiting.update("in");
  }

  const waiting: Watch = watch(fd, "in", () => {
    if (unsent.length > 0) flush();
    while (!ended && take());
    wake?.();
  });

  return {
    fd,
    send(type, payload = new Uint8Array(), given = []) {
      if (ended) return;
      unsent.push({ bytes: encodeFrame(type, payload), fds: given });
      flush();
    },
    sendRaw(bytes) {
      if (ended) return;
      unsent.push({ bytes, fds: [] });
      flush();
    },
    async next(timeout = 5000) {
      const deadline = Date.now() + timeout * patience;
      while (frames.length === 0 && !ended) {
        const left = deadline - Date.now();
        if (left <= 0) throw new Error(`no frame within ${timeout} ms`);
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, left);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        wake = null;
      }
      return frames.shift() ?? null;
    },
    close() {
      if (!open) return;
      open = false;
      ended = true;
      waiting.close();
      closeFd(fd);
    },
  };
}
