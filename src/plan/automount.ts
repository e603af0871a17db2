import { type Block, cwdFd, goOn, ignore, jump, label, place, slot } from "../program/assembler.js";
import { close, mountSetattr, moveMount, newFilesystem, openTree, openat2 } from "../program/calls.js";
import type { Rule, Slot } from "../program/ops.js";
import { EPERM, ENOENT } from "../sys/errno.js";
import {
  MOUNT_ATTR_RDONLY,
  O_PATH,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../sys/flags.js";
import { keepsCapability } from "./capability.js";
import { type StartContext, hasUserNamespace } from "./context.js";
import { guarded, insideRootNoLinks, openTarget } from "./mount.js";
import { ensureDirectory } from "./rootfs.js";

const beneath = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
const capNetAdmin = 12;

/** proc and sysfs of the container, guarded as lxc.mount.auto says. */
export function planProcAndSys(context: StartContext, child: Block, root: Slot): void {
  const { auto } = context.spec.mounts;
  child.at = auto.at;
  if (auto.proc !== null) planProc(context, child, root, auto.proc);
  if (auto.sys !== null) planSys(context, child, root, auto.sys);
  child.at = null;
}

function planProc(context: StartContext, child: Block, root: Slot, mode: "mixed" | "ro" | "rw"): void {
  const proc = slot(context.build, "proc");
  const target = slot(context.build, "proc.target");
  ensureDirectory(child, root, "proc");
  newFilesystem(child, "proc", [{ name: "source", value: "proc" }], guarded, proc, {
    note: "mount proc on /proc",
    hints: {
      EPERM:
        "in a user namespace proc can be mounted only with a pid namespace of its own, and where nothing hides parts of the host's /proc",
    },
  });
  openTarget(child, root, "proc", null, target, "open /proc", [], insideRootNoLinks);
  moveMount(child, proc, target, { note: "mount proc on /proc" });
  close(child, target, "close the mount point");
  if (mode !== "rw") {
    if (mode === "mixed" && keepsCapability(context.spec.security.capabilities, capNetAdmin)) {
      const net = guardedBind(child, proc, "sys/net", "proc.sys.net", 0);
      guardOnto(child, proc, "sys", "proc.sys");
      attach(child, net, proc, "sys/net", "keep /proc/sys/net writable");
    } else guardOnto(child, proc, "sys", "proc.sys");
    guardOnto(child, proc, "sysrq-trigger", "proc.sysrq");
  }
  close(child, proc, "close /proc");
}

/** A bind of a place below a mount onto itself, read-only. */
function guardOnto(child: Block, mount: Slot, path: string, name: string): void {
  const absent = label(`no ${path}`);
  const tree = guardedBind(child, mount, path, name, MOUNT_ATTR_RDONLY, goOn(absent, ENOENT));
  attach(child, tree, mount, path, `make /proc/${path} read-only`);
  place(child, absent);
}

function guardedBind(
  child: Block,
  mount: Slot,
  path: string,
  name: string,
  set: number,
  on: readonly Rule[] = [],
): Slot {
  const tree = slot(child.build, name);
  openTree(child, mount, path, true, tree, { note: `take /proc/${path}`, on });
  if (set !== 0) mountSetattr(child, tree, "", { set }, false, { note: `make /proc/${path} read-only` });
  return tree;
}

function attach(child: Block, tree: Slot, mount: Slot, path: string, note: string): void {
  const target = slot(child.build, `${tree.name}.target`);
  openat2(child, mount, path, O_PATH, beneath, target, { note: `open ${path}` });
  moveMount(child, tree, target, { note });
  close(child, target, "close the mount point");
  close(child, tree, "close the mount");
}

function planSys(context: StartContext, child: Block, root: Slot, mode: "mixed" | "ro" | "rw"): void {
  const sys = slot(context.build, "sysfs");
  const target = slot(context.build, "sysfs.target");
  const mounted = label("sysfs mounted");
  const bindHost = label("bind the host's sysfs");
  ensureDirectory(child, root, "sys");
  // A user namespace that does not own the network namespace may not mount sysfs: it gets the host's, as LXC does it.
  const on = hasUserNamespace(context) || context.spec.network.kind === "host" ? goOn(bindHost, EPERM) : [];
  newFilesystem(
    child,
    "sysfs",
    [{ name: "source", value: "sysfs" }, ...(mode === "ro" ? [{ name: "ro", value: null }] : [])],
    mode === "rw" ? guarded : guarded | MOUNT_ATTR_RDONLY,
    sys,
    { note: "mount sysfs on /sys", on },
  );
  if (on.length > 0) {
    jump(child, mounted, "it is made");
    place(child, bindHost);
    openTree(child, cwdFd, "/sys", true, sys, { note: "take the host's /sys" });
    if (mode !== "rw") mountSetattr(child, sys, "", { set: MOUNT_ATTR_RDONLY }, false, { note: "make it read-only" });
    place(child, mounted);
  }
  openTarget(child, root, "sys", null, target, "open /sys", [], insideRootNoLinks);
  moveMount(child, sys, target, { note: "mount sysfs on /sys" });
  close(child, target, "close the mount point");
  if (mode === "mixed") {
    const skip = label("no virtual net");
    const net = slot(context.build, "sysfs.net");
    openTree(child, sys, "devices/virtual/net", true, net, {
      note: "take /sys/devices/virtual/net",
      on: goOn(skip, ENOENT),
    });
    mountSetattr(child, net, "", { clear: MOUNT_ATTR_RDONLY }, false, { note: "keep it writable", on: ignore(EPERM) });
    attach(child, net, sys, "devices/virtual/net", "keep /sys/devices/virtual/net writable");
    place(child, skip);
  }
  close(child, sys, "close /sys");
}

/** The host's, read-only: with it the guest's tools see that policies are not theirs to load. */
export function planSelinuxfs(context: StartContext, child: Block, root: Slot): void {
  if (!context.spec.guest.selinuxfs || !context.host.lsm.selinux) return;
  const tree = slot(context.build, "selinuxfs");
  const target = slot(context.build, "selinuxfs.target");
  const absent = label("no /sys/fs/selinux");
  const note = "mount the host's SELinux file system read-only";
  openTarget(
    child,
    root,
    "sys/fs/selinux",
    null,
    target,
    "open /sys/fs/selinux",
    goOn(absent, ENOENT),
    insideRootNoLinks,
  );
  openTree(child, cwdFd, "/sys/fs/selinux", false, tree, { note, on: goOn(absent, ENOENT) });
  mountSetattr(child, tree, "", { set: guarded | MOUNT_ATTR_RDONLY }, false, { note });
  moveMount(child, tree, target, { note });
  close(child, target, "close the mount point");
  close(child, tree, "close the mount");
  place(child, absent);
}
