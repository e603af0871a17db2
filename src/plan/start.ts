import type { ContainerSpec } from "../spec/spec.js";
import { type NamespaceKind, namespaceKinds } from "../spec/namespace.js";
import type { HostFacts, StartFacts } from "../spec/host.js";
import { plainDirectory } from "../spec/rootfs.js";
import {
  type Block,
  beginProgram,
  buffer,
  call,
  clone,
  compute,
  cwdFd,
  data,
  defer,
  end,
  finishProgram,
  format,
  imm,
  jump,
  label,
  load,
  nil,
  place,
  presetSlot,
  slot,
  str,
  tell,
} from "../program/assembler.js";
import { cloneArguments, close, openat, pair } from "../program/calls.js";
import type { LaunchProgram, Slot } from "../program/ops.js";
import { ENOENT, ESRCH } from "../sys/errno.js";
import { CLONE_INTO_CGROUP, CLONE_NEWNS, CLONE_PARENT, CLONE_PIDFD, O_CREAT, O_TRUNC, O_WRONLY } from "../sys/flags.js";
import { sockaddrUnixAbstract } from "../sys/structs.js";
import { SIGRTMIN3 } from "../sys/signals.js";
import {
  type StartCgroups,
  applyDeviceRules,
  cgroupPaths,
  enterSupervisor,
  deferRemoval,
  legacyDirectories,
  makeCgroups,
  openTasks,
} from "./cgroup.js";
import { planChild } from "./child.js";
import { planHostConsole, receiveMasters, tells, type ConsoleSlots, type InsideTerminals } from "./console.js";
import {
  type StartContext,
  type Warn,
  containerDirectory,
  hasUserNamespace,
  rootOwner,
  sharesUserNamespace,
} from "./context.js";
import { refuseImages } from "./disk-image.js";
import { type LateVariable, deferHooks, runHostHooks, signalChild } from "./hooks.js";
import { beginGuide } from "./guide.js";
import { makeOverlayDirectories } from "./mount.js";
import {
  awaitLateNetwork,
  enterCallers,
  hopIntoShared,
  namespaceFile,
  newNamespaceFlags,
  openNamespace,
  refuseUnsafeNamespaces,
} from "./namespace.js";
import { linkJournal, makeJournalDirectory } from "./journal.js";
import { planHostNics } from "./nic/nic.js";
import { planProcFiles, planRlimits } from "./process.js";
import { isolateMounts, refuseRootfs } from "./rootfs.js";
import { lockName, lockRefusal } from "./lock.js";
import type { SourceMounts } from "./source.js";
import { enterTimeNamespace } from "./time.js";

/** Numbers of the states, as the monitor publishes them. */
const stateNumber = { STOPPED: 0, STARTING: 1, RUNNING: 2, STOPPING: 3, ABORTING: 4 } as const;

/**
 * The whole start of a container as a program: a pure function of what is wanted and what the host is. `mounts`: needed where the root file system
 * is no directory.
 */
export function planStart(
  spec: ContainerSpec,
  host: HostFacts,
  start: StartFacts,
  warn: Warn = () => undefined,
  mounts: SourceMounts | null = null,
): LaunchProgram {
  refuseUnsafeNamespaces(spec);
  refuseRootfs(spec.rootfs);
  refuseImages(spec);
  const context = beginStart(spec, host, start, warn, mounts);
  const { monitor, slots, build } = context;
  tellState(monitor, "STARTING");
  takeLock(context);
  enterCallers(context);
  const paths = cgroupPaths(context);
  deferEnd(context, paths);
  joinScope(context, paths);
  writePidFile(context);
  openHookOutput(context);
  unshareMonitor(context);
  runHostHooks(context, monitor, "pre-start", []);
  const console = planHostConsole(context);
  makeJournalDirectory(context);
  makeOverlayDirectories(
    monitor,
    containerDirectory(spec),
    spec.rootfs.source.kind === "host" ? "/" : plainDirectory(spec.rootfs.source),
    spec.mounts.entries,
    rootOwner(context),
  );
  const unifiedFd = paths.unified === null ? null : slot(build, "payload.cgroup");
  makeCgroups(context, paths, unifiedFd);
  const child = cloneChild(context, paths, unifiedFd, console);
  planRlimits(context);
  planProcFiles(context);
  awaitLateNetwork(context);
  planHostNics(context);
  receiveMasters(context, child.terminals.masters);
  applyDeviceRules(context, paths, unifiedFd);
  const late = hostHookVariables(context);
  runHostHooks(context, monitor, "start-host", late);
  call(monitor, "write", [slots.sync, data(build, new Uint8Array([1]), "[go]"), imm(1)], {
    note: "let the container go on",
    full: true,
  });
  const rest = buffer(build, 8, "[]");
  const ended = slot(build, "sync.end");
  call(monitor, "read", [slots.sync, rest, imm(1)], {
    note: "wait until the main program is executed",
    waitIn: true,
    out: ended,
  });
  planStopNamespaces(context);
  linkJournal(context);
  if (unifiedFd !== null) close(monitor, unifiedFd, "close the payload cgroup");
  close(monitor, slots.sync, "close the socket pair");
  // The last that can fail: whoever is told that it runs can rely on it.
  compute(monitor, slots.running, "set", imm(1), null, "the container runs");
  tellState(monitor, "RUNNING");
  end(monitor, 0, "the container runs");
  return finishProgram(build);
}

