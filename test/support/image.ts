import {
  beginProgram,
  buffer,
  call,
  clone,
  data,
  defer,
  end,
  finishProgram,
  imm,
  load,
  nil,
  slot,
  str,
  stringArray,
  tell,
  textBytes,
  within,
  type Block,
} from "../../src/program/assembler.js";
import { cloneArguments, openat } from "../../src/program/calls.js";
import { encodeProgram } from "../../src/program/encode.js";
import type { Slot } from "../../src/program/ops.js";
import type { Arch } from "../../src/sys/arch.js";

/** Small launch programs for the tests of client and monitor: the few steps that every one of them is made of. */

export const currentArch: Arch = process.arch === "arm64" ? "arm64" : "x86_64";

const O_RDWR = 2;
const O_NOCTTY = 0o400;
const O_WRONLY_APPEND_CREAT = 0o2101;
const CLONE_PIDFD = 0x1000n;
const SIGCHLD = 17;
const SIG_SETMASK = 2;

export const TIOCSCTTY = 0x540e;
export const TIOCSPTLCK = 0x40045431;
export const TIOCGPTPEER = 0x5441;

/** Builds a program from its first process's steps. */
export function image(build: (first: Block) => void): Uint8Array {
  const first = beginProgram(currentArch, "first");
  build(first);
  return encodeProgram(finishProgram(first.build));
}

/** Appends a line to a file of the test: how a program leaves a trace. */
export function leaveMark(block: Block, path: string, line: string): void {
  const fd = slot(block.build, "mark");
  openat(block, imm(-100), path, O_WRONLY_APPEND_CREAT, fd, { note: `open ${path}` }, 0o600);
  const text = textBytes(block.build, `${line}\n`);
  call(block, "write", [fd, text, imm(text.size)], { note: "leave a mark" });
  call(block, "close", [fd], { note: "close it" });
}

export function deferMark(block: Block, path: string, line: string): void {
  defer(block, `undo: ${line}`, `later: ${line}`, (undo) => {
    leaveMark(undo, path, line);
  });
}

/** A listening socket at a path, in a slot. */
export function listenAt(block: Block, path: string): Slot {
  const fd = slot(block.build, "listener");
  const address = Buffer.alloc(110);
  address.writeUInt16LE(1);
  address.write(path, 2);
  call(block, "socket", [imm(1), imm(0o2000001), imm(0)], { note: "socket", out: fd });
  call(block, "bind", [fd, data(block.build, address, path), imm(110)], { note: `bind ${path}` });
  call(block, "listen", [fd, imm(128)], { note: "listen" });
  return fd;
}

/** A pty master, unlocked. */
export function ptyMaster(block: Block): Slot {
  const fd = slot(block.build, "master");
  openat(block, imm(-100), "/dev/ptmx", O_RDWR | O_NOCTTY, fd, { note: "open a pty" });
  call(block, "ioctl", [fd, imm(TIOCSPTLCK), buffer(block.build, 4, "0")], { note: "unlock it" });
  return fd;
}

export interface Started {
  readonly pid: Slot;
  readonly pidfd: Slot;
}

/** A child that runs a shell script, on the pty if one is given. */
export function startShell(block: Block, script: string, master: Slot | null = null): Started {
  const { build } = block;
  const pid = slot(build, "pid");
  const pidfd = slot(build, "pidfd");
  const room = buffer(build, 4, "pidfd");
  clone(
    block,
    "shell",
    cloneArguments(block, CLONE_PIDFD, SIGCHLD, room, null),
    { note: "start the shell", out: pid },
    (child) => {
      call(child, "rt_sigprocmask", [imm(SIG_SETMASK), buffer(build, 8, "none"), nil, imm(8)], {
        note: "empty signal mask",
      });
      if (master !== null) {
        const slave = slot(build, "slave");
        call(child, "ioctl", [master, imm(TIOCGPTPEER), imm(O_RDWR)], { note: "open the slave", out: slave });
        call(child, "setsid", [], { note: "own session" });
        call(child, "ioctl", [slave, imm(TIOCSCTTY), imm(0)], { note: "controlling terminal" });
        for (const fd of [0, 1, 2]) call(child, "dup3", [slave, imm(fd), imm(0)], { note: `descriptor ${fd}` });
      }
      const argv = stringArray(build, ["sh", "-c", script]);
      call(child, "execve", [str(build, "/bin/sh"), argv, stringArray(build, ["PATH=/usr/bin:/bin"])], {
        note: "execute the shell",
      });
    },
  );
  load(block, pidfd, within(room, 0, 4), 4, "pidfd");
  return { pid, pidfd };
}

export interface GuestOptions {
  readonly script: string;
  readonly listen?: string;
  readonly marks?: string;
  readonly console?: boolean;
  readonly ring?: number;
  readonly ttys?: number;
  readonly log?: string;
  readonly logLimit?: number;
  readonly restart?: boolean;
  readonly halt?: number;
}

/** What the daemon's programs for monitors look like, without anything that makes a container of it. */
export function guestImage(options: GuestOptions): Uint8Array {
  return image((first) => {
    const { build } = first;
    tell(first, 1, "state", imm(1), "STARTING");
    if (options.listen !== undefined) tell(first, 5, "listener", listenAt(first, options.listen), "serve there");
    let master: Slot | null = null;
    if (options.ring !== undefined) tell(first, 7, "ring", imm(options.ring), "ring buffer");
    if (options.log !== undefined) {
      const log = slot(build, "log");
      openat(first, imm(-100), options.log, O_WRONLY_APPEND_CREAT, log, { note: "console log" }, 0o600);
      tell(first, 6, "log", log, "console log");
      tell(first, 8, "log_limit", imm(options.logLimit ?? 0), "console log's size");
    }
    if (options.console === true) {
      master = ptyMaster(first);
      tell(first, 3, "console", master, "the console");
    }
    for (let i = 0; i < (options.ttys ?? 0); i++) tell(first, 4, "tty", ptyMaster(first), "a terminal");
    if (options.restart === true) {
      const again = slot(build, "again");
      tell(first, 10, "restart_slot", imm(again.index), "restart slot");
    }
    if (options.halt !== undefined) tell(first, 15, "halt_signal", imm(options.halt), "how it is stopped");
    if (options.marks !== undefined) deferMark(first, options.marks, "undone");
    const started = startShell(first, options.script, master);
    tell(first, 2, "main", started.pidfd, "the main process");
    tell(first, 9, "pid", started.pid, "its pid");
    if (options.marks !== undefined) leaveMark(first, options.marks, "started");
    tell(first, 1, "state", imm(2), "RUNNING");
    end(first, 0, "started");
  });
}
