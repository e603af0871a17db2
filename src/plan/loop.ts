import {
  type Block,
  buffer,
  call,
  compute,
  constant,
  cwdFd,
  data,
  fail,
  format,
  imm,
  jump,
  label,
  nil,
  place,
  slot,
  store,
  within,
} from "../program/assembler.js";
import { closeNow, openat } from "../program/calls.js";
import type { Data, Slot } from "../program/ops.js";
import { EAGAIN, EBUSY, ENOLCK, EOPNOTSUPP } from "../sys/errno.js";
import {
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  LOOP_CONFIGURE,
  LOOP_CTL_GET_FREE,
  LO_FLAGS_AUTOCLEAR,
  LO_FLAGS_READ_ONLY,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  openFlags,
} from "../sys/flags.js";
import { pack } from "../sys/bytes.js";
import { LOOP_CONFIG_AT, loopConfig } from "../sys/loop.js";

/** Another may take the free device that we were told of; so often we ask for the next one. */
const attempts = 1000;

export interface LoopDevice {
  /** Open: the device lives as long as this, or a mount of it, does. */
  readonly fd: Slot;
  /** Its path. */
  readonly path: Data;
}

/** What the file is for, and whether somebody waits here until it is free. */
export interface LoopUse {
  /** For messages: the `... file PATH`. */
  readonly what: string;
  /** What to do where the file cannot be opened, by errno. */
  readonly hints: Readonly<Record<string, string>>;
  readonly wait: boolean;
}

export const rootImage: LoopUse = {
  what: "root file system's",
  hints: {
    ENOENT: "the file is missing; see lxc.rootfs.path",
    EROFS: "it lies on a read-only file system: add ro to lxc.rootfs.options",
    EACCES: "it may not be written: add ro to lxc.rootfs.options",
    EPERM: "it may not be written (chattr -i PATH), or add ro to lxc.rootfs.options",
    ETXTBSY: "it is in use as swap space or as a program",
    EISDIR: "it is a directory: write dir: in front of the path",
    ELOOP: "it is a symbolic link: name the file itself",
  },
  wait: true,
};

/**
 * A file as a block device that goes with its last user (loop(4), LO_FLAGS_AUTOCLEAR). The file is locked (flock(2)) for as long: two file systems over
 * one file would destroy it. `path`: not a link itself.
 */
export function attachLoop(block: Block, path: string, readOnly: boolean, use: LoopUse = rootImage): LoopDevice {
  const { build } = block;
  const image = slot(build, "image");
  const control = slot(build, "loop.control");
  const fd = slot(build, "loop");
  const number = slot(build, "loop.number");
  const left = slot(build, "loop.attempts");
  const device = buffer(build, 32, '"/dev/loopN"');
  openat(block, cwdFd, path, (readOnly ? O_RDONLY : O_RDWR) | O_NONBLOCK | openFlags(build.arch).O_NOFOLLOW, image, {
    note: `open the ${use.what} file ${path}`,
    hints: use.hints,
  });
  lock(block, image, path, readOnly, use.wait);
  openat(block, cwdFd, "/dev/loop-control", O_RDWR, control, {
    note: "open the control of loop devices",
    hints: {
      ENOENT: "this host has no loop devices: modprobe loop",
      ENODEV: "this kernel has no loop devices: modprobe loop",
      EPERM: "this host may not use loop devices",
    },
  });
  const flags = LO_FLAGS_AUTOCLEAR | (readOnly ? LO_FLAGS_READ_ONLY : 0);
  const config = data(
    build,
    loopConfig(flags, path),
    () => `{fd=image, info={lo_flags=${readOnly ? "LO_FLAGS_READ_ONLY|" : ""}LO_FLAGS_AUTOCLEAR}}`,
  );
  store(block, image, within(config, LOOP_CONFIG_AT.fd, 4, "config.fd"), 4, "put the file into the configuration");
  const again = label("next loop device");
  const taken = label("taken by another");
  const ours = label("attached");
  compute(block, left, "set", imm(attempts), null, "so many may be taken by others");
  place(block, again);
  call(block, "ioctl", [control, imm(LOOP_CTL_GET_FREE, "LOOP_CTL_GET_FREE"), nil], {
    note: "ask for a free loop device",
    out: number,
    hints: { ENOSPC: "all loop devices are in use" },
  });
  format(block, device, "/dev/loop%", [number], "write its path");
  openat(block, cwdFd, device, readOnly ? O_RDONLY : O_RDWR, fd, {
    note: "open the loop device",
    hints: { ENOENT: "its device node is missing from /dev: is that a devtmpfs?" },
  });
  call(block, "ioctl", [fd, imm(LOOP_CONFIGURE, "LOOP_CONFIGURE"), config], {
    note: `attach ${path} to a loop device`,
    on: [{ on: EBUSY, to: taken }],
    hints: { EINVAL: "it is neither a file nor a device" },
  });
  jump(block, ours, "it is ours");
  place(block, taken);
  closeNow(block, fd, "leave it to the other");
  compute(block, left, "sub", left, imm(1), "one more was taken");
  jump(block, again, "try the next one", "ge", left, imm(1));
  fail(block, EBUSY, { note: `${path} gets no loop device: every free one was taken by others, ${attempts} times` });
  place(block, ours);
  closeNow(block, control, "close the control");
  closeNow(block, image, "close the file");
  return { fd, path: device };
}

/** What has ended lets go of its file a moment later: so often we try, so many nanoseconds apart. */
export const waits = 250;
export const waitTime = 20_000_000n;

function lock(block: Block, image: Slot, path: string, readOnly: boolean, mayWait: boolean): void {
  const { build } = block;
  const left = slot(build, "image.waits");
  const again = label("lock again");
  const inUse = label(`${path} is in use`);
  const locked = label("locked");
  const [how, words] = readOnly ? [LOCK_SH | LOCK_NB, "LOCK_SH|LOCK_NB"] : [LOCK_EX | LOCK_NB, "LOCK_EX|LOCK_NB"];
  const time = constant(build, `timespec ${waitTime}`, () => pack(16).u64(8, waitTime).bytes, "{20 ms}");
  compute(block, left, "set", imm(waits), null, "so often the lock is tried again");
  place(block, again);
  call(block, "flock", [image, imm(how, words)], {
    note: `lock the file ${path}`,
    // Where files cannot be locked, nobody has locked it.
    on: [
      { on: EAGAIN, to: inUse },
      { on: ENOLCK, to: locked },
      { on: EOPNOTSUPP, to: locked },
    ],
  });
  jump(block, locked, "it is ours");
  place(block, inUse);
  if (mayWait) {
    call(block, "nanosleep", [time, nil], { note: "wait until it is free" });
    compute(block, left, "sub", left, imm(1), "waited once more");
    jump(block, again, "perhaps it is free now", "ge", left, imm(1));
  }
  fail(block, EAGAIN, {
    note: `${path} is in use: by another container, or by a copy that is being made`,
    hints: { any: "stop that first" },
  });
  place(block, locked);
}
