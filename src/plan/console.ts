import {
  type Block,
  buffer,
  call,
  cwdFd,
  data,
  defer,
  format,
  goOn,
  imm,
  jump,
  label,
  load,
  octal,
  place,
  slot,
  store,
  str,
  tell,
  within,
} from "../program/assembler.js";
import { close, mkdirat, newFilesystem, openTree, openat, openat2, moveMount } from "../program/calls.js";
import type { Data, Slot } from "../program/ops.js";
import { EEXIST, ENOENT } from "../sys/errno.js";
import {
  O_APPEND,
  O_CREAT,
  O_NOCTTY,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  TIOCGPTN,
  TIOCGPTPEER,
  TIOCSPTLCK,
  openFlags,
} from "../sys/flags.js";
import { type StartContext, hasUserNamespace } from "./context.js";
import { beneath, bindOnto } from "./dev.js";
import { publishExport } from "./unix-export.js";
import { toHostId } from "../spec/idmap.js";
import { mountLabel } from "./lsm.js";

/** Codes of TELL that the monitor understands (docs/protocol/control.md). */
export const tells = {
  state: 1,
  mainProcess: 2,
  console: 3,
  tty: 4,
  listen: 5,
  consoleLog: 6,
  ringSize: 7,
  logLimit: 8,
  pid: 9,
  restartSlot: 10,
  statusSlot: 11,
  hookOutput: 12,
  refuser: 13,
  notify: 14,
  haltSignal: 15,
  outer: 16,
} as const;

export interface ConsoleSlots {
  /** The console pty's master and slave, on the host's side; null when the console is inside or absent. */
  readonly master: Slot | null;
  readonly slave: Slot | null;
  /** Number of the slave in the host's devpts. */
  readonly number: Slot | null;
}

/** With ptys of its own the container's console comes from its own devpts, so that ttyname(3) finds it there. */
export function consoleInside(context: StartContext): boolean {
  return context.spec.console.kind === "pty" && (context.spec.console.ptys > 1 || context.spec.console.isTty1);
}

/** On the host: the console's pty (unless it comes from inside) and log. */
export function planHostConsole(context: StartContext): ConsoleSlots {
  const { monitor, spec, build } = context;
  const none: ConsoleSlots = { master: null, slave: null, number: null };
  if (spec.console.kind === "none") return none;
  if (spec.console.logFile !== null) {
    const log = slot(build, "console.log");
    openat(
      monitor,
      cwdFd,
      spec.console.logFile,
      O_WRONLY | O_CREAT | O_APPEND,
      log,
      { note: `open the console log ${spec.console.logFile}` },
      0o600,
    );
    tell(monitor, tells.consoleLog, "console_log", log, "the monitor keeps the console log");
    tell(monitor, tells.logLimit, "log_limit", imm(spec.console.logSize), "at most this long");
  }
  if (spec.console.bufferSize > 0)
    tell(monitor, tells.ringSize, "ring_size", imm(spec.console.bufferSize), "the monitor keeps the last output");
  if (spec.console.outer === true) planOuter(context);
  if (spec.console.kind === "device" || consoleInside(context)) return none;
  const master = slot(build, "console.master");
  const slave = slot(build, "console.slave");
  const number = slot(build, "console.number");
  openat(monitor, cwdFd, "/dev/ptmx", O_RDWR | O_NOCTTY, master, { note: "open a pty for the console" });
  defer(monitor, "close console", "close the console's pty at the end", (undo) => {
    close(undo, master, "close the console's master");
    close(undo, slave, "close the console's slave");
  });
  unlockPty(monitor, master, slave, number, "the console's pty");
  call(monitor, "fchmod", [slave, octal(0o620)], { note: "let only its owner read the console" });
  if (hasUserNamespace(context)) {
    const uid = toHostId(spec.idmap, "uid", 0) ?? 0;
    const gid = toHostId(spec.idmap, "gid", 5) ?? toHostId(spec.idmap, "gid", 0) ?? 0;
    call(monitor, "fchownat", [slave, str(build, ""), imm(uid), imm(gid), imm(0x1000, "AT_EMPTY_PATH")], {
      note: "give the console to the container's root",
    });
  }
  tell(monitor, tells.console, "console", master, "the monitor serves the console");
  return { master, slave, number };
}

/** What a monitor has room for (MON_OUTERS in native/monitor.h); further ttys are without. */
const mostOuter = 16;

