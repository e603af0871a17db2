import assert from "node:assert/strict";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { command, fails, ok } from "../support/command.js";
import {
  ask,
  clientProgram,
  parseReply,
  putClient,
  requestText,
  sendRaw,
  socketPath,
} from "../support/guest-client.js";
import { daemonPid, descriptorCount } from "../support/leaks.js";
import { runtimeDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";
import { type Guest, guests, mountsInside } from "./guest.js";

const map = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\nlxc.rootfs.options = idmap=container\n";
const kinds = [
  ["privileged", "islet.guest = lxd\n"],
  ["id-mapped", `islet.guest = lxd\n${map}`],
] as const;

const made = guests();
const { store } = made;

async function started(name: string, config: string, settings: readonly string[] = []): Promise<Guest> {
  const guest = made.define(name, config);
  putClient(guest);
  if (settings.length > 0) await ok(["islet", "set", "-P", store.path, name, ...settings]);
  await guest.start();
  return guest;
}

const set = async (guest: Guest, ...words: readonly string[]): Promise<void> =>
  void (await ok(["islet", "set", "-P", store.path, guest.name, ...words]));
const setting = async (guest: Guest, key: string): Promise<string> =>
  (await ok(["islet", "get", "-P", store.path, guest.name, key])).trimEnd();

/** Directories of sockets on the host. */
const directories = (): readonly string[] =>
  existsSync(join(runtimeDir, "devlxd")) ? readdirSync(join(runtimeDir, "devlxd")) : [];

for (const [kind, config] of kinds) {
  const short = kind.charAt(0);
  describe(`the API of a guest (${kind})`, () => {
    it("answers root, whatever namespaces and parents it has, and nobody else", async () => {
      const guest = await started(`islt-who-${short}`, config);
      const status = async (...how: readonly string[]): Promise<string> => {
        const { status: code, body } = await ask(guest, "/1.0", how);
        return code === 200 ? "200" : `${code} ${body.trim()}`;
      };
      assert.equal(await status(), "200");
      assert.equal(await status("orphan"), "200");
      assert.equal(await status("newpid"), "200");
      assert.equal(await status("newuser"), "200");
      assert.equal(await status("pidanduser"), "200");
      const denied = "401 Access denied for non-root user";
      assert.equal(await status("as", "1000"), denied);
      assert.equal(await status("as", "65534"), denied);
      assert.equal(await status("as", "1000", "newuser"), denied);
      assert.equal(await status("as", "1000", "orphan"), denied);
      await guest.kill();
    });

    it("takes no process of the host for one of the guest's", async () => {
      const guest = await started(`islt-host-${short}`, config);
      const pid = String(await guest.pid());
      const stranger = { status: 500, body: "Process ID not found in container\n" };
      const from = async (words: readonly string[]): Promise<{ status: number; body: string }> => {
        const { stdout } = await command([...words, "raw", "5000"], { input: requestText("/1.0/meta-data") });
        const { status, body } = parseReply(stdout);
        return { status, body };
      };
      const [id = ""] = directories();
      assert.deepEqual(await from([clientProgram(), join(runtimeDir, "devlxd", id, "sock")]), stranger);
      // Only the mount namespace entered: it has the guest's /dev/lxd, and is the host's all the same.
      assert.deepEqual(await from(["nsenter", "-t", pid, "-m", "/bin/guest-client", socketPath]), stranger);
      // A process of the guest's pid namespace is one of its own; its user decides.
      const joined = await from(["nsenter", "-t", pid, "-m", "-p", "/bin/guest-client", socketPath]);
      assert.equal(joined.status, kind === "privileged" ? 200 : 401);
      await guest.kill();
    });

    it("is there from the guest's first instant, read-only, and gone with it", async () => {
      const guest = made.define(`islt-first-${short}`, config);
      putClient(guest);
      writeFileSync(
        join(guest.rootfs, "etc/init.d/rcS"),
        `#!/bin/sh\nprintf 'GET /1.0/meta-data HTTP/1.0\\r\\n\\r\\n' | guest-client ${socketPath} raw 5000 > /first\n`,
        { mode: 0o755 },
      );
      await guest.start();
      await waitFor("the first answer", async () =>
        (await guest.sh("cat /first 2>/dev/null; true")).includes("local-hostname"),
      );
      assert.match(
        await guest.sh("cat /first"),
        /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\ninstance-id: [0-9a-f-]{36}\nlocal-hostname: islt-first-[pi]$/,
      );
      const mount = (await mountsInside(guest)).get("/dev/lxd");
      assert.deepEqual(mount?.options.slice(0, 4), ["ro", "nosuid", "nodev", "noexec"]);
      assert.equal(await guest.sh("stat -c '%a %F' /dev/lxd /dev/lxd/sock"), "755 directory\n666 socket");
      const { stderr } = await guest.try("touch /dev/lxd/x; rm /dev/lxd/sock; mv /dev/lxd/sock /dev/lxd/y");
      assert.match(stderr, /Read-only file system[^]*Read-only file system[^]*Read-only file system/);
      if (kind === "id-mapped") {
        // Not even when it has made its own mount of it writable.
        const remounted = await guest.try(
          "mount -o remount,bind,rw /dev/lxd; touch /dev/lxd/x; rm -f /dev/lxd/sock; chmod 777 /dev/lxd",
        );
        assert.match(
          remounted.stderr,
          /touch: \/dev\/lxd\/x: Permission denied[^]*rm: [^]*Permission denied[^]*chmod: [^]*not permitted/,
        );
        assert.equal((await ask(guest, "/1.0")).status, 200);
      }
      await guest.kill();
      await waitFor("the socket to be gone", () => directories().length === 0);
    });

    it("goes at once when security.devlxd becomes false, for open connections too, and comes back", async () => {
      const guest = await started(`islt-switch-${short}`, config, ["user.a=1"]);
      // Connections from before: one that asks again later, one that is told of changes.
      const held = guest.attach(["--", "/bin/guest-client", socketPath, "twice", "1500", "/1.0/config/user.a"]);
      const stream = sendRaw(guest, requestText("/1.0/events"), [], { milliseconds: 5000 });
      await new Promise((resolve) => setTimeout(resolve, 500));
      await set(guest, "security.devlxd=false");
      assert.equal((await guest.try("ls /dev/lxd")).status, 1);
      assert.ok(!(await mountsInside(guest)).has("/dev/lxd"));
      assert.deepEqual(directories(), []);
      await set(guest, "user.b=2");
      assert.equal((await held).stdout, "200 403\n");
      assert.ok(!(await stream).stdout.includes("user.b"));
      await set(guest, "security.devlxd=true");
      assert.equal((await ask(guest, "/1.0/config/user.a")).body, "1");
      assert.deepEqual((await mountsInside(guest)).get("/dev/lxd")?.options.slice(0, 4), [
        "ro",
        "nosuid",
        "nodev",
        "noexec",
      ]);
      // A reboot finds what is so then, not what was so at the start.
      await set(guest, "security.devlxd=false");
      await ok(["lxc-stop", ...guest.at, "-r", "-t", "20"]);
      assert.equal((await guest.try("ls /dev/lxd")).status, 1);
      await set(guest, "security.devlxd=true");
      assert.equal((await ask(guest, "/1.0/config/user.a")).status, 200);
      await guest.kill();
      await set(guest, "security.devlxd=false");
      await guest.start();
      assert.equal((await guest.try("ls /dev/lxd")).status, 1);
      await guest.kill();
    });

    it("puts nothing through a link that the guest has laid out for it", async () => {
      const guest = await started(`islt-link-${short}`, config, ["security.devlxd=false"]);
      await guest.sh("mkdir /elsewhere; ln -s /elsewhere /dev/lxd");
      const { stderr } = await fails(["islet", "set", "-P", store.path, guest.name, "security.devlxd=true"], 1);
      assert.match(stderr, /open \/dev\/lxd.*something of the guest's stands in the way/s);
      assert.ok(!(await mountsInside(guest)).has("/elsewhere"));
      await guest.kill();
    });
  });
}

describe("the API of guests", () => {
  it("is another guest's for nobody: whoever got hold of the socket is a stranger there", async () => {
    const first = await started("islt-mine", "islet.guest = lxd\n", ["user.secret=1"]);
    const [id = ""] = directories();
    const second = await started(
      "islt-other",
      `islet.guest = lxd\nlxc.mount.entry = ${runtimeDir}/devlxd/${id} mnt none bind 0 0\n`,
    );
    assert.equal((await ask(first, "/1.0/config/user.secret")).body, "1");
    assert.equal((await ask(second, "/1.0/config/user.secret")).status, 404);
    const { stdout } = await sendRaw(second, requestText("/1.0/config/user.secret"), [], { socket: "/mnt/sock" });
    assert.equal(parseReply(stdout).status, 500);
    // A cgroup of the other's name is not the other's cgroup.
    const inside = await sendRaw(second, requestText("/1.0/config/user.secret"), [], { socket: "/mnt/sock" });
    assert.equal(parseReply(inside.stdout).status, 500);
    await first.kill();
    await second.kill();
  });

  it("is there where islet.guest.api says so, and nowhere else", async () => {
    const plain = await started("islt-plain", "islet.guest.api = 1\n");
    assert.equal((await ask(plain, "/1.0")).status, 200);
    const without = await started("islt-none", "islet.guest = lxd\nislet.guest.api = 0\n");
    assert.equal((await without.try("ls /dev/lxd")).status, 1);
    const lxc = await started("islt-lxc", "");
    assert.equal((await lxc.try("ls /dev/lxd")).status, 1);
    const { stderr } = await fails(["islet", "wait", ...lxc.at, "--ready", "-t", "1"], 1);
    assert.match(stderr, /no API/);
    for (const guest of [plain, without, lxc]) await guest.kill();
  });

  it("tells islet when the guest is ready, until it stops or reboots", async () => {
    const guest = await started("islt-ready", "islet.guest = lxd\n");
    const ready = async (): Promise<unknown> =>
      (
        JSON.parse(await ok(["islet", "ls", "-P", store.path, "--format", "json", guest.name])) as { ready: unknown }[]
      )[0]?.ready;
    assert.equal(await ready(), false);
    const { stderr } = await fails(["islet", "wait", ...guest.at, "--ready", "-t", "0.2"], 1);
    assert.match(stderr, /islt-ready did not say within 0.2 s that it is ready; it is RUNNING/);
    const waiting = ok(["islet", "wait", ...guest.at, "--ready", "-t", "20"]);
    const patched = await ask(guest, "/1.0", [], "PATCH", '{"state":"Ready"}');
    assert.equal(patched.all.slice(patched.all.indexOf("\r\n\r\n")), "\r\n\r\n");
    await waiting;
    assert.equal(await ready(), true);
    assert.equal(await setting(guest, "volatile.last_state.ready"), "true");
    assert.match((await ask(guest, "/1.0")).body, /"state":"Ready"/);
    await ok(["lxc-stop", ...guest.at, "-r", "-t", "20"]);
    assert.equal(await ready(), false);
    assert.match((await ask(guest, "/1.0")).body, /"state":"Started"/);
    assert.equal((await ask(guest, "/1.0", [], "PATCH", '{"state":"Started"}')).status, 200);
    assert.equal(await ready(), false);
    await ask(guest, "/1.0", [], "PATCH", '{"state":"Ready"}');
    await guest.kill();
    assert.equal(await ready(), null);
    await guest.start();
    assert.equal(await ready(), false);
    await guest.kill();
  });

  it("tells the guest of changes, in their order, as a plain stream and by websocket", async () => {
    const guest = await started("islt-events", "islet.guest = lxd\n", ["user.foo=bar"]);
    const other = await started("islt-events2", "islet.guest = lxd\n");
    const handshake =
      "GET /1.0/events HTTP/1.1\r\nHost: lxd\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const listen = (input: string): Promise<string> =>
      sendRaw(guest, input, [], { milliseconds: 2500 }).then(({ stdout }) => stdout);
    const streams = [
      listen("GET /1.0/events HTTP/1.1\r\nHost: lxd\r\n\r\n"),
      listen("GET /1.0/events?type=device HTTP/1.1\r\nHost: lxd\r\n\r\n"),
      listen(handshake),
    ];
    await new Promise((resolve) => setTimeout(resolve, 500));
    await set(guest, "user.foo=baz", "user.new=1", "cloud-init.user-data=x");
    await set(other, "user.not=yours");
    await ok(["islet", "unset", "-P", store.path, guest.name, "user.new"]);
    await ok(["lxc-device", ...guest.at, "--", "add", "/dev/zero", "/dev/zzz"]);
    assert.match(
      (await ask(guest, "/1.0/devices")).body,
      /"zzz":\{"path":"\/dev\/zzz","source":"\/dev\/zero","type":"unix-char"\}/,
    );
    await ok(["lxc-device", ...guest.at, "--", "del", "/dev/zero", "/dev/zzz"]);
    const config = { path: "/dev/zzz", source: "/dev/zero", type: "unix-char" };
    const configEvents = [
      { type: "config", metadata: { key: "user.foo", old_value: "bar", value: "baz" } },
      { type: "config", metadata: { key: "user.new", old_value: "", value: "1" } },
      { type: "config", metadata: { key: "user.new", old_value: "1", value: "" } },
    ];
    const deviceEvents = [
      { type: "device", metadata: { action: "added", config, name: "zzz" } },
      { type: "device", metadata: { action: "removed", config, name: "zzz" } },
    ];
    const [plain = "", devices = "", socket = ""] = await Promise.all(streams);
    const head =
      "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n\r\n";
    const events = (text: string): unknown[] =>
      text
        .trimEnd()
        .split("\n")
        .map((line) => {
          const { timestamp, ...rest } = JSON.parse(line) as { timestamp: string };
          assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
          return rest;
        });
    assert.ok(plain.startsWith(head), plain);
    assert.deepEqual(events(plain.slice(head.length)), [...configEvents, ...deviceEvents]);
    assert.ok(devices.startsWith(head), devices);
    assert.deepEqual(events(devices.slice(head.length)), deviceEvents);
    assert.match(
      socket,
      /^HTTP\/1\.1 101 Switching Protocols\r\n[^]*Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/,
    );
    const frames = socket.slice(socket.indexOf("\r\n\r\n") + 4);
    assert.ok(frames.includes("keepalive"), "no ping");
    assert.deepEqual((frames.match(/\{"type".*?\}\}|\{"type".*?"zzz"\}\}/g) ?? []).length, 5, frames);
    assert.ok(frames.indexOf('"old_value":"bar"') < frames.indexOf('"added"'));
    assert.equal((await ask(guest, "/1.0/events?type=config,nope")).status, 400);
    await guest.kill();
    await other.kill();
  });

  it("gives what cloud-init asks for in the form it is understood in", async () => {
    const guest = await started(
      "islt-ci",
      "islet.guest = lxd\nlxc.net.0.type = veth\nlxc.net.0.name = eth0\nlxc.net.0.hwaddr = 00:16:3e:01:02:03\n",
      ["user.foo=bar", "user.meta-data=extra-key: extra-val", "cloud-init.user-data=#cloud-config\nx: 1"],
    );
    const id = await setting(guest, "volatile.cloud-init.instance-id");
    assert.equal(
      (await ask(guest, "/1.0/meta-data")).body,
      `instance-id: ${id}\nlocal-hostname: islt-ci\nextra-key: extra-val`,
    );
    assert.deepEqual(JSON.parse((await ask(guest, "/1.0/devices")).body), {
      eth0: { hwaddr: "00:16:3e:01:02:03", name: "eth0", nictype: "p2p", type: "nic" },
      root: { path: "/", type: "disk" },
    });
    await set(guest, "user.foo=other");
    assert.equal(await setting(guest, "volatile.cloud-init.instance-id"), id);
    await set(guest, "cloud-init.vendor-data=#cloud-config\n{}");
    const second = await setting(guest, "volatile.cloud-init.instance-id");
    assert.notEqual(second, id);
    assert.match((await ask(guest, "/1.0/meta-data")).body, new RegExp(`^instance-id: ${second}\n`));
    await guest.kill();
    await guest.start();
    assert.equal(await setting(guest, "volatile.cloud-init.instance-id"), second);
    await guest.kill();
    await guest.start(["-s", "lxc.net.0.name = lan0"]);
    assert.notEqual(await setting(guest, "volatile.cloud-init.instance-id"), second);
    await guest.kill();
  });

  it("a start with a broken settings file fails with one line that names it, and leaves nothing", async () => {
    const guest = made.define("islt-broken", "islet.guest = lxd\n");
    const file = join(store.path, guest.name, "settings.json");
    writeFileSync(file, "{");
    const said = await guest.refuses();
    assert.ok(said.includes(`${file} is broken`), said);
    const { stderr } = await fails(["islet", "settings", "-P", store.path, guest.name], 1);
    assert.match(stderr, new RegExp(`^islet settings: islt-broken: ${file} is broken: .*\n$`));
    assert.deepEqual(directories(), []);
    assert.equal(statSync(file).size, 1);
  });

  it("requests that make no sense are refused or cut off, and cost nothing", async () => {
    const guest = await started("islt-odd", "islet.guest = lxd\n");
    const send = async (input: string, milliseconds = 5000): Promise<string> =>
      (await sendRaw(guest, input, [], { milliseconds })).stdout;
    assert.equal(parseReply(await send("rubbish\r\n\r\n")).status, 400);
    assert.equal(parseReply(await send("\0\0\0\0")).status, 400);
    assert.equal(parseReply(await send("GET /1.0 HTTP/1.1\r\n\r\n", 500)).status, 400);
    assert.equal(parseReply(await send("GET /1.0 HTTP/1.0\r\n\r\n")).status, 200);
    assert.equal(
      parseReply(await send(`GET /1.0 HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(70_000)}\r\n\r\n`)).status,
      431,
    );
    const big = `PATCH /1.0 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n${"z".repeat(100_000)}`;
    assert.equal(parseReply(await send(big)).status, 413);
    // Half a request is waited for, and forgotten when its sender goes.
    assert.equal(await send("GET /1.0 HT", 300), "");
    assert.equal(parseReply(await send(requestText("/1.0/config/%zz"))).status, 400);
    const both = await send(
      "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert.match(both, /200 OK[^]*\["\/1\.0"\][^]*404 Not Found/);
    assert.equal((await ask(guest, "/1.0")).status, 200);
    await guest.kill();
  });

  it("a guest cannot keep the daemon waiting by descriptors that it sends", async (t) => {
    if (lacks(t, "passrights")) return;
    const guest = await started("islt-linger", "islet.guest = lxd\n", []);
    const handing = guest.attach(["--", "/bin/guest-client", socketPath, "linger", "3"]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const began = performance.now();
    await ok(["lxc-info", ...guest.at, "-s"]);
    const took = performance.now() - began;
    assert.equal((await handing).stdout, "Operation not permitted\n");
    assert.ok(took < 1000, `a command took ${took} ms`);
    await guest.kill();
  });

  it("a thousand connections of one guest leave the others, and the daemon, as they were", async () => {
    const loud = await started("islt-loud", "islet.guest = lxd\n", ["user.a=1"]);
    const quiet = await started("islt-quiet", `islet.guest = lxd\n${map}`, ["user.a=1"]);
    const measure = async (): Promise<number> => {
      const { stdout } = await quiet.attach([
        "--",
        "/bin/guest-client",
        socketPath,
        "time",
        "100",
        "/1.0/config/user.a",
      ]);
      const [median = Number.NaN] = stdout.split(" ").map(Number);
      assert.ok(median > 0, stdout);
      return median;
    };
    await measure();
    const pid = daemonPid() ?? 0;
    const before = descriptorCount(pid);
    const alone = await measure();
    const idle = loud.attach(["--", "/bin/guest-client", socketPath, "idle", "1000", "1500"]);
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.ok(descriptorCount(pid) - before < 150, `${descriptorCount(pid) - before} descriptors more`);
    const held = Number((await idle).stdout.trim().split("\n").at(-1));
    assert.ok(held > 0 && held <= 64, `${held} of them are served`);
    const flood = loud.attach(["--", "/bin/guest-client", socketPath, "flood", "1000", "4000"]);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const during = await measure();
    const began = performance.now();
    await ok(["lxc-info", ...quiet.at, "-s"]);
    const main = performance.now() - began;
    assert.ok(during < 100_000, `${during} µs in a flood, ${alone} µs without`);
    assert.ok(main < 2000, `a command took ${main} ms`);
    await flood;
    await waitFor("the daemon's descriptors to be as before", () => descriptorCount(pid) <= before);
    console.log(
      `median of a request: ${alone} µs alone, ${during} µs beside a flood; a command: ${main.toFixed(0)} ms`,
    );
    assert.equal(daemonPid(), pid);
    await loud.kill();
    await quiet.kill();
  });
});
