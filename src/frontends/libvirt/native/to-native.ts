import type { Capabilities, DomainDoc, NamespaceSource, OsSpec } from "../xml/domain.js";
import { unsupported } from "./faults.js";
import { type NativeLine, writeNative } from "./native-line.js";
import { cgroupLines } from "./to-cgroup.js";
import { basicDeviceLines, deviceLines, filesystemLines } from "./to-mounts.js";
import { networkLines } from "./to-network.js";

/** What a domain does not say and LXC wants to know. */
export interface ToNativeContext {
  /** Of a device node of the host's; null: it is none. */
  readonly deviceNumbers: (
    path: string,
  ) => { readonly kind: "b" | "c"; readonly major: number; readonly minor: number } | null;
  /** Of the host's, links followed. */
  readonly isDirectory: (path: string) => boolean;
  /** The bridge of a network; null: there is none of that name. */
  readonly bridgeOf: (network: string) => string | null;
}

/**
 * A configuration with which lxc-start runs what the domain is: keys of LXC 3 and newer, limits for both versions of control groups. Throws 67 for what LXC has no
 * words for; what changes nothing (emulator, clock, model of a nic, memory balloon) is left out.
 */
export function nativeFromDomain(doc: DomainDoc, context: ToNativeContext): string {
  checkPolicies(doc);
  return writeNative([
    ["lxc.uts.name", hostName(doc.name)],
    ["lxc.arch", doc.os.arch],
    ...filesystemLines(doc, context),
    ["lxc.mount.auto", "proc:mixed sys:ro cgroup:mixed"],
    ...processLines(doc.os),
    ...consoleLines(doc),
    ...idmapLines(doc),
    ...capabilityLines(doc.features.capabilities),
    ...labelLines(doc),
    ...namespaceLines(doc),
    ...networkLines(doc, context),
    ...cgroupLines(doc, context),
    ...basicDeviceLines,
    ...deviceLines(doc, context),
  ]);
}

/** What LXC does anyway is fine; anything else it cannot be told. */
function checkPolicies({ onPoweroff, onReboot, onCrash, partition, clock }: DomainDoc): void {
  if (onPoweroff !== "destroy") throw unsupported(`LXC has no on_poweroff action ${onPoweroff}`);
  if (onReboot !== "restart") throw unsupported(`LXC has no on_reboot action ${onReboot}`);
  if (onCrash !== "destroy") throw unsupported(`LXC has no on_crash action ${onCrash}`);
  if (partition !== null && partition !== "/machine") throw unsupported(`LXC has no resource partition ${partition}`);
  const timer = clock.timers.find(({ present }) => present === true);
  if (timer !== undefined) throw unsupported(`LXC has no timer ${timer.name}`);
}

/** The kernel's limit. */
function hostName(name: string): string {
  if (new TextEncoder().encode(name).length > 64) throw unsupported(`the name ${name} is longer than a host's can be`);
  return name;
}

function processLines(os: OsSpec): readonly NativeLine[] {
  const command = [os.init, ...os.initArgs.map(quotedWord)].join(" ");
  if (/[\s"']/.test(os.init))
    throw unsupported(`LXC cannot start an init with blanks or quotes in its path: ${os.init}`);
  const environment = [
    ...(os.cmdline === null ? [] : [{ name: "LIBVIRT_LXC_CMDLINE", value: os.cmdline }]),
    ...os.initEnv,
  ];
  const uid = identity(os.initUser, "user");
  const gid = identity(os.initGroup, "group");
  const isQuoted = os.initArgs.some((word) => quotedWord(word) !== word);
  return [
    ...(isQuoted ? [["#", "LXC before 6.0 takes quotes for a part of the words."] as const] : []),
    ["lxc.init.cmd", command],
    ...(os.initDir === null ? [] : [["lxc.init.cwd", os.initDir] as const]),
    ...(uid === null ? [] : [["lxc.init.uid", uid] as const]),
    ...(gid === null ? [] : [["lxc.init.gid", gid] as const]),
    ...environment.map(({ name, value }): NativeLine => ["lxc.environment", `${name}=${value}`]),
  ];
}

/** LXC takes words apart at blanks; one within quotes ends at the next of them. */
function quotedWord(word: string): string {
  if (word !== "" && !/\s|^["']/.test(word)) return word;
  const quote = ['"', "'"].find((each) => !word.includes(each));
  if (quote === undefined) throw unsupported(`LXC cannot be told the argument ${word} of init`);
  return `${quote}${word}${quote}`;
}

/** A number; names are looked up in the guest, which LXC does not. */
function identity(name: string | null, what: string): string | null {
  if (name === null || name === "root") return name === null ? null : "0";
  const [, number] = /^\+?(\d+)$/.exec(name) ?? [];
  if (number === undefined) throw unsupported(`LXC has no ${what} of init by name: ${name}`);
  return number;
}

function consoleLines({ consoles }: DomainDoc): readonly NativeLine[] {
  const other = consoles.find(({ type }) => type !== "pty");
  if (other !== undefined) throw unsupported("Only PTY console types are supported");
  // Without ptys of their own LXC's containers get no devpts at all.
  return [
    ["lxc.tty.max", String(consoles.length)],
    ["lxc.pty.max", "1024"],
  ];
}

function idmapLines({ idmap }: DomainDoc): readonly NativeLine[] {
  if (idmap === null) return [];
  const lines = (kind: string, ranges: typeof idmap.uids): readonly NativeLine[] =>
    ranges.map(({ start, target, count }) => ["lxc.idmap", `${kind} ${start} ${target} ${count}`]);
  return [...lines("u", idmap.uids), ...lines("g", idmap.gids)];
}

/** Of the default policy. */
const dropped = ["sys_module", "sys_time", "mknod", "audit_control", "mac_admin"];

function capabilityLines(capabilities: Capabilities | null): readonly NativeLine[] {
  const { policy, states } = capabilities ?? { policy: "default", states: [] };
  const names = (on: boolean): readonly string[] => states.filter((each) => each.on === on).map(({ name }) => name);
  if (policy === "deny") return [["lxc.cap.keep", names(true).join(" ") || "none"]];
  const byDefault = policy === "default" ? dropped.filter((name) => !names(true).includes(name)) : [];
  const drop = [...new Set([...byDefault, ...names(false)])];
  return drop.length === 0 ? [] : [["lxc.cap.drop", drop.join(" ")]];
}

function labelLines({ seclabels }: DomainDoc): readonly NativeLine[] {
  return seclabels.flatMap(({ type, model, label }): readonly NativeLine[] => {
    if (type !== "static" || label === null) return [];
    if (model === "selinux") return [["lxc.selinux.context", label]];
    if (model === "apparmor") return [["lxc.apparmor.profile", label]];
    throw unsupported(`LXC has no security model ${model ?? ""}`);
  });
}

function namespaceLines({ namespaces }: DomainDoc): readonly NativeLine[] {
  const line = (kind: string, source: NamespaceSource | null): readonly NativeLine[] => {
    if (source === null || source.type === "none") return [];
    // A path would be that of a container.
    if (source.type === "netns")
      throw unsupported(`LXC cannot share the network namespace ${source.value} by its name`);
    return [[`lxc.namespace.share.${kind}`, source.value]];
  };
  if (namespaces === null) return [];
  return [...line("net", namespaces.net), ...line("ipc", namespaces.ipc), ...line("uts", namespaces.uts)];
}
