import { type Block, cwdFd, slot } from "../program/assembler.js";
import {
  close,
  mkdirat,
  mountSetattr,
  moveMount,
  newFilesystem,
  openTree,
  openat2,
  type FsOption,
} from "../program/calls.js";
import type { Slot, Value } from "../program/ops.js";
import { EEXIST } from "../sys/errno.js";
import { MOUNT_ATTR_RDONLY, O_PATH } from "../sys/flags.js";
import { keepsCapability } from "./capability.js";
import type { CgroupPaths } from "./cgroup.js";
import type { StartContext } from "./context.js";
import { beneath } from "./dev.js";
import { guarded, insideRootNoLinks } from "./mount.js";

const capSysAdmin = 21;

/**
 * /sys/fs/cgroup for the container (lxc.mount.auto = cgroup...). With a cgroup namespace init mounts what it wants itself, so only `force`
 * does it here, after the namespace was made: the hierarchies as it shows them.
 */
export function planNamespacedCgroups(context: StartContext, child: Block, paths: CgroupPaths): void {
  const { mounts, guest } = context.spec;
  const always = mounts.auto.cgroup?.force === true || (guest.unifiedCgroups && isPure(context));
  if (!isNamespaced(context) || !always) return;
  planCgroupMounts(context, child, paths, cwdFd, true);
}

/** Without a cgroup namespace: binds of the container's own directories (or of the whole hierarchies), while the host's tree is in view. */
export function planBoundCgroups(context: StartContext, child: Block, paths: CgroupPaths, root: Slot): void {
  if (isNamespaced(context)) return;
  planCgroupMounts(context, child, paths, root, false);
}

function isNamespaced(context: StartContext): boolean {
  return context.spec.namespaces.cgroup.kind !== "keep" && context.host.namespaces.includes("cgroup");
}

/** The host has nothing but cgroup2. */
function isPure(context: StartContext): boolean {
  return context.host.cgroups.legacy.length === 0;
}

function planCgroupMounts(
  context: StartContext,
  child: Block,
  paths: CgroupPaths,
  base: Value,
  namespaced: boolean,
): void {
  const wanted = context.spec.mounts.auto.cgroup;
  if (wanted === null) return;
  child.at = context.spec.mounts.auto.at;
  const mode =
    wanted.mode === "default"
      ? keepsCapability(context.spec.security.capabilities, capSysAdmin)
        ? "rw"
        : "mixed"
      : wanted.mode;
  const sysfs = slot(context.build, "cgroup.dir");
  openat2(child, base, "sys/fs/cgroup", O_PATH, insideRootNoLinks, sysfs, {
    note: "open /sys/fs/cgroup",
    hints: { ENOENT: "sysfs is not mounted in the container; add sys to lxc.mount.auto" },
  });
  const pureUnified = isPure(context);
  if (wanted.scope === "v2" || pureUnified || (wanted.scope === "newest" && paths.unified !== null)) {
    if (paths.unified !== null)
      mountOne(
        context,
        child,
        sysfs,
        ".",
        namespaced,
        "cgroup2",
        [],
        context.host.cgroups.unified?.mount ?? "/sys/fs/cgroup",
        paths.unified.path,
        mode,
        wanted.scope === "full",
      );
  } else {
    const tmpfs = slot(context.build, "cgroup.tmpfs");
    newFilesystem(
      child,
      "tmpfs",
      [
        { name: "source", value: "cgroup" },
        { name: "mode", value: "0755" },
        { name: "size", value: "10240k" },
      ],
      guarded,
      tmpfs,
      { note: "mount a tmpfs on /sys/fs/cgroup" },
    );
    moveMount(child, tmpfs, sysfs, { note: "mount a tmpfs on /sys/fs/cgroup" });
    for (const item of paths.legacy) {
      const name = item.hierarchy.mount.split("/").at(-1) ?? "cgroup";
      const options: readonly FsOption[] = item.hierarchy.controllers.flatMap((controller): readonly FsOption[] =>
        controller.startsWith("name=")
          ? [
              { name: "none", value: null },
              { name: "name", value: controller.slice(5) },
            ]
          : [{ name: controller, value: null }],
      );
      mkdirat(child, tmpfs, name, 0o755, { note: `make /sys/fs/cgroup/${name}`, on: [{ on: EEXIST, to: "next" }] });
      mountOne(
        context,
        child,
        tmpfs,
        name,
        namespaced,
        "cgroup",
        options,
        item.hierarchy.mount,
        item.path,
        mode,
        wanted.scope === "full",
      );
    }
    if (paths.unified !== null) {
      mkdirat(child, tmpfs, "unified", 0o755, {
        note: "make /sys/fs/cgroup/unified",
        on: [{ on: EEXIST, to: "next" }],
      });
      mountOne(
        context,
        child,
        tmpfs,
        "unified",
        namespaced,
        "cgroup2",
        [],
        context.host.cgroups.unified?.mount ?? "/sys/fs/cgroup",
        paths.unified.path,
        mode,
        wanted.scope === "full",
      );
    }
    if (mode !== "rw")
      mountSetattr(child, tmpfs, "", { set: MOUNT_ATTR_RDONLY }, false, { note: "make /sys/fs/cgroup read-only" });
    close(child, tmpfs, "close the tmpfs");
  }
  close(child, sysfs, "close /sys/fs/cgroup");
  child.at = null;
}

