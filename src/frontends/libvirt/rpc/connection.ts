import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import { dispatch, type Task } from "./dispatch.js";
import { createFramer, encodeFrame, type Frame, frameTypes, type Head, maxFrame, statuses } from "./frame.js";
import type { Call, Client, Handlers } from "./handlers.js";
import { type Keepalive, type KeepaliveTimes, startKeepalive, usualTimes } from "./keepalive.js";
import { wireError } from "./messages.js";
import { type EventName, findEvent, type MessageOf, type Procedure, programs, programVersion } from "./procedures.js";
import type { Session } from "./session.js";
import { joinStream, type Stream } from "./streams.js";
import type { Peer, Wire, WireHandlers } from "./wire.js";
import { toWireError } from "./wire-errors.js";
import { encode } from "./xdr.js";

/** Calls of one client that are worked on at a time; the next one waits unread (max_client_requests of libvirtd.conf). */
const maxRunning = 5;
/** Frames of one client in a turn of the event loop; the others wait for the next one, so that nobody else waits longer than that. */
const maxTogether = 64;
/** Unsent bytes with which a client is not read from, and streams pause. */
const maxUnsent = 262_144;
/** Bytes of events that may wait for a client; with more, it loses its connection. */
const maxEvents = 1_048_576;
/** Of a client that has not opened the connection yet: nobody knows what it is. */
const maxEarlyFrame = 65_536;

const pingProcedure = 1;
const pongProcedure = 2;
const nothing = new Uint8Array(0);

/** virConnectCloseReason */
export const closeReasons = { error: 0, eof: 1, keepalive: 2, client: 3 } as const;

export interface ConnectionOptions {
  /** The socket is for those who only look. */
  readonly readOnly: boolean;
  readonly keepalive?: KeepaliveTimes;
}

export interface Connection extends WireHandlers {
  readonly client: Client;
  /** Ends it from our side; clients that asked for it are told why. */
  end(reason: (typeof closeReasons)[keyof typeof closeReasons]): void;
}

/** What a stream will be joined with. */
interface Opened {
  readonly fd: number;
  readonly closed: () => void;
}

const isCall = ({ type, program }: Head): boolean =>
  program !== programs.keepalive && (type === frameTypes.call || type === frameTypes.callWithFds);

