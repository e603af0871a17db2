import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { closeFd } from "../../../src/host/addon.js";
import {
  buffer,
  call,
  clone,
  compute,
  defer,
  end,
  fail,
  imm,
  jump,
  label,
  load,
  place,
  slot,
  tell,
  textBytes,
  wait,
  within,
} from "../../../src/program/assembler.js";
import { cloneArguments, pair } from "../../../src/program/calls.js";
import { deferMark, guestImage, image, leaveMark, startShell, type GuestOptions } from "../../support/image.js";
import {
  connectUnix,
  encodeFrame,
  socketPair,
  string,
  sys,
  u32,
  wire,
  type Frame,
  type Wire,
} from "../../support/frames.js";
import { root } from "../../support/paths.js";
import { waitFor } from "../../support/wait.js";

/** ISLET_BINARY: one built with sanitizers, say. */
const islet: string = process.env["ISLET_BINARY"] ?? join(root, "build/islet");

const START = 1;
const INFO_ASK = 2;
const INFO = 3;
const STATE = 4;
const FAILED = 5;
const KILL = 6;
const CONSOLE = 7;
const TTY_ASK = 8;
const TTY = 9;
const RELEASE = 10;
const RESIZE = 11;
const BUFFER_ASK = 12;
const BUFFER = 13;
const SUBSCRIBE = 14;
const LOG = 15;

const STOPPED = 0;
const STARTING = 1;
const RUNNING = 2;
const none = 0xffffffff;

const dirs: string[] = [];
after(() => {
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
});

interface Monitor {
  readonly child: ChildProcess;
  readonly daemon: Wire;
  /** Exit code, or the signal's name. */
  readonly ended: Promise<number | string>;
  readonly dir: string;
  readonly socket: string;
  readonly marks: string;
}

interface Cleaner {
  after(body: () => void): void;
}

function spawnMonitor(t: Cleaner): Monitor {
  const dir = mkdtempSync(join(tmpdir(), "islt-monitor-"));
  dirs.push(dir);
  const [mine, theirs] = socketPair();
  const child = spawn(islet, ["monitor"], { argv0: "islet", env: {}, stdio: ["ignore", "ignore", "inherit", theirs] });
  closeFd(theirs);
  const daemon = wire(mine);
  const ended = new Promise<number | string>((resolve) =>
    child.on("close", (code, signal) => resolve(code ?? signal ?? "")),
  );
  t.after(() => {
    daemon.close();
    child.kill("SIGKILL");
  });
  return { child, daemon, ended, dir, socket: join(dir, "socket"), marks: join(dir, "marks") };
}

interface StartOptions {
  readonly title?: string;
  readonly meta?: string;
  readonly fds?: readonly number[];
  readonly failOp?: number;
  readonly failErrno?: number;
}

function start(monitor: Monitor, program: Uint8Array, options: StartOptions = {}): void {
  monitor.daemon.send(
    START,
    Buffer.concat([
      u32(0, options.failOp ?? none, options.failErrno ?? 0),
      string(options.title ?? "[islet monitor] test"),
      string(options.meta ?? "meta"),
      string(program),
    ]),
    options.fds ?? [],
  );
}

/** A monitor whose program has reached RUNNING. */
async function running(t: Cleaner, options: GuestOptions, how: StartOptions = {}): Promise<Monitor> {
  const monitor = spawnMonitor(t);
  start(monitor, guestImage({ listen: monitor.socket, marks: monitor.marks, ...options }), how);
  await expectState(monitor.daemon, STARTING);
  await expectState(monitor.daemon, RUNNING, none, (how.meta ?? "").length <= 16384);
  return monitor;
}

async function expectFrame(peer: Wire, type: number): Promise<Frame> {
  const frame = await peer.next();
  assert.ok(frame !== null);
  assert.equal(frame.type, type);
  return frame;
}

/** RUNNING comes with who runs, told before; `told` false: where the meta is too large for that. */
async function expectState(peer: Wire, state: number, exit: number = none, told: boolean = true): Promise<void> {
  if (state === RUNNING && told) {
    const { payload, fds } = await expectFrame(peer, INFO);
    for (const fd of fds) closeFd(fd);
    assert.deepEqual([payload.readUInt32LE(0), payload.readInt32LE(4) > 0, fds.length], [RUNNING, true, 1]);
  }
  const frame = await expectFrame(peer, STATE);
  assert.deepEqual([frame.payload.readUInt32LE(0), frame.payload.readUInt32LE(4)], [state, exit]);
}

interface Info {
  readonly state: number;
  readonly pid: number;
  readonly exit: number;
  readonly startTime: bigint;
  readonly reboots: number;
  readonly meta: string;
  readonly fds: readonly number[];
}

