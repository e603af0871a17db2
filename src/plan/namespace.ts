import { IsletError } from "../base/errors.js";
import { type Block, buffer, call, cwdFd, format, imm, slot, str } from "../program/assembler.js";
import { close, flagsOf } from "../program/calls.js";
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
import type { StartContext } from "./context.js";

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

/** Flags for clone3: all new namespaces but the cgroup namespace, whose root must be the payload cgroup, and time, which needs its offsets first. */
export function newNamespaceFlags(context: StartContext): bigint {
  let flags = 0n;
  for (const kind of namespaceKinds) {
    if (kind === "cgroup" || kind === "time") continue;
    if (context.spec.namespaces[kind].kind === "new") flags |= BigInt(cloneFlag[kind]);
  }
  return flags;
}

/** Enters the namespaces of other processes that the spec shares; in the child, but for pid, which takes effect on clone. */
export function joinShared(context: StartContext, block: Block, kinds: readonly NamespaceKind[]): void {
  for (const kind of kinds) {
    const choice = context.spec.namespaces[kind];
    if (choice.kind !== "share") continue;
    const key = "pid" in choice.with ? String(choice.with.pid) : choice.with.container;
    const pid = "pid" in choice.with ? choice.with.pid : context.start.sharedPids[key];
    if (pid === undefined)
      throw new IsletError(
        "ISLET_NOT_RUNNING",
        `the container ${key}, whose ${kind} namespace is to be shared, is not running`,
        { at: choice.at },
      );
    const fd = slot(context.build, `${kind}.shared`);
    const path = `/proc/${pid}/ns/${namespaceFile[kind]}`;
    const before = block.at;
    block.at = choice.at;
    call(block, "openat", [cwdFd, str(context.build, path), imm(0o2000000, "O_RDONLY|O_CLOEXEC"), imm(0)], {
      note: `open the ${kind} namespace of ${key}`,
      out: fd,
      hints: { ENOENT: `there is no process ${pid}` },
    });
    call(block, "setns", [fd, flagsOf(CLONE_FLAGS, cloneFlag[kind])], {
      note: `enter the ${kind} namespace of ${key}`,
    });
    close(block, fd, "close it");
    block.at = before;
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
