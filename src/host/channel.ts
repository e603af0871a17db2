import { IsletError } from "../base/errors.js";
import { errnoName } from "../sys/errno.js";
import {
  type Watch,
  closeFd,
  receiveMessage,
  sendMessage,
  syscall,
  watch,
  watchError,
  watchHangup,
  watchIn,
  watchOut,
} from "./addon.js";

/** A stream socket that carries frames and descriptors (docs/protocol/control.md). */
export interface Frame {
  readonly type: number;
  readonly payload: Uint8Array;
  /** Belong to whoever handles the frame. */
  readonly fds: readonly number[];
}

export interface ChannelHandlers {
  readonly frame: (frame: Frame) => void;
  /** Once, when the other side is gone or broke the protocol; the descriptor has been closed. */
  readonly closed: (reason: string) => void;
}

export interface Channel {
  readonly fd: number;
  /**
   * Queued and sent in order; the descriptors stay the caller's, who may close them at once, unless `closeAfter` gives them away.
   * Frames without descriptors go out together when the work at hand is done: each send wakes the other side.
   */
  send(type: number, payload: Uint8Array, fds?: readonly number[], closeAfter?: boolean): void;
  /** The same for a frame that has its head already. */
  sendFrame(frame: Uint8Array, fds: readonly number[]): void;
  /** Ends when everything queued has been sent. */
  end(): void;
  close(): void;
  /** Closes the descriptor without a word to the handlers. */
  abandon(): void;
  /** Takes what has arrived already, without waiting for the event loop to say so. */
  poke(): void;
  /** Bytes waiting to be sent. */
  readonly pending: number;
  ref(): void;
  unref(): void;
}

interface Outgoing {
  readonly bytes: Uint8Array;
  fds: readonly number[];
  /** Closed when they have been sent. */
  owned: readonly number[];
}

const headerSize = 8;
const maxFds = 32;
/** Frames up to this much together are copied into one message. */
const maxTogether = 65536;
/** A peer that does not read may make us hold this much. */
const maxPending = 64 * 1024 * 1024;

/** Where every read goes first; nothing of it outlives the call. One a channel would cost 64 MB with a thousand connections. */
const chunk = new Uint8Array(65536);

