import { Duplex, type DuplexOptions } from "node:stream";
import { errnoName } from "../sys/errno.js";
import { type Watch, closeFd, watch, watchIn, watchOut } from "./addon.js";

/** What a read gave; `lost`: it is over with the stream, which ends with that error, if any. */
export type Received = Uint8Array | "later" | "end" | { readonly lost: Error | null };

export interface DescriptorIo {
  /** One read; bytes are copied before the next. */
  readonly receive: () => Received;
  /** One write: how many bytes went, or -errno. */
  readonly send: (bytes: Uint8Array) => number;
  /** What a write that failed is called. */
  readonly failure: string;
  /** Reads now, or leaves it to another turn of the event loop. */
  readonly turn: (read: () => void) => void;
}

/** Try again, when the descriptor is ready or at once. */
export const isLater = (errno: number): boolean => ["EAGAIN", "EINTR"].includes(errnoName(errno));

/** A descriptor that does not block as a stream, which closes it. It is watched only for what somebody waits for. */
export function descriptorStream(
  fd: number,
  io: DescriptorIo,
  options: Pick<DuplexOptions, "allowHalfOpen" | "readableHighWaterMark" | "writableHighWaterMark" | "final">,
): Duplex {
  let watching: Watch | null = null;
  let wantsIn = false;
  /** What has not been written yet, and whom to tell. */
  let rest: { readonly bytes: Uint8Array; readonly done: (error?: Error | null) => void } | null = null;

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
    if (!stream.destroyed && wantsIn && (events & ~watchOut) !== 0) io.turn(read);
  };

  const read = (): void => {
    const got = io.receive();
    if (got === "later") return;
    const isMore = got instanceof Uint8Array && stream.push(Buffer.from(got));
    if (isMore || stream.destroyed) return;
    wantsIn = false;
    follow();
    if (got === "end") stream.push(null);
    else if (!(got instanceof Uint8Array)) stream.destroy(got.lost ?? undefined);
  };

  const write = (bytes: Uint8Array, done: (error?: Error | null) => void): void => {
    const sent = io.send(bytes);
    const isRest = sent !== bytes.length && (sent >= 0 || isLater(sent));
    if (isRest) rest = { bytes: bytes.subarray(Math.max(sent, 0)), done };
    follow();
    if (!isRest) done(sent === bytes.length ? null : new Error(`${io.failure}: ${errnoName(sent)}`));
  };

  const stream = new Duplex({
    ...options,
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
      closeFd(fd);
      done(error);
    },
  });
  return stream;
}
