import assert from "node:assert/strict";
import { connect as connectSocket, type Socket } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { clientFrames } from "../../src/host/protocol.js";
import { decodeAnswer, encodeCall } from "../../src/host/wire.js";
import { cleanup } from "../support/cleanup.js";
import { instance, type Instance } from "../support/instance.js";
import { descriptorCount } from "../support/leaks.js";
import { waitFor } from "../support/wait.js";

/** What a program that breaks the rules of the library's calls does to the daemon: nothing. */

function frame(type: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(payload.length, 0);
  head.writeUInt16LE(type, 4);
  return Buffer.concat([head, payload]);
}

interface Program {
  readonly socket: Socket;
  readonly ended: Promise<void>;
  call(method: string, parameters: unknown): void;
  /** Outcomes so far: the value, or the error's code. */
  readonly outcomes: Map<number, unknown>;
  outcome(id: number): Promise<unknown>;
}

async function program(t: TestContext, own: Instance): Promise<Program> {
  const socket = connectSocket(join(own.runtimeDir, "socket"));
  cleanup(t)(() => {
    socket.destroy();
  });
  const ended = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.on("error", () => undefined);
  const outcomes = new Map<number, unknown>();
  let held = Buffer.alloc(0);
  socket.on("data", (part) => {
    held = Buffer.concat([held, part]);
    while (held.length >= 8 && held.length >= 8 + held.readUInt32LE(0)) {
      const length = held.readUInt32LE(0);
      if (held.readUInt16LE(4) === clientFrames.answer) {
        const { id, outcome } = decodeAnswer(held.subarray(8, 8 + length));
        outcomes.set(id, outcome.ok ? outcome.value : (outcome.error as Error & { readonly code: string }).code);
      }
      held = held.subarray(8 + length);
    }
  });
  await new Promise<void>((resolve) => socket.on("connect", () => resolve()));
  let id = 0;
  return {
    socket,
    ended,
    outcomes,
    call: (method, parameters) => {
      id += 1;
      socket.write(frame(clientFrames.call, encodeCall({ id, method, parameters })));
    },
    outcome: async (wanted) => {
      await waitFor(`answer ${wanted}`, () => outcomes.has(wanted));
      return outcomes.get(wanted);
    },
  };
}

const open = [{ version: 1, cwd: "/", environment: {} }];