async function info(peer: Wire): Promise<Info> {
  peer.send(INFO_ASK);
  const { payload, fds } = await expectFrame(peer, INFO);
  assert.equal(payload.length, 28 + payload.readUInt32LE(24));
  return {
    state: payload.readUInt32LE(0),
    pid: payload.readInt32LE(4),
    exit: payload.readUInt32LE(8),
    startTime: payload.readBigUInt64LE(12),
    reboots: payload.readUInt32LE(20),
    meta: payload.toString("utf8", 28),
    fds,
  };
}

function kill(peer: Wire, signal: number): void {
  peer.send(KILL, u32(signal));
}

function lines(path: string): readonly string[] {
  return existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : [];
}

/** Neither gone nor waiting for whoever inherits it. */
function isAlive(pid: number): boolean {
  const stat = `/proc/${pid}/stat`;
  return existsSync(stat) && !/\) Z/.test(readFileSync(stat, "utf8"));
}

test("a spare monitor whose daemon goes away ends quietly", async (t) => {
  const monitor = spawnMonitor(t);
  await new Promise((resolve) => setTimeout(resolve, 30));
  monitor.daemon.close();
  assert.equal(await monitor.ended, 0);
});

test("the monitor runs a program, tells its state, answers INFO, and KILL ends it after the deferred blocks", async (t) => {
  const meta = JSON.stringify({ name: "web1", text: "x".repeat(200_000) });
  const monitor = await running(t, { script: "sleep 60" }, { meta });
  const asked = await info(monitor.daemon);
  assert.equal(asked.state, RUNNING);
  assert.equal(asked.exit, none);
  assert.equal(asked.reboots, 0);
  assert.equal(asked.meta, meta);
  await waitFor("the guest's exec", () => /sleep/.test(readFileSync(`/proc/${asked.pid}/cmdline`, "utf8")));
  assert.ok(asked.startTime > 0n);
  assert.equal(asked.fds.length, 1);
  assert.match(readFileSync(`/proc/self/fdinfo/${asked.fds[0]}`, "utf8"), new RegExp(`Pid:\\t${asked.pid}\n`));
  for (const fd of asked.fds) closeFd(fd);
  assert.deepEqual(lines(monitor.marks), ["started"]);
  kill(monitor.daemon, 15);
  await expectState(monitor.daemon, STOPPED, 15);
  assert.equal(await monitor.ended, 0);
  assert.equal(await monitor.daemon.next(), null);
  assert.deepEqual(lines(monitor.marks), ["started", "undone"]);
});

test("SIGURG stops the main process by the signal that was told, and means nothing before", async (t) => {
  const script = "trap 'exit 9' USR1; echo >$MARK; while :; do sleep 0.05; done";
  const plain = await running(t, { script: script.replace("$MARK", "/dev/null") });
  process.kill(plain.child.pid ?? 0, "SIGURG");
  assert.equal((await info(plain.daemon)).state, RUNNING);
  kill(plain.daemon, 9);
  await expectState(plain.daemon, STOPPED, 9);
  const marks = join(mkdtempSync(join(tmpdir(), "islt-urg-")), "listens");
  t.after(() => {
    rmSync(join(marks, ".."), { recursive: true });
  });
  const monitor = await running(t, { script: script.replace("$MARK", marks), halt: 10 });
  await waitFor("the trap", () => existsSync(marks));
  process.kill(monitor.child.pid ?? 0, "SIGURG");
  await expectState(monitor.daemon, STOPPED, 9 << 8);
});

test("the exit status of the main process is published as its wait status", async (t) => {
  const monitor = await running(t, { script: "exit 7" });
  await expectState(monitor.daemon, STOPPED, 7 << 8);
  assert.equal(await monitor.ended, 0);
});

