import {
  beginProgram,
  buffer,
  call,
  type Block,
  compute,
  data,
  end,
  finishProgram,
  format,
  goOn,
  imm,
  jump,
  label,
  load,
  place,
  presetSlot,
  slot,
  str,
  within,
} from "../program/assembler.js";
import { openat, openat2 } from "../program/calls.js";
import type { LaunchProgram, Slot } from "../program/ops.js";
import type { HostFacts } from "../spec/host.js";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  O_NONBLOCK,
  O_PATH,
  O_WRONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from "../sys/flags.js";
import { pack } from "../sys/bytes.js";

/**
 * The message by which init(8) of sysvinit is told to change the runlevel (initreq.h), written into the named pipe that it reads. Only an inode of the
 * container's own that is a pipe is written to: not the host's, where the container shares the host's files, and nothing else that a guest may put there.
 */

/** In the order in which libvirt looks for it. */
const pipes = ["run/initctl", "dev/initctl", "etc/.initctl"];

/** Result of the program: it was written, or nobody reads such a pipe. */
export const initctlSent = 1;

const requestSize = 384;
const magic = 0x03091969;
const runLevelCommand = 1;

/** struct init_request: magic, cmd, runlevel, sleeptime, and 368 bytes of nothing. */
export function initRequest(runLevel: string): Uint8Array {
  return pack(requestSize).u32(0, magic).u32(4, runLevelCommand).u32(8, runLevel.charCodeAt(0)).bytes;
}

/** Offsets of struct stat: st_dev and st_ino at 0 and 8 everywhere. */
const modeAt = { x86_64: 24, arm64: 16 } as const;
const S_IFMT = 0o170000;
const S_IFIFO = 0o010000;

interface Look {
  readonly device: Slot;
  readonly inode: Slot;
  readonly mode: Slot;
}

/** `runLevel`: "0" power off, "6" reboot. Preset: the container's root directory. */
export function planInitctl(runLevel: string, host: HostFacts): LaunchProgram {
  const block = beginProgram(host.arch, "initctl");
  const { build } = block;
  const root = presetSlot(build, "container.root");
  const request = data(build, initRequest(runLevel), () => `{runlevel ${runLevel}}`);
  const stat = buffer(build, 144, "{stat}");
  const path = buffer(build, 32, "{path}");
  const [found, hosts, pipe, written] = ["found", "hosts", "pipe", "written"].map((name) => slot(build, name)) as [
    Slot,
    Slot,
    Slot,
    Slot,
  ];
  const own = looked(block, "own");
  const other = looked(block, "other");
  for (const name of pipes) {
    const next = label(`after ${name}`);
    const isOwn = label(`${name} is the container's own`);
    openat2(block, root, name, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, found, {
      note: `look for ${name} in the container`,
      on: goOn(next, "any"),
    });
    look(block, found, stat, own);
    jump(block, next, `${name} is no pipe`, "ne", own.mode, imm(S_IFIFO));
    openat(block, imm(AT_FDCWD), `/${name}`, O_PATH, hosts, {
      note: `look for the host's /${name}`,
      on: goOn(isOwn, "any"),
    });
    look(block, hosts, stat, other);
    jump(block, isOwn, "it is another one", "ne", own.inode, other.inode);
    jump(block, next, "the host's own init reads that pipe", "eq", own.device, other.device);
    place(block, isOwn);
    format(block, path, "/proc/self/fd/%", [found], "write its path");
    openat(block, imm(AT_FDCWD), path, O_WRONLY | O_NONBLOCK, pipe, {
      note: `open ${name}, which somebody must read`,
      on: goOn(next, "any"),
    });
    call(block, "write", [pipe, request, imm(requestSize)], {
      note: `ask for runlevel ${runLevel}`,
      on: goOn(next, "any"),
      out: written,
    });
    end(block, initctlSent, "it is written");
    place(block, next);
  }
  end(block, 0, "nobody reads such a pipe");
  return finishProgram(build);
}

function looked({ build }: Block, whose: string): Look {
  const [device, inode, mode] = ["device", "inode", "mode"].map((name) => slot(build, `${whose}.${name}`)) as [
    Slot,
    Slot,
    Slot,
  ];
  return { device, inode, mode };
}

function look(block: Block, fd: Slot, stat: ReturnType<typeof buffer>, into: Look): void {
  const { build } = block;
  call(block, "newfstatat", [fd, str(build, ""), stat, imm(AT_EMPTY_PATH)], { note: "see what it is" });
  load(block, into.device, within(stat, 0, 8), 8, "its device");
  load(block, into.inode, within(stat, 8, 8), 8, "its inode");
  load(block, into.mode, within(stat, modeAt[build.arch], 4), 4, "its mode", false);
  compute(block, into.mode, "and", into.mode, imm(S_IFMT), "its type");
}
