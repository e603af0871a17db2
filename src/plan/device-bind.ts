import {
  type Block,
  beginProgram,
  buffer,
  call,
  clone,
  compute,
  cwdFd,
  end,
  finishProgram,
  goOn,
  imm,
  jump,
  label,
  load,
  octal,
  place,
  presetSlot,
  slot,
  str,
  wait,
} from "../program/assembler.js";
import {
  cloneArguments,
  flagsOf,
  moveMount,
  moveMountTo,
  newFilesystem,
  openTree,
  openat,
  openat2,
} from "../program/calls.js";
import type { LaunchProgram, Slot } from "../program/ops.js";
import type { HostFacts } from "../spec/host.js";
import { EINVAL, ENOENT, EPERM } from "../sys/errno.js";
import {
  CLONE_FLAGS,
  CLONE_NEWNS,
  CLONE_NEWUSER,
  CLONE_PIDFD,
  MNT_DETACH,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  O_PATH,
  PR_SET_DUMPABLE,
  S_IFREG,
  UMOUNT_NOFOLLOW,
  openFlags,
} from "../sys/flags.js";
import { beneath } from "./dev.js";
import { signalChild } from "./hooks.js";
import { becomeRoot } from "./idmap.js";
import { isolateTree, openTarget } from "./mount.js";
import { isolateMounts } from "./rootfs.js";

/**
 * Device nodes in running containers with an id map. A node that is made in such a container's own file systems cannot be opened (the
 * kernel's SB_I_NODEV); one that is made on the host's side and bound inside can. All of it is done by a process that enters the
 * container's mount and user namespaces and no other: whatever links the guest lays out, they lead to places of the guest's own.
 */

export interface BoundNode {
  /** The host's node, of which a copy is made, or which itself is bound where that is not permitted. */
  readonly source: string;
  /** Type and permissions, st_mode of stat(2). */
  readonly mode: number;
  readonly device: number;
  /** The container's root, as the host knows it. */
  readonly owner: { readonly uid: number; readonly gid: number };
}

/** Where a node is to be: an absolute path inside that ends in a name. */
export interface NodePlace {
  readonly directory: string;
  readonly name: string;
}

/** Puts a device node into a running container, in place of what is there. Preset: the pidfd of its main process. */
export function planNodeIn(node: BoundNode, at: NodePlace, host: HostFacts): LaunchProgram {
  return inContainer(host, `node ${at.name}`, (child, init) => {
    const { build } = child;
    const path = `${at.directory}/${at.name}`;
    const tree = slot(build, "tree");
    takeNode(child, node, host, tree);
    enterContainer(child, init);
    const directory = openDirectory(child, at, true);
    clear(child, directory, at);
    const empty = imm(S_IFREG | 0o644, "S_IFREG|0644");
    const target = slot(build, "target");
    call(child, "mknodat", [directory, str(build, at.name), empty, imm(0)], { note: `make the file ${path}` });
    openat2(child, directory, at.name, O_PATH, beneath, target, { note: `open ${path}` });
    moveMount(child, tree, target, { note: `bind the device on ${path}` });
    end(child, 0, "it is there");
  });
}

/** Takes one out again: unmounts it and removes the file below. Preset: the pidfd of the container's main process. */
export function planNodeOut(at: NodePlace, host: HostFacts): LaunchProgram {
  return inContainer(host, `remover of ${at.name}`, (child, init) => {
    enterContainer(child, init);
    clear(child, openDirectory(child, at, false), at);
    end(child, 0, "it is gone");
  });
}

export function inContainer(host: HostFacts, name: string, body: (child: Block, init: Slot) => void): LaunchProgram {
  const client = beginProgram(host.arch, "client");
  const { build } = client;
  const init = presetSlot(build, "init.pidfd");
  const room = buffer(build, 8, "pidfd");
  const pidfd = slot(build, "child.pidfd");
  const args = cloneArguments(client, BigInt(CLONE_PIDFD), signalChild, room, null);
  clone(client, name, args, { note: `start the process for the ${name}` }, (child) => {
    body(child, init);
  });
  load(client, pidfd, room, 4, "take its pidfd");
  wait(client, pidfd, true, { note: `wait for the ${name}` });
  end(client, 0, "done");
  return finishProgram(build);
}

