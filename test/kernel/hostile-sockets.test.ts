import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { cleanup } from "../support/cleanup.js";
import { syscall } from "../../src/host/addon.js";
import { errnoName } from "../../src/sys/errno.js";
import { sockaddrUnixAbstract, sockaddrUnixPath } from "../../src/sys/structs.js";
import { requireSyscall } from "../../src/sys/syscalls.js";
import { encodeFrame, sys } from "../support/frames.js";
import { currentArch } from "../support/image.js";
import { instance, processesOf, type Instance } from "../support/instance.js";
import { descriptorCount } from "../support/leaks.js";
import { bin } from "../support/paths.js";
import { busybox } from "../support/store.js";
import { waitFor } from "../support/wait.js";

/** Every socket that others can reach, and what they may do to it. */

const name = "islt-sock";

interface Target {
  readonly own: Instance;
  readonly at: readonly string[];
  /** Of the socket; abstract ones begin with a NUL. */
  readonly path: string;
  /** Who serves it. */
  readonly pid: number;
  /** How much more memory it may have for a while, kB. */
  readonly room: number;
}

const residentKb = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0");

async function target(t: TestContext, kind: string, config = ""): Promise<Target> {
  const own = await instance(t);
  busybox(own.store, name, config);
  const at = own.store.at(name);
  await own.ok(["lxc-start", ...at]);
  await answers(own, at);
  const monitor = Number(processesOf(own.store.path, [])[0]?.split(" ")[0]);
  const [entry = ""] = readdirSync(join(own.runtimeDir, "monitor"));
  const path =
    kind === "daemon"
      ? join(own.runtimeDir, "socket")
      : kind === "monitor"
        ? join(own.runtimeDir, "monitor", entry)
        : `\0${own.store.path}/${name}/command`;
  return kind === "daemon"
    ? { own, at, path, pid: own.pid(), room: 64 * 1024 }
    : { own, at, path, pid: monitor, room: 1024 };
}

async function answers(own: Instance, at: readonly string[]): Promise<void> {
  assert.equal(await own.ok(["lxc-info", ...at, "-sH"], { timeout: 20_000 }), "RUNNING\n");
}

/** A connection whose errors do not matter; while the queue of connections is full (EAGAIN) it is tried again. */
async function open(t: TestContext, path: string): Promise<Socket> {
  const address = path.startsWith("\0") ? sockaddrUnixAbstract(path.slice(1)) : sockaddrUnixPath(path);
  const fd = sys("socket", 1, 0o2004001, 0); // AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK
  const socket = new Socket({ fd: await connected(fd, address) });
  socket.on("error", () => {});
  const mine = opened.get(t);
  if (mine === undefined) forget(t, socket);
  else mine.push(socket);
  return socket;
}

async function connected(fd: number, address: Uint8Array): Promise<number> {
  await waitFor(
    "a place in the queue of connections",
    () => {
      const result = syscall(requireSyscall(currentArch, "connect"), [fd, address, address.length]);
      if (result < 0 && errnoName(result) !== "EAGAIN") throw new Error(errnoName(result));
      return result === 0;
    },
    { every: 2 },
  );
  return fd;
}

/** All of a test's connections end with it. */
const opened = new WeakMap<TestContext, Socket[]>();
function forget(t: TestContext, first: Socket): void {
  const sockets = [first];
  opened.set(t, sockets);
  cleanup(t)(() => {
    for (const socket of sockets) socket.destroy();
  });
}

function head(length: number, type: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(length >>> 0, 0);
  bytes.writeUInt16LE(type, 4);
  return bytes;
}

/** A thousand at most: what may be kept of them depends on who is asked. */
const attacks: readonly {
  readonly what: string;
  readonly connections: number;
  readonly bytes: () => Buffer;
}[] = [
  { what: "a megabyte of garbage", connections: 5, bytes: () => randomBytes(1024 * 1024) },
  { what: "a megabyte of zeros", connections: 2, bytes: () => Buffer.alloc(1024 * 1024) },
  { what: "a head without its frame", connections: 50, bytes: () => head(60, 1) },
  { what: "half a head", connections: 50, bytes: () => head(60, 1).subarray(0, 3) },
  {
    what: "a frame of which the last byte is missing",
    connections: 50,
    bytes: () => Buffer.concat([head(60, 1), Buffer.alloc(59)]),
  },
  { what: "a frame of 4 GiB", connections: 20, bytes: () => head(0xffffffff, 1) },
  { what: "a frame just above the limit", connections: 20, bytes: () => head(8 * 1024 * 1024 + 1, 1) },
  { what: "nothing, a thousand times", connections: 1000, bytes: () => Buffer.alloc(0) },
  {
    what: "questions whose answers nobody reads",
    connections: 4,
    bytes: () => Buffer.concat(Array.from({ length: 20_000 }, () => encodeFrame(2, Buffer.alloc(0)))),
  },
];

