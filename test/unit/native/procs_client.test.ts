import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess, type StdioOptions } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { wait, call, clone, end, fail, imm, load, buffer, presetSlot, slot, tell, textBytes, within } from "../../../src/program/assembler.js";
import { cloneArguments } from "../../../src/program/calls.js";
import { closeFd } from "../../../src/host/addon.js";
import { image, ptyMaster, startShell, TIOCGPTPEER, TIOCSPTLCK } from "../../support/image.js";
import { encodeFrame, listenUnix, socketPair, string, sys, u32, wire, type Frame, type Wire } from "../../support/frames.js";
import { root } from "../../support/paths.js";
import { lacks } from "../../support/skip.js";
import { waitFor } from "../../support/wait.js";

const HELLO = 1;
const OUT = 2;
const EXIT = 3;
const RUN = 4;
const RESULT = 5;
const RELAY = 6;
const WINCH = 7;
const SIGNAL = 8;
const HUNGUP = 9;

const dirs: string[] = [];
after(() => {
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
});

function newDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "islt-client-"));
  dirs.push(dir);
  return dir;
}

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Client {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

interface ClientOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly argv0?: string;
  readonly cwd?: string;
  readonly stdio?: StdioOptions;
  readonly binary?: string;
}

function startClient(runtime: string, options: ClientOptions = {}): Client {
  const child = spawn(options.binary ?? islet, options.args ?? ["info", "x"], {
    argv0: options.argv0 ?? "/usr/bin/lxc-test",
    cwd: options.cwd ?? "/",
    env: { ISLET_RUNTIME_DIR: runtime, ...options.env },
    stdio: options.stdio ?? ["ignore", "pipe", "pipe"],
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on("data", (data: Buffer) => stdout.push(data));
  child.stderr?.on("data", (data: Buffer) => stderr.push(data));
  const ended = new Promise<Ended>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`the client did not end: ${Buffer.concat(stdout).toString()}${Buffer.concat(stderr).toString()}`));
    }, 10_000);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() });
    });
  });
  return { child, ended };
}

interface Hello {
  readonly ttys: number;
  readonly rows: number;
  readonly columns: number;
  readonly umask: number;
  readonly cwd: string;
  readonly argv: readonly string[];
  readonly env: readonly string[];
}

function decodeHello(bytes: Buffer): Hello {
  let at = 16;
  const text = (): string => {
    const len = bytes.readUInt32LE(at);
    at += 4 + len;
    return bytes.toString("utf8", at - len, at);
  };
  const list = (): string[] => {
    const count = bytes.readUInt32LE(at);
    at += 4;
    return Array.from({ length: count }, text);
  };
  assert.equal(bytes.readUInt32LE(0), 1);
  const hello = {
    ttys: bytes.readUInt32LE(4),
    rows: bytes.readUInt16LE(8),
    columns: bytes.readUInt16LE(10),
    umask: bytes.readUInt32LE(12),
    cwd: text(),
    argv: list(),
    env: list(),
  };
  assert.equal(at, bytes.length);
  return hello;
}

/** A daemon that does one thing for whoever connects; gives back the runtime directory. */
function fakeDaemon(t: { after(body: () => void): void }, serve: (peer: Wire, hello: Frame) => void | Promise<void>): string {
  const runtime = newDir();
  const peers: Wire[] = [];
  const failures: unknown[] = [];
  const stop = listenUnix(join(runtime, "socket"), (peer) => {
    peers.push(peer);
    void (async () => {
      const hello = await peer.next();
      assert.ok(hello !== null && hello.type === HELLO);
      try {
        await serve(peer, hello);
      } finally {
        for (const fd of hello.fds) closeFd(fd);
      }
    })().catch((error: unknown) => failures.push(error));
  });
  t.after(() => {
    stop();
    for (const peer of peers) peer.close();
    if (failures.length > 0) throw failures[0];
  });
  return runtime;
}

function out(peer: Wire, fd: number, text: string | Uint8Array): void {
  peer.send(OUT, Buffer.concat([u32(fd), Buffer.from(text as string)]));
}

/** Everything that comes to a terminal's master. */
async function readFrom(fd: number, what: RegExp): Promise<string> {
  let all = "";
  await waitFor(`${what} from the terminal`, () => {
    all += readAvailable(fd);
    return what.test(all);
  });
  return all;
}

function readAvailable(fd: number): string {
  const bytes = Buffer.alloc(65536);
  try {
    return bytes.toString("utf8", 0, sys("read", fd, bytes, bytes.length));
  } catch {
    return "";
  }
}

interface Terminal {
  readonly master: number;
  readonly slave: number;
  resize(rows: number, columns: number): void;
  /** c_lflag has ICANON. */
  isCooked(): boolean;
  type(text: string): void;
}

