import { IsletError } from "../base/errors.js";
import { type Block, call, cwdFd, slot, str } from "../program/assembler.js";
import { close, flagsOf, mkdirat, mountSetattr, moveMount, newFilesystem, openTree, openat } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import { EEXIST } from "../sys/errno.js";
import { MNT_DETACH, UMOUNT_FLAGS, MS_REC, MS_SHARED, MS_SLAVE, O_PATH, O_RDONLY, openFlags } from "../sys/flags.js";
import type { RootfsSpec } from "../spec/rootfs.js";
import { type StartContext, containerDirectory, hasUserNamespace, rootOwner } from "./context.js";
import { rootfsMountPath } from "./hooks.js";
import { attributesOf, attributesToClear, filesystemOptions, idmapHints, isolateTree } from "./mount.js";
import type { SourceMounts } from "./source.js";

/** The root file system in words: a path, in most cases. */
export function rootfsName({ source }: RootfsSpec): string {
  switch (source.kind) {
    case "host":
      return "/";
    case "dir":
    case "btrfs":
    case "loop":
    case "block":
    case "other":
      return source.path;
    case "zfs":
      return source.dataset;
    case "overlay":
      return `${source.upper ?? "tmpfs"} over ${source.lowers.join(":")}`;
    default:
      return source satisfies never;
  }
}

/** ISLET_UNSUPPORTED for what nobody can start, before anything is done. */
export function refuseRootfs({ source, idmap, at }: RootfsSpec): void {
  if (source.kind === "other")
    throw new IsletError("ISLET_UNSUPPORTED", `a root file system of the kind ${source.driver} cannot be started`, {
      at,
      hint: `attach it yourself (in a pre-start hook, perhaps), and name the device: lxc.rootfs.path = /dev/...`,
    });
  if (source.kind === "overlay" && typeof idmap === "object")
    throw new IsletError("ISLET_UNSUPPORTED", "an overlay can be mapped by the container's own ids only", {
      at,
      hint: "write idmap=container",
    });
}

const hints: Readonly<Record<string, string>> = {
  ENOENT: "the root file system's directory is missing; see lxc.rootfs.path",
  ENOTDIR: "the root file system is not a directory",
};

/**
 * The root file system as a detached mount. With a user namespace this happens outside of it, where every directory on the way can be
 * searched and an idmapped mount can be made; otherwise in the child.
 */
export function takeRootfs(context: StartContext, block: Block, userns: Slot | null, tree: Slot): void {
  const { rootfs } = context.spec;
  const { source } = rootfs;
  block.at = rootfs.at;
  switch (source.kind) {
    case "host":
    case "dir":
    case "btrfs":
    case "other":
      takeDirectory(context, block, userns, rootfsName(rootfs), tree);
      break;
    case "loop":
    case "block":
      sourcesOf(context).device(
        block,
        {
          kind: source.kind === "loop" ? "loop" : source.driver,
          path: source.path,
          options: rootfs.options,
          facts: context.start.rootfs,
          at: rootfs.at,
        },
        tree,
      );
      mapTree(context, block, userns, tree);
      break;
    case "zfs":
      takeDataset(context, block, userns, source.dataset, tree);
      break;
    case "overlay":
      sourcesOf(context).overlay(
        block,
        {
          source,
          options: rootfs.options,
          at: rootfs.at,
          directory: containerDirectory(context.spec),
          owner: rootOwner(context),
          idmap:
            rootfs.idmap === "container" && userns !== null ? { userns, root: rootOwner(context) ?? hostRoot } : null,
          place: rootfsMountPath(context),
          onlyLowers: false,
          userXattr: context.host.inUserNamespace,
        },
        tree,
      );
      break;
    default:
      source satisfies never;
  }
  block.at = null;
}

const hostRoot = { uid: 0, gid: 0 };

/** How what is no directory is mounted: its file systems have plans of their own, which are there when somebody needs them. */
export function sourcesOf(context: StartContext): SourceMounts {
  if (context.mounts === null) throw new IsletError("ISLET_INTERNAL", "no plans of mounts were given");
  return context.mounts;
}

function takeDirectory(context: StartContext, block: Block, userns: Slot | null, path: string, tree: Slot): void {
  const { options } = context.spec.rootfs;
  openTree(block, cwdFd, path, true, tree, { note: `take the root file system ${path}`, hints });
  if (block === context.monitor) isolateTree(block, tree, true, "the root file system");
  mapTree(context, block, userns, tree);
  const set = attributesOf(options.flags);
  const clear = attributesToClear(options);
  if (set !== 0 || clear !== 0)
    mountSetattr(block, tree, "", { set, clear }, (options.flags & MS_REC) !== 0, {
      note: "set the root file system's mount options",
    });
}

