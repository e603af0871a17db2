import { closeSync, fstatSync, opendirSync, openSync, readFileSync, readSync, readdirSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { syscall } from "../host/addon.js";
import { ownFd, type OwnedFd, readKernelFile } from "../host/fd.js";
import type { AttachTarget } from "../plan/attach.js";
import { lockName } from "../plan/lock.js";
import type { Monitor, MonitorMeta } from "../runtime/monitors.js";
import { nameProblem } from "../spec/name.js";
import type { Arch } from "../sys/arch.js";
import { cString } from "../sys/bytes.js";
import {
  AT_FDCWD,
  O_CLOEXEC,
  O_PATH,
  openFlags,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_XDEV,
} from "../sys/flags.js";
import { openHow } from "../sys/structs.js";
import { requireSyscall } from "../sys/syscalls.js";
import type { NestedContainer } from "./engine.js";
import { isFrozen } from "./freeze.js";
import { addressesOf, interfacesOf } from "./network-status.js";
import { readUsage } from "./usage.js";

/**
 * Containers that a guest keeps itself, with islet or LXC: their configurations in the guest's store, their processes in cgroups below the
 * guest's. Nothing is run in the guest and nothing that it says is believed further than that it can lie about its own containers alone. Its
 * files are read on its root's file system only, and only where that is one of the kernel's own: others, FUSE above all, may keep a reader
 * waiting for ever.
 */

type Cgroups = Pick<MonitorMeta, "cgroups" | "unified">;

interface Guest {
  /** Its main process. */
  readonly pid: number;
  readonly cgroups: Cgroups;
}

/** File systems whose files are there as soon as the disk is. */
const ownFilesystems: ReadonlySet<string> = new Set(
  "bcachefs btrfs erofs ext2 ext3 ext4 f2fs overlay ramfs rootfs squashfs tmpfs xfs zfs".split(" "),
);

/** Of one store, and bytes of a configuration: what goes beyond is left out. */
const maxEntries = 512;
const maxConfig = 65536;
/** Of a guest and all below it. */
const maxContainers = 1024;

/** The containers in a running container's store, which has the path of the host's, and those in these: `levels` deep. */
export function nestedContainers(arch: Arch, monitor: Monitor, levels: number): readonly NestedContainer[] {
  const { meta, pid } = monitor;
  if (pid === null) return [];
  const { legacyCgroups, unifiedCgroup } = meta.attach as AttachTarget;
  // The guest's own view begins at the inner ones, where there are such.
  const cgroups: Cgroups = {
    cgroups: meta.cgroups.map(({ controllers, path }, index) => ({ controllers, path: legacyCgroups[index] ?? path })),
    unified: unifiedCgroup ?? meta.unified,
  };
  return containersIn(arch, { pid, cgroups }, meta.storePath, levels, { left: maxContainers });
}

function containersIn(
  arch: Arch,
  guest: Guest,
  storePath: string,
  levels: number,
  budget: { left: number },
): readonly NestedContainer[] {
  if (levels < 1) return [];
  const root = openRoot(arch, guest.pid);
  if (root === null) return [];
  let found: readonly { readonly name: string; readonly config: string }[];
  try {
    found = definedIn(arch, root, storePath);
  } finally {
    root[Symbol.dispose]();
  }
  const locks = locksOf(guest.pid);
  return found.slice(0, Math.max(0, budget.left)).map(({ name, config }): NestedContainer => {
    budget.left -= 1;
    const cgroups = below(guest.cgroups, `lxc.payload.${name}`);
    const none = { pid: null, usage: null, interfaces: [], addresses: { ipv4: [], ipv6: [] }, inside: [] };
    const stopped: NestedContainer = { name, config, state: "STOPPED", ...none };
    const pid = locks.has(`@${lockName(storePath, name)}`) ? mainProcess(arch, cgroups) : null;
    if (pid === null) return stopped;
    try {
      return {
        name,
        config,
        state: isFrozen(arch, cgroups) ? "FROZEN" : "RUNNING",
        pid,
        usage: readUsage(arch, cgroups),
        interfaces: interfacesOf(arch, pid),
        addresses: addressesOf(arch, pid),
        inside: containersIn(arch, { pid, cgroups }, storePath, levels - 1, budget),
      };
    } catch (error) {
      // It ended meanwhile.
      if (error instanceof IsletError) return stopped;
      throw error;
    }
  });
}

function below({ cgroups, unified }: Cgroups, name: string): Cgroups {
  return {
    cgroups: cgroups.map(({ controllers, path }) => ({ controllers, path: `${path}/${name}` })),
    unified: unified === null ? null : `${unified}/${name}`,
  };
}

/** The names of abstract sockets in a process's network namespace, as /proc/PID/net/unix has them (unix(7)). */
function locksOf(pid: number): ReadonlySet<string> {
  try {
    const lines = readFileSync(`/proc/${pid}/net/unix`, "utf8").split("\n");
    return new Set(lines.map((line) => line.slice(line.indexOf("@"))));
  } catch {
    return new Set();
  }
}

/** Of more processes none is the first. */
const maxProcesses = 4096;

/** The one of a container's processes that is the first of its pid namespace; null: there is none. */
function mainProcess(arch: Arch, { cgroups, unified }: Cgroups): number | null {
  const directories = [...cgroups.map(({ path }) => path), ...(unified === null ? [] : [unified])];
  for (const directory of directories) {
    for (const path of [directory, ...subdirectories(directory)]) {
      const pids = (readKernelFile(arch, `${path}/cgroup.procs`) ?? "").split("\n").slice(0, maxProcesses);
      const first = pids.find((pid) => {
        const text = pid === "" ? null : readKernelFile(arch, `/proc/${pid}/status`);
        return text !== null && /^NSpid:(\t\d+)+\t1$/m.test(text);
      });
      if (first !== undefined) return Number(first);
    }
  }
  return null;
}

/** systemd moves itself into init.scope. */
function subdirectories(path: string): readonly string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .slice(0, maxEntries)
      .map((entry) => `${path}/${entry.name}`);
  } catch {
    return [];
  }
}