function mountOne(
  context: StartContext,
  child: Block,
  parent: Slot,
  name: string,
  namespaced: boolean,
  fstype: string,
  options: readonly FsOption[],
  hierarchy: string,
  own: string,
  mode: "ro" | "mixed" | "rw",
  full: boolean,
): void {
  const place = `/sys/fs/cgroup${name === "." ? "" : `/${name}`}`;
  if (namespaced) {
    const mount = slot(context.build, `${name}.cgroup`);
    const attributes = guarded | (mode === "ro" ? MOUNT_ATTR_RDONLY : 0);
    newFilesystem(child, fstype, [{ name: "source", value: "cgroup" }, ...options], attributes, mount, {
      note: `mount the cgroup hierarchy ${name}`,
    });
    attach(child, parent, name, mount, place);
    return;
  }
  const below = own.slice(hierarchy.length).replace(/^\/+/, "");
  if (full) {
    const tree = bindOf(context, child, hierarchy, mode !== "rw");
    attach(child, parent, name, tree, place, mode !== "mixed");
    if (mode === "mixed" && below !== "") {
      attach(child, tree, below, bindOf(context, child, own, false), `${place}/${below}`);
      close(child, tree, "close the mount");
    }
  } else if (name === "." || below === "") {
    attach(child, parent, name, bindOf(context, child, own, mode === "ro"), place);
  } else {
    // Where /proc/self/cgroup says that it is: nothing else of the hierarchy is there.
    const parts = [name, ...below.split("/")];
    parts.forEach((_, index) => {
      const path = parts.slice(0, index + 1).join("/");
      mkdirat(child, parent, path, 0o755, { note: `make /sys/fs/cgroup/${path}`, on: [{ on: EEXIST, to: "next" }] });
    });
    attach(child, parent, `${name}/${below}`, bindOf(context, child, own, mode === "ro"), `${place}/${below}`);
  }
}

/** A directory of a hierarchy as a mount of its own, guarded. */
function bindOf(context: StartContext, child: Block, path: string, readOnly: boolean): Slot {
  const tree = slot(context.build, `${path}.cgroup`);
  openTree(child, cwdFd, path, false, tree, { note: `take the cgroup ${path}` });
  mountSetattr(child, tree, "", { set: guarded | (readOnly ? MOUNT_ATTR_RDONLY : 0) }, false, {
    note: `guard the cgroup ${path}`,
  });
  return tree;
}

function attach(child: Block, parent: Slot, path: string, tree: Slot, place: string, closeTree = true): void {
  const target = slot(child.build, `${place}.target`);
  openat2(child, parent, path, O_PATH, beneath, target, { note: `open ${place}` });
  moveMount(child, tree, target, { note: `mount the cgroups on ${place}` });
  close(child, target, "close the mount point");
  if (closeTree) close(child, tree, "close the mount");
}
