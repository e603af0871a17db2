import { existsSync, type FSWatcher, watch } from "node:fs";
import type { ContainerEvent, ContainerId, ContainerStatus, State } from "./engine.js";
import { IsletError } from "../base/errors.js";
import {
  type Monitor,
  type MonitorEvents,
  type MonitorMeta,
  findMonitor,
  findMonitors,
  monitorDirectory,
  monitorId,
  monitorSocketPath,
  openMonitor,
  removeDeadSocket,
} from "../runtime/monitors.js";
import { isFrozen, thawForDeath } from "./freeze.js";
import { exitCode, monitorFrames, type MonitorInfo } from "../host/protocol.js";
import { closeFd } from "../host/addon.js";
import type { Arch } from "../sys/arch.js";
import { livingStates, states } from "../spec/states.js";

/** The running containers, as their monitors tell them: all the daemon knows, and all of it can be found again. */
export interface Registry {
  get(id: ContainerId): Monitor | undefined;
  all(): Iterable<Monitor>;
  /** What every monitor's events must go to. */
  readonly events: MonitorEvents;
  /** Resolves when the container is in one of the states (STOPPED: no monitor). */
  wait(
    id: ContainerId,
    wanted: readonly State[],
    timeout: number | null,
    aborted?: AbortSignal,
  ): Promise<ContainerStatus>;
  status(id: ContainerId): ContainerStatus;
  rediscover(): Promise<void>;
  /** Also learns of containers that other engines of this runtime directory start, a moment later, until `abandon`. */
  watchOthers(): void;
  /** Lets go of all containers, which go on running. */
  abandon(): void;
  /** Called with every event, until the function it returns is called. */
  subscribe(listener: (event: ContainerEvent) => void): () => void;
  /** Called whenever a monitor has ended, until the function it returns is called. */
  onGone(listener: (monitor: Monitor) => void): () => void;
}

/** setTimeout takes no more, milliseconds: nearly 25 days. */
const longestTimer = 0x7fff_ffff;

/** Milliseconds after which a socket that appeared is looked at: our own starts are known by then. */
const settleTime = 100;

function keyOf(storePath: string, name: string): string {
  return `${storePath}\0${name}`;
}

interface Waiter {
  readonly id: ContainerId;
  readonly wanted: readonly State[];
  readonly resolve: (status: ContainerStatus) => void;
}

