import { readSync, statfsSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { printable } from "../base/printable.js";
import { humanBytes } from "../base/units.js";
import { memfd, spawn, syscall, watch } from "../host/addon.js";
import { type OwnedFd, ownFd, makePipe } from "../host/fd.js";
import { reapWhenDone } from "../host/reap.js";
import type { Arch } from "../sys/arch.js";
import { cString } from "../sys/bytes.js";
import { errnoName, strerror } from "../sys/errno.js";
import { AT_FDCWD, O_CLOEXEC, O_PATH, openFlags } from "../sys/flags.js";
import { SIGNALS } from "../sys/signals.js";
import { requireSyscall } from "../sys/syscalls.js";

/** Runs `islet tree`: native/tree.c has its words and what it says. */

export interface TreeHost {
  readonly arch: Arch;
  /** The path of islet's binary. */
  readonly binary: string;
}

export interface TreeTotals {
  /** Names, directories too. */
  readonly files: number;
  /** Of data. */
  readonly bytes: number;
}

export interface TreeWatcher {
  /** At most ten times a second. */
  readonly progress?: (sofar: TreeTotals) => void;
  /** Kills the process. */
  readonly signal?: AbortSignal;
}

export interface TreeRun {
  readonly words: readonly string[];
  /** Descriptors. */
  readonly from: number;
  readonly to: number | null;
  /** What the tree is called in errors, if it has a path: the one that is written to, and the one that is read. */
  readonly name: string | null;
  readonly source: string | null;
}

/** A descriptor of a directory; a path is opened without following a link at its end. A number stays its owner's. */
export function asDirectory(arch: Arch, directory: string | number): OwnedFd {
  if (typeof directory === "number") return { ...ownFd(directory), [Symbol.dispose]: () => undefined };
  const flags = O_PATH | O_CLOEXEC | openFlags(arch).O_DIRECTORY | openFlags(arch).O_NOFOLLOW;
  const fd = syscall(requireSyscall(arch, "openat"), [AT_FDCWD, cString(directory), flags, 0]);
  if (fd < 0) throw openError(directory, -fd);
  return ownFd(fd);
}

/** The directory that has a name to be removed, links in its path followed; null: there is none. */
export function openAbove(arch: Arch, path: string): OwnedFd | null {
  const flags = O_PATH | O_CLOEXEC | openFlags(arch).O_DIRECTORY;
  const fd = syscall(requireSyscall(arch, "openat"), [AT_FDCWD, cString(path), flags, 0]);
  if (fd < 0 && ["ENOENT", "ENOTDIR"].includes(errnoName(-fd))) return null;
  if (fd < 0) throw openError(path, -fd);
  return ownFd(fd);
}

function openError(path: string, errno: number): IsletError {
  const code = ["EACCES", "EPERM"].includes(errnoName(errno)) ? "ISLET_PERMISSION" : "ISLET_IO";
  return new IsletError(code, `cannot open the directory ${printable(path)}: ${strerror(errno)}`, {
    errno: errnoName(errno),
    syscall: "openat",
  });
}

interface Heard {
  readonly totals: TreeTotals;
  readonly isDone: boolean;
  readonly errno: number;
}

/** The lines that have come whole; gives back the beginning of the next. */
function hear(text: string, heard: (line: readonly string[]) => void): string {
  const lines = text.split("\n");
  const rest = lines.pop() ?? "";
  for (const line of lines) heard(line.split(" "));
  return rest;
}

/** @throws IsletError as copyTree says. */
export async function runTree(host: TreeHost, run: TreeRun, watcher: TreeWatcher): Promise<TreeTotals> {
  const { signal } = watcher;
  signal?.throwIfAborted();
  const [reading, writing] = makePipe(host.arch);
  using ours = reading;
  using said = ownFd(memfd("islet-tree", new Uint8Array(0), false));
  let pidfd: number;
  try {
    const fds: [number, number][] = [
      [2, said.number],
      [3, run.from],
      [5, writing.number],
    ];
    if (run.to !== null) fds.push([4, run.to]);
    const words = ["islet", "tree", run.words[0] ?? "", `parent=${process.pid}`, ...run.words.slice(1)];
    ({ pidfd } = spawn(host.binary, words, [], fds, { cwd: "/", setsid: true }));
  } finally {
    writing[Symbol.dispose]();
  }
  const heard = await follow(host.arch, pidfd, ours.number, watcher);
  signal?.throwIfAborted();
  if (heard.isDone) return heard.totals;
  throw failure(run, heard.errno, textOf(said.number));
}

function follow(arch: Arch, pidfd: number, progress: number, { progress: tell, signal }: TreeWatcher): Promise<Heard> {
  return new Promise((resolve) => {
    let heard: Heard = { totals: { files: 0, bytes: 0 }, isDone: false, errno: 0 };
    let rest = "";
    let left = 2;
    const part = (): void => {
      left -= 1;
      if (left > 0) return;
      signal?.removeEventListener("abort", kill);
      resolve(heard);
    };
    let isReaped = false;
    const kill = (): void => {
      if (!isReaped) syscall(requireSyscall(arch, "pidfd_send_signal"), [pidfd, SIGNALS.SIGKILL, 0, 0]);
    };
    signal?.addEventListener("abort", kill, { once: true });
    const buffer = new Uint8Array(4096);
    const lines = watch(progress, "in", () => {
      const count = readSync(progress, buffer);
      rest = hear(rest + new TextDecoder("latin1").decode(buffer.subarray(0, count)), ([word, first, second]) => {
        if (word === "error") heard = { ...heard, errno: Number(first) };
        else heard = { ...heard, totals: { files: Number(first), bytes: Number(second) }, isDone: word === "done" };
        if (word === "at" && signal?.aborted !== true) tell?.(heard.totals);
      });
      if (count > 0) return;
      lines.close();
      part();
    });
    reapWhenDone(
      pidfd,
      (status) => {
        isReaped = true;
        if (status !== 0) heard = { ...heard, isDone: false };
        part();
      },
      true,
    );
  });
}

function textOf(fd: number): string {
  const bytes = new Uint8Array(4096);
  const text = new TextDecoder().decode(bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0)));
  return printable(text.trim().split("\n")[0] ?? "");
}