test("the monitor has the title it was given, a session of its own, and only descriptors that close on exec", async (t) => {
  for (const title of ["[islet monitor] /var/lib/lxc web1 with a title longer than its arguments", "[m] x"]) {
    const monitor = await running(t, { script: "exec sleep 60" }, { title });
    const pid = String(monitor.child.pid);
    assert.equal(readFileSync(`/proc/${pid}/cmdline`, "utf8"), `${title}\0`);
    assert.equal(readFileSync(`/proc/${pid}/comm`, "utf8"), `${title.slice(0, 15)}\n`);
    assert.equal(readFileSync(`/proc/${pid}/stat`, "utf8").replace(/.*\) /, "").split(" ")[3], pid);
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      if (Number(fd) < 3) continue;
      const flags = Number.parseInt(
        /flags:\t([0-7]+)/.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"))?.[1] ?? "0",
        8,
      );
      assert.ok((flags & 0o2000000) !== 0, `descriptor ${fd} would leak`);
    }
    const asked = await info(monitor.daemon);
    const guest = asked.pid;
    for (const fd of asked.fds) closeFd(fd);
    await waitFor("the guest's exec", () => /sleep/.test(readFileSync(`/proc/${guest}/cmdline`, "utf8")));
    const mine = new Set(readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`)));
    for (const fd of readdirSync(`/proc/${guest}/fd`)) {
      let what: string;
      try {
        what = readlinkSync(`/proc/${guest}/fd/${fd}`);
      } catch {
        continue; // the guest's own, closed meanwhile
      }
      assert.ok(Number(fd) < 3 || !mine.has(what), `the guest has the monitor's ${what}`);
    }
    kill(monitor.daemon, 9);
    await monitor.ended;
  }
});

test("the monitor outlives the daemon, and a later one finds it at its socket", async (t) => {
  const monitor = await running(t, { script: "sleep 60" });
  monitor.daemon.close();
  const later = connectUnix(monitor.socket);
  assert.equal((await info(later)).state, RUNNING);
  later.send(SUBSCRIBE);
  await info(later);
  kill(later, 9);
  await expectState(later, STOPPED, 9);
  assert.equal(await later.next(), null);
  assert.equal(await monitor.ended, 0);
  later.close();
});

test("a main process that asks for a restart gets a new run of the same program", async (t) => {
  const monitor = spawnMonitor(t);
  const count = join(monitor.dir, "count");
  const script = `echo run >> ${count}; [ $(wc -l < ${count}) -lt 3 ] && kill -HUP $$; sleep 60`;
  const restarting = image((first) => {
    const again = slot(first.build, "again");
    tell(first, 10, "restart_slot", imm(again.index), "restart slot");
    const scratch = buffer(first.build, 4, "zero at the start of every run");
    const value = slot(first.build, "value");
    load(first, value, scratch, 4, "what is there");
    const pristine = label("pristine");
    jump(first, pristine, "as it came", "eq", value, imm(0));
    fail(first, 22, { note: "the program was run before" });
    place(first, pristine);
    call(first, "write", [imm(-1), scratch, imm(0)], { note: "no op", on: [{ on: "any", to: "next" }] });
    call(first, "getrandom", [scratch, imm(4), imm(0)], { note: "leave a trace in the data" });
    deferMark(first, monitor.marks, "undone");
    const started = startShell(first, script);
    tell(first, 2, "main", started.pidfd, "main");
    tell(first, 9, "pid", started.pid, "pid");
    tell(first, 1, "state", imm(2), "RUNNING");
    end(first, 0, "started");
  });
  start(monitor, restarting);
  for (let i = 0; i < 3; i++) await expectState(monitor.daemon, RUNNING);
  const asked = await info(monitor.daemon);
  assert.equal(asked.reboots, 2);
  for (const fd of asked.fds) closeFd(fd);
  kill(monitor.daemon, 9);
  await expectState(monitor.daemon, STOPPED, 9);
  assert.equal(await monitor.ended, 0);
  assert.deepEqual(lines(monitor.marks), ["undone", "undone", "undone"]);
});

test("a deferred block can forbid the restart, and sees how the main process ended", async (t) => {
  const monitor = spawnMonitor(t);
  start(
    monitor,
    image((first) => {
      const { build } = first;
      const again = slot(build, "again");
      const status = slot(build, "status");
      tell(first, 10, "restart_slot", imm(again.index), "restart slot");
      tell(first, 11, "status_slot", imm(status.index), "status slot");
      defer(first, "look", "look at the end", (undo) => {
        const other = label("other");
        jump(undo, other, "no restart", "ne", again, imm(1));
        jump(undo, other, "not by SIGHUP", "ne", status, imm(1));
        leaveMark(undo, monitor.marks, "asked for a restart by signal 1");
        place(undo, other);
        compute(undo, again, "set", imm(0), null, "forbid it");
      });
      const started = startShell(first, "kill -HUP $$");
      tell(first, 2, "main", started.pidfd, "main");
      end(first, 0, "started");
    }),
  );
  assert.equal(await monitor.ended, 0);
  assert.deepEqual(lines(monitor.marks), ["asked for a restart by signal 1"]);
});