/** Ptys of the host's, for the console and then for each tty: before these, which the monitor joins with them. It opens the slaves. */
function planOuter({ monitor, spec, build }: StartContext): void {
  const zero = data(build, new Uint8Array(4), "[0]");
  const count = Math.min(spec.console.ttys, mostOuter - 1);
  const names = ["the console", ...Array.from({ length: count }, (_, index) => `tty ${index + 1}`)];
  names.forEach((name, index) => {
    const master = slot(build, `outer${index}.master`);
    openat(monitor, cwdFd, "/dev/ptmx", O_RDWR | O_NOCTTY, master, {
      note: `open a pty of the host for ${name}`,
      hints: ptyHints,
    });
    call(monitor, "ioctl", [master, imm(TIOCSPTLCK, "TIOCSPTLCK"), zero], {
      note: `unlock the host's pty for ${name}`,
    });
    tell(monitor, tells.outer, "outer", master, `the monitor joins the host's pty with ${name}`);
    close(monitor, master, `close the host's pty for ${name}: the monitor has it`);
  });
}

/** Unlocks a pty master, opens its slave and learns its number (ptmx(4), ioctl_tty(2)). */
function unlockPty(block: Block, master: Slot, slave: Slot | null, number: Slot, what: string): void {
  const zero = data(block.build, new Uint8Array(4), "[0]");
  const room = buffer(block.build, 8, number.name);
  call(block, "ioctl", [master, imm(TIOCSPTLCK, "TIOCSPTLCK"), zero], { note: `unlock ${what}` });
  if (slave !== null) {
    call(
      block,
      "ioctl",
      [master, imm(TIOCGPTPEER, "TIOCGPTPEER"), imm(O_RDWR | O_NOCTTY | 0o2000000, "O_RDWR|O_NOCTTY|O_CLOEXEC")],
      { note: `open the slave of ${what}`, out: slave },
    );
  }
  call(block, "ioctl", [master, imm(TIOCGPTN, "TIOCGPTN"), room], { note: `ask for the number of ${what}` });
  load(block, number, room, 4, `take the number of ${what}`);
}

/** The container's own devpts on /dev/pts, with /dev/ptmx; `pts` becomes a descriptor of it. */
export function planDevpts(context: StartContext, child: Block, dev: Slot, pts: Slot): void {
  const { console: spec, idmap } = context.spec;
  const max = spec.ptys + spec.ttys + (consoleInside(context) ? 1 : 0);
  const mount = slot(context.build, "devpts");
  const target = slot(context.build, "devpts.target");
  const gid5 = !hasUserNamespace(context) || toHostId(idmap, "gid", 5) !== null;
  mkdirat(child, dev, "pts", 0o755, { note: "make /dev/pts", on: [{ on: EEXIST, to: "next" }] });
  newFilesystem(
    child,
    "devpts",
    [
      { name: "source", value: "devpts" },
      ...(gid5 ? [{ name: "gid", value: "5" }] : []),
      { name: "mode", value: "0620" },
      { name: "ptmxmode", value: "0666" },
      { name: "max", value: String(Math.max(max, 1)) },
      ...mountLabel(context),
    ],
    0x2 | 0x8,
    mount,
    { note: "mount a devpts on /dev/pts" },
  );
  openat2(child, dev, "pts", O_PATH, beneath, target, { note: "open /dev/pts" });
  moveMount(child, mount, target, { note: "mount a devpts on /dev/pts" });
  close(child, target, "close the mount point");
  close(child, mount, "close the devpts");
  openat2(child, dev, "pts", O_RDONLY | openFlags(context.build.arch).O_DIRECTORY, beneath, pts, {
    note: "open /dev/pts",
  });
  const tree = slot(context.build, "ptmx.mount");
  const made = label("ptmx made");
  const link = label("ptmx exists");
  if (context.spec.mounts.dev.populate) {
    openTree(child, pts, "ptmx", false, tree, { note: "take /dev/pts/ptmx" });
    bindOnto(context, child, dev, "ptmx", "/dev/pts/ptmx", tree);
    return;
  }
  openat2(child, dev, "ptmx", O_PATH, beneath, target, { note: "open /dev/ptmx", on: goOn(link, ENOENT) });
  openTree(child, pts, "ptmx", false, tree, { note: "take /dev/pts/ptmx" });
  moveMount(child, tree, target, { note: "bind /dev/pts/ptmx on /dev/ptmx" });
  close(child, tree, "close ptmx");
  close(child, target, "close /dev/ptmx");
  jump(child, made, "it is bound");
  place(child, link);
  call(child, "symlinkat", [str(context.build, "pts/ptmx"), dev, str(context.build, "ptmx")], {
    note: "link /dev/ptmx to pts/ptmx",
  });
  place(child, made);
}

