import assert from "node:assert/strict";
import { test } from "node:test";

import { closeFd } from "../../../src/host/addon.js";
import {
  EXIT,
  RELAY,
  WINCH,
  SIGNAL,
  HUNGUP,
  fakeDaemon,
  openTerminal,
  readAvailable,
  readFrom,
  startClient,
} from "../../support/client.js";
import { socketPair, sys, u32, type Frame, type Wire } from "../../support/frames.js";
import { waitFor } from "../../support/wait.js";

/** A relay over a socket: what comes out of the far end, and how the client says that it is over. */
async function relayTo(peer: Wire, flags: number, escape: number): Promise<number> {
  const [mine, theirs] = socketPair();
  peer.send(RELAY, u32(flags, escape), [theirs]);
  closeFd(theirs);
  return mine;
}

test("a relay joins the raw terminal with a socket, and the escape key and q leave it", async (t) => {
  const terminal = openTerminal(t);
  const frames: (readonly [number, string])[] = [];
  let typed = "";
  const runtime = fakeDaemon(t, async (peer) => {
    const far = await relayTo(peer, 1, 1);
    const text = Buffer.from("login: ");
    sys("write", far, text, text.length);
    for (let frame = await peer.next(); frame !== null; frame = await peer.next()) {
      frames.push([frame.type, frame.payload.toString("hex")]);
      if (frame.type === HUNGUP) break;
    }
    typed = readAvailable(far);
    closeFd(far);
    peer.send(EXIT, u32(0));
  });
  const client = startClient(runtime, { stdio: [terminal.slave, terminal.slave, terminal.slave] });
  await readFrom(terminal.master, /login: /);
  assert.ok(!terminal.isCooked());
  terminal.resize(50, 132);
  client.child.kill("SIGWINCH");
  terminal.type("a\x01\x01b\x01xc\x03");
  terminal.type("\x01");
  await new Promise((resolve) => setTimeout(resolve, 50));
  terminal.type("qrest");
  assert.equal((await client.ended).code, 0);
  assert.equal(typed, "a\x01b\x01xc\x03");
  assert.deepEqual(frames, [
    [WINCH, "32008400"],
    [HUNGUP, "01000000"],
  ]);
  assert.ok(terminal.isCooked());
});

