import { IsletError } from "../base/errors.js";
import type { MakeContext, RunEnd, RunOptions } from "./maker.js";

/** MakeContext.run whose error, when the program is missing, names the package that has it (Debian's name). */
export async function runNeeded(
  context: Pick<MakeContext, "run">,
  packageName: string,
  argv: readonly string[],
  options: RunOptions = {},
): Promise<RunEnd> {
  try {
    return await context.run(argv, options);
  } catch (error) {
    if (!(error instanceof IsletError) || error.code !== "ISLET_UNSUPPORTED") throw error;
    throw new IsletError("ISLET_UNSUPPORTED", error.message, {
      hint: `install the package ${packageName}`,
      cause: error,
    });
  }
}

/** A line of a program that says that the disk is full. */
export const saysFull = (line: string): boolean => /No space left on device|Disk quota exceeded/.test(line);

/** The error of a program that has said why it cannot unpack something, ISLET_IO. */
export function unpackingFailed(what: string, { status, lastLines }: RunEnd): IsletError {
  const full = lastLines.find(saysFull);
  if (full !== undefined) return diskFull(what, /quota/.test(full) ? "EDQUOT" : "ENOSPC");
  const line = lastLines.find((each) => !/^tar: (Exiting|Error is not)/.test(each)) ?? `exit status ${status}`;
  return new IsletError("ISLET_IO", `cannot unpack ${what}: ${line.replace(/^tar: /, "")}`);
}

export function diskFull(what: string, errno: "ENOSPC" | "EDQUOT"): IsletError {
  return new IsletError("ISLET_IO", `cannot unpack ${what}: the disk is full`, {
    errno,
    hint: "make room, perhaps with islet images prune",
  });
}