test("calls that make no sense are refused in words, and the connection goes on", async (t) => {
  const own = await instance(t);
  const it = await program(t, own);
  const wrong: readonly (readonly [string, unknown])[] = [
    ["list", ["/x"]],
    ["open", [{ version: 2, cwd: "/", environment: {} }]],
    ["open", [{ version: 1, cwd: "x", environment: {} }]],
    ["open", [{ version: 1, cwd: "/", environment: { A: 1 } }]],
    ["open", "no list"],
  ];
  for (const [method, parameters] of wrong) it.call(method, parameters);
  assert.deepEqual(
    [await it.outcome(1), await it.outcome(2), await it.outcome(3), await it.outcome(4), await it.outcome(5)],
    ["ISLET_PROTOCOL", ...Array.from({ length: 4 }, () => "ISLET_BAD_REQUEST")],
  );
  it.call("open", open);
  assert.equal(await it.outcome(6), 1);
  const id = { storePath: own.store.path, name: "x" };
  const refused: readonly (readonly [string, unknown])[] = [
    ["constructor", []],
    ["__proto__", []],
    ["x".repeat(1000), []],
    ["list", []],
    ["list", ["relative"]],
    ["list", [{ toString: 1 }]],
    ["start", [{ ...id, more: 1 }]],
    ["start", [{ storePath: own.store.path, name: 7 }]],
    ["start", ["__proto__"]],
    ["signal", [id, 65]],
    ["signal", [id, 1.5]],
    ["wait", [id, ["GONE"], null]],
    ["wait", [id, ["STOPPED"], -1]],
    ["stop", [id, { kind: "burn", timeout: null, noKill: false }]],
    ["attach", [id, {}]],
    ["create", [id, { template: null, templateArguments: [], rootfs: null, config: null }]],
    ["copy", [id, { ...id, name: null }, { how: "copy" }]],
    ["copy", [id, "x", {}]],
    ["snapshots", [{ storePath: "x", name: "y" }]],
    ["snapshot", [id, { name: "x", comment: "y".repeat(2 << 20) }]],
    ["restore", [id, 1]],
    ["copySnapshot", [id, "snap0", { ...id, name: null }]],
    ["destroySnapshot", [id, { name: "snap0" }]],
    ["export", [id, { path: "relative", compress: null, allowRunning: false }]],
    ["import", ["relative", {}]],
    ["import", [own.store.path, { path: "/x", name: null, keep: false, large: false, storage: [] }]],
    ["explain", [1, "00"]],
    ["explain", [99, "zz"]],
  ];
  for (const [method, parameters] of refused) it.call(method, parameters);
  for (const [index] of refused.entries())
    assert.equal(await it.outcome(7 + index), "ISLET_BAD_REQUEST", JSON.stringify(refused[index]));
  it.call("start", [{ storePath: own.store.path, name: "../../etc" }]);
  assert.match(String(await it.outcome(7 + refused.length)), /ISLET_BAD_NAME|ISLET_NOT_FOUND/);
  it.call("defaultStore", []);
  assert.match(String(await it.outcome(8 + refused.length)), /^\//);
});

test("frames that break the protocol end the connection and nothing else", async (t) => {
  const own = await instance(t);
  const hello = encodeCall({ id: 1, method: "open", parameters: open });
  const broken: readonly Buffer[] = [
    frame(clientFrames.call, Buffer.alloc(3)),
    frame(clientFrames.call, Buffer.from("\x01\0\0\0\xff\xff\xff\x7f", "latin1")),
    frame(clientFrames.call, Buffer.concat([Buffer.from(hello.subarray(0, hello.length - 1))])),
    frame(999, Buffer.from("x")),
    Buffer.from(`\xff\xff\xff\x7f\x0a\0\0\0`, "latin1"),
  ];
  for (const bytes of broken) {
    const it = await program(t, own);
    it.socket.write(frame(clientFrames.call, hello));
    await it.outcome(1);
    it.socket.write(bytes);
    await it.ended;
  }
  const twice = await program(t, own);
  twice.call("open", open);
  await twice.outcome(1);
  const wait = encodeCall({
    id: 7,
    method: "wait",
    parameters: [{ storePath: own.store.path, name: "x" }, ["RUNNING"], null],
  });
  twice.socket.write(Buffer.concat([frame(clientFrames.call, wait), frame(clientFrames.call, wait)]));
  await twice.ended;
  await own.ok(["lxc-ls", "-P", own.store.path]);
});

test("waits without end are bounded, and forgotten with the program", async (t) => {
  const own = await instance(t);
  const before = descriptorCount(own.pid());
  const it = await program(t, own);
  it.call("open", open);
  await it.outcome(1);
  const parameters = [{ storePath: own.store.path, name: "x" }, ["RUNNING"], null];
  for (let index = 0; index < 5000; index += 1) it.call("wait", parameters);
  await it.ended;
  await waitFor("the connection to be gone", () => descriptorCount(own.pid()) <= before);
  await own.ok(["lxc-ls", "-P", own.store.path]);
});

test("a program that takes no events is cut off before it costs the daemon much", async (t) => {
  const own = await instance(t);
  const slow = await program(t, own);
  slow.call("open", open);
  slow.call("subscribe", []);
  await slow.outcome(2);
  slow.socket.pause();
  const fast = await program(t, own);
  fast.call("open", open);
  await fast.outcome(1);
  // Answers that nobody takes, faster than events ever come.
  slow.socket.resume();
  slow.socket.pause();
  for (let index = 0; index < 3000; index += 1) slow.call("defaultStore", []);
  fast.call("defaultStore", []);
  assert.match(String(await fast.outcome(2)), /^\//);
});
