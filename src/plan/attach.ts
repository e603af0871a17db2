import type { HostFacts } from "../spec/host.js";
import type { NamespaceKind } from "../spec/namespace.js";
import type { CapabilityRule } from "../spec/security.js";
import {
  type Block,
  beginProgram,
  blob,
  buffer,
  call,
  clone,
  cwdFd,
  data,
  defer,
  end,
  finishProgram,
  fail,
  goOn,
  imm,
  jump,
  label,
  load,
  nil,
  place,
  presetSlot,
  slot,
  store,
  str,
  stringArray,
  tell,
  wait,
  within,
} from "../program/assembler.js";
import { clientTells } from "./client-tells.js";
import { cloneArguments, close, closeNow, flagsOf, moveMountTo, openat, pair } from "../program/calls.js";
import type { LaunchProgram, Slot } from "../program/ops.js";
import { ENODEV, ENOENT, ENOTTY, EPERM } from "../sys/errno.js";
import {
  CLONE_FLAGS,
  CLONE_INTO_CGROUP,
  CLONE_NEWNET,
  CLONE_NEWPID,
  CLONE_PIDFD,
  MSG_NOSIGNAL,
  O_NOCTTY,
  O_PATH,
  O_RDWR,
  O_WRONLY,
  PR_SET_DUMPABLE,
  PR_SET_PDEATHSIG,
  TIOCGPTPEER,
  TIOCSCTTY,
  TIOCSPTLCK,
  openFlags,
} from "../sys/flags.js";
import { CAP_LAST_CAP } from "../sys/capability.js";
import { sockFprogWith } from "../sys/structs.js";
import { joinTasks, openTasks } from "./cgroup.js";
import { dropCapabilities, noNewPrivileges } from "./capability.js";
import { defaultSignals, signalChild } from "./hooks.js";
import { cloneFlag } from "./namespace.js";
import { execProgram } from "./process.js";
import { compileSeccomp, parseSeccomp } from "./seccomp.js";

/** What of a container's specification an attach needs; kept by its monitor as plain data. */
export interface AttachTarget {
  /** The namespaces the container has of its own. */
  readonly namespaces: readonly NamespaceKind[];
  readonly userNamespace: boolean;
  readonly capabilities: CapabilityRule;
  readonly noNewPrivileges: boolean;
  readonly seccomp: { readonly file: string; readonly text: string } | null;
  readonly personality: "linux" | "linux32" | null;
  readonly apparmor: string | null;
  /** The label of its processes; absent: none, or none that is known. */
  readonly selinux?: string;
  /** cgroup directories of the payload. */
  readonly legacyCgroups: readonly string[];
  readonly unifiedCgroup: string | null;
}

export interface AttachRequest {
  readonly argv: readonly string[];
  /** NAME=VALUE, complete. */
  readonly environment: readonly string[];
  readonly cwd: string;
  readonly uid: number;
  readonly gid: number;
  /** null: all of the container's own. */
  readonly namespaces: readonly NamespaceKind[] | null;
  readonly joinCgroup: boolean;
  readonly dropCapabilities: boolean;
  readonly confine: boolean;
  /** Instead of the container's own. */
  readonly selinuxContext: string | null;
  readonly remountSysProc: boolean;
  readonly personality: "linux" | "linux32" | null;
  /** Which of the caller's descriptors are terminals. */
  readonly terminals: readonly [boolean, boolean, boolean];
  /** A second preset slot is a descriptor that gets a copy of what the terminal shows. */
  readonly withLog: boolean;
}

/** statfs(2) f_type of devpts. */
const devptsMagic = 0x1cd1;

/**
 * The program the caller's client runs: a child of its own inside the container (setns(2)). Preset slots: a pidfd of the container's init, so
 * that no pid can be mistaken; perhaps a log. The client itself enters nothing but, for its children, the pid namespace.
 */
