import { existsSync } from "node:fs";
import type { IdMapEntry } from "../../../spec/idmap.js";

/** The lines that templates of distributions add to a container's configuration. */

const configs = "/usr/share/lxc/config";

/**
 * What LXC's files for all distributions say, for hosts that do not have these files: devices, capabilities and mounts. Hooks and the seccomp
 * profile are files of LXC's, too, and left out.
 */
const withoutFiles: readonly string[] = [
  "lxc.tty.dir =",
  "lxc.pty.max = 1024",
  "lxc.tty.max = 4",
  "lxc.cap.drop = mac_admin mac_override sys_time sys_module sys_rawio",
  ...["cgroup", "cgroup2"].flatMap((version) => [
    `lxc.${version}.devices.deny = a`,
    ...["c *:* m", "b *:* m"].map((rule) => `lxc.${version}.devices.allow = ${rule}`),
    ...["1:3", "1:5", "1:7", "5:0", "5:1", "5:2", "1:8", "1:9", "136:*", "10:229"].map(
      (node) => `lxc.${version}.devices.allow = c ${node} rwm`,
    ),
  ]),
  "lxc.mount.auto = cgroup:mixed proc:mixed sys:mixed",
];

/** The files of LXC's that are there for a distribution and release, as lines; those for id-mapped containers come last. */
export function commonLines(
  distribution: string,
  release: string,
  idmap: readonly IdMapEntry[],
  exists: (path: string) => boolean = existsSync,
): readonly string[] {
  const file = (name: string): readonly string[] => {
    const path = `${configs}/${distribution}.${name}.conf`;
    return exists(path) ? [`lxc.include = ${path}`] : [];
  };
  const common = file("common");
  const isMapped = idmap.length > 0;
  return [
    ...(common.length === 0 ? withoutFiles : common),
    ...(release === "" ? [] : file(release)),
    ...(isMapped ? file("userns") : []),
    // With these two systemd tries what a user namespace does not let it: to mount debugfs and to load modules.
    ...(isMapped ? ["lxc.cap.drop = sys_rawio sys_module"] : []),
  ];
}

const hasRootfs = (config: string): boolean => /^lxc\.rootfs\.path/m.test(config);

/** As lxc-debian writes it: everything behind what is there. */
export function appendedConfig(
  config: string,
  rootfs: string,
  common: readonly string[],
  own: readonly string[],
): string {
  const lines = [
    "",
    "# Common configuration",
    ...common,
    "",
    "# Container specific configuration",
    ...(hasRootfs(config) ? [] : [`lxc.rootfs.path = ${rootfs}`]),
    ...own,
  ];
  return `${config}${lines.join("\n")}\n`;
}

/** As lxc-ubuntu writes it: what was there goes behind the included files, the network to the end. */
export function arrangedConfig(
  config: string,
  rootfs: string,
  common: readonly string[],
  own: readonly string[],
): string {
  const before = config.split("\n").slice(0, config.endsWith("\n") ? -1 : undefined);
  const isNetwork = (line: string): boolean => /lxc.net.0/.test(line);
  const isKey = (line: string): boolean => /lxc./.test(line) && !isNetwork(line);
  const lines = [
    ...before.filter((line) => !isNetwork(line) && !isKey(line)),
    "",
    "# Common configuration",
    ...common,
    "",
    "# Container specific configuration",
    ...before.filter(isKey),
    ...(hasRootfs(config) ? [] : [`lxc.rootfs.path = ${rootfs}`]),
    ...own,
    "",
    "# Network configuration",
    ...before.filter(isNetwork),
  ];
  return `${lines.join("\n")}\n`;
}