const ptyHints: Readonly<Record<string, string>> = {
  ENOSPC: "the host or the container has no pty left; see /proc/sys/kernel/pty/max",
};

export interface InsideTerminals {
  /** Slave to be the controlling terminal and stdio; null: none. */
  readonly stdio: Slot | null;
  /** Opened in the child, and to go to the monitor: masters, the console's first if it is inside, then tty1, tty2 ..., and init's notify socket. */
  readonly masters: readonly Slot[];
}

/** In the child: /dev/console and /dev/ttyN (or below lxc.tty.dir with links). */
export function planTerminals(
  context: StartContext,
  child: Block,
  dev: Slot,
  pts: Slot,
  host: ConsoleSlots,
): InsideTerminals {
  const { console: spec } = context.spec;
  const masters: Slot[] = [];
  const namesTtys = !context.spec.guest.ttysArePtys;
  const prefix = spec.ttyDir === null ? "" : `${spec.ttyDir}/`;
  if (spec.ttyDir !== null && (spec.kind !== "none" || (spec.ttys > 0 && namesTtys))) {
    mkdirat(child, dev, spec.ttyDir, 0o755, { note: `make /dev/${spec.ttyDir}`, on: [{ on: EEXIST, to: "next" }] });
  }
  let stdio: Slot | null = null;
  if (spec.kind === "pty") {
    if (host.slave !== null && host.number !== null) {
      const path = buffer(context.build, 32, '"/dev/pts/N"');
      const tree = slot(context.build, "console.mount");
      format(child, path, "/dev/pts/%", [host.number], "write the console's path");
      call(child, "open_tree", [cwdFd, path, imm(0x80001, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC")], {
        note: "take the console's pty",
        out: tree,
      });
      placeTerminal(context, child, dev, `${prefix}console`, "console", tree, spec.ttyDir);
      stdio = host.slave;
    } else {
      const master = slot(context.build, "console.master");
      const slave = slot(context.build, "console.slave");
      const names = spec.isTty1 ? ["console", "tty1"] : ["console"];
      planTty(context, child, dev, pts, prefix, names, master, slave);
      masters.push(master);
      stdio = slave;
    }
  } else if (spec.kind === "device" && spec.path !== null) {
    const slave = slot(context.build, "console.slave");
    const tree = slot(context.build, "console.mount");
    openTree(child, cwdFd, spec.path, false, tree, {
      note: `take ${spec.path} for the console`,
      hints: { ENOENT: "lxc.console.path names nothing" },
    });
    openat(child, cwdFd, spec.path, O_RDWR | O_NOCTTY, slave, { note: `open ${spec.path} for the console` });
    placeTerminal(context, child, dev, `${prefix}console`, "console", tree, spec.ttyDir);
    stdio = slave;
  }
  const first = spec.isTty1 ? 2 : 1;
  for (let number = first; number < first + spec.ttys; number += 1) {
    const master = slot(context.build, `tty${number}.master`);
    if (namesTtys) planTty(context, child, dev, pts, prefix, [`tty${number}`], master, null);
    else planPty(context, child, pts, `tty${number}`, master);
    masters.push(master);
  }
  return { stdio, masters };
}

/** One pty of the container's devpts that is known by its number alone. */
function planPty(context: StartContext, child: Block, pts: Slot, name: string, master: Slot): void {
  const zero = data(context.build, new Uint8Array(4), "[0]");
  openat(child, pts, "ptmx", O_RDWR | O_NOCTTY, master, { note: `open a pty for ${name}`, hints: ptyHints });
  call(child, "ioctl", [master, imm(TIOCSPTLCK, "TIOCSPTLCK"), zero], { note: `unlock the pty for ${name}` });
}

/** One pty of the container's devpts, its slave bound at names below /dev; the first one names it in notes. */
function planTty(
  context: StartContext,
  child: Block,
  dev: Slot,
  pts: Slot,
  prefix: string,
  names: readonly string[],
  master: Slot,
  slave: Slot | null,
): void {
  const name = names[0] ?? "";
  const number = slot(context.build, `${name}.number`);
  const text = buffer(context.build, 16, '"N"');
  openat(child, pts, "ptmx", O_RDWR | O_NOCTTY, master, {
    note: `open a pty for ${name}`,
    hints: ptyHints,
  });
  unlockPty(child, master, slave, number, `the pty for ${name}`);
  format(child, text, "%", [number], `write the number of ${name}`);
  for (const each of names) {
    const tree = slot(context.build, `${each}.mount`);
    call(child, "open_tree", [pts, text, imm(0x80001, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC")], {
      note: `take the pty for ${each}`,
      out: tree,
    });
    placeTerminal(context, child, dev, `${prefix}${each}`, each, tree, context.spec.console.ttyDir);
  }
}

function placeTerminal(
  context: StartContext,
  child: Block,
  dev: Slot,
  path: string,
  name: string,
  tree: Slot,
  dir: string | null,
): void {
  bindOnto(context, child, dev, path, `the pty for ${name}`, tree);
  if (dir === null) return;
  call(child, "unlinkat", [dev, str(child.build, name), imm(0)], {
    note: `remove /dev/${name}`,
    on: [{ on: ENOENT, to: "next" }],
  });
  call(child, "symlinkat", [str(child.build, path), dev, str(child.build, name)], {
    note: `link /dev/${name} to ${path}`,
  });
}

/**
 * A session of its own and, where the caller's descriptors are not taken over, the terminal as stdio. Not as controlling terminal, which
 * init would keep from the shell or getty that it starts there: without it that one has no job control and no Control-C.
 */
export function takeTerminal(context: StartContext, child: Block, terminal: Slot | null): void {
  const { start, slots, build } = context;
  call(child, "setsid", [], { note: "begin a session" });
  const nothing = slot(build, "null");
  const needsNull = terminal === null && (start.stdio === null || !start.stdio.every(Boolean));
  if (needsNull) openat(child, cwdFd, "/dev/null", O_RDWR, nothing, { note: "open /dev/null" });
  [0, 1, 2].forEach((number) => {
    const taken =
      start.stdio !== null && start.stdio[number] === true && slots.stdio !== null ? slots.stdio[number] : undefined;
    call(child, "dup3", [taken ?? terminal ?? nothing, imm(number), imm(0)], {
      note: `descriptor ${number}`,
      on: [{ on: 22, to: "next" }],
    });
  });
}

/** The child tells the numbers of the masters it holds. */
export function sendMasters(context: StartContext, child: Block, masters: readonly Slot[]): void {
  const message = buffer(context.build, 4 + masters.length * 4, "{ready, descriptors}");
  masters.forEach((master, index) => {
    store(child, master, within(message, 4 + index * 4, 4, "descriptors"), 4, `note ${master.name}`);
  });
  call(child, "write", [context.slots.childSync, message, imm(message.size)], {
    note: "tell the monitor that the mounts are made",
    full: true,
  });
}

/** The monitor takes them over by pidfd_getfd(2). */
export function receiveMasters(context: StartContext, masters: readonly Slot[]): void {
  const { monitor, build, slots } = context;
  const message: Data = buffer(build, 4 + masters.length * 4, "{ready, descriptors}");
  call(monitor, "read", [slots.sync, message, imm(message.size)], {
    note: "wait until the container's mounts are made",
    waitIn: true,
    full: true,
  });
  masters.forEach((master, index) => {
    const theirs = slot(build, `${master.name}.number`);
    const ours = slot(build, `${master.name}.taken`);
    load(monitor, theirs, within(message, 4 + index * 4, 4, "descriptors"), 4, `take the number of ${master.name}`);
    call(monitor, "pidfd_getfd", [slots.pidfd, theirs, imm(0)], { note: `take over ${master.name}`, out: ours });
    defer(monitor, `close ${master.name}`, `close ${master.name} at the end`, (undo) => {
      close(undo, ours, `close ${master.name}`);
    });
    if (master.name === "console.master")
      tell(monitor, tells.console, "console", ours, "the monitor serves the console");
    else if (master.name === "notify.socket")
      tell(monitor, tells.notify, "notify", ours, "the monitor hears what init says");
    else if (master.name === "export.mount") publishExport(context, ours);
    else tell(monitor, tells.tty, "tty", ours, `the monitor serves ${master.name.replace(".master", "")}`);
  });
}
