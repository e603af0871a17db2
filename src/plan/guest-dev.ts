import {
  type Block,
  buffer,
  call,
  cwdFd,
  goOn,
  ignore,
  imm,
  jump,
  label,
  load,
  octal,
  place,
  slot,
  str,
  within,
} from "../program/assembler.js";
import { close, mkdirat, moveMount, moveMountAt, newFilesystem, openTree, openat2 } from "../program/calls.js";
import type { Data, Label, Slot } from "../program/ops.js";
import { EEXIST } from "../sys/errno.js";
import {
  AT_EMPTY_PATH,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  O_PATH,
  S_IFBLK,
  S_IFCHR,
  S_IFREG,
  S_IFSOCK,
  STATX_INO,
} from "../sys/flags.js";
import { STATX_AT, STATX_SIZE, makedev } from "../sys/structs.js";
import type { DeviceNode } from "../spec/mount.js";
import { type StartContext, hasUserNamespace, rootOwner } from "./context.js";
import { beneath, hostNode, makeParents, planNode } from "./dev.js";
import { guarded, insideRoot } from "./mount.js";
import { type Sockets, passAlways } from "./pass.js";
import { mountLabel } from "./lsm.js";

/** A node that waits to be bound; negative in the slot where the host has no such device. */
interface TakenNode {
  readonly node: DeviceNode;
  readonly tree: Slot;
}

/** No node that opens can be made in a file system of an id-mapped guest's own: these come from the host's side. */
function comeFromHost(context: StartContext): boolean {
  return hasUserNamespace(context) && !context.host.inUserNamespace;
}

/**
 * The devices of an id-mapped guest: nodes of their own in a file system that nobody else ever sees, made by the monitor, taken out of it by
 * the child before its root file system covers it. The host's own nodes may be for its root alone.
 */
export function takeDevices(context: StartContext, child: Block, sockets: Sockets, at: Slot): readonly TakenNode[] {
  const { monitor, build, spec } = context;
  const { devices } = spec.guest;
  if (devices.length === 0 || !spec.mounts.dev.populate || !comeFromHost(context)) return [];
  const ours = slot(build, "devices");
  const theirs = slot(build, "devices.mount");
  newFilesystem(
    monitor,
    "tmpfs",
    [
      { name: "source", value: "devices" },
      { name: "mode", value: "0755" },
      { name: "size", value: "4096" },
      ...mountLabel(context),
    ],
    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
    ours,
    { note: "make a file system for devices" },
  );
  for (const node of devices) makeNode(context, ours, node);
  const present = slot(build, "devices.present");
  const arrived = slot(build, "devices.arrived");
  passAlways(monitor, child, sockets, ours, present, theirs, arrived, "the devices");
  moveMount(child, theirs, at, { note: "mount them for a moment" });
  return devices.map((node) => {
    const tree = slot(build, `${node.name}.tree`);
    openTree(child, theirs, nodeFile(node), false, tree, { note: `take /dev/${node.name}`, on: ignore("any") });
    return { node, tree };
  });
}

const nodeFile = (node: DeviceNode): string => node.name.replaceAll("/", "-");

function makeNode(context: StartContext, directory: Slot, node: DeviceNode): void {
  const { monitor } = context;
  const absent = label(`no ${node.name}`);
  const on = goOn(absent, "any");
  const name = str(monitor.build, nodeFile(node));
  hostHas(monitor, node, absent);
  call(
    monitor,
    "mknodat",
    [
      directory,
      name,
      node.type === "c" ? imm(S_IFCHR | 0o600, "S_IFCHR|0600") : imm(S_IFBLK | 0o600, "S_IFBLK|0600"),
      imm(makedev(node.major, node.minor), () => `makedev(${node.major}, ${node.minor})`),
    ],
    { note: `make the device ${node.name}`, on },
  );
  // In spite of the umask.
  call(monitor, "fchmodat", [directory, name, octal(node.mode)], { note: `let the guest use ${node.name}`, on });
  const owner = rootOwner(context);
  // What is for its owner alone is for the guest's root.
  if (owner !== null && (node.mode & 0o077) === 0) {
    const { uid, gid } = owner;
    call(monitor, "fchownat", [directory, name, imm(uid), imm(gid), imm(0x100, "AT_SYMLINK_NOFOLLOW")], {
      note: `give ${node.name} to the container's root`,
      on,
    });
  }
  place(monitor, absent);
}

function hostHas(block: Block, node: DeviceNode, absent: Label): void {
  call(block, "faccessat", [cwdFd, str(block.build, hostNode(node)), imm(0, "F_OK")], {
    note: `see whether the host has ${hostNode(node)}`,
    on: goOn(absent, "any"),
  });
}

