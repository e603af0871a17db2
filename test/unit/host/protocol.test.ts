import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";

import { IsletError } from "../../../src/base/errors.js";
import {
  clientFrames,
  decodeHello,
  decodeInfo,
  decodeState,
  encodeStart,
  exitCode,
  monitorFrames,
  reader,
  writer,
} from "../../../src/host/protocol.js";
import { u32 } from "../../support/frames.js";

const text = fc.string({ unit: "grapheme", maxLength: 30 });
const isProtocol = (error: unknown): boolean => error instanceof IsletError && error.code === "ISLET_PROTOCOL";

test("the numbers of frames are those of the page and will never change", () => {
  assert.deepEqual(clientFrames, {
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
  });
  assert.deepEqual(Object.values(monitorFrames), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]);
});

test("what was written is read again, field by field", () => {
  const field = fc.oneof(
    fc.record({ kind: fc.constant("u16" as const), value: fc.nat(0xffff) }),
    fc.record({ kind: fc.constant("u32" as const), value: fc.nat(0xffffffff) }),
    fc.record({ kind: fc.constant("text" as const), value: text }),
  );
  fc.assert(
    fc.property(fc.array(field), fc.uint8Array(), (fields, rest) => {
      const out = writer();
      for (const one of fields) {
        if (one.kind === "text") out.text(one.value);
        else out[one.kind](one.value);
      }
      const from = reader(out.raw(rest).finish());
      for (const one of fields) assert.equal(from[one.kind](), one.value);
      assert.deepEqual([...from.rest()], [...rest]);
    }),
  );
});

interface Greeting {
  readonly ttys: number;
  readonly rows: number;
  readonly columns: number;
  readonly umask: number;
  readonly cwd: string;
  readonly argv: readonly string[];
  readonly environment: readonly string[];
}

function hello(given: Greeting): Uint8Array {
  const out = writer().u32(1).u32(given.ttys).u16(given.rows).u16(given.columns).u32(given.umask).text(given.cwd);
  for (const list of [given.argv, given.environment]) {
    out.u32(list.length);
    for (const item of list) out.text(item);
  }
  return out.finish();
}

const greetings: fc.Arbitrary<Greeting> = fc.record({
  ttys: fc.nat(7),
  rows: fc.nat(0xffff),
  columns: fc.nat(0xffff),
  umask: fc.nat(0o777),
  cwd: text,
  argv: fc.array(text),
  environment: fc.array(text),
});

test("a HELLO is read as it was sent, and cut off anywhere it is a broken protocol and nothing else", () => {
  fc.assert(
    fc.property(greetings, fc.double({ min: 0, max: 1, noNaN: true }), (given, part) => {
      const bytes = hello(given);
      const { ttys, ...same } = given;
      const decoded = decodeHello(bytes);
      assert.deepEqual(
        { ...decoded, environment: decoded.environment() },
        {
          ...same,
          version: 1,
          terminals: [(ttys & 1) !== 0, (ttys & 2) !== 0, (ttys & 4) !== 0],
        },
      );
      const cut = Math.floor(part * bytes.length);
      if (cut < bytes.length) assert.throws(() => decodeHello(bytes.subarray(0, cut)), isProtocol);
    }),
  );
});

test("any bytes at all are a frame or a broken protocol: never another error, and never more memory than they are", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const decode of [decodeHello, decodeInfo, decodeState]) {
        try {
          decode(bytes);
        } catch (error) {
          assert.ok(isProtocol(error), String(error));
        }
      }
    }),
    { numRuns: 500 },
  );
  assert.throws(() => reader(u32(0xffffffff)).texts(), isProtocol);
  assert.throws(() => reader(u32(0xfffffff0, 1)).text(), isProtocol);
});

test("INFO tells what there is, and null where there is nothing yet", () => {
  const info = (pid: number, exit: number): Uint8Array => {
    const started = Buffer.alloc(8);
    started.writeBigUInt64LE(123456789012345n);
    return writer().u32(2).u32(pid).u32(exit).raw(started).u32(3).text("{}").finish();
  };
  assert.deepEqual(decodeInfo(info(77, 0xffffffff)), {
    state: 2,
    pid: 77,
    exit: null,
    startedNs: 123456789012345n,
    reboots: 3,
    meta: "{}",
  });
  assert.deepEqual(
    [decodeInfo(info(-1, 0x100)).pid, decodeInfo(info(0, 0x100)).pid, decodeInfo(info(-1, 0x100)).exit],
    [null, null, 256],
  );
  assert.deepEqual(decodeState(u32(0, 9)), { state: 0, exit: 9 });
  assert.deepEqual(decodeState(u32(1, 0xffffffff)), { state: 1, exit: null });
});

test("START carries flags, the operation to fail, title, meta and the image, in this order", () => {
  const frame = encodeStart({
    flags: 5,
    failOperation: 9,
    failErrno: 28,
    title: "[lxc monitor] x",
    meta: "{}",
    image: (allocate) => {
      const room = allocate(3);
      room.set([1, 2, 3]);
      return room;
    },
  });
  const head = reader(frame);
  assert.deepEqual([head.u32(), head.u16(), head.u16()], [frame.length - 8, monitorFrames.start, 0]);
  const from = reader(head.rest());
  assert.deepEqual(
    [from.u32(), from.u32(), from.u32(), from.text(), from.text(), from.u32()],
    [5, 9, 28, "[lxc monitor] x", "{}", 3],
  );
  assert.deepEqual([...from.rest()], [1, 2, 3]);
});

test("a wait status is shown as a shell shows it", () => {
  assert.deepEqual(
    [exitCode(0), exitCode(7 << 8), exitCode(255 << 8), exitCode(9), exitCode(15 | 0x80)],
    [0, 7, 255, 137, 143],
  );
});
