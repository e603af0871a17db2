import { existsSync, type FSWatcher, watch } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { ContainerEvent, ContainerId, ContainerStatus, State } from "./engine.js";
import { IsletError } from "../base/errors.js";
import {
  type Monitor,
  type MonitorEvents,
  type MonitorMeta,
  type TakeMonitor,
  findMonitor,
  findMonitors,
  monitorDirectory,
  monitorId,
  monitorSocketPath,
  openMonitor,
  removeDeadSocket,
  sendSignal,
} from "../runtime/monitors.js";
import { isFrozen } from "./freeze.js";
import { createOrphans } from "./orphan.js";
import { exitCode, monitorFrames } from "../host/protocol.js";
import { closeFd } from "../host/addon.js";
import type { Arch } from "../sys/arch.js";
import { freezerStates, livingStates, states } from "../spec/states.js";

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
  /** Tells the subscribers of something that the monitors do not know of. */
  announce(event: ContainerEvent): void;
  /** Called whenever a container is gone, and all of it with its monitor, until the function it returns is called. */
  onGone(listener: (meta: MonitorMeta) => void): () => void;
  /** Its monitor was killed, and its guest is being ended. */
  isOrphan(id: ContainerId): boolean;
  /** Such guests. */
  orphans(): Iterable<MonitorMeta>;
  /** Kills such a guest at once. */
  killOrphan(id: ContainerId): void;
}

/** Milliseconds between two tries to reach a monitor that does not answer but has not gone either. */
const shortestPause = 20;
const longestPause = 1000;

/** Milliseconds without a start after which it is written down where guests live: what ends at once never needs that. */
const noteDelay = 500;
/** Milliseconds that starts one after another may put it off. */
const longestNoteDelay = 5000;

/** setTimeout takes no more, milliseconds: nearly 25 days. */
export const longestTimer = 0x7fff_ffff;

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

