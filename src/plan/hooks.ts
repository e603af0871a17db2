import {
  type Block,
  buffer,
  call,
  clone,
  constant,
  compute,
  defer,
  format,
  imm,
  jump,
  label,
  load,
  nil,
  place,
  point,
  slot,
  str,
  stringArray,
  wait,
} from "../program/assembler.js";
import { cloneArguments } from "../program/calls.js";
import { CLONE_PIDFD, PR_SET_PDEATHSIG } from "../sys/flags.js";
import { sigset } from "../sys/structs.js";
import type { Data, Slot, Value } from "../program/ops.js";
import type { Hook, HookKind } from "../spec/hooks.js";
import type { Source } from "../base/source.js";
import type { StartContext } from "./context.js";

export const signalChild = 17;

/** An environment string whose value is known only when the program runs: `NAME=` template with % for numbers. */
export interface LateVariable {
  readonly name: string;
  readonly template: string;
  readonly values: readonly Value[];
}

export function hooksOf(context: StartContext, kind: HookKind): readonly Hook[] {
  return context.spec.hooks.list.filter((hook) => hook.kind === kind);
}

/** The variables that every hook of a start gets (lxc.container.conf(5), CONTAINER HOOKS). */
export function hookEnvironment(
  context: StartContext,
  kind: HookKind | "net",
  target: "stop" | "reboot" | null,
): Readonly<Record<string, string>> {
  const { spec, start, host } = context;
  const out: Record<string, string> = { ...start.environment };
  for (const entry of spec.process.environment) {
    const isGuests = entry.scope === "runtime" || entry.scope === "init" || entry.name === "container";
    if (entry.kind === "set" && !isGuests) out[entry.name] = entry.value;
  }
  out["LXC_NAME"] = spec.name;
  out["LXC_CONFIG_FILE"] = spec.configFile;
  out["LXC_ROOTFS_MOUNT"] = rootfsMountPath(context);
  out["LXC_ROOTFS_PATH"] = spec.rootfs.documentPath;
  if (spec.console.path !== null) out["LXC_CONSOLE"] = spec.console.path;
  if (spec.console.logFile !== null) out["LXC_CONSOLE_LOGPATH"] = spec.console.logFile;
  if (host.namespaces.includes("cgroup")) out["LXC_CGNS_AWARE"] = "1";
  out["LXC_LOG_LEVEL"] = spec.lifecycle.log.level ?? "ERROR";
  out["LXC_HOOK_VERSION"] = String(spec.hooks.version);
  if (target !== null) out["LXC_TARGET"] = target;
  if (spec.hooks.version === 1) {
    out["LXC_HOOK_TYPE"] = kind;
    out["LXC_HOOK_SECTION"] = kind === "net" ? "net" : "lxc";
  }
  return out;
}

/** Where the root file system is mounted before pivot_root: the document's choice or islet's own directory. */
export function rootfsMountPath(context: StartContext): string {
  return context.spec.rootfs.mountPoint ?? `${context.host.runtimeDir}/rootfs`;
}

export interface HostCommand {
  readonly name: string;
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly late: readonly LateVariable[];
  readonly note: string;
  readonly at: Source | null;
}

/** `sh -c "exec COMMAND 'NAME' 'SECTION' 'TYPE' ARGS..."`, as LXC calls hooks. */
export function hookArgv(
  context: StartContext,
  command: string,
  section: string,
  type: string,
  extra: readonly string[],
): readonly string[] {
  const words = context.spec.hooks.version === 0 ? [context.spec.name, section, type, ...extra] : extra;
  return ["/bin/sh", "-c", ["exec", command, ...words.map(shellQuote)].join(" ")];
}

export function shellQuote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** envp with strings that are completed at run time. */
export function environmentArray(
  block: Block,
  fixed: Readonly<Record<string, string>>,
  late: readonly LateVariable[],
): Data {
  const strings = Object.entries(fixed).map(([name, value]) => `${name}=${value}`);
  if (late.length === 0) return stringArray(block.build, strings, `[/* ${strings.length} vars */]`);
  const total = strings.length + late.length;
  const array = buffer(block.build, (total + 1) * 8, `[/* ${total} vars */]`);
  strings.forEach((text, index) => {
    point(block.build, array, index * 8, str(block.build, text));
  });
  late.forEach((variable, index) => {
    const room = buffer(
      block.build,
      variable.name.length + variable.template.length + 2 + variable.values.length * 20,
      variable.name,
    );
    format(block, room, `${variable.name}=${variable.template}`, variable.values, `write ${variable.name}`);
    point(block.build, array, (strings.length + index) * 8, room);
  });
  return array;
}

