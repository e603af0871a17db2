import type { Duplex } from "node:stream";
import type { Arch } from "../sys/arch.js";
import { requireSyscall } from "../sys/syscalls.js";
import { receiveMessage, sendMessage, syscall } from "./addon.js";
import { type Received, descriptorStream, isLater } from "./descriptor-stream.js";

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
  const receive = (): Received => {
    const { bytes } = receiveMessage(fd, into, 0);
    if (bytes > 0) return into.subarray(0, bytes);
    if (bytes === 0) return "end";
    return isLater(bytes) ? "later" : { lost: null };
  };
  return descriptorStream(
    fd,
    {
      receive,
      send: (bytes) => sendMessage(fd, bytes, []),
      failure: "the other side has gone",
      turn: (read) => {
        if (share.has()) share.use(read);
      },
    },
    {
      readableHighWaterMark: portion,
      writableHighWaterMark: 65536,
      final(done): void {
        syscall(requireSyscall(arch, "shutdown"), [fd, shutWrite]);
        done();
      },
    },
  );
}
