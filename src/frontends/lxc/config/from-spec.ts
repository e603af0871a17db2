/** Any spec as lxc.container.conf: what another front end described, shown in LXC's words. */
import { lxdPolicyName } from "./profile-lxd.js";
import { archNames } from "../../../spec/personality.js";
import { capabilityName } from "../../../spec/capability.js";
import { showMountOptions } from "../../../spec/mount-options.js";
import type { GuestSpec } from "../../../spec/guest.js";
import type { EnvironmentEntry, ProcessSpec } from "../../../spec/process.js";
import type { RootfsSpec } from "../../../spec/rootfs.js";
import type { SecuritySpec } from "../../../spec/security.js";
import { signalName } from "../../../spec/signal.js";
import type { ContainerSpec, LifecycleSpec } from "../../../spec/spec.js";
import { joinCommand } from "./command-line.js";
import { fromNamespaces, fromNetwork } from "./from-network.js";
import { showMountEntry } from "./fstab.js";
import { defaultDevSize, showAutoMounts } from "./keys-mount.js";
import { showBytes, showUpper } from "./keys-islet.js";
import { rootfsValue } from "./rootfs-value.js";
import { profileEnvironment } from "./spec-process.js";
import { defaultDev } from "./spec-mounts.js";
import { Writer } from "./writer.js";

/**
 * A configuration that parseConfig and toSpec turn into the same spec (but for sources and annotations), where LXC has words for it. What LXC cannot
 * say stands there as a comment. Only what differs from LXC's defaults is written.
 */
export function fromSpec(spec: ContainerSpec): string {
  const out = new Writer();
  out.text("lxc.uts.name", spec.hostname?.value ?? null);
  fromProcess(spec, out);
  fromRootfs(spec.rootfs, out);
  fromMounts(spec, out);
  fromConsole(spec, out);
  fromNamespaces(spec, out);
  fromSecurity(spec.security, out);
  fromCgroup(spec, out);
  fromNetwork(spec, out);
  if (spec.hooks.version === 1) out.text("lxc.hook.version", "1");
  for (const hook of spec.hooks.list) out.text(`lxc.hook.${hook.kind}`, hook.command);
  fromLifecycle(spec.lifecycle, out);
  fromGuest(spec.guest, out);
  return out.toString();
}

function fromGuest(guest: GuestSpec, out: Writer): void {
  if (guest.profile === "libvirt")
    out.comment("This container is a domain of libvirt's: virsh dumpxml shows all of it.");
  else if (guest.profile !== "lxc") out.text("islet.guest", guest.profile);
  out.text("islet.uuid", guest.uuid);
  if (guest.profile === "systemd" || guest.localtime !== "off") out.text("islet.localtime", guest.localtime);
  if (guest.profile === "systemd" || guest.journal !== "no") out.text("islet.journal", guest.journal);
  if (guest.profile === "systemd" || guest.scope !== "no") out.text("islet.scope", guest.scope);
  for (const { name, value } of guest.run?.credentials ?? []) {
    if (/^\S(?:.*\S)?$/.test(value) && !value.startsWith("file:")) out.text(`islet.credential.${name}`, value);
    else out.comment(`the credential ${name} cannot be written in a line: put it into a file and name that`);
  }
  for (const { name } of guest.run?.users ?? []) out.text("islet.bind.user", name);
  out.flag("islet.lxcfs", guest.lxcfs, true);
  out.flag("islet.guest.api", guest.api !== null, guest.profile === "lxd");
}

function fromProcess(spec: ContainerSpec, out: Writer): void {
  const { init, process } = spec;
  const persona = process.personality === "linux32" ? "i686" : process.personality === "linux" ? "x86_64" : null;
  const known = process.architecture !== null && archNames().includes(process.architecture);
  out.text("lxc.arch", known ? process.architecture : persona);
  const command = joinCommand(init.command.value);
  const key = init.mode === "supervised" ? "lxc.execute.cmd" : "lxc.init.cmd";
  if (command === null) out.comment(`${key} has words with both kinds of quotes, which this format cannot say`);
  else if (key === "lxc.execute.cmd" || command !== "/sbin/init") out.text(key, command);
  if (init.cwd.value !== "/") out.text("lxc.init.cwd", init.cwd.value);
  out.number("lxc.init.uid", init.uid, 0);
  out.number("lxc.init.gid", init.gid, 0);
  if (init.groups !== null && init.groups.length > 0) out.text("lxc.init.groups", init.groups.join(","));
  fromEnvironment(process.environment, out);
  fromLimits(process, out);
}

