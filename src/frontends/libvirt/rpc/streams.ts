import type { Duplex } from "node:stream";
import { statuses } from "./frame.js";

/** A stream that a call has opened (virStream): frames on one side, a console's socket on the other. */
export interface Stream {
  /** A frame of the client's. */
  received(status: number, payload: Uint8Array): void;
  /** More of what the client sends is held for a reader that does not read than should be: no further frames, please. */
  readonly isStuck: boolean;
  /** The client takes bytes again. */
  resume(): void;
  close(): void;
}

export interface StreamEnd {
  readonly send: (status: number, payload: Uint8Array) => void;
  /** Too much waits for the client: the source pauses. */
  readonly isFull: () => boolean;
  /** `isStuck` is over. */
  readonly unstuck: () => void;
  /** Nothing more is sent or received. */
  readonly done: () => void;
}

/** Bytes of the source in one frame (VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX less a margin, virnetprotocol.x). */
const portion = 262_120;
/** Bytes that may wait for the source. */
const maxHeld = 262_144;
/** Milliseconds that the source has, after the client has ended the stream, for what it has been sent. */
const patience = 1000;
const nothing = new Uint8Array(0);

export function joinStream(source: Duplex, { send, isFull, unstuck, done }: StreamEnd): Stream {
  let isStuck = false;
  let isOver = false;
  let isEnded = false;

  const finish = (): void => {
    isOver = true;
    done();
  };
  /** The guest's side has gone; its last frame is empty, and the client ends the stream. */
  const ended = (): void => {
    if (isEnded || isOver) return;
    isEnded = true;
    send(statuses.continue, nothing);
  };
  const free = (): void => {
    if (!isStuck) return;
    isStuck = false;
    unstuck();
  };

  source.on("data", (bytes: Buffer) => {
    if (isOver) return;
    for (let at = 0; at < bytes.length; at += portion)
      send(statuses.continue, bytes.subarray(at, Math.min(at + portion, bytes.length)));
    if (isFull()) source.pause();
  });
  source.on("drain", free);
  source.on("end", ended);
  // A socket of this machine fails only because the other side has gone.
  source.on("error", ended);
  source.on("close", () => {
    ended();
    free();
  });

  return {
    get isStuck() {
      return isStuck;
    },
    received(status, payload) {
      if (isOver) return;
      if (status === statuses.continue) {
        if (payload.length === 0 || isEnded || !source.writable) return;
        source.write(payload);
        isStuck = source.writableLength > maxHeld;
        return;
      }
      send(statuses.ok, nothing);
      finish();
      if (status === statuses.error || source.writableLength === 0) source.destroy();
      else {
        source.resume();
        source.end(() => source.destroy());
        setTimeout(() => source.destroy(), patience).unref();
      }
    },
    resume() {
      if (source.isPaused()) source.resume();
    },
    close() {
      if (isOver) return;
      isOver = true;
      source.destroy();
    },
  };
}
