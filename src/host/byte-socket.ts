import { closeFd, receiveMessage, sendMessage, watch, watchError, watchHangup, watchOut } from "./addon.js";
import { isLater } from "./descriptor-stream.js";

/** A stream socket of which somebody else knows what its bytes mean, and which descriptors belong to them. */
export interface ByteSocket {
  /** Bytes that the other side has not taken yet. */
  readonly pending: number;
  /**
   * In order. Each descriptor goes behind the bytes with a zero byte of its own, in a message of its own; all are closed afterwards, also when the
   * socket is at its end.
   */
  readonly send: (bytes: Uint8Array, fds?: readonly number[]) => void;
  /** Nothing is received until `resume`; that the other side has gone is noticed all the same. */
  readonly pause: () => void;
  readonly resume: () => void;
  /** Receives and takes no more, and closes when everything has been sent. */
  readonly end: () => void;
  readonly close: () => void;
}

export interface ByteSocketHandlers {
  /** The bytes are good during the call only; the descriptors, which came with the last of them, are the handler's. */
  readonly received: (bytes: Uint8Array, fds: readonly number[]) => void;
  /** Nothing is pending any more. */
  readonly drained: () => void;
  /** Once, whoever closed it. */
  readonly closed: () => void;
}

/** Descriptors of one message. */
const maxFds = 32;
/** Bytes read at a time: what they ask for is all done before anybody else has a turn. Nothing of it outlives the call. */
const portion = new Uint8Array(16_384);
const marker = new Uint8Array(1);

interface Outgoing {
  readonly bytes: Uint8Array;
  readonly fd: number | null;
}

/** `fd`: of a connected socket, which is closed at the end. `start` says who handles what comes. */
export function openByteSocket(fd: number, start: (socket: ByteSocket) => ByteSocketHandlers): ByteSocket {
  const queue: Outgoing[] = [];
  let pending = 0;
  let isOpen = true;
  let isPaused = false;
  let isEnding = false;

  const shut = (): void => {
    if (!isOpen) return;
    isOpen = false;
    watcher.close();
    closeFd(fd);
    for (const item of queue.splice(0)) if (item.fd !== null) closeFd(item.fd);
    pending = 0;
    handlers.closed();
  };

  const follow = (): void => {
    const wantsOut = queue.length > 0;
    const wantsIn = !isPaused && !isEnding;
    // The last of them tells once of what has arrived, and of the end.
    watcher.update(wantsIn ? (wantsOut ? "inout" : "in") : wantsOut ? "out" : "change");
  };

  /** false: the socket has been closed. */
  const flush = (): boolean => {
    // Closed when all have gone: the other side waits for the next one.
    const gone: number[] = [];
    let failure = 0;
    for (let first = queue[0]; first !== undefined; first = queue[0]) {
      const sent = sendMessage(fd, first.bytes, first.fd === null ? [] : [first.fd]);
      if (sent < 0) {
        failure = sent;
        break;
      }
      pending -= sent;
      if (first.fd !== null) gone.push(first.fd);
      if (sent === first.bytes.length) queue.shift();
      else queue[0] = { bytes: first.bytes.subarray(sent), fd: null };
    }
    for (const each of gone) closeFd(each);
    if (failure < 0 && isLater(failure)) return true;
    if (failure < 0 || isEnding) shut();
    return failure === 0 && !isEnding;
  };

  const receive = (): void => {
    const got = receiveMessage(fd, portion, maxFds);
    if (got.bytes < 0 && isLater(got.bytes)) return;
    if (got.bytes > 0 && !got.truncated) {
      handlers.received(portion.subarray(0, got.bytes), got.fds);
      return;
    }
    for (const each of got.fds) closeFd(each);
    shut();
  };

  const watcher = watch(fd, "in", (events) => {
    if ((events & watchOut) !== 0 && queue.length > 0) {
      if (!flush()) return;
      if (queue.length === 0) {
        follow();
        handlers.drained();
      }
    }
    if (!isOpen) return;
    if (!isPaused && !isEnding && (events & ~watchOut) !== 0) receive();
    else if ((events & (watchHangup | watchError)) !== 0) shut();
  });

  const socket: ByteSocket = {
    get pending() {
      return pending;
    },
    send(bytes, fds = []) {
      if (!isOpen || isEnding) {
        for (const each of fds) closeFd(each);
        return;
      }
      const wasEmpty = queue.length === 0;
      if (bytes.length > 0) queue.push({ bytes, fd: null });
      for (const each of fds) queue.push({ bytes: marker, fd: each });
      pending += bytes.length + fds.length;
      if (wasEmpty && flush() && queue.length > 0) follow();
    },
    pause() {
      isPaused = true;
      if (isOpen) follow();
    },
    resume() {
      isPaused = false;
      if (isOpen) follow();
    },
    end() {
      if (!isOpen || isEnding) return;
      isEnding = true;
      if (queue.length === 0) shut();
      else follow();
    },
    close: shut,
  };
  const handlers = start(socket);
  return socket;
}