/** The root of a process, if reading there keeps nobody waiting. */
function openRoot(arch: Arch, pid: number): OwnedFd | null {
  const flags = O_PATH | O_CLOEXEC | openFlags(arch).O_DIRECTORY;
  const fd = syscall(requireSyscall(arch, "openat"), [AT_FDCWD, cString(`/proc/${pid}/root`), flags, 0]);
  if (fd < 0) return null;
  const root = ownFd(fd);
  const mount = /^mnt_id:\t(\d+)$/m.exec(readKernelFile(arch, `/proc/self/fdinfo/${fd}`) ?? "")?.[1];
  const lines = (readKernelFile(arch, `/proc/${pid}/mountinfo`) ?? "").split("\n");
  const type =
    lines
      .find((line) => line.startsWith(`${mount ?? "?"} `))
      ?.split(" - ")[1]
      ?.split(" ")[0] ?? "";
  if (ownFilesystems.has(type)) return root;
  root[Symbol.dispose]();
  return null;
}

/** Finds what is at a path inside, on the root's own file system; null: nothing of that kind. */
function findInside(arch: Arch, root: OwnedFd, path: string, flags: number): OwnedFd | null {
  const how = openHow({
    flags: O_PATH | O_CLOEXEC | flags,
    resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
  });
  const fd = syscall(requireSyscall(arch, "openat2"), [root.number, cString(path), how, how.length]);
  return fd < 0 ? null : ownFd(fd);
}

/** Names in the guest's store that have a configuration, sorted, and its text. */
function definedIn(
  arch: Arch,
  root: OwnedFd,
  storePath: string,
): readonly { readonly name: string; readonly config: string }[] {
  const store = findInside(arch, root, storePath, openFlags(arch).O_DIRECTORY);
  if (store === null) return [];
  const names: string[] = [];
  try {
    const directory = opendirSync(`/proc/self/fd/${store.number}`);
    try {
      for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
        if (names.length >= maxEntries) break;
        if (entry.isDirectory() && nameProblem(entry.name) === null) names.push(entry.name);
      }
    } finally {
      directory.closeSync();
    }
  } finally {
    store[Symbol.dispose]();
  }
  return names.sort().flatMap((name) => {
    const config = textInside(arch, root, `${storePath}/${name}/config`);
    return config === null ? [] : [{ name, config }];
  });
}

function textInside(arch: Arch, root: OwnedFd, path: string): string | null {
  const file = findInside(arch, root, path, 0);
  if (file === null) return null;
  try {
    const stats = fstatSync(file.number);
    // Opened only now: to open a device may mean something.
    if (!stats.isFile()) return null;
    const readable = openSync(`/proc/self/fd/${file.number}`, "r");
    try {
      const buffer = new Uint8Array(Math.min(stats.size, maxConfig));
      return new TextDecoder().decode(buffer.subarray(0, readSync(readable, buffer, 0, buffer.length, 0)));
    } finally {
      closeSync(readable);
    }
  } catch {
    return null;
  } finally {
    file[Symbol.dispose]();
  }
}
