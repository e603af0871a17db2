import { IsletError } from "../base/errors.js";
import type { CgroupSetting, DeviceRule } from "../spec/cgroup.js";
import type { HostFacts, LegacyHierarchy, StartFacts } from "../spec/host.js";
import type { ContainerSpec } from "../spec/spec.js";
import {
  type Block,
  buffer,
  call,
  clone,
  compute,
  cwdFd,
  data,
  defer,
  goOn,
  imm,
  jump,
  label,
  load,
  place,
  slot,
  str,
  stringArray,
  wait,
  blob,
  store,
  within,
} from "../program/assembler.js";
import { cloneArguments, close, mkdirat, openat, writeText } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import { EEXIST, ENOENT } from "../sys/errno.js";
import {
  BPF_CGROUP_DEVICE,
  BPF_F_ALLOW_MULTI,
  BPF_PROG_ATTACH,
  BPF_PROG_LOAD,
  BPF_PROG_TYPE_CGROUP_DEVICE,
  AT_REMOVEDIR,
  CLONE_PIDFD,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  openFlags,
} from "../sys/flags.js";
import { BPF_PROG_ATTACH_AT, BPF_PROG_LOAD_SIZE, bpfProgAttach, bpfProgLoad } from "../sys/structs.js";
import { type StartContext, rootOwner } from "./context.js";
import { translateToLegacy, translateToUnified, withBfq } from "./cgroup-translate.js";
import { type DevicePolicy, compileDevicePolicy, devicePolicy } from "./device-bpf.js";
import { defaultSignals, signalChild } from "./hooks.js";

/** The directories of a container in every hierarchy. */
export interface CgroupPaths {
  /** Payload directory per legacy hierarchy, absolute. */
  readonly legacy: readonly {
    readonly hierarchy: LegacyHierarchy;
    readonly path: string;
    readonly inner: string | null;
    readonly base: CgroupBase;
  }[];
  readonly unified: { readonly path: string; readonly inner: string | null; readonly base: CgroupBase } | null;
}

/** The directory below which a hierarchy is ours: its mount, or the scope that systemd has made. */
export interface CgroupBase {
  readonly path: string;
  /** Where the monitor goes, so that no process is in the scope itself, beside its children; null: it stays where it is. */
  readonly supervisor: string | null;
}

/** `lxc.payload.NAME` and its kin, below lxc.cgroup.dir or as the spec says (lxc.container.conf(5), CONTROL GROUP). */
export function payloadName(spec: ContainerSpec, suffix: string): string {
  const { cgroup, name } = spec;
  if (cgroup.payload !== null) return `${cgroup.payload}${suffix}`;
  if (cgroup.parent !== null) return `${cgroup.parent}/lxc.payload.${name}${suffix}`;
  if (cgroup.pattern !== null && cgroup.pattern !== "" && cgroup.pattern !== "%n")
    return `${cgroup.pattern.replaceAll("%n", name)}${suffix}`;
  return `lxc.payload.${name}${suffix}`;
}

function join(...parts: readonly string[]): string {
  return parts.join("/").replace(/\/+/g, "/");
}

/** The paths as a start uses them. */
export interface StartCgroups extends CgroupPaths {
  /** Directories between the hierarchies' mounts and the payload: the slot is 1 where this start made them, and its end removes them. */
  readonly parents: ReadonlyMap<string, Slot>;
}

export function cgroupPaths(context: StartContext): StartCgroups {
  const paths = payloadPaths(context.spec, context.host, context.start);
  const parents = new Map<string, Slot>();
  for (const { path, base } of [...paths.legacy, ...(paths.unified === null ? [] : [paths.unified])]) {
    const rest = path.slice(base.path.length).split("/").filter(Boolean);
    for (let count = 1; count < rest.length; count += 1) {
      const parent = [base.path, ...rest.slice(0, count)].join("/");
      parents.set(parent, slot(context.build, `${parent} is ours`));
    }
  }
  return { ...paths, parents };
}

