import { createHash } from "node:crypto";
import { fstatSync, readdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { IsletError } from "../base/errors.js";
import { syscall } from "../host/addon.js";
import { ownFd, type OwnedFd } from "../host/fd.js";
import type { Arch } from "../sys/arch.js";
import { concat } from "../sys/bytes.js";
import { ESRCH } from "../sys/errno.js";
import {
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDONLY,
  openFlags,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from "../sys/flags.js";
import { parseMountinfo } from "../sys/mountinfo.js";
import {
  dqblkBytes,
  FS_IOC_FSGETXATTR,
  FS_IOC_FSSETXATTR,
  fsxattrBytes,
  limitTo,
  type ProjectFlags,
  type ProjectUse,
  PRJ_GETQUOTA,
  PRJ_SETQUOTA,
  readProject,
  readUse,
  withProject,
} from "../sys/quota.js";
import { OPEN_HOW_SIZE, openHow } from "../sys/structs.js";
import { requireSyscall } from "../sys/syscalls.js";
import { failure, openBelow, openDirectory } from "./subvolume.js";

/**
 * The size of a directory, by a project quota of its file system (ext4, xfs): the directory is in a project of its own, what is made in it is in that,
 * too, and df inside shows the project's limit as the size. Nothing is written down: the directory says which project it is in.
 */

/** Projects of others have small numbers: ours are above these. */
const firstProject = 0x4953_0000;
const projects = 0x00ff_0000;

const isOurs = (project: number): boolean => project >= firstProject && project < firstProject + projects;

const major = (device: number): number => ((device >>> 8) & 0xfff) | (Math.floor(device / 2 ** 32) & ~0xfff);
const minor = (device: number): number => (device & 0xff) | ((device >>> 12) & 0xfff00);

export interface QuotaProblem {
  readonly why: string;
  readonly hint: string;
}

/** Why directories cannot be limited where the descriptor is, and what would help; null: they can. */
function quotaProblem(fd: number): QuotaProblem | null {
  const { dev } = fstatSync(fd);
  const device = `${major(dev)}:${minor(dev)}`;
  const mount = parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8")).find((line) => line.device === device);
  if (mount === undefined || !["ext4", "xfs"].includes(mount.fstype)) {
    const fstype = mount?.fstype ?? "its file system";
    return {
      why: `${fstype} has no project quotas`,
      hint: "use a store on ext4 or xfs, or -B loop, lvm, btrfs or zfs",
    };
  }
  if (mount.superOptions.some((option) => option === "prjquota" || option === "pquota")) return null;
  const tune = mount.fstype === "ext4" ? `tune2fs -O quota,project ${mount.source} while it is not mounted; ` : "";
  return {
    why: `${mount.point} (${mount.fstype}) is mounted without project quotas`,
    hint: `${tune}mount it with the option prjquota`,
  };
}

/** The directory, or the nearest one above it that is there. */
function openExisting(arch: Arch, path: string): OwnedFd | null {
  for (let at = path; ; at = dirname(at)) {
    const found = openDirectory(arch, at);
    if (found !== null || at === "/") return found;
  }
}

/** As quotaProblem, of a directory that there need not be yet. */
export function quotaProblemOf(arch: Arch, path: string): QuotaProblem | null {
  using directory = openExisting(arch, path);
  return directory === null ? null : quotaProblem(directory.number);
}

function flagsOf(arch: Arch, fd: number): { readonly raw: Uint8Array; readonly flags: ProjectFlags } | null {
  const raw = new Uint8Array(fsxattrBytes);
  if (syscall(requireSyscall(arch, "ioctl"), [fd, FS_IOC_FSGETXATTR, raw]) < 0) return null;
  return { raw, flags: readProject(raw) };
}

/** null: nothing is known of the project, or no quotas are kept. */
function useOf(arch: Arch, fd: number, project: number): ProjectUse | null {
  const answer = new Uint8Array(dqblkBytes);
  const status = syscall(requireSyscall(arch, "quotactl_fd"), [fd, PRJ_GETQUOTA, project, answer]);
  return status < 0 ? null : readUse(answer);
}

function setLimit(arch: Arch, fd: number, project: number, bytes: bigint | null): void {
  const status = syscall(requireSyscall(arch, "quotactl_fd"), [fd, PRJ_SETQUOTA, project, limitTo(bytes)]);
  if (status === -ESRCH)
    throw new IsletError("ISLET_UNSUPPORTED", "project quotas are not enforced there", {
      hint: "mount it with prjquota",
    });
  if (status < 0) throw failure("set a project quota", status, "quotactl_fd");
}

/** One that nothing is in and that has no limit. */
function findProject(arch: Arch, fd: number, path: string): number {
  const start = createHash("sha256").update(path).digest().readUInt32LE() % projects;
  for (let step = 0; step < projects; step += 1) {
    const project = firstProject + ((start + step) % projects);
    const use = useOf(arch, fd, project);
    if (use === null || (use.limit === null && use.inodes === 0n)) return project;
  }
  throw new IsletError("ISLET_UNSUPPORTED", "no project number is free");
}

/** The limit of a directory, bytes; null: it has none. */
export function sizeOfDirectory(arch: Arch, path: string): bigint | null {
  using top = openDirectory(arch, path);
  const found = top === null ? null : flagsOf(arch, top.number);
  if (top === null || found === null || !found.flags.inherits || !isOurs(found.flags.project)) return null;
  return useOf(arch, top.number, found.flags.project)?.limit ?? null;
}

/** What is to be limited, and how it is now. @throws IsletError ISLET_UNSUPPORTED with what would help. */
function look(
  arch: Arch,
  path: string,
): { readonly top: OwnedFd; readonly raw: Uint8Array; readonly own: number | null } {
  const top = openDirectory(arch, path);
  if (top === null) throw new IsletError("ISLET_NO_ROOTFS", `${path} is not a directory`);
  const problem = quotaProblem(top.number);
  const found = problem === null ? flagsOf(arch, top.number) : null;
  if (found !== null) {
    const { flags, raw } = found;
    return { top, raw, own: flags.inherits && isOurs(flags.project) ? flags.project : null };
  }
  top[Symbol.dispose]();
  throw new IsletError("ISLET_UNSUPPORTED", `the size of ${path} cannot be limited: ${problem?.why ?? "no projects"}`, {
    hint: problem?.hint ?? "use -B loop or -B lvm",
  });
}

function join(arch: Arch, fd: number, raw: Uint8Array, project: number, isDirectory: boolean): number {
  const wanted = withProject(raw, project, isDirectory);
  return syscall(requireSyscall(arch, "ioctl"), [fd, FS_IOC_FSSETXATTR, wanted]);
}

/**
 * Limits a directory to a size. What is in it comes into a project of its own first, which takes a while for a large one. Killed meanwhile, it is not
 * limited, and the next time begins anew.
 * @throws IsletError ISLET_UNSUPPORTED with what would help.
 */
export async function limitDirectory(arch: Arch, path: string, bytes: bigint): Promise<void> {
  const { top: opened, raw, own } = look(arch, path);
  using top = opened;
  if (own !== null) {
    setLimit(arch, top.number, own, bytes);
    return;
  }
  // Nothing is awaited between the choice and the first file in it, the top itself: nobody else chooses the same.
  const project = findProject(arch, top.number, path);
  const status = join(arch, top.number, raw, project, false);
  if (status < 0) throw failure(`put ${path} into a project`, status, "ioctl");
  await adopt(arch, top.number, project);
  setLimit(arch, top.number, project, bytes);
  // What makes it known as limited comes last.
  join(arch, top.number, raw, project, true);
}

/** Files between two looks at what else is to be done. */
const portion = 200;

/** Everything below comes into the project. Devices, sockets and links take no room worth a count. */
async function adopt(arch: Arch, top: number, project: number): Promise<void> {
  const slash = Uint8Array.of(0x2f);
  const directories: Uint8Array[] = [new Uint8Array(0)];
  let count = 0;
  for (let path = directories.pop(); path !== undefined; path = directories.pop()) {
    using directory = openBelow(arch, top, path);
    for (const entry of readdirSync(`/proc/self/fd/${directory.number}`, { withFileTypes: true, encoding: "buffer" })) {
      if (!entry.isFile() && !entry.isDirectory()) continue;
      if (++count % portion === 0) await new Promise((resolve) => setImmediate(resolve));
      const file = openEntry(arch, directory.number, entry.name, entry.isDirectory());
      if (file === null) continue;
      using opened = file;
      const found = flagsOf(arch, opened.number);
      if (found === null) continue;
      const status = join(arch, opened.number, found.raw, project, entry.isDirectory());
      if (status < 0) throw failure(`put ${entry.name.toString()} into a project`, status, "ioctl");
      if (entry.isDirectory()) directories.push(concat(path.length === 0 ? [entry.name] : [path, slash, entry.name]));
    }
  }
}

/** null: it is another file by now, or on another file system. */
function openEntry(arch: Arch, directory: number, name: Uint8Array, isDirectory: boolean): OwnedFd | null {
  const { O_DIRECTORY, O_NOFOLLOW } = openFlags(arch);
  const flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | (isDirectory ? O_DIRECTORY : 0);
  const how = openHow({ flags, resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV });
  const path = concat([name, new Uint8Array(1)]);
  const fd = syscall(requireSyscall(arch, "openat2"), [directory, path, how, OPEN_HOW_SIZE]);
  return fd < 0 ? null : ownFd(fd);
}

/** To be asked before the directory is removed: what then gives its project free. */
export function projectOf(arch: Arch, path: string): number | null {
  using top = openDirectory(arch, path);
  const found = top === null ? null : flagsOf(arch, top.number);
  return found !== null && found.flags.inherits && isOurs(found.flags.project) ? found.flags.project : null;
}

/** Lets a project go, of a directory that was at `path`. */
export function freeProject(arch: Arch, path: string, project: number): void {
  using directory = openExisting(arch, path);
  if (directory === null) return;
  // Somebody else's files may be in it: a copy that was made by hand. Its limit stays.
  if ((useOf(arch, directory.number, project)?.inodes ?? 0n) > 0n) return;
  setLimit(arch, directory.number, project, null);
}