function openTerminal(t: { after(body: () => void): void }): Terminal {
  const master = sys("openat", -100, Buffer.from("/dev/ptmx\0"), 0o2004402, 0);
  sys("ioctl", master, TIOCSPTLCK, Buffer.alloc(4));
  const slave = sys("ioctl", master, TIOCGPTPEER, 0o2000402);
  t.after(() => {
    closeFd(master);
    closeFd(slave);
  });
  return {
    master,
    slave,
    resize(rows, columns) {
      const size = Buffer.alloc(8);
      size.writeUInt16LE(rows, 0);
      size.writeUInt16LE(columns, 2);
      sys("ioctl", master, 0x5414, size);
    },
    isCooked() {
      const termios = Buffer.alloc(64);
      sys("ioctl", slave, 0x5401, termios);
      return (termios.readUInt32LE(12) & 2) !== 0;
    },
    type(text) {
      sys("write", master, Buffer.from(text), Buffer.byteLength(text));
    },
  };
}

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
  assert.equal(ended.signal, "SIGPIPE");
  assert.equal(ended.stderr, "");
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

// --- starting the daemon --------------------------------------------------------------------------------------------

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

/** ISLET_BINARY: one built with sanitizers, say. */
const islet: string = process.env["ISLET_BINARY"] ?? join(root, "build/islet");
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
    startClient(place.runtime, { binary: place.binary, env: { NODE_OPTIONS: "--no-such-option", NODE_EXTRA_CA_CERTS: "/nowhere", SECRET: "x" } }),
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
  assert.match(silent.stderr, /^lxc-test: cannot start the islet daemon: it ended without a word; see .*daemon\.log\n$/);
  rmSync(join(place.dir, "dist/src/daemon/main.js"));
  const absent = await startClient(place.runtime, { binary: place.binary }).ended;
  assert.equal(absent.code, 1);
  assert.match(absent.stderr, /^lxc-test: cannot start the islet daemon: .*main\.js: not there; build islet first \(npm run build\)\n$/);
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
  const child = spawn(binary, ["info"], { argv0: "lxc-info", uid: 65534, gid: 65534, env: { ISLET_RUNTIME_DIR: runtime }, cwd: "/" });
  let stderr = "";
  child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
  assert.equal(await new Promise((resolve) => child.on("close", resolve)), 1);
  assert.match(stderr, /^lxc-info: the islet daemon listens to root only \(.*\/socket\): Permission denied\n$/);
});

// --- RUN ------------------------------------------------------------------------------------------------------------

/** Starts a shell script and ends with its exit code. */
function shellImage(script: string): Uint8Array {
  return image((first) => {
    const started = startShell(first, script);
    const code = slot(first.build, "code");
    tell(first, 3, "target", started.pid, "gets the signals");
    wait(first, started.pidfd, false, { note: "wait for the shell", out: code });
    end(first, code, "its exit code");
  });
}

function run(peer: Wire, flags: number, program: Uint8Array, fds: readonly number[] = []): void {
  peer.send(RUN, Buffer.concat([u32(flags), program]), fds);
}

test("RUN makes the user's own child, with the user's descriptors, and exits with its code", async (t) => {
  // What the runner of this test let slip through to its children is no fault of the client.
  const usual = spawnSync("/bin/sh", ["-c", "ls /proc/$$/fd | tr '\\n' ' '"]).stdout.toString();
  const runtime = fakeDaemon(t, (peer) => {
    run(peer, 1, shellImage("echo out; echo err >&2; ls /proc/$$/fd | tr '\\n' ' '; exit 42"));
  });
  const client = startClient(runtime);
  const ended = await client.ended;
  assert.deepEqual(ended, { code: 42, signal: null, stdout: `out\n${usual}`, stderr: "err\n" });
});

test("the exit code of a child that a signal ended is 128 and the signal", async (t) => {
  const runtime = fakeDaemon(t, (peer) => {
    run(peer, 1, shellImage("kill -9 $$"));
  });
  assert.equal((await startClient(runtime).ended).code, 137);
});

test("RUN with a result frame goes on afterwards", async (t) => {
  const results: Buffer[] = [];
  const runtime = fakeDaemon(t, async (peer) => {
    for (const code of [3, 4]) {
      run(peer, 2, shellImage(`exit ${code}`));
      const answer = await peer.next();
      assert.equal(answer?.type, RESULT);
      results.push(answer.payload);
    }
    out(peer, 1, "done\n");
    peer.send(EXIT, u32(9));
  });
  const ended = await startClient(runtime).ended;
  assert.deepEqual(results, [u32(0, 3), u32(0, 4)]);
  assert.equal(ended.code, 9);
  assert.equal(ended.stdout, "done\n");
});

test("a failed program is reported with its operation, and the daemon has the last word", async (t) => {
  let record: Buffer | null = null;
  const runtime = fakeDaemon(t, async (peer) => {
    run(
      peer,
      1,
      image((first) => {
        call(first, "getpid", [], { note: "fine" });
        fail(first, 13, { note: "not allowed" });
      }),
    );
    record = (await peer.next())?.payload ?? null;
    out(peer, 2, "lxc-test: not allowed\n");
    peer.send(EXIT, u32(255));
  });
  const ended = await startClient(runtime).ended;
  assert.deepEqual(ended, { code: 255, signal: null, stdout: "", stderr: "lxc-test: not allowed\n" });
  assert.equal(record!.length, 76);
  assert.equal((record! as Buffer).readUInt32LE(0), 1);
  assert.deepEqual([1, 2, 3, 4].map((i) => (record! as Buffer).readUInt32LE(i * 4)), [0x46504c49, 1, 13, 0]);
});

