import { IsletError } from "../base/errors.js";

/** Payloads of the control protocols (docs/protocol/control.md): numbers are frozen and only appended to. */

export const clientFrames = {
  hello: 1,
  out: 2,
  exit: 3,
  run: 4,
  result: 5,
  relay: 6,
  winch: 7,
  signal: 8,
  hungup: 9,
  call: 10,
  answer: 11,
  event: 12,
  descriptor: 13,
  started: 14,
  visitor: 15,
} as const;

export const monitorFrames = {
  start: 1,
  askInfo: 2,
  info: 3,
  state: 4,
  failed: 5,
  kill: 6,
  console: 7,
  askTty: 8,
  tty: 9,
  release: 10,
  resize: 11,
  askBuffer: 12,
  buffer: 13,
  subscribe: 14,
  log: 15,
  ready: 16,
  askPtys: 17,
  ptys: 18,
} as const;

const encoder = new TextEncoder();

/** Appends fields in order; little-endian. */
export interface Writer {
  u16(value: number): Writer;
  u32(value: number): Writer;
  text(value: string): Writer;
  bytes(value: Uint8Array): Writer;
  raw(value: Uint8Array): Writer;
  finish(): Uint8Array;
}

export function writer(): Writer {
  const parts: Uint8Array[] = [];
  let length = 0;
  const push = (part: Uint8Array): Writer => {
    parts.push(part);
    length += part.length;
    return self;
  };
  const self: Writer = {
    u16(value): Writer {
      const part = new Uint8Array(2);
      new DataView(part.buffer).setUint16(0, value, true);
      return push(part);
    },
    u32(value): Writer {
      const part = new Uint8Array(4);
      new DataView(part.buffer).setUint32(0, value >>> 0, true);
      return push(part);
    },
    text(value): Writer {
      return self.bytes(encoder.encode(value));
    },
    bytes(value): Writer {
      self.u32(value.length);
      return push(value);
    },
    raw: push,
    finish(): Uint8Array {
      const out = new Uint8Array(length);
      let at = 0;
      for (const part of parts) {
        out.set(part, at);
        at += part.length;
      }
      return out;
    },
  };
  return self;
}

/** Takes fields in order; everything is checked against what is there. */
export interface Reader {
  u16(): number;
  u32(): number;
  i32(): number;
  u64(): bigint;
  text(): string;
  texts(): readonly string[];
  /** Steps over a list, whose strings are made when they are asked for. */
  textsLater(): () => readonly string[];
  rest(): Uint8Array;
}

/** No list in the protocol is longer than this. */
const maxItems = 65536;

export function reader(payload: Uint8Array): Reader {
  const view = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  let at = 0;
  const take = (size: number): number => {
    if (at + size > payload.length) throw new IsletError("ISLET_PROTOCOL", "a frame is too short");
    const from = at;
    at += size;
    return from;
  };
  const self: Reader = {
    u16: () => view.readUInt16LE(take(2)),
    u32: () => view.readUInt32LE(take(4)),
    i32: () => view.readInt32LE(take(4)),
    u64: () => view.readBigUInt64LE(take(8)),
    text(): string {
      const length = self.u32();
      const from = take(length);
      return view.toString("utf8", from, from + length);
    },
    texts(): readonly string[] {
      const count = self.u32();
      if (count > maxItems) throw new IsletError("ISLET_PROTOCOL", "a list in a frame is too long");
      const out: string[] = [];
      for (let index = 0; index < count; index += 1) out.push(self.text());
      return out;
    },
    textsLater(): () => readonly string[] {
      const from = at;
      const count = self.u32();
      if (count > maxItems) throw new IsletError("ISLET_PROTOCOL", "a list in a frame is too long");
      for (let index = 0; index < count; index += 1) take(self.u32());
      const list = payload.subarray(from, at);
      return () => reader(list).texts();
    },
    rest: () => payload.subarray(at),
  };
  return self;
}

export interface Hello {
  readonly version: number;
  readonly terminals: readonly [boolean, boolean, boolean];
  readonly rows: number;
  readonly columns: number;
  readonly umask: number;
  readonly cwd: string;
  readonly argv: readonly string[];
  /** Most commands never look at it. */
  readonly environment: () => readonly string[];
}

export function decodeHello(payload: Uint8Array): Hello {
  const from = reader(payload);
  const version = from.u32();
  const ttys = from.u32();
  const rows = from.u16();
  const columns = from.u16();
  const umask = from.u32();
  const cwd = from.text();
  const argv = from.texts();
  const environment = from.textsLater();
  return {
    version,
    terminals: [(ttys & 1) !== 0, (ttys & 2) !== 0, (ttys & 4) !== 0],
    rows,
    columns,
    umask,
    cwd,
    argv,
    environment,
  };
}

export interface MonitorInfo {
  readonly state: number;
  readonly pid: number | null;
  /** Wait status of the main process; null while it has none. */
  readonly exit: number | null;
  readonly startedNs: bigint;
  readonly reboots: number;
  readonly meta: string;
}

const noExit = 0xffffffff;

export function decodeInfo(payload: Uint8Array): MonitorInfo {
  const from = reader(payload);
  const state = from.u32();
  const pid = from.i32();
  const exit = from.u32();
  const startedNs = from.u64();
  const reboots = from.u32();
  return {
    state,
    pid: pid > 0 ? pid : null,
    exit: exit === noExit ? null : exit,
    startedNs,
    reboots,
    meta: from.text(),
  };
}

export function decodeState(payload: Uint8Array): { readonly state: number; readonly exit: number | null } {
  const from = reader(payload);
  const state = from.u32();
  const exit = from.u32();
  return { state, exit: exit === noExit ? null : exit };
}

export interface StartFrame {
  readonly flags: number;
  readonly failOperation: number | null;
  readonly failErrno: number;
  readonly title: string;
  readonly meta: string;
  /** Writes the program's image where it is told to: it is large, and goes into the frame without a copy. */
  readonly image: (allocate: (size: number) => Uint8Array) => Uint8Array;
}

/** Bytes before the payload of every frame. */
export const frameHead = 8;

/** A whole START frame, head included, for `sendFrame`. */
export function encodeStart(start: StartFrame): Uint8Array {
  const before = writer()
    .u32(start.flags)
    .u32(start.failOperation ?? 0xffffffff)
    .u32(start.failErrno)
    .text(start.title)
    .text(start.meta)
    .finish();
  let frame = new Uint8Array(0);
  start.image((size) => {
    frame = new Uint8Array(frameHead + before.length + 4 + size);
    const view = new DataView(frame.buffer);
    view.setUint32(0, frame.length - frameHead, true);
    view.setUint16(4, monitorFrames.start, true);
    frame.set(before, frameHead);
    view.setUint32(frameHead + before.length, size, true);
    return frame.subarray(frameHead + before.length + 4);
  });
  return frame;
}

/** Exit code as a shell shows it, from a wait status (wait(2)). */
export function exitCode(status: number): number {
  const signal = status & 0x7f;
  return signal === 0 ? (status >> 8) & 0xff : 128 + signal;
}