export function payloadPaths(spec: ContainerSpec, host: HostFacts, start: StartFacts): CgroupPaths {
  const name = payloadName(spec, start.cgroupSuffix);
  const placeIn = (
    mount: string,
    own: string,
    key: string,
    inner: string | null,
  ): NonNullable<CgroupPaths["unified"]> => {
    const scope = start.scope[key];
    const above = spec.cgroup.relative ? (start.callerCgroups[key] ?? own) : "/";
    const path = scope === undefined ? join(mount, above, name) : join(mount, scope, "payload");
    return {
      path,
      inner: inner === null ? null : `${path}/${inner}`,
      base:
        scope === undefined
          ? { path: mount, supervisor: null }
          : { path: join(mount, scope), supervisor: join(mount, scope, "supervisor") },
    };
  };
  return {
    legacy: host.cgroups.legacy.map((hierarchy) => ({
      hierarchy,
      ...placeIn(
        hierarchy.mount,
        hierarchy.own,
        hierarchy.controllers.join(","),
        isFlat(hierarchy, spec) ? null : spec.cgroup.inner,
      ),
    })),
    unified:
      host.cgroups.unified === null
        ? null
        : placeIn(host.cgroups.unified.mount, host.cgroups.unified.own, "", spec.cgroup.inner),
  };
}

/**
 * Where the processes are in the payload's own group: what blkio of v1 limits in a group it does not limit in those below, and its devices take a rule of
 * all devices only in a group with none below, to which nothing is handed down that is allowed later (kernel documentation, cgroup-v1).
 */
function isFlat({ controllers }: LegacyHierarchy, { cgroup: { devicesV1, devicesV2 } }: ContainerSpec): boolean {
  if (controllers.includes("blkio")) return true;
  return controllers.includes("devices") && pick(devicesV1, devicesV2).some((rule) => rule.type === "a");
}

/** Does the configuration itself say where the control groups are? */
export function hasOwnPlace({ cgroup }: ContainerSpec): boolean {
  const { relative, parent, payload, monitor, pattern } = cgroup;
  return (
    relative ||
    parent !== null ||
    payload !== null ||
    monitor !== null ||
    (pattern !== null && !["", "%n", "lxc.payload.%n"].includes(pattern))
  );
}

/** The monitor leaves the scope's own group, in which systemd has put it: with a process in that, cgroup v2 gives the groups below no controllers. */
export function enterSupervisor(context: StartContext, paths: CgroupPaths): void {
  const { monitor } = context;
  const places = [
    ...paths.legacy.map((item) => ({ ...item.base, file: "tasks" })),
    ...(paths.unified === null ? [] : [{ ...paths.unified.base, file: "cgroup.procs" }]),
  ];
  for (const { supervisor, file } of places) {
    if (supervisor === null) continue;
    mkdirat(monitor, cwdFd, supervisor, 0o755, {
      note: `make the cgroup ${supervisor}`,
      // After a restart of the container.
      on: [{ on: EEXIST, to: "next" }],
    });
    writeFile(monitor, `${supervisor}/${file}`, "0", `move the monitor into the cgroup ${supervisor}`, null);
  }
}

/** Registers the removal of all payload directories; whatever is still in them is killed first by the reaper. */
export function deferRemoval(context: StartContext, paths: StartCgroups): void {
  const all = [...paths.legacy.map((item) => item.path), ...(paths.unified === null ? [] : [paths.unified.path])];
  if (all.length === 0) return;
  const { build, monitor, spec } = context;
  defer(monitor, "remove cgroups", "remove the cgroups at the end", (undo) => {
    const slow = label("still in use");
    const done = label("removed");
    const inners = spec.cgroup.inner === null ? [] : all.map((path) => `${path}/${spec.cgroup.inner ?? ""}`);
    for (const path of [...inners, ...all]) {
      call(undo, "unlinkat", [cwdFd, str(build, path), imm(AT_REMOVEDIR, "AT_REMOVEDIR")], {
        note: `remove the cgroup ${path}`,
        on: [
          { on: ENOENT, to: "next" },
          { on: "any", to: slow },
        ],
      });
    }
    jump(undo, done, "all are gone");
    place(undo, slow);
    runReaper(undo, all);
    place(undo, done);
    for (const [path, ours] of [...paths.parents].reverse()) {
      const foreign = label(`${path} is not ours`);
      jump(undo, foreign, "it was there before", "eq", ours, imm(0));
      call(undo, "unlinkat", [cwdFd, str(build, path), imm(AT_REMOVEDIR, "AT_REMOVEDIR")], {
        note: `remove the cgroup ${path}`,
        on: [{ on: "any", to: "next" }],
      });
      place(undo, foreign);
    }
  });
}

