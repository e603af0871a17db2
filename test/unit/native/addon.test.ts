import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, before, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { IsletError } from "../../../src/base/errors.js";
import {
  check,
  closeFd,
  memfd,
  peerCredentials,
  receiveMessage,
  run,
  sendMessage,
  spawn,
  syscall,
  watch,
  watchHangup,
  watchIn,
  watchOut,
  type Spawned,
} from "../../../src/host/addon.js";
import {
  buffer,
  call,
  check as checkValue,
  clone,
  cwdFd,
  data,
  defer,
  end,
  format,
  ignore,
  imm,
  load,
  nil,
  presetSlot,
  slot,
  store,
  str,
  tell,
  type Block,
  beginProgram,
  finishProgram,
} from "../../../src/program/assembler.js";
import { encodeProgram } from "../../../src/program/encode.js";
import { decodeRecord } from "../../../src/program/report.js";
import type { Arch } from "../../../src/sys/arch.js";
import { requireSyscall, type SyscallName } from "../../../src/sys/syscalls.js";
import { waitFor } from "../../support/wait.js";

const arch: Arch = process.arch === "arm64" ? "arm64" : "x86_64";
const addonUrl = new URL("../../../src/host/addon.js", import.meta.url).href;
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const nr = (name: SyscallName): number => requireSyscall(arch, name);

const EBADF = 9;
const EAGAIN = 11;
const EPERM = 1;
const EINVAL = 22;
const EPIPE = 32;
const ENOSYS = 38;
const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
const F_GETFD = 1;
const F_GETFL = 3;
const F_GET_SEALS = 1034;

/** This process's open descriptors and what they are, without the one that lists them. */
function openFds(): readonly string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const what = readlinkSync(`/proc/self/fd/${fd}`);
      return what.startsWith(`/proc/${process.pid}/fd`) ? [] : [`${fd} ${what}`];
    } catch {
      return [];
    }
  });
}

function pair(name: SyscallName, args: readonly number[], flags: number): readonly [number, number] {
  const room = new Int32Array(2);
  assert.equal(
    syscall(nr(name), name === "pipe2" ? [new Uint8Array(room.buffer), flags] : [...args, new Uint8Array(room.buffer)]),
    0,
  );
  return [room[0] ?? -1, room[1] ?? -1];
}
const pipe = (flags = O_CLOEXEC): readonly [number, number] => pair("pipe2", [], flags);
const SOCK_STREAM = 1;
const SOCK_SEQPACKET = 5;
const socketPair = (type = SOCK_STREAM): readonly [number, number] => pair("socketpair", [1, type | O_CLOEXEC, 0], 0);

function close(...fds: readonly number[]): void {
  for (const fd of fds) assert.equal(closeFd(fd), 0);
}

/** Waits for the end of a process without blocking, reaps it and closes its pidfd; its exit code, or 128 + signal. */
async function reap({ pidfd }: Spawned): Promise<number> {
  await new Promise<void>((resolve) => {
    const handle = watch(pidfd, "in", () => {
      handle.close();
      resolve();
    });
  });
  const info = new Uint8Array(128);
  assert.equal(syscall(nr("waitid"), [3, pidfd, info, 4, 0]), 0);
  close(pidfd);
  const view = new DataView(info.buffer);
  const status = view.getInt32(24, true);
  return view.getInt32(8, true) === 1 ? status : 128 + status;
}

/** Runs a shell command in a child with its output in a pipe; what it wrote. */
async function shell(
  command: string,
  fds: readonly (readonly [number, number])[],
  options: Parameters<typeof spawn>[4] = {},
): Promise<string> {
  const [read, write] = pipe();
  const child = spawn("/bin/sh", ["sh", "-c", command], ["PATH=/usr/bin:/bin"], [[1, write], ...fds], options);
  close(write);
  await reap(child);
  const room = Buffer.alloc(65536);
  const count = readSync(read, room);
  close(read);
  return room.subarray(0, count).toString();
}

function program(body: (block: Block) => void): Uint8Array {
  const block = beginProgram(arch, "test");
  body(block);
  return encodeProgram(finishProgram(block.build));
}