test("a start that fails reports the operation after undoing what was done", async (t) => {
  const monitor = spawnMonitor(t);
  start(
    monitor,
    image((first) => {
      tell(first, 1, "state", imm(STARTING), "STARTING");
      deferMark(first, monitor.marks, "undone");
      call(first, "mkdirat", [imm(-100), textBytes(first.build, "/proc/no\0"), imm(0)], { note: "cannot work" });
      end(first, 0, "never");
    }),
  );
  await expectState(monitor.daemon, STARTING);
  await expectState(monitor.daemon, STOPPED);
  const { payload } = await expectFrame(monitor.daemon, FAILED);
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => payload.readUInt32LE(i * 4)),
    [0x46504c49, 2, 2, 0],
  );
  assert.equal(payload.length, 72);
  assert.equal(await monitor.ended, 1);
  assert.deepEqual(lines(monitor.marks), ["undone"]);
});

test("START can make an operation fail, for tests of every step", async (t) => {
  const monitor = spawnMonitor(t);
  start(monitor, guestImage({ script: "sleep 60", marks: monitor.marks }), { failOp: 2, failErrno: 12 });
  await expectState(monitor.daemon, STARTING);
  await expectState(monitor.daemon, STOPPED);
  const { payload } = await expectFrame(monitor.daemon, FAILED);
  assert.deepEqual(
    [1, 2].map((i) => payload.readUInt32LE(i * 4)),
    [2, 12],
  );
  assert.equal(await monitor.ended, 1);
});

/** A program that hangs in its start: it waits for a byte that never comes, after telling its main process. */
function hangingImage(marks: string): Uint8Array {
  return image((first) => {
    deferMark(first, marks, "undone");
    const reader = slot(first.build, "reader");
    const writer = slot(first.build, "writer");
    pair(first, "pipe", reader, writer, "a pipe");
    const started = startShell(first, "sleep 60");
    tell(first, 2, "main", started.pidfd, "main");
    tell(first, 9, "pid", started.pid, "pid");
    tell(first, 1, "state", imm(STARTING), "STARTING");
    const byte = buffer(first.build, 1, "byte");
    call(first, "read", [reader, byte, imm(1)], { note: "wait for ever", waitIn: true });
    end(first, 0, "never");
  });
}

for (const [name, abort] of [
  ["KILL", (m: Monitor) => kill(m.daemon, 9)],
  ["SIGTERM to the monitor", (m: Monitor) => m.child.kill("SIGTERM")],
] as const) {
  test(`${name} while the program waits aborts the start and undoes it`, async (t) => {
    const monitor = spawnMonitor(t);
    start(monitor, hangingImage(monitor.marks));
    await expectState(monitor.daemon, STARTING);
    const asked = await info(monitor.daemon);
    assert.equal(asked.state, STARTING);
    for (const fd of asked.fds) closeFd(fd);
    abort(monitor);
    await expectState(monitor.daemon, STOPPED);
    const { payload } = await expectFrame(monitor.daemon, FAILED);
    assert.equal(payload.readInt32LE(8), 125); // ECANCELED
    assert.equal(await monitor.ended, 1);
    assert.deepEqual(lines(monitor.marks), ["undone"]);
    await waitFor("the main process's end", () => !isAlive(asked.pid));
  });
}

test("signals to the monitor are for the main process; SIGHUP is SIGTERM", async (t) => {
  const monitor = await running(t, {
    script: "trap 'echo usr1 >&2; exit 21' USR1; trap 'exit 22' TERM; while :; do sleep 0.05; done 2>/dev/null",
  });
  await new Promise((resolve) => setTimeout(resolve, 200));
  monitor.child.kill("SIGHUP");
  await expectState(monitor.daemon, STOPPED, 22 << 8);
  const second = await running(t, { script: "trap 'exit 21' USR1; while :; do sleep 0.05; done" });
  await new Promise((resolve) => setTimeout(resolve, 200));
  second.child.kill("SIGUSR1");
  await expectState(second.daemon, STOPPED, 21 << 8);
  assert.equal(await second.ended, 0);
});

test("a main process that cannot be executed after the program's end is a failed start", async (t) => {
  const monitor = spawnMonitor(t);
  start(
    monitor,
    image((first) => {
      const { build } = first;
      const room = buffer(build, 4, "pidfd");
      const pidfd = slot(build, "pidfd");
      clone(first, "child", cloneArguments(first, 0x1000n, 17, room, null), { note: "child" }, (child) => {
        fail(child, 8, { note: "not executable" });
      });
      load(first, pidfd, within(room, 0, 4), 4, "pidfd");
      call(first, "nanosleep", [buffer(build, 16, "0"), imm(0)], { note: "nothing" });
      tell(first, 2, "main", pidfd, "main");
      end(first, 0, "started");
    }),
  );
  const frame = await expectFrame(monitor.daemon, FAILED);
  assert.deepEqual(
    [2, 3].map((i) => frame.payload.readUInt32LE(i * 4)),
    [8, 1],
  );
  assert.equal(await monitor.ended, 1);
});

