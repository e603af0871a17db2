import {
  type Block,
  beginProgram,
  buffer,
  call,
  compute,
  cwdFd,
  end,
  finishProgram,
  goOn,
  ignore,
  imm,
  jump,
  label,
  load,
  place,
  presetSlot,
  slot,
  store,
  str,
} from "../program/assembler.js";
import { flagsOf, mountSetattr, moveMount, openTree, openat, openat2 } from "../program/calls.js";
import type { LaunchProgram, Rule, Slot } from "../program/ops.js";
import type { HostFacts } from "../spec/host.js";
import { ENOENT, ENOTDIR } from "../sys/errno.js";
import {
  AT_EMPTY_PATH,
  AT_FLAGS,
  AT_STATX_DONT_SYNC,
  MNT_DETACH,
  MS_PRIVATE,
  O_PATH,
  O_RDONLY,
  RESOLVE_NO_XDEV,
  STATX_FLAGS,
  STATX_MNT_ID,
  UMOUNT_FLAGS,
  UMOUNT_NOFOLLOW,
  openFlags,
} from "../sys/flags.js";
import { STATX_AT, STATX_SIZE } from "../sys/structs.js";
import { beneath } from "./dev.js";
import { enterContainer } from "./device-bind.js";
import { cpuDirectory } from "./lxcfs.js";
import { insideRootNoLinks } from "./mount.js";

/**
 * LXCFS while guests run: programs of short-lived processes. One asks LXCFS what it offers; the other takes the mounts of an LXCFS that has
 * died out of a running guest and puts those of its successor there. Both may wait for a FUSE server (LXCFS, or one of the guest's own that
 * stands in the way): whoever runs them gives them a time.
 */

/** Room for names, bytes; the kernel fills a page of FUSE's at a time. */
const namesRoom = 8192;
/** A directory that is longer is cut: a machine of ten thousand processors has as many lines below cpu/. */
const mostReads = 256;

/** Directories whose names the question writes, in order. */
const askedDirectories = ["proc", "proc/pressure", cpuDirectory];

/**
 * Asks LXCFS for the names in its proc/, proc/pressure/ and sys/devices/system/cpu/, in this order. Preset: a file for the answer: of every read its length (u64) and what getdents64(2) gave; a
 * length of 0 ends each directory. Fails where LXCFS is dead.
 */
export function planLxcfsQuestion(host: HostFacts): LaunchProgram {
  const block = beginProgram(host.arch, "helper");
  const { build } = block;
  const answer = presetSlot(build, "answer");
  const root = slot(build, "lxcfs");
  const count = slot(build, "count");
  const reads = slot(build, "reads");
  const names = buffer(build, namesRoom, "names");
  const length = buffer(build, 8, "[length]");
  const directory = openFlags(build.arch).O_DIRECTORY;
  // Fails where LXCFS is dead. To look a name up there would do harm: older kernels (6.1) then detach whatever guests have mounted on its files.
  openat(block, cwdFd, host.lxcfs, O_RDONLY | directory, root, { note: `open ${host.lxcfs}` });
  askedDirectories.forEach((path, index) => {
    const next = label(`after ${path}`);
    const again = label(`more of ${path}`);
    const over = label(`end of ${path}`);
    const open = slot(build, path);
    // Without the first it is no LXCFS that could be used.
    const on: readonly Rule[] = index === 0 ? [] : goOn(over, ENOENT, ENOTDIR);
    openat2(block, root, path, O_RDONLY | directory, beneath, open, { note: `open LXCFS's ${path}`, on });
    place(block, again);
    call(block, "getdents64", [open, names, imm(namesRoom)], { note: `read the names in LXCFS's ${path}`, out: count });
    store(block, count, length, 8, "write down how much came");
    call(block, "write", [answer, length, imm(8)], { note: "say how much came", full: true });
    jump(block, next, "that was all", "eq", count, imm(0));
    call(block, "write", [answer, names, count], { note: "pass the names on", full: true });
    compute(block, reads, "add", reads, imm(1), "one more");
    jump(block, again, "perhaps there is more", "lt", reads, imm(mostReads));
    place(block, over);
    store(block, imm(0), length, 8, "nothing more");
    call(block, "write", [answer, length, imm(8)], { note: "say that nothing more comes", full: true });
    place(block, next);
  });
  end(block, 0, "asked");
  return finishProgram(build);
}

/** A place in the guest, and what of LXCFS belongs there. */
export interface LxcfsPlace {
  /** Below the guest's root. */
  readonly directory: string;
  readonly name: string;
  /** Below LXCFS's root; "" all of it. */
  readonly source: string;
}

export interface LxcfsRepair {
  readonly place: LxcfsPlace;
  /** Ids of the dead mounts there, the uppermost first. They go only if they are what lies there. */
  readonly dead: readonly number[];
  /** Mount the living one there, if all of the dead have gone and nothing else is mounted there. */
  readonly bind: boolean;
}

