import { IsletError } from "../base/errors.js";
import type { AttachRequest, AttachTarget } from "../plan/attach.js";
import { type NamespaceKind, namespaceKinds } from "../spec/namespace.js";
import type { MonitorMeta } from "../runtime/monitors.js";
import type { Arch } from "../sys/arch.js";
import type { AttachOptions } from "./engine.js";
import { loginShell, readGuestFile } from "./guest-files.js";
import { personaOf } from "../sys/personality.js";

export function attachTargetOf(meta: MonitorMeta): AttachTarget {
  return meta.attach as AttachTarget;
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const maxPasswd = 1024 * 1024;

/** Of a running guest; "" where it has none that can be read. */
function passwdOf(arch: Arch, pid: number): string {
  try {
    return readGuestFile(arch, `/proc/${pid}/root`, "etc/passwd", maxPasswd)?.text ?? "";
  } catch {
    return "";
  }
}

/** What the caller wants, with the container's environment and the guest's own shell filled in. */
export function attachRequest(arch: Arch, meta: MonitorMeta, pid: number, options: AttachOptions): AttachRequest {
  const uid = options.uid ?? 0;
  const argv = options.command ?? [loginShell(passwdOf(arch, pid), uid)];
  return {
    argv,
    environment: attachEnvironment(meta, options),
    cwd: options.caller.cwd,
    uid,
    gid: options.gid ?? 0,
    namespaces: options.namespaces === null ? null : options.namespaces.map(namespaceKind),
    joinCgroup: !options.elevated.cgroup,
    dropCapabilities: !options.elevated.capabilities,
    confine: !options.elevated.lsm,
    selinuxContext: options.selinuxContext,
    remountSysProc: options.remountSysProc,
    personality: options.architecture === null ? null : (personaOf(options.architecture) ?? null),
    terminals: options.terminals,
    withLog: options.terminalLog !== undefined,
  };
}

function namespaceKind(name: string): NamespaceKind {
  const aliases: Readonly<Record<string, NamespaceKind>> = { mnt: "mount", network: "net", utsname: "uts" };
  const lower = name.toLowerCase();
  const kind = namespaceKinds.find((known) => known === (aliases[lower] ?? lower));
  if (kind === undefined)
    throw new IsletError("ISLET_BAD_REQUEST", `there is no namespace kind "${name}"`, {
      hint: `known are ${namespaceKinds.join(", ")}`,
    });
  return kind;
}

/** lxc-attach(1): the caller's environment or a clear one, then the container's, then what -v sets. */
function attachEnvironment(meta: MonitorMeta, options: AttachOptions): readonly string[] {
  const out = new Map<string, string>();
  const set = (entry: string): void => {
    const at = entry.indexOf("=");
    if (at > 0) out.set(entry.slice(0, at), entry.slice(at + 1));
  };
  if (options.environment === "keep")
    for (const [name, value] of Object.entries(options.caller.environment)) out.set(name, value);
  else {
    for (const name of options.keepNames) {
      const value = options.caller.environment[name];
      if (value !== undefined) out.set(name, value);
    }
    if (!options.keepNames.includes("PATH")) out.set("PATH", defaultPath);
  }
  if (meta.tellsInit !== true) out.set("container", "lxc");
  for (const entry of meta.environment) set(entry);
  for (const entry of options.set) set(entry);
  return [...out].map(([name, value]) => `${name}=${value}`);
}
