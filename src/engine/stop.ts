import { readFileSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { bootTime } from "../host/clock.js";
import { type Monitor, notRunning, sendSignal, whenKnown } from "../runtime/monitors.js";
import type { ContainerId, StopOptions, StopResult } from "./engine.js";
import { freezeContainer, thawForDeath } from "./freeze.js";
import type { Registry } from "./registry.js";
import type { Arch } from "../sys/arch.js";
import { SIGNALS, SIGRTMIN3 } from "../sys/signals.js";

const { SIGKILL, SIGPWR } = SIGNALS;

/** Milliseconds a killed container may take until its monitor has cleaned up. */
const killTime = 30_000;
/** Milliseconds between two kills of what is to die: the guest may freeze itself again, a kill may fail. */
const killPause = 500;

/**
 * lxc-stop(1): the halt signal and, when the time is over, the stop signal; or only the latter; or the reboot signal. A frozen container is
 * thawed first, or its init would hear of the wish only together with its death.
 */
export async function stopContainer(
  arch: Arch,
  registry: Registry,
  id: ContainerId,
  options: StopOptions,
): Promise<StopResult> {
  const monitor = registry.get(id);
  if (registry.isOrphan(id)) return stopOrphan(registry, id, options);
  if (monitor === undefined || monitor.state === "STOPPED") throw notRunning(id.name);
  await whenKnown(monitor);
  if (options.kind === "kill") {
    await kill(arch, registry, monitor, id);
    return { killed: true };
  }
  if (monitor.state === "FROZEN") await freezeContainer(arch, monitor, false, registry.events.changed);
  if (options.kind === "reboot") {
    const again = options.timeout === 0 ? null : mayFail(registry.wait(id, ["STARTING", "STOPPED"], options.timeout));
    ask(monitor, () => monitor.meta.signals.reboot);
    if (again === null) return { killed: false };
    const reached = await again;
    if (reached.state === "STARTING") await registry.wait(id, ["RUNNING", "STOPPED"], options.timeout);
    if (registry.status(id).state === "STOPPED")
      throw new IsletError("ISLET_NOT_RUNNING", `${id.name} stopped instead of starting again`);
    return { killed: false };
  }
  const stopped = options.timeout === 0 ? null : mayFail(registry.wait(id, ["STOPPED"], options.timeout));
  ask(monitor, (masks) => monitor.meta.signals.halt ?? haltSignal(masks));
  if (stopped === null) return { killed: false };
  try {
    await stopped;
    return { killed: false };
  } catch (error) {
    if (!(error instanceof IsletError) || error.code !== "ISLET_TIMEOUT") throw error;
    // Its main process is gone already; hooks take their time.
    if (["STOPPED", "STOPPING"].includes(registry.status(id).state)) {
      await gone(registry, id);
      return { killed: false };
    }
    if (options.noKill) throw error;
  }
  // The connection that the wish went over may have broken since.
  const last = registry.get(id);
  if (last !== undefined) await kill(arch, registry, last, id);
  else await gone(registry, id);
  return { killed: true };
}

/** Milliseconds of a guest's life in which its init may not yet listen. */
const youth = 5000;
/** Milliseconds between two looks at whether it does. */
const glance = 20;
/** Milliseconds after which an init that shows no sign of it is told once more: one that sleeps in sigtimedwait(2) never does. */
const repeats: readonly number[] = [300, 1000, 2500, youth];

/** Milliseconds; 0 where nobody knows. */
function ageOf(monitor: Monitor): number {
  try {
    return bootTime() - Number(monitor.startedNs / 1_000_000n);
  } catch {
    return 0;
  }
}

/**
 * Tells init what it has to understand. The kernel drops what the first process of a namespace has no handler for (pid_namespaces(7)), so a wish that
 * comes while the guest begins is said again as soon as init listens. `signal` is asked anew each time: which one it understands shows only then, too.
 */
function ask(monitor: Monitor, signal: (masks: Masks) => number): void {
  const { pid } = monitor;
  const began = performance.now();
  const isYoung = ageOf(monitor) < youth;
  let left = repeats;
  const tell = (): boolean => {
    const masks = masksOf(pid);
    const wanted = signal(masks);
    const isHeard = has(masks.caught, wanted) || has(masks.blocked, wanted);
    const time = performance.now() - began;
    const isDue = left === repeats || time >= (left[0] ?? 0);
    if (isHeard || isDue) sendSignal(monitor, wanted);
    left = left.filter((each) => each > time);
    return isHeard;
  };
  const look = (): void => {
    if (tell() || left.length === 0) return;
    setTimeout(() => {
      if (!monitor.ended && monitor.pid === pid && monitor.state === "RUNNING") look();
    }, glance).unref();
  };
  if (isYoung) look();
  else tell();
}

/** It is on its way already: waited for, or killed without further ado. */
async function stopOrphan(registry: Registry, id: ContainerId, options: StopOptions): Promise<StopResult> {
  const wait = mayFail(gone(registry, id));
  if (options.kind === "kill") registry.killOrphan(id);
  else if (options.timeout === 0) return { killed: false };
  await wait;
  return { killed: options.kind === "kill" };
}

async function kill(arch: Arch, registry: Registry, monitor: Monitor, id: ContainerId): Promise<void> {
  const wait = mayFail(gone(registry, id));
  monitor.doomed = true;
  let again: NodeJS.Timeout | undefined;
  try {
    sendSignal(monitor, monitor.meta.signals.stop);
    // No state is told: it goes straight on to STOPPING.
    thawForDeath(arch, monitor.meta);
    again = setInterval(() => {
      thawForDeath(arch, monitor.meta);
      // Other signals may be counted by whoever gets them.
      if (monitor.meta.signals.stop === SIGKILL && !monitor.ended) sendSignal(monitor, SIGKILL);
    }, killPause);
    await wait;
  } finally {
    clearInterval(again);
    monitor.doomed = false;
  }
}

/**
 * For what is waited for only after something else, which may fail and be the end of it: nobody hears of the failure of a wait that was given up, and
 * that ends Node.
 */
function mayFail<T>(wait: Promise<T>): Promise<T> {
  wait.catch(() => undefined);
  return wait;
}

/** Resolves when the monitor itself has ended: nothing of the container is left then. */
function gone(registry: Registry, id: ContainerId): Promise<void> {
  if (registry.get(id) === undefined && !registry.isOrphan(id)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      listen();
      reject(new IsletError("ISLET_TIMEOUT", `${id.name} did not end within ${killTime / 1000} s of being killed`));
    }, killTime);
    const listen = registry.onGone((meta) => {
      if (meta.name !== id.name || meta.storePath !== id.storePath) return;
      clearTimeout(timer);
      listen();
      resolve();
    });
  });
}

/** What init understands: systemd blocks SIGRTMIN+3 because it waits for it; others get SIGPWR (lxc.signal.halt). */
function haltSignal({ blocked }: Masks): number {
  return has(blocked, SIGRTMIN3) ? SIGRTMIN3 : SIGPWR;
}

/** Signals of a process (proc(5), SigBlk and SigCgt), bit N-1 for signal N. */
interface Masks {
  readonly blocked: bigint;
  readonly caught: bigint;
}

const has = (mask: bigint, signal: number): boolean => ((mask >> BigInt(signal - 1)) & 1n) === 1n;

/** Empty where it has ended. */
function masksOf(pid: number | null): Masks {
  let status = "";
  try {
    if (pid !== null) status = readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    // It has ended.
  }
  const mask = (name: string): bigint =>
    BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)$`, "m").exec(status)?.[1] ?? "0"}`);
  return { blocked: mask("SigBlk"), caught: mask("SigCgt") };
}
