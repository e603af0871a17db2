import { closeSync, fstatSync, readSync } from "node:fs";
import { Socket } from "node:net";
import { IsletError } from "../base/errors.js";
import { printable } from "../base/printable.js";
import { closeFd, memfd, spawn } from "../host/addon.js";
import { makePipe } from "../host/fd.js";
import { reapWhenDone } from "../host/reap.js";
import { findProgram } from "../host/run-program.js";
import { sysCall } from "../host/root-fd.js";
import { F_SETPIPE_SZ } from "../sys/flags.js";
import type { Arch } from "../sys/arch.js";

/** Bytes through pipes to programs and back. */

export interface Pipe {
  readonly read: number;
  readonly write: number;
}

/** As large as users may have it; a smaller one does, too. Both ends are the caller's to close. */
export function makeLargePipe(arch: Arch): Pipe {
  const [read, write] = makePipe(arch);
  const pipe = { read: read.release(), write: write.release() };
  sysCall(arch, "fcntl", pipe.write, F_SETPIPE_SZ, 1 << 20);
  return pipe;
}

/** Takes the descriptor over. */
export const readEnd = (fd: number): Socket => new Socket({ fd, readable: true, writable: false });

/** Writes everything, waiting for whoever reads; ends quietly when nobody reads any more. Takes the descriptor over. */
export async function writeAll(fd: number, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const to = new Socket({ fd, readable: false, writable: true });
  let isGone = false;
  let wake = (): void => undefined;
  const gone = (): void => {
    isGone = true;
    wake();
  };
  to.on("error", gone);
  to.on("close", gone);
  to.on("drain", () => {
    wake();
  });
  try {
    for await (const chunk of chunks) {
      if (isGone) return;
      if (to.write(chunk)) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (isGone || !to.writableNeedDrain) resolve();
      });
    }
    await new Promise<void>((resolve) => {
      wake = resolve;
      if (isGone) resolve();
      else to.end(resolve);
    });
  } finally {
    to.destroy();
  }
}

export interface Filter {
  readonly program: string;
  readonly words: readonly string[];
  /** Debian's name for what has the program. */
  readonly packageName: string;
}

/**
 * What a program (gzip -dc) makes of its input, a file's descriptor or bytes. Ends with ISLET_IO if the program fails, with its words: `archive`
 * is what cannot be read. The descriptor is taken over.
 */
export async function* filtered(
  arch: Arch,
  { program, words, packageName }: Filter,
  input: number | AsyncIterable<Uint8Array>,
  archive: string,
): AsyncGenerator<Uint8Array> {
  const path = findProgram(program);
  if (path === null) {
    if (typeof input === "number") closeSync(input);
    throw new IsletError(
      "ISLET_UNSUPPORTED",
      `the program ${program}, which ${archive} needs, is missing on this host`,
      {
        hint: `install the package ${packageName}`,
      },
    );
  }
  const output = makeLargePipe(arch);
  const fed = typeof input === "number" ? null : makeLargePipe(arch);
  const errors = memfd("islet-filter", new Uint8Array(0), false);
  let ended: Promise<number>;
  try {
    const source = typeof input === "number" ? input : (fed?.read ?? -1);
    const fds = [[0, source] as const, [1, output.write] as const, [2, errors] as const];
    const { pidfd } = spawn(path, [program, ...words], ["LC_ALL=C"], fds, { cwd: "/" });
    ended = new Promise((resolve) => {
      reapWhenDone(pidfd, resolve, true);
    });
  } catch (error) {
    closeFd(output.read);
    if (fed !== null) closeFd(fed.write);
    closeFd(errors);
    throw error;
  } finally {
    closeFd(output.write);
    if (fed !== null) closeFd(fed.read);
    if (typeof input === "number") closeSync(input);
  }
  let feeding: Promise<void> = Promise.resolve();
  let isFed: { readonly error: unknown } | null = null;
  if (fed !== null && typeof input !== "number")
    feeding = writeAll(fed.write, input).catch((error: unknown) => {
      isFed = { error };
    });
  const from = readEnd(output.read);
  try {
    for await (const chunk of from) yield chunk as Uint8Array;
    await feeding;
    // oxlint-disable-next-line typescript/no-unnecessary-condition -- set by the callback above
    if (isFed !== null) throw (isFed as { readonly error: unknown }).error;
    const status = await ended;
    if (status !== 0) throw new IsletError("ISLET_IO", `${archive} is damaged: ${lastWords(errors, program, status)}`);
  } finally {
    from.destroy();
    // A program that nobody listens to ends at its next write.
    void ended.then(
      () => closeFd(errors),
      () => closeFd(errors),
    );
  }
}

function lastWords(fd: number, program: string, status: number): string {
  const bytes = Buffer.alloc(Math.min(fstatSync(fd).size, 4096));
  const text = bytes.toString("utf8", 0, readSync(fd, bytes, 0, bytes.length, 0)).trim();
  return text === "" ? `${program} ended with status ${status}` : printable(text.split("\n")[0] ?? "");
}
