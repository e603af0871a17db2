import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import type { ContainerId } from "../../../src/engine/engine.js";
import { islet } from "../../support/client.js";
import { createRegistry, type Registry } from "../../../src/engine/registry.js";
import { monitorFrames, writer } from "../../../src/host/protocol.js";
import {
  monitorDirectory,
  monitorSocketPath,
  openMonitor,
  type Monitor,
  type MonitorMeta,
} from "../../../src/runtime/monitors.js";
import { listenUnix, socketPair, u32, wire, type Wire } from "../../support/frames.js";
import { currentArch } from "../../support/image.js";
import { waitFor } from "../../support/wait.js";

const store = "/islt/store";
const id = (name: string): ContainerId => ({ storePath: store, name });

function metaOf(name: string): MonitorMeta {
  return {
    version: 1,
    name,
    storePath: store,
    annotations: { note: name },
    cgroups: [],
    unified: null,
    links: [],
    attach: null,
    signals: { halt: null, reboot: 1, stop: 9, death: 9 },
    environment: [],
    ephemeral: false,
  };
}

/** A monitor that the test plays. */
function monitorOf(
  t: TestContext,
  registry: Registry,
  name: string,
  meta: MonitorMeta = metaOf(name),
): { readonly peer: Wire; readonly monitor: Monitor } {
  const [raw, fd] = socketPair();
  const peer = wire(raw);
  t.after(() => peer.close());
  const monitor = openMonitor(fd, meta, registry.events, () => undefined);
  t.after(() => monitor.channel.close());
  return { peer, monitor };
}

const started = Buffer.from([0, 0x8a, 0x5d, 0x78, 0x45, 0x63, 1, 0]); // 100000 s in nanoseconds
const info = (state: number, pid: number, meta: unknown): Uint8Array =>
  writer().u32(state).u32(pid).u32(0xffffffff).raw(started).u32(0).text(JSON.stringify(meta)).finish();

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "islt-registry-"));
  mkdirSync(monitorDirectory(path), { recursive: true });
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test("what nobody knows of is stopped and has no exit status", (t) => {
  const registry = createRegistry(currentArch, directory(t), islet);
  assert.deepEqual(registry.status(id("x")), {
    storePath: store,
    name: "x",
    state: "STOPPED",
    initPid: null,
    exitStatus: null,
    startedAt: null,
    annotations: {},
  });
});

test("a container is what its monitor says, and its exit status outlives the monitor", async (t) => {
  const registry = createRegistry(currentArch, directory(t), islet);
  const { peer, monitor } = monitorOf(t, registry, "web");
  registry.events.changed(monitor);
  peer.send(monitorFrames.state, u32(2, 0xffffffff));
  peer.send(monitorFrames.info, info(2, 4711, metaOf("web")));
  await waitFor("the state", () => registry.status(id("web")).initPid === 4711);
  assert.deepEqual(registry.status(id("web")), {
    storePath: store,
    name: "web",
    state: "RUNNING",
    initPid: 4711,
    exitStatus: null,
    startedAt: Number(started.readBigUInt64LE() / 1_000_000n),
    annotations: { note: "web" },
  });
  const gone: string[] = [];
  const stop = registry.onGone((ended) => gone.push(ended.name));
  peer.send(monitorFrames.state, u32(3, 3 << 8));
  peer.close();
  const last = await registry.wait(id("web"), ["STOPPED"], 5000);
  assert.deepEqual([last.state, last.exitStatus, last.initPid, last.annotations], ["STOPPED", 3, null, {}]);
  assert.deepEqual([gone, registry.get(id("web")), [...registry.all()]], [["web"], undefined, []]);
  stop();
});

test("waiting ends with the first of the states that is reached, or in time", async (t) => {
  const registry = createRegistry(currentArch, directory(t), islet);
  const { peer, monitor } = monitorOf(t, registry, "web");
  registry.events.changed(monitor);
  peer.send(monitorFrames.state, u32(2, 0xffffffff));
  assert.equal((await registry.wait(id("web"), ["RUNNING", "FROZEN"], 5000)).state, "RUNNING");
  await assert.rejects(registry.wait(id("web"), ["FROZEN"], 30), /web did not become FROZEN within 0\.03 s/);
  const frozen = registry.wait(id("web"), ["FROZEN"], 5000);
  const other = registry.wait(id("other"), ["RUNNING"], 50);
  peer.send(monitorFrames.state, u32(6, 0xffffffff));
  assert.equal((await frozen).state, "FROZEN");
  await assert.rejects(other, /other did not become RUNNING/);
});

test("stopped is only what can be started again: not before the monitor has ended", async (t) => {
  const registry = createRegistry(currentArch, directory(t), islet);
  const { peer } = monitorOf(t, registry, "web");
  const told: string[] = [];
  registry.subscribe((event) => {
    if (event.kind === "state")
      told.push(`${event.state}, ${registry.get(id("web")) === undefined ? "gone" : "there"}`);
  });
  for (const state of [2, 3, 0]) peer.send(monitorFrames.state, u32(state, 0));
  await waitFor("the monitor's last word", () => registry.get(id("web"))?.state === "STOPPED");
  assert.equal(registry.status(id("web")).state, "STOPPING");
  assert.deepEqual(told, ["RUNNING, there", "STOPPING, there"]);
  peer.close();
  await registry.wait(id("web"), ["STOPPED"], 5000);
  assert.deepEqual(told, ["RUNNING, there", "STOPPING, there", "STOPPED, gone"]);
});

