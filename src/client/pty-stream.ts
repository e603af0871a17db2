import { Duplex } from "node:stream";
import { type Watch, closeFd, syscall, watch, watchIn, watchOut } from "../host/addon.js";
import type { Arch } from "../sys/arch.js";
import { errnoName } from "../sys/errno.js";
import { F_GETFL, F_SETFL, O_NONBLOCK } from "../sys/flags.js";
import { requireSyscall } from "../sys/syscalls.js";

const portion = 65536;
/** Nothing of it outlives the call. */
const into = new Uint8Array(portion);

/**
 * A pty's master as a stream, which closes it. The end of its last user (EIO) is the end of the stream. Node's own (tty.ReadStream) takes a hang-up for
 * the end when a read has brought less than it had room for, and loses what the kernel passes on a moment later.
 */
export function ptyStream(arch: Arch, master: number): Duplex {
  const fcntl = requireSyscall(arch, "fcntl");
  syscall(fcntl, [master, F_SETFL, syscall(fcntl, [master, F_GETFL, 0]) | O_NONBLOCK]);
  let watching: Watch | null = null;
  let wantsIn = false;
  /** What has not been written yet, and whom to tell. */
  let rest: { readonly bytes: Uint8Array; readonly done: (error?: Error | null) => void } | null = null;

  const follow = (): void => {
    const events = wantsIn ? (rest === null ? "in" : "inout") : rest === null ? null : "out";
    if (events === null) {
      watching?.close();
      watching = null;
    } else if (watching === null) watching = watch(master, events, ready);
    else watching.update(events);
  };

  const ready = (events: number): void => {
    if (rest !== null && (events & ~watchIn) !== 0) {
      const { bytes, done } = rest;
      rest = null;
      write(bytes, done);
    }
    if (!stream.destroyed && wantsIn && (events & ~watchOut) !== 0) read();
  };

  const read = (): void => {
    const got = syscall(requireSyscall(arch, "read"), [master, into, into.length]);
    if (got < 0 && ["EAGAIN", "EINTR"].includes(errnoName(got))) return;
    const isMore = got > 0 && stream.push(Buffer.from(into.subarray(0, got)));
    if (isMore || stream.destroyed) return;
    wantsIn = false;
    follow();
    if (got > 0) return;
    if (got === 0 || errnoName(got) === "EIO") stream.push(null);
    else stream.destroy(new Error(`cannot read from a terminal: ${errnoName(got)}`));
  };

  const write = (bytes: Uint8Array, done: (error?: Error | null) => void): void => {
    const sent = syscall(requireSyscall(arch, "write"), [master, bytes, bytes.length]);
    const isFull = sent < 0 && ["EAGAIN", "EINTR"].includes(errnoName(sent));
    if (sent >= 0 || isFull) rest = sent === bytes.length ? null : { bytes: bytes.subarray(Math.max(sent, 0)), done };
    follow();
    if (sent === bytes.length) done();
    else if (sent < 0 && !isFull) done(new Error(`cannot write to a terminal: ${errnoName(sent)}`));
  };

  const stream = new Duplex({
    // Nobody reads any more what would be written.
    allowHalfOpen: false,
    readableHighWaterMark: portion,
    writableHighWaterMark: portion,
    read(): void {
      if (wantsIn) return;
      wantsIn = true;
      follow();
    },
    write(chunk: Uint8Array, _encoding, done): void {
      write(chunk, done);
    },
    destroy(error, done): void {
      watching?.close();
      watching = null;
      wantsIn = false;
      rest = null;
      closeFd(master);
      done(error);
    },
  });
  return stream;
}
