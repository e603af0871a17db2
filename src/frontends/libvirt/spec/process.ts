/** <os>: the main process, its environment, and the signals that its life is led by. */
import type { EnvironmentEntry, InitSpec, ProcessSpec } from "../../../spec/process.js";
import { parseSignal } from "../../../spec/signal.js";
import type { LifecycleSpec } from "../../../spec/spec.js";
import type { DomainDoc, OsSpec } from "../xml/domain.js";

export function initSpec(os: OsSpec): InitSpec {
  return {
    command: { value: [os.init, ...os.initArgs], at: null },
    mode: "exec",
    cwd: { value: os.initDir ?? "/", at: null },
    uid: 0,
    gid: 0,
    groups: null,
    ...(os.initUser === null && os.initGroup === null ? {} : { login: { user: os.initUser, group: os.initGroup } }),
  };
}

export function processSpec(doc: DomainDoc): ProcessSpec {
  return {
    environment: environment(doc),
    rlimits: [],
    sysctls: [],
    procFiles: [],
    personality: doc.os.arch === "i686" ? "linux32" : null,
    architecture: doc.os.arch,
    coreScheduling: false,
    newSessionKeyring: true,
    timeOffset: { boottime: null, monotonic: null },
  };
}

/**
 * In libvirt's order; nothing else is there. `container` is the word that systemd knows libvirt's containers by. What names the guest is for init
 * alone: commands that are run later have an environment of their own.
 */
function environment(doc: DomainDoc): readonly EnvironmentEntry[] {
  const { os, uuid, name } = doc;
  const set = (key: string, value: string): EnvironmentEntry => ({
    kind: "set",
    name: key,
    value,
    scope: key === "container" ? "runtime" : "init",
    at: null,
  });
  // The devpts is the guest's own: the consoles are the first in it.
  const ttys = doc.consoles.slice(1).map((_, index) => `pts/${index + 1}`);
  return [
    set("PATH", "/bin:/usr/bin"),
    set("TERM", "linux"),
    set("container", "lxc-libvirt"),
    set("HOME", "/"),
    set("container_uuid", uuid),
    ...(ttys.length === 0 ? [] : [set("container_ttys", ttys.join(" "))]),
    set("LIBVIRT_LXC_UUID", uuid),
    set("LIBVIRT_LXC_NAME", name),
    ...(os.cmdline === null ? [] : [set("LIBVIRT_LXC_CMDLINE", os.cmdline)]),
    ...os.initEnv.map((entry) => set(entry.name, entry.value)),
  ];
}

/** What the host name may have of the domain's: letters, digits and dashes, none of these first. null: nothing is left. */
export function hostName(name: string): string | null {
  const filtered = name.replace(/[^A-Za-z0-9-]/g, "").replace(/^-/, "");
  // The kernel's __NEW_UTS_LEN.
  return filtered === "" ? null : filtered.slice(0, 64);
}

const usualLife: LifecycleSpec = {
  haltSignal: parseSignal("SIGTERM") ?? null,
  rebootSignal: parseSignal("SIGHUP") ?? 1,
  onReboot: "restart",
  stopSignal: parseSignal("SIGKILL") ?? 9,
  monitorDeathSignal: parseSignal("SIGKILL") ?? 9,
  ephemeral: false,
  monitorUnshare: false,
  autostart: { auto: false, delay: 0, order: 0, groups: [] },
  log: { level: null, file: null, syslog: null },
};

/**
 * The signals of a guest whose init serves no initctl: SIGTERM to shut down, SIGHUP to reboot. A reboot that is to destroy or to preserve the guest ends
 * it; what a power-off is to do is for whoever sees its end.
 */
export function lifecycleSpec({ onReboot }: DomainDoc): LifecycleSpec {
  const isRestart = onReboot === "restart" || onReboot === "rename-restart";
  return { ...usualLife, onReboot: isRestart ? "restart" : "end" };
}
