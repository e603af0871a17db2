import type { Filesystem, FilesystemSource } from "../xml/domain.js";
import { internal, unsupported } from "./faults.js";
import { allOf, lastOf, type NativeSetting, wordsOf } from "./lines.js";
import { kibibytesFor, sizeInBytes } from "./sizes.js";

/** The filesystems of a configuration: its root, then what is mounted there, in their order. */
export function filesystemsOf(settings: readonly NativeSetting[]): readonly Filesystem[] {
  const root = rootOf(settings);
  const rootPath = root.source.kind === "mount" ? root.source.dir : null;
  const entries = allOf(settings, "lxc.mount.entry");
  return [root, ...entries.flatMap((entry) => mountOf(entry, rootPath) ?? [])];
}

const filesystem = (source: FilesystemSource, target: string, readonly: boolean): Filesystem => ({
  source,
  accessMode: "passthrough",
  target,
  readonly,
});

/** Sources that only LXC's own storage drivers can mount. */
const foreignBackends = ["overlay", "overlayfs", "aufs", "zfs", "nbd", "rbd"];

function rootOf(settings: readonly NativeSetting[]): Filesystem {
  const setting = lastOf(settings, "lxc.rootfs.path", "lxc.rootfs");
  if (setting === null) throw unsupported("Missing lxc.rootfs.path configuration");
  const { key, value, line } = setting;
  const backend = value.slice(0, Math.max(0, value.indexOf(":")));
  if (foreignBackends.includes(backend))
    throw unsupported(`${key} '${value}' cannot be a filesystem of a domain (line ${line})`);
  const options = lastOf(settings, "lxc.rootfs.options")?.value.split(",") ?? [];
  return filesystem(rootSource(backend, value), "/", options.includes("ro"));
}

function rootSource(backend: string, value: string): FilesystemSource {
  const path = ["dir", "btrfs", "lvm", "loop"].includes(backend) ? value.slice(backend.length + 1) : value;
  if (backend === "loop") return { kind: "file", file: path, driver: "loop", format: "raw" };
  return path.startsWith("/dev/") ? { kind: "block", dev: path } : { kind: "mount", dir: path };
}

/** What libvirt mounts in every container anyway. */
const basicTargets = [
  "/proc",
  "/proc/sys",
  "/proc/sys/net/ipv4",
  "/proc/sys/net/ipv6",
  "/sys",
  "/sys/fs/selinux",
  "/sys/kernel/security",
];

/** Types whose source is no path: a domain has no word for them, and its guest mounts them itself. */
// prettier-ignore
const kernelTypes = [
  "proc", "sysfs", "devpts", "devtmpfs", "mqueue", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "selinuxfs",
  "efivarfs", "pstore", "fusectl", "configfs", "hugetlbfs", "binfmt_misc", "bpf",
];

/** One lxc.mount.entry; null: nothing that a domain must say. */
function mountOf({ key, value, line }: NativeSetting, rootPath: string | null): Filesystem | null {
  const [source, place, type, optionText] = wordsOf(value).map(decoded);
  if (source === undefined || place === undefined || type === undefined || optionText === undefined)
    throw internal(`invalid ${key} '${value}' (line ${line})`);
  const target = targetOf(place, rootPath);
  const options = optionText.split(",");
  if (basicTargets.includes(target) || kernelTypes.includes(type)) return null;
  const readonly = options.includes("ro");
  if (type === "tmpfs") {
    const size = options.find((option) => option.startsWith("size="))?.slice("size=".length);
    if (size === undefined) throw internal("missing tmpfs size, set the size option");
    return filesystem({ kind: "ram", usage: kibibytesFor(sizeInBytes(size)) }, target, readonly);
  }
  // What is bound from /dev is a node or a directory; without that it is a device with a file system on it.
  const isBound = options.includes("bind") || options.includes("rbind");
  if (source.startsWith("/dev/") && !isBound) return filesystem({ kind: "block", dev: source }, target, readonly);
  if (options.includes("relative"))
    return filesystem({ kind: "bind", dir: source.startsWith("/") ? source : `/${source}` }, target, readonly);
  return filesystem({ kind: "mount", dir: source }, target, readonly);
}

/** What getmntent(3) decodes, and no more. */
const escapes: Readonly<Record<string, string>> = { "\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\" };
const decoded = (word: string): string => word.replace(/\\(?:040|011|012|134)/g, (code) => escapes[code] ?? code);

/** Inside; LXC also takes the path on the host, through the root. */
function targetOf(place: string, rootPath: string | null): string {
  const path = place.startsWith("/") ? place : `/${place}`;
  const inside = rootPath !== null && path.startsWith(`${rootPath}/`) ? path.slice(rootPath.length) : path;
  return inside.length > 1 ? inside.replace(/\/+$/, "") || "/" : inside;
}
