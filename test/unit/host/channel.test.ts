import assert from "node:assert/strict";
import { fstatSync, openSync, readdirSync } from "node:fs";
import { test, type TestContext } from "node:test";

import { closeFd, memfd, receiveMessage, sendMessage } from "../../../src/host/addon.js";
import { openChannel, type Channel, type Frame } from "../../../src/host/channel.js";
import { encodeFrame, socketPair, wire } from "../../support/frames.js";
import { waitFor } from "../../support/wait.js";

interface Ends {
  /** The raw end, for what a channel would never send. */
  readonly raw: number;
  readonly channel: Channel;
  readonly frames: Frame[];
  readonly reasons: string[];
}

function ends(t: TestContext, maxFrame: number = 1 << 20, onFrame?: (frame: Frame, channel: Channel) => void): Ends {
  const [raw, fd] = socketPair();
  const frames: Frame[] = [];
  const reasons: string[] = [];
  const channel = openChannel(fd, maxFrame, {
    frame: (frame) => {
      frames.push(frame);
      onFrame?.(frame, channel);
    },
    closed: (reason) => reasons.push(reason),
  });
  t.after(() => {
    channel.close();
    closeFd(raw);
    for (const frame of frames) for (const each of frame.fds) closeFd(each);
  });
  return { raw, channel, frames, reasons };
}

const text = (payload: Uint8Array): string => Buffer.from(payload).toString();
const bytes = (value: string): Buffer => Buffer.from(value);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
const descriptors = (): number => readdirSync("/proc/self/fd").length;

/** An open file that can be told from all others by its inode. */
function marked(t: TestContext): { readonly fd: number; readonly inode: number } {
  const fd = memfd("islt", bytes("x"), false);
  t.after(() => closeFd(fd));
  return { fd, inode: fstatSync(fd).ino };
}

const inodes = (frame: Frame | undefined): readonly number[] => (frame?.fds ?? []).map((fd) => fstatSync(fd).ino);

test("frames arrive whole wherever the stream is cut", async (t) => {
  const { raw, frames } = ends(t);
  const stream = Buffer.concat([
    encodeFrame(1, bytes("one")),
    encodeFrame(2, bytes("")),
    encodeFrame(3, bytes("three")),
  ]);
  for (let cut = 0; cut <= stream.length; cut += 1) {
    const before = frames.length;
    sendMessage(raw, stream.subarray(0, cut), []);
    await turn();
    sendMessage(raw, stream.subarray(cut), []);
    await waitFor("three frames", () => frames.length === before + 3, { every: 1 });
    assert.deepEqual(
      frames.slice(before).map((frame) => [frame.type, text(frame.payload)]),
      [
        [1, "one"],
        [2, ""],
        [3, "three"],
      ],
    );
  }
});

test("a stream of single bytes is the same stream", async (t) => {
  const { raw, frames } = ends(t);
  for (const byte of Buffer.concat([encodeFrame(7, bytes("slow")), encodeFrame(8, bytes("er"))])) {
    sendMessage(raw, Uint8Array.of(byte), []);
    await turn();
  }
  await waitFor("both", () => frames.length === 2);
  assert.deepEqual(
    frames.map((frame) => text(frame.payload)),
    ["slow", "er"],
  );
});

test("descriptors belong to the frame they came with, however frames are glued together", async (t) => {
  const { raw, frames } = ends(t);
  const [a, b, c] = [marked(t), marked(t), marked(t)];
  sendMessage(raw, encodeFrame(1, bytes("none")), []);
  sendMessage(raw, encodeFrame(2, bytes("two")), [a.fd, b.fd]);
  sendMessage(raw, encodeFrame(3, bytes("none again")), []);
  sendMessage(raw, encodeFrame(4, bytes("")), [c.fd]);
  sendMessage(raw, encodeFrame(5, bytes("last")), []);
  await waitFor("all five", () => frames.length === 5);
  assert.deepEqual(frames.map(inodes), [[], [a.inode, b.inode], [], [c.inode], []]);
});

