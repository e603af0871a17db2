import assert from "node:assert/strict";
import { once } from "node:events";
import { openSync, closeSync, readdirSync } from "node:fs";
import { Socket } from "node:net";
import { describe, it } from "node:test";
import { sendMessage } from "../../../src/host/addon.js";
import { socketPair } from "../../../src/host/socket.js";
import { createShare, unixStream } from "../../../src/host/unix-stream.js";
import { currentArch } from "../../support/image.js";
import { waitFor } from "../../support/wait.js";

const descriptors = (): number => readdirSync("/proc/self/fd").length;

describe("a stream over a unix socket", () => {
  it("carries more than the kernel takes at once, both ways, and an end", async () => {
    const [ours, theirs] = socketPair(currentArch);
    const stream = unixStream(currentArch, theirs, createShare(1000));
    const other = new Socket({ fd: ours, readable: true, writable: true, allowHalfOpen: true });
    const big = Buffer.alloc(3_000_000, "x");
    let got = 0;
    let back = 0;
    stream.on("data", (part: Buffer) => (got += part.length));
    other.on("data", (part: Buffer) => (back += part.length));
    other.end(big);
    stream.end(big);
    await Promise.all([once(stream, "close"), once(other, "close")]);
    assert.deepEqual([got, back], [big.length, big.length]);
  });

  it("closes descriptors that the other side sends, and its own", async () => {
    const before = descriptors();
    const [ours, theirs] = socketPair(currentArch);
    const stream = unixStream(currentArch, theirs, createShare(1000));
    const extra = openSync("/dev/null", "r");
    let got = "";
    stream.on("data", (part: Buffer) => (got += part.toString()));
    for (let round = 0; round < 50; round += 1) {
      sendMessage(ours, new TextEncoder().encode("x"), [extra, extra, extra]);
      await new Promise(setImmediate);
    }
    closeSync(extra);
    await waitFor("all of it", () => got.length === 50);
    assert.ok(descriptors() < before + 10);
    closeSync(ours);
    stream.end();
    await once(stream, "close");
    assert.equal(descriptors(), before);
  });

  it("takes no more while nobody reads, and does not write to somebody who has gone", async () => {
    const [ours, theirs] = socketPair(currentArch);
    const stream = unixStream(currentArch, theirs, createShare(1000));
    const other = new Socket({ fd: ours, readable: true, writable: true });
    other.on("error", () => undefined);
    other.write(Buffer.alloc(1_000_000));
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok(stream.readableLength <= 4096, String(stream.readableLength));
    other.destroy();
    const failed = once(stream, "error");
    stream.write("x");
    assert.match(String(await failed), /EPIPE|ECONNRESET/);
  });

  it("leaves the event loop to others when its share of a turn is used up", async () => {
    const [ours, theirs] = socketPair(currentArch);
    const stream = unixStream(currentArch, theirs, createShare(1));
    const other = new Socket({ fd: ours, readable: true, writable: true });
    let parts = 0;
    // Two milliseconds for each part: one a turn.
    stream.on("data", () => {
      parts += 1;
      const until = performance.now() + 2;
      while (performance.now() < until);
    });
    other.write(Buffer.alloc(100_000));
    let turns = 0;
    while (parts < 20) {
      turns += 1;
      await new Promise(setImmediate);
    }
    assert.ok(turns >= 10, `${parts} parts in ${turns} turns`);
    other.destroy();
    stream.destroy();
    await once(stream, "close");
  });
});