/** Runs a script in another node process. */
function nodeScript(script: string): {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
} {
  const done = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
    timeout: 20_000,
  });
  return { status: done.status, stdout: done.stdout, stderr: done.stderr };
}

/** The open descriptors once Node is quiet: it opens and closes files of its own in other threads. */
async function quietFds(): Promise<string> {
  return await waitFor("Node to open and close nothing", async () => {
    const first = openFds().join("\n");
    await sleep(2);
    return first === openFds().join("\n") ? first : null;
  });
}

before(async () => {
  // From its first server on libuv keeps a spare descriptor.
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await new Promise((resolve) => server.close(resolve));
});
let fdsBefore = "";
beforeEach(async () => {
  fdsBefore = await quietFds();
});
afterEach(async () => {
  // Node closes its own sockets a moment after it says so.
  await waitFor("Node's sockets", async () => (await quietFds()) === fdsBefore, { timeout: 2000 }).catch(
    () => undefined,
  );
  assert.equal(await quietFds(), fdsBefore);
});

describe("syscall", () => {
  test("gives the result, or -errno", () => {
    assert.equal(syscall(nr("getpid"), []), process.pid);
    assert.equal(syscall(nr("close"), [-1]), -EBADF);
    assert.equal(syscall(100000, []), -ENOSYS);
    assert.equal(syscall(-1, []), -ENOSYS);
  });
  test("passes the address of a Uint8Array, also of a part of a buffer", () => {
    const [read, write] = pipe();
    const whole = text("..hello..");
    assert.equal(syscall(nr("write"), [write, whole.subarray(2, 7), 5]), 5);
    const room = new Uint8Array(16);
    assert.equal(syscall(nr("read"), [read, room.subarray(4), 12]), 5);
    assert.deepEqual(room.subarray(0, 10), new Uint8Array([0, 0, 0, 0, ...text("hello"), 0]));
    close(read, write);
  });
  test("takes 64-bit values as bigints, signed and unsigned", () => {
    const fd = memfd("islt-test", text("abc"), false);
    assert.equal(syscall(nr("lseek"), [fd, 0x100000000n, 0]), 0x100000000);
    assert.equal(syscall(nr("lseek"), [fd, -1n, 0]), -EINVAL);
    assert.equal(syscall(nr("lseek"), [fd, 0xffffffffffffffffn, 0]), -EINVAL);
    close(fd);
  });
  test("makes no process", () => {
    assert.equal(syscall(nr("clone"), [17, 0, 0, 0, 0]), -EPERM);
    assert.equal(syscall(nr("clone3"), [new Uint8Array(88), 88]), -EPERM);
  });
  test("refuses arguments that cannot be meant", () => {
    assert.throws(() => syscall(nr("close"), [1.5]), /safe integer/);
    assert.throws(() => syscall(nr("close"), [2 ** 60]), /safe integer/);
    assert.throws(() => syscall(nr("close"), [1n << 64n]), /64 bits/);
    assert.throws(() => syscall(nr("close"), [1, 2, 3, 4, 5, 6, 7]), /at most 6/);
    assert.throws(() => syscall(1.5, []), /integer/);
  });
});