test("control groups are left to whoever has started the container again meanwhile", async (t) => {
  const runtime = directory(t);
  const reaped = join(runtime, "reaped");
  const reaper = join(runtime, "reaper");
  writeFileSync(reaper, `#!/bin/sh\nshift; echo "$@" >> ${reaped}\n`, { mode: 0o755 });
  const registry = createRegistry(currentArch, runtime, reaper);
  const ends = async (name: string, group: string): Promise<void> => {
    mkdirSync(group);
    const { peer } = monitorOf(t, registry, name, {
      ...metaOf(name),
      cgroups: [{ controllers: ["freezer"], path: group }],
    });
    for (const state of [2, 3, 0]) peer.send(monitorFrames.state, u32(state, 0));
    await waitFor("the monitor", () => registry.get(id(name)) !== undefined);
    peer.close();
    await registry.wait(id(name), ["STOPPED"], 5000);
  };
  const peers: Wire[] = [];
  const stop = listenUnix(monitorSocketPath(runtime, store, "again"), (peer) => peers.push(peer));
  t.after(() => {
    stop();
    for (const peer of peers) peer.close();
  });
  await ends("again", join(runtime, "group-of-again"));
  await ends("left", join(runtime, "group-of-left"));
  assert.equal(readFileSync(reaped, "utf8"), `${join(runtime, "group-of-left")}\n`);
});

test("a new daemon finds the monitors by their sockets, and removes sockets that nobody answers", async (t) => {
  const runtime = directory(t);
  const peers: Wire[] = [];
  const stop = listenUnix(join(monitorDirectory(runtime), "aaaa"), (peer) => {
    peers.push(peer);
    void (async () => {
      for (let frame = await peer.next(); frame !== null; frame = await peer.next()) {
        if (frame.type === monitorFrames.askInfo) peer.send(monitorFrames.info, info(2, 99, metaOf("found")));
      }
    })().catch(() => undefined);
  });
  t.after(() => {
    stop();
    for (const peer of peers) peer.close();
  });
  const stale = listenUnix(join(monitorDirectory(runtime), "bbbb"), () => undefined);
  stale();
  const registry = createRegistry(currentArch, runtime, islet);
  await registry.rediscover();
  assert.deepEqual(readdirSync(monitorDirectory(runtime)), ["aaaa"]);
  const found = registry.status(id("found"));
  assert.deepEqual([found.state, found.initPid, found.annotations], ["RUNNING", 99, { note: "found" }]);
  registry.get(id("found"))?.channel.close();
});

test("a monitor whose meta cannot be understood is left alone", async (t) => {
  const runtime = directory(t);
  const peers: Wire[] = [];
  const stop = listenUnix(join(monitorDirectory(runtime), "aaaa"), (peer) => {
    peers.push(peer);
    void (async () => {
      if ((await peer.next()) !== null) peer.send(monitorFrames.info, info(2, 99, { version: 2 }));
    })().catch(() => undefined);
  });
  t.after(() => {
    stop();
    for (const peer of peers) peer.close();
  });
  const registry = createRegistry(currentArch, runtime, islet);
  await registry.rediscover();
  assert.deepEqual([...registry.all()], []);
  assert.deepEqual(readdirSync(monitorDirectory(runtime)), ["aaaa"]);
});

test("a wait that was aborted is forgotten: nothing wakes it, its timer is gone", async (t) => {
  const registry = createRegistry(currentArch, directory(t), islet);
  const left = new AbortController();
  let settled = false;
  const settle = (): void => {
    settled = true;
  };
  registry.wait(id("web"), ["RUNNING"], 20, left.signal).then(settle, settle);
  left.abort();
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(settled, false);
});

test("a subscriber is told every state once, the exit before STOPPING, and nothing after it has left", async (t) => {
  const registry = createRegistry(currentArch, directory(t), islet);
  const { peer } = monitorOf(t, registry, "web");
  const told: string[] = [];
  const leave = registry.subscribe((event) => {
    assert.deepEqual([event.storePath, event.name], [store, "web"]);
    told.push(event.kind === "exit" ? String(event.waitStatus) : event.kind === "state" ? event.state : "ready");
  });
  const none = 0xffffffff;
  for (const [state, exit] of [
    [1, none],
    [2, none],
    [3, 42 << 8],
    [0, 42 << 8],
    [1, 42 << 8],
    [2, 42 << 8],
  ] as const)
    peer.send(monitorFrames.state, u32(state, exit));
  peer.send(monitorFrames.info, info(2, 4711, metaOf("web")));
  await waitFor("the second run", () => registry.status(id("web")).initPid === 4711);
  // Killed: how its main process ended nobody knows.
  peer.close();
  await waitFor("the end", () => registry.status(id("web")).state === "STOPPED");
  const wanted = [
    "STARTING",
    "RUNNING",
    String(42 << 8),
    "STOPPING",
    "STOPPED",
    "STARTING",
    "RUNNING",
    "STOPPING",
    "STOPPED",
  ];
  assert.deepEqual(told, wanted);
  leave();
  const again = monitorOf(t, registry, "web");
  again.peer.send(monitorFrames.state, u32(1, none));
  await waitFor("the next run", () => registry.status(id("web")).state === "STARTING");
  assert.deepEqual(told, wanted);
});
