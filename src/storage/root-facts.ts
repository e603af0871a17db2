import { closeSync, constants, fstatSync, openSync, readFileSync, readSync, realpathSync } from "node:fs";
import { type RootfsFacts } from "../spec/host.js";
import type { RootfsSource } from "../spec/rootfs.js";
import { O_NONBLOCK } from "../sys/flags.js";
import { parseMountinfo } from "../sys/mountinfo.js";
import { type DiskContent, deviceFilesystems, diskContent, superblockBytes } from "../sys/superblock.js";

/** What the start needs to know of a file, a device or a data set; null: of others nothing. Never fails: what cannot be seen, the start will name. */
export function rootFacts(source: RootfsSource): RootfsFacts | null {
  switch (source.kind) {
    case "loop":
    case "block":
      return deviceFacts(source.path);
    case "zfs":
      return { ...nothing(source.dataset), mountedOn: datasetMount(source.dataset) };
    case "host":
    case "dir":
    case "btrfs":
    case "overlay":
    case "other":
      return null;
    default:
      return source satisfies never;
  }
}

function nothing(path: string): RootfsFacts {
  return { path, missing: false, fstype: null, other: null, known: [], mountedOn: null };
}

/** Of a file or a device, links followed. */
export function deviceFacts(named: string): RootfsFacts {
  let path = named;
  let content: DiskContent | null = null;
  let missing = false;
  try {
    path = realpathSync(named);
    content = readContent(path);
  } catch (error) {
    missing = ["ENOENT", "ENOTDIR", "ENXIO"].includes((error as NodeJS.ErrnoException).code ?? "");
  }
  return {
    ...nothing(path),
    missing,
    fstype: content?.kind === "filesystem" ? content.type : null,
    other: content?.kind === "other" ? content.what : null,
    known: content === null ? deviceFilesystems(readFileSync("/proc/filesystems", "utf8")) : [],
  };
}

function readContent(path: string): DiskContent | null {
  const fd = openSync(path, O_NONBLOCK | constants.O_NOFOLLOW | constants.O_RDONLY);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() && !stat.isBlockDevice()) return null;
    const bytes = new Uint8Array(superblockBytes);
    let length = 0;
    while (length < bytes.length) {
      const count = readSync(fd, bytes, length, bytes.length - length, length);
      if (count === 0) break;
      length += count;
    }
    return diskContent(bytes.subarray(0, length));
  } finally {
    closeSync(fd);
  }
}

/** Where the root of a data set is mounted on this host. */
function datasetMount(dataset: string): string | null {
  const found = parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8")).find(
    ({ fstype, source, root }) => fstype === "zfs" && source === dataset && root === "/",
  );
  return found?.point ?? null;
}