export function planAttach(target: AttachTarget, request: AttachRequest, host: HostFacts): LaunchProgram {
  const client = beginProgram(host.arch, "client");
  const { build } = client;
  const init = presetSlot(build, "init.pidfd");
  const log = request.withLog ? presetSlot(build, "terminal.log") : null;
  const sync = slot(build, "sync");
  const childSync = slot(build, "sync.child");
  const pid = slot(build, "attached");
  const pidfd = slot(build, "attached.pidfd");
  const kinds = request.namespaces ?? target.namespaces;
  const withTerminal = request.terminals.some(Boolean);
  // A hostile root inside must not find the client's child traceable before it has shed what it inherited.
  call(client, "prctl", [imm(PR_SET_DUMPABLE, "PR_SET_DUMPABLE"), imm(0), imm(0), imm(0), imm(0)], {
    note: "forbid tracing",
  });
  const cgroup = request.joinCgroup && target.unifiedCgroup !== null ? openUnified(client, target.unifiedCgroup) : null;
  pair(client, "socketpair", sync, childSync, "make the socket pair");
  if (kinds.includes("pid")) {
    call(client, "setns", [init, flagsOf(CLONE_FLAGS, CLONE_NEWPID)], {
      note: "enter the container's pid namespace",
      hints: { ESRCH: "the container has just stopped" },
    });
  }
  const room = buffer(build, 8, pidfd.name);
  const tasks = request.joinCgroup ? openTasks(client, target.legacyCgroups) : [];
  const args = cloneArguments(
    client,
    BigInt(CLONE_PIDFD) | (cgroup === null ? 0n : CLONE_INTO_CGROUP),
    signalChild,
    room,
    cgroup,
  );
  clone(
    client,
    "attached process",
    args,
    {
      note: "make the process",
      out: pid,
      hints: { EAGAIN: "the limit of processes is reached (pids.max of the container)" },
    },
    (child) => {
      load(client, pidfd, room, 4, "take its pidfd");
      endOnFailure(client, pidfd);
      planAttached(child, target, request, host, { init, sync, childSync, kinds, withTerminal, tasks });
    },
  );
  close(client, childSync, "close the child's end");
  tell(client, clientTells.forwardSignals, "forward_signals", pid, "signals of the client go to it");
  if (withTerminal && log !== null) tell(client, clientTells.log, "log", log, "the terminal's output is logged");
  if (withTerminal) takeTerminal(client, sync, pidfd);
  letGoOn(client, sync);
  const status = slot(build, "status");
  wait(client, pidfd, false, { note: "wait for its end", out: status });
  end(client, status, "its status is the client's");
  return finishProgram(build);
}

/** Whoever failed meanwhile has closed its end: that is an error (EPIPE), and its own report tells the cause; SIGPIPE would end the client. */
export function letGoOn(client: Block, sync: Slot): void {
  const go = data(client.build, new Uint8Array([1]), "[go]");
  call(client, "sendto", [sync, go, imm(1), imm(MSG_NOSIGNAL, "MSG_NOSIGNAL"), nil, imm(0)], {
    note: "let it go on",
    full: true,
  });
}

/** A client that fails leaves nobody behind. */
export function endOnFailure(client: Block, pidfd: Slot): void {
  defer(client, "end the process", "end the process on failure", (undo) => {
    call(undo, "pidfd_send_signal", [pidfd, imm(9, "SIGKILL"), nil, imm(0)], {
      note: "kill the process",
      on: [{ on: "any", to: "next" }],
    });
  });
}

interface Ends {
  readonly init: Slot;
  readonly sync: Slot;
  readonly childSync: Slot;
  readonly kinds: readonly NamespaceKind[];
  readonly withTerminal: boolean;
  readonly tasks: readonly Slot[];
}

function openUnified(client: Block, path: string): Slot {
  const fd = slot(client.build, "payload.cgroup");
  openat(client, cwdFd, path, O_PATH | openFlags(client.build.arch).O_DIRECTORY, fd, {
    note: `open the cgroup ${path}`,
  });
  return fd;
}

