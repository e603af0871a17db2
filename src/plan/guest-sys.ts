import { type Block, cwdFd, label, place, slot } from "../program/assembler.js";
import { mountSetattr, moveMount, openTree, openat2 } from "../program/calls.js";
import type { Rule, Slot } from "../program/ops.js";
import { MOUNT_ATTR_RDONLY, MS_PRIVATE, O_PATH } from "../sys/flags.js";
import type { StartContext } from "./context.js";
import { guarded, insideRootNoLinks } from "./mount.js";

/** What old init systems want to find mounted below /sys and /proc. Whatever is missing, here or there, is left out. */
export function planKernelDirectories(context: StartContext, child: Block, root: Slot): void {
  const { guest } = context.spec;
  const binfmt = context.host.binfmtNamespaces ? null : guest.binfmtMisc;
  const path = "/proc/sys/fs/binfmt_misc";
  for (const each of [...guest.hostDirectories, ...(binfmt === "host" ? [path] : [])]) bindHost(child, root, each);
  for (const each of [...guest.hidden, ...(binfmt === "hidden" ? [path] : [])]) hide(child, root, each);
}

/** With all that is mounted below it there: without, an id-mapped guest may not have it. What the host mounts there later stays out. */
function bindHost(child: Block, root: Slot, path: string): void {
  const tree = slot(child.build, path);
  const target = slot(child.build, `${path}.target`);
  const absent = label(`no ${path}`);
  const on: readonly Rule[] = [{ on: "any", to: absent }];
  openTree(child, cwdFd, path, true, tree, { note: `take the host's ${path}`, on });
  mountSetattr(child, tree, "", { set: guarded, propagation: MS_PRIVATE }, true, { note: `guard ${path}`, on });
  openat2(child, root, path.slice(1), O_PATH, insideRootNoLinks, target, { note: `open ${path}`, on });
  moveMount(child, tree, target, { note: `bind the host's ${path}`, on });
  place(child, absent);
}

/** The guest's own directory there is one that the kernel keeps empty for a mount (sysfs, proc): mounted on itself it looks mounted and stays empty. */
function hide(child: Block, root: Slot, path: string): void {
  const tree = slot(child.build, path);
  const target = slot(child.build, `${path}.target`);
  const absent = label(`no ${path}`);
  const on: readonly Rule[] = [{ on: "any", to: absent }];
  openat2(child, root, path.slice(1), O_PATH, insideRootNoLinks, target, { note: `open ${path}`, on });
  openTree(child, target, "", false, tree, { note: `take the empty ${path}`, on }, true);
  mountSetattr(child, tree, "", { set: guarded | MOUNT_ATTR_RDONLY }, false, { note: `guard ${path}`, on });
  moveMount(child, tree, target, { note: `hide what may be mounted on ${path}`, on });
  place(child, absent);
}