// --- console --------------------------------------------------------------------------------------------------------

async function ringOf(peer: Wire, clear = false): Promise<string> {
  peer.send(BUFFER_ASK, u32(clear ? 1 : 0));
  return (await expectFrame(peer, BUFFER)).payload.toString("utf8");
}

test("the ring buffer keeps the newest console output, and can be cleared", async (t) => {
  const monitor = await running(t, { script: "stty raw; seq 20000; echo end; sleep 60", console: true, ring: 4096 });
  const text = await waitFor("the end of the output", async () => {
    const now = await ringOf(monitor.daemon);
    return now.endsWith("end\n") ? now : undefined;
  });
  assert.equal(text.length, 4096);
  assert.ok(text.endsWith("19999\n20000\nend\n"));
  await ringOf(monitor.daemon, true);
  assert.equal(await ringOf(monitor.daemon), "");
  kill(monitor.daemon, 9);
  await monitor.ended;
});

test("without a ring buffer BUFFER is empty, and the guest is not held up", async (t) => {
  const monitor = await running(t, { script: "seq 20000; exit 0", console: true });
  assert.equal(await ringOf(monitor.daemon), "");
  await expectState(monitor.daemon, STOPPED, 0);
});

test("the console's last words before the guest's end are in the log, which never exceeds its size", async (t) => {
  const log = join(mkdtempSync(join(tmpdir(), "islt-monitor-")), "console.log");
  dirs.push(join(log, ".."));
  const monitor = await running(t, {
    script: "stty raw; seq 5000; echo last words",
    console: true,
    log,
    logLimit: 8192,
  });
  await expectState(monitor.daemon, STOPPED, 0);
  await monitor.ended;
  assert.ok(statSync(log).size <= 8192);
  assert.ok(readFileSync(log, "utf8").endsWith("4999\n5000\nlast words\n"));
});

test("CONSOLE joins sockets: replay, output, input, size; all see the same, and a ninth ends the first", async (t) => {
  const monitor = await running(t, {
    script: "stty -echo; echo hello; while read line; do [ $line = size ] && stty size; echo got:$line; done",
    console: true,
    ring: 65536,
  });
  await waitFor("hello", async () => /hello/.test(await ringOf(monitor.daemon)));
  const [mine, theirs] = socketPair();
  monitor.daemon.send(CONSOLE, u32(1), [theirs]);
  closeFd(theirs);
  const read = (): string => {
    const bytes = Buffer.alloc(65536);
    try {
      return bytes.toString("utf8", 0, sys("read", mine, bytes, bytes.length));
    } catch {
      return "";
    }
  };
  let all = "";
  await waitFor("the replay", () => /hello\r\n/.test((all += read())));
  const resize = Buffer.alloc(4);
  resize.writeUInt16LE(44, 0);
  resize.writeUInt16LE(155, 2);
  monitor.daemon.send(RESIZE, resize);
  await info(monitor.daemon).then((i) => i.fds.forEach((fd) => closeFd(fd)));
  sys("write", mine, Buffer.from("size\n"), 5);
  await waitFor("the answer", () => /44 155\r\ngot:size\r\n/.test((all += read())));
  const enter = (): number => {
    const [fd, far] = socketPair();
    monitor.daemon.send(CONSOLE, u32(0), [far]);
    closeFd(far);
    return fd;
  };
  const second = enter();
  sys("write", second, Buffer.from("x\n"), 2);
  await waitFor("the second's output", () => {
    const bytes = Buffer.alloc(100);
    return /got:x/.test(bytes.toString("utf8", 0, sys("read", second, bytes, 100)));
  });
  await waitFor("the same at the first's", () => /got:x/.test((all += read())));
  sys("write", mine, Buffer.from("y\n"), 2);
  await waitFor("the first's at the second's", () => {
    const bytes = Buffer.alloc(100);
    return /got:y/.test(bytes.toString("utf8", 0, sys("read", second, bytes, 100)));
  });
  await waitFor("its own", () => /got:y/.test((all += read())));
  const more = Array.from({ length: 7 }, enter);
  await waitFor("the end of the first", () => sys("read", mine, Buffer.alloc(10), 10) === 0);
  sys("write", second, Buffer.from("z\n"), 2);
  for (const fd of [second, ...more]) {
    await waitFor("everybody's output", () => {
      const bytes = Buffer.alloc(100);
      return /got:z/.test(bytes.toString("utf8", 0, sys("read", fd, bytes, 100)));
    });
  }
  kill(monitor.daemon, 9);
  await monitor.ended;
  for (const fd of [mine, second, ...more]) closeFd(fd);
});

