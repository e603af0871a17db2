import { chownSync, lchownSync, mkdirSync } from "node:fs";
import { isErrno } from "../base/io-error.js";
import { type IdMapEntry, toHostId } from "../spec/idmap.js";
import type { RootfsSource } from "../spec/rootfs.js";
import type { StorageHost } from "../storage/driver.js";
import type { NewContainer } from "./engine.js";

/** A root file system that is worked on. */
export interface ReachedRoot {
  readonly paths: Pick<NewContainer, "rootfs" | "root" | "mount">;
  close(): void;
}

/** Where a new root file system is found. What is no directory of the host's is mounted, so that nobody else sees it and nothing of it stays. */
export async function reachRoot(host: StorageHost, source: RootfsSource, directory: string): Promise<ReachedRoot> {
  if (source.kind === "dir" || source.kind === "btrfs") {
    const { path } = source;
    return { paths: { rootfs: path, root: path, mount: null }, close: () => undefined };
  }
  const { ownLowerOf } = await import("../storage/overlay.js");
  const lower = ownLowerOf(source, directory);
  if (lower !== null) return { paths: { rootfs: lower, root: lower, mount: null }, close: () => undefined };
  const { openRoot } = await import("../storage/open.js");
  const rootfs = `${directory}/rootfs`;
  try {
    mkdirSync(rootfs, { mode: 0o755 });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
  const open = await openRoot(host.facts, host.binary, source, { write: true });
  return {
    paths: { rootfs, root: open.path, mount: { descriptor: open.fd, path: rootfs } },
    close: () => {
      open.close();
    },
  };
}

/** What a template makes in there gets its owners by itself; the top directory, which it finds, is host root's until now. `root`: reached. */
export function giveToOwner(source: RootfsSource, root: string, map: readonly IdMapEntry[]): void {
  if (map.length === 0) return;
  const [uid, gid] = [toHostId(map, "uid", 0), toHostId(map, "gid", 0)];
  if (uid === null || gid === null) return;
  // Links are followed in /proc alone: a new root is no link.
  if (root.startsWith("/proc/")) chownSync(root, uid, gid);
  else lchownSync(root, uid, gid);
  // The topmost layer is what the guest sees of the top directory.
  if (source.kind === "overlay" && source.upper !== null) lchownSync(source.upper, uid, gid);
}