test("a relay whose peer closes is over after its last byte; end of input is not the end", async (t) => {
  const frames: (Frame | null)[] = [];
  const runtime = fakeDaemon(t, async (peer) => {
    const far = await relayTo(peer, 0, 1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const text = Buffer.alloc(50_000, "x");
    sys("write", far, text, text.length);
    closeFd(far);
    frames.push(await peer.next());
    peer.send(EXIT, u32(4));
  });
  const ended = await startClient(runtime).ended; // its input is /dev/null
  assert.equal(ended.code, 4);
  assert.equal(ended.stdout.length, 50_000);
  assert.deepEqual([frames[0]?.type, frames[0]?.payload], [HUNGUP, u32(0)]);
});

test("signals go to the daemon as frames when it asks for them, and end the client when it does not", async (t) => {
  const frames: Buffer[] = [];
  const passing = fakeDaemon(t, async (peer) => {
    const far = await relayTo(peer, 2, 1);
    sys("write", far, Buffer.from("r"), 1);
    for (let i = 0; i < 2; i++) {
      const frame = await peer.next();
      assert.equal(frame?.type, SIGNAL);
      frames.push(frame.payload);
    }
    peer.send(EXIT, u32(0));
    closeFd(far);
  });
  const client = startClient(passing);
  await new Promise((resolve) => client.child.stdout?.once("data", resolve));
  client.child.kill("SIGTERM");
  await waitFor("the first signal", () => frames.length === 1);
  client.child.kill("SIGHUP");
  assert.equal((await client.ended).code, 0);
  assert.deepEqual(frames, [u32(15), u32(1)]);

  const terminal = openTerminal(t);
  const ending = fakeDaemon(t, async (peer) => {
    const far = await relayTo(peer, 0, 1);
    await peer.next();
    closeFd(far);
  });
  const second = startClient(ending, { stdio: [terminal.slave, terminal.slave, terminal.slave] });
  await waitFor("raw mode", () => !terminal.isCooked());
  second.child.kill("SIGTERM");
  assert.equal((await second.ended).signal, "SIGTERM");
  assert.ok(terminal.isCooked());
});

test("EXIT in the middle of a relay comes after what the peer had sent", async (t) => {
  const runtime = fakeDaemon(t, async (peer) => {
    const far = await relayTo(peer, 0, 1);
    const text = Buffer.alloc(60_000, "y");
    sys("write", far, text, text.length);
    peer.send(EXIT, u32(11));
    await peer.next();
    closeFd(far);
  });
  const ended = await startClient(runtime).ended;
  assert.equal(ended.code, 11);
  assert.equal(ended.stdout.length, 60_000);
});

test("where the relay ends with the input, everything read before goes to the peer first", async (t) => {
  let reason: Uint8Array = Buffer.alloc(0);
  let got = "";
  const runtime = fakeDaemon(t, async (peer) => {
    const far = await relayTo(peer, 8, 1);
    reason = (await peer.next())?.payload ?? reason;
    got = readAvailable(far);
    closeFd(far);
    peer.send(EXIT, u32(0));
  });
  const client = startClient(runtime, { stdio: ["pipe", "pipe", "pipe"] });
  client.child.stdin?.end("to the very end\n");
  assert.equal((await client.ended).code, 0);
  assert.equal(got, "to the very end\n");
  assert.deepEqual(Buffer.from(reason), u32(1));
});

test("what was typed in one go with the keys that leave is passed on", async (t) => {
  let got = "";
  const runtime = fakeDaemon(t, async (peer) => {
    const far = await relayTo(peer, 1, 1);
    await peer.next();
    got = readAvailable(far);
    closeFd(far);
    peer.send(EXIT, u32(0));
  });
  const client = startClient(runtime, { stdio: ["pipe", "pipe", "pipe"] });
  client.child.stdin?.write("last words\x01qmore");
  assert.equal((await client.ended).code, 0);
  assert.equal(got, "last words");
});

test("a pty with a lease gets the terminal's size, outlives hang-ups, and ends with the lease", async (t) => {
  const terminal = openTerminal(t);
  const lent = openTerminal(t);
  terminal.resize(33, 111);
  const [mine, theirs] = socketPair();
  const runtime = fakeDaemon(t, async (peer) => {
    peer.send(RELAY, u32(16 | 8, 1), [lent.master, theirs]);
    closeFd(theirs);
    for (let frame = await peer.next(); frame !== null; frame = await peer.next()) if (frame.type === HUNGUP) break;
    peer.send(EXIT, u32(0));
  });
  const client = startClient(runtime, { stdio: [terminal.slave, terminal.slave, terminal.slave] });
  const size = (): readonly number[] => {
    const bytes = Buffer.alloc(8);
    sys("ioctl", lent.slave, 0x5413, bytes);
    return [bytes.readUInt16LE(0), bytes.readUInt16LE(2)];
  };
  await waitFor("the size", () => size()[0] === 33);
  assert.deepEqual(size(), [33, 111]);
  for (const round of ["first", "second"]) {
    const user = sys("ioctl", lent.master, 0x5441, 0o2000402); // TIOCGPTPEER
    sys("ioctl", user, 0x5437); // TIOCVHANGUP
    closeFd(user);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const again = sys("ioctl", lent.master, 0x5441, 0o2000402);
    const text = Buffer.from(`after the ${round}`);
    sys("write", again, text, text.length);
    await readFrom(terminal.master, new RegExp(`after the ${round}`));
    closeFd(again);
  }
  closeFd(mine);
  assert.equal((await client.ended).code, 0);
  assert.ok(terminal.isCooked());
});

test("a relay with an alternate screen leaves the terminal as it was, also when the daemon is gone or ends the client", async (t) => {
  for (const how of ["the peer closes", "the daemon goes", "EXIT"] as const) {
    const terminal = openTerminal(t);
    const runtime = fakeDaemon(t, async (peer) => {
      const far = await relayTo(peer, 32 | 4, 0);
      const text = Buffer.from("picture");
      sys("write", far, text, text.length);
      await new Promise((resolve) => setTimeout(resolve, 100));
      if (how === "EXIT") peer.send(EXIT, u32(0));
      if (how === "the daemon goes") peer.close();
      closeFd(far);
      if (how === "the peer closes") {
        await peer.next();
        peer.send(EXIT, u32(0));
      }
    });
    const client = startClient(runtime, { stdio: [terminal.slave, terminal.slave, terminal.slave] });
    await readFrom(
      terminal.master,
      // oxlint-disable-next-line no-control-regex -- just what terminals obey
      /^\u001b\[\?1049h\u001b\[\?25l\u001b\[Hpicture\u001b\[\?25h\u001b\[\?1049l/,
    );
    await client.ended;
    assert.ok(terminal.isCooked(), how);
  }
});

test("a relay outlives the daemon, and the escape key then leaves in peace", async (t) => {
  const terminal = openTerminal(t);
  let far = -1;
  const runtime = fakeDaemon(t, async (peer) => {
    far = await relayTo(peer, 1, 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    peer.close();
  });
  const client = startClient(runtime, { stdio: [terminal.slave, terminal.slave, terminal.slave] });
  await waitFor("raw mode", () => !terminal.isCooked());
  await new Promise((resolve) => setTimeout(resolve, 150));
  const text = Buffer.from("still here");
  sys("write", far, text, text.length);
  await readFrom(terminal.master, /still here/);
  terminal.type("\x01q");
  assert.equal((await client.ended).code, 0);
  assert.ok(terminal.isCooked());
  closeFd(far);
});

test("a daemon that dies after the user has left spoils nothing: the status is 0", async (t) => {
  const terminal = openTerminal(t);
  const runtime = fakeDaemon(t, async (peer) => {
    const far = await relayTo(peer, 1, 1);
    const text = Buffer.from("login: ");
    sys("write", far, text, text.length);
    for (let frame = await peer.next(); frame !== null; frame = await peer.next()) if (frame.type === HUNGUP) break;
    closeFd(far);
    peer.close();
  });
  const client = startClient(runtime, { stdio: [terminal.slave, terminal.slave, "pipe"] });
  await readFrom(terminal.master, /login: /);
  terminal.type("\x01q");
  const { code, stderr } = await client.ended;
  assert.deepEqual([code, stderr], [0, ""]);
});