test("what was typed at once is typed whole, although who typed it has gone", async (t) => {
  const script = "stty -echo; echo begin; sleep 1; while read line; do echo got:$line; done";
  const monitor = await running(t, { script, console: true, ring: 262144 });
  await waitFor("the beginning", async () => /begin/.test(await ringOf(monitor.daemon)));
  const words = Array.from({ length: 3000 }, (_, index) => `line${index}`);
  const typed = Buffer.from(`${words.join("\n")}\n`);
  const [mine, theirs] = socketPair();
  monitor.daemon.send(CONSOLE, u32(0), [theirs]);
  closeFd(theirs);
  assert.equal(sys("write", mine, typed, typed.length), typed.length);
  closeFd(mine);
  // Nobody is there any more: another one has it to himself.
  const later = await waitFor("the console to be free", async () => {
    const [fd, far] = socketPair();
    monitor.daemon.send(CONSOLE, u32(2), [far]);
    closeFd(far);
    if ((await expectFrame(monitor.daemon, TTY)).payload.readInt32LE(0) === 0) return fd;
    closeFd(fd);
    return null;
  });
  let shown = "";
  const shows = (last: string): Promise<boolean> =>
    waitFor(last, async () => (shown = await ringOf(monitor.daemon)).endsWith(`got:${last}\r\n`));
  await shows(words.at(-1) ?? "");
  sys("write", later, Buffer.from("after\n"), 6);
  await shows("after");
  const got = [...shown.matchAll(/got:(\w+)\r\n/g)].map(([, word]) => word);
  assert.deepEqual(got, [...words, "after"]);
  closeFd(later);
  kill(monitor.daemon, 9);
  await monitor.ended;
});

test("a console client that does not read holds up neither the guest nor the monitor", async (t) => {
  const monitor = await running(t, { script: "stty raw; seq 300000; echo end; sleep 60", console: true, ring: 4096 });
  const [mine, theirs] = socketPair();
  monitor.daemon.send(CONSOLE, u32(0), [theirs]);
  closeFd(theirs);
  await waitFor("the guest's progress", async () => (await ringOf(monitor.daemon)).endsWith("end\n"));
  let tail = "";
  const bytes = Buffer.alloc(65536);
  for (;;) {
    const got = await waitFor("more", () => sys("read", mine, bytes, bytes.length), { timeout: 500 }).catch(() => 0);
    if (got === 0) break;
    tail = (tail + bytes.toString("latin1", 0, got)).slice(-20000);
    if (tail.endsWith("end\n")) break;
  }
  assert.ok(tail.endsWith("299999\n300000\nend\n"), "the newest output is what was kept");
  closeFd(mine);
  kill(monitor.daemon, 9);
  await monitor.ended;
});

test("a console whose last user closes it costs no processor time", async (t) => {
  const monitor = await running(t, { script: "exec </dev/null >/dev/null 2>&1; sleep 60", console: true, ring: 4096 });
  await new Promise((resolve) => setTimeout(resolve, 700));
  const [user = "0", system = "0"] = readFileSync(`/proc/${monitor.child.pid}/stat`, "utf8")
    .replace(/.*\) /, "")
    .split(" ")
    .slice(11, 13);
  assert.ok(Number(user) + Number(system) < 10, `${user} + ${system} ticks`);
  kill(monitor.daemon, 9);
  await monitor.ended;
});

test("terminals are handed out, taken, released, and freed with the connection", async (t) => {
  const monitor = await running(t, { script: "sleep 60", ttys: 2 });
  const ask = async (peer: Wire, number: number): Promise<number> => {
    peer.send(TTY_ASK, u32(number));
    const { payload, fds } = await expectFrame(peer, TTY);
    const answer = payload.readInt32LE(0);
    assert.equal(fds.length, answer > 0 ? 1 : 0);
    for (const fd of fds) closeFd(fd);
    return answer;
  };
  const other = connectUnix(monitor.socket);
  assert.equal(await ask(other, -1), 1);
  assert.equal(await ask(monitor.daemon, 1), -16);
  assert.equal(await ask(monitor.daemon, -1), 2);
  assert.equal(await ask(monitor.daemon, -1), -16);
  assert.equal(await ask(monitor.daemon, 3), -2);
  assert.equal(await ask(monitor.daemon, 0), -2);
  monitor.daemon.send(RELEASE, u32(2));
  assert.equal(await ask(monitor.daemon, -1), 2);
  monitor.daemon.send(RELEASE, u32(1)); // not its own
  assert.equal(await ask(monitor.daemon, 1), -16);
  other.close();
  assert.equal(await waitFor("the tty of the closed connection", async () => (await ask(monitor.daemon, 1)) > 0), true);
  kill(monitor.daemon, 9);
  await monitor.ended;
});

