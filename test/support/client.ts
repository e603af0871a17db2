import assert from "node:assert/strict";
import { spawn, type ChildProcess, type StdioOptions } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

import { closeFd } from "../../src/host/addon.js";
import type { Cleaner } from "./cleanup.js";
import { listenUnix, sys, u32, type Frame, type Wire } from "./frames.js";
import { TIOCGPTPEER, TIOCSPTLCK } from "./image.js";
import { root } from "./paths.js";
import { waitFor } from "./wait.js";

/** For tests of the client: a daemon that is the test itself, and terminals. */

/** ISLET_BINARY: one built with sanitizers, say. */
export const islet: string = process.env["ISLET_BINARY"] ?? join(root, "build/islet");

/** Types of frames between client and daemon: docs/protocol/control.md. */
export const HELLO = 1;
export const OUT = 2;
export const EXIT = 3;
export const RUN = 4;
export const RESULT = 5;
export const RELAY = 6;
export const WINCH = 7;
export const SIGNAL = 8;
export const HUNGUP = 9;

const dirs: string[] = [];
after(() => {
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
});

export function newDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "islt-client-"));
  dirs.push(dir);
  return dir;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Client {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

export interface ClientOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly argv0?: string;
  readonly cwd?: string;
  readonly stdio?: StdioOptions;
  readonly binary?: string;
}

export function startClient(runtime: string, options: ClientOptions = {}): Client {
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
      reject(
        new Error(`the client did not end: ${Buffer.concat(stdout).toString()}${Buffer.concat(stderr).toString()}`),
      );
    }, 10_000);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() });
    });
  });
  return { child, ended };
}

export interface Hello {
  readonly ttys: number;
  readonly rows: number;
  readonly columns: number;
  readonly umask: number;
  readonly cwd: string;
  readonly argv: readonly string[];
  readonly env: readonly string[];
}

export function decodeHello(bytes: Buffer): Hello {
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
export function fakeDaemon(t: Cleaner, serve: (peer: Wire, hello: Frame) => void | Promise<void>): string {
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
    })().catch((error: unknown) => {
      failures.push(error);
      peer.close();
    });
  });
  t.after(() => {
    stop();
    for (const peer of peers) peer.close();
    if (failures.length > 0) throw failures[0];
  });
  return runtime;
}

export function out(peer: Wire, fd: number, text: string | Uint8Array): void {
  peer.send(OUT, Buffer.concat([u32(fd), Buffer.from(text as string)]));
}

/** Everything that comes to a terminal's master. */
export async function readFrom(fd: number, what: RegExp): Promise<string> {
  let all = "";
  await waitFor(`${what} from the terminal`, () => {
    all += readAvailable(fd);
    return what.test(all);
  });
  return all;
}

export function readAvailable(fd: number): string {
  const bytes = Buffer.alloc(65536);
  try {
    return bytes.toString("utf8", 0, sys("read", fd, bytes, bytes.length));
  } catch {
    return "";
  }
}

export interface Terminal {
  readonly master: number;
  readonly slave: number;
  resize(rows: number, columns: number): void;
  /** c_lflag has ICANON. */
  isCooked(): boolean;
  type(text: string): void;
}

export function openTerminal(t: Cleaner): Terminal {
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