test("the descriptors of a frame longer than any read, and of one behind it, are told apart", async (t) => {
  const { raw, frames } = ends(t);
  const [a, b] = [marked(t), marked(t)];
  const large = encodeFrame(1, Buffer.alloc(200_000, "x"));
  let fds: readonly number[] = [a.fd];
  for (let at = 0; at < large.length;) {
    const sent = sendMessage(raw, large.subarray(at), fds);
    if (sent > 0) {
      at += sent;
      fds = [];
    } else await turn();
  }
  sendMessage(raw, encodeFrame(2, bytes("behind")), [b.fd]);
  await waitFor("both", () => frames.length === 2);
  assert.equal(frames[0]?.payload.length, 200_000);
  assert.deepEqual(frames.map(inodes), [[a.inode], [b.inode]]);
});

test("a frame whose first bytes fill up a read keeps its descriptors", async (t) => {
  const { raw, frames } = ends(t);
  const mark = marked(t);
  // 65536 bytes are read at once: the header of the second frame is cut after three bytes.
  sendMessage(raw, encodeFrame(1, Buffer.alloc(65536 - 8 - 3)), []);
  sendMessage(raw, encodeFrame(2, bytes("cut")), [mark.fd]);
  await waitFor("both", () => frames.length === 2);
  assert.deepEqual(frames.map(inodes), [[], [mark.inode]]);
});

test("a frame larger than the limit ends the connection before its payload is held", async (t) => {
  const { raw, frames, reasons } = ends(t, 100);
  sendMessage(raw, encodeFrame(1, Buffer.alloc(100)), []);
  await waitFor("the frame that just fits", () => frames.length === 1);
  sendMessage(raw, encodeFrame(1, Buffer.alloc(101)).subarray(0, 8), []);
  await waitFor("the end", () => reasons.length > 0);
  assert.deepEqual(reasons, ["the other side broke the protocol"]);
  assert.equal(receiveMessage(raw, Buffer.alloc(8), 0).bytes, 0, "the descriptor is closed");
});

test("a header with a reserved field that is not zero ends the connection", async (t) => {
  const { raw, reasons } = ends(t);
  sendMessage(raw, Uint8Array.of(0, 0, 0, 0, 1, 0, 1, 0), []);
  await waitFor("the end", () => reasons.length > 0);
  assert.deepEqual(reasons, ["the other side broke the protocol"]);
});

test("thirty-two descriptors are taken, thirty-three end the connection and none of them stays open", async (t) => {
  const { fd } = marked(t);
  const before = descriptors();
  const { raw, frames, reasons } = ends(t);
  const many = (count: number): readonly number[] => Array.from({ length: count }, () => fd);
  sendMessage(raw, encodeFrame(1, bytes("")), many(32));
  await waitFor("thirty-two", () => frames[0]?.fds.length === 32);
  sendMessage(raw, encodeFrame(1, bytes("")), many(33));
  await waitFor("the end", () => reasons.length > 0);
  assert.deepEqual(reasons, ["the other side sent too many descriptors"]);
  assert.equal(descriptors(), before + 32 + 1, "thirty-two, and our own end");
});

test("descriptors that come in the middle of a frame that has some already end the connection", async (t) => {
  const { fd } = marked(t);
  const before = descriptors();
  const { raw, frames, reasons } = ends(t);
  const frame = encodeFrame(1, bytes("payload"));
  sendMessage(raw, frame.subarray(0, 4), [fd]);
  sendMessage(raw, frame.subarray(4, 9), [fd]);
  sendMessage(raw, frame.subarray(9), []);
  await waitFor("the end", () => reasons.length > 0);
  assert.deepEqual([frames.length, reasons], [0, ["the other side sent too many descriptors"]]);
  assert.equal(descriptors(), before + 1);
});

test("a handler may close the channel: nothing more is handed to it and no descriptor is left over", async (t) => {
  const { fd } = marked(t);
  const before = descriptors();
  const { raw, frames, reasons } = ends(t, 1 << 20, (_, channel) => channel.close());
  sendMessage(raw, Buffer.concat([encodeFrame(1, bytes("a")), encodeFrame(2, bytes("b"))]), []);
  sendMessage(raw, encodeFrame(3, bytes("c")), [fd]);
  await waitFor("the end", () => reasons.length > 0);
  await turn();
  assert.deepEqual([frames.map((frame) => frame.type), reasons], [[1], ["closed"]]);
  assert.equal(descriptors(), before + 1);
});

