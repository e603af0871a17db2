import { type Block, buffer, call, cwdFd, defer, format, imm, slot, str } from "../program/assembler.js";
import { mkdirat, mountSetattr, moveMountAt, newFilesystem, openTree } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import { EEXIST, ENOENT } from "../sys/errno.js";
import { MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY } from "../sys/flags.js";
import type { StartContext } from "./context.js";
import { guarded, tmpfsOptions } from "./mount.js";

/**
 * /run/host/unix-export (systemd's container interface, 2.5): a directory that the guest puts sockets into, for the host to connect to. The host
 * sees it through a mount of its own, read-only and without links, devices or programs, which is attached nowhere: a descriptor of the monitor's
 * holds it, so that it goes with the container whatever ends it. A link below the runtime directory leads there.
 */

/** `host`: /run/host, still writable. Gives the mount for the monitor. */
export function planExport(context: StartContext, child: Block, host: Slot): Slot {
  const { build } = context;
  const mount = slot(build, "export");
  const tree = slot(build, "export.mount");
  const note = "mount a tmpfs on /run/host/unix-export";
  // Sockets are all that belongs there.
  newFilesystem(child, "tmpfs", tmpfsOptions("4m", "64"), guarded, mount, { note });
  mkdirat(child, host, "unix-export", 0o755, { note: "make /run/host/unix-export" });
  moveMountAt(child, mount, host, "unix-export", { note });
  // Of what is attached: older kernels take no mount from a detached one.
  openTree(child, host, "unix-export", false, tree, { note: "take it for the host" });
  const set = guarded | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSYMFOLLOW;
  mountSetattr(child, tree, "", { set }, false, { note: "make it safe for the host" });
  return tree;
}

/** `mount`: the monitor's own descriptor of it. */
export function publishExport(context: StartContext, mount: Slot): void {
  const { monitor, build, start, slots } = context;
  const link = start.guest?.exportLink;
  if (link === undefined) return;
  const above = (path: string): string => path.slice(0, path.lastIndexOf("/"));
  const target = buffer(build, 48, '"/proc/MONITOR/fd/N"');
  const note = `make ${link}`;
  format(monitor, target, "/proc/%/fd/%", [slots.monitorPid, mount], "write where the host finds the guest's sockets");
  for (const directory of [above(above(link)), above(link)])
    mkdirat(monitor, cwdFd, directory, 0o700, { note: `make ${directory}`, on: [{ on: EEXIST, to: "next" }] });
  const remove = (block: Block, what: string): void => {
    call(block, "unlinkat", [cwdFd, str(build, link), imm(0)], { note: what, on: [{ on: ENOENT, to: "next" }] });
  };
  remove(monitor, "remove what a monitor that was killed has left");
  defer(monitor, "remove the export", "remove the link to the guest's sockets at the end", (undo) => {
    remove(undo, `remove ${link}`);
  });
  call(monitor, "symlinkat", [target, cwdFd, str(build, link)], { note });
}