describe("run and check", () => {
  const touch = program((block) => {
    const given = presetSlot(block.build, "given");
    const opened = slot(block.build, "opened");
    const pid = slot(block.build, "pid");
    const length = slot(block.build, "length");
    const loaded = slot(block.build, "loaded");
    const name = buffer(block.build, 32, "name");
    call(block, "openat", [cwdFd, str(block.build, "/dev/null"), imm(O_CLOEXEC)], {
      note: "open /dev/null",
      out: opened,
    });
    defer(block, "undo", "close it again", (undo) => {
      call(undo, "close", [opened], { note: "close" });
    });
    call(block, "getpid", [], { note: "ask for the pid", out: pid });
    format(block, name, "/proc/%/fd/%", [pid, opened], "make a name", length);
    call(block, "write", [given, name, length], { note: "write the name", full: true });
    store(block, imm(-2), name, 4, "store");
    load(block, loaded, name, 4, "load");
    end(block, length, "done");
  });

  test("a program runs in this process, and gives its result and its slots", () => {
    const [read, write] = pipe();
    const result = run(touch, [write]);
    assert.equal(result.kind, "ok");
    const room = Buffer.alloc(64);
    const name = room.subarray(0, readSync(read, room)).toString();
    assert.equal(result.result, name.length);
    assert.equal(name, `/proc/${process.pid}/fd/${result.slots[1] ?? -1}`);
    assert.deepEqual(
      [result.slots[0], result.slots[2], result.slots[3], result.slots[4]],
      [write, process.pid, name.length, -2],
    );
    assert.throws(() => fstatSync(result.slots[1] ?? -1), /EBADF/);
    close(read, write);
  });
  test("the image itself is not changed, so it can run again", () => {
    const copy = touch.slice();
    const [read, write] = pipe();
    for (let i = 0; i < 3; i += 1) assert.equal(run(touch, [write]).kind, "ok");
    assert.deepEqual(touch, copy);
    close(read, write);
  });
  test("an image at an odd address runs as well", () => {
    const room = new Uint8Array(touch.length + 1);
    room.set(touch, 1);
    const [read, write] = pipe();
    assert.equal(run(room.subarray(1), [write]).kind, "ok");
    close(read, write);
  });
  test("a failure gives the record, after the deferred blocks", () => {
    const result = run(touch, [-1]);
    assert.equal(result.kind, "failed");
    assert.equal(result.record.length, 72);
    const record = decodeRecord(result.record);
    assert.deepEqual([record?.op, record?.error, record?.depth, record?.args[0]], [4, EBADF, 0, -1n]);
  });
  test("rules turn errors into results", () => {
    const image = program((block) => {
      const out = slot(block.build, "out");
      call(block, "close", [imm(-1)], { note: "close nothing", out, on: ignore(EBADF) });
      end(block, out, "done");
    });
    const result = run(image, []);
    assert.deepEqual(result, { kind: "ok", result: -EBADF, slots: [-EBADF] });
  });
  test("CLONE is EPERM and TELL is ENOSYS in a process with threads", () => {
    const cloning = program((block) => {
      clone(block, "child", data(block.build, new Uint8Array(88), "clone_args"), { note: "clone" }, (child) => {
        end(child, 0, "done");
      });
      end(block, 0, "done");
    });
    const cloned = run(cloning, []);
    assert.equal(cloned.kind, "failed");
    assert.equal(decodeRecord(cloned.record)?.error, EPERM);
    const telling = program((block) => {
      tell(block, 1, "state", imm(1), "tell");
      end(block, 0, "done");
    });
    const told = run(telling, []);
    assert.equal(told.kind, "failed");
    assert.equal(decodeRecord(told.record)?.error, ENOSYS);
  });
  test("a null pointer stays one", () => {
    const image = program((block) => {
      const out = slot(block.build, "out");
      call(block, "openat", [cwdFd, nil, imm(0)], { note: "open nothing", out, on: ignore("any") });
      checkValue(block, out, { note: "look at it" });
      end(block, 0, "done");
    });
    const result = run(image, []);
    assert.equal(result.kind, "failed");
    assert.deepEqual([decodeRecord(result.record)?.op, decodeRecord(result.record)?.error], [1, 14]);
  });
  test("check takes what the encoder writes, and names what is wrong with anything else", () => {
    check(touch);
    const spoiled = touch.slice();
    spoiled[64] = 99;
    assert.throws(() => check(spoiled), {
      name: "TypeError",
      message: "bad program: unknown operation code (index 0)",
    });
    assert.throws(() => run(spoiled, [1]), /unknown operation code/);
    assert.throws(() => check(touch.subarray(0, 100)), /size is not the image's/);
    assert.throws(() => check(new Uint8Array(0)), /shorter than a header/);
    assert.throws(() => check(new Uint8Array(16 * 1024 * 1024 + 1)), /16 MiB/);
  });
  test("the number of descriptors must be the program's", () => {
    assert.throws(() => run(touch, []), /wants 1 descriptors, not 0/);
    assert.throws(() => run(touch, [1, 2]), /wants 1 descriptors, not 2/);
  });
});

describe("spawn", () => {
  test("starts a program with arguments, environment and exit code", async () => {
    const child = spawn(
      "/bin/sh",
      ["other", "-c", 'test "$0-$1-$KEY" = a-b-value && exit 7', "a", "b"],
      ["KEY=value"],
      [],
    );
    assert.equal(readFileSync(`/proc/${child.pid}/stat`, "utf8").split(" ")[3], String(process.pid));
    assert.equal(syscall(nr("fcntl"), [child.pidfd, F_GETFD, 0]), 1);
    assert.equal(await reap(child), 7);
  });
  test("tells of a death by signal through the pidfd", async () => {
    const child = spawn("/bin/sleep", ["sleep", "100"], [], []);
    assert.equal(syscall(nr("pidfd_send_signal"), [child.pidfd, 15, 0, 0]), 0);
    assert.equal(await reap(child), 128 + 15);
  });
  test("the child has 0-2 and the given descriptors, and no other", async () => {
    const stray = openSync("/dev/null", "r");
    assert.equal(syscall(nr("fcntl"), [stray, 2, 0]), 0); // without close-on-exec
    const listed = await shell("cd /proc/self/fd && echo *", [
      [5, stray],
      [9, stray],
    ]);
    closeSync(stray);
    // 3 is the directory that the shell lists.
    assert.equal(listed, "0 1 2 3 5 9\n");
  });
  test("swapped and overlapping numbers do not overwrite each other", async () => {
    const a = memfd("a", text("AAA"), false);
    const b = memfd("b", text("BBB"), false);
    const wanted: readonly (readonly [number, number])[] = [
      [a, b],
      [b, a],
      [40, a],
      [b + 1, b],
      [3, a],
    ];
    const files = wanted.map(([number]) => `/proc/self/fd/${number}`);
    assert.equal(await shell(`cat ${files.join(" ")}`, wanted), "BBBAAAAAABBBAAA");
    close(a, b);
  });
  test("a descriptor may keep its number", async () => {
    const fd = memfd("same", text("same"), false);
    assert.equal(await shell(`cat /proc/self/fd/${fd}`, [[fd, fd]]), "same");
    close(fd);
  });
  test("0-2 of this process go on to the child, and /dev/null where one is closed", async () => {
    assert.equal(await shell("readlink /proc/$$/fd/2", []), `${readlinkSync("/proc/self/fd/2")}\n`);
    const closed = nodeScript(`import { closeFd, spawn } from ${JSON.stringify(addonUrl)};
      closeFd(0);
      spawn("/bin/sh", ["sh", "-c", "readlink /proc/$$/fd/0"], ["PATH=/usr/bin:/bin"], []);`);
    assert.deepEqual(closed, { status: 0, stdout: "/dev/null\n", stderr: "" });
  });
  test("signals are at their defaults and none is blocked", async () => {
    const status = await shell("grep -E 'Sig(Blk|Ign)' /proc/self/status", []);
    assert.equal(status.replace(/\s+/g, " ").trim(), "SigBlk: 0000000000000000 SigIgn: 0000000000000000");
  });
  test("takes a directory and a session", async () => {
    const directory = mkdtempSync(join(tmpdir(), "islt-addon-"));
    const out = await shell("pwd; cut -d' ' -f6 /proc/$$/stat; echo $$", [], { cwd: directory, setsid: true });
    rmSync(directory, { recursive: true });
    const [cwd, session, pid] = out.trim().split("\n");
    assert.equal(cwd, directory);
    assert.equal(session, pid);
    const [own, other] = (await shell("cut -d' ' -f6 /proc/$$/stat; echo $$", [])).trim().split("\n");
    assert.notEqual(own, other);
  });
  test("a program that cannot be run is an error, and leaves no process", () => {
    assert.throws(
      () => spawn("/nonexistent/islt", ["x"], [], [[7, 0]]),
      (error) =>
        error instanceof IsletError &&
        error.code === "ISLET_IO" &&
        error.errno === "ENOENT" &&
        error.message.includes("cannot run /nonexistent/islt"),
    );
    assert.throws(() => spawn("/bin/true", ["true"], [], [[3, 9999]]), { errno: "EBADF" });
    assert.throws(() => spawn("/bin/true", ["true"], [], [], { cwd: "/nonexistent" }), { errno: "ENOENT" });
    const children = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8");
    assert.equal(children.trim(), "");
  });
  test("a cgroup that cannot be joined is an error, and leaves no process", () => {
    const readOnly = openSync("/dev/null", "r");
    assert.throws(() => spawn("/bin/sleep", ["sleep", "100"], [], [], { cgroupFds: [readOnly] }), { errno: "EBADF" });
    closeSync(readOnly);
    assert.equal(readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").trim(), "");
  });
  test("the pid is written to every cgroup.procs", async () => {
    const directory = mkdtempSync(join(tmpdir(), "islt-addon-"));
    const files = ["one", "two"].map((name) => openSync(join(directory, name), "w"));
    const child = spawn("/bin/true", ["true"], [], [], { cgroupFds: files });
    assert.equal(await reap(child), 0);
    for (const name of ["one", "two"]) assert.equal(readFileSync(join(directory, name), "utf8"), String(child.pid));
    files.forEach((fd) => {
      closeSync(fd);
    });
    rmSync(directory, { recursive: true });
  });
  test("refuses what would be cut at a NUL", () => {
    assert.throws(() => spawn("/bin/true", ["a\0b"], [], []), /without NUL/);
    assert.throws(() => spawn("/bin/true", ["true"], [], [[2000, 0]]), /between 0 and 1023/);
  });
});

describe("messages", () => {
  test("carry data and descriptors", () => {
    const [a, b] = socketPair();
    const file = memfd("content", text("content"), false);
    assert.equal(sendMessage(a, text("hello"), [file, file]), 5);
    const room = new Uint8Array(16);
    const got = receiveMessage(b, room, 4);
    assert.deepEqual([got.bytes, got.fds.length, got.truncated], [5, 2, false]);
    assert.deepEqual(room.subarray(0, 5), text("hello"));
    for (const fd of got.fds) {
      assert.equal(readFileSync(`/proc/self/fd/${fd}`, "utf8"), "content");
      assert.equal(syscall(nr("fcntl"), [fd, F_GETFD, 0]), 1);
    }
    close(a, b, file, ...got.fds);
  });
  test("excess descriptors are closed and told", () => {
    const [a, b] = socketPair();
    const room = new Uint8Array(16);
    for (const max of [0, 1, 2]) {
      assert.equal(sendMessage(a, text("x"), [a, b, a]), 1);
      const got = receiveMessage(b, room, max);
      assert.deepEqual([got.bytes, got.fds.length, got.truncated], [1, max, true]);
      close(...got.fds);
    }
    assert.equal(
      sendMessage(
        a,
        text("x"),
        Array.from({ length: 253 }, () => a),
      ),
      1,
    );
    const all = receiveMessage(b, room, 253);
    assert.deepEqual([all.fds.length, all.truncated], [253, false]);
    close(a, b, ...all.fds);
  });
  test("a datagram longer than the buffer is told", () => {
    const [a, b] = socketPair(SOCK_SEQPACKET);
    assert.equal(sendMessage(a, text("long"), []), 4);
    assert.deepEqual(receiveMessage(b, new Uint8Array(2), 0), { bytes: 2, fds: [], truncated: true });
    close(a, b);
  });
  test("never block and never kill", () => {
    const [a, b] = socketPair();
    assert.deepEqual(receiveMessage(b, new Uint8Array(8), 1), { bytes: -EAGAIN, fds: [], truncated: false });
    const much = new Uint8Array(65536);
    let sent = 0;
    for (let i = 0; i < 1000 && sent >= 0; i += 1) sent = sendMessage(a, much, []);
    assert.equal(sent, -EAGAIN);
    close(b);
    assert.equal(sendMessage(a, text("x"), []), -EPIPE);
    close(a);
    assert.equal(sendMessage(a, text("x"), []), -EBADF);
  });
  test("the end of a stream is 0 bytes", () => {
    const [a, b] = socketPair();
    close(a);
    assert.equal(receiveMessage(b, new Uint8Array(8), 1).bytes, 0);
    close(b);
  });
  test("a bad descriptor among those to send is an error and sends nothing", () => {
    const [a, b] = socketPair();
    assert.equal(sendMessage(a, text("x"), [a, 9999]), -EBADF);
    assert.equal(receiveMessage(b, new Uint8Array(8), 1).bytes, -EAGAIN);
    assert.throws(
      () =>
        sendMessage(
          a,
          text("x"),
          Array.from({ length: 254 }, () => a),
        ),
      /at most 253/,
    );
    assert.throws(() => receiveMessage(b, new Uint8Array(8), 254), /between 0 and 253/);
    close(a, b);
  });
});

describe("peerCredentials", () => {
  test("tells who made a socket pair", () => {
    const [a, b] = socketPair();
    assert.deepEqual(peerCredentials(a), { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() });
    close(a, b);
  });
  test("is an error on what is no unix socket", () => {
    assert.throws(() => peerCredentials(-1), { code: "ISLET_IO", errno: "EBADF" });
  });
});

describe("memfd and closeFd", () => {
  test("a memory file holds the data at offset 0", () => {
    const big = new Uint8Array(300_000).map((_, index) => index % 251);
    const fd = memfd("islt-big", big, false);
    assert.deepEqual(new Uint8Array(readFileSync(fd)), big);
    assert.match(readlinkSync(`/proc/self/fd/${fd}`), /memfd:islt-big/);
    assert.equal(syscall(nr("fcntl"), [fd, F_GETFD, 0]), 1);
    close(fd);
  });
  test("a sealed one cannot be changed by anybody", () => {
    const fd = memfd("sealed", text("fixed"), true);
    assert.equal(syscall(nr("fcntl"), [fd, F_GET_SEALS, 0]), 15);
    assert.throws(() => writeSync(fd, "x"), { code: "EPERM" });
    assert.equal(syscall(nr("ftruncate"), [fd, 0]), -EPERM);
    close(fd);
  });
  test("errors are numbers", () => {
    assert.equal(memfd("n".repeat(300), text(""), false), -EINVAL);
    assert.equal(closeFd(-1), -EBADF);
  });
});

describe("watch", () => {
  /** Resolves with the bits of the next call of the watch, which then ends. */
  function next(fd: number, events: "in" | "out" | "inout"): Promise<number> {
    return new Promise((resolve) => {
      const handle = watch(fd, events, (revents) => {
        handle.close();
        resolve(revents);
      });
    });
  }
  test("tells of data, room and hang-up, on pipes and sockets", async () => {
    const [read, write] = pipe();
    const readable = next(read, "in");
    writeSync(write, "x");
    assert.equal(await readable, watchIn);
    assert.equal(await next(write, "out"), watchOut);
    close(write);
    assert.equal((await next(read, "in")) & watchHangup, watchHangup);
    const [a, b] = socketPair();
    assert.equal(await next(a, "inout"), watchOut);
    writeSync(b, "x");
    assert.equal(await next(a, "inout"), watchIn | watchOut);
    close(read, a, b);
  });
  test("calls again for as long as nobody reads", async () => {
    const [read, write] = pipe();
    writeSync(write, "x");
    let calls = 0;
    const handle = watch(read, "in", () => {
      calls += 1;
      if (calls === 3) readSync(read, Buffer.alloc(8));
    });
    await waitFor("three calls", () => calls >= 3);
    await sleep(30);
    assert.equal(calls, 3);
    handle.close();
    close(read, write);
  });
  test("takes pidfds, netlink and listening sockets, epoll, timers and terminals, and leaves their flags alone", async () => {
    const AF_NETLINK = 16;
    const SOCK_RAW = 3;
    const netlink = syscall(nr("socket"), [AF_NETLINK, SOCK_RAW | O_CLOEXEC, 0]);
    const epoll = syscall(nr("epoll_create1"), [O_CLOEXEC]);
    const timer = syscall(nr("timerfd_create"), [1, O_CLOEXEC]);
    const terminal = openSync("/dev/ptmx", "r+");
    const inner = syscall(nr("pidfd_open"), [process.pid, 0]);
    for (const fd of [netlink, epoll, timer, terminal, inner]) {
      assert.ok(fd >= 0);
      const handle = watch(fd, "in", () => undefined);
      assert.equal(syscall(nr("fcntl"), [fd, F_GETFL, 0]) & O_NONBLOCK, 0);
      handle.close();
      close(fd);
    }
    const child = spawn("/bin/true", ["true"], [], []);
    assert.equal(await reap(child), 0);
  });
  test("the same descriptor can be watched twice", async () => {
    const [read, write] = pipe();
    const both = Promise.all([next(read, "in"), next(read, "in")]);
    writeSync(write, "x");
    assert.deepEqual(await both, [watchIn, watchIn]);
    close(read, write);
  });
  test("update changes what is waited for", async () => {
    const [a, b] = socketPair();
    const seen: number[] = [];
    const handle = watch(a, "in", (revents) => {
      seen.push(revents);
      handle.update("in");
    });
    await sleep(20);
    assert.deepEqual(seen, []);
    handle.update("out");
    await waitFor("room", () => seen.length > 0);
    assert.deepEqual(seen, [watchOut]);
    handle.close();
    assert.throws(
      () => {
        handle.update("in");
      },
      { errno: "EBADF" },
    );
    close(a, b);
  });
  test("a closed watch calls no more, even when the descriptor is ready", async () => {
    const [read, write] = pipe();
    writeSync(write, "x");
    let calls = 0;
    const handle = watch(read, "in", () => {
      calls += 1;
    });
    handle.close();
    handle.close();
    handle.ref();
    handle.unref();
    await sleep(20);
    assert.equal(calls, 0);
    close(read, write);
  });
  test("a descriptor closed before its watch does no harm", async () => {
    const [read, write] = pipe();
    const handle = watch(read, "in", () => {
      assert.fail("called for a closed descriptor");
    });
    close(read, write);
    const [otherRead, otherWrite] = pipe();
    writeSync(otherWrite, "x");
    await sleep(20);
    handle.close();
    close(otherRead, otherWrite);
  });
  test("a regular file, a directory and a closed descriptor are errors", () => {
    const file = openSync(fileURLToPath(import.meta.url), "r");
    assert.throws(() => watch(file, "in", () => undefined), { code: "ISLET_IO", errno: "EPERM" });
    closeSync(file);
    assert.throws(() => watch(file, "in", () => undefined), { errno: "EBADF" });
  });
  test("many watches live side by side and leave nothing", async () => {
    const pairs = Array.from({ length: 100 }, () => pipe());
    const all = Promise.all(pairs.map(([read]) => next(read, "in")));
    for (const [, write] of pairs) writeSync(write, "x");
    assert.equal((await all).length, 100);
    close(...pairs.flat());
  });
  test("it works beside Node's own sockets", async () => {
    const directory = mkdtempSync(join(tmpdir(), "islt-addon-"));
    mkdirSync(join(directory, "sub"));
    const path = join(directory, "sub", "socket");
    const server = createServer((socket) => socket.end("bye"));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const [read, write] = pipe();
    const readable = next(read, "in");
    const client = connect(path);
    client.on("data", () => {
      writeSync(write, "x");
    });
    assert.equal(await readable, watchIn);
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
    close(read, write);
  });

  const head = `import { watch, syscall } from ${JSON.stringify(addonUrl)};
    const room = new Int32Array(2);
    syscall(${nr("pipe2")}, [new Uint8Array(room.buffer), ${O_CLOEXEC}]);
    const [read, write] = room;
    const feed = () => syscall(${nr("write")}, [write, new Uint8Array([1]), 1]);
    const drain = () => syscall(${nr("read")}, [read, new Uint8Array(8), 8]);`;
  test("an exception in the callback is an uncaughtException, and the watch goes on", () => {
    const done = nodeScript(`${head}
      let calls = 0;
      process.on("uncaughtException", (error) => console.log("caught", error.message));
      const handle = watch(read, "in", () => {
        drain();
        calls += 1;
        if (calls < 3) { setTimeout(feed, 1); throw new Error("number " + calls); }
        handle.close();
      });
      feed();`);
    assert.deepEqual(done, { status: 0, stdout: "caught number 1\ncaught number 2\n", stderr: "" });
    const fatal = nodeScript(`${head} watch(read, "in", () => { throw new Error("on purpose"); }); feed();`);
    assert.equal(fatal.status, 1);
    assert.match(fatal.stderr, /Error: on purpose/);
  });
  test("promises and ticks that a callback leaves run before the next call", () => {
    const done = nodeScript(`${head}
      const order = [];
      const handle = watch(read, "in", () => {
        order.push("call");
        process.nextTick(() => order.push("tick"));
        Promise.resolve().then(() => order.push("promise"));
        if (order.length > 3) { handle.close(); setImmediate(() => console.log(order.join(" "))); }
      });
      feed();`);
    assert.equal(done.stdout, "call tick promise call tick promise\n");
  });
  test("a watch keeps the process alive until unref, and again after ref", () => {
    assert.equal(
      nodeScript(`${head} watch(read, "in", () => {}).unref(); process.on("exit", () => console.log("out"));`).stdout,
      "out\n",
    );
    const kept = nodeScript(`${head}
      const handle = watch(read, "in", () => { console.log("called"); handle.close(); });
      handle.unref(); handle.ref();
      setTimeout(feed, 30).unref();`);
    assert.deepEqual(kept, { status: 0, stdout: "called\n", stderr: "" });
  });
  test("a watch outlives its handle", () => {
    const done = nodeScript(`${head}
      import { setFlagsFromString } from "node:v8";
      import { runInNewContext } from "node:vm";
      setFlagsFromString("--expose-gc");
      const gc = runInNewContext("gc");
      (() => { watch(read, "in", () => { console.log("called"); process.exit(0); }); })();
      setTimeout(() => { gc(); gc(); feed(); }, 10);`);
    assert.deepEqual(done, { status: 0, stdout: "called\n", stderr: "" });
  });
  test("the end of the process or of a worker with watches open, closing or inside a callback is clean", () => {
    const ends = [
      "process.exit(3)",
      "handle.close(); process.exit(3)",
      "feed(); setTimeout(() => process.exit(3), 20)",
    ];
    for (const ending of ends) {
      const done = nodeScript(
        `${head} const handle = watch(read, "in", () => process.exit(3)); watch(write, "in", () => {}); ${ending};`,
      );
      assert.deepEqual(done, { status: 3, stdout: "", stderr: "" });
    }
    const worker = nodeScript(`
      import { Worker } from "node:worker_threads";
      import { readdirSync } from "node:fs";
      const count = () => readdirSync("/proc/self/fd").length;
      const script = new URL("data:text/javascript," + encodeURIComponent(${JSON.stringify(`${head}
        import { parentPort } from "node:worker_threads";
        for (let i = 0; i < 5; i += 1) watch(read, "in", () => {});
        watch(read, "in", () => {}).close();
        parentPort.postMessage("up");
        feed();`)}));
      const once = () => new Promise((resolve) => {
        const worker = new Worker(script);
        worker.on("message", () => worker.terminate().then(resolve));
        worker.on("error", (error) => { console.log(error); process.exit(1); });
      });
      await once();
      const before = count();
      for (let i = 0; i < 5; i += 1) await once();
      const late = Date.now() + 3000;
      while (count() - before !== 10 && Date.now() < late) await new Promise((resolve) => setTimeout(resolve, 20));
      console.log(count() - before);`);
    // The two ends of the pipe that each worker made are its own business.
    assert.deepEqual(worker, { status: 0, stdout: "10\n", stderr: "" });
  });
});

test("loading the addon takes little", () => {
  const done = nodeScript(
    `const start = performance.now(); await import(${JSON.stringify(addonUrl)}); console.log(performance.now() - start);`,
  );
  assert.ok(Number(done.stdout) < 100, `${done.stdout} ms`);
});