test("when a child of the program fails, the child's record is the one that is sent", async (t) => {
  let record: Buffer | null = null;
  const runtime = fakeDaemon(t, async (peer) => {
    run(
      peer,
      1,
      image((first) => {
        const room = buffer(first.build, 4, "pidfd");
        const pidfd = slot(first.build, "pidfd");
        clone(first, "child", cloneArguments(first, 0x1000n, 17, room, null), { note: "child" }, (child) => {
          fail(child, 28, { note: "no space" });
        });
        load(first, pidfd, within(room, 0, 4), 4, "pidfd");
        wait(first, pidfd, true, { note: "must be fine" });
        end(first, 0, "never");
      }),
    );
    record = (await peer.next())?.payload ?? null;
    peer.send(EXIT, u32(1));
  });
  await startClient(runtime).ended;
  assert.deepEqual([3, 4].map((i) => (record! as Buffer).readUInt32LE(i * 4)), [28, 1]);
});

test("preset slots are the descriptors that came along", async (t) => {
  const runtime = fakeDaemon(t, async (peer) => {
    const [mine, theirs] = socketPair();
    const program = image((first) => {
      const given = presetSlot(first.build, "given");
      call(first, "write", [given, textBytes(first.build, "ping"), imm(4)], { note: "write" });
      end(first, 0, "done");
    });
    run(peer, 2, program, [theirs]);
    closeFd(theirs);
    await peer.next();
    const bytes = Buffer.alloc(8);
    assert.equal(sys("read", mine, bytes, 8), 4);
    assert.equal(bytes.toString("utf8", 0, 4), "ping");
    assert.equal(sys("read", mine, bytes, 8), 0); // the client has closed its copy
    closeFd(mine);
    peer.send(EXIT, u32(0));
  });
  assert.equal((await startClient(runtime).ended).code, 0);
});

test("SIGTERM to the client reaches the child that the program named", async (t) => {
  const runtime = fakeDaemon(t, (peer) => {
    run(peer, 1, shellImage("trap 'exit 33' TERM; echo ready; while :; do sleep 0.05; done"));
  });
  const client = startClient(runtime);
  await new Promise((resolve) => client.child.stdout?.once("data", resolve));
  client.child.kill("SIGTERM");
  assert.equal((await client.ended).code, 33);
});

test("a terminal of its own is relayed: size, keys, output to the last byte, and the user's terminal is restored", async (t) => {
  const terminal = openTerminal(t);
  terminal.resize(33, 101);
  const runtime = fakeDaemon(t, (peer, hello) => {
    const said = decodeHello(hello.payload);
    assert.deepEqual([said.ttys, said.rows, said.columns], [7, 33, 101]);
    run(
      peer,
      1,
      image((first) => {
        const master = ptyMaster(first);
        const started = startShell(first, "stty size; read line; echo got:$line; (sleep 3 &) ; seq 3000; exit 6", master);
        const code = slot(first.build, "code");
        tell(first, 1, "master", master, "relay");
        tell(first, 2, "ignore", imm(1), "ignore the keyboard's signals");
        wait(first, started.pidfd, false, { note: "wait", out: code });
        end(first, code, "code");
      }),
    );
  });
  terminal.type("early\n"); // typed before anybody listens: must not be lost
  const begin = Date.now();
  const client = startClient(runtime, { stdio: [terminal.slave, terminal.slave, terminal.slave] });
  const text = await readFrom(terminal.master, /3000\r\n/);
  assert.equal((await client.ended).code, 6);
  assert.match(text, /33 101\r\n/);
  assert.match(text, /got:early\r\n/);
  assert.equal(text.match(/^\d+\r$/gm)?.length, 3000);
  assert.ok(Date.now() - begin < 2500, "a background job that holds the terminal does not hold the client");
  assert.ok(terminal.isCooked());
});

// --- RELAY ----------------------------------------------------------------------------------------------------------

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
  let hungup: Frame | null = null;
  const runtime = fakeDaemon(t, async (peer) => {
    const far = await relayTo(peer, 0, 1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const text = Buffer.alloc(50_000, "x");
    sys("write", far, text, text.length);
    closeFd(far);
    hungup = await peer.next();
    peer.send(EXIT, u32(4));
  });
  const ended = await startClient(runtime).ended; // its input is /dev/null
  assert.equal(ended.code, 4);
  assert.equal(ended.stdout.length, 50_000);
  assert.deepEqual([hungup!, (hungup! as Frame).type, (hungup! as Frame).payload].slice(1), [HUNGUP, u32(0)]);
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
