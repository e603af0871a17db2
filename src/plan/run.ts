import { type Block, call, data, goOn, imm, jump, label, octal, place, slot, str } from "../program/assembler.js";
import {
  close,
  closeNow,
  mkdirat,
  mountSetattr,
  moveMount,
  moveMountAt,
  newFilesystem,
  openat,
  writeText,
} from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import type { Credential } from "../spec/guest.js";
import { EPERM } from "../sys/errno.js";
import {
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  O_CREAT,
  O_EXCL,
  O_WRONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFREG,
  S_IFSOCK,
  SO_PASSCRED,
} from "../sys/flags.js";
import { sockaddrUnixPath } from "../sys/structs.js";
import type { StartContext } from "./context.js";
import { guarded, insideRootNoLinks, openTarget, tmpfsOptions } from "./mount.js";
import type { Sockets } from "./pass.js";
import { ensureDirectory } from "./rootfs.js";
import { planExport } from "./unix-export.js";
import { planUserdb } from "./userdb.js";

/**
 * A tmpfs on /run, and below it /run/host with what the guest may know of its manager (systemd's container interface). Gives what the
 * monitor is to take over: the socket for messages of init's, the mount with the guest's sockets. The umask is 0 here, and the device rules do not hold yet.
 */
export function planRun(context: StartContext, child: Block, root: Slot, sockets: Sockets): readonly Slot[] {
  const { run } = context.spec.guest;
  const facts = context.start.guest;
  if (run === null || facts === null) return [];
  const { build } = context;
  const mount = slot(build, "run");
  const target = slot(build, "run.target");
  const host = slot(build, "run.host");
  ensureDirectory(child, root, "run");
  newFilesystem(child, "tmpfs", tmpfsOptions("20%", "800k"), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, mount, {
    note: "mount a tmpfs on /run",
  });
  openTarget(child, root, "run", null, target, "open /run", [], insideRootNoLinks);
  moveMount(child, mount, target, { note: "mount a tmpfs on /run" });
  close(child, target, "close the mount point");
  newFilesystem(child, "tmpfs", tmpfsOptions("4m", "1k"), guarded, host, { note: "mount a tmpfs on /run/host" });
  mkdirat(child, mount, "host", 0o755, { note: "make /run/host" });
  moveMountAt(child, host, mount, "host", { note: "mount a tmpfs on /run/host" });
  close(child, mount, "close /run");
  writeFile(child, host, "container-manager", `${run.manager}\n`);
  writeFile(child, host, "container-uuid", `${facts.uuid}\n`);
  if (facts.osRelease !== "") writeFile(child, host, "os-release", facts.osRelease);
  mkdirat(child, host, "incoming", 0o755, { note: "make /run/host/incoming" });
  planInaccessible(child, host);
  if (run.credentials.length > 0) planCredentials(context, child, host, run.credentials);
  planUserdb(context, child, host, sockets);
  const taken = run.notify ? [planNotify(context, child, host)] : [];
  if (run.exports) taken.push(planExport(context, child, host));
  mountSetattr(child, host, "", { set: MOUNT_ATTR_RDONLY }, false, { note: "make /run/host read-only" });
  close(child, host, "close /run/host");
  return taken;
}

function writeFile(child: Block, host: Slot, name: string, text: string): void {
  const fd = slot(child.build, "run.file");
  const note = `write /run/host/${name}`;
  openat(child, host, name, O_WRONLY | O_CREAT | O_EXCL, fd, { note }, 0o444);
  writeText(child, fd, text, { note });
  // What is open for writing keeps the mount from being made read-only.
  closeNow(child, fd, `close /run/host/${name}`);
}

/** One node of each type that nobody can do anything with: what systemd hides is covered by them. */
function planInaccessible(child: Block, host: Slot): void {
  const note = "make /run/host/inaccessible";
  mkdirat(child, host, "inaccessible", 0o755, { note });
  mkdirat(child, host, "inaccessible/dir", 0, { note });
  const nodes: readonly (readonly [name: string, type: number, shown: string])[] = [
    ["reg", S_IFREG, "S_IFREG"],
    ["fifo", S_IFIFO, "S_IFIFO"],
    ["sock", S_IFSOCK, "S_IFSOCK"],
    ["chr", S_IFCHR, "S_IFCHR"],
    ["blk", S_IFBLK, "S_IFBLK"],
  ];
  for (const [name, type, shown] of nodes) {
    // In a user namespace there are none; systemd takes another type's then.
    const on = name === "chr" || name === "blk" ? [{ on: EPERM, to: "next" as const }] : [];
    call(child, "mknodat", [host, str(child.build, `inaccessible/${name}`), imm(type, shown), imm(0)], { note, on });
  }
}

/** Read-only when init starts, never on a disk: ramfs is not swapped out. */
function planCredentials(context: StartContext, child: Block, host: Slot, credentials: readonly Credential[]): void {
  const { build } = context;
  const mount = slot(build, "credentials");
  const made = label("credentials made");
  const swappable = label("no ramfs");
  const note = "mount the credentials";
  const options = [
    { name: "source", value: "ramfs" },
    { name: "mode", value: "0500" },
  ];
  mkdirat(child, host, "credentials", 0o500, { note: "make /run/host/credentials" });
  newFilesystem(child, "ramfs", options, guarded, mount, { note, on: goOn(swappable, "any") });
  jump(child, made, "it is made");
  place(child, swappable);
  newFilesystem(child, "tmpfs", options, guarded, mount, { note });
  place(child, made);
  for (const { name, value, at } of credentials) {
    const fd = slot(build, "credential");
    const bytes = new TextEncoder().encode(value);
    const given = { note: `write the credential ${name}`, at };
    openat(child, mount, name, O_WRONLY | O_CREAT | O_EXCL, fd, given, 0o400);
    call(child, "write", [fd, data(build, bytes, "[not shown]", 1), imm(bytes.length)], { ...given, full: true });
    closeNow(child, fd, `close the credential ${name}`);
  }
  mountSetattr(child, mount, "", { set: MOUNT_ATTR_RDONLY }, false, { note: "make the credentials read-only" });
  moveMountAt(child, mount, host, "credentials", { note });
  close(child, mount, "close the credentials");
}

/** A socket for init's messages; the monitor will take those that come from init itself. Nobody but root can send any. */
function planNotify(context: StartContext, child: Block, host: Slot): Slot {
  const { build } = context;
  const socket = slot(build, "notify.socket");
  const note = "make /run/host/notify";
  const address = data(build, sockaddrUnixPath("notify"), "{AF_UNIX, notify}");
  const one = data(build, new Uint8Array([1, 0, 0, 0]), "[1]");
  call(child, "socket", [imm(1, "AF_UNIX"), imm(0o2000002, "SOCK_DGRAM|SOCK_CLOEXEC"), imm(0)], { note, out: socket });
  call(child, "setsockopt", [socket, imm(1, "SOL_SOCKET"), imm(SO_PASSCRED, "SO_PASSCRED"), one, imm(4)], {
    note: "ask for the senders of messages",
  });
  // There is no bind(2) relative to a descriptor.
  call(child, "fchdir", [host], { note });
  call(child, "bind", [socket, address, imm(address.size)], { note });
  call(child, "fchmodat", [host, str(build, "notify"), octal(0o600)], { note });
  call(child, "chdir", [str(build, "/")], { note: "change to /" });
  return socket;
}