function beginStart(
  spec: ContainerSpec,
  host: HostFacts,
  start: StartFacts,
  warn: Warn,
  mounts: SourceMounts | null,
): StartContext {
  const monitor = beginProgram(host.arch, "monitor");
  const { build } = monitor;
  const listen = presetSlot(build, "listen");
  const stdio =
    start.stdio === null
      ? null
      : ([presetSlot(build, "stdin"), presetSlot(build, "stdout"), presetSlot(build, "stderr")] as const);
  const binary = spec.init.mode === "supervised" ? presetSlot(build, "islet") : null;
  const callers = start.callerNamespaces.map((kind) => ({ kind, fd: presetSlot(build, `caller.${kind}`) }));
  const listening = Array.from({ length: start.listen?.count ?? 0 }, (_, index) =>
    presetSlot(build, `listening.${index + 1}`),
  );
  // Open for as long as the monitor lives, a restart included.
  for (let index = 0; index < start.loops; index += 1) presetSlot(build, `disk.${index + 1}`);
  const hasStopHooks = spec.hooks.list.some((hook) => hook.kind === "stop" || hook.kind === "post-stop");
  const namespaces: Partial<Record<NamespaceKind, Slot>> = {};
  for (const kind of namespaceKinds) {
    if (hasStopHooks && spec.namespaces[kind].kind === "new") namespaces[kind] = slot(build, `${kind}.ns`);
  }
  const hasCommands =
    spec.hooks.list.length > 0 ||
    (spec.network.kind === "own" && spec.network.nics.some((nic) => nic.scriptUp !== null || nic.scriptDown !== null));
  const context: StartContext = {
    spec,
    host,
    start,
    build,
    monitor,
    warn,
    mounts,
    slots: {
      listen,
      stdio,
      binary,
      callers,
      listening,
      restart: slot(build, "restart"),
      status: slot(build, "status"),
      running: slot(build, "running"),
      pid: slot(build, "init"),
      pidfd: slot(build, "init.pidfd"),
      sync: slot(build, "sync"),
      childSync: slot(build, "sync.child"),
      monitorPid: slot(build, "monitor.pid"),
      namespaces,
      hookOutput: hasCommands ? slot(build, "hooks.output") : null,
    },
  };
  call(monitor, "getpid", [], { note: "ask for the monitor's pid", out: context.slots.monitorPid });
  tell(monitor, tells.listen, "listen", listen, "the monitor serves its socket");
  if (spec.lifecycle.onReboot === "restart")
    tell(
      monitor,
      tells.restartSlot,
      "restart_slot",
      imm(context.slots.restart.index),
      "where the monitor says that a restart is wanted",
    );
  tell(
    monitor,
    tells.statusSlot,
    "status_slot",
    imm(context.slots.status.index),
    "where the monitor puts the exit status",
  );
  return context;
}

function tellState(block: Block, state: keyof typeof stateNumber): void {
  tell(block, tells.state, "state", imm(stateNumber[state], state), `the container is ${state}`);
}

/**
 * LXC's own command socket as the lock on the name: bound once, by us or by LXC's tools. It must come before anything whose undoing
 * could touch a running container.
 */