/** `islet reap DIR...`: the static binary kills what is in the cgroups and removes the trees. */
function runReaper(undo: Block, paths: readonly string[]): void {
  const { build } = undo;
  const pidfd = slot(build, "reaper.pidfd");
  const room = buffer(build, 8, "reaper.pidfd");
  clone(
    undo,
    "reaper",
    cloneArguments(undo, BigInt(CLONE_PIDFD), signalChild, room, null),
    { note: "start the reaper" },
    (child) => {
      defaultSignals(child);
      call(
        child,
        "execve",
        [str(build, "/proc/self/exe"), stringArray(build, ["islet", "reap", ...paths]), stringArray(build, [])],
        { note: "execute the reaper" },
      );
    },
  );
  load(undo, pidfd, room, 4, "take the reaper's pidfd");
  wait(undo, pidfd, false, { note: "wait for the reaper" });
  close(undo, pidfd, "close the reaper's pidfd");
}

/** Makes the payload directories and applies all limits that need no process. */
export function makeCgroups(context: StartContext, paths: StartCgroups, unifiedFd: Slot | null): void {
  const { monitor, host } = context;
  const settings = resolveSettings(context);
  for (const item of paths.legacy) {
    const cpuset = item.hierarchy.controllers.includes("cpuset");
    makeDirectories(monitor, item.path, item.base.path, paths.parents, (parent, directory) => {
      if (cpuset) inheritProcessors(context, item.hierarchy.mount, parent, directory);
    });
    for (const setting of settings.legacy) {
      const controller = setting.file.split(".")[0] ?? "";
      if (item.hierarchy.controllers.includes(controller)) applySetting(monitor, item.path, setting);
    }
    if (item.inner !== null) makeDirectories(monitor, item.inner, item.path, paths.parents);
    handOver(context, item.inner ?? item.path, ["tasks", "cgroup.procs"]);
  }
  const { unified } = paths;
  if (unified !== null && host.cgroups.unified !== null) {
    const { controllers } = host.cgroups.unified;
    makeDirectories(monitor, unified.path, unified.base.path, paths.parents, undefined, (parent) => {
      enableControllers(monitor, parent, controllers);
    });
    for (const setting of settings.unified) applySetting(monitor, unified.path, setting);
    if (unified.inner !== null)
      makeDirectories(monitor, unified.inner, unified.path, paths.parents, undefined, (parent) => {
        enableControllers(monitor, parent, controllers);
      });
    handOver(context, unified.inner ?? unified.path, ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"]);
    if (unifiedFd !== null) {
      openat(
        monitor,
        cwdFd,
        unified.inner ?? unified.path,
        O_PATH | openFlags(context.build.arch).O_DIRECTORY,
        unifiedFd,
        { note: "open the payload cgroup" },
      );
    }
  }
}

/** The container's root of a user namespace may make cgroups below its own and move its processes; the limits stay the host's. */
function handOver(context: StartContext, directory: string, files: readonly string[]): void {
  const owner = rootOwner(context);
  if (owner === null) return;
  for (const path of [directory, ...files.map((file) => `${directory}/${file}`)]) {
    call(
      context.monitor,
      "fchownat",
      [cwdFd, str(context.build, path), imm(owner.uid), imm(owner.gid), imm(0x100, "AT_SYMLINK_NOFOLLOW")],
      { note: `give ${path} to the container's root`, on: [{ on: ENOENT, to: "next" }] },
    );
  }
}

/**
 * All directories on the way below the mount; they may exist. `made`: what a new one needs; `before`: what its parent needs first. The slots of
 * `parents` say which directories above the payload are ours.
 */
function makeDirectories(
  block: Block,
  path: string,
  mount: string,
  parents: ReadonlyMap<string, Slot>,
  made: (parent: string, directory: string) => void = () => undefined,
  before: (parent: string) => void = () => undefined,
): void {
  const rest = path.slice(mount.length).split("/").filter(Boolean);
  rest.forEach((_, index) => {
    const parent = [mount, ...rest.slice(0, index)].join("/");
    const directory = [mount, ...rest.slice(0, index + 1)].join("/");
    const exists = label(`${directory} exists`);
    const last = index === rest.length - 1;
    before(parent);
    mkdirat(block, cwdFd, directory, 0o755, {
      note: `make the cgroup ${directory}`,
      // The payload's own directory may be a left-over without settings.
      on: last ? [{ on: EEXIST, to: "next" }] : goOn(exists, EEXIST),
      hints: {
        EACCES: "this needs a cgroup that is delegated to the caller",
        EROFS: "the cgroup file system is mounted read-only",
      },
    });
    const ours = parents.get(directory);
    if (ours !== undefined) compute(block, ours, "set", imm(1), null, `${directory} is ours`);
    made(parent, directory);
    place(block, exists);
  });
}

/** A cpuset of v1 begins without processors and memory nodes: it gets its parent's. */
function inheritProcessors(context: StartContext, mount: string, parent: string, directory: string): void {
  const { monitor, host, build } = context;
  if (parent === mount) {
    writeFile(monitor, `${directory}/cpuset.cpus`, host.cpus, `allow the processors ${host.cpus}`, null);
    writeFile(
      monitor,
      `${directory}/cpuset.mems`,
      host.memoryNodes,
      `allow the memory nodes ${host.memoryNodes}`,
      null,
    );
  } else {
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      const fd = slot(build, "file");
      const text = buffer(build, 4096, "LIST");
      const length = slot(build, "list.length");
      const note = `inherit ${file} from ${parent}`;
      openat(monitor, cwdFd, `${parent}/${file}`, O_RDONLY, fd, { note });
      call(monitor, "read", [fd, text, imm(4096)], { note, out: length });
      close(monitor, fd, "close it");
      openat(monitor, cwdFd, `${directory}/${file}`, O_WRONLY, fd, { note });
      call(monitor, "write", [fd, text, length], { note });
      close(monitor, fd, "close it");
    }
  }
  writeFile(monitor, `${directory}/cgroup.clone_children`, "1", "let child cgroups inherit them", null);
}

