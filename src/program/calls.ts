import type { Source } from "../base/source.js";
import {
  AT_EMPTY_PATH,
  AT_FLAGS,
  AT_RECURSIVE,
  CLONE_FLAGS,
  FSCONFIG_CMD_CREATE,
  FSCONFIG_COMMANDS,
  FSCONFIG_SET_FLAG,
  FSCONFIG_SET_STRING,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  MOUNT_ATTR_FLAGS,
  MOUNT_ATTR_IDMAP,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_FLAGS,
  MOVE_MOUNT_T_EMPTY_PATH,
  MS_FLAGS,
  O_CLOEXEC,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  RESOLVE_FLAGS,
  showFlags,
  showOpenFlags,
  type FlagTable,
} from "../sys/flags.js";
import { MOUNT_ATTR_AT, cloneArgs, mountAttr, openHow } from "../sys/structs.js";
import {
  type Block,
  buffer,
  call,
  constant,
  cwdFd,
  data,
  imm,
  load,
  nil,
  octal,
  slot,
  store,
  str,
  textBytes,
  within,
} from "./assembler.js";
import type { Data, Imm, Rule, Slot, Value } from "./ops.js";

/** Typed forms of the system calls that programs are made of; each docstring names the man page. */

export interface CallOptions {
  readonly note: string;
  readonly on?: readonly Rule[];
  readonly at?: Source | null;
  readonly hints?: Readonly<Record<string, string>>;
}

export function flagsOf(table: FlagTable, value: number | bigint): Imm {
  return imm(value, () => showFlags(table, value));
}

function text(block: Block, path: string | Data): Data {
  return typeof path === "string" ? str(block.build, path) : path;
}

/** openat(2); always with O_CLOEXEC. */
export function openat(
  block: Block,
  dir: Value,
  path: string | Data,
  flags: number,
  out: Slot,
  given: CallOptions,
  mode = 0,
): void {
  const { arch } = block.build;
  const all = flags | O_CLOEXEC;
  call(block, "openat", [dir, text(block, path), imm(all, () => showOpenFlags(arch, all)), octal(mode)], given, out);
}

/** openat2(2); always with O_CLOEXEC. `resolve`: RESOLVE_*. */
export function openat2(
  block: Block,
  dir: Value,
  path: string | Data,
  flags: number,
  resolve: number,
  out: Slot,
  given: CallOptions,
  mode = 0,
): void {
  const { arch } = block.build;
  const all = flags | O_CLOEXEC;
  const how = constant(
    block.build,
    `open_how ${all} ${mode} ${resolve}`,
    () => openHow({ flags: all, mode, resolve }),
    () =>
      `{flags=${showOpenFlags(arch, all)}, mode=0${mode.toString(8)}, resolve=${showFlags(RESOLVE_FLAGS, resolve)}}`,
  );
  call(block, "openat2", [dir, text(block, path), how, imm(how.size)], given, out);
}

/** close(2) of a descriptor that is not needed any more; nothing where an exec is going to do it. */
export function close(block: Block, fd: Value, note: string): void {
  if (!block.closesOnExec) call(block, "close", [fd], { note });
}

/** close(2) that matters: the other end shall notice. */
export function closeNow(block: Block, fd: Value, note: string): void {
  call(block, "close", [fd], { note });
}

/** mkdirat(2). */
export function mkdirat(block: Block, dir: Value, path: string | Data, mode: number, given: CallOptions): void {
  call(block, "mkdirat", [dir, text(block, path), octal(mode)], given);
}

/** Writes a text with a single write(2) to an open descriptor. */
export function writeText(block: Block, fd: Value, value: string, given: CallOptions): void {
  const bytes = textBytes(block.build, value);
  call(block, "write", [fd, bytes, imm(bytes.size)], { ...given, full: true });
}

