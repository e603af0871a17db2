import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import {
  createFramer,
  encodeFrame,
  type Frame,
  frameTypes,
  maxFrame,
} from "../../../../src/frontends/libvirt/rpc/frame.js";
import type { Handlers } from "../../../../src/frontends/libvirt/rpc/handlers.js";
import type { KeepaliveTimes } from "../../../../src/frontends/libvirt/rpc/keepalive.js";
import { wireError, type WireError } from "../../../../src/frontends/libvirt/rpc/messages.js";
import { findProcedure, programs } from "../../../../src/frontends/libvirt/rpc/procedures.js";
import { createRpcServer } from "../../../../src/frontends/libvirt/rpc/server.js";
import type { Wire } from "../../../../src/frontends/libvirt/rpc/wire.js";
import { encode, xdrReader } from "../../../../src/frontends/libvirt/rpc/xdr.js";

/** A client of the remote protocol over a wire in memory, with descriptors that are numbers only. */
export interface TestClient {
  /** Bytes as they come, and descriptors with the last of them. */
  readonly send: (bytes: Uint8Array, fds?: readonly number[]) => void;
  readonly call: (procedure: number, args?: Uint8Array, serial?: number) => void;
  /** Sends CONNECT_OPEN and takes its answer. */
  readonly open: (flags?: number) => void;
  /** What has been sent to the client since it was asked last. */
  readonly take: () => readonly Frame[];
  /** Of what was sent: the descriptors that went along, and those that were closed instead of being given to anybody. */
  readonly sentFds: readonly number[];
  readonly closedFds: number[];
  /** The client stops taking bytes, or takes all there are. */
  readonly stall: () => void;
  readonly drain: () => void;
  readonly isPaused: () => boolean;
  readonly isClosed: () => boolean;
  readonly pending: () => number;
  /** Streams by the descriptor that they were opened with. */
  readonly joined: Map<number, Joined>;
  readonly leave: () => void;
  readonly shutDown: () => void;
}

/** The far end of a stream. */
export interface Joined {
  readonly near: Duplex;
  /** What the client has sent. */
  readonly written: Buffer[];
  /** Bytes stay where they are. */
  isBlocked: boolean;
  readonly unblock: () => void;
  readonly say: (bytes: Buffer | null) => boolean;
}

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

function createJoined(): Joined {
  const written: Buffer[] = [];
  let held: (() => void) | null = null;
  const joined: Joined = {
    near: new Duplex({
      read: () => undefined,
      write: (bytes: Buffer, _encoding, done) => {
        written.push(Buffer.from(bytes));
        if (joined.isBlocked) held = done;
        else done();
      },
    }),
    written,
    isBlocked: false,
    unblock: () => {
      joined.isBlocked = false;
      held?.();
      held = null;
    },
    say: (bytes) => joined.near.push(bytes),
  };
  return joined;
}

export const argsOf = (
  number: number,
  args: Readonly<Record<string, unknown>>,
  program: number = programs.remote,
): Uint8Array => {
  const procedure = findProcedure(program, number);
  assert.ok(procedure !== null);
  return encode(procedure.args, args);
};

export const frameOf = (
  procedure: number,
  payload: Uint8Array = new Uint8Array(0),
  more: Partial<Frame> = {},
): Uint8Array => {
  const head = { program: programs.remote, version: 1, procedure, type: 0, serial: 0, status: 0, ...more };
  return encodeFrame(head, payload, head.type === frameTypes.callWithFds ? (more.fds?.length ?? 0) : null);
};

export const ping: Uint8Array = frameOf(1, undefined, { program: programs.keepalive, type: frameTypes.message });

/** What an error answer says. */
export function errorOf(frame: Frame | undefined): WireError {
  assert.equal(frame?.status, 1);
  return wireError.read(xdrReader(frame.payload));
}

export function connectTo(
  handlers: Handlers,
  options: { readonly readOnly?: boolean; readonly keepalive?: KeepaliveTimes } = {},
): TestClient {
  const server = createRpcServer(handlers, options.keepalive);
  const framer = createFramer(() => maxFrame);
  const sentFds: number[] = [];
  const closedFds: number[] = [];
  const joined = new Map<number, Joined>();
  let queue: { readonly bytes: Uint8Array; readonly fds: readonly number[] }[] = [];
  let pending = 0;
  let isStalled = false;
  let isPaused = false;
  let isEnding = false;
  let isClosed = false;

  const close = (): void => {
    if (isClosed) return;
    isClosed = true;
    sink.closed();
  };
  const deliver = (): void => {
    for (const { bytes, fds } of queue) assert.ok(framer.push(bytes, fds));
    queue = [];
    pending = 0;
    if (isEnding) close();
  };
  const wire: Wire = {
    get pending() {
      return pending;
    },
    send(bytes, fds = []) {
      assert.ok(!isClosed);
      if (isEnding) {
        closedFds.push(...fds);
        return;
      }
      sentFds.push(...fds);
      queue.push({ bytes: bytes.slice(), fds: [] }, ...fds.map((fd) => ({ bytes: new Uint8Array(1), fds: [fd] })));
      pending += bytes.length + fds.length;
      if (!isStalled) deliver();
    },
    pause: () => {
      isPaused = true;
    },
    resume: () => {
      isPaused = false;
    },
    end: () => {
      isEnding = true;
      if (pending === 0) close();
    },
    close,
    join: (fd) => {
      const made = createJoined();
      joined.set(fd, made);
      return made.near;
    },
    closeFd: (fd) => {
      closedFds.push(fd);
    },
  };
  const sink = server.connect(wire, { uid: 0, gid: 0, pid: 1 }, options.readOnly === true);

  const send: TestClient["send"] = (bytes, fds = []) => {
    assert.ok(!isPaused, "nothing is received while the wire is paused");
    if (!isClosed) sink.received(bytes, fds);
  };
  const take: TestClient["take"] = () => {
    const frames: Frame[] = [];
    for (let frame = framer.next(); frame !== null; frame = framer.next()) {
      assert.ok(frame !== "broken");
      frames.push(frame);
    }
    return frames;
  };
  return {
    send,
    take,
    call: (procedure, args, serial = 0) => {
      send(frameOf(procedure, args, { serial }));
    },
    open: (flags = 0) => {
      send(frameOf(1, argsOf(1, { name: "lxc:///system", flags })));
      assert.deepEqual(
        take().map(({ status }) => status),
        [0],
      );
    },
    sentFds,
    closedFds,
    stall: () => {
      isStalled = true;
    },
    drain: () => {
      isStalled = false;
      const had = pending > 0;
      deliver();
      if (had && !isClosed) sink.drained();
    },
    isPaused: () => isPaused,
    isClosed: () => isClosed,
    pending: () => pending,
    joined,
    leave: close,
    shutDown: () => {
      server.close();
    },
  };
}