/** `binary`: of islet. */
export function createRegistry(arch: Arch, runtimeDir: string, binary: string): Registry {
  const monitors = new Map<string, Monitor>();
  const lastExit = new Map<string, number>();
  const waiters = new Set<Waiter>();
  const orphans = createOrphans(arch, runtimeDir, binary);
  const listeners = new Set<(meta: MonitorMeta) => void>();
  const subscribers = new Set<(event: ContainerEvent) => void>();
  /** The state that was told last. */
  const told = new WeakMap<Monitor, State>();
  /** Their STOPPED has not been passed on: whoever hears of it may start, change or destroy the container, so the monitor must have ended. */
  const ending = new WeakSet<Monitor>();

  const status = (id: ContainerId): ContainerStatus => {
    const monitor = monitors.get(keyOf(id.storePath, id.name));
    const exit = monitor?.exit ?? lastExit.get(keyOf(id.storePath, id.name)) ?? null;
    const running = monitor !== undefined && monitor.state !== "STOPPED";
    const isEnding = monitor === undefined ? orphans.has(id) : monitor.state === "STOPPED";
    return {
      storePath: id.storePath,
      name: id.name,
      state: isEnding ? "STOPPING" : (monitor?.state ?? "STOPPED"),
      initPid: running ? monitor.pid : null,
      exitStatus: exit === null ? null : exitCode(exit),
      startedAt: running ? Number(monitor.startedNs / 1_000_000n) : null,
      annotations: running ? monitor.meta.annotations : {},
      ...(running && monitor.ready ? { isReady: true } : {}),
    };
  };

  const wake = (meta: MonitorMeta): void => {
    for (const waiter of waiters) {
      if (waiter.id.name !== meta.name || waiter.id.storePath !== meta.storePath) continue;
      const now = status(waiter.id);
      if (waiter.wanted.includes(now.state)) {
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
    tellEnd(monitor);
    // It may be a moment of a reboot.
    if (state === "STOPPED") ending.add(monitor);
    else tell({ storePath, name, kind: "state", state });
    if (state === "RUNNING" && !freezerStates.has(last)) noteLater(monitor);
  };

  const tellEnd = (monitor: Monitor): void => {
    const { storePath, name } = monitor.meta;
    if (ending.delete(monitor)) tell({ storePath, name, kind: "state", state: "STOPPED" });
  };

  const unnoted = new Set<Monitor>();
  let noteTimer: NodeJS.Timeout | null = null;
  let unnotedSince = 0;
  /** Not while others are waiting to be started. */
  const noteLater = (monitor: Monitor): void => {
    unnoted.add(monitor);
    if (noteTimer === null) unnotedSince = performance.now();
    else if (performance.now() - unnotedSince > longestNoteDelay) return;
    else clearTimeout(noteTimer);
    noteTimer = setTimeout(noteNext, noteDelay).unref();
  };
  const noteNext = (): void => {
    const [monitor] = unnoted;
    noteTimer = null;
    if (monitor === undefined) return;
    unnoted.delete(monitor);
    if (!monitor.ended && livingStates.has(monitor.state)) orphans.record(monitor.meta);
    if (unnoted.size > 0) noteTimer = setTimeout(noteNext, 1).unref();
  };

  /** Nothing of it is left. */
  const over = (meta: MonitorMeta): void => {
    const path = monitorSocketPath(runtimeDir, meta.storePath, meta.name);
    removeDeadSocket(arch, path);
    // A process that is just ending closes its descriptors one after another.
    setTimeout(() => {
      removeDeadSocket(arch, path);
    }, 50).unref();
    // While it was known, nobody looked at what else appeared under its name.
    setTimeout(lookAt, settleTime, monitorId(meta.storePath, meta.name)).unref();
    wake(meta);
    for (const listener of listeners) listener(meta);
  };

  const adoptKilled = (meta: MonitorMeta): void => {
    const { storePath, name } = meta;
    tell({ storePath, name, kind: "state", state: "STOPPING" });
    orphans.adopt(meta, "killed", () => {
      tell({ storePath, name, kind: "state", state: "STOPPED" });
      over(meta);
    });
    wake(meta);
  };

  const take: TakeMonitor = (fd, info, meta, pidfd) => {
    const monitor = openMonitor(fd, meta, events, () => undefined);
    const state = states[info.state] ?? "STOPPED";
    monitor.state = state === "RUNNING" && isFrozen(arch, meta) ? "FROZEN" : state;
    monitor.pid = info.pid;
    monitor.exit = info.exit;
    monitor.startedNs = info.startedNs;
    told.set(monitor, monitor.state);
    if (pidfd !== null) {
      if (monitor.pidfd === null) monitor.pidfd = pidfd;
      else closeFd(pidfd);
    }
    monitors.set(keyOf(meta.storePath, meta.name), monitor);
    monitor.channel.send(monitorFrames.subscribe, new Uint8Array(0));
    if (livingStates.has(monitor.state)) orphans.record(meta);
  };

  const drop = (monitor: Monitor): void => {
    const key = keyOf(monitor.meta.storePath, monitor.meta.name);
    if (monitors.get(key) !== monitor) return;
    monitors.delete(key);
    if (monitor.exit !== null) lastExit.set(key, monitor.exit);
    // Only the last few matter: whoever asks does so right after the end.
    if (lastExit.size > 1024) lastExit.delete(lastExit.keys().next().value ?? "");
  };

  /** The connection to it has ended without its saying so: it was killed, or only the connection broke. */
  const findAgain = async (lost: Monitor): Promise<void> => {
    const { meta } = lost;
    for (let pause = shortestPause; ; pause = Math.min(pause * 2, longestPause)) {
      let isDead = false;
      const dead = (): boolean => (isDead = true);
      try {
        await findMonitor(arch, monitorDirectory(runtimeDir), monitorId(meta.storePath, meta.name), dead, take);
      } catch (error) {
        console.error(error);
      }
      const found = monitors.get(keyOf(meta.storePath, meta.name));
      if (isDead) {
        drop(lost);
        adoptKilled(meta);
        return;
      }
      if (found !== undefined && found !== lost) {
        // What was sent last may not have arrived.
        if (lost.doomed) {
          found.doomed = true;
          sendSignal(found, meta.signals.stop);
        }
        return;
      }
      await sleep(pause);
    }
  };

  const events: MonitorEvents = {
    changed: (monitor) => {
      // Known from its first sign of life: what is starting can be seen, and stopped.
      const key = keyOf(monitor.meta.storePath, monitor.meta.name);
      if (!monitor.ended && monitors.get(key) !== monitor) {
        monitors.set(key, monitor);
        lastExit.delete(key);
      }
      tellState(monitor);
      wake(monitor.meta);
    },
    gone: (monitor) => {
      const last = told.get(monitor) ?? "STOPPED";
      if (last !== "STOPPED") {
        monitor.state = last;
        findAgain(monitor).catch((error: unknown) => {
          console.error(error);
        });
        return;
      }
      drop(monitor);
      const finished = (): void => {
        tellEnd(monitor);
        over(monitor.meta);
      };
      if (orphans.forget(monitor.meta)) finished();
      // Its clean-up has failed: the rest is done here.
      else orphans.adopt(monitor.meta, "left", finished);
    },
  };

  /** The same of one that another engine has started: that is news. */
  const meet: TakeMonitor = (fd, info, meta, pidfd) => {
    if (monitors.has(keyOf(meta.storePath, meta.name))) {
      closeFd(fd);
      if (pidfd !== null) closeFd(pidfd);
      return;
    }
    take(fd, info, meta, pidfd);
    const monitor = monitors.get(keyOf(meta.storePath, meta.name));
    if (monitor === undefined) return;
    told.set(monitor, "STOPPED");
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
    // Whose socket it is, and when it goes, is the other's business.
    findMonitor(arch, monitorDirectory(runtimeDir), entry, () => true, meet).catch((error: unknown) => {
      console.error(error);
    });
  };

  return {
    events,
    status,
    get: (id) => monitors.get(keyOf(id.storePath, id.name)),
    all: () => monitors.values(),
    isOrphan: (id) => orphans.has(id),
    orphans: () => orphans.all(),
    killOrphan: (id) => {
      orphans.kill(id);
    },
    subscribe(listener): () => void {
      subscribers.add(listener);
      return () => subscribers.delete(listener);
    },
    announce: tell,
    onGone(listener): () => void {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    wait(id, wanted, timeout, aborted): Promise<ContainerStatus> {
      const now = status(id);
      if (wanted.includes(now.state)) return Promise.resolve(now);
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
    rediscover(): Promise<void> {
      const dead = (socketName: string): boolean => {
        const meta = orphans.recall(socketName);
        if (meta !== null) adoptKilled(meta);
        return meta !== null;
      };
      return findMonitors(arch, runtimeDir, dead, take);
    },
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
      unnoted.clear();
    },
  };
}
