/** The system configuration, lxc.system.conf(5): /etc/lxc/lxc.conf, or ~/.config/lxc/lxc.conf of an ordinary user. */
import { parseLine, splitLines } from "./grammar.js";
import type { ConfigFiles } from "./model.js";

export interface SystemConfig {
  /** Where it was read from, there or not. */
  readonly file: string;
  /** Every key of `systemKeys` that has a value. */
  readonly items: ReadonlyMap<string, string>;
  /** The file has lxc.network.* lines: in 2013 it was the default configuration of new containers. */
  readonly holdsContainerConfig: boolean;
}

/** Keys in the order of lxc-config -l. */
export const systemKeys = [
  "lxc.default_config",
  "lxc.lxcpath",
  "lxc.bdev.lvm.vg",
  "lxc.bdev.lvm.thin_pool",
  "lxc.bdev.zfs.root",
  "lxc.bdev.rbd.rbdpool",
  "lxc.bdev.rbd.rbduser",
  "lxc.cgroup.pattern",
  "lxc.cgroup.use",
] as const;

export type SystemKey = (typeof systemKeys)[number];

/** `home`: of an ordinary user; null for root. */
export function systemConfigPath(home: string | null): string {
  return home === null ? "/etc/lxc/lxc.conf" : `${home}/.config/lxc/lxc.conf`;
}

function defaults(home: string | null): ReadonlyMap<string, string> {
  const map = new Map<string, string>([
    ["lxc.default_config", home === null ? "/etc/lxc/default.conf" : `${home}/.config/lxc/default.conf`],
    ["lxc.lxcpath", home === null ? "/var/lib/lxc" : `${home}/.local/share/lxc`],
    ["lxc.bdev.lvm.vg", "lxc"],
    ["lxc.bdev.lvm.thin_pool", "lxc"],
    ["lxc.bdev.zfs.root", "lxc"],
    ["lxc.bdev.rbd.rbdpool", "lxc"],
  ]);
  return home === null ? map.set("lxc.cgroup.pattern", "") : map;
}

/** Reads it; a missing file means the defaults. The first line of a key counts, comments begin in the first column. */
export function readSystemConfig(files: ConfigFiles, home: string | null = null): SystemConfig {
  const file = systemConfigPath(home);
  const text = files.read(file) ?? "";
  const items = new Map(defaults(home));
  const seen = new Set<string>();
  let holdsContainerConfig = false;
  for (const line of splitLines(text)) {
    if (line.text.startsWith("#")) continue;
    const parsed = parseLine(line.text);
    if (parsed.kind !== "setting") continue;
    if (parsed.key.startsWith("lxc.network.")) holdsContainerConfig = true;
    if (!systemKeys.some((key) => key === parsed.key) || seen.has(parsed.key)) continue;
    seen.add(parsed.key);
    items.set(parsed.key, parsed.key === "lxc.lxcpath" ? parsed.value.replace(/(.)\/+$/, "$1") : parsed.value);
  }
  if (items.get("lxc.cgroup.pattern") === "") items.delete("lxc.cgroup.pattern");
  return { file, items, holdsContainerConfig };
}

/** As lxc-config KEY; null: there is no such key. "" where it has no value. */
export function getSystemItem(config: SystemConfig, key: string): string | null {
  return systemKeys.some((known) => known === key) ? (config.items.get(key) ?? "") : null;
}

export interface DefaultConfig {
  readonly file: string;
  readonly text: string;
}

/**
 * The default configuration of new containers: lxc.default_config; where that file is missing, lxc.conf itself if it is one of 2013. null: there is none
 * (LXC 5 fails then, LXC 6 goes on without).
 */
export function findDefaultConfig(files: ConfigFiles, config: SystemConfig): DefaultConfig | null {
  for (const file of [config.items.get("lxc.default_config") ?? "", config.holdsContainerConfig ? config.file : ""]) {
    const text = file === "" ? null : files.read(file);
    if (text !== null) return { file, text };
  }
  return null;
}