function takeLock(context: StartContext): void {
  const { monitor, build, spec } = context;
  const fd = slot(build, "lock");
  const name = lockName(spec.storePath, spec.name);
  const address = data(build, sockaddrUnixAbstract(name), `@${name}`);
  call(monitor, "socket", [imm(1, "AF_UNIX"), imm(0o2000001, "SOCK_STREAM|SOCK_CLOEXEC"), imm(0)], {
    note: "open the lock",
    out: fd,
  });
  call(monitor, "bind", [fd, address, imm(address.size)], {
    note: `take the lock of ${spec.name}`,
    hints: { EADDRINUSE: "the container is running already" },
  });
  call(monitor, "listen", [fd, imm(16)], { note: "let others see the lock" });
  const refusal = lockRefusal();
  tell(monitor, tells.refuser, "refuser", fd, "the monitor turns away LXC's tools", {
    bytes: data(build, refusal, "{ret=-EOPNOTSUPP}"),
    length: refusal.length,
  });
  defer(monitor, "release the lock", "release the lock at the end", (undo) => {
    close(undo, fd, "release the lock");
  });
}

/** What happens at the end, in reverse order of registration. */
function deferEnd(context: StartContext, paths: StartCgroups): void {
  const { monitor, build, start, slots } = context;
  defer(monitor, "remove files", "remove the files below the runtime directory at the end", (undo) => {
    const kept = label("kept");
    jump(undo, kept, "a restart keeps them", "ne", slots.restart, imm(0));
    call(undo, "unlinkat", [cwdFd, str(build, start.socketPath), imm(0)], {
      note: "remove the monitor's socket",
      on: [{ on: ENOENT, to: "next" }],
    });
    if (start.pidFile !== null)
      call(undo, "unlinkat", [cwdFd, str(build, start.pidFile), imm(0)], {
        note: "remove the pid file",
        on: [{ on: "any", to: "next" }],
      });
    place(undo, kept);
  });
  deferNamespaces(context);
  deferHooks(context, "post-stop", namespaceVariables(context));
  defer(monitor, "stopped", "say so when it has stopped", (undo) => {
    tellState(undo, "STOPPED");
  });
  deferRemoval(context, paths);
  deferHooks(context, "stop", namespaceVariables(context));
  defer(monitor, "stopping", "say so when it stops", (undo) => {
    const ran = label("it ran");
    jump(undo, ran, "the start was completed", "ne", slots.running, imm(0));
    tellState(undo, "ABORTING");
    place(undo, ran);
    tellState(undo, "STOPPING");
  });
}

/** In a scope of systemd's, which ends it by SIGURG: nobody but the monitor minds that. */
function joinScope(context: StartContext, paths: StartCgroups): void {
  if (Object.keys(context.start.scope).length === 0) return;
  enterSupervisor(context, paths);
  const signal = context.spec.lifecycle.haltSignal ?? SIGRTMIN3;
  tell(context.monitor, tells.haltSignal, "halt_signal", imm(signal), "how the container is stopped with its scope");
}

function writePidFile(context: StartContext): void {
  const { monitor, build, start } = context;
  if (start.pidFile === null) return;
  const fd = slot(build, "pidfile");
  const length = slot(build, "pid.length");
  const text = buffer(build, 16, '"PID"');
  const note = `write the pid file ${start.pidFile}`;
  format(monitor, text, "%", [context.slots.monitorPid], "write it in decimal", length);
  openat(monitor, cwdFd, start.pidFile, O_WRONLY | O_CREAT | O_TRUNC, fd, { note }, 0o600);
  call(monitor, "write", [fd, text, length], { note, full: true });
  close(monitor, fd, "close the pid file");
}

function openHookOutput(context: StartContext): void {
  const { monitor, build, slots } = context;
  if (slots.hookOutput === null) return;
  const read = slot(build, "hooks.read");
  pair(monitor, "pipe", read, slots.hookOutput, "make a pipe for the output of hooks");
  tell(monitor, tells.hookOutput, "hook_output", read, "the monitor passes the output of hooks on");
  const output = slots.hookOutput;
  defer(monitor, "close the hooks' pipe", "close the hooks' pipe at the end", (undo) => {
    close(undo, output, "close the hooks' pipe");
  });
}

function unshareMonitor(context: StartContext): void {
  if (!context.spec.lifecycle.monitorUnshare) return;
  call(context.monitor, "unshare", [imm(CLONE_NEWNS, "CLONE_NEWNS")], {
    note: "give the monitor a mount namespace of its own",
  });
  isolateMounts(context.monitor);
}

/** LXC_MNT_NS=/proc/MONITOR/fd/N and so on. */
function namespaceVariables(context: StartContext): readonly LateVariable[] {
  const { slots } = context;
  return Object.entries(slots.namespaces).map(([kind, fd]) => ({
    name: `LXC_${namespaceFile[kind as NamespaceKind].toUpperCase()}_NS`,
    template: "/proc/%/fd/%",
    values: [slots.monitorPid, fd],
  }));
}

