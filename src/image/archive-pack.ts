import { fstatSync, readSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { printable } from "../base/printable.js";
import { closeFd, memfd, spawn, syscall } from "../host/addon.js";
import { reapWhenDone } from "../host/reap.js";
import { findProgram } from "../host/run-program.js";
import type { Arch } from "../sys/arch.js";
import { SIGNALS } from "../sys/signals.js";
import { requireSyscall } from "../sys/syscalls.js";
import { type Filter, makeLargePipe, writeAll } from "./pipes.js";
import { blockSize, padded, writeHeader } from "./tar-header.js";

/** Making an archive: small files as entries of a tar, and a program that packs all of it into a descriptor. */

export type Compression = "zstd" | "gzip" | "none";

const packers: Readonly<Record<Compression, Filter & { readonly extension: string }>> = {
  zstd: { program: "zstd", words: ["-q", "-c", "-T0"], packageName: "zstd", extension: "tar.zst" },
  gzip: { program: "gzip", words: ["-c"], packageName: "gzip", extension: "tar.gz" },
  none: { program: "cat", words: [], packageName: "coreutils", extension: "tar" },
};

/** What an archive is packed with when nobody says. */
export const usualCompression = (): Compression => (findProgram("zstd") === null ? "gzip" : "zstd");

export const extensionOf = (compression: Compression): string => packers[compression].extension;

/** A plain file of root's. `name`: at most 100 bytes of ASCII. `mtime`: seconds since 1970. */
export function tarFile(name: string, bytes: Uint8Array, mode: number, mtime: number): Uint8Array {
  const entry = new Uint8Array(blockSize + padded(bytes.length));
  const plain = { type: "0", linkname: "", uid: 0, gid: 0, major: 0, minor: 0, sparse: null, records: new Map() };
  entry.set(writeHeader({ ...plain, name, mode, size: bytes.length, mtime }));
  entry.set(bytes, blockSize);
  return entry;
}

/**
 * Packs bytes into a descriptor, which stays the caller's: a program writes to it, so a slow disk or reader keeps nobody else waiting. `name`: of
 * what is written, for errors (ISLET_IO; EPIPE: nobody reads it any more). Aborted, the program is killed.
 */
export async function packInto(
  arch: Arch,
  compression: Compression,
  bytes: AsyncIterable<Uint8Array>,
  target: { readonly fd: number; readonly name: string },
  signal: AbortSignal,
): Promise<void> {
  const { program, words, packageName } = packers[compression];
  const path = findProgram(program);
  if (path === null)
    throw new IsletError("ISLET_UNSUPPORTED", `the program ${program} is missing on this host`, {
      hint: `install the package ${packageName}, or choose another --compress`,
    });
  const input = makeLargePipe(arch);
  const errors = memfd("islet-pack", new Uint8Array(0), false);
  let kill = (): void => undefined;
  try {
    let ended: Promise<number>;
    try {
      const fds = [[0, input.read] as const, [1, target.fd] as const, [2, errors] as const];
      const { pidfd } = spawn(path, [program, ...words], ["LC_ALL=C"], fds, { cwd: "/", setsid: true });
      let isOver = false;
      kill = () => {
        if (!isOver) syscall(requireSyscall(arch, "pidfd_send_signal"), [pidfd, SIGNALS.SIGKILL, 0, 0]);
      };
      ended = new Promise((resolve) => {
        reapWhenDone(
          pidfd,
          (status) => {
            isOver = true;
            resolve(status);
          },
          true,
        );
      });
    } catch (error) {
      closeFd(input.write);
      throw error;
    } finally {
      closeFd(input.read);
    }
    signal.addEventListener("abort", kill);
    try {
      await writeAll(input.write, bytes);
    } catch (error) {
      kill();
      await ended;
      throw error;
    }
    const status = await ended;
    signal.throwIfAborted();
    if (status !== 0) throw packingFailed(errors, program, status, target.name);
  } finally {
    signal.removeEventListener("abort", kill);
    closeFd(errors);
  }
}

const SIGPIPE = 128 + 13;

function packingFailed(errors: number, program: string, status: number, name: string): IsletError {
  const bytes = Buffer.alloc(Math.min(fstatSync(errors).size, 4096));
  const said = bytes.toString("utf8", 0, readSync(errors, bytes, 0, bytes.length, 0)).trim();
  if (status === SIGPIPE || /Broken pipe/.test(said))
    return new IsletError("ISLET_IO", `cannot write ${name}: nobody reads it any more`, { errno: "EPIPE" });
  if (/No space left|quota exceeded/i.test(said))
    return new IsletError("ISLET_IO", `cannot write ${name}: the disk is full`, {
      errno: "ENOSPC",
      hint: "make room, or name a file on another disk",
    });
  const line = printable(said.split("\n")[0] ?? "");
  return new IsletError("ISLET_IO", `cannot write ${name}: ${line === "" ? `${program} ended (${status})` : line}`);
}
