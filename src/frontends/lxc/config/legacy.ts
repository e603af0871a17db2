/** Names of LXC 0.7 to 2.0 that LXC 3.0 and later refuse: what they are called today. */
import type { Draft } from "./model.js";
import { type KeyRow, textKey } from "./row.js";
import { Problem } from "./scalars.js";

/** Old name to new name; null: accepted and without effect. */
export const legacyNames: Readonly<Record<string, string | null>> = {
  "lxc.utsname": "lxc.uts.name",
  "lxc.rootfs": "lxc.rootfs.path",
  "lxc.pivotdir": null,
  "lxc.kmsg": null,
  "lxc.mount": "lxc.mount.fstab",
  "lxc.console": "lxc.console.path",
  "lxc.tty": "lxc.tty.max",
  "lxc.pts": "lxc.pty.max",
  "lxc.devttydir": "lxc.tty.dir",
  "lxc.aa_profile": "lxc.apparmor.profile",
  "lxc.aa_allow_incomplete": "lxc.apparmor.allow_incomplete",
  "lxc.se_context": "lxc.selinux.context",
  "lxc.seccomp": "lxc.seccomp.profile",
  "lxc.id_map": "lxc.idmap",
  "lxc.haltsignal": "lxc.signal.halt",
  "lxc.rebootsignal": "lxc.signal.reboot",
  "lxc.stopsignal": "lxc.signal.stop",
  "lxc.loglevel": "lxc.log.level",
  "lxc.logfile": "lxc.log.file",
  "lxc.syslog": "lxc.log.syslog",
  "lxc.init_cmd": "lxc.init.cmd",
  "lxc.init_uid": "lxc.init.uid",
  "lxc.init_gid": "lxc.init.gid",
  "lxc.limit": "lxc.prlimit",
  "lxc.network": "lxc.net",
};

/** Old names of what follows lxc.network. or lxc.network.N. where it differs. `lxcscript.up` is the Ubuntu guide's slip. */
export const legacyNicNames: Readonly<Record<string, string>> = {
  ipv4: "ipv4.address",
  ipv6: "ipv6.address",
  "lxcscript.up": "script.up",
  "lxcscript.down": "script.down",
};

/** lxc.rootfs.backend has no key of its own any more: its value stands before the path of lxc.rootfs.path. */
export const legacyRows: readonly KeyRow[] = [
  textKey("lxc.rootfs.backend", "rootfsBackend", {
    since: "1.1",
    doc: "Type of lxc.rootfs; today lxc.rootfs.path = TYPE:PATH.",
  }),
];

export interface Renamed {
  /** null: the key has no effect any more. */
  readonly key: string | null;
}

/**
 * Today's name of an old key; null for a key that is not an old one. Unnumbered lxc.network.* lines (2013) belong to the nic that the
 * last lxc.network.type opened, which `draft` remembers: a type opens a nic here.
 */
export function renameLegacy(draft: Draft, key: string, value: string): Renamed | Problem | null {
  if (Object.hasOwn(legacyNames, key)) return { key: legacyNames[key] ?? null };
  if (key.startsWith("lxc.limit.")) return { key: `lxc.prlimit.${key.slice(10)}` };
  if (!key.startsWith("lxc.network.")) return null;
  const rest = key.slice(12);
  const numbered = /^([0-9]+)(?:\.(.*))?$/.exec(rest);
  if (numbered !== null) {
    const sub = numbered[2];
    return { key: sub === undefined ? `lxc.net.${numbered[1]}` : `lxc.net.${numbered[1]}.${nicName(sub)}` };
  }
  if (rest === "type") {
    if (value === "") return { key: "lxc.net" };
    draft.legacyNic = 1 + draft.nics.reduce((last, nic) => Math.max(last, nic.index), -1);
  }
  if (draft.legacyNic === null) {
    return new Problem(`${key} comes before any lxc.network.type: it cannot be told which network device it is for`);
  }
  return { key: `lxc.net.${draft.legacyNic}.${nicName(rest)}` };
}

function nicName(sub: string): string {
  return (Object.hasOwn(legacyNicNames, sub) ? legacyNicNames[sub] : undefined) ?? sub;
}

/** Today's name of a key that is only asked for; numbered by the first nic where it has no number. */
export function currentName(key: string): string {
  if (key.startsWith("lxc.limit.")) return `lxc.prlimit.${key.slice(10)}`;
  const nic = /^lxc\.network\.(?:([0-9]+)(?=\.|$)\.?)?(.*)$/.exec(key);
  if (nic !== null) return nic[2] === "" ? `lxc.net.${nic[1]}` : `lxc.net.${nic[1] ?? "0"}.${nicName(nic[2] ?? "")}`;
  return (Object.hasOwn(legacyNames, key) ? legacyNames[key] : undefined) ?? key;
}
