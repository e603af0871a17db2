import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { argsOf, connectTo, errorOf, frameOf, type Joined, type TestClient, turn } from "./client.js";

let closed = 0;
const openConsole = 201;
const console0 = 90;
const dom = { name: "t1", uuid: "4de601c5-e42e-4721-81c9-7abc8ac07934", id: 7 };
const serial = 8;

interface Opened {
  readonly client: TestClient;
  readonly guest: Joined;
  readonly say: (status: number, text?: string | Uint8Array) => void;
  /** Status and text of the stream's frames. */
  readonly heard: () => Promise<readonly (readonly [number, string])[]>;
}

async function open(): Promise<Opened> {
  closed = 0;
  const client = connectTo({
    DOMAIN_OPEN_CONSOLE: (args, call) => {
      call.openStream(console0, () => {
        closed += 1;
      });
      if (args.dev_name === "broken") throw new Error("no such console");
    },
    CONNECT_GET_HOSTNAME: () => ({ hostname: "vm" }),
  });
  client.open();
  client.call(openConsole, argsOf(openConsole, { dom, dev_name: null, flags: 0 }), serial);
  await turn();
  assert.deepEqual(
    client.take().map((frame) => [frame.type, frame.status, frame.serial]),
    [[1, 0, serial]],
  );
  const guest = client.joined.get(console0);
  assert.ok(guest !== undefined);
  return {
    client,
    guest,
    say: (status, text = "") => {
      client.send(frameOf(openConsole, Buffer.from(text), { type: 3, serial, status }));
    },
    heard: async () => {
      await turn();
      return client.take().map((frame) => {
        assert.deepEqual([frame.type, frame.procedure, frame.serial], [3, openConsole, serial]);
        return [frame.status, Buffer.from(frame.payload).toString()] as const;
      });
    },
  };
}

describe("a stream", () => {
  it("carries bytes both ways until the client ends it; calls go on", async () => {
    const { client, guest, say, heard } = await open();
    guest.say(Buffer.from("login: "));
    assert.deepEqual(await heard(), [[2, "login: "]]);
    say(2, "root\r");
    assert.equal(Buffer.concat(guest.written).toString(), "root\r");
    say(0);
    assert.deepEqual(await heard(), [[0, ""]]);
    assert.equal(guest.near.destroyed, true);
    say(2, "late");
    client.call(59, undefined, 9);
    await turn();
    assert.deepEqual(
      client.take().map((frame) => [frame.type, frame.serial]),
      [[1, 9]],
    );
  });

  it("that the client aborts is ended politely", async () => {
    const { guest, say, heard } = await open();
    say(1);
    assert.deepEqual(await heard(), [[0, ""]]);
    assert.equal(guest.near.destroyed, true);
  });

  it("that the guest ends says so with an empty frame, and the client has the last word", async () => {
    const { client, guest, say, heard } = await open();
    guest.say(Buffer.from("bye\n"));
    guest.say(null);
    assert.deepEqual(await heard(), [
      [2, "bye\n"],
      [2, ""],
    ]);
    say(2, "anybody?");
    say(0);
    assert.deepEqual(await heard(), [[0, ""]]);
    assert.equal(client.isClosed(), false);
    assert.deepEqual(guest.written, []);
  });

  it("of a socket that breaks ends like one of a guest that has gone", async () => {
    const { guest, heard } = await open();
    guest.near.destroy(new Error("EPIPE"));
    assert.deepEqual(await heard(), [[2, ""]]);
  });

  it("does not read from a guest whose client does not read, and loses nothing", async () => {
    const { client, guest, heard } = await open();
    client.stall();
    const part = Buffer.alloc(65_536, "y");
    let said = 0;
    for (; said < 100; said += 1) {
      await turn();
      if (!guest.say(part) && guest.near.readableLength > 500_000) break;
    }
    said += 1;
    assert.ok(said < 100);
    assert.ok(client.pending() < 600_000, `${client.pending()} bytes`);
    let got = 0;
    for (let round = 0; round < 100 && got < said * part.length; round += 1) {
      client.drain();
      for (const [, text] of await heard()) got += text.length;
    }
    assert.equal(got, said * part.length);
  });

  it("does not read from a client whose guest does not read, and loses nothing", async () => {
    const { client, guest, say, heard } = await open();
    guest.isBlocked = true;
    let sent = 0;
    for (; sent < 100 && !client.isPaused(); sent += 1) say(2, Buffer.alloc(65_536, "z"));
    assert.ok(sent < 10, `${sent} frames`);
    guest.unblock();
    await turn();
    assert.equal(client.isPaused(), false);
    assert.equal(Buffer.concat(guest.written).length, sent * 65_536);
    say(0);
    assert.deepEqual(await heard(), [[0, ""]]);
  });

  it("what the client sent before it ended the stream reaches the guest", async () => {
    const { guest, say, heard } = await open();
    guest.isBlocked = true;
    say(2, "po");
    say(2, "weroff\r");
    say(0);
    assert.deepEqual(await heard(), [[0, ""]]);
    assert.equal(guest.near.destroyed, false);
    guest.unblock();
    await turn();
    assert.equal(Buffer.concat(guest.written).toString(), "poweroff\r");
    assert.equal(guest.near.destroyed, true);
  });

  it("is closed when the client goes, and whoever opened it is told, once", async () => {
    const { client, guest } = await open();
    assert.equal(closed, 0);
    client.leave();
    assert.equal(guest.near.destroyed, true);
    await turn();
    assert.equal(closed, 1);
  });

  it("is never joined when the call fails, or the client has gone meanwhile", async () => {
    const { client } = await open();
    client.call(openConsole, argsOf(openConsole, { dom, dev_name: "broken", flags: 0 }), 9);
    await turn();
    assert.equal(errorOf(client.take()[0]).code, 1);
    assert.deepEqual(client.closedFds, [console0]);
    // A serial that is a stream's already.
    client.call(openConsole, argsOf(openConsole, { dom, dev_name: null, flags: 0 }), serial);
    await turn();
    assert.equal(errorOf(client.take()[0]).code, 39);
    client.call(openConsole, argsOf(openConsole, { dom, dev_name: null, flags: 0 }), 10);
    client.leave();
    await turn();
    assert.deepEqual(client.closedFds, [console0, console0, console0]);
    // These three, and the one that was joined.
    assert.equal(closed, 4);
  });
});
