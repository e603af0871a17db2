/** Mounts of a container as <filesystem>s. */
import { showMountOptions } from "../../../spec/mount-options.js";
import type { MountEntry, MountOptions } from "../../../spec/mount.js";
import type { Filesystem } from "../xml/domain.js";

export function isReadOnly(options: MountOptions): boolean {
  return showMountOptions(options).includes("ro");
}

/** Places that every domain has something of libvirt's on. */
const own = ["proc", "sys", "dev"];

/** [] for what libvirt cannot say: other file systems than tmpfs, and those of the kernel's. */
export function filesystemOf(entry: MountEntry): readonly Filesystem[] {
  const { source, target, fstype, options } = entry;
  if (own.some((place) => target === place || target.startsWith(`${place}/`))) return [];
  const words = showMountOptions(options);
  const made = (from: Filesystem["source"]): readonly Filesystem[] => [
    { source: from, accessMode: "passthrough", target: `/${target}`, readonly: words.includes("ro") },
  ];
  if (words.includes("bind") || words.includes("rbind"))
    return entry.sourceInContainer
      ? made({ kind: "bind", dir: `/${source.replace(/^\/+/, "")}` })
      : made({ kind: "mount", dir: source });
  if (entry.image === "loop") return made({ kind: "file", file: source, driver: "loop", format: "raw" });
  if (fstype === "tmpfs") {
    const usage = kibOf(/(?:^|,)size=([^,]+)/.exec(options.data)?.[1] ?? "");
    return usage === null ? [] : made({ kind: "ram", usage });
  }
  return source.startsWith("/dev/") ? made({ kind: "block", dev: source }) : [];
}

const scales: Readonly<Record<string, bigint>> = { "": 1n, k: 1024n, m: 1024n ** 2n, g: 1024n ** 3n, t: 1024n ** 4n };

/** A size of tmpfs(5) in KiB, rounded up; null: relative to the host's memory, or none. */
export function kibOf(text: string): bigint | null {
  const match = /^([0-9]{1,18})([kmgt]?)$/i.exec(text.trim());
  if (match === null) return null;
  const bytes = BigInt(match[1] ?? "0") * (scales[(match[2] ?? "").toLowerCase()] ?? 1n);
  return (bytes + 1023n) / 1024n;
}
