import { IsletError } from "../base/errors.js";
import { type Block, buffer, call, cwdFd, data, format, imm, slot, str } from "../program/assembler.js";
import { close, flagsOf, openat } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import {
  CLONE_FLAGS,
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWTIME,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
} from "../sys/flags.js";
import { type NamespaceKind, namespaceKinds } from "../spec/namespace.js";
import { type StartContext, hasUserNamespace, sharesUserNamespace } from "./context.js";
import type { Source } from "../base/source.js";
import type { ContainerSpec } from "../spec/spec.js";
import { O_RDONLY } from "../sys/flags.js";

export const cloneFlag: Readonly<Record<NamespaceKind, number>> = {
  mount: CLONE_NEWNS,
  pid: CLONE_NEWPID,
  uts: CLONE_NEWUTS,
  ipc: CLONE_NEWIPC,
  net: CLONE_NEWNET,
  user: CLONE_NEWUSER,
  cgroup: CLONE_NEWCGROUP,
  time: CLONE_NEWTIME,
};

/** The file below /proc/PID/ns. */
export const namespaceFile: Readonly<Record<NamespaceKind, string>> = {
  mount: "mnt",
  pid: "pid",
  uts: "uts",
  ipc: "ipc",
  net: "net",
  user: "user",
  cgroup: "cgroup",
  time: "time",
};

/**
 * Files of a network namespace in /sys and /proc/net belong to the root of its user namespace, if that root is mapped when the namespace begins: a
 * user namespace of its own comes first, with its maps.
 */
function hasLateNetwork({ spec }: StartContext): boolean {
  return spec.namespaces.user.kind === "new" && spec.namespaces.net.kind === "new";
}

/** The network namespace that had to wait for the id maps. */
export function beginLateNetwork(context: StartContext, child: Block): void {
  if (!hasLateNetwork(context)) return;
  call(child, "unshare", [flagsOf(CLONE_FLAGS, CLONE_NEWNET)], {
    note: "begin a network namespace",
    hints: { ENOSPC: "the host's limit of namespaces is reached (/proc/sys/user)" },
  });
  if (!hasLinks(context)) return;
  const begun = data(context.build, new Uint8Array([1]), "[network]");
  call(child, "write", [context.slots.childSync, begun, imm(1)], {
    note: "tell the monitor that links may be moved in",
    full: true,
  });
}

function hasLinks({ spec: { network } }: StartContext): boolean {
  return network.kind === "own" && network.nics.some((nic) => nic.type !== "empty");
}

/** In the monitor, before it opens the container's network namespace. */
export function awaitLateNetwork(context: StartContext): void {
  if (!hasLateNetwork(context) || !hasLinks(context)) return;
  call(context.monitor, "read", [context.slots.sync, buffer(context.build, 8, "[network]"), imm(1)], {
    note: "wait for the container's network namespace",
    waitIn: true,
    full: true,
  });
}

/**
 * Flags for clone3: all new namespaces but the cgroup namespace, whose root must be the payload cgroup, time, which needs its offsets first, and a
 * network namespace that waits for the id maps.
 */
export function newNamespaceFlags(context: StartContext): bigint {
  let flags = 0n;
  for (const kind of namespaceKinds) {
    if (kind === "cgroup" || kind === "time" || (kind === "net" && hasLateNetwork(context))) continue;
    if (context.spec.namespaces[kind].kind === "new") flags |= BigInt(cloneFlag[kind]);
  }
  return flags;
}

/**
 * pivot_root(2) moves every process of a mount namespace: without one of its own, a container's start would take the root away from the host
 * or from the other container.
 */
export function refuseUnsafeNamespaces(spec: ContainerSpec): void {
  const { mount } = spec.namespaces;
  if (mount.kind !== "new") {
    throw new IsletError("ISLET_BAD_CONFIG", "a container needs a mount namespace of its own", {
      at: mount.at,
      hint: "name mnt in lxc.namespace.clone, and neither keep nor share it",
    });
  }
}

/** The namespace that the spec shares, opened; null where it shares none of this kind. */
function openShared(context: StartContext, block: Block, kind: NamespaceKind): Slot | null {
  const choice = context.spec.namespaces[kind];
  if (choice.kind !== "share") return null;
  if ("file" in choice.with) return openNamespaceFile(context, block, kind, choice.with.file, choice.at);
  const key = "pid" in choice.with ? String(choice.with.pid) : choice.with.container;
  const pid = "pid" in choice.with ? choice.with.pid : context.start.sharedPids[key];
  if (pid === undefined)
    throw new IsletError(
      "ISLET_NOT_RUNNING",
      `the container ${key}, whose ${kind} namespace is to be shared, is not running`,
      { at: choice.at },
    );
  const fd = slot(context.build, `${kind}.shared`);
  call(
    block,
    "openat",
    [cwdFd, str(context.build, `/proc/${pid}/ns/${namespaceFile[kind]}`), imm(0o2000000, "O_RDONLY|O_CLOEXEC"), imm(0)],
    {
      note: `open the ${kind} namespace of ${key}`,
      at: choice.at,
      out: fd,
      hints: { ENOENT: `there is no process ${pid}` },
    },
  );
  return fd;
}

