import assert from "node:assert/strict";
import { closeFd, receiveMessage, sendMessage } from "../../src/host/addon.js";
import { connectUnix } from "../../src/host/socket.js";
import {
  createFramer,
  encodeFrame,
  type Frame,
  frameTypes,
  type Head,
  maxFrame,
} from "../../src/frontends/libvirt/rpc/frame.js";
import { wireError } from "../../src/frontends/libvirt/rpc/messages.js";
import {
  type ArgsOf,
  findProcedure,
  type ProcedureName,
  programs,
  type RetOf,
} from "../../src/frontends/libvirt/rpc/procedures.js";
import { encode, xdrReader } from "../../src/frontends/libvirt/rpc/xdr.js";
import { errnoName } from "../../src/sys/errno.js";
import { cleanup, type Cleaner } from "./cleanup.js";
import { currentArch } from "./image.js";
import { waitFor } from "./wait.js";

/** A client of libvirt's protocol that says what it is told to, byte by byte, through a daemon's socket. */
export interface WireClient {
  /** What the socket takes of them now; the first byte carries the descriptors. Gives back how many bytes that were; "over": the daemon has closed it. */
  readonly send: (bytes: Uint8Array, fds?: readonly number[]) => number | "over";
  /** Sends all of them; fails when the socket takes no more for ten seconds. */
  readonly sendAll: (bytes: Uint8Array) => Promise<void>;
  /** Frames that have come since it was asked last. */
  readonly take: () => readonly Frame[];
  /** The daemon has closed it. */
  readonly isOver: () => boolean;
  /** The answer to one serial; what comes before it is kept for `take`. */
  readonly reply: (serial: number, timeout?: number) => Promise<Frame>;
  /** Makes a call and gives back what it answers. Fails with the message of an error. */
  readonly call: <N extends ProcedureName>(name: N, args: ArgsOf<N>, timeout?: number) => Promise<RetOf<N>>;
  readonly close: () => void;
}

const numbers: ReadonlyMap<string, number> = new Map(
  Array.from({ length: 500 }, (_, number) => [findProcedure(programs.remote, number)?.name ?? "", number]),
);

export const nothing: Uint8Array = new Uint8Array(0);

/** A call of the remote program unless `more` says otherwise. */
export function callFrame<N extends ProcedureName>(name: N, args: ArgsOf<N>, more: Partial<Head> = {}): Uint8Array {
  const procedure = findProcedure(programs.remote, numbers.get(name) ?? -1);
  assert.ok(procedure !== null, name);
  return rawFrame(procedure.number, encode(procedure.args, args), more);
}

/** `more.type` of those with descriptors: none are promised. */
export function rawFrame(procedure: number, payload: Uint8Array, more: Partial<Head> = {}): Uint8Array {
  return encodeFrame(
    { program: programs.remote, version: 1, procedure, type: frameTypes.call, serial: 1, status: 0, ...more },
    payload,
  );
}

/** Connects, and opens lxc:///system. */
export async function libvirtClient(t: Cleaner, path: string): Promise<WireClient> {
  const client = bareClient(t, path);
  await client.call("CONNECT_OPEN", { name: "lxc:///system", flags: 0 });
  return client;
}

/** Only connects. `onFds` sees descriptors that come before they are closed. */
export function bareClient(t: Cleaner, path: string, onFds: (fds: readonly number[]) => void = () => {}): WireClient {
  const fd = connectUnix(currentArch, path);
  assert.ok(fd !== null, `nobody listens at ${path}`);
  const framer = createFramer(() => maxFrame);
  const into = new Uint8Array(65536);
  let frames: Frame[] = [];
  let isOver = false;
  let isClosed = false;
  let serial = 0;

  const receive = (): void => {
    while (!isOver && !isClosed) {
      const { bytes, fds } = receiveMessage(fd, into, 32);
      assert.ok(framer.push(bytes > 0 ? into.subarray(0, bytes) : nothing, fds));
      if (bytes < 0 && errnoName(bytes) === "EAGAIN") break;
      if (bytes <= 0) isOver = true;
    }
    for (let frame = framer.next(); frame !== null; frame = framer.next()) {
      assert.ok(frame !== "broken", "the daemon breaks the protocol");
      onFds(frame.fds);
      for (const each of frame.fds) closeFd(each);
      frames.push(frame);
    }
  };
  const send: WireClient["send"] = (bytes, fds = []) => {
    const sent = sendMessage(fd, bytes, fds);
    if (sent >= 0) return sent;
    if (errnoName(sent) === "EAGAIN") return 0;
    return "over";
  };
  const sendAll: WireClient["sendAll"] = async (bytes) => {
    let rest = bytes;
    let last = Date.now();
    while (rest.length > 0) {
      const sent = send(rest);
      assert.ok(sent !== "over", "the daemon has closed the connection");
      if (sent > 0) last = Date.now();
      rest = rest.subarray(sent);
      assert.ok(Date.now() - last < 10_000, "the daemon takes no more");
      if (rest.length > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  const reply: WireClient["reply"] = (wanted, timeout = 10_000) =>
    waitFor(
      `the answer to ${wanted}`,
      () => {
        receive();
        const found = frames.find(
          (each) => (each.type === frameTypes.reply || each.type === frameTypes.replyWithFds) && each.serial === wanted,
        );
        frames = frames.filter((each) => each !== found);
        // What is waited for will not come: that is no reason to wait.
        return found ?? (isOver ? ("over" as const) : null);
      },
      { timeout, every: 5 },
    ).then((found) => {
      assert.ok(found !== "over", "the daemon has closed the connection");
      return found;
    });
  const close = (): void => {
    if (!isClosed) closeFd(fd);
    isClosed = true;
  };
  cleanup(t)(close);
  return {
    send,
    sendAll,
    take() {
      receive();
      return frames.splice(0);
    },
    isOver() {
      receive();
      return isOver;
    },
    reply,
    async call(name, args, timeout) {
      serial += 1;
      const mine = serial;
      await sendAll(callFrame(name, args, { serial: mine }));
      const { status, payload } = await reply(mine, timeout);
      if (status !== 0) throw new Error(wireError.read(xdrReader(payload)).message ?? "an error without words");
      const ret = findProcedure(programs.remote, numbers.get(name) ?? -1)?.ret ?? null;
      return (ret === null ? undefined : ret.read(xdrReader(payload))) as RetOf<typeof name>;
    },
    close,
  };
}
