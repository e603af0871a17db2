import { closeSync, constants, existsSync, mkdirSync, openSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { ioError, isErrno } from "../base/io-error.js";
import { spawn } from "../host/addon.js";
import { readKernelFile } from "../host/fd.js";
import { reapWhenDone } from "../host/reap.js";
import type { Arch } from "../sys/arch.js";
import type { IdMapEntry } from "../spec/idmap.js";
import { type OverlaySource, plainDirectory, type RootfsSource } from "../spec/rootfs.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { StorageKind, StorageRequest } from "../spec/storage.js";
import { O_PATH } from "../sys/flags.js";
import type { StorageContext, StorageHost, StoragePlace } from "../storage/driver.js";
import { driverOf, kindOf, makeRoot, planRoot } from "../storage/drivers.js";
import { flushRoot } from "../storage/flush.js";
import { copyTree, type TreeWatcher } from "../storage/tree.js";
import type { CopyOptions } from "./copy-requests.js";

/** The root file system of a copy. */

export interface RootWanted extends Pick<CopyOptions, "how" | "storage" | "size" | "fstype" | "volumeGroup" | "idmap"> {
  /** Of the original. */
  readonly from: RootfsSource;
  /** Of the original. */
  readonly fromMap: readonly IdMapEntry[];
  /** Of the original: STORE/NAME. */
  readonly directory: string;
  /** Of the original, if it runs. */
  readonly pid: number | null;
  /** What would need the original's root file system becomes a whole copy. */
  readonly isAlone: boolean;
}

export interface RootMade {
  readonly source: RootfsSource;
  /** The original's must stay as long as this one is there. */
  readonly depends: boolean;
}

/** How a copy's root file system will be made: nothing of it is there yet. */
export interface RootPlan {
  readonly source: RootfsSource;
  make(): Promise<RootMade>;
}

/** The original is wanted on: `place` is where the copy's directory is. */
export async function planCopy(wanted: RootWanted, place: StoragePlace, context: StorageContext): Promise<RootPlan> {
  const { from, how } = wanted;
  if (typeof how === "object") return onMemory(from, how.tmpfs.bytes);
  if (how === "snapshot") return await planSnapshot(wanted, place, context);
  const kind = wanted.storage ?? ownKind(from);
  // A subvolume is shared in an instant, and the copy needs nothing of the original.
  if (kind === "btrfs" && from.kind === "btrfs" && wanted.idmap === null)
    return await planSnapshot(wanted, place, context);
  return await planFull(wanted, kind, place, context);
}

/** An overlay is nothing of its own without what lies below it. */
function ownKind(from: RootfsSource): StorageKind {
  const kind = kindOf(from);
  if (kind === null)
    throw new IsletError("ISLET_UNSUPPORTED", `a root file system of the kind ${from.kind} cannot be copied`);
  return kind === "overlay" ? "dir" : kind;
}

function onMemory(from: RootfsSource, bytes: number | null): RootPlan {
  const lowers =
    from.kind === "overlay" ? [...(from.upper === null ? [] : [from.upper]), ...from.lowers] : [plainDirectory(from)];
  const layers = lowers.filter((lower) => lower !== null);
  if (layers.length === 0) {
    throw new IsletError("ISLET_UNSUPPORTED", `only directories can have their changes in memory, not ${from.kind}`, {
      hint: "leave -t out",
    });
  }
  const source: RootfsSource = {
    kind: "overlay",
    lowers: layers,
    upper: null,
    ...(bytes === null ? {} : { upperSize: bytes }),
  };
  return { source, make: () => Promise.resolve({ source, depends: true }) };
}

async function planSnapshot(wanted: RootWanted, place: StoragePlace, context: StorageContext): Promise<RootPlan> {
  const { from, idmap } = wanted;
  if (idmap !== null) {
    throw new IsletError("ISLET_UNSUPPORTED", "a snapshot keeps the owners of its original: it has the same id map", {
      hint: "copy it without -s",
    });
  }
  const kind = kindOf(from);
  const plain = plainDirectory(from);
  const overlay = wanted.storage === "overlay" || (wanted.storage === null && kind === "dir");
  if (plain !== null && overlay) {
    const request: StorageRequest = { kind: "overlay", lowers: [plain] };
    const source = await planRoot(place, request, context);
    return {
      source,
      make: async () => {
        await makeRoot(source, place, request, context);
        return { source, depends: true };
      },
    };
  }
  if (from.kind === "overlay" && from.upper !== null && (wanted.storage ?? "overlay") === "overlay")
    return await planOverlay(from, from.upper, wanted, place, context);
  const cannot = (): IsletError =>
    new IsletError("ISLET_UNSUPPORTED", `a root file system of the kind ${from.kind} has no snapshots`, {
      hint: "copy it without -s",
    });
  if (kind === null || (wanted.storage !== null && wanted.storage !== kind)) throw cannot();
  const driver = await driverOf(kind);
  if (driver.snapshot === undefined) {
    // -s was not asked for by anybody.
    if (wanted.how === "copy") return await planFull(wanted, kind, place, context);
    throw cannot();
  }
  const request = sized(await driver.request(from, context), wanted);
  const source = await driver.plan(place, request, context);
  return {
    source,
    make: async () => {
      const made = (await driver.snapshot?.(from, source, place, context)) ?? false;
      if (made !== false && !(made.depends && wanted.isAlone)) return { source, ...made };
      if (made !== false) await driver.remove(source, place, context);
      if (wanted.how === "copy" || wanted.isAlone) return await (await planFull(wanted, kind, place, context)).make();
      throw cannot();
    },
  };
}

/** A directory has no size where there are no project quotas: LXC ignores it then, and so do we, with a word. */
async function limited(
  request: StorageRequest,
  place: StoragePlace,
  { host, notice }: StorageContext,
): Promise<StorageRequest> {
  if (request.kind !== "dir" || request.size === null) return request;
  const { quotaProblemOf } = await import("../storage/quota.js");
  const problem = quotaProblemOf(host.arch, request.path ?? place.directory);
  if (problem === null) return request;
  notice?.(`the copy may grow as large as its disk: ${problem.why}`);
  return { ...request, size: null };
}

/** As LXC does it: over the same layers, with the changes copied. What is mounted over a layer that others write to must not be. */
async function planOverlay(
  from: OverlaySource,
  upper: string,
  wanted: RootWanted,
  place: StoragePlace,
  context: StorageContext,
): Promise<RootPlan> {
  const request: StorageRequest = { kind: "overlay", lowers: from.lowers };
  const source = await planRoot(place, request, context);
  return {
    source,
    make: async () => {
      await makeRoot(source, place, request, context);
      const { host } = context;
      if (source.kind === "overlay" && source.upper !== null && existsSync(upper)) {
        await copyTree(host, { from: upper, to: source.upper }, watcherOf(context));
      }
      // A layer may be a directory of the original's own (lxc-create -B overlay).
      const depends = from.lowers.some((lower) => lower.startsWith(`${wanted.directory}/`));
      return { source, depends };
    },
  };
}

const watcherOf = ({ progress, signal }: StorageContext): TreeWatcher => ({
  ...(progress === undefined ? {} : { progress }),
  ...(signal === undefined ? {} : { signal }),
});

/** As large as the original, or as the caller says. */
function sized(request: StorageRequest, wanted: Pick<RootWanted, "size" | "fstype" | "volumeGroup">): StorageRequest {
  const size = wanted.size ?? ("size" in request ? request.size : null);
  switch (request.kind) {
    case "lvm":
      return {
        ...request,
        size,
        fstype: wanted.fstype ?? request.fstype,
        group: wanted.volumeGroup ?? request.group,
      };
    case "loop":
      return { ...request, size, fstype: wanted.fstype ?? request.fstype };
    case "dir":
    case "btrfs":
    case "zfs":
      return { ...request, size };
    case "overlay":
    case "block":
      return request;
    default: {
      const impossible: never = request;
      return impossible;
    }
  }
}

function freshRequest(kind: StorageKind): StorageRequest {
  switch (kind) {
    case "dir":
      return { kind, path: null, size: null };
    case "btrfs":
      return { kind, size: null };
    case "overlay":
      return { kind, lowers: null };
    case "loop":
      return { kind, fstype: null, size: null };
    case "lvm":
      return { kind, volume: null, group: null, thinPool: null, fstype: null, size: null };
    case "zfs":
      return { kind, root: null, size: null };
    case "block":
      throw new IsletError("ISLET_BAD_REQUEST", "a device that is there already cannot become a copy", {
        hint: "choose where the copy goes: -B dir, -B loop",
      });
    default: {
      const impossible: never = kind;
      return impossible;
    }
  }
}

async function planFull(
  wanted: RootWanted,
  kind: StorageKind,
  place: StoragePlace,
  context: StorageContext,
): Promise<RootPlan> {
  const { from } = wanted;
  const isSame = kindOf(from) === kind && kind !== "block" && kind !== "overlay";
  const own = isSame ? await (await driverOf(kind)).request(from, context) : freshRequest(kind);
  const request = await limited(sized(own, wanted), place, context);
  const source = await planRoot(place, request, context);
  return {
    source,
    make: async () => {
      await makeRoot(source, place, request, context);
      const { host } = context;
      using origin = await openOriginal(host, wanted);
      using target = await openPlace(host, source, true);
      const shift = wanted.idmap === null ? {} : { shift: { from: wanted.fromMap, to: wanted.idmap } };
      await copyTree(
        host,
        { from: origin.fd, to: target.fd, ...shift, leaveOut: leftOut(kind, from) },
        watcherOf(context),
      );
      await flushRoot(context, source, `/proc/${process.pid}/fd/${target.fd}`);
      return { source, depends: false };
    },
  };
}

/** What a fresh file system has by itself is none of the container's. */
const leftOut = (kind: StorageKind, from: RootfsSource): readonly string[] =>
  plainDirectory(from) === null || ["loop", "lvm", "block"].includes(kind) ? ["lost+found"] : [];

interface Opened extends Disposable {
  readonly fd: number;
}

/** The original as its own processes see it, if there are any: nobody else may mount a device that is in use. */
export async function openOriginal(
  host: StorageHost,
  { from, pid }: Pick<RootWanted, "from" | "pid">,
): Promise<Opened> {
  return pid === null || plainDirectory(from) !== null
    ? await openPlace(host, from, false)
    : opened(`/proc/${pid}/root`, constants.O_DIRECTORY);
}

function opened(path: string, flags: number): Opened {
  let fd: number;
  try {
    fd = openSync(path, O_PATH | flags);
  } catch (error) {
    if (isErrno(error, "ENOENT"))
      throw new IsletError("ISLET_NO_ROOTFS", `there is no root file system ${path}`, { cause: error });
    throw ioError(`open the root file system ${path}`, error);
  }
  return {
    fd,
    [Symbol.dispose]: () => {
      closeSync(fd);
    },
  };
}

/** A root file system, wherever it is kept; `using` closes it. */
export async function openPlace(host: StorageHost, source: RootfsSource, write: boolean): Promise<Opened> {
  const plain = plainDirectory(source);
  if (plain !== null) return opened(plain, constants.O_DIRECTORY | constants.O_NOFOLLOW);
  const { openRoot } = await import("../storage/open.js");
  const open = await openRoot(host.facts, host.binary, source, { write });
  return {
    fd: open.fd,
    [Symbol.dispose]: () => {
      // Who lets go of an overlay last waits until all of the disk below it is written: not this process.
      if (write && source.kind === "overlay") outlive(host.arch, open.fd);
      open.close();
    },
  };
}

/**
 * A small process has the descriptor, too, for a moment longer. Not where the kernel refuses a second overlay over the same changes: the copy may
 * be started at once.
 */
function outlive(arch: Arch, fd: number): void {
  if (readKernelFile(arch, "/sys/module/overlay/parameters/index")?.trim() !== "N") return;
  try {
    const { pidfd } = spawn("/bin/sleep", ["sleep", "0.1"], [], [[3, fd]], { cwd: "/" });
    reapWhenDone(pidfd);
  } catch {
    // Then we wait ourselves.
  }
}

/** LXC's empty directory `rootfs` beside a root file system that is elsewhere. */
export function makeMountPoint(directory: string): void {
  try {
    mkdirSync(`${directory}/rootfs`, { mode: 0o755 });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw ioError(`make ${directory}/rootfs`, error);
  }
}

/** Ids of a container's files may be its own, of the host's (shifted), or mapped when they are mounted: only the second kind can be shifted on the way. */
export function checkShift(spec: Pick<ContainerSpec, "rootfs" | "name">, idmap: readonly IdMapEntry[] | null): void {
  if (idmap !== null && spec.rootfs.idmap !== "as-is")
    throw new IsletError(
      "ISLET_BAD_REQUEST",
      `the files of ${spec.name} get their ids when they are mounted (lxc.rootfs.options idmap=): another id map needs no copy`,
      { hint: "copy it, and change lxc.idmap" },
    );
}
