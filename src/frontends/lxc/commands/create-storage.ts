import { IsletError } from "../../../base/errors.js";
import { bestStorage, type StorageRequest } from "../../../spec/storage.js";
import type { RootfsSource } from "../../../spec/rootfs.js";
import { showBytes } from "../config/keys-islet.js";
import { rootfsValue } from "../config/rootfs-value.js";
import type { ParsedOptions } from "./getopt.js";
import type { InitialConfig } from "./load.js";

/** What `-B` and its companions ask for. */

const refuse = (text: string, hint?: string): never => {
  throw new IsletError("ISLET_BAD_REQUEST", text, hint === undefined ? {} : { hint });
};

/** LXC's names; "" and none are a directory. */
const drivers = ["", "dir", "none", "best", "btrfs", "loop", "lvm", "overlay", "overlayfs", "zfs", "nbd", "rbd"];

/** --fssize alone may limit these; LXC refuses it. */
const limited = ["", "dir", "none", "btrfs", "zfs"];

const onlyForDevices = "Filesystem type and size are only valid with block devices";

/** Of a configuration that names its root file system, which is no directory. */
export function storageNamed(
  kind: Exclude<InitialConfig["rootfsKind"], "directory">,
  path: string,
  fstype: string | null,
): StorageRequest {
  if (kind === "device") return { kind: "block", device: path, fstype };
  throw new IsletError("ISLET_UNSUPPORTED", `the configuration has its root file system on ${kind.driver} already`, {
    hint: `take lxc.rootfs.path out of it; -B ${kind.driver} makes a new one`,
  });
}

/** The text of a new container's configuration. `root`: to be added; null: it says by itself where that is, or there is none. */
export function newConfigText(text: string, root: RootfsSource | null, storage: StorageRequest | null): string {
  if (root === null) return text;
  const size = root.kind === "dir" && storage?.kind === "dir" ? storage.size : null;
  const limit = size === null ? "" : `islet.rootfs.size = ${showBytes(Number(size))}\n`;
  return `${text}lxc.rootfs.path = ${rootfsValue(root)}\n${limit}`;
}

/** LXC's own checks, in its order and words. A template `none` makes nothing that could have a size. */
export function checkStorage(options: ParsedOptions): void {
  const dir = options.value("dir");
  if (dir !== null && !dir.startsWith("/")) refuse("--dir should use absolute path");
  const driver = options.value("bdev") ?? "";
  const has = (long: string): boolean => options.has(long);
  if (driver !== "best") {
    const mayHave = limited.includes(driver) && options.value("template") !== "none";
    // A file of -f may name a device.
    const hasType = has("fstype") && !(mayHave && has("config"));
    if ((hasType || (has("fssize") && !mayHave)) && !["lvm", "loop", "rbd"].includes(driver)) refuse(onlyForDevices);
    if (driver !== "lvm" && (has("lvname") || has("vgname") || has("thinpool")))
      refuse("--lvname, --vgname and --thinpool are only valid with -B lvm");
    if (driver !== "rbd" && (has("rbdname") || has("rbdpool") || has("rbduser")))
      refuse("--rbdname and --rbdpool are only valid with -B rbd");
    if (driver !== "zfs" && has("zfsroot")) refuse("zfsroot is only valid with -B zfs");
  }
  if (!drivers.includes(driver)) refuse(`${driver} is not a valid backing storage type`);
  if (driver === "nbd" || driver === "rbd")
    throw new IsletError("ISLET_UNSUPPORTED", `islet keeps no root file systems on ${driver}`, {
      hint: "use -B loop or -B lvm; a device that is attached already can be named: lxc.rootfs.path in the file of -f",
    });
  sizeOf(options);
}

const units: Readonly<Record<string, bigint>> = {
  b: 1n,
  k: 1n << 10n,
  "": 1n << 20n,
  m: 1n << 20n,
  g: 1n << 30n,
  t: 1n << 40n,
};

/** Bytes; null: the default, which 0 is, too. Where LXC takes 1G for what it cannot read, this is an error. */
export function sizeOf(options: ParsedOptions): bigint | null {
  const text = options.value("fssize");
  if (text === null) return null;
  const [, digits = "", unit = ""] =
    /^(\d{1,15})([bkmgt]?)$/i.exec(text) ??
    refuse(`--fssize: "${text}" is not a size`, "a whole number and one of b, k, m, g, t; m without any");
  const size = BigInt(digits) * (units[unit.toLowerCase()] ?? 1n);
  // Larger than any file may be.
  if (size >= 1n << 63n) refuse(`--fssize: "${text}" is too large`);
  return size === 0n ? null : size;
}

/** What is asked for: the first of them that can be had here. `path`: of a directory; null: STORE/NAME/rootfs. */
export function storageRequests(
  options: ParsedOptions,
  path: string | null,
): readonly [StorageRequest, ...(readonly StorageRequest[])] {
  const size = sizeOf(options);
  const fstype = options.value("fstype");
  if (fstype !== null && limited.includes(options.value("bdev") ?? "")) refuse(onlyForDevices);
  const lvm = {
    kind: "lvm",
    volume: options.value("lvname"),
    group: options.value("vgname"),
    thinPool: options.value("thinpool"),
    fstype,
    size,
  } as const;
  const zfs = { kind: "zfs", root: options.value("zfsroot"), size } as const;
  switch (options.value("bdev")) {
    case "best":
      return bestStorage(lvm, zfs, path);
    case "btrfs":
      return [{ kind: "btrfs", size }];
    case "loop":
      return [{ kind: "loop", fstype, size }];
    case "lvm":
      return [lvm];
    case "overlay":
    case "overlayfs":
      return [{ kind: "overlay", lowers: null }];
    case "zfs":
      return [zfs];
    case null:
    case "":
    case "dir":
    case "none":
    default:
      return [{ kind: "dir", path, size }];
  }
}