/** How much room there is where the tree is written to. */
function roomIn(path: string): string {
  try {
    const { bavail, bsize, ffree } = statfsSync(path);
    if (ffree === 0) return "no inode is free";
    return `${humanBytes(bavail * bsize)} are free`;
  } catch {
    return "the disk is full";
  }
}

function failure(run: TreeRun, errno: number, said: string): IsletError {
  const name = run.name ?? run.source;
  const where = name === null ? "" : ` (in ${printable(name)})`;
  if (said === "") return new IsletError("ISLET_IO", `the work on a tree of files was cut off${where}`);
  if (errno === 0) return new IsletError("ISLET_INTERNAL", said);
  const code = errnoName(errno);
  const hint = hintOf(run, code);
  return new IsletError(code === "EACCES" || code === "EPERM" ? "ISLET_PERMISSION" : "ISLET_IO", `${said}${where}`, {
    errno: code,
    ...(hint === null ? {} : { hint }),
  });
}

function hintOf(run: TreeRun, code: string): string | null {
  switch (code) {
    case "ENOSPC":
      return `${run.name === null ? "the disk is full" : roomIn(run.name)} there; make room and try again`;
    case "EDQUOT":
      return "the quota of the owner or the project is used up; raise it and try again";
    case "EOVERFLOW":
      return "the map of ids must have every owner of a file";
    case "EROFS":
      return "the file system is mounted read-only";
    case "EBUSY":
    case "EXDEV":
      return "unmount it first";
    case "EIO":
      return "look at the kernel's log (dmesg): the disk may be failing";
    default:
      return null;
  }
}