function fromEnvironment(environment: readonly EnvironmentEntry[], out: Writer): void {
  const last = environment.at(-1);
  const isProfile =
    last?.kind === "set" &&
    last.name === profileEnvironment.name &&
    last.value === "lxc" &&
    last.scope === profileEnvironment.scope;
  if (!isProfile)
    out.comment("LXC always adds container=lxc to the environment; this container does not have it in that place.");
  for (const entry of isProfile ? environment.slice(0, -1) : environment) {
    // What is for init alone has no key: it is for commands that are run later as well, then.
    const scope = entry.scope === "init" ? "runtime" : entry.scope;
    const key = scope === "all" ? "lxc.environment" : `lxc.environment.${scope}`;
    out.text(key, entry.kind === "inherit" ? entry.name : `${entry.name}=${entry.value}`);
  }
}

function fromLimits(process: ProcessSpec, out: Writer): void {
  const limit = (value: bigint | null): string => (value === null ? "unlimited" : String(value));
  for (const { name, soft, hard } of process.rlimits)
    out.text(`lxc.prlimit.${name}`, soft === hard ? limit(soft) : `${limit(soft)}:${limit(hard)}`);
  for (const { name, value } of process.sysctls)
    out.text(`lxc.sysctl.${name.includes(".") ? name : name.replace(/\//g, ".")}`, value);
  for (const { name, value } of process.procFiles) out.text(`lxc.proc.${name}`, value);
  out.flag("lxc.sched.core", process.coreScheduling, false);
  out.flag("lxc.keyring.session", !process.newSessionKeyring, false);
  if (process.timeOffset.boottime !== null) out.text("lxc.time.offset.boot", `${process.timeOffset.boottime}ns`);
  if (process.timeOffset.monotonic !== null) out.text("lxc.time.offset.monotonic", `${process.timeOffset.monotonic}ns`);
}

function fromRootfs(rootfs: RootfsSpec, out: Writer): void {
  const { source } = rootfs;
  if (source.kind !== "host") out.text("lxc.rootfs.path", rootfsValue(source));
  if (source.kind === "overlay" && source.upper === null)
    out.text("islet.rootfs.upper", showUpper({ size: source.upperSize ?? null }));
  out.text("lxc.rootfs.mount", rootfs.mountPoint);
  const options = [...showMountOptions(rootfs.options)];
  if (rootfs.idmap !== "as-is")
    options.push(`idmap=${rootfs.idmap === "container" ? "container" : rootfs.idmap.userns}`);
  if (options.length > 0) out.text("lxc.rootfs.options", options.join(","));
  out.flag("lxc.rootfs.managed", rootfs.managed, true);
  if (rootfs.size !== undefined) out.text("islet.rootfs.size", showBytes(rootfs.size));
}

function fromMounts(spec: ContainerSpec, out: Writer): void {
  const { auto, dev, entries } = spec.mounts;
  // That scope is a profile's alone, with all around it.
  const words = auto.cgroup?.scope === "newest" ? "" : showAutoMounts(auto);
  if (words !== "") out.text("lxc.mount.auto", words);
  for (const entry of entries) {
    if (entry.image === undefined) out.text("lxc.mount.entry", showMountEntry(entry));
    else out.comment(`The file system in ${entry.source} is mounted on /${entry.target}: LXC must be told its type.`);
  }
  out.flag("lxc.autodev", dev.populate, true);
  out.number("lxc.autodev.tmpfs.size", dev.tmpfsSize, defaultDevSize);
  if (JSON.stringify({ nodes: dev.nodes, links: dev.links }) !== JSON.stringify(defaultDev)) {
    out.comment(`/dev has other nodes than LXC's: ${dev.nodes.map((node) => node.name).join(" ")}`);
  }
}

function fromConsole(spec: ContainerSpec, out: Writer): void {
  const { console } = spec;
  out.text("lxc.console.path", console.kind === "none" ? "none" : console.kind === "device" ? console.path : null);
  out.text("lxc.console.logfile", console.logFile);
  out.flag("lxc.console.rotate", console.logRotate, false);
  out.number("lxc.console.size", console.logSize, 0);
  out.number("lxc.console.buffer.size", console.bufferSize, 0);
  out.number("lxc.tty.max", console.ttys, 0);
  out.text("lxc.tty.dir", console.ttyDir);
  out.number("lxc.pty.max", console.ptys, 0);
}

