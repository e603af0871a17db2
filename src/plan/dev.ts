import { type Block, call, cwdFd, goOn, imm, jump, label, octal, place, slot, str } from "../program/assembler.js";
import { close, mkdirat, moveMount, moveMountAt, newFilesystem, openTree, openat2 } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import { EEXIST, EPERM } from "../sys/errno.js";
import {
  MOUNT_ATTR_NOSUID,
  O_PATH,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  S_IFBLK,
  S_IFCHR,
  S_IFREG,
} from "../sys/flags.js";
import { makedev } from "../sys/structs.js";
import type { DeviceNode } from "../spec/mount.js";
import { type StartContext, hasUserNamespace } from "./context.js";
import { insideRootNoLinks, openTarget } from "./mount.js";
import { ensureDirectory } from "./rootfs.js";
import { mountLabel } from "./lsm.js";

export const beneath: number = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;

/** A private tmpfs on /dev; `dev` becomes a descriptor of it. Without one (lxc.autodev = 0) it is the image's directory. */
export function planDev(context: StartContext, child: Block, root: Slot, dev: Slot): void {
  const { dev: spec } = context.spec.mounts;
  if (!spec.populate) {
    openTarget(child, root, "dev", null, dev, "open /dev", [], insideRootNoLinks);
    return;
  }
  const mount = slot(context.build, "dev.mount");
  const target = slot(context.build, "dev.target");
  ensureDirectory(child, root, "dev");
  newFilesystem(
    child,
    "tmpfs",
    [
      { name: "source", value: "none" },
      { name: "mode", value: "0755" },
      { name: "size", value: String(spec.tmpfsSize) },
      ...mountLabel(context),
    ],
    spec.noSetUid ? MOUNT_ATTR_NOSUID : 0,
    mount,
    { note: "mount a tmpfs on /dev" },
  );
  openTarget(child, root, "dev", null, target, "open /dev", [], insideRootNoLinks);
  moveMount(child, mount, target, { note: "mount a tmpfs on /dev" });
  close(child, target, "close the mount point");
  close(child, mount, "close the tmpfs");
  openTarget(child, root, "dev", null, dev, "open /dev", [], insideRootNoLinks);
}

/** Device nodes and links. The umask is 0 here. */
export function populateDev(context: StartContext, child: Block, dev: Slot): void {
  const { dev: spec } = context.spec.mounts;
  if (!spec.populate) return;
  for (const node of spec.nodes) {
    makeParents(child, dev, node.name);
    planNode(context, child, dev, node);
  }
  for (const link of spec.links) {
    call(child, "symlinkat", [str(child.build, link.target), dev, str(child.build, link.name)], {
      note: `link /dev/${link.name} to ${link.target}`,
      on: [{ on: EEXIST, to: "next" }],
    });
  }
}

/** The directories below /dev that a node's name has. */
export function makeParents(child: Block, dev: Slot, name: string): void {
  const parents = name.split("/").slice(0, -1);
  parents.forEach((_, index) => {
    const path = parents.slice(0, index + 1).join("/");
    mkdirat(child, dev, path, 0o755, { note: `make /dev/${path}`, on: [{ on: EEXIST, to: "next" }] });
  });
}

/** Where the host has the device. */
export function hostNode(node: DeviceNode): string {
  return node.host ?? `/dev/${node.name}`;
}

/** mknod where that is permitted, else the host's node bound onto a file (user namespaces may not make nodes). */
export function planNode(context: StartContext, child: Block, dev: Slot, node: DeviceNode): void {
  const bindOnly = hasUserNamespace(context) || context.host.inUserNamespace;
  const made = label(`${node.name} made`);
  const bind = label(`bind ${node.name}`);
  const type = node.type === "c" ? S_IFCHR : S_IFBLK;
  if (!bindOnly) {
    const mode = imm(type | node.mode, () => `${node.type === "c" ? "S_IFCHR" : "S_IFBLK"}|0${node.mode.toString(8)}`);
    call(
      child,
      "mknodat",
      [
        dev,
        str(child.build, node.name),
        mode,
        imm(makedev(node.major, node.minor), () => `makedev(${node.major}, ${node.minor})`),
      ],
      {
        note: `make the device /dev/${node.name}`,
        on: [...goOn(bind, EPERM), { on: EEXIST, to: made }],
      },
    );
    jump(child, made, "it is made");
  }
  place(child, bind);
  bindOnto(context, child, dev, node.name, hostNode(node), null);
  place(child, made);
}

/**
 * Binds something of the host (a path, or what a tree descriptor holds) onto a new empty file below /dev. In a /dev of our own no name can be a
 * trap; in the image's the file is opened first, without following links.
 */
export function bindOnto(
  context: StartContext,
  child: Block,
  dev: Slot,
  name: string,
  source: string,
  tree: Slot | null,
): void {
  const { build } = child;
  const mount = tree ?? slot(build, `${name}.mount`);
  const empty = imm(S_IFREG | 0o644, "S_IFREG|0644");
  const exists = [{ on: EEXIST, to: "next" as const }];
  call(child, "mknodat", [dev, str(build, name), empty, imm(0)], { note: `make the file /dev/${name}`, on: exists });
  if (tree === null) openTree(child, cwdFd, source, false, mount, { note: `take ${source}` });
  const note = `bind ${source} on /dev/${name}`;
  if (context.spec.mounts.dev.populate) moveMountAt(child, mount, dev, name, { note });
  else {
    const target = slot(build, `${name}.target`);
    openat2(child, dev, name, O_PATH, beneath, target, { note: `open /dev/${name}` });
    moveMount(child, mount, target, { note });
    close(child, target, `close /dev/${name}`);
  }
  close(child, mount, `close ${source}`);
}

export function setUmask(child: Block, mask: number): void {
  call(child, "umask", [octal(mask)], { note: `set the umask to 0${mask.toString(8)}` });
}
