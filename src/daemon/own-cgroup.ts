import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import type { CgroupLayout } from "../spec/host.js";

/**
 * The daemon's own cgroup `islet` in every hierarchy. Monitors are made in it: they must not live in the session of whoever happened to start
 * the daemon, whose end would take the containers with it. Entered once, ahead of all starts, since moving a process costs milliseconds. A
 * service of systemd's stays in its unit, where it is counted and looked for; only who makes the monitors goes there.
 */
export interface OwnCgroup {
  enter(): void;
  /** The `cgroup.procs` of groups that whoever makes monitors must be put into; [] where it is in them from the start. */
  members(): readonly string[];
  /** Back to where it came from; the directories go if nobody else is in them. */
  leave(): void;
}

const directoryName = "islet";

/** `stays`: the daemon itself does not go there. */
export function createOwnCgroup(layout: CgroupLayout, stays: boolean): OwnCgroup {
  const places = [
    ...layout.legacy.map((item) => ({ mount: item.mount, own: item.own, cpuset: item.controllers.includes("cpuset") })),
    ...(layout.unified === null ? [] : [{ mount: layout.unified.mount, own: layout.unified.own, cpuset: false }]),
  ];
  const entered: (typeof places)[number][] = [];
  return {
    enter(): void {
      for (const place of places) {
        const path = `${place.mount}/${directoryName}`;
        try {
          mkdirSync(path, { recursive: true, mode: 0o755 });
          if (place.cpuset) inheritCpuset(place.mount, path);
          if (!stays) writeFileSync(`${path}/cgroup.procs`, String(process.pid));
          entered.push(place);
        } catch {
          // A hierarchy that is not ours to change: monitors stay where the daemon is.
        }
      }
    },
    members: () => (stays ? entered.map(({ mount }) => `${mount}/${directoryName}/cgroup.procs`) : []),
    leave(): void {
      for (const place of entered) {
        try {
          if (!stays) writeFileSync(`${place.mount}${place.own}/cgroup.procs`, String(process.pid));
          removeEmptied(`${place.mount}/${directoryName}`);
        } catch {
          // Monitors or another daemon are still in it.
        }
      }
    },
  };
}

/** Milliseconds that a process which has just ended may still count as a member. */
const lastMoments = 20;

/** Removes a cgroup unless somebody is in it. */
function removeEmptied(path: string): void {
  for (let left = lastMoments; ; left -= 1) {
    try {
      rmdirSync(path);
      return;
    } catch (error) {
      if (left === 0 || readTrimmed(`${path}/cgroup.procs`) !== "") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

function inheritCpuset(mount: string, path: string): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    writeFileSync(`${path}/${file}`, readTrimmed(`${mount}/${file}`));
  }
}

function readTrimmed(path: string): string {
  return readFileSync(path, "utf8").trim();
}
