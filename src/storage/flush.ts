import { IsletError } from "../base/errors.js";
import type { RootfsSource } from "../spec/rootfs.js";
import type { StorageContext } from "./driver.js";
import { tryTool } from "./programs.js";

/**
 * Waits until all of a new root file system is on the disk, where that may fail after the writing itself was successful: a file of holes, or a
 * volume of a thin pool, finds out that there is no room only then. A program does it, since it may take long. `path`: its top directory, reached.
 * @throws IsletError ISLET_IO: it is not all there.
 */
export async function flushRoot(context: StorageContext, source: RootfsSource, path: string): Promise<void> {
  if (source.kind !== "loop" && source.kind !== "block") return;
  const result = await tryTool(context, { name: "sync", from: "coreutils" }, ["-f", path]);
  context.signal?.throwIfAborted();
  if (result.kind === "done") return;
  const why = result.kind === "refused" ? (result.why.trim().split(": ").at(-1) ?? "") : "it takes too long";
  throw new IsletError("ISLET_IO", `cannot write all of the root file system to ${source.path}: ${why}`, {
    hint: "is the disk below it full?",
  });
}