function hostHookVariables(context: StartContext): readonly LateVariable[] {
  return [{ name: "LXC_PID", template: "%", values: [context.slots.pid] }];
}

/** clone3, and with it the whole of the child's part. */
function cloneChild(
  context: StartContext,
  paths: StartCgroups,
  unifiedFd: Slot | null,
  console: ConsoleSlots,
): { readonly terminals: InsideTerminals } {
  const { monitor, build, slots } = context;
  pair(monitor, "socketpair", slots.sync, slots.childSync, "make the socket pair");
  const handedDown = hasUserNamespace(context) ? openTasks(monitor, legacyDirectories(paths)) : null;
  const timeReturn = enterTimeNamespace(context);
  const shared = hopIntoShared(context);
  const room = buffer(build, 8, slots.pidfd.name);
  const guide = sharesUserNamespace(context) ? beginGuide(context, unifiedFd) : null;
  const parent = guide?.block ?? monitor;
  // The guide is in the cgroup already, and the signal of the end is its own.
  const into = guide === null ? unifiedFd : null;
  const flags =
    newNamespaceFlags(context) |
    BigInt(CLONE_PIDFD) |
    (guide === null ? 0n : BigInt(CLONE_PARENT)) |
    (into === null ? 0n : CLONE_INTO_CGROUP);
  const args = cloneArguments(parent, flags, guide === null ? signalChild : 0, room, into);
  const holder: { terminals: InsideTerminals; late: (() => void)[] } = {
    terminals: { stdio: null, masters: [] },
    late: [],
  };
  // The child's section is written while the monitor's stands right after clone3: what the host's side does for it in between goes there.
  clone(
    parent,
    "init",
    args,
    {
      note: "clone the main process",
      out: slots.pid,
      hints: {
        ENOSPC: "the host's limit of namespaces is reached (/proc/sys/user)",
        EINVAL: "the kernel refuses one of the namespaces",
        EPERM: "this needs root",
      },
    },
    (child) => {
      load(parent, slots.pidfd, room, 4, "take its pidfd");
      guide?.finish();
      tell(monitor, tells.pid, "pid", slots.pid, "the monitor knows its pid");
      tell(monitor, tells.mainProcess, "main_process", slots.pidfd, "the monitor watches it");
      defer(monitor, "end the main process", "end the main process", (undo) => {
        const status = slot(build, "ended");
        call(undo, "pidfd_send_signal", [slots.pidfd, imm(9, "SIGKILL"), nil, imm(0)], {
          note: "kill the main process",
          on: [{ on: ESRCH, to: "next" }],
        });
        undo.section.ops.push({
          code: "wait",
          flags: 0,
          nr: 0,
          name: "wait",
          args: [slots.pidfd, imm(0)],
          out: status,
          rules: [{ on: "any", to: "next" }],
          target: null,
          block: null,
          note: "wait for its end",
          at: null,
          hints: null,
        });
        close(undo, slots.pidfd, "close its pidfd");
      });
      close(monitor, slots.childSync, "close the child's end");
      for (const fd of handedDown ?? []) close(monitor, fd, "close the cgroup's file");
      timeReturn();
      shared.leave();
      holder.terminals = planChild(context, child, console, paths, handedDown, shared.cgroup);
    },
  );
  return { terminals: holder.terminals };
}

/** Registered before the hooks that use them, so that it runs after these. */
function deferNamespaces(context: StartContext): void {
  const { monitor, slots } = context;
  const kinds = Object.entries(slots.namespaces);
  if (kinds.length === 0) return;
  defer(monitor, "close namespaces", "close the namespaces at the end", (undo) => {
    for (const [kind, fd] of kinds) {
      const unopened = label(`no ${kind} namespace`);
      jump(undo, unopened, `the ${kind} namespace was not opened`, "lt", fd, imm(1));
      close(undo, fd, `close the ${kind} namespace`);
      place(undo, unopened);
    }
  });
}

/** stop and post-stop hooks find the namespaces as descriptors of the monitor, which keep them alive. */
function planStopNamespaces(context: StartContext): void {
  const kinds = Object.entries(context.slots.namespaces) as readonly (readonly [NamespaceKind, Slot])[];
  if (kinds.length === 0) return;
  for (const [kind, fd] of kinds) openNamespace(context, kind, fd);
}