for (const kind of ["daemon", "monitor", "lock"]) {
  test(`the socket of the ${kind} withstands all that may be sent to it, and its owner keeps to its memory`, async (t) => {
    const { own, at, path, pid, room } = await target(t, kind);
    const descriptors = descriptorCount(pid);
    const memory = residentKb(pid);
    for (const { what, connections, bytes } of attacks) {
      const sockets: Socket[] = [];
      while (sockets.length < connections) {
        const group = Math.min(20, connections - sockets.length);
        sockets.push(...(await Promise.all(Array.from({ length: group }, () => open(t, path)))));
      }
      for (const socket of sockets) socket.write(bytes());
      await answers(own, at);
      assert.equal(await own.ok(["lxc-attach", ...at, "--", "hostname"]), `${name}\n`, what);
      assert.ok(residentKb(pid) - memory < room, `${what}: ${memory} kB before, ${residentKb(pid)} kB now`);
      for (const socket of sockets) socket.destroy();
      // Those who asked the lock are let go only when others come.
      const kept = kind === "lock" ? 8 : 0;
      await waitFor(`${what}: the descriptors to be closed`, () => descriptorCount(pid) <= descriptors + kept);
    }
    assert.equal(processesOf(own.store.path, []).length, 1, "the monitor lives");
    await own.ok(["lxc-stop", ...at, "-k"]);
  });
}

test("the lock answers everybody with one error of LXC's protocol, also those who ask nothing", async (t) => {
  const { own, at, path } = await target(t, "lock");
  for (let count = 0; count < 20; count += 1) {
    const socket = await open(t, path);
    const answer = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
    assert.deepEqual([answer.length, answer.readInt32LE(0), answer.readInt32LE(4)], [16, -95, 0]);
  }
  await own.ok(["lxc-stop", ...at, "-r", "-t", "20"]);
  const socket = await open(t, path);
  assert.equal(
    (await new Promise<Buffer>((resolve) => socket.once("data", resolve))).length,
    16,
    "after a reboot, too",
  );
  await own.ok(["lxc-stop", ...at, "-k"]);
});

test("a monitor tells its subscribers no more than they read, and a console that nobody reads holds nobody up", async (t) => {
  const flood = `lxc.init.cmd = /bin/sh -c "while :; do echo 0123456789012345678901234567890123456789; done"\n`;
  const { own, at, path, pid, room } = await target(t, "monitor", flood);
  const memory = residentKb(pid);
  for (let count = 0; count < 5; count += 1) (await open(t, path)).write(encodeFrame(14, Buffer.alloc(0)));
  const sit = (): ChildProcess => {
    const child = spawn(bin("lxc-console"), [...at, "-t", "0"], {
      env: { PATH: process.env["PATH"], ISLET_RUNTIME_DIR: own.runtimeDir },
      stdio: ["pipe", "pipe", "ignore"],
    });
    cleanup(t)(() => void child.kill("SIGKILL"));
    return child;
  };
  const ended = (child: ChildProcess): Promise<number | null> => new Promise((resolve) => child.on("exit", resolve));
  // One of them gets it, the other is told that it is in use.
  const consoles = [sit(), sit()];
  const gone = Promise.all(consoles.map(ended));
  for (let round = 0; round < 5; round += 1) {
    await answers(own, at);
    assert.ok(residentKb(pid) - memory < room, `${memory} kB before, ${residentKb(pid)} kB now`);
  }
  for (const each of consoles) each.kill("SIGKILL");
  await gone;
  // The next user of the console gets it as soon as the daemon has let go of it, too, and sees the flood.
  let seen = 0;
  const patient = await waitFor("the console's output", async () => {
    const child = sit();
    child.stdout?.on("data", (data: Buffer) => (seen += data.length));
    const over = ended(child);
    while (seen < 100_000) {
      const status = await Promise.race([over, new Promise<"later">((resolve) => setTimeout(resolve, 20, "later"))]);
      if (status !== "later") return null;
    }
    return { over };
  });
  await own.ok(["lxc-stop", ...at, "-k"]);
  assert.equal(await patient.over, 0);
});
