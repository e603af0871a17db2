import { statSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { type DeathSignal, findProgram, programOutput, type ProgramResult, runProgram } from "../host/run-program.js";
import type { StorageContext } from "./driver.js";

/** Programs of the host's that drivers work with: mkfs, LVM's, ZFS's. */

/** A full disk may be slow, a pool of spinning disks too. */
const patience = 600_000;
/** Milliseconds for a question. */
const askPatience = 60_000;

export interface Tool {
  readonly name: string;
  /** The Debian package that has it. */
  readonly from: string;
}

/** @throws IsletError ISLET_UNSUPPORTED: it is missing; the hint names its package. */
export function requireTool({ name, from }: Tool): string {
  const program = findProgram(name);
  if (program !== null) return program;
  throw new IsletError("ISLET_UNSUPPORTED", `there is no program ${name}`, { hint: `apt-get install ${from}` });
}

/**
 * Runs it to its end. `dies`: by that signal with this process, since what it makes is then removed by the next one.
 * @throws IsletError ISLET_UNSUPPORTED: it is missing; ISLET_IO: `what` with the line that the program ended with; the signal's reason.
 */
export async function runTool(
  context: StorageContext,
  tool: Tool,
  words: readonly string[],
  what: string,
  dies?: DeathSignal,
): Promise<void> {
  const result = await tryTool(context, tool, words, dies);
  context.signal?.throwIfAborted();
  switch (result.kind) {
    case "done":
      return;
    case "refused":
      throw new IsletError("ISLET_IO", `cannot ${what}: ${result.why.trim()}`, { errno: "STATUS" });
    case "late":
      throw new IsletError("ISLET_TIMEOUT", `cannot ${what}: ${tool.name} did not end within ten minutes`);
    default: {
      const impossible: never = result;
      return impossible;
    }
  }
}

/** As runTool, but what it ends with is told. */
export async function tryTool(
  { host, signal }: StorageContext,
  tool: Tool,
  words: readonly string[],
  dies?: DeathSignal,
): Promise<ProgramResult> {
  const bond = { ...(dies === undefined ? {} : { dies }), ...(signal === undefined ? {} : { signal }) };
  return await runProgram(host.arch, requireTool(tool), words, patience, "", bond);
}

/** What it prints, trimmed; null: it failed, or is missing. */
export async function askTool({ host }: StorageContext, tool: Tool, words: readonly string[]): Promise<string | null> {
  const program = findProgram(tool.name);
  if (program === null) return null;
  return (await programOutput(host.arch, program, words, askPatience))?.trim() ?? null;
}

/** Is it a block device? Links are followed: LVM's names are such. */
export function isBlockDevice(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isBlockDevice() === true;
}
