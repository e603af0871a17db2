/** The main process, its environment and limits, the console and the life cycle of a configuration as a spec has them. */
import type { ConsoleSpec } from "../../../spec/console.js";
import type { HookSpec } from "../../../spec/hooks.js";
import { hookKinds } from "../../../spec/hooks.js";
import { personaOf } from "../../../spec/personality.js";
import type { EnvironmentEntry, InitSpec, ProcessSpec, RlimitEntry } from "../../../spec/process.js";
import { rlimitNumber } from "../../../spec/rlimit.js";
import type { LifecycleSpec } from "../../../spec/spec.js";
import type { Sourced } from "../../../base/source.js";
import { splitCommand } from "./command-line.js";
import { type Collector, fault, skipped } from "./collector.js";
import type { Item, NamedText, Values } from "./model.js";

const defaultInit = ["/sbin/init"] as const;

export function initSpec(values: Values, into: Collector): InitSpec {
  const mode = into.context.mode ?? "exec";
  return {
    command: command(values, mode, into),
    mode,
    cwd: values.initCwd ?? { value: "/", at: null },
    uid: values.initUid?.value ?? 0,
    gid: values.initGid?.value ?? 0,
    groups: values.initGroups.length === 0 ? null : values.initGroups.map((item) => item.value),
  };
}

function command(values: Values, mode: "exec" | "supervised", into: Collector): Sourced<readonly string[]> {
  const given = into.context.command ?? null;
  if (given !== null && given.length > 0) return { value: given, at: { file: "command line", line: 0, key: "" } };
  const item = mode === "exec" ? values.initCmd : values.executeCmd;
  if (item === null) {
    if (mode === "supervised") fault(into, "there is no command to execute", null, "give one, or set lxc.execute.cmd");
    return { value: defaultInit, at: null };
  }
  const words = splitCommand(item.value);
  if (words === null) fault(into, `a quote is not closed in "${item.value}"`, item.at);
  else if (words[0] === undefined || words[0] === "") fault(into, `"${item.value}" names no program`, item.at);
  return { value: words ?? defaultInit, at: item.at };
}

export function processSpec(values: Values, into: Collector): ProcessSpec {
  if (values.keyringSession?.value === false) {
    skipped(
      into,
      "lxc.keyring.session = 0 changes nothing; to go without a new session keyring write 1 (so it is in LXC, whatever its manual says)",
      values.keyringSession.at,
    );
  }
  return {
    environment: environment(values),
    rlimits: values.prlimits.flatMap((item) => rlimit(item, into)),
    sysctls: values.sysctls.map(({ value: { name, value }, at }) => ({ name: sysctlPath(name), value, at })),
    procFiles: values.procFiles.flatMap((item) => procFile(item, into)),
    personality: values.arch === null ? null : (personaOf(values.arch.value) ?? null),
    architecture: values.arch?.value ?? null,
    coreScheduling: values.schedCore?.value ?? false,
    newSessionKeyring: !(values.keyringSession?.value ?? false),
    timeOffset: { boottime: values.timeBoot?.value ?? null, monotonic: values.timeMonotonic?.value ?? null },
  };
}

/** LXC sets container=lxc last, so that nothing changes it. */
export const profileEnvironment: EnvironmentEntry = {
  kind: "set",
  name: "container",
  value: "lxc",
  scope: "runtime",
  at: null,
};

/** What is for everyone comes first, whatever the order of the lines: so the narrower keys win in LXC. */
function environment(values: Values): readonly EnvironmentEntry[] {
  const entries = values.environment.map(({ value: { name, value, scope }, at }): EnvironmentEntry =>
    value === null ? { kind: "inherit", name, scope, at } : { kind: "set", name, value, scope, at },
  );
  const forAll = entries.filter((entry) => entry.scope === "all");
  return [...forAll, ...entries.filter((entry) => entry.scope !== "all"), profileEnvironment];
}

