import { readlinkSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { lxcfsMounts } from "../host/lxcfs.js";
import type { AttachTarget } from "../plan/attach.js";
import { planLxcfsRepair } from "../plan/lxcfs-live.js";
import { lxcfsRepairs, pathOf } from "../plan/lxcfs-places.js";
import { runHelper } from "../runtime/helper.js";
import { type Monitor, whenKnown } from "../runtime/monitors.js";
import type { HostFacts, LxcfsFacts } from "../spec/host.js";

/** LXCFS's mounts in one running guest, which may be hostile, frozen or just about to end. */

/** Milliseconds that one guest may take. */
const repairTime = 2000;
/**
 * Times that files which are not there afterwards are mounted: the guest may have something of its own there, or somebody else has asked LXCFS
 * for the same file at that moment, and the kernel has dropped what was taken (see plan/lxcfs.ts).
 */
const mostRounds = 3;
/** Bytes of a guest's mountinfo that are looked at; a machine in common use has a hundredth of that. */
const mostMountinfo = 4 * 1024 * 1024;

export interface Wanted {
  /** Devices of LXCFSs of the host that have died. */
  readonly dead: ReadonlySet<string>;
  /** Paths that were taken away before. */
  readonly owed: readonly string[];
  /** What to mount there; null: nothing yet. */
  readonly living: LxcfsFacts | null;
}

export interface Mended {
  /** False: the guest took too long, or it did not work. */
  readonly isDone: boolean;
  /** Paths that it is owed from now on. */
  readonly owed: readonly string[];
  /** Devices of LXCFS that it has still mounted, anywhere. */
  readonly devices: readonly string[];
}

/**
 * null: it has ended, or is not yet that far. `promise` is told what the guest will be owed before anything is taken away (a daemon that is
 * killed in between has written it down), and `wanted` says so from then on.
 */
export async function mendGuest(
  host: HostFacts,
  binary: string,
  monitor: Monitor,
  wanted: () => Wanted,
  promise: (owed: readonly string[]) => void,
): Promise<Mended | null> {
  // Its monitor may be stopped.
  await Promise.race([whenKnown(monitor), sleep(repairTime, undefined, { ref: false })]);
  for (let round = 1; ; round += 1) {
    const mended = await mendOnce(host, binary, monitor, wanted, promise);
    if (mended === null || !mended.isDone || !mended.lacksSome || round === mostRounds) return mended;
  }
}

async function mendOnce(
  host: HostFacts,
  binary: string,
  monitor: Monitor,
  wanted: () => Wanted,
  promise: (owed: readonly string[]) => void,
): Promise<(Mended & { readonly lacksSome: boolean }) | null> {
  const { pid } = monitor;
  if (pid === null || sharesMounts(pid)) return null;
  const before = await seenIn(pid);
  const { dead, owed, living } = wanted();
  const { pidfd } = monitor;
  // All that was read is of the process of the pidfd if the monitor still has that.
  if (pidfd === null || monitor.pid !== pid) return null;
  const repairs = lxcfsRepairs(before, dead, owed, living).filter((repair) => repair.bind || repair.dead.length > 0);
  const devicesOf = (mounts: typeof before): readonly string[] => [...new Set(mounts.map(({ device }) => device))];
  if (repairs.length === 0)
    return { isDone: true, owed: living === null ? owed : [], devices: devicesOf(before), lacksSome: false };
  const doomed = repairs.filter(({ dead: ids }) => ids.length > 0).map(({ place }) => pathOf(place));
  if (doomed.length > 0) promise([...new Set([...owed, ...doomed])]);
  const hasIds = (monitor.meta.attach as AttachTarget).userNamespace;
  const result = await runHelper(host.arch, binary, planLxcfsRepair(host, hasIds, repairs), [pidfd], repairTime);
  const after = await seenIn(pid);
  if (monitor.pid !== pid) return null;
  const isThere = (path: string): boolean => after.some(({ point, device }) => point === path && !dead.has(device));
  const taken = repairs.flatMap((repair) => {
    const path = pathOf(repair.place);
    const isLeft = isThere(path) || after.some(({ id }) => repair.dead.includes(id));
    return repair.dead.length === 0 || isLeft ? [] : [path];
  });
  const isDone = result.kind === "done";
  // What could not be mounted by a program that was done is the guest's own by now.
  const next = isDone && living !== null ? [] : [...new Set([...owed, ...taken])];
  const lacksSome = repairs.some(({ bind, place }) => bind && !isThere(pathOf(place)));
  return { isDone, owed: next, devices: devicesOf(after), lacksSome };
}

/** A container that keeps the host's mount namespace. */
function sharesMounts(pid: number): boolean {
  const namespace = (process: string): string | null => {
    try {
      return readlinkSync(`/proc/${process}/ns/mnt`);
    } catch {
      return null;
    }
  };
  return namespace(String(pid)) === namespace("self");
}

/** LXCFS's mounts that a process sees; none when it has ended, or has more mounts than anybody needs. */
async function seenIn(pid: number): Promise<ReturnType<typeof lxcfsMounts>> {
  let file: FileHandle;
  try {
    file = await open(`/proc/${pid}/mountinfo`, "r");
  } catch {
    return [];
  }
  try {
    const parts: Buffer[] = [];
    for (let size = 0; size < mostMountinfo;) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(65536), 0, 65536, null);
      if (bytesRead === 0) return lxcfsMounts(Buffer.concat(parts).toString("latin1"));
      parts.push(buffer.subarray(0, bytesRead));
      size += bytesRead;
    }
    return [];
  } catch {
    return [];
  } finally {
    await file.close();
  }
}
