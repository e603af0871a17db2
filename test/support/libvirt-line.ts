import assert from "node:assert/strict";
import { closeSync, openSync, readlinkSync } from "node:fs";
import { encodeFrame, type Frame, frameTypes, statuses } from "../../src/frontends/libvirt/rpc/frame.js";
import type { ArgsOf, ProcedureName, RetOf } from "../../src/frontends/libvirt/rpc/procedures.js";
import type { Cleaner } from "./cleanup.js";
import { type Answer, answerOf } from "./libvirt-recording.js";
import { bareClient } from "./libvirt-wire.js";

/** One connection of a replayed client, and what came on it that no call asked for. */
export interface Line {
  /** Serial of its last recorded call. */
  readonly last: () => number;
  /** A call that was recorded, with descriptors of these files. */
  readonly ask: (frame: Omit<Frame, "fds">, files: readonly string[]) => Promise<Answer>;
  /** One of the test's own. */
  readonly call: <N extends ProcedureName>(name: N, args: ArgsOf<N>) => Promise<RetOf<N>>;
  /** A frame that is not a call. */
  readonly tell: (frame: Omit<Frame, "fds">) => Promise<void>;
  /** Messages so far. */
  readonly messages: () => readonly Frame[];
  /** What the stream of a serial has brought since it was last forgotten, as `streamText` has it. */
  readonly stream: (serial: number) => string;
  readonly forget: (serial: number) => void;
  /** Says good-bye. */
  readonly close: () => Promise<void>;
}

export const endOfFile = "<end of file>";

/** Bytes as they are; marks for what ends a stream. */
export function streamText({ status, payload }: Omit<Frame, "fds">): string {
  if (status === statuses.error) return "<error>";
  if (status === statuses.ok) return "<finished>";
  return payload.length === 0 ? endOfFile : Buffer.from(payload).toString("latin1");
}

/**
 * The banner is of the busybox that the host has. The recording has a frame that is a line's end alone once, and not before an end; a guest that powers
 * itself off may still get to print its prompt.
 */
export const plainStream = (text: string): string =>
  text
    .replace(/BusyBox v.* built-in/, "BusyBox built-in")
    // oxlint-disable-next-line no-control-regex -- what the shell asks its terminal
    .replace(/\r\n(\/ # \u{1b}\[6n)?(?=<end of file>$)/u, "");

const callTimeout = 20_000;

export function openLine(t: Cleaner, socket: string): Line {
  const targets: string[] = [];
  const client = bareClient(t, socket, (fds) => {
    targets.push(...fds.map((fd) => readlinkSync(`/proc/self/fd/${fd}`)));
  });
  const messages: Frame[] = [];
  const streams = new Map<number, string>();
  let last = -1;

  const collect = (): void => {
    for (const frame of client.take()) {
      if (frame.type === frameTypes.message) messages.push(frame);
      else if (frame.type === frameTypes.stream)
        streams.set(frame.serial, (streams.get(frame.serial) ?? "") + streamText(frame));
    }
  };
  return {
    last: () => last,
    async ask(frame, files) {
      last = frame.serial;
      targets.length = 0;
      const isWithFds = frame.type === frameTypes.callWithFds;
      await client.sendAll(encodeFrame(frame, frame.payload, isWithFds ? files.length : null));
      for (const file of files) {
        const fd = openSync(file, "r");
        assert.equal(client.send(new Uint8Array(1), [fd]), 1);
        closeSync(fd);
      }
      return answerOf(await client.reply(frame.serial, callTimeout), targets);
    },
    call: (name, args) => client.call(name, args, callTimeout),
    tell: (frame) => client.sendAll(encodeFrame(frame, frame.payload)),
    messages() {
      collect();
      return messages;
    },
    stream(serial) {
      collect();
      return streams.get(serial) ?? "";
    },
    forget(serial) {
      streams.delete(serial);
    },
    async close() {
      if (!client.isOver()) await client.call("CONNECT_CLOSE", {}).catch(() => undefined);
      client.close();
    },
  };
}
