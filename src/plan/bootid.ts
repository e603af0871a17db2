import { type Block, buffer, call, cwdFd, imm, slot, str } from "../program/assembler.js";
import { close, mountSetattr, moveMount, openTree, openat, openat2 } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import {
  MOUNT_ATTR_RDONLY,
  O_CREAT,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../sys/flags.js";
import type { StartContext } from "./context.js";
import { guarded } from "./mount.js";

const name = ".lxc-boot-id";

/** Each run of the container has a boot id of its own, as each boot of a machine has (journald tells boots apart by it). */
export function planBootId(context: StartContext, child: Block, root: Slot, dev: Slot): void {
  const { mounts } = context.spec;
  if (mounts.auto.proc === null || !mounts.dev.populate) return;
  const { build } = context;
  const source = slot(build, "uuid");
  const file = slot(build, "bootid.file");
  const length = slot(build, "bootid.length");
  const tree = slot(build, "bootid.mount");
  const target = slot(build, "bootid.target");
  const text = buffer(build, 40, '"UUID"');
  const note = "give this run a boot id";
  openat(child, cwdFd, "/proc/sys/kernel/random/uuid", O_RDONLY, source, { note });
  call(child, "read", [source, text, imm(37)], { note, out: length });
  close(child, source, "close uuid");
  openat(child, dev, name, O_WRONLY | O_CREAT, file, { note }, 0o444);
  call(child, "write", [file, text, length], { note, full: true });
  close(child, file, "close the boot id");
  openTree(child, dev, name, false, tree, { note });
  mountSetattr(child, tree, "", { set: guarded | MOUNT_ATTR_RDONLY }, false, { note });
  openat2(
    child,
    root,
    "proc/sys/kernel/random/boot_id",
    O_PATH,
    RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    target,
    { note },
  );
  moveMount(child, tree, target, { note });
  close(child, target, "close boot_id");
  close(child, tree, "close the mount");
  call(child, "unlinkat", [dev, str(build, name), imm(0)], { note: "remove the file's name" });
}
