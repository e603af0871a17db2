import { IsletError } from "../base/errors.js";
import type { MakeContext } from "./maker.js";
import { runNeeded, unpackingFailed } from "./programs.js";

/** A line of `unsquashfs -lln`: "drwxr-xr-x 0/0  27 2026-11-23 01:02 squashfs-root/etc"; devices have "8,  1" for a size. */
const listed = /^([-dlcbpsh])\S{9}\S? +\d+\/\d+ +(?:(\d+), *(\d+)|(\d+)) \d{4}-\d\d-\d\d \d\d:\d\d /;

export interface SquashfsTotals {
  readonly entries: number;
  readonly bytes: number;
}

/** Where it ends, and what it comes to. `admit` throws what is wrong with the totals so far. */
export async function unpackSquashfs(
  archive: string,
  into: string | null,
  admit: (totals: SquashfsTotals) => void,
  context: MakeContext,
): Promise<SquashfsTotals> {
  let entries = 0;
  let bytes = 0;
  let fault: { readonly error: unknown } | null = null;
  const environment = { LC_ALL: "C", TZ: "UTC" };
  const run = async (words: readonly string[], line: (text: string) => void): Promise<void> => {
    const end = await runNeeded(context, "squashfs-tools", ["unsquashfs", ...words], {
      environment,
      line,
      ...(into === null ? {} : { writable: into }),
    });
    if (end.status !== 0) throw unpackingFailed(archive, end);
  };
  await run(["-lln", "-no-progress", archive], (text) => {
    const match = listed.exec(text);
    if (match === null || fault !== null) return;
    entries += 1;
    bytes += match[1] === "-" ? Number(match[4] ?? 0) : 0;
    try {
      admit({ entries, bytes });
    } catch (error) {
      fault = { error };
    }
  });
  // oxlint-disable-next-line typescript/no-unnecessary-condition -- set by the callback above
  if (fault !== null) throw (fault as { readonly error: unknown }).error;
  if (entries === 0) throw new IsletError("ISLET_IO", `${archive} is damaged: nothing is in it`);
  if (into !== null) await run(["-force", "-no-progress", "-dest", into, archive], () => undefined);
  return { entries, bytes };
}
