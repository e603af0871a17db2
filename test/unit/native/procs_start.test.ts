import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { closeFd } from "../../../src/host/addon.js";
import { EXIT, fakeDaemon, islet, newDir, startClient } from "../../support/client.js";
import { sys, u32 } from "../../support/frames.js";
import { lacks } from "../../support/skip.js";

/** A checkout whose daemon is the given script; its build/islet is the real one. */
function checkout(script: string): { readonly binary: string; readonly runtime: string; readonly dir: string } {
  const dir = newDir();
  mkdirSync(join(dir, "build"));
  mkdirSync(join(dir, "dist/src/daemon"), { recursive: true });
  copyFileSync(islet, join(dir, "build/islet"));
  chmodSync(join(dir, "build/islet"), 0o755);
  symlinkSync(process.execPath, join(dir, "build/node"));
  writeFileSync(join(dir, "dist/package.json"), `{"type":"module"}`);
  writeFileSync(join(dir, "dist/src/daemon/main.js"), script);
  return { binary: join(dir, "build/islet"), runtime: join(dir, "run"), dir };
}

const daemonScript = (dir: string): string => `
import { createServer } from "node:net";
import { appendFileSync, readdirSync, readlinkSync, writeSync, closeSync } from "node:fs";
const fds = readdirSync("/proc/self/fd").flatMap((fd) => { try { return [[fd, readlinkSync("/proc/self/fd/" + fd)]]; } catch { return []; } });
appendFileSync(${JSON.stringify(join(dir, "started"))}, JSON.stringify({ env: process.env, fds, cwd: process.cwd(), umask: process.umask(), pid: process.pid }) + "\\n");
let answered = 0;
const server = createServer((socket) => {
  const frame = (type, payload) => { const head = Buffer.alloc(8); head.writeUInt32LE(payload.length); head.writeUInt16LE(type, 4); return Buffer.concat([head, payload]); };
  socket.on("error", () => {});
  socket.write(Buffer.concat([frame(2, Buffer.from("\\x01\\0\\0\\0hello from " + process.pid + "\\n")), frame(3, Buffer.alloc(4))]));
});
server.listen(process.env.ISLET_RUNTIME_DIR + "/socket", () => { writeSync(3, "\\n"); closeSync(3); });
setTimeout(() => process.exit(0), 3000);
`;

test("without a daemon the client starts one, in a clean environment, and only one for clients that come at once", async () => {
  const place = checkout("");
  writeFileSync(join(place.dir, "dist/src/daemon/main.js"), daemonScript(place.dir));
  const clients = Array.from({ length: 6 }, () =>
    startClient(place.runtime, {
      binary: place.binary,
      env: { NODE_OPTIONS: "--no-such-option", NODE_EXTRA_CA_CERTS: "/nowhere", SECRET: "x" },
    }),
  );
  const ended = await Promise.all(clients.map((client) => client.ended));
  for (const one of ended) assert.equal(one.code, 0, one.stderr);
  assert.equal(new Set(ended.map((one) => one.stdout)).size, 1);
  const lines = readFileSync(join(place.dir, "started"), "utf8").trim().split("\n");
  assert.equal(lines.length, 1);
  const started = JSON.parse(lines[0] ?? "") as {
    env: Record<string, string>;
    fds: [string, string][];
    cwd: string;
    umask: number;
    pid: number;
  };
  assert.deepEqual(started.env, {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    LANG: "C.UTF-8",
    ISLET_READY_FD: "3",
    ISLET_RUNTIME_DIR: place.runtime,
  });
  assert.equal(started.cwd, "/");
  assert.equal(started.umask, 0o022);
  const byNumber = new Map(started.fds);
  assert.equal(byNumber.get("0"), "/dev/null");
  assert.equal(byNumber.get("1"), join(place.runtime, "daemon.log"));
  assert.equal(byNumber.get("2"), join(place.runtime, "daemon.log"));
  assert.match(byNumber.get("3") ?? "", /^pipe:/);
  assert.deepEqual(readdirSync(place.runtime).sort(), ["daemon.log", "socket", "start.lock"]);
  process.kill(started.pid);
});

test("a stale socket of a dead daemon does not stop the client from starting another", async () => {
  const place = checkout("");
  mkdirSync(place.runtime);
  const fd = sys("socket", 1, 1, 0);
  const address = Buffer.alloc(110);
  address.writeUInt16LE(1);
  address.write(join(place.runtime, "socket"), 2);
  sys("bind", fd, address, 110);
  closeFd(fd);
  writeFileSync(
    join(place.dir, "dist/src/daemon/main.js"),
    `import { unlinkSync } from "node:fs"; unlinkSync(process.env.ISLET_RUNTIME_DIR + "/socket");${daemonScript(place.dir)}`,
  );
  const ended = await startClient(place.runtime, { binary: place.binary }).ended;
  assert.equal(ended.code, 0, ended.stderr);
  process.kill((JSON.parse(readFileSync(join(place.dir, "started"), "utf8")) as { pid: number }).pid);
});

test("a daemon that dies at its start is quoted in one line", async () => {
  const place = checkout(`throw new Error("the state directory is broken");`);
  assert.deepEqual(await startClient(place.runtime, { binary: place.binary }).ended, {
    code: 1,
    signal: null,
    stdout: "",
    stderr: "lxc-test: cannot start the islet daemon: Error: the state directory is broken\n",
  });
});

test("a daemon that dies silently, or is not there, is reported", async () => {
  const place = checkout(`process.exit(1);`);
  const silent = await startClient(place.runtime, { binary: place.binary }).ended;
  assert.equal(silent.code, 1);
  assert.match(
    silent.stderr,
    /^lxc-test: cannot start the islet daemon: it ended without a word; see .*daemon\.log\n$/,
  );
  rmSync(join(place.dir, "dist/src/daemon/main.js"));
  const absent = await startClient(place.runtime, { binary: place.binary }).ended;
  assert.equal(absent.code, 1);
  assert.match(
    absent.stderr,
    /^lxc-test: cannot start the islet daemon: .*main\.js: not there; build islet first \(npm run build\)\n$/,
  );
});

test("a user who may not reach the daemon gets one clear line", async (t) => {
  if (lacks(t, "root")) return;
  const runtime = fakeDaemon(t, (peer) => {
    peer.send(EXIT, u32(0));
  });
  chmodSync(runtime, 0o711);
  chmodSync(join(runtime, "socket"), 0o600);
  const binary = join(newDir(), "islet");
  copyFileSync(islet, binary);
  chmodSync(join(binary, ".."), 0o755);
  const child = spawn(binary, ["info"], {
    argv0: "lxc-info",
    uid: 65534,
    gid: 65534,
    env: { ISLET_RUNTIME_DIR: runtime },
    cwd: "/",
  });
  let stderr = "";
  child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
  assert.equal(await new Promise((resolve) => child.on("close", resolve)), 1);
  assert.match(
    stderr,
    /^lxc-info: the islet daemon listens to root only \(.*\/socket\): Permission denied; use sudo\n$/,
  );
});
