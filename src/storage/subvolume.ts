import { fstatSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { syscall } from "../host/addon.js";
import { ownFd, type OwnedFd } from "../host/fd.js";
import type { Arch } from "../sys/arch.js";
import {
  BTRFS_FIRST_FREE_OBJECTID,
  BTRFS_IOC_GET_SUBVOL_ROOTREF,
  BTRFS_IOC_INO_LOOKUP_USER,
  BTRFS_IOC_SNAP_CREATE_V2,
  BTRFS_IOC_SNAP_DESTROY,
  BTRFS_IOC_SUBVOL_CREATE,
  BTRFS_IOC_SUBVOL_SETFLAGS,
  lookupArguments,
  readLookup,
  readReferences,
  referencesAfter,
  snapshotArguments,
  type SubvolumeReference,
  volumeArguments,
} from "../sys/btrfs.js";
import { concat, cString } from "../sys/bytes.js";
import { EEXIST, EINVAL, ENOENT, ENOTDIR, ENOTTY, EROFS, errnoName, EXDEV, ELOOP, strerror } from "../sys/errno.js";
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  O_CLOEXEC,
  O_RDONLY,
  openFlags,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../sys/flags.js";
import { OPEN_HOW_SIZE, openHow } from "../sys/structs.js";
import { requireSyscall } from "../sys/syscalls.js";

/** Subvolumes of btrfs by descriptor and name. What is in them is a guest's: nothing is reached by a path that it could turn elsewhere. */

const text = new TextDecoder();
const bytesOf = (name: string): Uint8Array => new TextEncoder().encode(name);

export function failure(what: string, negative: number, syscallName: string): IsletError {
  const errno = errnoName(-negative);
  return new IsletError(
    errno === "EPERM" || errno === "EACCES" ? "ISLET_PERMISSION" : "ISLET_IO",
    `cannot ${what}: ${strerror(-negative)}`,
    { errno, syscall: syscallName },
  );
}

/** A directory of the host's; null: it is not there, or none. Its last part may not be a link. */
export function openDirectory(arch: Arch, path: string): OwnedFd | null {
  const { O_DIRECTORY, O_NOFOLLOW } = openFlags(arch);
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  const fd = syscall(requireSyscall(arch, "openat"), [AT_FDCWD, cString(path), flags, 0]);
  if (fd >= 0) return ownFd(fd);
  if (fd === -ENOENT || fd === -ENOTDIR || fd === -ELOOP) return null;
  throw failure(`open ${path}`, fd, "openat");
}

/** A directory below another one; no link is followed. */
export function openBelow(arch: Arch, directory: number, path: Uint8Array): OwnedFd {
  const flags = O_RDONLY | openFlags(arch).O_DIRECTORY | O_CLOEXEC;
  const how = openHow({ flags, resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS });
  const name = path.length === 0 ? bytesOf(".") : path;
  const fd = syscall(requireSyscall(arch, "openat2"), [
    directory,
    concat([name, new Uint8Array(1)]),
    how,
    OPEN_HOW_SIZE,
  ]);
  if (fd < 0) throw failure(`open ${text.decode(name)}`, fd, "openat2");
  return ownFd(fd);
}

const control = (arch: Arch, fd: number, request: number, argument: Uint8Array): number =>
  syscall(requireSyscall(arch, "ioctl"), [fd, request, argument]);

/** Whether the directory is the top of a subvolume, if its file system is btrfs. */
export const isSubvolumeTop = (fd: number): boolean => fstatSync(fd).ino === BTRFS_FIRST_FREE_OBJECTID;

export function createSubvolume(arch: Arch, parent: number, name: string): void {
  const status = control(arch, parent, BTRFS_IOC_SUBVOL_CREATE, volumeArguments(bytesOf(name)));
  if (status < 0) throw failure(`make the subvolume ${name}`, status, "ioctl");
}

/** Subvolumes right below one. */
function* below(arch: Arch, subvolume: number): Generator<SubvolumeReference> {
  let next = 0n;
  for (;;) {
    const answer = referencesAfter(next);
    const status = control(arch, subvolume, BTRFS_IOC_GET_SUBVOL_ROOTREF, answer);
    const found = readReferences(answer);
    yield* found;
    const last = found.at(-1);
    // -EOVERFLOW: there are more.
    if (status >= 0 || last === undefined) return;
    next = last.tree + 1n;
  }
}

interface Nested {
  /** The directory that it is in. */
  readonly directory: OwnedFd;
  readonly name: Uint8Array;
  /** Relative to the subvolume above. */
  readonly path: Uint8Array;
}

function find(arch: Arch, subvolume: number, reference: SubvolumeReference): Nested {
  const answer = lookupArguments(reference);
  const status = control(arch, subvolume, BTRFS_IOC_INO_LOOKUP_USER, answer);
  if (status < 0) throw failure("find a nested subvolume", status, "ioctl");
  const { name, directory } = readLookup(answer);
  // A trailing slash would be fine for the kernel, but not for an empty path.
  return { directory: openBelow(arch, subvolume, directory), name, path: concat([directory, name]) };
}

/** Destroys one that is empty of others. */
function destroyOne(arch: Arch, above: number | null, directory: number, name: Uint8Array): void {
  const destroy = (): number => control(arch, directory, BTRFS_IOC_SNAP_DESTROY, volumeArguments(name));
  let status = destroy();
  if (status === -EROFS && above !== null) {
    // The one that it is in was made read-only.
    control(arch, above, BTRFS_IOC_SUBVOL_SETFLAGS, new Uint8Array(8));
    status = destroy();
  }
  if (status < 0 && status !== -ENOENT) throw failure(`remove the subvolume ${text.decode(name)}`, status, "ioctl");
}

/** One of those below that has none below itself, destroyed; false: there was none. */
function destroyLeaf(arch: Arch, top: number): boolean {
  let above = ownFd(syscall(requireSyscall(arch, "fcntl"), [top, 1030 /* F_DUPFD_CLOEXEC */, 3]));
  try {
    let place: Nested | null = null;
    for (;;) {
      const [first] = below(arch, above.number);
      if (first === undefined) return false;
      place = find(arch, above.number, first);
      using directory = place.directory;
      const child = openBelow(arch, directory.number, place.name);
      const [next] = below(arch, child.number);
      if (next === undefined) {
        child[Symbol.dispose]();
        destroyOne(arch, above.number, directory.number, place.name);
        return true;
      }
      above[Symbol.dispose]();
      above = child;
    }
  } finally {
    above[Symbol.dispose]();
  }
}

/**
 * Removes a subvolume with those in it; false: there is none of that name, but perhaps something else. However deep they are, few descriptors are needed.
 */
export async function destroySubvolume(arch: Arch, parent: number, name: string): Promise<boolean> {
  const { O_DIRECTORY, O_NOFOLLOW } = openFlags(arch);
  const fd = syscall(requireSyscall(arch, "openat"), [
    parent,
    cString(name),
    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
    0,
  ]);
  if (fd < 0) return false;
  {
    using top = ownFd(fd);
    if (!isSubvolumeTop(top.number)) return false;
    while (destroyLeaf(arch, top.number)) await new Promise((resolve) => setImmediate(resolve));
  }
  destroyOne(arch, null, parent, bytesOf(name));
  return true;
}

/** A writable copy of one and of those in it; false: they are not of one file system, or `from` is no subvolume. */
export function snapshotSubvolume(arch: Arch, from: number, parent: number, name: string): boolean {
  const status = control(arch, parent, BTRFS_IOC_SNAP_CREATE_V2, snapshotArguments(bytesOf(name), from));
  if (status === -EXDEV || status === -EINVAL || status === -ENOTTY) return false;
  if (status < 0)
    throw status === -EEXIST
      ? new IsletError("ISLET_EXISTS", `${name} exists already`)
      : failure(`make a snapshot ${name}`, status, "ioctl");
  using top = openBelow(arch, parent, bytesOf(name));
  snapshotNested(arch, from, top.number, 0);
  return true;
}

const deepest = 64;

/** In a snapshot, subvolumes of the original are empty directories. */
function snapshotNested(arch: Arch, from: number, to: number, depth: number): void {
  for (const reference of below(arch, from)) {
    if (depth === deepest) throw new IsletError("ISLET_UNSUPPORTED", `subvolumes are nested more than ${deepest} deep`);
    const { directory, name, path } = find(arch, from, reference);
    using place = directory;
    using original = openBelow(arch, place.number, name);
    using target = openBelow(arch, to, path.subarray(0, path.length - name.length));
    const bare = concat([name, new Uint8Array(1)]);
    const removed = syscall(requireSyscall(arch, "unlinkat"), [target.number, bare, AT_REMOVEDIR]);
    if (removed < 0 && removed !== -ENOENT) throw failure(`replace ${text.decode(path)}`, removed, "unlinkat");
    const status = control(arch, target.number, BTRFS_IOC_SNAP_CREATE_V2, snapshotArguments(name, original.number));
    if (status < 0) throw failure(`make a snapshot of ${text.decode(path)}`, status, "ioctl");
    using copy = openBelow(arch, target.number, name);
    snapshotNested(arch, original.number, copy.number, depth + 1);
  }
}