function fromSecurity(security: SecuritySpec, out: Writer): void {
  const { capabilities, seccomp, apparmor, selinux } = security;
  const names = capabilities.capabilities.map(capabilityName).join(" ");
  if (capabilities.kind === "keep") out.text("lxc.cap.keep", names === "" ? "none" : names);
  else if (names !== "") out.text("lxc.cap.drop", names);
  out.flag("lxc.no_new_privs", security.noNewPrivileges, false);
  if (seccomp !== null && seccomp.file !== lxdPolicyName) {
    out.text("lxc.seccomp.profile", seccomp.file);
    out.flag("lxc.seccomp.allow_nesting", seccomp.allowNesting, false);
    out.text("lxc.seccomp.notify.proxy", seccomp.notifyProxy === null ? null : `unix:${seccomp.notifyProxy}`);
    out.text("lxc.seccomp.notify.cookie", seccomp.notifyCookie);
  }
  out.text("lxc.apparmor.profile", apparmor.profile?.value ?? null);
  out.flag("lxc.apparmor.allow_incomplete", apparmor.allowIncomplete, false);
  out.flag("lxc.apparmor.allow_nesting", apparmor.allowNesting, false);
  for (const line of apparmor.raw) out.text("lxc.apparmor.raw", line);
  out.text("lxc.selinux.context", selinux.context?.value ?? null);
  out.text("lxc.selinux.context.keyring", selinux.keyringContext);
}

function fromCgroup(spec: ContainerSpec, out: Writer): void {
  const { cgroup } = spec;
  const number = (value: number | null): string => (value === null ? "*" : String(value));
  for (const [prefix, rules] of [
    ["lxc.cgroup", cgroup.devicesV1],
    ["lxc.cgroup2", cgroup.devicesV2],
  ] as const) {
    for (const rule of rules) {
      const access = `${rule.read ? "r" : ""}${rule.write ? "w" : ""}${rule.mknod ? "m" : ""}`;
      const value = rule.type === "a" ? "a" : `${rule.type} ${number(rule.major)}:${number(rule.minor)} ${access}`;
      out.text(`${prefix}.devices.${rule.allow ? "allow" : "deny"}`, value);
    }
  }
  for (const setting of cgroup.settings)
    out.text(`${setting.version === "v1" ? "lxc.cgroup" : "lxc.cgroup2"}.${setting.file}`, setting.value);
  out.flag("lxc.cgroup.relative", cgroup.relative, false);
  out.text("lxc.cgroup.dir", cgroup.parent);
  out.text("lxc.cgroup.dir.container", cgroup.payload);
  // One without the other is refused when it is read.
  const monitor = cgroup.payload === null ? null : `lxc.monitor.${spec.name}`;
  out.text("lxc.cgroup.dir.monitor", cgroup.monitor ?? monitor);
  out.text("lxc.cgroup.dir.monitor.pivot", cgroup.pivot);
  out.text("lxc.cgroup.dir.container.inner", cgroup.inner);
}

function fromLifecycle(lifecycle: LifecycleSpec, out: Writer): void {
  const signal = (value: number | null): string | null =>
    value === null ? null : value === 0 ? "0" : signalName(value);
  out.text("lxc.signal.halt", signal(lifecycle.haltSignal));
  if (lifecycle.rebootSignal !== 2) out.text("lxc.signal.reboot", signal(lifecycle.rebootSignal));
  if (lifecycle.stopSignal !== 9) out.text("lxc.signal.stop", signal(lifecycle.stopSignal));
  if (lifecycle.monitorDeathSignal !== 9) out.text("lxc.monitor.signal.pdeath", signal(lifecycle.monitorDeathSignal));
  out.flag("lxc.ephemeral", lifecycle.ephemeral, false);
  out.flag("lxc.monitor.unshare", lifecycle.monitorUnshare, false);
  out.flag("lxc.start.auto", lifecycle.autostart.auto, false);
  out.number("lxc.start.delay", lifecycle.autostart.delay, 0);
  out.number("lxc.start.order", lifecycle.autostart.order, 0);
  if (lifecycle.autostart.groups.length > 0) out.text("lxc.group", lifecycle.autostart.groups.join(" "));
  out.text("lxc.log.level", lifecycle.log.level);
  out.text("lxc.log.file", lifecycle.log.file);
  out.text("lxc.log.syslog", lifecycle.log.syslog);
}
