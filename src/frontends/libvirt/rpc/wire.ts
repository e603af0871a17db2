import type { Duplex } from "node:stream";

/** What the protocol needs of the socket that it runs over; descriptors are numbers to it. */
export interface Wire {
  /** Bytes that the other side has not taken yet. */
  readonly pending: number;
  /** In order. The descriptors go behind the bytes, each with a zero byte of its own, and belong to the wire, which closes them, also after `end`. */
  send(bytes: Uint8Array, fds?: readonly number[]): void;
  /** Nothing is received until `resume`; that the other side has gone is noticed all the same. */
  pause(): void;
  resume(): void;
  /** Receives and takes no more, and closes when everything has been sent. */
  end(): void;
  /** Closes at once. Neither this nor `end` calls back but for `closed`. */
  close(): void;
  /** A stream socket as a stream, which closes it. */
  join(fd: number): Duplex;
  closeFd(fd: number): void;
}

export interface WireHandlers {
  /** The bytes are good during the call only; the descriptors, which came with the last of them, belong to whoever handles them. */
  received(bytes: Uint8Array, fds: readonly number[]): void;
  /** Nothing is pending any more. */
  drained(): void;
  /** Once, whoever closed it. */
  closed(): void;
}

/** The process that connected, as the kernel says. */
export interface Peer {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}
