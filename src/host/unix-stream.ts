import { Duplex } from "node:stream";
import type { Arch } from "../sys/arch.js";
import { errnoName } from "../sys/errno.js";
import { requireSyscall } from "../sys/syscalls.js";
import { closeFd, receiveMessage, sendMessage, syscall, type Watch, watch, watchIn, watchOut } from "./addon.js";

/**
 * How much of the event loop one client may have: what it sends is worked on for so many milliseconds in each turn of the loop, the rest waits
 * for the next one, so that nobody else waits longer than that for it.
 */
export interface Share {
  /** Is there anything left of it in this turn? */
  has(): boolean;
  /** Does some work for the client. */
  use(work: () => void): void;
}

export function createShare(milliseconds: number): Share {
  let used = 0;
  let isCounting = false;
  return {
    has: () => used < milliseconds,
    use(work): void {
      const began = performance.now();
      try {
        work();
      } finally {
        used += performance.now() - began;
        if (!isCounting) {
          isCounting = true;
          setImmediate(() => {
            used = 0;
            isCounting = false;
          });
        }
      }
    },
  };
}

/** Bytes read at a time: what they ask for is all done before anybody else has a turn. */
const portion = 2048;
const into = new Uint8Array(portion);
const shutWrite = 1;

/** A connected unix stream socket as a stream, which closes it. Descriptors that the other side sends are closed. */
export function unixStream(arch: Arch, fd: number, share: Share): Duplex {
  let watching: Watch | null = null;
  let wantsIn = false;
  /** What has not been written yet, and whom to tell. */
  let rest: { bytes: Uint8Array; readonly done: (error?: Error | null) => void } | null = null;

  const follow = (): void => {
    const events = wantsIn ? (rest === null ? "in" : "inout") : rest === null ? null : "out";
    if (events === null) {
      watching?.close();
      watching = null;
    } else if (watching === null) watching = watch(fd, events, ready);
    else watching.update(events);
  };

  const ready = (events: number): void => {
    if (rest !== null && (events & ~watchIn) !== 0) {
      const { bytes, done } = rest;
      rest = null;
      write(bytes, done);
    }
    if (stream.destroyed) return;
    if (wantsIn && (events & ~watchOut) !== 0 && share.has()) share.use(read);
  };

  const read = (): void => {
    const { bytes } = receiveMessage(fd, into, 0);
    if (bytes < 0) {
      if (errnoName(bytes) !== "EAGAIN") stream.destroy();
      return;
    }
    if (bytes === 0) {
      wantsIn = false;
      follow();
      stream.push(null);
      return;
    }
    if (!stream.push(Buffer.from(into.subarray(0, bytes)))) {
      wantsIn = false;
      if (!stream.destroyed) follow();
    }
  };

  const write = (bytes: Uint8Array, done: (error?: Error | null) => void): void => {
    const sent = sendMessage(fd, bytes, []);
    if (sent === bytes.length) {
      follow();
      done();
    } else if (sent >= 0 || errnoName(sent) === "EAGAIN") {
      rest = { bytes: bytes.subarray(Math.max(sent, 0)), done };
      follow();
    } else {
      follow();
      done(new Error(`the other side has gone: ${errnoName(sent)}`));
    }
  };

  const stream = new Duplex({
    readableHighWaterMark: portion,
    writableHighWaterMark: 65536,
    read(): void {
      if (wantsIn) return;
      wantsIn = true;
      follow();
    },
    write(chunk: Uint8Array, _encoding, done): void {
      write(chunk, done);
    },
    final(done): void {
      syscall(requireSyscall(arch, "shutdown"), [fd, shutWrite]);
      done();
    },
    destroy(error, done): void {
      watching?.close();
      watching = null;
      wantsIn = false;
      rest = null;
      closeFd(fd);
      done(error);
    },
  });
  return stream;
}
