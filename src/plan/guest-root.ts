import { type Block, buffer, call, clone, cwdFd, end, imm, load, slot, str, wait } from "../program/assembler.js";
import { cloneArguments, close, closeNow, flagsOf, moveMount, openTree, openat } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import {
  CLONE_FILES,
  CLONE_FLAGS,
  CLONE_NEWNS,
  CLONE_NEWUSER,
  CLONE_PIDFD,
  O_CLOEXEC,
  O_PATH,
  openFlags,
} from "../sys/flags.js";
import type { StartContext } from "./context.js";
import { rootfsMountPath, signalChild } from "./hooks.js";
import { attributesOf } from "./mount.js";
import { isolateMounts } from "./rootfs.js";

/**
 * The kernel locks the options of mounts (nodev, nosuid, read-only ...) when a mount namespace is copied into one of another user namespace
 * (mount_namespaces(7)), and never otherwise: of a mount that is handed to a guest as a descriptor, the guest's root may change every option. So a
 * process makes that copy. It shares its descriptors with the monitor, whose `tree` is the locked one afterwards.
 */
export function lockRoot(context: StartContext, monitor: Block, userns: Slot, tree: Slot): void {
  const { guest, rootfs } = context.spec;
  if (!guest.lockedRoot || attributesOf(rootfs.options.flags) === 0) return;
  const { build } = context;
  const room = buffer(build, 8, "locker.pidfd");
  const pidfd = slot(build, "locker.pidfd");
  const flags = BigInt(CLONE_PIDFD | CLONE_FILES | CLONE_NEWNS);
  const note = "lock the options of the root file system";
  clone(monitor, "locker", cloneArguments(monitor, flags, signalChild, room, null), { note }, (locker) => {
    const place = slot(build, "locker.place");
    const locked = slot(build, "locker.tree");
    const path = rootfsMountPath(context);
    isolateMounts(locker);
    openat(locker, cwdFd, path, O_PATH | openFlags(build.arch).O_DIRECTORY, place, { note: `open ${path}` });
    moveMount(locker, tree, place, { note: "mount the root file system for a moment" });
    closeNow(locker, place, "close the place");
    call(locker, "chdir", [str(build, path)], { note: "change to it" });
    call(locker, "setns", [userns, flagsOf(CLONE_FLAGS, CLONE_NEWUSER)], {
      note: "enter the container's user namespace",
    });
    call(locker, "unshare", [flagsOf(CLONE_FLAGS, CLONE_NEWNS)], { note });
    openTree(locker, cwdFd, ".", true, locked, { note: "take the locked copy" });
    call(locker, "dup3", [locked, tree, imm(O_CLOEXEC, "O_CLOEXEC")], { note: "put it in the other's place" });
    closeNow(locker, locked, "close the locked copy");
    end(locker, 0, "the root file system is locked");
  });
  load(monitor, pidfd, room, 4, "take its pidfd");
  wait(monitor, pidfd, true, { note });
  close(monitor, pidfd, "close its pidfd");
}
