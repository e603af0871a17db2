import { existsSync, fstatSync, readSync } from "node:fs";
import { basename } from "node:path";
import type { Arch } from "../sys/arch.js";
import { SIGNALS } from "../sys/signals.js";
import { requireSyscall } from "../sys/syscalls.js";
import { closeFd, memfd, spawn, syscall } from "./addon.js";
import { reapWhenDone } from "./reap.js";

/** Programs of the host's that do a piece of work for us and end: busctl, nft, dnsmasq. */

const safePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export type ProgramResult =
  | { readonly kind: "done" }
  /** With what it said: the line with the error in it, else the last one. */
  | { readonly kind: "refused"; readonly why: string }
  | { readonly kind: "late" };

const mostOutput = 4096;
const mostPrinted = 4 << 20;

/** Where a program of that name is: in PATH, or where Debian has such programs; null: nowhere. */
export function findProgram(name: string): string | null {
  const own = (process.env["PATH"] ?? "").split(":").filter((directory) => directory.startsWith("/"));
  const files = [...own, ...safePath.split(":")].map((directory) => `${directory}/${name}`);
  return files.find((file) => existsSync(file)) ?? null;
}

/** SIGTERM: for a program that must not be killed in the middle, and holds that signal off there. */
export type DeathSignal = "SIGKILL" | "SIGTERM";

export interface ProgramBond {
  /** Aborted, the program is killed; the result is then `late`. */
  readonly signal?: AbortSignal;
  /** What it gets when this process ends, however it ends: for work that is of no use to anybody else. */
  readonly dies?: DeathSignal;
}

/** Runs a program for at most `time` milliseconds; `input` is its standard input. Never fails. */
export async function runProgram(
  arch: Arch,
  program: string,
  words: readonly string[],
  time: number,
  input: string = "",
  bond: ProgramBond = {},
): Promise<ProgramResult> {
  const output = memfd(`islet-${basename(program)}`, new Uint8Array(0), false);
  try {
    return await runInto(arch, program, words, time, input, output, bond);
  } finally {
    closeFd(output);
  }
}

/** What a program prints, up to 4 MiB; null: it failed, or took longer than `time` milliseconds. */
export async function programOutput(
  arch: Arch,
  program: string,
  words: readonly string[],
  time: number,
): Promise<string | null> {
  const output = memfd(`islet-${basename(program)}`, new Uint8Array(0), false);
  try {
    const { kind } = await runInto(arch, program, words, time, "", output, {});
    return kind === "done" ? readText(output, Math.min(fstatSync(output).size, mostPrinted)) : null;
  } finally {
    closeFd(output);
  }
}

/** How a program ended and what it printed, up to 4 MiB; for those whose words count even when they fail. */
export async function programReport(
  arch: Arch,
  program: string,
  words: readonly string[],
  time: number,
): Promise<{ readonly kind: ProgramResult["kind"]; readonly output: string }> {
  const output = memfd(`islet-${basename(program)}`, new Uint8Array(0), false);
  try {
    const { kind } = await runInto(arch, program, words, time, "", output, {});
    return { kind, output: readText(output, Math.min(fstatSync(output).size, mostPrinted)) };
  } finally {
    closeFd(output);
  }
}

/** setpriv(1) of util-linux, which every Debian has. */
function mortal(program: string, argv: readonly string[], bond: ProgramBond): readonly [string, readonly string[]] {
  const setpriv = bond.dies === undefined ? null : findProgram("setpriv");
  return setpriv === null || bond.dies === undefined
    ? [program, argv]
    : [setpriv, ["setpriv", "--pdeathsig", bond.dies.slice(3), "--", program, ...argv.slice(1)]];
}

async function runInto(
  arch: Arch,
  program: string,
  words: readonly string[],
  time: number,
  input: string,
  output: number,
  bond: ProgramBond,
): Promise<ProgramResult> {
  const name = basename(program);
  const [file, argv] = mortal(program, [name, ...words], bond);
  const given = memfd(`islet-${name}`, new TextEncoder().encode(input), true);
  let pidfd: number;
  try {
    const fds = [
      [0, given],
      [1, output],
      [2, output],
    ] as const;
    ({ pidfd } = spawn(file, argv, [`PATH=${safePath}`], fds, { cwd: "/", setsid: true }));
  } catch (error) {
    return { kind: "refused", why: error instanceof Error ? error.message : String(error) };
  } finally {
    closeFd(given);
  }
  return await new Promise((resolve) => {
    let isLate = false;
    const kill = (): void => {
      isLate = true;
      syscall(requireSyscall(arch, "pidfd_send_signal"), [pidfd, SIGNALS.SIGKILL, 0, 0]);
    };
    const timer = setTimeout(kill, time);
    if (bond.signal?.aborted === true) kill();
    bond.signal?.addEventListener("abort", kill);
    reapWhenDone(
      pidfd,
      (status) => {
        clearTimeout(timer);
        bond.signal?.removeEventListener("abort", kill);
        const said = status === 0 ? "" : wordsOf(output);
        if (status === 0) resolve({ kind: "done" });
        else if (isLate) resolve({ kind: "late" });
        else resolve({ kind: "refused", why: said === "" ? `${name} ended with status ${status}` : said });
      },
      true,
    );
  });
}

function readText(fd: number, size: number): string {
  const bytes = new Uint8Array(size);
  return new TextDecoder().decode(bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0)));
}

function wordsOf(output: number): string {
  const lines = readText(output, mostOutput).trim().split("\n");
  return lines.find((line) => /\berror\b/i.test(line)) ?? lines.at(-1) ?? "";
}
