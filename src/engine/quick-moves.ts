import { readFileSync, readlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { closeFd, sendMessage, spawn } from "../host/addon.js";
import { bootTime } from "../host/clock.js";
import { reapWhenDone } from "../host/reap.js";
import { cgroupMemberships } from "../host/probe.js";
import { socketPair } from "../host/socket.js";
import type { HostFacts } from "../spec/host.js";
import type { ContainerId } from "./engine.js";
import type { Registry } from "./registry.js";
import { directoryOf } from "./store.js";

/** Milliseconds from its start that a guest is given: most have booted by then. */
const bootWindow = 3000;

/**
 * Spares booting guests the waits of their cgroups. Systemd puts itself and each service into its cgroup through `cgroup.procs`, which takes a
 * lock over all forks of the machine. Its first taker waits for an RCU grace period, 5 to 15 ms; for about as long after that it is quick for
 * everybody (kernel/rcu/sync.c). A guest that boots comes just too late for that a few times: 50 of 320 ms of a Debian 12. So a small process
 * (`islet moves`) takes the lock now and then meanwhile: it moves to the cgroup where it is.
 * @param binary of islet.
 * @returns ends it.
 */
export function createQuickMoves(host: HostFacts, binary: string, registry: Registry): () => void {
  const booting = new Set<string>();
  let helper: { readonly fd: number } | null = null;

  const end = (): void => {
    booting.clear();
    if (helper !== null) closeFd(helper.fd);
    helper = null;
  };
  const begin = (): void => {
    const file = ownProcs(host);
    if (file === null) return;
    const [ours, theirs] = socketPair(host.arch);
    try {
      const argv = ["islet", "moves", file, String(bootWindow)];
      const { pidfd } = spawn(binary, argv, [], [[0, theirs]], { cwd: "/", setsid: true });
      const made = { fd: ours };
      helper = made;
      reapWhenDone(pidfd, () => {
        if (helper === made) end();
      });
    } catch {
      // Without it a guest boots as it would under anybody else.
      closeFd(ours);
    } finally {
      closeFd(theirs);
    }
  };
  const booted = (id: ContainerId): void => {
    const monitor = registry.get(id);
    if (monitor === undefined || !isSystemd(monitor.pid)) return;
    booting.add(directoryOf(id));
    if (helper === null) begin();
    else sendMessage(helper.fd, more, []);
  };

  const unsubscribe = registry.subscribe((event) => {
    if (event.kind !== "state") return;
    if (event.state === "STOPPED" && booting.delete(directoryOf(event)) && booting.size === 0) end();
    if (event.state !== "RUNNING") return;
    const monitor = registry.get(event);
    // It may have been thawed. Whoever waits for the start comes first.
    if (monitor !== undefined && isYoung(monitor.startedNs)) setImmediate(booted, event);
  });
  return () => {
    unsubscribe();
    end();
  };
}

const more = new Uint8Array(1);

/** Where this process is, of any hierarchy: they share the lock. */
function ownProcs({ cgroups: { unified, legacy } }: HostFacts): string | null {
  const own = cgroupMemberships(readFileSync("/proc/self/cgroup", "utf8"));
  const [mount, key] =
    unified !== null ? [unified.mount, ""] : [legacy[0]?.mount, legacy[0]?.controllers.join(",") ?? ""];
  const path = own.get(key);
  return mount === undefined || path === undefined ? null : join(mount, path, "cgroup.procs");
}

const isYoung = (startedNs: bigint): boolean => bootTime() - Number(startedNs / 1_000_000n) < bootWindow;

function isSystemd(pid: number | null): boolean {
  try {
    return pid !== null && basename(readlinkSync(`/proc/${pid}/exe`)) === "systemd";
  } catch {
    return false;
  }
}
