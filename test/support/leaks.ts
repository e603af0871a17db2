import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { daemonsOf, differences, picture, type HostPicture } from "./host.js";
import { runtimeDir } from "./paths.js";
import { waitFor } from "./wait.js";

/** Open descriptors of a process. */
export function descriptorCount(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** The daemon of this run, or null if none is running. */
export function daemonPid(): number | null {
  return daemonsOf(runtimeDir)[0]?.pid ?? null;
}

export interface Baseline {
  readonly host: HostPicture;
  readonly daemon: number | null;
  readonly descriptors: number;
}

/** Take it after a first round, so that what the daemon keeps for good (its sockets, caches) is in it. */
export function baseline(): Baseline {
  const daemon = daemonPid();
  return { host: picture(), daemon, descriptors: daemon === null ? 0 : descriptorCount(daemon) };
}

/**
 * Fails unless mounts, links, cgroups and processes that carry the mark, and the daemon's descriptors, are as in the baseline. What
 * is just ending has two seconds for it.
 */
export async function assertNoLeaks(before: Baseline, mark: string): Promise<void> {
  let found: readonly string[] = [];
  await waitFor(
    "the host to be as before",
    () => {
      found = differences(before.host, picture(), { marks: [mark], shared: true });
      return found.length === 0;
    },
    { timeout: 2000 },
  ).catch(() => {
    assert.deepEqual(found, []);
  });
  const { daemon, descriptors } = before;
  if (daemon !== null) {
    await waitFor(`the daemon to have ${descriptors} descriptors again`, () => descriptorCount(daemon) <= descriptors, {
      timeout: 2000,
    });
  }
}
