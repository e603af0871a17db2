import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { GuestEvent } from "../../../../src/engine/engine.js";
import { waitFor } from "../../../support/wait.js";
import { cannedGuest, connect, exchange } from "./door.js";

const event = (value: string): GuestEvent => ({
  timestamp: "2026-11-21T23:46:52.303210657Z",
  change: { kind: "config", key: "user.foo", before: "bar", after: value },
});

describe("the server of a guest's API", () => {
  it("writes events as LXD does, each at once", async () => {
    const guest = cannedGuest({});
    const socket = connect(guest);
    let all = "";
    socket.setEncoding("utf8").on("data", (text: string) => (all += text));
    socket.write("GET /1.0/events HTTP/1.1\r\nHost: x\r\n\r\n");
    await waitFor("a listener", () => guest.listeners.size === 1);
    guest.tell(event("baz"));
    guest.tell({
      timestamp: "2026-11-21T23:46:52.632445642Z",
      change: { kind: "device", action: "added", name: "sh1", config: { type: "disk", source: "/srv", path: "/mnt" } },
    });
    const expected =
      'HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n\r\n{"type":"config","timestamp":"2026-11-21T23:46:52.303210657Z","metadata":{"key":"user.foo","old_value":"bar","value":"baz"}}\n{"type":"device","timestamp":"2026-11-21T23:46:52.632445642Z","metadata":{"action":"added","config":{"path":"/mnt","source":"/srv","type":"disk"},"name":"sh1"}}\n';
    await waitFor("the events", () => all.length >= expected.length);
    assert.equal(all, expected);
    socket.destroy();
    await waitFor("it to be forgotten", () => guest.listeners.size === 0);
  });

  it("cuts off who does not take its events, and keeps no more than a bounded amount for it", async () => {
    const guest = cannedGuest({});
    const socket = connect(guest);
    socket.pause();
    socket.on("error", () => undefined);
    socket.write("GET /1.0/events HTTP/1.1\r\nHost: x\r\n\r\n");
    await waitFor("a listener", () => guest.listeners.size === 1);
    let told = 0;
    for (; guest.listeners.size > 0 && told < 10_000; told += 1) {
      guest.tell(event("x".repeat(10_000)));
      await sleep(0);
    }
    assert.ok(told < 200, `${told} events were taken for somebody who does not read`);
    socket.destroy();
  });

  it("ends a stream of events when the API is switched off, and tells nothing more", async () => {
    const guest = cannedGuest({});
    const socket = connect(guest);
    let all = "";
    socket.setEncoding("utf8").on("data", (text: string) => (all += text));
    socket.write("GET /1.0/events HTTP/1.1\r\nHost: x\r\n\r\n");
    await waitFor("a listener", () => guest.listeners.size === 1);
    guest.settingsNow = { "security.devlxd": "no" };
    guest.tell(event("secret"));
    await once(socket, "close");
    assert.ok(!all.includes("secret"));
  });

  it("pings a websocket first of all, and refuses upgrades to anything else or of anything else", async () => {
    const key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const upgrade = (path: string, to: string): string =>
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${to}\r\n${key}\r\n`;
    const opened = await exchange(cannedGuest({}), upgrade("/1.0/events", "websocket"), "root", 300);
    assert.match(opened, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
    // A ping with nine bytes.
    assert.equal(opened.replace(/^[^]*?\r\n\r\n/, ""), "\x89\x09keepalive");
    assert.match(await exchange(cannedGuest({}), upgrade("/1.0/events", "h2c")), /^HTTP\/1\.1 400 /);
    assert.match(
      await exchange(cannedGuest({}), upgrade("/1.0/config", "websocket")),
      /^HTTP\/1\.1 200 OK\r\n[^]*\[\]\n$/,
    );
    assert.match(await exchange(cannedGuest({}), upgrade("/1.0/events", "websocket"), "user"), /^HTTP\/1\.1 401 /);
  });

  it("answers the pings of a websocket, but not those of a guest that does not read what comes back", async () => {
    const guest = cannedGuest({});
    const socket = connect(guest);
    let all = "";
    let isOver = false;
    const keep = (text: string): void => void (all += text);
    socket.setEncoding("latin1").on("data", keep);
    socket.on("error", () => undefined);
    socket.on("close", () => (isOver = true));
    socket.write(
      "GET /1.0/events HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    await waitFor("the first ping", () => all.endsWith("\x89\x09keepalive"));
    // Masked with zeros: 100 bytes of payload.
    const ping = Buffer.concat([Buffer.from([0x89, 0x80 + 100, 0, 0, 0, 0]), Buffer.alloc(100, "p")]);
    socket.write(ping);
    await waitFor("the pong", () => all.endsWith(`\x8a\x64${"p".repeat(100)}`));
    socket.pause();
    for (let round = 0; round < 2000 && !isOver; round += 1) {
      socket.write(Buffer.concat(Array.from({ length: 100 }, () => ping)));
      await sleep(0);
    }
    assert.ok(isOver, "it was never cut off");
  });

  it("refuses what is too long, and what is no HTTP", async () => {
    const guest = cannedGuest({});
    const status = async (request: string): Promise<string> => (await exchange(guest, request)).slice(0, 12);
    assert.equal(await status(`GET / HTTP/1.1\r\nHost: x\r\nA: ${"b".repeat(70_000)}\r\n\r\n`), "HTTP/1.1 431");
    assert.equal(
      await status(`PATCH /1.0 HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n${"b".repeat(70_000)}`),
      "HTTP/1.1 413",
    );
    assert.equal(
      await status("PATCH /1.0 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
      "HTTP/1.1 400",
    );
    assert.equal(await status("SSH-2.0-OpenSSH\r\n\r\n"), "HTTP/1.1 400");
    assert.equal(await status("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 400");
  });

  it("ends the connection of who asks for large values again and again, and reads nothing", async () => {
    const guest = cannedGuest({ "user.big": "x".repeat(1024 * 1024) });
    const socket = connect(guest);
    socket.pause();
    let isOver = false;
    socket.on("error", () => undefined);
    socket.on("close", () => (isOver = true));
    const before = process.memoryUsage().rss;
    for (let round = 0; round < 100 && !isOver; round += 1) {
      socket.write("GET /1.0/config/user.big HTTP/1.1\r\nHost: x\r\n\r\n".repeat(10));
      await sleep(1);
    }
    assert.ok(isOver, "its connection has not been ended");
    assert.ok(process.memoryUsage().rss - before < 64 * 1024 * 1024);
  });
});