/** Runs a command of the host and waits for it; `output`: a descriptor for its stdout and stderr, else /dev/null. */
export function runCommand(
  block: Block,
  command: HostCommand,
  output: Slot | null,
  onFailure: "fail" | "ignore",
  failed: Slot | null = null,
): void {
  const { build } = block;
  const pidfd = slot(build, `${command.name}.pidfd`);
  const pid = slot(build, `${command.name}.pid`);
  const pidfdRoom = buffer(build, 8, pidfd.name);
  const envp = environmentArray(block, command.environment, command.late);
  const args = cloneArguments(block, BigInt(CLONE_PIDFD), signalChild, pidfdRoom, null);
  const after = label(`after ${command.name}`);
  const anyway = onFailure === "ignore" ? { on: [{ on: "any" as const, to: after }] } : {};
  clone(block, command.name, args, { note: `start ${command.note}`, out: pid, at: command.at, ...anyway }, (child) => {
    child.at = command.at;
    commandChild(child, command, envp, output);
  });
  load(block, pidfd, pidfdRoom, 4, `take the pidfd of ${command.note}`);
  const result = slot(build, `${command.name}.result`);
  wait(block, pidfd, onFailure === "fail", { note: `run ${command.note}`, out: result, at: command.at, ...anyway });
  place(block, after);
  call(block, "close", [pidfd], { note: `close the pidfd of ${command.note}`, on: [{ on: "any", to: "next" }] });
  if (failed !== null) compute(block, failed, "or", failed, result, `remember whether ${command.note} failed`);
}

/** In the new process: default signals, stdio, cwd /, then exec. */
function commandChild(child: Block, command: HostCommand, envp: Data, output: Slot | null): void {
  const { build } = child;
  call(child, "prctl", [imm(PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"), imm(9, "SIGKILL"), imm(0), imm(0), imm(0)], {
    note: "die with whoever waits for it",
  });
  defaultSignals(child);
  const nullFd = slot(build, `${command.name}.null`);
  call(child, "openat", [imm(-100, "AT_FDCWD"), str(build, "/dev/null"), imm(2, "O_RDWR"), imm(0)], {
    note: "open /dev/null",
    out: nullFd,
  });
  call(child, "dup3", [nullFd, imm(0), imm(0)], { note: "stdin from /dev/null", on: [{ on: 22, to: "next" }] });
  for (const number of [1, 2]) {
    call(child, "dup3", [output ?? nullFd, imm(number), imm(0)], {
      note: `descriptor ${number}`,
      on: [{ on: 22, to: "next" }],
    });
  }
  call(child, "chdir", [str(build, "/")], { note: "change to /" });
  call(child, "close_range", [imm(3), imm(0xffffffff, "~0U"), imm(4, "CLOSE_RANGE_CLOEXEC")], {
    note: "close the other descriptors on exec",
  });
  call(child, "execve", [str(build, command.argv[0] ?? "/bin/sh"), stringArray(build, command.argv), envp], {
    note: `execute ${command.argv[0] ?? ""} for ${command.note}`,
  });
}

/** An empty signal mask; dispositions are the default ones already, but for what an ancestor ignored. */
export function defaultSignals(block: Block): void {
  call(
    block,
    "rt_sigprocmask",
    [imm(2, "SIG_SETMASK"), constant(block.build, "sigset", () => sigset([]), "[]"), nil, imm(8)],
    {
      note: "unblock all signals",
    },
  );
}

/** Hooks of one kind in the monitor's own namespaces, in order; any failure fails the program. */
export function runHostHooks(context: StartContext, block: Block, kind: HookKind, late: readonly LateVariable[]): void {
  hooksOf(context, kind).forEach((hook, index) => {
    runCommand(block, hookCommand(context, hook, index, late, null), context.slots.hookOutput, "fail");
  });
}

export function hookCommand(
  context: StartContext,
  hook: Hook,
  index: number,
  late: readonly LateVariable[],
  target: "stop" | "reboot" | null,
): HostCommand {
  return {
    name: `hook ${hook.kind} ${index + 1}`,
    argv: hookArgv(context, hook.command, "lxc", hook.kind, []).map((word, position) =>
      position < 2 || target === null || context.spec.hooks.version === 1 ? word : `${word}${namespaceWords(late)}`,
    ),
    environment: hookEnvironment(context, hook.kind, target),
    late,
    note: `the ${hook.kind} hook ${hook.command}`,
    at: hook.at,
  };
}

/** Version 0 stop hooks get the namespaces as further arguments, `mnt:/proc/MONITOR/fd/N`; the shell takes them from the environment. */
function namespaceWords(late: readonly LateVariable[]): string {
  return late.map((variable) => ` "${variable.name.slice(4, -3).toLowerCase()}:$${variable.name}"`).join("");
}

/**
 * Hooks that run when the container ends (stop, post-stop): failures do not matter, but that a failed post-stop hook turns a restart into a
 * stop. Which LXC_TARGET they see depends on the restart slot.
 */
export function deferHooks(context: StartContext, kind: "stop" | "post-stop", late: readonly LateVariable[]): void {
  const hooks = hooksOf(context, kind);
  if (hooks.length === 0) return;
  defer(context.monitor, `${kind} hooks`, `run the ${kind} hooks at the end`, (undo) => {
    const failed = slot(context.build, `${kind}.failed`);
    const restarting = label("restarting");
    const done = label("hooks done");
    jump(undo, restarting, "a restart was asked for", "ne", context.slots.restart, imm(0));
    hooks.forEach((hook, index) => {
      runCommand(undo, hookCommand(context, hook, index, late, "stop"), context.slots.hookOutput, "ignore");
    });
    jump(undo, done, "they have run");
    place(undo, restarting);
    hooks.forEach((hook, index) => {
      runCommand(undo, hookCommand(context, hook, index, late, "reboot"), context.slots.hookOutput, "ignore", failed);
    });
    if (kind === "post-stop") {
      jump(undo, done, "all succeeded", "eq", failed, imm(0));
      compute(undo, context.slots.restart, "set", imm(0), null, "a failed post-stop hook forbids the restart");
    }
    place(undo, done);
  });
}