export function createRegistry(arch: Arch, runtimeDir: string): Registry {
  const monitors = new Map<string, Monitor>();
  const lastExit = new Map<string, number>();
  const waiters = new Set<Waiter>();
  const listeners = new Set<(monitor: Monitor) => void>();
  const subscribers = new Set<(event: ContainerEvent) => void>();
  /** The state that was told last. */
  const told = new WeakMap<Monitor, State>();

  const status = (id: ContainerId): ContainerStatus => {
    const monitor = monitors.get(keyOf(id.storePath, id.name));
    const exit = monitor?.exit ?? lastExit.get(keyOf(id.storePath, id.name)) ?? null;
    const running = monitor !== undefined && monitor.state !== "STOPPED";
    return {
      storePath: id.storePath,
      name: id.name,
      state: monitor?.state ?? "STOPPED",
      initPid: running ? monitor.pid : null,
      exitStatus: exit === null ? null : exitCode(exit),
      startedAt: running ? Number(monitor.startedNs / 1_000_000n) : null,
      annotations: running ? monitor.meta.annotations : {},
    };
  };

  /** STOPPED is also a moment of every reboot: only without a monitor has a container ended. */
  const isReached = (now: ContainerStatus, wanted: readonly State[]): boolean =>
    wanted.includes(now.state) && (now.state !== "STOPPED" || !monitors.has(keyOf(now.storePath, now.name)));

  const wake = (meta: MonitorMeta): void => {
    for (const waiter of waiters) {
      if (waiter.id.name !== meta.name || waiter.id.storePath !== meta.storePath) continue;
      const now = status(waiter.id);
      if (isReached(now, waiter.wanted)) {
        waiters.delete(waiter);
        waiter.resolve(now);
      }
    }
  };

  const tell = (event: ContainerEvent): void => {
    for (const subscriber of subscribers) subscriber(event);
  };

  const tellState = (monitor: Monitor): void => {
    const { state, exit } = monitor;
    const { storePath, name } = monitor.meta;
    const last = told.get(monitor) ?? "STOPPED";
    if (state === last) return;
    told.set(monitor, state);
    if (state === "STOPPING" && exit !== null && livingStates.has(last))
      tell({ storePath, name, kind: "exit", waitStatus: exit });
    tell({ storePath, name, kind: "state", state });
  };

  const events: MonitorEvents = {
    changed: (monitor) => {
      tellState(monitor);
      // Known from its first sign of life: what is starting can be seen, and stopped.
      const key = keyOf(monitor.meta.storePath, monitor.meta.name);
      if (!monitor.ended && monitors.get(key) !== monitor) {
        monitors.set(key, monitor);
        lastExit.delete(key);
      }
      wake(monitor.meta);
    },
    gone: (monitor) => {
      // A monitor that was killed: its guest is to die.
      if (livingStates.has(told.get(monitor) ?? "STOPPED")) thawForDeath(arch, monitor.meta);
      tellState(monitor);
      const key = keyOf(monitor.meta.storePath, monitor.meta.name);
      if (monitors.get(key) === monitor) {
        monitors.delete(key);
        if (monitor.exit !== null) lastExit.set(key, monitor.exit);
        // Only the last few matter: whoever asks does so right after the end.
        if (lastExit.size > 1024) lastExit.delete(lastExit.keys().next().value ?? "");
      }
      const path = monitorSocketPath(runtimeDir, monitor.meta.storePath, monitor.meta.name);
      removeDeadSocket(arch, path);
      // A process that is just ending closes its descriptors one after another.
      setTimeout(() => {
        removeDeadSocket(arch, path);
      }, 50).unref();
      wake(monitor.meta);
      for (const listener of listeners) listener(monitor);
    },
  };

  const found = (fd: number, info: MonitorInfo, meta: MonitorMeta, pidfd: number | null): void => {
    if (monitors.has(keyOf(meta.storePath, meta.name))) {
      closeFd(fd);
      if (pidfd !== null) closeFd(pidfd);
      return;
    }
    const monitor = openMonitor(fd, meta, events, () => undefined);
    const state = states[info.state] ?? "STOPPED";
    monitor.state = state === "RUNNING" && isFrozen(arch, meta) ? "FROZEN" : state;
    monitor.pid = info.pid;
    monitor.exit = info.exit;
    monitor.startedNs = info.startedNs;
    if (pidfd !== null) {
      if (monitor.pidfd === null) monitor.pidfd = pidfd;
      else closeFd(pidfd);
    }
    monitors.set(keyOf(meta.storePath, meta.name), monitor);
    monitor.channel.send(monitorFrames.subscribe, new Uint8Array(0));
    tellState(monitor);
    wake(meta);
  };

  let others: FSWatcher | null = null;
  const ids = new WeakMap<Monitor, string>();
  const isKnown = (entry: string): boolean => {
    for (const monitor of monitors.values()) {
      const id = ids.get(monitor) ?? monitorId(monitor.meta.storePath, monitor.meta.name);
      ids.set(monitor, id);
      if (id === entry) return true;
    }
    return false;
  };
  const lookAt = (entry: string): void => {
    if (others === null || isKnown(entry) || !existsSync(`${monitorDirectory(runtimeDir)}/${entry}`)) return;
    findMonitor(arch, runtimeDir, entry, found).catch((error: unknown) => {
      console.error(error);
    });
  };

  return {
    events,
    status,
    get: (id) => monitors.get(keyOf(id.storePath, id.name)),
    all: () => monitors.values(),
    subscribe(listener): () => void {
      subscribers.add(listener);
      return () => subscribers.delete(listener);
    },
    onGone(listener): () => void {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    wait(id, wanted, timeout, aborted): Promise<ContainerStatus> {
      const now = status(id);
      if (isReached(now, wanted)) return Promise.resolve(now);
      return new Promise((resolve, reject) => {
        let timer: NodeJS.Timeout | null = null;
        const waiter: Waiter = {
          id,
          wanted,
          resolve: (reached) => {
            if (timer !== null) clearTimeout(timer);
            resolve(reached);
          },
        };
        waiters.add(waiter);
        aborted?.addEventListener("abort", () => {
          waiters.delete(waiter);
          if (timer !== null) clearTimeout(timer);
        });
        if (timeout !== null) {
          timer = setTimeout(
            () => {
              waiters.delete(waiter);
              reject(
                new IsletError(
                  "ISLET_TIMEOUT",
                  `${id.name} did not become ${wanted.join(" or ")} within ${timeout / 1000} s`,
                ),
              );
            },
            Math.min(timeout, longestTimer),
          );
        }
      });
    },
    rediscover: () => findMonitors(arch, runtimeDir, found),
    watchOthers(): void {
      others ??= watch(monitorDirectory(runtimeDir), { persistent: false }, (_, entry) => {
        if (entry !== null && !isKnown(entry)) setTimeout(lookAt, settleTime, entry).unref();
      });
    },
    abandon(): void {
      others?.close();
      others = null;
      for (const monitor of monitors.values()) {
        monitor.channel.abandon();
        if (monitor.pidfd !== null) closeFd(monitor.pidfd);
        monitor.pidfd = null;
      }
      monitors.clear();
    },
  };
}