/** What a guest finds in a /dev of its own beyond the nodes that every one has. The umask is 0 here. */
export function populateGuestDev(
  context: StartContext,
  child: Block,
  root: Slot,
  dev: Slot,
  taken: readonly TakenNode[],
): void {
  const { spec } = context;
  if (!spec.mounts.dev.populate) return;
  for (const { node, tree } of taken) bindNode(child, dev, node, tree);
  if (!comeFromHost(context)) {
    for (const node of spec.guest.devices) {
      const absent = label(`no ${node.name}`);
      hostHas(child, node, absent);
      makeParents(child, dev, node.name);
      planNode(context, child, dev, node);
      place(child, absent);
    }
  }
  if (spec.guest.mqueue) mountOwn(child, dev, "mqueue", "mqueue", guarded);
  if (spec.guest.nesting) {
    mkdirat(child, dev, ".lxc", 0o755, { note: "make /dev/.lxc", on: ignore("any") });
    mountOwn(child, dev, ".lxc/proc", "proc", guarded);
    mountOwn(child, dev, ".lxc/sys", "sysfs", guarded);
  }
  if (spec.guest.log) planLog(context, child, root, dev);
}

function bindNode(child: Block, dev: Slot, node: DeviceNode, tree: Slot): void {
  const { build } = child;
  const absent = label(`no ${node.name}`);
  jump(child, absent, `the host has no /dev/${node.name}`, "lt", tree, imm(0));
  makeParents(child, dev, node.name);
  call(child, "mknodat", [dev, str(build, node.name), imm(S_IFREG, "S_IFREG|000"), imm(0)], {
    note: `make the file /dev/${node.name}`,
    on: ignore(EEXIST),
  });
  moveMountAt(child, tree, dev, node.name, { note: `bind the device on /dev/${node.name}` });
  place(child, absent);
}

/** A file system of the guest's own namespaces; left out where it cannot be had, e.g. in an ipc namespace that is the host's. */
function mountOwn(child: Block, dev: Slot, path: string, fstype: string, attributes: number): void {
  const mount = slot(child.build, `dev.${path}`);
  const target = slot(child.build, `dev.${path}.target`);
  const without = label(`no ${path}`);
  const note = `mount ${fstype} on /dev/${path}`;
  const on = goOn(without, "any");
  newFilesystem(child, fstype, [{ name: "source", value: fstype }], attributes, mount, { note, on });
  mkdirat(child, dev, path, 0o755, { note: `make /dev/${path}`, on: ignore("any") });
  openat2(child, dev, path, O_PATH, beneath, target, { note, on });
  moveMount(child, mount, target, { note, on });
  place(child, without);
}

/** Where systemd's own program is: its link /sbin/init may have any number of links on the way. */
const systemdPrograms = ["usr/lib/systemd/systemd", "lib/systemd/systemd"] as const;
const journalSocket = "/run/systemd/journal/dev-log";

/**
 * A syslog daemon removes what lies at /dev/log and binds its own socket; busybox's follows a link first and needs the directory of its target. A
 * socket serves both, and whoever writes before the daemon is there is refused at once. systemd's journal leaves alone what is not the
 * link to its own socket, so where init is systemd it is that.
 */
function planLog(context: StartContext, child: Block, root: Slot, dev: Slot): void {
  const { build, spec } = context;
  const program = spec.init.command.value[0] ?? "/sbin/init";
  const plain = label("init is not systemd");
  const link = label("init is systemd");
  const made = label("/dev/log is there");
  const on = ignore("any");
  if (program.startsWith("/")) {
    const stat = buffer(build, STATX_SIZE, "{stx_ino}");
    const init = slot(build, "init.inode");
    inodeOf(child, root, program.slice(1), "init.file", stat, init, plain);
    for (const [index, path] of systemdPrograms.entries()) {
      const inode = slot(build, `systemd.${index + 1}.inode`);
      const next = label(`not ${path}`);
      inodeOf(child, root, path, `systemd.${index + 1}`, stat, inode, next);
      jump(child, link, "init is systemd", "eq", inode, init);
      place(child, next);
    }
  }
  place(child, plain);
  const socket = imm(S_IFSOCK | 0o666, "S_IFSOCK|0666");
  call(child, "mknodat", [dev, str(build, "log"), socket, imm(0)], { note: "make the socket /dev/log", on });
  jump(child, made, "it is made");
  place(child, link);
  call(child, "symlinkat", [str(build, journalSocket), dev, str(build, "log")], {
    note: `link /dev/log to ${journalSocket}`,
    on,
  });
  place(child, made);
}

/** The inode behind a path of the guest's, with links followed inside its root. */
function inodeOf(child: Block, root: Slot, path: string, name: string, stat: Data, out: Slot, absent: Label): void {
  const { build } = child;
  const fd = slot(build, name);
  const note = `look at /${path}`;
  const on = goOn(absent, "any");
  openat2(child, root, path, O_PATH, insideRoot, fd, { note, on });
  const mask = imm(STATX_INO, () => "STATX_INO");
  const flags = imm(AT_EMPTY_PATH, "AT_STATX_SYNC_AS_STAT|AT_EMPTY_PATH");
  call(child, "statx", [fd, str(build, ""), flags, mask, stat], { note, on });
  load(child, out, within(stat, STATX_AT.ino, 8, "stx_ino"), 8, `take the inode of /${path}`);
  close(child, fd, `close /${path}`);
}
