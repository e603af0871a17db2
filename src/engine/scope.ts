import { setTimeout as sleep } from "node:timers/promises";
import { IsletError } from "../base/errors.js";
import { printable } from "../base/printable.js";
import { readKernelFile } from "../host/fd.js";
import { runProgram } from "../host/run-program.js";
import { scopeCgroups, scopeRequest, scopeUnit, slice } from "../host/systemd.js";
import { hasOwnPlace } from "../plan/cgroup.js";
import type { FreshMonitor, MonitorPool } from "../runtime/monitors.js";
import type { HostFacts, StartFacts } from "../spec/host.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { StartOptions } from "./engine.js";

/** A monitor in a scope that the host's systemd has made of it. With the monitor's end, and that of all others in it, the scope goes by itself. */
export interface Scoped {
  readonly monitor: FreshMonitor;
  readonly cgroups: StartFacts["scope"];
}

/** Milliseconds that systemd has in all. */
const patience = 10_000;
/** Milliseconds between two looks. */
const shortPause = 2;
const longPause = 50;

/**
 * Where the guest is to have a scope, a monitor in one; null: there is no systemd, or it makes none and `islet.scope = auto` does without.
 * ISLET_START_FAILED where the configuration asks for one that cannot be had.
 */
export async function takeScope(
  host: HostFacts,
  pool: Pick<MonitorPool, "make">,
  spec: ContainerSpec,
  warn: StartOptions["warn"],
): Promise<Scoped | null> {
  const mode = spec.guest.scope;
  if (mode === "no" || hasOwnPlace(spec)) return null;
  const unit = scopeUnit(spec.storePath, spec.name);
  const refuse = (why: string): null => {
    const message = `systemd has made no scope for ${spec.name}: ${printable(why)}`;
    if (mode === "yes")
      throw new IsletError("ISLET_START_FAILED", message, {
        hint: "islet.scope = auto does without",
      });
    console.error(`${spec.storePath}/${spec.name}: systemd has made no scope ${unit}: ${printable(why)}`);
    warn?.({ message: `${message}; its control groups are below the root`, at: null });
    return null;
  };
  if (host.busctl === null) return mode === "yes" ? refuse("systemd does not run on this host") : null;
  const monitor = await pool.make();
  const outcome = await ask(host, host.busctl, spec, unit, monitor.pid).catch(async (error: unknown) => {
    await monitor.discard();
    throw error;
  });
  if (typeof outcome !== "string") return { monitor, cgroups: outcome };
  // What is asked of systemd still finds nobody to put into a scope.
  await monitor.discard();
  return refuse(outcome);
}

/** Controllers of cgroup v1 that systemd manages. */
const managed: readonly string[] = ["name=systemd", "cpu", "cpuacct", "blkio", "memory", "devices", "pids"];

/** Where a start that is only planned would find itself, if systemd does what it usually does. */
export function expectedScope(host: HostFacts, spec: ContainerSpec): StartFacts["scope"] {
  if (host.busctl === null || spec.guest.scope === "no" || hasOwnPlace(spec)) return {};
  const path = `/${slice}/${scopeUnit(spec.storePath, spec.name)}`;
  const keys = host.cgroups.legacy
    .filter(({ controllers }) => controllers.some((name) => managed.includes(name)))
    .map(({ controllers }) => controllers.join(","));
  return Object.fromEntries(["", ...keys].map((key) => [key, path]));
}

/** The scope's cgroups, or why there is none. */
async function ask(
  host: HostFacts,
  busctl: string,
  spec: ContainerSpec,
  unit: string,
  pid: number,
): Promise<StartFacts["scope"] | string> {
  const until = performance.now() + patience;
  const left = (): number => Math.max(1, until - performance.now());
  const words = scopeRequest(unit, `Container ${spec.name}`, pid, Math.ceil(patience / 1000));
  const late = `no answer within ${patience / 1000} s`;
  for (;;) {
    const result = await runProgram(host.arch, busctl, words, left());
    if (result.kind === "done") break;
    if (result.kind === "late") return late;
    // The last run's, of which systemd has not yet seen the end.
    if (!/already (?:loaded|exists)/.test(result.why) || left() < longPause) return result.why;
    await sleep(longPause);
  }
  // It has been queued: the process is moved when its turn comes.
  for (let pause = shortPause; left() > 1; pause = Math.min(pause * 2, longPause)) {
    const membership = readKernelFile(host.arch, `/proc/${pid}/cgroup`);
    if (membership === null) return "the monitor has ended";
    const cgroups = scopeCgroups(membership, unit);
    if (cgroups !== null) return cgroups;
    await sleep(pause);
  }
  return late;
}