/**
 * Preset: the pidfd of the guest's main process. What does not work is left out: the guest may have changed its mounts in the meantime, and
 * who asks looks at the result.
 */
export function planLxcfsRepair(host: HostFacts, hasIds: boolean, repairs: readonly LxcfsRepair[]): LaunchProgram {
  const block = beginProgram(host.arch, "helper");
  const { build } = block;
  const init = presetSlot(build, "init.pidfd");
  const directory = openFlags(build.arch).O_DIRECTORY;
  const trees = takeFiles(block, host, repairs);
  enterContainer(block, init, hasIds ? "mapped" : "unmapped");
  const inside: Inside = {
    root: slot(build, "root"),
    directory: slot(build, "directory"),
    found: slot(build, "found"),
    id: slot(build, "mount"),
  };
  openat(block, cwdFd, "/", O_PATH | directory, inside.root, { note: "open the container's root" });
  repairs.forEach((repair, index) => {
    repairPlace(block, inside, repair, trees[index] ?? null);
  });
  end(block, 0, "done");
  return finishProgram(build);
}

/** A mount can only be taken from the namespace one is in: the living files, before the guest's is entered. */
function takeFiles(block: Block, host: HostFacts, repairs: readonly LxcfsRepair[]): readonly (Slot | null)[] {
  const { build } = block;
  if (!repairs.some(({ bind }) => bind)) return [];
  const root = slot(build, "lxcfs");
  openat(block, cwdFd, host.lxcfs, O_PATH | openFlags(build.arch).O_DIRECTORY, root, { note: `open ${host.lxcfs}` });
  return repairs.map(({ bind, place: { source } }) => {
    if (!bind) return null;
    const tree = slot(build, source === "" ? "lxcfs.mount" : source);
    const what = source === "" ? "LXCFS" : `LXCFS's ${source}`;
    openTree(block, root, source, false, tree, { note: `take ${what}`, on: ignore("any") }, source === "");
    // Not a peer of the host's: what the guest mounts on it must not appear there.
    mountSetattr(block, tree, "", { propagation: MS_PRIVATE }, false, {
      note: `keep ${what} apart`,
      on: ignore("any"),
    });
    return tree;
  });
}

interface Inside {
  readonly root: Slot;
  readonly directory: Slot;
  readonly found: Slot;
  readonly id: Slot;
}

function repairPlace(block: Block, inside: Inside, repair: LxcfsRepair, tree: Slot | null): void {
  const { build } = block;
  const { directory, name } = repair.place;
  const path = `${directory}/${name}`;
  const next = label(`after ${path}`);
  const on = goOn(next, "any");
  const status = buffer(build, STATX_SIZE, "{mount id}");
  const id = { ...status, offset: status.offset + STATX_AT.mnt_id, size: 8 };
  const onlyDirectories = O_PATH | openFlags(build.arch).O_DIRECTORY;
  const look = O_PATH | openFlags(build.arch).O_NOFOLLOW;
  openat2(block, inside.root, directory, onlyDirectories, insideRootNoLinks, inside.directory, {
    note: `open /${directory}`,
    on,
  });
  if (repair.dead.length > 0)
    // umount2 knows paths only: a single name below the working directory has no way out of it.
    call(block, "fchdir", [inside.directory], { note: `change to /${directory}`, on });
  for (const dead of repair.dead) {
    openat2(block, inside.directory, name, look, beneath, inside.found, { note: `look at /${path}`, on });
    // Without a question to its dead server.
    const flags = flagsOf(AT_FLAGS, AT_EMPTY_PATH | AT_STATX_DONT_SYNC);
    call(block, "statx", [inside.found, str(build, ""), flags, flagsOf(STATX_FLAGS, STATX_MNT_ID), status], {
      note: `ask which mount /${path} is`,
      on,
    });
    load(block, inside.id, id, 8, "take its id");
    call(block, "close", [inside.found], { note: `close /${path}`, on: ignore("any") });
    jump(block, next, "it is the guest's own", "ne", inside.id, imm(dead));
    call(block, "umount2", [str(build, name), flagsOf(UMOUNT_FLAGS, MNT_DETACH | UMOUNT_NOFOLLOW)], {
      note: `unmount /${path}`,
      on,
    });
  }
  if (tree !== null) {
    jump(block, next, "LXCFS does not have it", "lt", tree, imm(0));
    openat2(block, inside.directory, name, look, beneath | RESOLVE_NO_XDEV, inside.found, {
      note: `open /${path} where nothing is mounted on it`,
      on,
    });
    moveMount(block, tree, inside.found, { note: `mount LXCFS's file on /${path}`, on });
  }
  place(block, next);
}