function enableControllers(block: Block, directory: string, controllers: readonly string[]): void {
  for (const controller of controllers) {
    const note = `enable ${controller} below ${directory}`;
    writeFile(block, `${directory}/cgroup.subtree_control`, `+${controller}`, note, null, true);
  }
}

/** open, write, close of a control file. */
export function writeFile(
  block: Block,
  path: string,
  value: string,
  note: string,
  at: CgroupSetting["at"],
  mayFail = false,
): void {
  const fd = slot(block.build, "file");
  const before = block.at;
  block.at = at;
  const after = label(`after ${path}`);
  const on = mayFail ? [{ on: "any" as const, to: after }] : [];
  const hints = {
    EINVAL: `the kernel refused the value ${JSON.stringify(value)}`,
    ENOENT: "this kernel or hierarchy has no such file",
  };
  openat(block, cwdFd, path, O_WRONLY, fd, { note, on, hints });
  writeText(block, fd, value, { note, on: mayFail ? [{ on: "any", to: "next" }] : [], hints });
  close(block, fd, `close ${path}`);
  place(block, after);
  block.at = before;
}

function applySetting(block: Block, directory: string, setting: CgroupSetting): void {
  writeFile(
    block,
    `${directory}/${setting.file}`,
    setting.value,
    `set ${setting.file} to ${setting.value}`,
    setting.at,
  );
}