/** A client's connection: what the wire receives goes in here, and its answers out. `id`: no other client has it. */
export function createConnection(
  id: number,
  wire: Wire,
  { uid, gid, pid }: Peer,
  handlers: Handlers,
  options: ConnectionOptions,
): Connection {
  const session: Session = {
    isOpen: false,
    readOnly: options.readOnly,
    hasKeepalive: false,
    wantsClosed: false,
    isClosing: false,
  };
  const framer = createFramer(() => (session.isOpen ? maxFrame : maxEarlyFrame));
  const streams = new Map<number, Stream>();
  const closers: (() => void)[] = [];
  let keepalive: Keepalive | null = null;
  let isOver = false;
  let isPaused = false;
  let running = 0;
  /** A call that has been received while others run. */
  let waiting: Frame | null = null;
  let unreadEvents = 0;
  /** Frames since a turn began in which something was received. */
  let taken = 0;
  let isTurning = false;

  const closeAll = (fds: readonly number[]): void => {
    for (const fd of fds) wire.closeFd(fd);
  };
  const send = (head: Head, payload: Uint8Array, fds: readonly number[] = []): void => {
    if (isOver) closeAll(fds);
    else wire.send(encodeFrame(head, payload, fds.length === 0 ? null : fds.length), fds);
  };
  const answer = (to: Head, payload: Uint8Array, fds: readonly number[] = []): void => {
    const type = fds.length === 0 ? frameTypes.reply : frameTypes.replyWithFds;
    send({ ...to, type, status: statuses.ok }, payload, fds);
  };
  const refuse = (to: Head, error: unknown): void => {
    const payload = encode(wireError, toWireError(error));
    send({ ...to, type: frameTypes.reply, status: statuses.error }, payload);
  };
  const tell = (program: number, procedure: number, payload: Uint8Array): void => {
    const { message: type } = frameTypes;
    send({ program, version: programVersion, procedure, type, serial: 0, status: statuses.ok }, payload);
  };

  const client: Client = {
    id,
    uid,
    gid,
    pid,
    get readOnly() {
      return session.readOnly;
    },
    push<E extends EventName>(event: E, message: MessageOf<E>): void {
      if (isOver) return;
      const { number, message: codec } = findEvent(event);
      const payload = encode(codec, message);
      unreadEvents = wire.pending === 0 ? 0 : unreadEvents + payload.length;
      if (unreadEvents > maxEvents) wire.close();
      else tell(programs.remote, number, payload);
    },
    onClose(callback) {
      if (isOver) callback();
      else closers.push(callback);
    },
  };

  const isFull = (): boolean => wire.pending > maxUnsent;
  const canRead = (): boolean =>
    taken < maxTogether && !isFull() && [...streams.values()].every(({ isStuck }) => !isStuck);

  /** Takes what has been received, as far as it may be taken now. */
  const proceed = (): void => {
    while (!isOver && !session.isClosing && canRead()) {
      const frame: Frame | "broken" | null = waiting ?? framer.next();
      waiting = null;
      if (frame === null) break;
      if (frame === "broken") {
        wire.close();
        return;
      }
      if (isCall(frame) && running >= maxRunning) {
        waiting = frame;
        break;
      }
      taken += 1;
      take(frame);
    }
    if (taken >= maxTogether && !isTurning) nextTurn();
    const mustPause = waiting !== null || !canRead();
    if (isOver || mustPause === isPaused) return;
    isPaused = mustPause;
    if (isPaused) wire.pause();
    else wire.resume();
  };

  const nextTurn = (): void => {
    isTurning = true;
    setImmediate(() => {
      isTurning = false;
      taken = 0;
      proceed();
    });
  };

  const take = (frame: Frame): void => {
    const { program, procedure, type, serial } = frame;
    if (program === programs.keepalive) {
      closeAll(frame.fds);
      if (type === frameTypes.message && procedure === pingProcedure) tell(program, pongProcedure, nothing);
    } else if (isCall(frame)) perform(frame);
    else {
      closeAll(frame.fds);
      if (type === frameTypes.stream) streams.get(serial)?.received(frame.status, frame.payload);
    }
  };

  const perform = (frame: Frame): void => {
    try {
      const task = dispatch(frame, session, handlers);
      if (task.kind === "handler") {
        running += 1;
        handle(frame, task)
          .catch((error: unknown) => {
            refuse(frame, error);
          })
          .finally(() => {
            closeAll(frame.fds);
            running -= 1;
            proceed();
          });
        return;
      }
      answer(frame, resultOf(task.procedure, task.result));
      if (session.hasKeepalive && keepalive === null) keepalive = watchOver();
      if (session.isClosing) wire.end();
    } catch (error) {
      refuse(frame, error);
    }
    closeAll(frame.fds);
  };

  const handle = async (frame: Frame, { procedure, run }: Task & { readonly kind: "handler" }): Promise<void> => {
    const given: number[] = [];
    let opened: readonly Opened[] = [];
    const drop = (): void => {
      for (const { fd, closed } of opened) {
        wire.closeFd(fd);
        closed();
      }
    };
    const call: Call = {
      client,
      fds: frame.fds,
      replyWith: (fd) => {
        given.push(fd);
      },
      openStream: (fd, closed = () => undefined) => {
        drop();
        opened = [{ fd, closed }];
      },
    };
    let payload: Uint8Array;
    try {
      payload = resultOf(procedure, await run(call));
      if (opened.length > 0 && streams.has(frame.serial))
        throw new LibvirtError(errorCodes.rpc, errorDomains.rpc, `serial ${frame.serial} is a stream's already`);
    } catch (error) {
      closeAll(given);
      drop();
      throw error;
    }
    answer(frame, payload, given);
    if (isOver) drop();
    else for (const { fd, closed } of opened) join(frame, fd, closed);
  };

  const join = (frame: Frame, fd: number, closed: () => void): void => {
    const { serial } = frame;
    const source = wire.join(fd);
    source.once("close", closed);
    streams.set(
      serial,
      joinStream(source, {
        send: (status, payload) => {
          send({ ...frame, type: frameTypes.stream, status }, payload);
        },
        isFull,
        unstuck: proceed,
        done: () => {
          streams.delete(serial);
        },
      }),
    );
  };

  const watchOver = (): Keepalive =>
    startKeepalive(
      options.keepalive ?? usualTimes,
      // Silence of a client that takes nothing means something, even though nobody reads what it says.
      () => !isPaused || isFull(),
      () => {
        tell(programs.keepalive, pingProcedure, nothing);
      },
      () => {
        end(closeReasons.keepalive);
        wire.close();
      },
    );

  const end: Connection["end"] = (reason) => {
    session.isClosing = true;
    if (session.wantsClosed) client.push("CONNECT_EVENT_CONNECTION_CLOSED", { reason });
    wire.end();
  };

  return {
    client,
    end,
    received(bytes, fds) {
      keepalive?.heard();
      // The wire tells once in a turn.
      if (!isTurning) taken = 0;
      if (framer.push(bytes, fds)) proceed();
      else wire.close();
    },
    drained() {
      unreadEvents = 0;
      keepalive?.heard();
      for (const stream of streams.values()) stream.resume();
      proceed();
    },
    closed() {
      isOver = true;
      keepalive?.stop();
      for (const stream of streams.values()) stream.close();
      streams.clear();
      closeAll([...(waiting?.fds ?? []), ...framer.leftFds()]);
      waiting = null;
      for (const callback of closers.splice(0)) callback();
    },
  };
}

const resultOf = ({ ret }: Procedure, result: unknown): Uint8Array =>
  ret === null ? nothing : encode(ret, result as Readonly<Record<string, unknown>>);
