import { maxPayload, pooled } from "./xdr.js";

/** A message's frame: a length, seven words, the payload; descriptors behind it (virnetprotocol.x). */

export const frameTypes = {
  call: 0,
  reply: 1,
  message: 2,
  stream: 3,
  callWithFds: 4,
  replyWithFds: 5,
  streamHole: 6,
} as const;
export const statuses = { ok: 0, error: 1, continue: 2 } as const;

export interface Head {
  readonly program: number;
  readonly version: number;
  readonly procedure: number;
  readonly type: number;
  /** The call that this belongs to. */
  readonly serial: number;
  readonly status: number;
}
export interface Frame extends Head {
  /** Stays as it is. */
  readonly payload: Uint8Array;
  readonly fds: readonly number[];
}

const headLength = 28;
const nothing = new Uint8Array(0);
export const maxFrame: number = headLength + maxPayload;
/** Descriptors of a message. */
export const maxFds = 32;

/** `fds`: how many follow; null: a type that has none. */
export function encodeFrame(head: Head, payload: Uint8Array, fds: number | null = null): Uint8Array {
  const start = fds === null ? headLength : headLength + 4;
  const bytes = pooled(start + payload.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(0, bytes.length);
  view.setUint32(4, head.program);
  view.setUint32(8, head.version);
  view.setUint32(12, head.procedure);
  view.setUint32(16, head.type);
  view.setUint32(20, head.serial);
  view.setUint32(24, head.status);
  if (fds !== null) view.setUint32(headLength, fds);
  bytes.set(payload, start);
  return bytes;
}

export interface Framer {
  /** What has arrived; the bytes are copied. false: more descriptors than any message may have. */
  push(bytes: Uint8Array, fds: readonly number[]): boolean;
  /** The next whole message; null: it has not arrived yet; "broken": what arrives is no protocol of ours. */
  next(): Frame | "broken" | null;
  /** Descriptors that no message has taken. */
  leftFds(): readonly number[];
}

/** `limit`: the longest frame that is taken now. */
export function createFramer(limit: () => number): Framer {
  /** What has been received is buffer[from..to]. */
  let buffer: Uint8Array = nothing;
  let from = 0;
  let to = 0;
  let fds: readonly number[] = [];

  const words = (): DataView => new DataView(buffer.buffer, buffer.byteOffset + from, to - from);

  return {
    push(bytes, more) {
      if (more.length > 0) fds = [...fds, ...more];
      if (fds.length > maxFds) return false;
      if (to + bytes.length > buffer.length) {
        // The room grows with what has come, not with what a length promises.
        const held = to - from;
        const larger = pooled(Math.max(held + bytes.length, held === 0 ? 0 : 2 * held));
        larger.set(buffer.subarray(from, to));
        buffer = larger;
        from = 0;
        to = held;
      }
      buffer.set(bytes, to);
      to += bytes.length;
      return true;
    },
    next() {
      if (from === to) {
        buffer = nothing;
        from = 0;
        to = 0;
        return fds.length > 0 ? "broken" : null;
      }
      if (to - from < 4) return null;
      const view = words();
      const length = view.getUint32(0);
      if (length < headLength || length > limit()) return "broken";
      if (to - from < length) return null;
      const type = view.getUint32(16);
      const hasFds = type === frameTypes.callWithFds || type === frameTypes.replyWithFds;
      if (hasFds && length < headLength + 4) return "broken";
      const count = hasFds ? view.getUint32(headLength) : 0;
      if (count > maxFds) return "broken";
      // One byte for each descriptor, which no length counts.
      if (to - from < length + count) return null;
      if (fds.length < count) return "broken";
      const start = from + headLength + (hasFds ? 4 : 0);
      const frame = {
        program: view.getUint32(4),
        version: view.getUint32(8),
        procedure: view.getUint32(12),
        type,
        serial: view.getUint32(20),
        status: view.getUint32(24),
        payload: buffer.subarray(start, from + length),
        fds: fds.slice(0, count),
      };
      if (count > 0) fds = fds.slice(count);
      from += length + count;
      return frame;
    },
    leftFds: () => fds,
  };
}
