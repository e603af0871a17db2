import { basename, dirname } from "node:path";
import { IsletError } from "../base/errors.js";
import { closeFd } from "../host/addon.js";
import { fileError, lookWithin, namesIn, openTop, openWithin, sysCall } from "../host/root-fd.js";
import { runTree, type TreeHost } from "../storage/tree-process.js";
import { cString } from "../sys/bytes.js";
import { ELOOP, ENOENT, ENOTDIR } from "../sys/errno.js";
import { O_RDONLY, openFlags } from "../sys/flags.js";

/**
 * Whiteouts of OCI layers (image-spec, layer.md): ".wh.NAME" takes NAME of the layers below away, ".wh..wh..opq" all that they have in its
 * directory. They say nothing of their own layer, so they are obeyed before anything of it is unpacked.
 */
export interface Whiteout {
  /** "etc/motd"; of an opaque directory, "etc". */
  readonly path: string;
  readonly kind: "name" | "content";
}

const prefix = ".wh.";
const opaque = ".wh..wh..opq";

/** null: the entry is none. ISLET_UNTRUSTED: one that names nothing, or something elsewhere. */
export function whiteoutOf(entry: string): Whiteout | null {
  const name = basename(entry);
  if (!name.startsWith(prefix)) return null;
  const directory = dirname(entry) === "." ? "" : dirname(entry);
  if (name === opaque) return { path: directory, kind: "content" };
  const hidden = name.slice(prefix.length);
  if (hidden === "" || hidden === "." || hidden === "..")
    throw new IsletError(
      "ISLET_UNTRUSTED",
      `a layer is refused: ${JSON.stringify(entry)} takes nothing away that could be`,
    );
  // Others of aufs, ".wh..wh.plnk" and the like, say nothing here.
  if (hidden.startsWith(prefix)) return null;
  return { path: directory === "" ? hidden : `${directory}/${hidden}`, kind: "name" };
}

/** True also for aufs' own files, which are no files of the image. */
export const isWhiteoutName = (entry: string): boolean => basename(entry).startsWith(prefix);

/** What is not there is fine, and nothing is reached through a link. ISLET_IO. */
export async function obeyWhiteouts(
  host: TreeHost,
  rootfs: string,
  whiteouts: readonly Whiteout[],
  signal: AbortSignal,
): Promise<void> {
  const root = openTop(host.arch, rootfs);
  try {
    for (const { path, kind } of whiteouts) {
      signal.throwIfAborted();
      const directory = openStrictly(host, root, kind === "name" ? dirname(path) : path);
      if (directory === null) continue;
      try {
        const names = kind === "name" ? [cString(basename(path))] : namesIn(host.arch, directory);
        for (const name of names) await removeName(host, directory, name, signal);
      } finally {
        closeFd(directory);
      }
    }
  } finally {
    closeFd(root);
  }
}

/** null: there is no such directory. */
function openStrictly({ arch }: TreeHost, root: number, path: string): number | null {
  const fd = openWithin(arch, root, path === "" ? "." : path, O_RDONLY | openFlags(arch).O_DIRECTORY, 0, true);
  if (fd >= 0) return fd;
  if ([-ENOENT, -ENOTDIR, -ELOOP].includes(fd)) return null;
  throw fileError(`open ${path} in the root file system`, fd, "openat2");
}

async function removeName(host: TreeHost, directory: number, name: Uint8Array, signal: AbortSignal): Promise<void> {
  const done = sysCall(host.arch, "unlinkat", directory, name, 0);
  if (done >= 0 || done === -ENOENT) return;
  // A directory, or a file that is immutable.
  const words = ["remove", `name=${Buffer.from(name.subarray(0, -1)).toString()}`];
  await runTree(host, { words, from: directory, to: null, name: null, source: null }, { signal });
  // A name that is no UTF-8 has another one on a command line.
  if (lookWithin(host.arch, directory, name, true) !== null)
    throw new IsletError("ISLET_IO", "a directory of a lower layer cannot be taken away: its name is no UTF-8");
}
