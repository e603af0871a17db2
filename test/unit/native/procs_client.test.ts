import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { closeFd } from "../../../src/host/addon.js";
import {
  OUT,
  EXIT,
  RUN,
  RELAY,
  decodeHello,
  fakeDaemon,
  islet,
  out,
  startClient,
  type Hello,
} from "../../support/client.js";
import { requireSyscall } from "../../../src/sys/syscalls.js";
import { currentArch } from "../../support/image.js";
import { waitFor } from "../../support/wait.js";
import { encodeFrame, socketPair, string, sys, u32, wire } from "../../support/frames.js";

test("the client prints what it is sent on the right descriptors and exits with the code", async (t) => {
  const runtime = fakeDaemon(t, (peer) => {
    out(peer, 1, "one\n");
    out(peer, 2, "warning\n");
    out(peer, 1, "two\n");
    peer.send(EXIT, u32(7));
  });
  const ended = await startClient(runtime).ended;
  assert.deepEqual(ended, { code: 7, signal: null, stdout: "one\ntwo\n", stderr: "warning\n" });
});

test("the client says who calls: arguments, environment, directory, mask, and no terminal", async (t) => {
  let hello: Hello | null = null;
  const runtime = fakeDaemon(t, (peer, frame) => {
    hello = decodeHello(frame.payload);
    assert.equal(frame.fds.length, 3);
    peer.send(EXIT, u32(0));
  });
  const huge = "x".repeat(100_000);
  const mask = process.umask(0o137);
  const client = startClient(runtime, { args: ["-n", "web 1", "", huge], env: { A: "b=c" }, cwd: "/usr" });
  process.umask(mask);
  assert.equal((await client.ended).code, 0);
  assert.deepEqual(hello, {
    ttys: 0,
    rows: 0,
    columns: 0,
    umask: 0o137,
    cwd: "/usr",
    argv: ["lxc-test", "-n", "web 1", "", huge],
    env: [`ISLET_RUNTIME_DIR=${runtime}`, "A=b=c"],
  });
});

test("the client passes its own standard descriptors", async (t) => {
  const runtime = fakeDaemon(t, (peer, hello) => {
    const text = Buffer.from("straight from the daemon");
    sys("write", hello.fds[1] ?? -1, text, text.length);
    peer.send(EXIT, u32(0));
  });
  assert.equal((await startClient(runtime).ended).stdout, "straight from the daemon");
});

test("an output larger than every buffer arrives whole", async (t) => {
  const text = Array.from({ length: 90_000 }, (_, i) => `line ${i}`).join("\n");
  const runtime = fakeDaemon(t, (peer) => {
    out(peer, 1, text);
    peer.send(EXIT, u32(0));
  });
  const ended = await startClient(runtime).ended;
  assert.equal(ended.stdout, text);
});

test("a closed standard output ends the client by SIGPIPE, as any tool", async (t) => {
  const runtime = fakeDaemon(t, async (peer) => {
    for (let i = 0; i < 50; i++) {
      out(peer, 1, "x".repeat(100_000));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    peer.send(EXIT, u32(0));
  });
  const client = startClient(runtime);
  client.child.stdout?.once("data", () => client.child.stdout?.destroy());
  const ended = await client.ended;
  assert.deepEqual([ended.signal, ended.code, ended.stderr], ["SIGPIPE", null, ""]);
});

test("a reader that leaves while the client waits for room, with bytes unread, is a closed output, too", async (t) => {
  const both = Buffer.alloc(8);
  sys("socketpair", 1, 0o2000001, 0, both);
  const [ours, theirs] = [both.readInt32LE(0), both.readInt32LE(4)];
  const runtime = fakeDaemon(t, (peer) => {
    for (let i = 0; i < 2000; i++) out(peer, 1, "x".repeat(1000));
  });
  const client = startClient(runtime, { stdio: ["ignore", theirs, "pipe"] });
  closeFd(theirs);
  // Blocked in its write, for want of room: nobody reads.
  const write = `${requireSyscall(currentArch, "write")} `;
  await waitFor("the client to wait", () =>
    readFileSync(`/proc/${client.child.pid}/syscall`, "utf8").startsWith(write),
  );
  closeFd(ours);
  const ended = await client.ended;
  assert.deepEqual([ended.signal, ended.code, ended.stderr], ["SIGPIPE", null, ""]);
});

test("closed standard descriptors do no harm", async (t) => {
  const runtime = fakeDaemon(t, (peer, hello) => {
    assert.equal(hello.fds.length, 3);
    out(peer, 1, "into the void");
    peer.send(EXIT, u32(3));
  });
  const child = spawn("/bin/sh", ["-c", `exec ${islet} info <&- >&- 2>&-`], { env: { ISLET_RUNTIME_DIR: runtime } });
  assert.equal(await new Promise((resolve) => child.on("close", resolve)), 3);
});

test("a daemon that goes away is named, and the exit code is 1", async (t) => {
  const runtime = fakeDaemon(t, (peer) => {
    out(peer, 1, "half");
    peer.close();
  });
  assert.deepEqual(await startClient(runtime).ended, {
    code: 1,
    signal: null,
    stdout: "half",
    stderr: "lxc-test: the islet daemon went away\n",
  });
});

const nonsense: Readonly<Record<string, Uint8Array>> = {
  "an unknown type": encodeFrame(99, u32(1)),
  "a frame that is too large": Buffer.from([0, 0, 0, 0xff, 2, 0, 0, 0]),
  "a word that must be zero": Buffer.from([4, 0, 0, 0, 3, 0, 1, 0, 0, 0, 0, 0]),
  "output for descriptor 5": encodeFrame(OUT, u32(5, 0)),
  "output without a descriptor": encodeFrame(OUT, Buffer.from("ab")),
  "an exit code of three bytes": encodeFrame(EXIT, Buffer.from("abc")),
  "a program of nothing": encodeFrame(RUN, u32(0)),
  "a program of noise": encodeFrame(RUN, Buffer.alloc(500, 0xa5)),
  "a relay without a descriptor": encodeFrame(RELAY, u32(0, 1)),
  "a relay of the wrong size": encodeFrame(RELAY, u32(0)),
};
for (const [name, bytes] of Object.entries(nonsense)) {
  test(`nonsense from the daemon ends the client with one clear line: ${name}`, async (t) => {
    const runtime = fakeDaemon(t, (peer) => {
      peer.sendRaw(bytes);
    });
    const ended = await startClient(runtime).ended;
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /^lxc-test: the islet daemon sent [^\n]+\n$/);
  });
}

test("the wire helper of these tests carries descriptors both ways", async () => {
  const [left, right] = socketPair();
  const a = wire(left);
  const b = wire(right);
  const [extra, other] = socketPair();
  a.send(1, string("x"), [extra]);
  const frame = await b.next();
  assert.equal(frame?.fds.length, 1);
  for (const fd of [extra, other, ...(frame?.fds ?? [])]) closeFd(fd);
  a.close();
  assert.equal(await b.next(), null);
  b.close();
});
