/** <filesystem>: the root and the mounts of a guest. */
import { noMountOptions, parseMountOptions } from "../../../spec/mount-options.js";
import type { AutoMounts, MountEntry } from "../../../spec/mount.js";
import type { RootfsSource, RootfsSpec } from "../../../spec/rootfs.js";
import type { DomainDoc, Filesystem } from "../xml/domain.js";
import { type SpecContext, failedStart, unsupported } from "./context.js";

/** The first one with the target "/"; null: the guest has the host's root. */
export function rootOf({ filesystems }: DomainDoc): Filesystem | null {
  return filesystems.find(({ target }) => isRoot(target)) ?? null;
}

const isRoot = (target: string): boolean => target.split("/").every((part) => part === "" || part === ".");

export function rootfsSpec(doc: DomainDoc): RootfsSpec {
  const root = rootOf(doc);
  const source = rootfsSource(root);
  const isTree = source.kind === "dir" || source.kind === "host";
  return {
    source,
    documentPath: source.kind === "dir" || source.kind === "block" || source.kind === "loop" ? source.path : "",
    mountPoint: null,
    // What is mounted below it is read-only, too.
    options: isTree
      ? root?.readonly === true
        ? parseMountOptions(["rbind", "ro"])
        : noMountOptions
      : parseMountOptions([...(root?.readonly === true ? ["ro"] : []), ...labelWords(doc)]),
    idmap: "as-is",
    managed: false,
    at: null,
  };
}

/** All that is in a file system of the guest's own has the guest's label. */
function labelWords({ seclabels }: DomainDoc): readonly string[] {
  const imageLabel = seclabels.find(({ model }) => model === "selinux")?.imageLabel ?? null;
  return imageLabel === null ? [] : [`context="${imageLabel}"`];
}

function rootfsSource(root: Filesystem | null): RootfsSource {
  if (root === null) return { kind: "host" };
  const { source } = root;
  switch (source.kind) {
    case "mount":
      return source.dir === "/" ? { kind: "host" } : { kind: "dir", path: source.dir };
    case "block":
      return { kind: "block", driver: "block", path: source.dev };
    case "file":
      checkImage(source);
      return { kind: "loop", path: source.file };
    case "bind":
    case "ram":
    case "other":
      throw unsupported(`Unexpected filesystem type ${typeName(root)}`);
    default:
      return source satisfies never;
  }
}

const typeName = ({ source }: Filesystem): string => (source.kind === "other" ? source.type : source.kind);

function checkImage(source: Extract<Filesystem["source"], { readonly kind: "file" }>): void {
  const { driver, format } = source;
  if (driver !== null && driver !== "loop") throw unsupported(`fs driver ${driver} is not supported`);
  if (format !== null && format !== "raw") throw unsupported(`fs format ${format} is not supported`);
}

/** Those beside the root, in the order of the document. */
export function mountEntries(doc: DomainDoc, context: SpecContext): readonly MountEntry[] {
  return doc.filesystems
    .filter(({ target }) => !isRoot(target))
    .map((filesystem) => mountEntry(filesystem, labelWords(doc), context));
}

function mountEntry(filesystem: Filesystem, label: readonly string[], context: SpecContext): MountEntry {
  const { source, target, readonly } = filesystem;
  const common = {
    target: target.split("/").filter(Boolean).join("/"),
    optional: false,
    create: "dir",
    sourceInContainer: false,
    idmap: null,
    at: null,
  } as const;
  const access = readonly ? ["ro"] : [];
  switch (source.kind) {
    case "mount": {
      const found = context.stat(source.dir);
      if (found === null) throw failedStart(`${source.dir} for ${target}: No such file or directory`);
      return {
        ...common,
        source: source.dir,
        fstype: "none",
        options: parseMountOptions(["bind", ...access]),
        create: found.kind === "dir" ? "dir" : "file",
      };
    }
    case "bind":
      return {
        ...common,
        source: source.dir.split("/").filter(Boolean).join("/"),
        fstype: "none",
        options: parseMountOptions(["bind", ...access]),
        sourceInContainer: true,
      };
    case "ram":
      return {
        ...common,
        source: "tmpfs",
        fstype: "tmpfs",
        options: parseMountOptions(["nosuid", "nodev", ...access, `size=${source.usage}k`, ...label]),
      };
    case "block":
    case "file": {
      if (source.kind === "file") checkImage(source);
      const [path, image] =
        source.kind === "file" ? ([source.file, "loop"] as const) : ([source.dev, "block"] as const);
      return { ...common, source: path, fstype: "auto", options: parseMountOptions([...access, ...label]), image };
    }
    case "other":
      throw unsupported(`unsupported filesystem type ${source.type}`);
    default:
      return source satisfies never;
  }
}

/** /proc/sys is read-only but for a network that is the guest's own, /sys too; of the control groups the guest sees its own. */
export function autoMounts(ownNetwork: boolean): AutoMounts {
  return {
    proc: ownNetwork ? "mixed" : "ro",
    sys: "ro",
    cgroup: { scope: "own", mode: "rw", force: true },
    shared: null,
    at: null,
  };
}

/** Where the host has it, for tools that look whether there are security modules. Not for another user namespace: the kernel's policies are the host's. */
export function securityMounts(isMapped: boolean, context: SpecContext): readonly MountEntry[] {
  return isMapped || context.stat("/sys/kernel/security/lsm") === null ? [] : [securityfs];
}

const securityfs: MountEntry = {
  source: "/sys/kernel/security",
  target: "sys/kernel/security",
  fstype: "none",
  options: parseMountOptions(["bind", "ro", "nosuid", "nodev", "noexec"]),
  optional: true,
  create: null,
  sourceInContainer: false,
  idmap: null,
  at: null,
};