/** Somebody has mounted a namespace there, as ip-netns(8) does it. */
function openNamespaceFile(
  context: StartContext,
  block: Block,
  kind: NamespaceKind,
  path: string,
  at: Source | null,
): Slot {
  const fd = slot(context.build, `${kind}.shared`);
  openat(block, cwdFd, path, O_RDONLY, fd, {
    note: `open the ${kind} namespace ${path}`,
    at,
    hints: { ENOENT: "there is no such namespace on this host" },
  });
  return fd;
}

export function enter(block: Block, fd: Slot, kind: NamespaceKind, note: string): void {
  call(block, "setns", [fd, flagsOf(CLONE_FLAGS, cloneFlag[kind])], { note });
  close(block, fd, "close it");
}

/** Kinds that the monitor enters for the moment of the clone, and leaves again. */
function hopKinds(context: StartContext): readonly NamespaceKind[] {
  // Of a user namespace's own, no process may enter what belongs to the host's: its parent goes there first.
  const first: readonly NamespaceKind[] = hasUserNamespace(context) ? ["net", "uts", "ipc"] : [];
  return ([...first, "time", "pid"] as const).filter((kind) => context.spec.namespaces[kind].kind === "share");
}

/** The monitor is where its caller is, as LXC's is: what the container keeps is the caller's, and its links are made there. */
export function enterCallers(context: StartContext): void {
  for (const { kind, fd } of context.slots.callers) {
    call(context.monitor, "setns", [fd, flagsOf(CLONE_FLAGS, cloneFlag[kind])], {
      note: `enter the caller's ${kind} namespace`,
    });
  }
}

export interface SharedWays {
  /** The cgroup namespace to enter when the child is in its cgroups: opened here, since the child will no longer see the host's /proc. */
  readonly cgroup: Slot | null;
  /** Takes the monitor back. */
  readonly leave: () => void;
}

/** Puts the next child of the monitor into the shared namespaces that it cannot enter by itself. */
export function hopIntoShared(context: StartContext): SharedWays {
  const { monitor, build } = context;
  const cgroup = openShared(context, monitor, "cgroup");
  const ways = (sharesUserNamespace(context) ? [] : hopKinds(context)).map((kind) => {
    const own = slot(build, `own.${kind}`);
    const there = openShared(context, monitor, kind);
    openat(monitor, cwdFd, `/proc/self/ns/${namespaceFile[kind]}`, O_RDONLY, own, {
      note: `open the monitor's ${kind} namespace`,
    });
    return { kind, own, there };
  });
  for (const { kind, there } of ways) {
    if (there !== null) enter(monitor, there, kind, `let the main process be in the shared ${kind} namespace`);
  }
  return {
    cgroup,
    leave: () => {
      for (const { kind, own } of ways) enter(monitor, own, kind, `return to the monitor's ${kind} namespace`);
      if (cgroup !== null) close(monitor, cgroup, "close the shared cgroup namespace");
    },
  };
}

/**
 * What only a process of the shared user namespace can make, the container's other namespaces, is made by this one: it goes there, after it
 * has entered what belongs to others.
 */
export function guideIntoShared(context: StartContext, guide: Block): void {
  for (const kind of [...hopKinds(context), "user"] as const) {
    const fd = openShared(context, guide, kind);
    if (fd !== null) enter(guide, fd, kind, `enter the shared ${kind} namespace`);
  }
}

/** The child enters the shared namespaces that the monitor did not take it to. */
export function joinShared(context: StartContext, child: Block, kinds: readonly NamespaceKind[]): void {
  const done = hopKinds(context);
  for (const kind of kinds) {
    const fd = done.includes(kind) ? null : openShared(context, child, kind);
    if (fd !== null) enter(child, fd, kind, `enter the shared ${kind} namespace`);
  }
}

/** A namespace of the main process as a descriptor of the monitor; -errno in the slot when the process is gone already. */
export function openNamespace(context: StartContext, kind: NamespaceKind, out: Slot): void {
  const { monitor, build, slots } = context;
  const path = buffer(build, 40, `"/proc/PID/ns/${namespaceFile[kind]}"`);
  format(monitor, path, `/proc/%/ns/${namespaceFile[kind]}`, [slots.pid], `write the path of the ${kind} namespace`);
  call(monitor, "openat", [cwdFd, path, imm(0o2000000, "O_RDONLY|O_CLOEXEC"), imm(0)], {
    note: `open the ${kind} namespace`,
    out,
    on: [{ on: "any", to: "next" }],
  });
}