/** Which settings this host gets: its own kind's as they are, the other kind's translated where its own says nothing of them. */
export function resolveSettings(context: StartContext): {
  readonly legacy: readonly CgroupSetting[];
  readonly unified: readonly CgroupSetting[];
} {
  const { host, spec } = context;
  const legacyControllers = new Set(host.cgroups.legacy.flatMap((hierarchy) => hierarchy.controllers));
  const unifiedControllers = new Set(host.cgroups.unified?.controllers ?? []);
  const legacy: CgroupSetting[] = [];
  const unified: CgroupSetting[] = [];
  const onUnified = (file: string): boolean =>
    file.startsWith("cgroup.") ? host.cgroups.unified !== null : unifiedControllers.has(file.split(".")[0] ?? "");
  const onLegacy = (file: string): boolean => legacyControllers.has(file.split(".")[0] ?? "");
  for (const setting of spec.cgroup.settings) {
    if (setting.version === "v1") {
      if (onLegacy(setting.file)) legacy.push(setting);
      else unified.push(...translateToUnified(setting, spec.cgroup.settings).filter(where(setting, onUnified)));
    } else if (onUnified(setting.file)) unified.push(setting);
    else legacy.push(...translateToLegacy(setting, spec.cgroup.settings).filter(where(setting, onLegacy)));
  }
  const isBfq = host.cgroups.legacy.some(({ hasBfqWeights }) => hasBfqWeights === true);
  return {
    legacy: orderLegacy(ownWin(legacy, "v1", spec.cgroup.settings)).map((each) => (isBfq ? withBfq(each) : each)),
    unified: ownWin(unified, "v2", spec.cgroup.settings),
  };
}

/** What a setting was translated to must be there: a limit that nobody keeps is an error. */
function where(setting: CgroupSetting, has: (file: string) => boolean): (made: CgroupSetting) => boolean {
  return (made) => {
    if (has(made.file)) return true;
    const controller = setting.file.split(".")[0] ?? "";
    throw new IsletError("ISLET_UNSUPPORTED", `this host has no cgroup controller for ${setting.file}`, {
      at: setting.at,
      hint: `mount a hierarchy with the controller ${controller}, or remove the line`,
    });
  };
}

/** A translated setting gives way to one that the document has in this host's own words. */
function ownWin(
  settings: readonly CgroupSetting[],
  own: CgroupSetting["version"],
  given: readonly CgroupSetting[],
): readonly CgroupSetting[] {
  const named = new Set(given.filter((item) => item.version === own).map((item) => item.file));
  return settings.filter((item) => given.includes(item) || !named.has(item.file));
}

/** memory.memsw.limit must follow memory.limit (kernel documentation, cgroup-v1/memory). */
function orderLegacy(settings: readonly CgroupSetting[]): readonly CgroupSetting[] {
  const late = (setting: CgroupSetting): boolean => setting.file.startsWith("memory.memsw.");
  return [...settings.filter((setting) => !late(setting)), ...settings.filter(late)];
}

/**
 * The `tasks` files of the legacy hierarchies. A process that writes itself to `tasks` is moved without the kernel's lock on all forks, whose
 * grace period costs milliseconds when somebody else moves it through `cgroup.procs`. It must have one thread.
 */
export function openTasks(block: Block, directories: readonly string[]): readonly Slot[] {
  return directories.map((directory, index) => {
    const fd = slot(block.build, `tasks.${index + 1}`);
    openat(block, cwdFd, `${directory}/tasks`, O_WRONLY, fd, { note: `open ${directory}/tasks` });
    return fd;
  });
}

/** The process moves itself; with `handedDown` the files were opened before clone, outside of a user namespace. */
export function joinTasks(block: Block, directories: readonly string[], handedDown: readonly Slot[] | null): void {
  const zero = data(block.build, new Uint8Array([0x30]), '"0"', 1);
  const hints = { ENOSPC: "cpuset.cpus and cpuset.mems of the cgroup are empty" };
  directories.forEach((directory, index) => {
    const fd = handedDown?.[index] ?? slot(block.build, "tasks");
    if (handedDown === null)
      openat(block, cwdFd, `${directory}/tasks`, O_WRONLY, fd, { note: `open ${directory}/tasks` });
    call(block, "write", [fd, zero, imm(1)], { note: `move into the cgroup ${directory}`, full: true, hints });
    close(block, fd, "close it");
  });
}

/** Where the container's processes live in the legacy hierarchies. */
export function legacyDirectories(paths: CgroupPaths): readonly string[] {
  return paths.legacy.map((item) => item.inner ?? item.path);
}

/** The rules of a spec that this host keeps by a program on the unified cgroup; null: it has the devices controller of v1. */
export function unifiedDevicePolicy(spec: ContainerSpec, host: HostFacts): DevicePolicy | null {
  if (host.cgroups.unified === null || host.cgroups.legacy.some((item) => item.controllers.includes("devices")))
    return null;
  const { devicesV1, devicesV2 } = spec.cgroup;
  return devicePolicy(pick(devicesV2, devicesV1), devicesV2.length > 0 ? "deny" : "allow");
}

