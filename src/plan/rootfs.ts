import { IsletError } from "../base/errors.js";
import { type Block, call, cwdFd, slot, str } from "../program/assembler.js";
import { close, flagsOf, mkdirat, mountSetattr, moveMount, openTree, openat } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import { EEXIST } from "../sys/errno.js";
import { MNT_DETACH, UMOUNT_FLAGS, MS_SHARED, MS_SLAVE, O_PATH, O_RDONLY, openFlags } from "../sys/flags.js";
import type { RootfsSpec } from "../spec/rootfs.js";
import { type StartContext, hasUserNamespace } from "./context.js";
import { rootfsMountPath } from "./hooks.js";
import { attributesOf, attributesToClear, idmapHints, isolateTree } from "./mount.js";

/** The directory that becomes the container's root. */
export function rootfsDirectory(rootfs: RootfsSpec): string {
  const { source } = rootfs;
  switch (source.kind) {
    case "host":
      return "/";
    case "dir":
    case "btrfs":
      return source.path;
    case "overlay":
    case "loop":
    case "block":
    case "zfs":
    case "other":
      throw new IsletError(
        "ISLET_UNSUPPORTED",
        `a root file system of the kind ${"driver" in source ? source.driver : source.kind} cannot be started yet`,
        {
          at: rootfs.at,
          hint: "only directories can",
        },
      );
    default: {
      const impossible: never = source;
      return impossible;
    }
  }
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
  const path = rootfsDirectory(rootfs);
  block.at = rootfs.at;
  openTree(block, cwdFd, path, true, tree, { note: `take the root file system ${path}`, hints });
  if (block === context.monitor) isolateTree(block, tree, true, "the root file system");
  if (rootfs.idmap !== "as-is") {
    const given = { note: `map the ids of the root file system`, hints: idmapHints };
    if (rootfs.idmap === "container" && userns !== null) mountSetattr(block, tree, "", { userns }, false, given);
    else if (rootfs.idmap !== "container") {
      const other = slot(context.build, "rootfs.userns");
      openat(block, cwdFd, rootfs.idmap.userns, O_RDONLY, other, {
        note: `open the user namespace ${rootfs.idmap.userns}`,
      });
      mountSetattr(block, tree, "", { userns: other }, false, given);
      close(block, other, "close the user namespace");
    }
  }
  const set = attributesOf(rootfs.options.flags);
  const clear = attributesToClear(rootfs.options);
  if (set !== 0 || clear !== 0)
    mountSetattr(block, tree, "", { set, clear }, false, { note: "set the root file system's mount options" });
  block.at = null;
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
    note: `mount the root file system ${rootfsDirectory(context.spec.rootfs)} on ${rootfsMountPath(context)}`,
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
