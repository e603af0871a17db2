import { IsletError } from "../base/errors.js";
import type { Source } from "../base/source.js";
import { type Block, cwdFd, fail, goOn, jump, label, place, slot, str } from "../program/assembler.js";
import { type FsOption, closeNow, createFilesystem, newFilesystem, openFilesystem, openat } from "../program/calls.js";
import type { Data, Slot } from "../program/ops.js";
import type { RootfsFacts } from "../spec/host.js";
import type { MountOptions } from "../spec/mount.js";
import { EINVAL } from "../sys/errno.js";
import { MS_RDONLY, O_NONBLOCK, O_RDONLY } from "../sys/flags.js";
import { attachLoop } from "./loop.js";
import { attributesOf, filesystemOptions } from "./mount.js";

export interface DeviceMount {
  readonly kind: "loop" | "block" | "lvm";
  /** As it was named. */
  readonly path: string;
  readonly options: MountOptions;
  readonly facts: RootfsFacts | null;
  readonly at: Source | null;
  /** The device may be written although the mount may not: a journal can be replayed. */
  readonly writableDevice?: boolean;
}

/** The file system of a file or of a device as a detached mount. ISLET_BAD_CONFIG where something else is known to be there. */
export function mountDevice(block: Block, mount: DeviceMount, tree: Slot): void {
  const { path, options, facts } = mount;
  if (facts?.other !== null && facts?.other !== undefined)
    throw new IsletError("ISLET_BAD_CONFIG", `${path} has no file system: it is ${facts.other}`, { at: mount.at });
  const readOnly = isReadOnly(options) && mount.writableDevice !== true;
  const loop = mount.kind === "loop" ? attachLoop(block, facts?.path ?? path, readOnly) : null;
  const source = loop?.path ?? str(block.build, path);
  if (facts?.fstype !== null && facts?.fstype !== undefined) mountType(block, mount, facts.fstype, source, tree);
  else {
    if (loop === null) findDevice(block, mount);
    tryTypes(block, mount, facts?.known ?? [], source, tree);
  }
  // The mount keeps it.
  if (loop !== null) closeNow(block, loop.fd, "close the loop device");
}

function isReadOnly(options: MountOptions): boolean {
  return (options.flags & MS_RDONLY) !== 0;
}

function optionsOf({ options }: DeviceMount, source: Data): readonly FsOption[] {
  return [{ name: "source", value: source }, ...filesystemOptions("", options).slice(1)];
}

function mountType(block: Block, mount: DeviceMount, fstype: string, source: Data, tree: Slot): void {
  newFilesystem(block, fstype, optionsOf(mount, source), attributesOf(mount.options.flags), tree, {
    note: `mount the ${fstype} file system of ${mount.path}`,
    hints: hintsOf(mount, fstype),
  });
}

/** What has no known mark: one type after the other, as mount(8) and LXC do it. */
function tryTypes(block: Block, mount: DeviceMount, types: readonly string[], source: Data, tree: Slot): void {
  const mounted = label("mounted");
  for (const fstype of types) {
    const note = `mount the file system of ${mount.path} as ${fstype}`;
    const unknown = label(`no ${fstype}`);
    const isNot = label(`not ${fstype}`);
    const context = openFilesystem(block, fstype, tree, { note, on: goOn(unknown, "any") });
    const attributes = attributesOf(mount.options.flags);
    createFilesystem(block, context, optionsOf(mount, source), attributes, tree, { note, on: goOn(isNot, "any") });
    closeNow(block, context, `close the ${fstype} context`);
    jump(block, mounted, `it is ${fstype}`);
    place(block, isNot);
    closeNow(block, context, `close the ${fstype} context`);
    place(block, unknown);
  }
  fail(block, EINVAL, {
    note: `${mount.path} has no file system that this kernel knows`,
    hints: { any: missingHint(mount) ?? "make one in it (mkfs.ext4), or restore it from a backup" },
  });
  place(block, mounted);
}

/** The errors of many attempts would not say that there is nothing. */
function findDevice(block: Block, mount: DeviceMount): void {
  const device = slot(block.build, "device");
  openat(block, cwdFd, mount.path, O_RDONLY | O_NONBLOCK, device, {
    note: `open the device ${mount.path}`,
    hints: {
      ENOENT: missingHint(mount) ?? "the device is missing; see lxc.rootfs.path",
      ENXIO: "the device has no medium",
    },
  });
  closeNow(block, device, "close the device");
}

function missingHint({ kind, path, facts }: DeviceMount): string | null {
  if (kind === "loop" || facts?.missing !== true) return null;
  return kind === "lvm" || /^\/dev\/(?:mapper\/|[^/]+\/[^/]+$)/.test(path)
    ? `the device is missing: activate the logical volume (lvchange -ay ${path}), or correct lxc.rootfs.path`
    : "the device is missing; see lxc.rootfs.path";
}

const checkers: Readonly<Record<string, string>> = { xfs: "xfs_repair", btrfs: "btrfs check" };

function hintsOf(mount: DeviceMount, fstype: string): Readonly<Record<string, string>> {
  const checker = checkers[fstype] ?? `fsck.${fstype}`;
  const readOnly = isReadOnly(mount.options)
    ? `its journal must be replayed, which ro does not allow: start it once without that, or check it with ${checker}`
    : "the device is read-only: add ro to lxc.rootfs.options";
  return {
    ENODEV: `this kernel does not know ${fstype}: modprobe ${fstype}`,
    ENOENT: missingHint(mount) ?? "the device is missing; see lxc.rootfs.path",
    ENXIO: "the device has no medium",
    ENOTBLK: "it is not a device: write loop: in front of a file's path",
    EACCES: readOnly,
    EROFS: readOnly,
    EBUSY: "it is in use otherwise: mounted with other options, part of a volume or a swap",
    EEXIST: `a ${fstype} file system with the same UUID is mounted: give the copy another one`,
    EBADMSG: `it is damaged: check it with ${checker}`,
    EUCLEAN: `it is damaged: check it with ${checker}`,
    EIO: "the device cannot be read; dmesg says more",
    EINVAL:
      fstype === "xfs"
        ? "it is damaged (check it with xfs_repair), has the UUID of one that is mounted (add nouuid to lxc.rootfs.options), or refuses an option; dmesg says more"
        : `it is damaged (check it with ${checker}), or refuses an option of lxc.rootfs.options; dmesg says more`,
  };
}