test("a connection that has taken a terminal ends with the container; others hear how it ended", async (t) => {
  const monitor = await running(t, { script: "sleep 60", ttys: 1 });
  const other = connectUnix(monitor.socket);
  other.send(TTY_ASK, u32(-1));
  const { fds } = await expectFrame(other, TTY);
  for (const fd of fds) closeFd(fd);
  kill(monitor.daemon, 9);
  assert.equal(await other.next(), null);
  other.close();
  await expectState(monitor.daemon, STOPPED, 9);
  await monitor.ended;
});

test("terminals leave room among the connections for a later daemon", async (t) => {
  const monitor = await running(t, { script: "sleep 60", ttys: 40 });
  const answers: number[] = [];
  const peers = Array.from({ length: 32 }, () => connectUnix(monitor.socket));
  for (const peer of peers) {
    peer.send(TTY_ASK, u32(-1));
    const { payload, fds } = await expectFrame(peer, TTY);
    for (const fd of fds) closeFd(fd);
    answers.push(payload.readInt32LE(0));
    if (answers.at(-1) === -87) peer.close();
  }
  assert.deepEqual(
    answers.slice(0, 24),
    Array.from({ length: 24 }, (_, index) => index + 1),
  );
  assert.ok(
    answers.slice(24).every((answer) => answer === -87),
    answers.join(),
  );
  const later = connectUnix(monitor.socket);
  const seen = await info(later);
  for (const fd of seen.fds) closeFd(fd);
  assert.equal(seen.state, RUNNING);
  later.close();
  for (const peer of peers.slice(0, 24)) peer.close();
  kill(monitor.daemon, 9);
  await monitor.ended;
});

test("CONSOLE may ask for a console that nobody has, and is told", async (t) => {
  const monitor = await running(t, { script: "sleep 60", console: true });
  const ask = async (): Promise<readonly [number, number]> => {
    const [mine, theirs] = socketPair();
    monitor.daemon.send(CONSOLE, u32(2), [theirs]);
    closeFd(theirs);
    return [(await expectFrame(monitor.daemon, TTY)).payload.readInt32LE(0), mine];
  };
  const [first, mine] = await ask();
  assert.equal(first, 0);
  const [second, refused] = await ask();
  assert.equal(second, -16);
  assert.equal(sys("read", refused, Buffer.alloc(1), 1), 0, "its socket was closed");
  closeFd(refused);
  closeFd(mine);
  await waitFor("the console to be free", async () => {
    const [answer, joined] = await ask();
    closeFd(joined);
    return answer === 0;
  });
  kill(monitor.daemon, 9);
  await monitor.ended;
  const without = await running(t, { script: "sleep 60" });
  const [far, near] = socketPair();
  without.daemon.send(CONSOLE, u32(2), [near]);
  assert.equal((await expectFrame(without.daemon, TTY)).payload.readInt32LE(0), -2);
  for (const fd of [far, near]) closeFd(fd);
  kill(without.daemon, 9);
  await without.ended;
});

test("what host commands print is forwarded", async (t) => {
  const monitor = spawnMonitor(t);
  start(
    monitor,
    image((first) => {
      const { build } = first;
      const reader = slot(build, "reader");
      const writer = slot(build, "writer");
      pair(first, "pipe", reader, writer, "output of commands");
      tell(first, 12, "log", reader, "forward it");
      const room = buffer(build, 4, "pidfd");
      const pidfd = slot(build, "pidfd");
      clone(first, "command", cloneArguments(first, 0x1000n, 17, room, null), { note: "command" }, (child) => {
        const text = textBytes(build, "hook says hello\n");
        call(child, "write", [writer, text, imm(text.size)], { note: "print" });
        end(child, 0, "done");
      });
      load(first, pidfd, within(room, 0, 4), 4, "pidfd");
      wait(first, pidfd, true, { note: "wait for the command" });
      fail(first, 1, { note: "and then fail" });
    }),
  );
  assert.equal((await expectFrame(monitor.daemon, LOG)).payload.toString(), "hook says hello\n");
  await expectFrame(monitor.daemon, FAILED);
  assert.equal(await monitor.ended, 1);
});

// --- hostile and careless peers -------------------------------------------------------------------------------------

