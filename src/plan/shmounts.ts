import { type Block, cwdFd, slot } from "../program/assembler.js";
import { close, mountSetattr, moveMount, openTree } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import { MS_SLAVE } from "../sys/flags.js";
import type { StartContext } from "./context.js";
import { openTarget } from "./mount.js";

/** lxc.mount.auto = shmounts: a directory of the host whose later mounts appear inside. */
export function planSharedMounts(context: StartContext, child: Block, root: Slot): void {
  const { shared, at } = context.spec.mounts.auto;
  if (shared === null) return;
  const tree = slot(context.build, "shmounts");
  const target = slot(context.build, "shmounts.target");
  child.at = at;
  openTree(child, cwdFd, shared.host, true, tree, { note: `take ${shared.host}` });
  mountSetattr(child, tree, "", { propagation: MS_SLAVE }, true, { note: `let mounts below ${shared.host} arrive` });
  openTarget(child, root, shared.container, "dir", target, `open /${shared.container}`, []);
  moveMount(child, tree, target, { note: `mount ${shared.host} on /${shared.container}` });
  close(child, target, "close the mount point");
  close(child, tree, "close the mount");
  child.at = null;
}