/** The pty's master was opened inside; the client takes it over and relays. */
function takeTerminal(client: Block, sync: Slot, pidfd: Slot): void {
  const message = buffer(client.build, 8, "{descriptor}");
  const theirs = slot(client.build, "pty.number");
  const master = slot(client.build, "pty.master");
  call(client, "read", [sync, message, imm(4)], { note: "wait for the terminal", waitIn: true, full: true });
  load(client, theirs, message, 4, "take the number of the terminal's descriptor");
  call(client, "pidfd_getfd", [pidfd, theirs, imm(0)], { note: "take over the terminal", out: master });
  tell(
    client,
    clientTells.ignoreInterrupts,
    "ignore_interrupts",
    imm(1),
    "the terminal's interrupts go to the process inside",
  );
  tell(client, clientTells.relay, "relay", master, "the client relays the terminal");
}

/** What the program inside is confined by, as its exec(2) takes it. */
function labelOf(
  target: AttachTarget,
  { confine, selinuxContext }: AttachRequest,
  { lsm }: HostFacts,
): { readonly file: string; readonly text: string; readonly what: string } | null {
  if (!confine) return null;
  if (lsm.apparmor) {
    const what = target.apparmor;
    return what === null ? null : { file: "/proc/thread-self/attr/apparmor/exec", text: `exec ${what}`, what };
  }
  const what = selinuxContext ?? target.selinux;
  return !lsm.selinux || what === undefined ? null : { file: "/proc/thread-self/attr/exec", text: what, what };
}

function planAttached(child: Block, target: AttachTarget, request: AttachRequest, host: HostFacts, ends: Ends): void {
  const { build } = child;
  const execLabel = labelOf(target, request, host);
  const labelFile = execLabel === null ? null : slot(build, "label");
  // The client blocks what it passes on; first of all, so that it reaches the process on its way, too.
  defaultSignals(child);
  closeNow(child, ends.sync, "close the client's end");
  if (ends.tasks.length > 0) joinTasks(child, target.legacyCgroups, ends.tasks);
  if (execLabel !== null && labelFile !== null)
    openat(child, cwdFd, execLabel.file, O_WRONLY, labelFile, { note: "open the process's label" });
  let flags = 0;
  for (const kind of ends.kinds) if (kind !== "pid") flags |= cloneFlag[kind];
  if (flags !== 0) {
    call(child, "setns", [ends.init, flagsOf(CLONE_FLAGS, flags >>> 0)], {
      note: "enter the container's namespaces",
      hints: { ESRCH: "the container has just stopped" },
    });
  }
  if (request.remountSysProc && !ends.kinds.includes("mount")) remount(child);
  let slave: Slot | null = null;
  if (ends.withTerminal) slave = openTerminal(child, ends.childSync, ends.kinds.includes("mount"));
  call(child, "read", [ends.childSync, buffer(build, 8, "[go]"), imm(1)], {
    note: "wait for the host's side",
    full: true,
  });
  call(child, "setsid", [], { note: "begin a session", on: [{ on: EPERM, to: "next" }] });
  if (slave !== null) {
    call(child, "ioctl", [slave, imm(TIOCSCTTY, "TIOCSCTTY"), imm(0)], {
      note: "make the pty its controlling terminal",
    });
    const terminal = slave;
    request.terminals.forEach((isTerminal, number) => {
      if (isTerminal) call(child, "dup3", [terminal, imm(number), imm(0)], { note: `descriptor ${number}` });
    });
  }
  const home = label("working directory");
  const root = label("no such directory");
  call(child, "chdir", [str(build, request.cwd)], { note: `change to ${request.cwd}`, on: goOn(root, "any") });
  jump(child, home, "it is there");
  place(child, root);
  call(child, "chdir", [str(build, "/")], { note: "change to /" });
  place(child, home);
  const personality = request.personality ?? target.personality;
  if (personality !== null)
    call(child, "personality", [personality === "linux32" ? imm(8, "PER_LINUX32") : imm(0, "PER_LINUX")], {
      note: "set the execution domain",
    });
  if (execLabel !== null && labelFile !== null) {
    const text = data(build, new TextEncoder().encode(execLabel.text), JSON.stringify(execLabel.text), 1);
    call(child, "write", [labelFile, text, imm(execLabel.text.length)], {
      note: `set the label ${execLabel.what}`,
      full: true,
    });
  }
  if (request.dropCapabilities) {
    dropCapabilities(child, target.capabilities, Math.min(host.lastCapability, CAP_LAST_CAP));
    if (target.noNewPrivileges) noNewPrivileges(child);
  }
  becomeUser(child, request, target);
  if (request.confine && target.seccomp !== null) {
    const parsed = parseSeccomp(target.seccomp.text, target.seccomp.file);
    if (!("faults" in parsed)) {
      const filter = compileSeccomp(parsed.policy, build.arch);
      call(
        child,
        "seccomp",
        [
          imm(1, "SECCOMP_SET_MODE_FILTER"),
          imm(0),
          blob(build, sockFprogWith(filter), `{${filter.length / 8} instructions}`),
        ],
        { note: "load the seccomp policy" },
      );
    }
  }
  if (request.uid !== 0)
    call(child, "setresuid", [imm(request.uid), imm(request.uid), imm(request.uid)], {
      note: `become user ${request.uid}`,
    });
  call(child, "close_range", [imm(3), imm(0xffffffff, "~0U"), imm(4, "CLOSE_RANGE_CLOEXEC")], {
    note: "close the other descriptors on exec",
  });
  const envp = stringArray(build, request.environment, `[/* ${request.environment.length} vars */]`);
  execProgram(child, request.argv[0] ?? "/bin/sh", request.argv, request.environment, envp);
}