test("the end of the other side is told once, and what is sent afterwards goes nowhere", async (t) => {
  const { raw, channel, reasons } = ends(t);
  closeFd(raw);
  await waitFor("the end", () => reasons.length > 0);
  const given = openSync("/dev/null", "r");
  channel.send(1, bytes("late"), [given], true);
  channel.close();
  assert.deepEqual(reasons, ["the other side has gone"]);
  assert.throws(() => fstatSync(given), /EBADF/, "a descriptor that was given away is closed all the same");
  assert.equal(channel.pending, 0);
});

test("what the other side sent before it went is read, even by a handler whose answer cannot be sent any more", async (t) => {
  const { raw, channel, frames, reasons } = ends(t, 1 << 20, (_, own) => own.send(9, bytes("?")));
  channel.send(1, bytes("not read by the other side: its end comes with an error"));
  for (const type of [1, 2, 3]) sendMessage(raw, encodeFrame(type, bytes("x")), []);
  closeFd(raw);
  await waitFor("the end", () => reasons.length > 0);
  assert.deepEqual(
    frames.map((frame) => frame.type),
    [1, 2, 3],
  );
  assert.equal(reasons.length, 1);
});

test("a slow reader gets everything, in order, with the descriptors that were meant, even if the sender has closed its own", async (t) => {
  const { raw, channel, reasons } = ends(t);
  const mark = marked(t);
  const count = 40;
  for (let index = 0; index < count; index += 1) channel.send(index, Buffer.alloc(64 * 1024, index));
  assert.ok(channel.pending > 1024 * 1024, "the socket's buffer is full");
  const given = openSync(`/proc/self/fd/${mark.fd}`, "r");
  channel.send(100, bytes("descriptor"), [given]);
  closeFd(given);
  const other = openSync("/dev/null", "r");
  assert.equal(other, given, "the number has another meaning now");
  channel.end();
  const reader = wire(raw);
  for (let index = 0; index < count; index += 1) {
    const frame = await reader.next();
    assert.deepEqual([frame?.type, frame?.payload.length, frame?.payload[65535]], [index, 65536, index]);
  }
  const last = await reader.next();
  assert.deepEqual([last?.type, (last?.fds ?? []).map((fd) => fstatSync(fd).ino)], [100, [mark.inode]]);
  for (const fd of last?.fds ?? []) closeFd(fd);
  assert.equal(await reader.next(), null);
  await waitFor("the end", () => reasons.length > 0);
  assert.deepEqual(reasons, ["ended"]);
  closeFd(other);
});

test("a reader that never reads cannot make the sender hold more than its limit", (t) => {
  const { channel, reasons } = ends(t);
  const payload = new Uint8Array(4 * 1024 * 1024);
  const given = openSync("/dev/null", "r");
  let sent = 0;
  while (reasons.length === 0 && sent < 100) {
    channel.send(1, payload, sent === 10 ? [given] : [], true);
    sent += 1;
  }
  assert.deepEqual(reasons, ["the other side does not read"]);
  assert.ok(sent >= 16 && sent < 20, String(sent));
  assert.throws(() => fstatSync(given), /EBADF/, "a descriptor in the queue does not stay open");
});

test("nothing keeps its place in the queue after the channel's end", (t) => {
  const { channel, reasons } = ends(t);
  channel.end();
  channel.send(1, bytes("x"));
  assert.deepEqual([reasons, channel.pending], [["ended"], 0]);
});

test("poke takes what has arrived without a turn of the event loop", (t) => {
  const { raw, channel, frames } = ends(t);
  sendMessage(raw, encodeFrame(9, bytes("now")), []);
  channel.poke();
  assert.deepEqual(
    frames.map((frame) => [frame.type, text(frame.payload)]),
    [[9, "now"]],
  );
});
