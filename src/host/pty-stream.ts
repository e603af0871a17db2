import type { Duplex } from "node:stream";
import { syscall } from "./addon.js";
import { type Received, descriptorStream, isLater } from "./descriptor-stream.js";
import { setNonBlocking } from "./fd.js";
import type { Arch } from "../sys/arch.js";
import { errnoName } from "../sys/errno.js";
import { requireSyscall } from "../sys/syscalls.js";

const portion = 65536;
/** Nothing of it outlives the call. */
const into = new Uint8Array(portion);

/**
 * A pty's master as a stream, which closes it. The end of its last user (EIO) is the end of the stream. Node's own (tty.ReadStream) takes a hang-up for
 * the end when a read has brought less than it had room for, and loses what the kernel passes on a moment later.
 */
export function ptyStream(arch: Arch, master: number): Duplex {
  setNonBlocking(arch, master);
  const receive = (): Received => {
    const got = syscall(requireSyscall(arch, "read"), [master, into, into.length]);
    if (got > 0) return into.subarray(0, got);
    if (got === 0 || errnoName(got) === "EIO") return "end";
    return isLater(got) ? "later" : { lost: new Error(`cannot read from a terminal: ${errnoName(got)}`) };
  };
  return descriptorStream(
    master,
    {
      receive,
      send: (bytes) => syscall(requireSyscall(arch, "write"), [master, bytes, bytes.length]),
      failure: "cannot write to a terminal",
      turn: (read) => {
        read();
      },
    },
    // At the end nobody reads any more what would be written.
    { allowHalfOpen: false, readableHighWaterMark: portion, writableHighWaterMark: portion },
  );
}
