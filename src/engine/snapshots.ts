import { closeSync, constants, existsSync, fstatSync, openSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { StorageHost } from "../storage/driver.js";
import { kindOf } from "../storage/drivers.js";
import type { SnapshotOptions, SnapshotStatus } from "./copy-requests.js";
import { asTheOriginal, copyContainer } from "./copy.js";
import { type ContainerId, noSuchContainer } from "./engine.js";
import { configFileOf, directoryOf, entriesOf, settlePartial } from "./store.js";

/** LXC's snapshots: containers snap0, snap1, ... in the store STORE/NAME/snaps, each with the time it was made and perhaps a comment. */

export const snapshotStore = (id: ContainerId): string => `${directoryOf(id)}/snaps`;

/** More than any has a use for, and how much of a comment is kept, bytes. */
const mostSnapshots = 100_000;
const mostComment = 1024 * 1024;

function smallFile(path: string): string | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch {
    return null;
  }
  try {
    const stats = fstatSync(fd);
    return stats.isFile() && stats.size <= mostComment ? readFileSync(fd, "utf8") : null;
  } finally {
    closeSync(fd);
  }
}

const number = (name: string): number => Number(/[0-9]+$/.exec(name)?.[0] ?? Number.MAX_SAFE_INTEGER);

/** Those that are whole, snap2 before snap10; what a dead daemon was making is cleared away. ISLET_NOT_FOUND: there is no such container. */
export async function snapshotsOf(host: StorageHost, id: ContainerId): Promise<readonly SnapshotStatus[]> {
  if (!existsSync(configFileOf(id))) throw noSuchContainer(id);
  const storePath = snapshotStore(id);
  const found: SnapshotStatus[] = [];
  for (const name of entriesOf(storePath)) {
    const snapshot: ContainerId = { storePath, name };
    if (existsSync(`${directoryOf(snapshot)}/partial`)) {
      try {
        await settlePartial(host, snapshot);
      } catch {
        // It is being made.
      }
      continue;
    }
    if (!existsSync(configFileOf(snapshot))) continue;
    found.push({
      name,
      storePath,
      made: smallFile(`${directoryOf(snapshot)}/ts`)?.trim() ?? null,
      comment: smallFile(`${directoryOf(snapshot)}/comment`),
    });
  }
  return found.sort((a, b) => number(a.name) - number(b.name) || (a.name < b.name ? -1 : 1));
}

/** LXC's `ts`: local time. */
export function timestamp(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join(":");
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":")}`;
}

/** The lowest number that is free. */
export function freeName(taken: ReadonlySet<string>): string {
  for (let index = 0; index < mostSnapshots; index++) if (!taken.has(`snap${index}`)) return `snap${index}`;
  throw new IsletError("ISLET_UNSUPPORTED", `there are ${mostSnapshots} snapshots already`);
}

/** Resolves with the snapshot's name: `given`, or the next one of LXC's. The container must not run (the caller has looked). */
export async function takeSnapshot(
  host: StorageHost,
  source: ContainerSpec,
  optionsFor: (snapshot: ContainerId) => SnapshotOptions,
  given: string | null,
): Promise<string> {
  await snapshotsOf(host, source);
  const storePath = snapshotStore(source);
  const taken = new Set(entriesOf(storePath));
  if (given !== null && taken.has(given))
    throw new IsletError("ISLET_EXISTS", `${source.name} has a snapshot ${given} already`);
  const name = given ?? freeName(taken);
  const target: ContainerId = { storePath, name };
  const options = optionsFor(target);
  // What lies in plain directories is copied whole, as LXC does it: such a snapshot needs nothing that is still changed.
  const isPlain = ["dir", "loop", "host", "other"].includes(source.rootfs.source.kind);
  const made = new Date();
  try {
    await copyContainer(host, {
      source,
      target,
      pid: null,
      // It is to be what the container is, not another one: LXC's hooks write the snapshot's name into it.
      hookName: null,
      // A snapshot of an ordinary logical volume would go with it, when another one is brought back.
      isAlone: kindOf(source.rootfs.source) === "lvm",
      options: {
        ...options,
        ...asTheOriginal,
        how: isPlain ? "copy" : "snapshot",
      },
      finish: (directory) => {
        writeFileSync(`${directory}/ts`, timestamp(made), { mode: 0o644 });
        if (options.comment !== null) writeFileSync(`${directory}/comment`, options.comment, { mode: 0o644 });
      },
    });
  } catch (error) {
    leaveNoEmpty(storePath);
    throw error;
  }
  return name;
}

/** `snaps` itself goes with the last snapshot. */
export function leaveNoEmpty(storePath: string): void {
  try {
    rmdirSync(storePath);
  } catch {
    // There are others, or it is gone already.
  }
}