/** A bare clone of a mount tree as a detached mount: open_tree(2) with OPEN_TREE_CLONE. */
export function openTree(
  block: Block,
  dir: Value,
  path: string | Data,
  recursive: boolean,
  out: Slot,
  given: CallOptions,
  emptyPath = false,
): void {
  const atFlags = (recursive ? AT_RECURSIVE : 0) | (emptyPath ? AT_EMPTY_PATH : 0);
  const value = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | atFlags;
  const show = (): string =>
    `OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC${atFlags === 0 ? "" : `|${showFlags(AT_FLAGS, atFlags)}`}`;
  call(block, "open_tree", [dir, text(block, path), imm(value, show)], given, out);
}

export interface AttrChange {
  /** MOUNT_ATTR_* */
  readonly set?: number;
  readonly clear?: number;
  /** MS_SHARED, MS_PRIVATE, MS_SLAVE, MS_UNBINDABLE or 0. */
  readonly propagation?: number;
  readonly userns?: Slot;
}

/** mount_setattr(2) of a mount by descriptor (`path` "") or by path. */
export function mountSetattr(
  block: Block,
  dir: Value,
  path: string,
  change: AttrChange,
  recursive: boolean,
  given: CallOptions,
): void {
  const set = (change.set ?? 0) | (change.userns === undefined ? 0 : MOUNT_ATTR_IDMAP);
  const clear = change.clear ?? 0;
  const propagation = change.propagation ?? 0;
  const bytes = (): Uint8Array => mountAttr({ set, clear, propagation });
  const show = (): string =>
    `{attr_set=${showFlags(MOUNT_ATTR_FLAGS, set)}, attr_clr=${showFlags(MOUNT_ATTR_FLAGS, clear)}, propagation=${showFlags(MS_FLAGS, propagation)}, userns_fd=${change.userns?.name ?? "0"}}`;
  // With a user namespace the descriptor is filled in at run time: such attributes are nobody else's.
  const attr =
    change.userns === undefined
      ? constant(block.build, `mount_attr ${set} ${clear} ${propagation}`, bytes, show)
      : data(block.build, bytes(), show);
  if (change.userns !== undefined) {
    store(
      block,
      change.userns,
      within(attr, MOUNT_ATTR_AT.userns_fd, 8, "attr.userns_fd"),
      8,
      "put the user namespace into the attributes",
    );
  }
  const flags = (recursive ? AT_RECURSIVE : 0) | (path === "" ? AT_EMPTY_PATH : 0);
  call(block, "mount_setattr", [dir, str(block.build, path), flagsOf(AT_FLAGS, flags), attr, imm(attr.size)], given);
}

/** move_mount(2): attaches the detached mount onto what the descriptor refers to. */
export function moveMount(block: Block, from: Value, onto: Value, given: CallOptions): void {
  const empty = str(block.build, "");
  call(
    block,
    "move_mount",
    [from, empty, onto, empty, flagsOf(MOVE_MOUNT_FLAGS, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)],
    given,
  );
}

/** move_mount(2) onto a name in a directory whose content is our own; a link there is not followed. */
export function moveMountAt(block: Block, from: Value, dir: Value, name: string, given: CallOptions): void {
  call(
    block,
    "move_mount",
    [from, str(block.build, ""), dir, str(block.build, name), flagsOf(MOVE_MOUNT_FLAGS, MOVE_MOUNT_F_EMPTY_PATH)],
    given,
  );
}

/** move_mount(2) onto a path. */
export function moveMountTo(block: Block, from: Value, path: string, given: CallOptions): void {
  call(
    block,
    "move_mount",
    [from, str(block.build, ""), cwdFd, str(block.build, path), flagsOf(MOVE_MOUNT_FLAGS, MOVE_MOUNT_F_EMPTY_PATH)],
    given,
  );
}

/** One option of a file system context: null value is a flag; data: a string that the program makes. The kernel takes at most 255 bytes of each. */
export interface FsOption {
  readonly name: string;
  readonly value: string | Data | null;
}

