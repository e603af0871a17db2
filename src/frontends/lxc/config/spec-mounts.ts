/** Root file system and mounts of a configuration as a spec has them. */
import type { Source } from "../../../base/source.js";
import type { DevSpec, MountEntry, MountSpec } from "../../../spec/mount.js";
import { noMountOptions, parseMountOptions } from "../../../spec/mount-options.js";
import type { RootfsSource, RootfsSpec } from "../../../spec/rootfs.js";
import { type Collector, fault, skipped } from "./collector.js";
import { fstabLines, parseMountLine, type ParsedMount } from "./fstab.js";
import { normalisePath } from "./grammar.js";
import { defaultDevSize, splitRootfsPath } from "./keys-mount.js";
import type { Item, Values } from "./model.js";

/** What LXC puts into a /dev of its own (conf.c's device list); console, ttys and pts are the console's business. */
// prettier-ignore
export const defaultDev: Pick<DevSpec, "nodes" | "links"> = {
  nodes: [
    { name: "full", type: "c", major: 1, minor: 7, mode: 0o666 },
    { name: "null", type: "c", major: 1, minor: 3, mode: 0o666 },
    { name: "random", type: "c", major: 1, minor: 8, mode: 0o666 },
    { name: "tty", type: "c", major: 5, minor: 0, mode: 0o666 },
    { name: "urandom", type: "c", major: 1, minor: 9, mode: 0o666 },
    { name: "zero", type: "c", major: 1, minor: 5, mode: 0o666 },
  ],
  links: [
    { name: "fd", target: "/proc/self/fd" },
    { name: "stdin", target: "/proc/self/fd/0" },
    { name: "stdout", target: "/proc/self/fd/1" },
    { name: "stderr", target: "/proc/self/fd/2" },
  ],
};

export function rootfsSpec(values: Values, into: Collector): RootfsSpec {
  const given = values.rootfsPath;
  const at = given?.at ?? null;
  const split = splitRootfsPath(given?.value ?? "");
  const source: RootfsSource =
    given === null
      ? { kind: "host" }
      : withUpper(
          rootfsSource(split.type ?? values.rootfsBackend?.value ?? null, split.path, given, into),
          values,
          into,
        );
  const words = values.rootfsOptions?.value.split(",") ?? [];
  const map = words
    .filter((word) => word.startsWith("idmap="))
    .at(-1)
    ?.slice(6);
  const optionsAt = values.rootfsOptions?.at ?? null;
  if (map !== undefined) {
    if (source.kind === "host" || source.kind === "other")
      fault(
        into,
        "idmap= needs a root file system of the container's own",
        optionsAt,
        "write lxc.rootfs.path = dir:/PATH",
      );
    if (map === "container" && values.idmap.length === 0) fault(into, "idmap=container needs an lxc.idmap", optionsAt);
    if (map !== "container" && !map.startsWith("/"))
      fault(into, `"idmap=${map}" is neither idmap=container nor idmap=/path/to/a/user/namespace`, optionsAt);
  }
  return {
    source,
    documentPath: given === null ? "" : documentPath(source, split.path),
    mountPoint: values.rootfsMount?.value ?? null,
    options:
      words.length === 0 ? noMountOptions : parseMountOptions(words.filter((word) => !word.startsWith("idmap="))),
    idmap: map === undefined ? "as-is" : map === "container" ? "container" : { userns: map },
    ...(values.rootfsSize === null || source.kind !== "dir" ? {} : { size: values.rootfsSize.value }),
    managed: values.rootfsManaged?.value ?? true,
    at,
  };
}

/** The document's path, normalised: what LXC puts into LXC_ROOTFS_PATH. */
function documentPath(source: RootfsSource, written: string): string {
  switch (source.kind) {
    case "host":
      return "";
    case "dir":
    case "btrfs":
    case "loop":
    case "block":
    case "other":
      return source.path;
    case "zfs":
      return source.dataset;
    case "overlay":
      return written.split(":").map(normalisePath).join(":");
    default:
      return source satisfies never;
  }
}

/** islet.rootfs.upper: whatever directories the path names, all of them are only read. */
function withUpper(source: RootfsSource, values: Values, into: Collector): RootfsSource {
  const upper = values.rootfsUpper;
  if (upper === null) return source;
  const size = upper.value.size === null ? {} : { upperSize: upper.value.size };
  switch (source.kind) {
    case "dir":
    case "btrfs":
      return { kind: "overlay", lowers: [source.path], upper: null, ...size };
    case "overlay":
      return {
        kind: "overlay",
        lowers: [...(source.upper === null ? [] : [source.upper]), ...source.lowers],
        upper: null,
        ...size,
      };
    case "host":
    case "loop":
    case "block":
    case "zfs":
    case "other":
      fault(
        into,
        "islet.rootfs.upper works over directories only",
        upper.at,
        "write lxc.rootfs.path = dir:/PATH or overlay:...",
      );
      return source;
    default:
      return source satisfies never;
  }
}