/** `tree` becomes a detached mount of a node of the container's root: it alone of a new file system that nobody else sees. */
function takeNode(child: Block, node: BoundNode, host: HostFacts, tree: Slot): void {
  const { build } = child;
  const taken = label("taken");
  const bind = label("bind the host's");
  if (!host.inUserNamespace) {
    const own = slot(build, "own");
    const name = str(build, "node");
    call(child, "unshare", [flagsOf(CLONE_FLAGS, CLONE_NEWNS)], { note: "begin a mount namespace" });
    isolateMounts(child);
    newFilesystem(
      child,
      "tmpfs",
      [
        { name: "source", value: "device" },
        { name: "mode", value: "0700" },
        { name: "size", value: "4096" },
        { name: "nr_inodes", value: "4" },
      ],
      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
      own,
      { note: "make a place for the node" },
    );
    // A mount can only be taken from the namespace one is in.
    moveMountTo(child, own, "/", { note: "mount it" });
    call(child, "umask", [octal(0)], { note: "set the umask to 0" });
    call(child, "mknodat", [own, name, octal(node.mode), imm(node.device)], {
      note: "make the node",
      on: goOn(bind, EPERM),
    });
    const { uid, gid } = node.owner;
    call(child, "fchownat", [own, name, imm(uid), imm(gid), imm(0x100, "AT_SYMLINK_NOFOLLOW")], {
      note: "give it to the container's root",
    });
    openTree(child, own, "node", false, tree, { note: "take the node" });
    jump(child, taken, "it is taken");
  }
  place(child, bind);
  openTree(child, cwdFd, node.source, false, tree, { note: `take ${node.source}` });
  isolateTree(child, tree, false, node.source);
  place(child, taken);
}

/** `kind`: of the container's namespaces; without an id map it has no user namespace to enter. */
export function enterContainer(child: Block, init: Slot, kind: "mapped" | "unmapped" = "mapped"): void {
  // Its root must not trace what still has descriptors of the host's.
  call(child, "prctl", [imm(PR_SET_DUMPABLE, "PR_SET_DUMPABLE"), imm(0), imm(0), imm(0), imm(0)], {
    note: "forbid tracing",
  });
  call(
    child,
    "setns",
    [init, flagsOf(CLONE_FLAGS, kind === "mapped" ? (CLONE_NEWUSER | CLONE_NEWNS) >>> 0 : CLONE_NEWNS)],
    {
      note:
        kind === "mapped" ? "enter the container's user and mount namespaces" : "enter the container's mount namespace",
      hints: { ESRCH: "the container has just stopped" },
    },
  );
  if (kind === "mapped") becomeRoot(child);
}

export function openDirectory(child: Block, at: NodePlace, make: boolean): Slot {
  const root = slot(child.build, "root");
  const directory = slot(child.build, "directory");
  openat(child, cwdFd, "/", O_PATH | openFlags(child.build.arch).O_DIRECTORY, root, {
    note: "open the container's root",
  });
  openTarget(child, root, at.directory, make ? "dir" : null, directory, `open ${at.directory}/`, []);
  return directory;
}

/** More mounts on one file than anybody makes; a guest that makes them as fast as they are undone must not keep us. */
const maxMounts = 64;

/** Nothing is left of that name: mounts on it are detached, and the file is removed. */
function clear(child: Block, directory: Slot, at: NodePlace): void {
  unmountAll(child, directory, at);
  const note = `remove ${at.directory}/${at.name}`;
  call(child, "unlinkat", [directory, str(child.build, at.name), imm(0)], { note, on: [{ on: ENOENT, to: "next" }] });
}

/** Detaches all that is mounted on a name, which makes its directory the working directory. */
export function unmountAll(child: Block, directory: Slot, at: NodePlace): void {
  const { build } = child;
  const path = `${at.directory}/${at.name}`;
  const name = str(build, at.name);
  const again = label("another mount");
  const bare = label("no mount");
  const count = slot(build, "mounts");
  // umount2 knows paths only: a single name below the working directory has no way out of it.
  call(child, "fchdir", [directory], { note: `change to ${at.directory}/` });
  compute(child, count, "set", imm(0), null, "no mount yet");
  place(child, again);
  call(child, "umount2", [name, imm(MNT_DETACH | UMOUNT_NOFOLLOW, "MNT_DETACH|UMOUNT_NOFOLLOW")], {
    note: `unmount ${path}`,
    on: goOn(bare, EINVAL, ENOENT),
  });
  compute(child, count, "add", count, imm(1), "one more");
  jump(child, again, "perhaps there is another below", "lt", count, imm(maxMounts));
  place(child, bare);
}
