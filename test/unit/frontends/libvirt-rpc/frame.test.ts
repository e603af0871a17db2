import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  createFramer,
  encodeFrame,
  type Frame,
  type Framer,
  maxFrame,
} from "../../../../src/frontends/libvirt/rpc/frame.js";

const head = { program: 0x20008086, version: 1, procedure: 23, type: 0, serial: 7, status: 0 };
const withFds = { ...head, type: 4 };
const open = (limit: number = maxFrame): Framer => createFramer(() => limit);

function words(...all: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(all.length * 4);
  const view = new DataView(bytes.buffer);
  all.forEach((word, index) => {
    view.setUint32(index * 4, word);
  });
  return bytes;
}

describe("frames", () => {
  it("are found however they are split and glued", () => {
    const message = fc.record({
      payload: fc.uint8Array({ maxLength: 300 }),
      fds: fc.array(fc.integer(), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 6 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 90 })),
        (messages, sizes) => {
          const framer = open();
          const got: Frame[] = [];
          const drain = (): void => {
            for (let frame = framer.next(); frame !== null; frame = framer.next()) {
              assert.ok(frame !== "broken");
              got.push({ ...frame, payload: frame.payload });
            }
          };
          // The kernel ends a read behind each byte that carries a descriptor.
          let held = Buffer.alloc(0);
          const flush = (fds: readonly number[]): void => {
            while (held.length > 0) {
              const size = Number(sizes.next().value);
              const part = held.subarray(0, size);
              held = held.subarray(size);
              assert.ok(framer.push(part, held.length === 0 ? fds : []));
              drain();
            }
          };
          for (const { payload, fds } of messages) {
            held = Buffer.concat([
              held,
              encodeFrame(fds.length > 0 ? withFds : head, payload, fds.length > 0 ? fds.length : null),
            ]);
            for (const fd of fds) {
              held = Buffer.concat([held, Buffer.alloc(1)]);
              flush([fd]);
            }
          }
          flush([]);
          assert.deepEqual(
            got.map(({ payload, fds }) => ({ payload: [...payload], fds: [...fds] })),
            messages.map(({ payload, fds }) => ({ payload: [...payload], fds })),
          );
          assert.deepEqual(framer.leftFds(), []);
        },
      ),
    );
  });

  it("are not believed when they say that they are shorter than their head, or longer than any may be", () => {
    for (const length of [0, 27, maxFrame + 1, 0xffffffff]) {
      const framer = open();
      framer.push(words(length), []);
      assert.equal(framer.next(), "broken", String(length));
    }
    const small = open(100);
    small.push(words(101), []);
    assert.equal(small.next(), "broken");
    const longest = open();
    longest.push(words(maxFrame), []);
    assert.equal(longest.next(), null);
  });

  it("with descriptors need the word that counts them", () => {
    const framer = open();
    framer.push(words(28, head.program, 1, 23, 4, 7, 0), []);
    assert.equal(framer.next(), "broken");
  });

  it("may say that no descriptor follows", () => {
    const framer = open();
    framer.push(encodeFrame(withFds, new Uint8Array(0), 0), []);
    const frame = framer.next();
    assert.ok(frame !== null && frame !== "broken");
    assert.deepEqual([frame.payload.length, frame.fds], [0, []]);
  });

  it("cannot have 33 descriptors, neither said nor sent", () => {
    const said = open();
    said.push(encodeFrame(withFds, new Uint8Array(0), 33), []);
    assert.equal(said.next(), "broken");
    const sent = open();
    assert.equal(
      sent.push(
        words(100),
        Array.from({ length: 32 }, (_, fd) => fd),
      ),
      true,
    );
    assert.equal(sent.push(words(0), [33]), false);
    assert.equal(sent.leftFds().length, 33);
  });

  it("wait for the bytes of their descriptors, and break when those bring none", () => {
    const framer = open();
    framer.push(encodeFrame(withFds, new Uint8Array(4), 2), []);
    assert.equal(framer.next(), null);
    framer.push(new Uint8Array(1), [5]);
    assert.equal(framer.next(), null);
    framer.push(new Uint8Array(1), []);
    assert.equal(framer.next(), "broken");
    assert.deepEqual(framer.leftFds(), [5]);
  });

  it("that nobody announced descriptors for leave a fault behind", () => {
    const framer = open();
    framer.push(encodeFrame(head, new Uint8Array(0)), [5]);
    assert.ok(framer.next() !== "broken");
    assert.equal(framer.next(), "broken");
    assert.deepEqual(framer.leftFds(), [5]);
  });
});