function becomeUser(child: Block, request: AttachRequest, target: AttachTarget): void {
  call(child, "setgroups", [imm(0), nil], {
    note: "drop the supplementary groups",
    on: target.userNamespace ? [{ on: "any", to: "next" }] : [],
  });
  call(child, "setresgid", [imm(request.gid), imm(request.gid), imm(request.gid)], {
    note: `become group ${request.gid}`,
    hints: { EINVAL: "the container's id map has no such group" },
  });
  if (target.userNamespace && request.uid === 0)
    call(child, "setresuid", [imm(0), imm(0), imm(0)], { note: "become the container's root" });
}

/** A mount namespace of its own with /proc and /sys of the container's other namespaces (lxc-attach -R). */
function remount(child: Block): void {
  const { build } = child;
  call(child, "unshare", [imm(0x20000, "CLONE_NEWNS")], { note: "begin a mount namespace" });
  call(child, "mount", [nil, str(build, "/"), nil, imm(0x44000, "MS_REC|MS_PRIVATE"), nil], {
    note: "keep its mounts private",
  });
  for (const [fstype, path] of [
    ["proc", "/proc"],
    ["sysfs", "/sys"],
  ] as const) {
    call(child, "umount2", [str(build, path), imm(2, "MNT_DETACH")], {
      note: `unmount ${path}`,
      on: [{ on: "any", to: "next" }],
    });
    call(child, "mount", [str(build, fstype), str(build, path), str(build, fstype), imm(0), nil], {
      note: `mount ${path}`,
    });
  }
}

