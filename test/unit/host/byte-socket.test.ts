import assert from "node:assert/strict";
import { closeSync, fstatSync, openSync, readdirSync } from "node:fs";
import { describe, it, type TestContext } from "node:test";
import { closeFd, receiveMessage, sendMessage } from "../../../src/host/addon.js";
import { type ByteSocket, openByteSocket } from "../../../src/host/byte-socket.js";
import { socketPair } from "../../support/frames.js";
import { waitFor } from "../../support/wait.js";

interface Ends {
  readonly raw: number;
  readonly socket: ByteSocket;
  readonly got: { readonly text: string; readonly fds: readonly number[] }[];
  readonly told: { drained: number; closed: number };
}

const descriptors = (): number => readdirSync("/proc/self/fd").length;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function ends(t: TestContext): Ends {
  const [raw, fd] = socketPair();
  const got: Ends["got"] = [];
  const told = { drained: 0, closed: 0 };
  const socket = openByteSocket(fd, () => ({
    received: (part, fds) => {
      got.push({ text: Buffer.from(part).toString(), fds });
    },
    drained: () => {
      told.drained += 1;
    },
    closed: () => {
      told.closed += 1;
    },
  }));
  t.after(() => {
    socket.close();
    closeFd(raw);
    for (const { fds } of got) for (const each of fds) closeFd(each);
  });
  return { raw, socket, got, told };
}

/** The next message that waits at the other end, in one read. */
function next(raw: number): { readonly text: string; readonly fds: readonly number[] } {
  const into = new Uint8Array(1 << 20);
  const { bytes: length, fds } = receiveMessage(raw, into, 32);
  return { text: Buffer.from(into.subarray(0, Math.max(length, 0))).toString("latin1"), fds };
}

describe("a socket of bytes and descriptors", () => {
  it("sends each descriptor behind the bytes, with a zero byte of its own, and closes it", (t) => {
    const before = descriptors();
    const { raw, socket } = ends(t);
    const files = ["/etc/passwd", "/dev/null"].map((path) => openSync(path, "r"));
    const inodes = files.map((fd) => fstatSync(fd).ino);
    socket.send(bytes("a frame"), files);
    // Who reads only bytes, without room for descriptors, loses none of them.
    assert.equal(receiveMessage(raw, new Uint8Array(7), 0).bytes, 7);
    for (const inode of inodes) {
      const { text, fds } = next(raw);
      assert.equal(text, "\0");
      assert.deepEqual(
        fds.map((fd) => fstatSync(fd).ino),
        [inode],
      );
      for (const fd of fds) closeSync(fd);
    }
    assert.equal(socket.pending, 0);
    assert.equal(descriptors(), before + 3);
  });

  it("receives bytes, and descriptors with the last of them", async (t) => {
    const { raw, got } = ends(t);
    const file = openSync("/dev/null", "r");
    sendMessage(raw, bytes("frame"), []);
    sendMessage(raw, bytes("\0"), [file]);
    sendMessage(raw, bytes("\0"), [file]);
    sendMessage(raw, bytes("next"), []);
    closeSync(file);
    await waitFor("all of it", () => got.map(({ text }) => text).join("") === "frame\0\0next");
    assert.deepEqual(
      got.map(({ text, fds }) => [text, fds.length]),
      [
        ["frame\0", 1],
        ["\0", 1],
        ["next", 0],
      ],
    );
  });

  it("ends when a message brings more than 32 descriptors, and closes them", async (t) => {
    const before = descriptors();
    const { raw, socket, told } = ends(t);
    const file = openSync("/dev/null", "r");
    sendMessage(
      raw,
      bytes("x"),
      Array.from({ length: 33 }, () => file),
    );
    closeSync(file);
    await waitFor("the end", () => told.closed === 1);
    socket.send(bytes("late"), [openSync("/dev/null", "r")]);
    await waitFor("their end", () => descriptors() <= before + 1);
  });

  it("holds what is not taken, in order, and tells when it has gone", async (t) => {
    const { raw, socket, told } = ends(t);
    const part = "0123456789".repeat(10_000);
    for (let round = 0; round < 20; round += 1) socket.send(bytes(part));
    const file = openSync("/dev/null", "r");
    socket.send(bytes("!"), [file]);
    assert.ok(socket.pending > 0);
    assert.equal(told.drained, 0);
    let text = "";
    const all: number[] = [];
    await waitFor(
      "all of it",
      () => {
        const got = next(raw);
        text += got.text;
        all.push(...got.fds);
        return told.drained === 1 && text.endsWith("!\0");
      },
      { every: 1 },
    );
    for (const fd of all) closeSync(fd);
    assert.equal(all.length, 1);
    assert.equal(text, `${part.repeat(20)}!\0`);
    assert.equal(socket.pending, 0);
  });

  it("that is paused receives nothing, but notices that the other side has gone", async (t) => {
    const { raw, socket, got, told } = ends(t);
    socket.pause();
    sendMessage(raw, bytes("x"), []);
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.deepEqual(got, []);
    socket.resume();
    await waitFor("it", () => got.length === 1);
    socket.pause();
    const away = ends(t);
    away.socket.pause();
    closeFd(away.raw);
    await waitFor("the end", () => away.told.closed === 1);
    assert.equal(told.closed, 0);
  });

  it("that ends sends everything first, and takes nothing more", async (t) => {
    const { raw, socket, told } = ends(t);
    const part = "x".repeat(1_000_000);
    socket.send(bytes(part));
    socket.end();
    socket.send(bytes("late"));
    assert.equal(told.closed, 0);
    let length = 0;
    await waitFor(
      "the end",
      () => {
        length += next(raw).text.length;
        return told.closed === 1;
      },
      { every: 1 },
    );
    length += next(raw).text.length;
    assert.equal(length, part.length);
    assert.equal(receiveMessage(raw, new Uint8Array(1), 0).bytes, 0);
  });

  it("closes what it has not sent, once", async (t) => {
    const before = descriptors();
    const { socket, told } = ends(t);
    socket.send(new Uint8Array(10_000_000), [openSync("/dev/null", "r")]);
    socket.close();
    socket.close();
    socket.end();
    assert.equal(told.closed, 1);
    await waitFor("their end", () => descriptors() <= before + 1);
  });
});