/** Device rules; applied when the container's nodes have been made. */
export function applyDeviceRules(context: StartContext, paths: CgroupPaths, unifiedFd: Slot | null): void {
  const { host, spec, monitor } = context;
  const hierarchy = paths.legacy.find((item) => item.hierarchy.controllers.includes("devices"));
  const given =
    hierarchy !== undefined
      ? pick(spec.cgroup.devicesV1, spec.cgroup.devicesV2)
      : pick(spec.cgroup.devicesV2, spec.cgroup.devicesV1);
  // In a user namespace the kernel takes no rules: those that nobody wrote down are left out.
  const rules = host.inUserNamespace ? given.filter((rule) => rule.at !== null) : given;
  if (rules.length === 0) return;
  if (hierarchy !== undefined) {
    for (const rule of rules) {
      writeFile(
        monitor,
        `${hierarchy.path}/devices.${rule.allow ? "allow" : "deny"}`,
        deviceText(rule),
        `${rule.allow ? "allow" : "deny"} the device ${deviceText(rule)}`,
        rule.at,
      );
    }
    return;
  }
  const policy = unifiedDevicePolicy(spec, host);
  if (unifiedFd === null || policy === null)
    throw new IsletError(
      "ISLET_UNSUPPORTED",
      "device rules need a cgroup hierarchy with the devices controller or cgroup v2",
      { at: rules[0]?.at ?? null },
    );
  attachDeviceProgram(context, policy, unifiedFd);
}

function pick(own: readonly DeviceRule[], other: readonly DeviceRule[]): readonly DeviceRule[] {
  return own.length > 0 ? own : other;
}

/** `c 1:3 rwm`, as devices.allow takes it. */
export function deviceText(rule: DeviceRule): string {
  if (rule.type === "a") return "a";
  const number = (value: number | null): string => (value === null ? "*" : String(value));
  return `${rule.type} ${number(rule.major)}:${number(rule.minor)} ${rule.read ? "r" : ""}${rule.write ? "w" : ""}${rule.mknod ? "m" : ""}`;
}

function attachDeviceProgram(context: StartContext, policy: DevicePolicy, unifiedFd: Slot): void {
  const { monitor, build } = context;
  const program = slot(build, "device.program");
  loadDeviceProgram(monitor, policy, program);
  const attach = data(
    build,
    bpfProgAttach({ type: BPF_CGROUP_DEVICE, flags: BPF_F_ALLOW_MULTI }),
    "{BPF_CGROUP_DEVICE}",
  );
  store(monitor, unifiedFd, within(attach, BPF_PROG_ATTACH_AT.target_fd, 4), 4, "name the cgroup");
  store(monitor, program, within(attach, BPF_PROG_ATTACH_AT.attach_bpf_fd, 4), 4, "name the program");
  call(monitor, "bpf", [imm(BPF_PROG_ATTACH, "BPF_PROG_ATTACH"), attach, imm(attach.size)], {
    note: "attach the device rules to the payload cgroup",
    hints: { EPERM: "another program on a cgroup above forbids it" },
  });
  close(monitor, program, "close the device program");
}

/** Name of all device programs of ours: bpftool shows it, and it is how they are told from a guest's own. */
export const deviceProgramName = "islet_devices";

/** `program` becomes a descriptor of the loaded program. */
export function loadDeviceProgram(block: Block, policy: DevicePolicy, program: Slot): void {
  const instructions = compileDevicePolicy(policy);
  const attr = blob(
    block.build,
    bpfProgLoad({
      type: BPF_PROG_TYPE_CGROUP_DEVICE,
      instructions,
      name: deviceProgramName,
      expectedAttachType: BPF_CGROUP_DEVICE,
    }),
    `{BPF_PROG_TYPE_CGROUP_DEVICE, ${instructions.length / 8} instructions}`,
  );
  call(block, "bpf", [imm(BPF_PROG_LOAD, "BPF_PROG_LOAD"), attr, imm(BPF_PROG_LOAD_SIZE)], {
    note: "load the device rules",
    out: program,
  });
}
