import { IsletError } from "../base/errors.js";
import { beginProgram, buffer, call, end, finishProgram, imm, load, slot, str, within } from "../program/assembler.js";
import type { LaunchProgram, Slot } from "../program/ops.js";
import type { DeviceRule } from "../spec/cgroup.js";
import type { DeviceNode, DiskImage } from "../spec/mount.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { Arch } from "../sys/arch.js";
import { AT_EMPTY_PATH, STATX_INO } from "../sys/flags.js";
import { STATX_AT, STATX_SIZE } from "../sys/structs.js";
import { isMapped } from "./context.js";
import { attachLoop, type LoopUse } from "./loop.js";

/** Images as block devices of a guest: each is attached before the start, which then knows of a device like any other. */

export interface DiskAttachment {
  readonly program: LaunchProgram;
  /** The open loop device, which lives as long as somebody has it open: whoever runs this closes it. */
  readonly descriptor: Slot;
  readonly major: Slot;
  readonly minor: Slot;
}

const diskImage: LoopUse = {
  what: "disk's",
  hints: {
    ENOENT: "the file is missing",
    EROFS: "it lies on a read-only file system: make the disk <readonly/>",
    EACCES: "it may not be written: make the disk <readonly/>",
    EPERM: "it may not be written (chattr -i PATH), or make the disk <readonly/>",
    ETXTBSY: "it is in use as swap space or as a program",
    EISDIR: "it is a directory",
    ELOOP: "it is a symbolic link: name the file itself",
  },
  wait: false,
};

/** For the daemon itself: whose file is locked by another is told at once (EAGAIN). `path`: not a link itself. */
export function planDiskAttachment(arch: Arch, path: string, readOnly: boolean): DiskAttachment {
  const block = beginProgram(arch, "daemon");
  const { build } = block;
  const { fd } = attachLoop(block, path, readOnly, diskImage);
  const stat = buffer(build, STATX_SIZE, "{stx_rdev}");
  // The kernel gives a device's numbers whatever it is asked for.
  const flags = imm(AT_EMPTY_PATH, "AT_STATX_SYNC_AS_STAT|AT_EMPTY_PATH");
  call(block, "statx", [fd, str(build, ""), flags, imm(STATX_INO, "STATX_INO"), stat], {
    note: "ask for the loop device's numbers",
  });
  const [major, minor] = [slot(build, "major"), slot(build, "minor")];
  load(block, major, within(stat, STATX_AT.rdev_major, 4, "stx_rdev_major"), 4, "take the major number", false);
  load(block, minor, within(stat, STATX_AT.rdev_minor, 4, "stx_rdev_minor"), 4, "take the minor number", false);
  end(block, 0, "attached");
  return { program: finishProgram(build), descriptor: fd, major, minor };
}

export interface AttachedImage {
  readonly image: DiskImage;
  readonly major: number;
  readonly minor: number;
}

/** The description with the devices of its images, which it then has no more. */
export function withImages(spec: ContainerSpec, attached: readonly AttachedImage[]): ContainerSpec {
  const { images: _, ...dev } = spec.mounts.dev;
  const nodes = attached.map(({ image, major, minor }): DeviceNode => ({
    name: image.name,
    type: "b",
    major,
    minor,
    mode: image.mode,
    host: `/dev/loop${minor}`,
  }));
  const rules = attached.map(({ image, major, minor }): DeviceRule => ({
    allow: true,
    type: "b",
    major,
    minor,
    read: true,
    write: !image.readonly,
    mknod: true,
    at: null,
  }));
  const mapped = isMapped(spec);
  // An empty list leaves the word to the other, or to nobody.
  const more = (list: readonly DeviceRule[]): readonly DeviceRule[] => (list.length === 0 ? list : [...list, ...rules]);
  return {
    ...spec,
    mounts: { ...spec.mounts, dev: mapped ? dev : { ...dev, nodes: [...dev.nodes, ...nodes] } },
    guest: mapped ? { ...spec.guest, devices: [...spec.guest.devices, ...nodes] } : spec.guest,
    cgroup: { ...spec.cgroup, devicesV1: more(spec.cgroup.devicesV1), devicesV2: more(spec.cgroup.devicesV2) },
  };
}

/** A start whose images nobody has attached would leave them out. */
export function refuseImages({ name, mounts }: ContainerSpec): void {
  if ((mounts.dev.images ?? []).length > 0)
    throw new IsletError("ISLET_UNSUPPORTED", `${name} has disk images, whose devices are known when it starts`);
}
