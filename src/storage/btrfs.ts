import { fchmodSync, lstatSync, statfsSync } from "node:fs";
import { basename, dirname } from "node:path";
import { IsletError } from "../base/errors.js";
import { ioError } from "../base/io-error.js";
import { syscall } from "../host/addon.js";
import type { OwnedFd } from "../host/fd.js";
import type { Arch } from "../sys/arch.js";
import { BTRFS_IOC_QGROUP_LIMIT, BTRFS_SUPER_MAGIC, quotaLimit } from "../sys/btrfs.js";
import { showFsMagic } from "../sys/fs-magic.js";
import { requireSyscall } from "../sys/syscalls.js";
import type { StorageDriver } from "./driver.js";
import {
  createSubvolume,
  destroySubvolume,
  failure,
  isSubvolumeTop,
  openDirectory,
  snapshotSubvolume,
} from "./subvolume.js";
import { removeTree } from "./tree.js";

/** A subvolume STORE/NAME/rootfs. Those that the guest makes in it are snapshotted and removed with it. */

const isBtrfs = (path: string): boolean => {
  try {
    return statfsSync(path).type === BTRFS_SUPER_MAGIC;
  } catch {
    return false;
  }
};

function mustOpen(arch: Arch, path: string): OwnedFd {
  const directory = openDirectory(arch, path);
  if (directory === null) throw new IsletError("ISLET_IO", `${path} is not a directory`, { errno: "ENOTDIR" });
  return directory;
}

/** What cannot be limited without quotas of the file system. */
function limit(arch: Arch, path: string, bytes: bigint): void {
  using top = mustOpen(arch, path);
  const status = syscall(requireSyscall(arch, "ioctl"), [top.number, BTRFS_IOC_QGROUP_LIMIT, quotaLimit(bytes)]);
  if (status >= 0) return;
  const refused = failure(`limit ${path} to ${bytes} bytes`, status, "ioctl");
  throw new IsletError("ISLET_UNSUPPORTED", refused.message, {
    hint: `quotas may be off: btrfs quota enable ${dirname(path)}`,
    ...(refused.errno === undefined ? {} : { errno: refused.errno }),
  });
}

export const btrfsDriver: StorageDriver<"btrfs"> = {
  plan(place) {
    const path = `${place.directory}/rootfs`;
    if (!isBtrfs(place.directory)) {
      let on = "";
      try {
        on = showFsMagic(statfsSync(place.directory).type);
      } catch (error) {
        throw ioError(`look at ${place.directory}`, error);
      }
      throw new IsletError("ISLET_UNSUPPORTED", `${place.directory} is on ${on}, not on btrfs`, {
        hint: "choose a store on btrfs with -P, or another -B",
      });
    }
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined)
      throw new IsletError("ISLET_EXISTS", `${path} exists already`);
    return Promise.resolve({ kind: "btrfs", path });
  },
  async create(source, _place, { size }, { host }) {
    if (source.kind !== "btrfs") return;
    const { path } = source;
    using parent = mustOpen(host.arch, dirname(path));
    createSubvolume(host.arch, parent.number, basename(path));
    try {
      using top = mustOpen(host.arch, path);
      fchmodSync(top.number, 0o755);
      if (size !== null) limit(host.arch, path, size);
    } catch (error) {
      await destroySubvolume(host.arch, parent.number, basename(path));
      throw error;
    }
  },
  async snapshot(from, to, _place, { host, notice }) {
    if ((from.kind !== "btrfs" && from.kind !== "dir") || to.kind !== "btrfs" || !isBtrfs(from.path)) return false;
    using original = mustOpen(host.arch, from.path);
    if (!isSubvolumeTop(original.number)) return false;
    using parent = mustOpen(host.arch, dirname(to.path));
    const name = basename(to.path);
    try {
      return snapshotSubvolume(host.arch, original.number, parent.number, name) ? { depends: false } : false;
    } catch (error) {
      if (error instanceof IsletError && error.code === "ISLET_EXISTS") throw error;
      await destroySubvolume(host.arch, parent.number, name);
      notice?.(`${from.path} is copied: ${error instanceof Error ? error.message : String(error)}`);
      return false;
    }
  },
  request: () => Promise.resolve({ kind: "btrfs", size: null }),
  async remove(source, place, { host }) {
    if (source.kind !== "btrfs") return;
    const { path } = source;
    using parent = openDirectory(host.arch, dirname(path));
    if (parent === null) return;
    if (isBtrfs(dirname(path)) && (await destroySubvolume(host.arch, parent.number, basename(path)))) return;
    // A directory that the configuration calls a subvolume: copied from elsewhere, perhaps.
    if (path.startsWith(`${place.directory}/`)) await removeTree(host, path);
  },
};