/** Where a data set is mounted on the host it is taken as that directory; one with a legacy mount point is mounted (zfs(8)). */
function takeDataset(context: StartContext, block: Block, userns: Slot | null, dataset: string, tree: Slot): void {
  const { options } = context.spec.rootfs;
  const directory = context.start.rootfs?.mountedOn ?? null;
  if (directory !== null) {
    takeDirectory(context, block, userns, directory, tree);
    return;
  }
  newFilesystem(block, "zfs", filesystemOptions(dataset, options), attributesOf(options.flags), tree, {
    note: `mount the data set ${dataset}`,
    hints: {
      ENODEV: "this kernel has no zfs: install the package zfs-dkms, then modprobe zfs",
      ENOENT: "there is no such data set; see lxc.rootfs.path and zfs list",
      EINVAL: `it has a mount point of its own, where it is not mounted: zfs mount ${dataset}`,
    },
  });
  mapTree(context, block, userns, tree);
}

function mapTree(context: StartContext, block: Block, userns: Slot | null, tree: Slot): void {
  const { idmap } = context.spec.rootfs;
  if (idmap === "as-is") return;
  const given = { note: `map the ids of the root file system`, hints: idmapHints };
  if (idmap === "container" && userns !== null) mountSetattr(block, tree, "", { userns }, false, given);
  else if (idmap !== "container") {
    const other = slot(context.build, "rootfs.userns");
    openat(block, cwdFd, idmap.userns, O_RDONLY, other, { note: `open the user namespace ${idmap.userns}` });
    mountSetattr(block, tree, "", { userns: other }, false, given);
    close(block, other, "close the user namespace");
  }
}

/** Whether the tree is taken on the host's side, before the child exists or while it waits. */
export function rootfsOnHostSide(context: StartContext): boolean {
  return hasUserNamespace(context);
}

/**
 * Where the root file system will be mounted, opened while the child still has the host's user id: in a user namespace its root need not be
 * able to search the directories on the way.
 */
export function openRootfsPlace(context: StartContext, child: Block): Slot {
  const directory = openFlags(context.build.arch).O_DIRECTORY;
  const path = rootfsMountPath(context);
  const place = slot(context.build, "root.place");
  const placeHints =
    context.spec.rootfs.mountPoint === null ? {} : { ENOENT: "the directory of lxc.rootfs.mount is missing" };
  openat(child, cwdFd, path, O_PATH | directory, place, {
    note: `open the place of the root file system ${path}`,
    at: context.spec.rootfs.at,
    hints: placeHints,
  });
  return place;
}

/** In the child: the tree is attached; its descriptor stays one of the container's root directory. */
export function attachRootfs(context: StartContext, child: Block, tree: Slot, place: Slot): void {
  moveMount(child, tree, place, {
    note: `mount the root file system ${rootfsName(context.spec.rootfs)} on ${rootfsMountPath(context)}`,
    at: context.spec.rootfs.at,
    hints: { EINVAL: "the root file system is not a directory" },
  });
  close(child, place, "close the place");
}

/** Mounts of the host go on reaching the container's copy of the mount tree, never the other way. */
export function isolateMounts(child: Block): void {
  mountSetattr(child, cwdFd, "/", { propagation: MS_SLAVE }, true, {
    note: "keep mounts of the container from reaching the host",
  });
}

/** pivot_root(2) into the new root by descriptor; the old root is detached; the new tree is shared, as LXC leaves it. */
export function pivot(child: Block, root: Slot): void {
  const { build } = child;
  call(child, "fchdir", [root], { note: "change to the container's root directory" });
  call(child, "pivot_root", [str(build, "."), str(build, ".")], {
    note: "make it the root",
    hints: { EINVAL: "the host's root is on an initramfs, or a mount is shared with it" },
  });
  call(child, "umount2", [str(build, "."), flagsOf(UMOUNT_FLAGS, MNT_DETACH)], { note: "detach the host's root" });
  call(child, "chdir", [str(build, "/")], { note: "change to /" });
  mountSetattr(child, cwdFd, "/", { propagation: MS_SHARED }, true, {
    note: "let mounts of the container spread within it",
  });
}

/** A standard directory of the container, made if it is missing (proc, sys, dev). */
export function ensureDirectory(child: Block, root: Slot, name: string): void {
  mkdirat(child, root, name, 0o755, {
    note: `make /${name}`,
    on: [{ on: EEXIST, to: "next" }],
    hints: { EROFS: `the root file system is read-only and has no /${name}` },
  });
}