/** A pty of the devpts in view: the container's, after it was checked to be one (a guest can put anything there), else the host's. */
function openTerminal(child: Block, childSync: Slot, inside: boolean): Slot {
  const { build } = child;
  const master = slot(build, "pty.master");
  const slave = slot(build, "pty.slave");
  const statfs = buffer(build, 128, "{f_type}");
  const type = slot(build, "f_type");
  const good = label("a real devpts");
  const missing = label("no devpts");
  openat(child, cwdFd, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | openFlags(build.arch).O_NOFOLLOW, master, {
    note: "open a pty",
    on: inside ? goOn(missing, ENOENT, ENODEV) : [],
    hints: { ENOSPC: "no pty is left; see lxc.pty.max" },
  });
  call(child, "fstatfs", [master, statfs], { note: "see what /dev/pts is" });
  load(child, type, within(statfs, 0, 8), 8, "see what /dev/pts is");
  jump(child, good, "it is a devpts", "eq", type, imm(devptsMagic));
  place(child, missing);
  fail(child, ENOTTY, {
    note: "the container has no devpts on /dev/pts for a terminal; pipe the input and output (</dev/null | cat)",
  });
  place(child, good);
  const zero = data(build, new Uint8Array(4), "[0]");
  call(child, "ioctl", [master, imm(TIOCSPTLCK, "TIOCSPTLCK"), zero], { note: "unlock the pty" });
  call(
    child,
    "ioctl",
    [master, imm(TIOCGPTPEER, "TIOCGPTPEER"), imm(O_RDWR | O_NOCTTY | 0o2000000, "O_RDWR|O_NOCTTY|O_CLOEXEC")],
    { note: "open its slave", out: slave },
  );
  const message = buffer(build, 8, "{descriptor}");
  store(child, master, message, 4, "note the descriptor");
  call(child, "write", [childSync, message, imm(4)], { note: "hand the terminal to the client", full: true });
  return slave;
}

/** Preset descriptors of a host command, in this order: what becomes its standard output; a pidfd of who lives in its network namespace. */
export interface HostCommandPresets {
  readonly output: boolean;
  readonly network: boolean;
  /** A detached mount comes last: where it is to be; null: none. */
  readonly mountAt: string | null;
}

/** A command of the host as a child of the client, in a mount namespace of its own: templates. Its status is the program's result. */
export function planHostCommand(
  argv: readonly string[],
  environment: readonly string[],
  cwd: string,
  host: HostFacts,
  presets: HostCommandPresets = { output: false, network: false, mountAt: null },
): LaunchProgram {
  const client = beginProgram(host.arch, "client");
  const { build } = client;
  const output = presets.output ? presetSlot(build, "output") : null;
  const network = presets.network ? presetSlot(build, "init.pidfd") : null;
  const { mountAt } = presets;
  const tree = mountAt === null ? null : presetSlot(build, "rootfs");
  const pid = slot(build, "command");
  const pidfd = slot(build, "command.pidfd");
  const room = buffer(build, 8, pidfd.name);
  const args = cloneArguments(client, BigInt(CLONE_PIDFD) | 0x20000n, signalChild, room, null);
  clone(client, "command", args, { note: `start ${argv[0] ?? ""}`, out: pid }, (child) => {
    defaultSignals(child);
    call(child, "prctl", [imm(PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"), imm(9, "SIGKILL"), imm(0), imm(0), imm(0)], {
      note: "die with the client",
    });
    call(child, "mount", [nil, str(build, "/"), nil, imm(0x84000, "MS_REC|MS_SLAVE"), nil], {
      note: "keep its mounts from the host",
    });
    if (tree !== null && mountAt !== null)
      moveMountTo(child, tree, mountAt, { note: `mount the root file system on ${mountAt}` });
    call(child, "chdir", [str(build, cwd)], { note: `change to ${cwd}`, on: [{ on: "any", to: "next" }] });
    if (network !== null)
      call(child, "setns", [network, flagsOf(CLONE_FLAGS, CLONE_NEWNET)], {
        note: "enter the container's network namespace",
        hints: { ESRCH: "the container has just stopped" },
      });
    if (output !== null) call(child, "dup3", [output, imm(1), imm(0)], { note: "descriptor 1" });
    execProgram(
      child,
      argv[0] ?? "",
      argv,
      environment,
      stringArray(build, environment, `[/* ${environment.length} vars */]`),
    );
  });
  load(client, pidfd, room, 4, "take its pidfd");
  endOnFailure(client, pidfd);
  tell(client, clientTells.forwardSignals, "forward_signals", pid, "signals of the client go to it");
  const status = slot(build, "status");
  wait(client, pidfd, false, { note: "wait for its end", out: status });
  end(client, status, "its status is the client's");
  return finishProgram(build);
}