export function openChannel(fd: number, maxFrame: number, handlers: ChannelHandlers): Channel {
  const queue: Outgoing[] = [];
  let pending = 0;
  let open = true;
  let ending = false;
  /** The other side takes no more, but what it sent before it went may still be unread. */
  let deaf = false;
  let wantsOut = false;
  let scheduled = false;
  let held = new Uint8Array(0);
  /** Place of held[0] in the stream, and the descriptors that came with the frame that begins at `at`. */
  let position = 0;
  const arrivals: { readonly at: number; readonly fds: readonly number[] }[] = [];

  const release = (): void => {
    open = false;
    watcher?.close();
    closeFd(fd);
    dropQueue();
    for (const arrival of arrivals) for (const left of arrival.fds) closeFd(left);
    arrivals.length = 0;
  };

  const shut = (reason: string): void => {
    if (!open) return;
    release();
    handlers.closed(reason);
  };

  const dropQueue = (): void => {
    for (const item of queue) for (const owned of item.owned) closeFd(owned);
    queue.length = 0;
    pending = 0;
  };

  const flush = (): void => {
    while (open) {
      joinFirst(queue);
      const first = queue[0];
      if (first === undefined) break;
      const sent = sendMessage(fd, first.bytes, first.fds);
      if (sent < 0) {
        const error = errnoName(sent);
        if (error === "EAGAIN") break;
        if (error !== "EPIPE" && error !== "ECONNRESET") {
          shut(`cannot write: ${error}`);
          return;
        }
        // Its last frames are read first: they say how it ended. The end of the stream comes behind them.
        deaf = true;
        dropQueue();
        break;
      }
      pending -= sent;
      for (const owned of first.owned) closeFd(owned);
      if (sent === first.bytes.length) queue.shift();
      else queue[0] = { bytes: first.bytes.subarray(sent), fds: [], owned: [] };
    }
    if (!open) return;
    const wanted = queue.length > 0;
    if (wanted !== wantsOut) {
      wantsOut = wanted;
      watcher?.update(wanted ? "inout" : "in");
    }
    if (!wanted && ending) shut("ended");
  };

  const flushSoon = (): void => {
    if (scheduled) return;
    scheduled = true;
    // Behind the promises that are settled already: a command's last output and its exit status are one message.
    process.nextTick(() => {
      scheduled = false;
      if (open) flush();
    });
  };

  const parse = (): void => {
    while (open && held.length >= headerSize) {
      const view = new DataView(held.buffer, held.byteOffset, held.byteLength);
      const length = view.getUint32(0, true);
      const type = view.getUint16(4, true);
      if (length > maxFrame || view.getUint16(6, true) !== 0) {
        shut("the other side broke the protocol");
        return;
      }
      if (held.length < headerSize + length) return;
      const payload = held.slice(headerSize, headerSize + length);
      const fds = arrivals[0]?.at === position ? (arrivals.shift()?.fds ?? []) : [];
      held = held.subarray(headerSize + length);
      position += headerSize + length;
      handlers.frame({ type, payload, fds });
    }
  };

  const readable = (): void => {
    for (let round = 0; open && round < 16; round += 1) {
      const got = receiveMessage(fd, chunk, maxFds);
      if (got.bytes < 0) {
        if (errnoName(got.bytes) !== "EAGAIN") shut(`cannot read: ${errnoName(got.bytes)}`);
        return;
      }
      if (got.bytes === 0) {
        shut("the other side has gone");
        return;
      }
      const more = chunk.subarray(0, got.bytes);
      // The usual case is not copied; parse lets go of it before anybody else reads.
      held = held.length === 0 && isOneFrame(more) ? more : append(held, more);
      const at = got.fds.length > 0 ? lastFrameStart(held, position) : 0;
      // Descriptors come with the first byte of their frame, so all of one frame come at once.
      const again = got.fds.length > 0 && arrivals.at(-1)?.at === at;
      if (got.fds.length > 0) arrivals.push({ at, fds: got.fds });
      if (got.truncated || again) {
        shut("the other side sent too many descriptors");
        return;
      }
      parse();
      if (got.bytes < chunk.length) return;
    }
  };

  // Most requests are served whole before the event loop turns: those are never watched.
  let watcher: Watch | null = null;
  let keepsAlive = true;
  setImmediate(() => {
    if (!open) return;
    watcher = watch(fd, wantsOut ? "inout" : "in", (events) => {
      if ((events & watchOut) !== 0) flush();
      if (open && (events & (watchIn | watchHangup | watchError)) !== 0) readable();
    });
    if (!keepsAlive) watcher.unref();
  });

  const enqueue = (bytes: Uint8Array, fds: readonly number[], closeAfter: boolean): void => {
    const owned = closeAfter ? fds : [];
    if (!open || ending || deaf) {
      for (const item of owned) closeFd(item);
      return;
    }
    const item: Outgoing = { bytes, fds, owned };
    queue.push(item);
    pending += bytes.length;
    if (pending > maxPending) {
      shut("the other side does not read");
      return;
    }
    if (fds.length === 0) {
      flushSoon();
      return;
    }
    flush();
    // It waits behind others: the caller may close its descriptors before they are sent, and their numbers may get another meaning.
    if (!closeAfter && queue.at(-1) === item) {
      item.fds = fds.map(duplicate);
      item.owned = item.fds;
    }
  };

  return {
    fd,
    get pending() {
      return pending;
    },
    send(type, payload, fds = [], closeAfter = false): void {
      const bytes = new Uint8Array(headerSize + payload.length);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, payload.length, true);
      view.setUint16(4, type, true);
      bytes.set(payload, headerSize);
      enqueue(bytes, fds, closeAfter);
    },
    sendFrame(frame, fds): void {
      enqueue(frame, fds, false);
    },
    poke(): void {
      if (open) readable();
    },
    end(): void {
      ending = true;
      flush();
    },
    close(): void {
      shut("closed");
    },
    abandon(): void {
      if (open) release();
    },
    ref(): void {
      keepsAlive = true;
      watcher?.ref();
    },
    unref(): void {
      keepsAlive = false;
      watcher?.unref();
    },
  };
}

/** Makes one of the frames at the head of the queue that have no descriptors. */
function joinFirst(queue: Outgoing[]): void {
  let count = 0;
  let size = 0;
  for (const item of queue) {
    size += item.bytes.length;
    if (item.fds.length > 0 || size > maxTogether) break;
    count += 1;
  }
  if (count < 2) return;
  const together = Buffer.concat(queue.slice(0, count).map((item) => item.bytes));
  queue.splice(0, count, { bytes: together, fds: [], owned: [] });
}

function isOneFrame(bytes: Uint8Array): boolean {
  if (bytes.length < headerSize) return false;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) + headerSize === bytes.length;
}

/** `held` with more bytes behind it, in the same memory where there is room: a large frame comes in many reads. */
function append(held: Uint8Array<ArrayBuffer>, more: Uint8Array): Uint8Array<ArrayBuffer> {
  const length = held.length + more.length;
  let whole = new Uint8Array(held.buffer);
  let from = held.byteOffset;
  if (held.length === 0 || from + length > whole.length) {
    whole = new Uint8Array(held.length === 0 ? length : length * 2);
    whole.set(held);
    from = 0;
  }
  whole.set(more, from + held.length);
  return whole.subarray(from, from + length);
}

/** fcntl(2) with F_DUPFD_CLOEXEC. */
export function duplicate(fd: number): number {
  const made = syscall(process.arch === "x64" ? 72 : 25, [fd, 1030, 3]);
  if (made < 0)
    throw new IsletError("ISLET_IO", `cannot keep descriptor ${fd} for later: ${errnoName(made)}`, {
      errno: errnoName(made),
      syscall: "fcntl",
    });
  return made;
}

/**
 * Where the last frame that has begun starts in the stream. The kernel ends a read behind the message that carried descriptors, so they
 * belong to that frame, although earlier ones may have come in the same read.
 */
function lastFrameStart(held: Uint8Array, position: number): number {
  const view = new DataView(held.buffer, held.byteOffset, held.byteLength);
  let start = 0;
  while (start + headerSize <= held.length) {
    const next = start + headerSize + view.getUint32(start, true);
    if (next >= held.length) break;
    start = next;
  }
  return position + start;
}