test("a thousand connections are bounded, and the monitor goes on", async (t) => {
  const monitor = await running(t, { script: "sleep 60" });
  const many: number[] = [];
  const address = Buffer.alloc(110);
  address.writeUInt16LE(1);
  address.write(monitor.socket, 2);
  for (let i = 0; i < 1000; i++) {
    const fd = sys("socket", 1, 0o2000001, 0);
    sys("connect", fd, address, 110);
    many.push(fd);
  }
  const fds = (): number => readdirSync(`/proc/${monitor.child.pid}/fd`).length;
  const asked = await info(monitor.daemon);
  for (const fd of asked.fds) closeFd(fd);
  assert.ok(fds() < 60, `${fds()} descriptors`);
  for (const fd of many) closeFd(fd);
  await waitFor("the connections' end", () => fds() < 20);
  const later = connectUnix(monitor.socket);
  assert.equal((await info(later)).state, RUNNING);
  later.close();
  kill(monitor.daemon, 9);
  await monitor.ended;
});

const nonsense: Readonly<Record<string, Uint8Array>> = {
  "a frame that is too large": Buffer.from([0xff, 0xff, 0xff, 0x7f, KILL, 0, 0, 0]),
  "a request of the wrong size": encodeFrame(KILL, u32(9, 9)),
  "a type that only the monitor sends": encodeFrame(STATE, u32(0, 0)),
  "an unknown type": encodeFrame(77, u32(1)),
  "a second START": encodeFrame(START, u32(0, 0, 0, 0, 0, 0)),
  "a CONSOLE without a descriptor": encodeFrame(CONSOLE, u32(0)),
  "signal 200": encodeFrame(KILL, u32(200)),
  noise: Buffer.alloc(4096, 0xa5),
};
test("nonsense ends the connection and nothing else", async (t) => {
  const monitor = await running(t, { script: "sleep 60" });
  for (const [name, bytes] of Object.entries(nonsense)) {
    const peer = connectUnix(monitor.socket);
    peer.sendRaw(bytes);
    assert.equal(await peer.next(), null, name);
    peer.close();
  }
  const stray = connectUnix(monitor.socket);
  const [left, right] = socketPair();
  stray.send(INFO_ASK, new Uint8Array(), [left]);
  assert.equal(await stray.next(), null, "a descriptor that nobody asked for");
  stray.close();
  closeFd(left);
  assert.equal(sys("read", right, Buffer.alloc(1), 1), 0, "the monitor has closed its copy");
  closeFd(right);
  assert.equal((await info(monitor.daemon)).state, RUNNING);
  kill(monitor.daemon, 9);
  await monitor.ended;
});

test("a subscriber that does not read loses its connection, not the monitor's time", async (t) => {
  const monitor = spawnMonitor(t);
  start(
    monitor,
    image((first) => {
      const { build } = first;
      const reader = slot(build, "reader");
      const writer = slot(build, "writer");
      pair(first, "pipe", reader, writer, "a pipe that is always readable");
      call(first, "write", [writer, textBytes(build, "x"), imm(1)], { note: "fill" });
      const top = label("top");
      const i = slot(build, "i");
      place(first, top);
      tell(first, 1, "state", imm(RUNNING), "again and again");
      compute(first, i, "add", i, imm(1), "count");
      jump(first, top, "not yet", "lt", i, imm(60_000));
      leaveMark(first, monitor.marks, "all told");
      end(first, 0, "done");
    }),
  );
  await waitFor("the program's end", () => lines(monitor.marks).length === 1);
  assert.equal(await monitor.ended, 0);
});

test("a START of noise ends the monitor", async (t) => {
  for (const bytes of [
    Buffer.alloc(64, 0xa5),
    encodeFrame(INFO_ASK, Buffer.alloc(0)),
    encodeFrame(START, u32(0, 0, 0, 0xffff)),
  ]) {
    const monitor = spawnMonitor(t);
    monitor.daemon.sendRaw(bytes);
    assert.equal(await monitor.ended, 1);
  }
  const refused = spawnMonitor(t);
  start(refused, Buffer.alloc(200, 1));
  const { payload } = await expectFrame(refused.daemon, FAILED);
  assert.equal(payload.readInt32LE(8), 22);
  assert.equal(await refused.ended, 1);
});

test("an idle monitor has little memory of its own", async (t) => {
  const monitor = await running(
    t,
    { script: "exec sleep 60", console: true, ring: 16384, ttys: 4 },
    { meta: "m".repeat(8000) },
  );
  const rollup = readFileSync(`/proc/${monitor.child.pid}/smaps_rollup`, "utf8");
  const size = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1]);
  const own = size("Private_Clean") + size("Private_Dirty");
  t.diagnostic(`private ${own} kB (dirty ${size("Private_Dirty")}), PSS ${size("Pss")} kB`);
  assert.ok(size("Private_Dirty") < 100, rollup);
  kill(monitor.daemon, 9);
  await monitor.ended;
});