/** One that is known when the program is made. */
export interface FsTextOption extends FsOption {
  readonly value: string | null;
}

/**
 * A new file system as a detached mount: fsopen, fsconfig, fsmount (fsopen(2)). `attributes` are MOUNT_ATTR_*. The context is
 * closed again; on an error that `given.on` allows it may stay open until exec.
 */
export function newFilesystem(
  block: Block,
  fstype: string,
  fsOptions: readonly FsOption[],
  attributes: number,
  out: Slot,
  given: CallOptions,
): void {
  const context = openFilesystem(block, fstype, out, given);
  createFilesystem(block, context, fsOptions, attributes, out, given);
  close(block, context, `close the ${fstype} context`);
}

/** fsopen(2): a context for createFilesystem, to be closed afterwards. */
export function openFilesystem(block: Block, fstype: string, out: Slot, given: CallOptions): Slot {
  const context = slot(block.build, `${out.name}.fs`);
  call(
    block,
    "fsopen",
    [str(block.build, fstype), imm(FSOPEN_CLOEXEC, "FSOPEN_CLOEXEC")],
    { ...given, note: `${given.note}: open a ${fstype} file system` },
    context,
  );
  return context;
}

/** fsconfig(2) and fsmount(2) of an open context. */
export function createFilesystem(
  block: Block,
  context: Slot,
  fsOptions: readonly FsOption[],
  attributes: number,
  out: Slot,
  given: CallOptions,
): void {
  const { build } = block;
  for (const option of fsOptions) {
    const command = option.value === null ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
    const value = option.value === null ? nil : text(block, option.value);
    const shown = typeof option.value === "string" ? option.value : "...";
    const words = option.value === null ? option.name : `${option.name}=${shown}`;
    call(block, "fsconfig", [context, flagsOf(FSCONFIG_COMMANDS, command), str(build, option.name), value, imm(0)], {
      ...given,
      note: `${given.note}: option ${words}`,
    });
  }
  call(block, "fsconfig", [context, flagsOf(FSCONFIG_COMMANDS, FSCONFIG_CMD_CREATE), nil, nil, imm(0)], given);
  call(
    block,
    "fsmount",
    [context, imm(FSMOUNT_CLOEXEC, "FSMOUNT_CLOEXEC"), flagsOf(MOUNT_ATTR_FLAGS, attributes)],
    given,
    out,
  );
}

/** clone_args for clone3(2), with room for the pidfd. */
export function cloneArguments(
  block: Block,
  flags: bigint,
  exitSignal: number,
  pidfd: Data | null,
  cgroup: Slot | null,
): Data {
  const { build } = block;
  const args = data(
    build,
    cloneArgs({ flags, exitSignal }),
    () =>
      `{flags=${showFlags(CLONE_FLAGS, flags)}, exit_signal=${exitSignal}${cgroup === null ? "" : `, cgroup=${cgroup.name}`}}`,
  );
  if (pidfd !== null) build.relocations.push({ where: args.offset + 8, what: pidfd.offset });
  if (cgroup !== null)
    store(block, cgroup, within(args, 80, 8, "clone_args.cgroup"), 8, "put the cgroup into the clone arguments");
  return args;
}

/** pipe2(2) or socketpair(2): both descriptors into slots. */
export function pair(block: Block, kind: "pipe" | "socketpair", first: Slot, second: Slot, note: string): void {
  const both = buffer(block.build, 8, `[${first.name}, ${second.name}]`);
  if (kind === "pipe") call(block, "pipe2", [both, imm(O_CLOEXEC, "O_CLOEXEC")], { note });
  else
    call(block, "socketpair", [imm(1, "AF_UNIX"), imm(0o2000001, "SOCK_STREAM|SOCK_CLOEXEC"), imm(0), both], { note });
  load(block, first, within(both, 0, 4), 4, `${note}: first end`);
  load(block, second, within(both, 4, 4), 4, `${note}: second end`);
}