function rootfsSource(type: string | null, path: string, given: Item<string>, into: Collector): RootfsSource {
  const absolute = (written: string): string => {
    const normal = normalisePath(written);
    if (!normal.startsWith("/")) fault(into, `the root file system "${written}" is not an absolute path`, given.at);
    return normal;
  };
  const known = type ?? detectType(path, into);
  switch (known) {
    case "dir":
      return { kind: "dir", path: absolute(path) };
    case "btrfs":
      return { kind: "btrfs", path: absolute(path) };
    case "overlay":
    case "overlayfs":
      return overlaySource(path, given, into);
    case "loop":
    case "loopback":
      return { kind: "loop", path: absolute(path) };
    case "block":
    case "lvm":
      return { kind: "block", driver: known, path: absolute(path) };
    case "zfs":
      return { kind: "zfs", dataset: path };
    case "nbd":
    case "rbd":
      return { kind: "other", driver: known, path };
    case "aufs":
      fault(
        into,
        "no kernel of today has aufs",
        given.at,
        "write overlay:/LOWER:/UPPER; what aufs kept in /UPPER cannot be taken over as it is",
      );
      return { kind: "dir", path };
    default:
      fault(
        into,
        `"${known}" is not a type of root file system: dir, overlay, loop, lvm, zfs, btrfs, nbd, rbd`,
        given.at,
      );
      return { kind: "dir", path };
  }
}

/** Most layers that the kernel takes below the upper one. */
const maxLowers = 500;

function overlaySource(path: string, given: Item<string>, into: Collector): RootfsSource {
  const parts = path.split(":").map(normalisePath);
  const upper = parts.at(-1) ?? "";
  const lowers = parts.slice(0, -1);
  if (lowers.length === 0 || !parts.every((part) => part.startsWith("/")))
    fault(into, `"${path}" does not name the layers of an overlay`, given.at, "write overlay:/LOWER:/UPPER");
  else if (lowers.length > maxLowers) fault(into, `an overlay of more than ${maxLowers} lower layers`, given.at);
  else {
    const below = (one: string, other: string): boolean => one === other || one.startsWith(`${other}/`);
    const wrong = lowers.find((lower) => below(upper, lower) || below(lower, upper));
    if (wrong !== undefined)
      fault(
        into,
        `the upper layer ${upper} and the lower one ${wrong} lie in one another`,
        given.at,
        "give the upper layer a directory of its own",
      );
  }
  return { kind: "overlay", lowers, upper };
}

/** A path without a type: what is there decides. */
function detectType(path: string, into: Collector): string {
  switch (into.context.stat(path)?.type) {
    case "b":
      return "block";
    case "file":
      return "loop";
    default:
      return "dir";
  }
}

/** fstab first, then the entries, as LXC does them. */
export function mountSpec(values: Values, rootfs: RootfsSpec, into: Collector): MountSpec {
  const entries: MountEntry[] = [];
  const roots = rootPrefixes(values, rootfs, into);
  const add = (line: string, at: Source): void => {
    const parsed = parseMountLine(line);
    if (parsed === null) return;
    if (typeof parsed === "string") fault(into, parsed, at);
    else {
      const entry = mountEntry(parsed, at, roots, values, into);
      if (entry !== null) entries.push(entry);
    }
  };
  if (values.fstab !== null) {
    const text = into.context.files.read(values.fstab.value);
    if (text === null)
      fault(
        into,
        `the mount table "${values.fstab.value}" cannot be read: it is missing or not a plain file`,
        values.fstab.at,
      );
    else for (const line of fstabLines(values.fstab.value, text)) add(line.text, line.at);
  }
  for (const item of values.mountEntries) add(item.value, item.at);
  return {
    auto: values.autoMounts,
    entries,
    dev: {
      populate: values.autodev?.value ?? true,
      noSetUid: false,
      tmpfsSize: values.autodevSize?.value ?? defaultDevSize,
      ...defaultDev,
    },
  };
}

/** Beginnings of absolute targets that stand for the container's root; [] where the host's root is used: there a path is itself. */
function rootPrefixes(values: Values, rootfs: RootfsSpec, into: Collector): readonly string[] {
  if (rootfs.source.kind === "host") return [];
  const { storePath, name } = into.context;
  const paths = [rootfs.documentPath, `${storePath}/${name}/rootfs`, values.rootfsMount?.value ?? ""].map((path) =>
    path === "" ? "" : normalisePath(path),
  );
  return paths.filter((path) => path.startsWith("/") && path !== "/");
}

function mountEntry(
  mount: ParsedMount,
  at: Source,
  roots: readonly string[],
  values: Values,
  into: Collector,
): MountEntry | null {
  const { problem, target: written } = mount;
  if (problem !== null) fault(into, problem, at);
  if (mount.idmap === "container" && values.idmap.length === 0) fault(into, "idmap=container needs an lxc.idmap", at);
  let target = written;
  if (written.startsWith("/") && values.rootfsPath !== null) {
    const path = normalisePath(written);
    const root = roots.find((prefix) => path === prefix || path.startsWith(`${prefix}/`));
    if (root === undefined) {
      skipped(
        into,
        `the mount on "${written}" is left out: the target is not below the container's root; write it without a leading slash`,
        at,
      );
      return null;
    }
    target = path.slice(root.length);
  }
  return {
    source: mount.source,
    target: insidePath(target),
    fstype: mount.fstype,
    options: mount.options,
    optional: mount.optional,
    create: mount.create,
    sourceInContainer: mount.sourceInContainer,
    idmap: mount.idmap,
    at,
  };
}

/** Below the root, without a leading slash; `..` never leaves it. */
function insidePath(path: string): string {
  if (!/^\/|\/\/|(?:^|\/)\.|\/$/.test(path)) return path;
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}