function rlimit({ value: { name, value }, at }: Item<NamedText>, into: Collector): readonly RlimitEntry[] {
  const resource = /^[0-9]{1,2}$/.test(name) ? Number(name) : rlimitNumber(name);
  if (resource === undefined || resource > 15) {
    fault(
      into,
      `"${name}" is not a resource limit`,
      at,
      "write as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending or stack",
    );
    return [];
  }
  const number = (word: string): bigint | null => (word === "unlimited" ? null : BigInt(word));
  const [soft = "unlimited", hard = soft] = value.split(":");
  const entry: RlimitEntry = { resource, name, soft: number(soft), hard: number(hard), at };
  if (entry.hard !== null && (entry.soft === null || entry.soft > entry.hard))
    fault(into, `the soft limit "${soft}" is above the hard limit "${hard}"`, at);
  return [entry];
}

/** As sysctl(8): where a slash comes first, dots are part of names (net/ipv4/conf/eth0.100/forwarding). */
export function sysctlPath(name: string): string {
  return /^[^./]*\//.test(name) ? name : name.replace(/\./g, "/");
}

function procFile(
  { value: { name, value }, at }: Item<NamedText>,
  into: Collector,
): readonly { name: string; value: string; at: Item<NamedText>["at"] }[] {
  if (name.split("/").some((part) => part === ".." || part === "")) {
    fault(into, `"${name}" is not a file of a process`, at);
    return [];
  }
  return [{ name, value, at }];
}

/** More ttys than anyone logs in at, fewer than would exhaust the host's ptys. */
const maxTtys = 1024;

export function consoleSpec(values: Values, into: Collector): ConsoleSpec {
  const path = values.consolePath?.value ?? null;
  if ((values.ttyMax?.value ?? 0) > maxTtys) fault(into, `lxc.tty.max is above ${maxTtys}`, values.ttyMax?.at ?? null);
  const ttyDir =
    values.ttyDir?.value
      .split("/")
      .filter((part) => part !== "")
      .join("/") ?? "";
  if (ttyDir.split("/").includes("..")) fault(into, `lxc.tty.dir must stay below /dev`, values.ttyDir?.at ?? null);
  return {
    kind: path === null ? "pty" : path === "none" ? "none" : "device",
    path: path === "none" ? null : path,
    logFile: values.consoleLog?.value ?? null,
    logSize: values.consoleSize?.value ?? 0,
    logRotate: values.consoleRotate?.value ?? false,
    bufferSize: values.consoleBuffer?.value ?? 0,
    ttys: values.ttyMax?.value ?? 0,
    isTty1: false,
    ttyDir: ttyDir === "" ? null : ttyDir,
    ptys: values.ptyMax?.value ?? 0,
  };
}

export function hookSpec(values: Values): HookSpec {
  return {
    version: values.hookVersion?.value ?? 0,
    list: hookKinds.flatMap((kind) => values.hooks[kind].map(({ value, at }) => ({ kind, command: value, at }))),
  };
}

const SIGINT = 2;
const SIGKILL = 9;

export function lifecycleSpec(values: Values): LifecycleSpec {
  // 0 is what LXC has where nothing is set.
  const orNull = (item: Item<number> | null): number | null => (item === null || item.value === 0 ? null : item.value);
  return {
    haltSignal: orNull(values.signalHalt),
    rebootSignal: orNull(values.signalReboot) ?? SIGINT,
    onReboot: "restart",
    stopSignal: orNull(values.signalStop) ?? SIGKILL,
    monitorDeathSignal: values.monitorDeathSignal?.value ?? SIGKILL,
    ephemeral: values.ephemeral?.value ?? false,
    monitorUnshare: values.monitorUnshare?.value ?? false,
    autostart: {
      auto: values.startAuto?.value ?? false,
      delay: values.startDelay?.value ?? 0,
      order: values.startOrder?.value ?? 0,
      groups: values.groups.map((item) => item.value),
    },
    log: {
      level: values.logLevel?.value ?? null,
      file: values.logFile?.value ?? null,
      syslog: values.logSyslog?.value ?? null,
    },
  };
}
