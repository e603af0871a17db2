import { type Block, call, cwdFd, end, goOn, imm, jump, label, octal, place, slot, str } from "../program/assembler.js";
import { close, mkdirat, mountSetattr, moveMount, openTree, openat, openat2 } from "../program/calls.js";
import type { LaunchProgram, Slot, Value } from "../program/ops.js";
import type { HostFacts } from "../spec/host.js";
import { EEXIST, ENOENT } from "../sys/errno.js";
import { AT_REMOVEDIR, MOUNT_ATTR_RDONLY, MS_SLAVE, O_PATH, openFlags } from "../sys/flags.js";
import type { StartContext } from "./context.js";
import { beneath } from "./dev.js";
import { type NodePlace, enterContainer, inContainer, openDirectory, unmountAll } from "./device-bind.js";
import { guarded, insideRootNoLinks, openTarget } from "./mount.js";

/**
 * The socket of a guest's API (docs/guests/api.md). Its directory is mounted, not the socket, so that another daemon can put another socket
 * there; read-only, since it is the host's.
 */

/** A mount of the host's directory of the socket, fit for a guest, into `tree`. */
function takeDirectory(block: Block, directory: Value, path: string, tree: Slot): void {
  openTree(block, directory, path, false, tree, { note: "take the directory of the guest's API" }, path === "");
  const set = guarded | MOUNT_ATTR_RDONLY;
  // In a running guest it comes from among the host's mounts: what the guest mounts on the socket must not be there, too.
  mountSetattr(block, tree, "", { set, propagation: MS_SLAVE }, false, {
    note: "make it read-only, and keep it apart",
  });
}

/**
 * Opens the host's directory while the child still has the host's user id. null: the guest has no API. Where there is no such directory it is
 * switched off, and the slot stays 0: a reboot runs the same program again and finds what is so then.
 */
export function openGuestApi(context: StartContext, child: Block): Slot | null {
  if (context.spec.guest.api === null) return null;
  const directory = slot(context.build, "api.directory");
  const off = label("no API");
  const flags = O_PATH | openFlags(context.build.arch).O_DIRECTORY;
  openat(child, cwdFd, context.start.guestApi, flags, directory, {
    note: "open the directory of the guest's API",
    on: goOn(off, ENOENT),
  });
  place(child, off);
  return directory;
}

/** `directory`: what `openGuestApi` gave. */
export function planGuestApi(context: StartContext, child: Block, root: Slot, directory: Slot | null): void {
  const { api } = context.spec.guest;
  if (api === null || directory === null) return;
  const { build } = context;
  const tree = slot(build, "api");
  const target = slot(build, "api.target");
  const off = label("no API");
  jump(child, off, "it is switched off", "lt", directory, imm(1));
  takeDirectory(child, directory, "", tree);
  openTarget(child, root, api.directory, "dir", target, `open ${api.directory}`, [], insideRootNoLinks);
  moveMount(child, tree, target, { note: `mount it on ${api.directory}` });
  close(child, target, "close the mount point");
  close(child, tree, "close the mount");
  close(child, directory, "close the directory");
  place(child, off);
}

function placeOf(path: string): NodePlace {
  const at = path.lastIndexOf("/");
  return { directory: path.slice(0, at), name: path.slice(at + 1) };
}

/** The same in a running container, in place of what is mounted there. Preset: the pidfd of its main process. */
export function planApiIn(source: string, directory: string, isMapped: boolean, host: HostFacts): LaunchProgram {
  return inContainer(host, `mount of ${directory}`, (child, init) => {
    const { build } = child;
    const at = placeOf(directory);
    const tree = slot(build, "tree");
    takeDirectory(child, cwdFd, source, tree);
    enterContainer(child, init, isMapped ? "mapped" : "unmapped");
    const above = openDirectory(child, at, true);
    unmountAll(child, above, at);
    call(child, "umask", [octal(0o022)], { note: "set the umask to 022" });
    mkdirat(child, above, at.name, 0o755, {
      note: `make the directory ${directory}`,
      on: [{ on: EEXIST, to: "next" }],
    });
    const target = slot(build, "target");
    const flags = O_PATH | openFlags(build.arch).O_DIRECTORY;
    openat2(child, above, at.name, flags, beneath, target, {
      note: `open ${directory}`,
      hints: {
        ELOOP: "something of the guest's stands in the way",
        ENOTDIR: "something of the guest's stands in the way",
      },
    });
    moveMount(child, tree, target, { note: `mount it on ${directory}` });
    end(child, 0, "it is there");
  });
}

/** Takes it out again, and the directory, unless the guest has put something of its own there. */
export function planApiOut(directory: string, isMapped: boolean, host: HostFacts): LaunchProgram {
  return inContainer(host, `end of ${directory}`, (child, init) => {
    enterContainer(child, init, isMapped ? "mapped" : "unmapped");
    const at = placeOf(directory);
    const above = openDirectory(child, at, false);
    unmountAll(child, above, at);
    call(child, "unlinkat", [above, str(child.build, at.name), imm(AT_REMOVEDIR, "AT_REMOVEDIR")], {
      note: `remove ${directory}`,
      on: [{ on: "any", to: "next" }],
    });
    end(child, 0, "it is gone");
  });
}
