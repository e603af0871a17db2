import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename } from "node:path";
import { IsletError } from "../base/errors.js";
import { once } from "../base/once.js";
import { sortedByKey } from "../base/records.js";
import { closeFd, sendMessage, syscall, type Watch, watch } from "../host/addon.js";
import { openDoor, type Visitor } from "../host/door.js";
import { hardwareAddress } from "../host/netns.js";
import { listenUnix, refuseDescriptors } from "../host/socket.js";
import { createShare, type Share, unixStream } from "../host/unix-stream.js";
import { planApiIn, planApiOut } from "../plan/guest-api.js";
import type { LaunchProgram } from "../program/ops.js";
import {
  type GuestApiMeta,
  guestApiDirectory,
  type Monitor,
  type MonitorMeta,
  whenKnown,
} from "../runtime/monitors.js";
import type { HostFacts } from "../spec/host.js";
import { hasApi } from "../spec/settings.js";
import { livingStates } from "../spec/states.js";
import { SOCK_CLOEXEC, SOCK_NONBLOCK } from "../sys/flags.js";
import { errnoName } from "../sys/errno.js";
import { requireSyscall } from "../sys/syscalls.js";
import { mustBind } from "./device.js";
import type { ContainerId, GuestDoor, GuestEvent, GuestView } from "./engine.js";
import { forgetPeer, guestCaller, type Peer, peerOf } from "./guest-caller.js";
import { type Registry, longestTimer } from "./registry.js";
import { type Change, openSettings, type SettingsStore } from "./settings.js";
import { ioError } from "../base/io-error.js";

/**
 * The APIs of the running guests: one listening socket for each, which says which guest is meant. A guest is nobody's friend: what it has of this
 * process (connections, time, descriptors) is bounded, and what it does is its own business alone.
 */

/** Connections of one guest at a time, and of one when all of them together have many. */
export const mostConnections = 64;
const alwaysGranted = 8;
/** The socket, and the one by which the event loop watches it. */
const descriptorsEach = 2;
/** Milliseconds of each turn of the event loop that one guest may have. */
const turn = 2;
/** Connections taken in one turn. */
const round = 8;
const backlog = 256;
/** Milliseconds without accepting, when this process has no descriptors left. */
const pause = 100;
/** Milliseconds between two changes of the ready state that are told to others. */
const readyPause = 100;

/** Milliseconds after a start at which the protocol is loaded if nobody has asked before. */
const doorDelay = 50;

const refusal = new TextEncoder().encode(
  "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\nContent-Length: 21\r\n\r\ntoo many connections\n",
);

export interface GuestApis {
  /** Before a start: the guest may ask from its first instant. Nothing where the guest has no API. */
  open(meta: MonitorMeta): void;
  /** The start has failed, or the container is gone. */
  close(meta: MonitorMeta): void;
  /** Serves those that run already. */
  resume(): void;
  /** There are guests to be served. */
  readonly count: number;
  settings(id: ContainerId): SettingsStore;
  /** After a change of settings: tells the guest, and gives the program that completes the change inside. */
  changed(id: ContainerId, changes: readonly Change[]): LaunchProgram | null;
  /** A device has come or gone. */
  device(id: ContainerId, action: "added" | "removed", name: string, config: Readonly<Record<string, string>>): void;
  isReady(id: ContainerId): boolean | null;
  waitReady(id: ContainerId, timeout: number | null, aborted?: AbortSignal): Promise<void>;
  /** Lets go of all guests, whose sockets stay for whoever serves them next. */
  abandon(): void;
}

interface Guest {
  readonly meta: MonitorMeta;
  readonly api: GuestApiMeta;
  readonly directory: string;
  readonly store: SettingsStore;
  readonly share: Share;
  readonly listeners: Set<(event: GuestEvent) => void>;
  /** Devices that came later. */
  readonly later: Map<string, Readonly<Record<string, string>>>;
  listening: { readonly stop: () => void } | null;
  connections: number;
  ready: boolean;
  /** What was told to others. */
  told: boolean;
  teller: NodeJS.Timeout | null;
}

interface Listening {
  readonly fd: number;
  watch: Watch | null;
}

const keyOf = ({ storePath, name }: ContainerId): string => `${storePath}\0${name}`;

/**
 * `loadDoor`: whoever speaks the protocol, not loaded before the first guest that has an API. `binary`: of islet. `usesDoors`: do as on a kernel that cannot
 * keep descriptors of strangers away (before 6.16).
 */
export function createGuestApis(
  host: HostFacts,
  registry: Registry,
  binary: string,
  loadDoor: () => Promise<GuestDoor>,
  usesDoors: boolean,
): GuestApis {
  const guests = new Map<string, Guest>();
  const waiters = new Set<{ readonly key: string; readonly resolve: () => void }>();
  let connections = 0;
  let mostOfAll: number | null = null;
  const accept4 = requireSyscall(host.arch, "accept4");

  const open = once(loadDoor);

  const monitorOf = (guest: Guest): Monitor | undefined => registry.get(guest.meta);

  const emit = (guest: Guest, change: GuestEvent["change"]): void => {
    const event: GuestEvent = { timestamp: new Date().toISOString().replace(/Z$/, "000000Z"), change };
    for (const listener of guest.listeners) listener(event);
  };

  const wake = (guest: Guest): void => {
    const key = keyOf(guest.meta);
    for (const waiter of waiters) {
      if (waiter.key !== key || !guest.ready) continue;
      waiters.delete(waiter);
      waiter.resolve();
    }
  };

  /** To disk, and to whoever listens; a guest that changes its mind all the time is not heard each time. */
  const tellReady = (guest: Guest): void => {
    if (guest.teller !== null || guest.ready === guest.told) return;
    guest.told = guest.ready;
    try {
      guest.store.setReadyRun(guest.ready ? runOf(monitorOf(guest)) : null);
    } catch (error) {
      console.error(error);
    }
    const { storePath, name } = guest.meta;
    registry.announce({ storePath, name, kind: "ready", ready: guest.ready });
    guest.teller = setTimeout(() => {
      guest.teller = null;
      tellReady(guest);
    }, readyPause).unref();
  };

  const setReady = (guest: Guest, ready: boolean): void => {
    guest.ready = ready;
    wake(guest);
    tellReady(guest);
  };

  const viewOf = (guest: Guest): GuestView => {
    /** Addresses that the kernel has chosen, of this run. */
    let found: { readonly pid: number; readonly addresses: Map<string, string> } | null = null;
    const addressOf = (name: string): string | undefined => {
      const pid = monitorOf(guest)?.pid ?? null;
      if (pid === null) return undefined;
      if (found?.pid !== pid) found = { pid, addresses: new Map() };
      const address = found.addresses.get(name) ?? hardwareAddress(host.arch, pid, name);
      if (address !== null) found.addresses.set(name, address);
      return address ?? undefined;
    };
    return {
      name: guest.meta.name,
      settings: () => guest.store.read(),
      instanceId: () => guest.store.instanceId(),
      devices() {
        const all = { ...guest.api.devices, ...Object.fromEntries(guest.later) };
        return Object.fromEntries(
          Object.entries(sortedByKey(all)).map(([name, device]) => {
            const hwaddr = device["type"] === "nic" ? (device["hwaddr"] ?? addressOf(name)) : undefined;
            return [name, hwaddr === undefined ? device : { hwaddr, ...device }];
          }),
        );
      },
      ready: () => guest.ready,
      setReady: (ready) => {
        setReady(guest, ready);
      },
      subscribe(listener) {
        guest.listeners.add(listener);
        return () => void guest.listeners.delete(listener);
      },
    };
  };

  const isFull = (guest: Guest): boolean => {
    mostOfAll ??= Math.max(alwaysGranted, Math.floor(openFilesLimit() / (4 * descriptorsEach)));
    if (guest.connections >= mostConnections) return true;
    return connections >= mostOfAll && guest.connections >= alwaysGranted;
  };

  const take = (guest: Guest, view: GuestView, connection: number, peer: Peer): void => {
    if (isFull(guest)) {
      sendMessage(connection, refusal, []);
      closeFd(connection);
      forgetPeer(peer);
      return;
    }
    connections += 1;
    guest.connections += 1;
    const stream = unixStream(host.arch, connection, guest.share);
    // Before anything is read or awaited: afterwards the process may have ended.
    const known = guestCaller(host, guest.meta, guest.api, monitorOf(guest)?.pid ?? null, peer);
    stream.on("error", () => undefined);
    stream.once("close", () => {
      connections -= 1;
      guest.connections -= 1;
    });
    serve(guest, view, stream, known, peer)
      .catch((error: unknown) => {
        console.error(error);
        stream.destroy();
      })
      .finally(() => {
        forgetPeer(peer);
      });
  };

  const serve = async (
    guest: Guest,
    view: GuestView,
    stream: ReturnType<typeof unixStream>,
    known: ReturnType<typeof guestCaller>,
    peer: Peer,
  ): Promise<void> => {
    let caller = known;
    const monitor = monitorOf(guest);
    // In the first instants of a guest it is not known yet which process is its first.
    if (caller === "stranger" && monitor !== undefined && monitor.pid === null && livingStates.has(monitor.state)) {
      await whenKnown(monitor);
      if (stream.destroyed) return;
      caller = guestCaller(host, guest.meta, guest.api, monitor.pid, peer);
    }
    const hand = await open();
    if (!stream.destroyed) hand(stream, caller, view);
  };

  /** This kernel lets descriptors through: a process of the guest's own takes what it sends. */
  const station = (guest: Guest, view: GuestView, listener: number): void => {
    const visited = (visitor: Visitor): void => {
      const { fd, ...peer } = visitor;
      guest.share.use(() => {
        take(guest, view, fd, peer);
      });
    };
    const stop = openDoor(host.arch, binary, listener, "guest", visited, () => {
      guest.listening = null;
      setTimeout(() => {
        if (guests.get(keyOf(guest.meta)) === guest && guest.listening === null) listen(guest);
      }, pause).unref();
    });
    guest.listening = { stop };
  };

  const listen = (guest: Guest): void => {
    if (guest.listening !== null) return;
    const { directory } = guest;
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    chmodSync(`${host.runtimeDir}/devlxd`, 0o711);
    chmodSync(directory, 0o755);
    // It takes its place whole: whoever connects finds the old one or the new one. Made where no guest sees it, whatever it can do to its mount.
    const made = `${host.runtimeDir}/devlxd/.${basename(directory)}`;
    const fd = listenUnix(host.arch, made, backlog, 0o666);
    const isSafe = !usesDoors && refuseDescriptors(host.arch, fd);
    try {
      renameSync(made, `${directory}/sock`);
    } catch (error) {
      closeFd(fd);
      throw ioError(`put the socket of ${guest.meta.name}'s API into ${directory}`, error);
    }
    const view = viewOf(guest);
    if (!isSafe) {
      // From now on it is the door's alone: whoever closes it last has to close what waits in it.
      try {
        station(guest, view, fd);
      } finally {
        closeFd(fd);
      }
      return;
    }
    const listening: Listening = { fd, watch: null };
    guest.listening = {
      stop: () => {
        listening.watch?.close();
        listening.watch = null;
        closeFd(fd);
      },
    };
    const self = guest.listening;
    const ready = (): void => {
      for (let count = 0; count < round && guest.share.has(); count += 1) {
        const connection = syscall(accept4, [fd, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK]);
        if (connection >= 0) {
          guest.share.use(() => {
            take(guest, view, connection, peerOf(host.arch, connection));
          });
          continue;
        }
        if (["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"].includes(errnoName(connection))) rest();
        return;
      }
    };
    const rest = (): void => {
      listening.watch?.close();
      listening.watch = null;
      setTimeout(() => {
        if (guest.listening === self) listening.watch = watch(fd, "in", ready);
      }, pause).unref();
    };
    listening.watch = watch(fd, "in", ready);
    listening.watch.unref();
  };

  const deafen = (guest: Guest): void => {
    guest.listening?.stop();
    guest.listening = null;
  };

  const withdraw = (guest: Guest): void => {
    deafen(guest);
    rmSync(guest.directory, { recursive: true, force: true });
  };

  const guestOf = (meta: MonitorMeta): Guest | null => {
    const { api } = meta;
    if (api === undefined || api === null) return null;
    return {
      meta,
      api,
      directory: guestApiDirectory(host.runtimeDir, meta.storePath, meta.name),
      store: openSettings(meta),
      share: createShare(turn),
      listeners: new Set(),
      later: new Map(),
      listening: null,
      connections: 0,
      ready: false,
      told: false,
      teller: null,
    };
  };

  const close = (meta: MonitorMeta): void => {
    const guest = guests.get(keyOf(meta));
    if (guest === undefined) return;
    guests.delete(keyOf(meta));
    if (guest.teller !== null) clearTimeout(guest.teller);
    try {
      withdraw(guest);
    } catch (error) {
      // One container's left-over is no reason to take the daemon from the others.
      console.error(error);
    }
  };

  registry.onGone(close);
  registry.subscribe((event) => {
    if (event.kind !== "state" || livingStates.has(event.state)) return;
    const guest = guests.get(keyOf(event));
    if (guest === undefined) return;
    guest.later.clear();
    setReady(guest, false);
  });

  return {
    get count() {
      return guests.size;
    },
    open(meta) {
      const guest = guestOf(meta);
      if (guest === null) return;
      const isOn = hasApi(guest.store.read());
      guest.store.noteNics(nicNamesOf(guest.api));
      guest.store.setReadyRun(null);
      // A left-over of a run that nobody saw the end of would be a way in.
      if (isOn) listen(guest);
      else rmSync(guest.directory, { recursive: true, force: true });
      guests.set(keyOf(meta), guest);
      // Not in the way of the start, but before somebody asks.
      setTimeout(() => {
        open().catch((error: unknown) => {
          console.error(error);
        });
      }, doorDelay).unref();
    },
    close,
    resume() {
      for (const monitor of registry.all()) {
        const guest = guests.has(keyOf(monitor.meta)) ? null : guestOf(monitor.meta);
        if (guest === null) continue;
        guests.set(keyOf(monitor.meta), guest);
        try {
          const run = guest.store.readyRun();
          guest.ready = run !== null && run === runOf(monitor);
          guest.told = guest.ready;
          if (hasApi(guest.store.read())) listen(guest);
        } catch (error) {
          console.error(error);
        }
      }
    },
    settings: (id) => guests.get(keyOf(id))?.store ?? openSettings(id),
    changed(id, changes) {
      const guest = guests.get(keyOf(id));
      if (guest === undefined) return null;
      for (const { key, before, after } of changes)
        if (key.startsWith("user.")) emit(guest, { kind: "config", key, before, after });
      const isOn = hasApi(guest.store.read());
      if (isOn === (guest.listening !== null)) return null;
      if (isOn) listen(guest);
      else withdraw(guest);
      const monitor = monitorOf(guest);
      if (monitor === undefined || !livingStates.has(monitor.state)) return null;
      const { directory } = guest.api;
      const isMapped = mustBind(guest.meta);
      return isOn ? planApiIn(guest.directory, directory, isMapped, host) : planApiOut(directory, isMapped, host);
    },
    device(id, action, name, config) {
      const guest = guests.get(keyOf(id));
      if (guest === undefined) return;
      const known = guest.later.get(name) ?? config;
      if (action === "added") guest.later.set(name, config);
      else guest.later.delete(name);
      emit(guest, { kind: "device", action, name, config: action === "added" ? config : known });
    },
    isReady: (id) => guests.get(keyOf(id))?.ready ?? null,
    waitReady(id, timeout, aborted) {
      const guest = guests.get(keyOf(id));
      if (guest?.ready === true) return Promise.resolve();
      if (guest === undefined && registry.get(id) !== undefined)
        throw new IsletError("ISLET_UNSUPPORTED", `${id.name} has no API to say through that it is ready`, {
          hint: "islet.guest = lxd, or islet.guest.api = 1, gives it one at its next start",
        });
      return new Promise((resolve, reject) => {
        let timer: NodeJS.Timeout | null = null;
        const forget = (): void => {
          waiters.delete(waiter);
          if (timer !== null) clearTimeout(timer);
        };
        const waiter = {
          key: keyOf(id),
          resolve: () => {
            forget();
            resolve();
          },
        };
        waiters.add(waiter);
        aborted?.addEventListener("abort", forget);
        if (timeout === null) return;
        timer = setTimeout(
          () => {
            forget();
            reject(
              new IsletError("ISLET_TIMEOUT", `${id.name} did not say within ${timeout / 1000} s that it is ready`),
            );
          },
          Math.min(timeout, longestTimer),
        );
      });
    },
    abandon() {
      for (const guest of guests.values()) {
        if (guest.teller !== null) clearTimeout(guest.teller);
        deafen(guest);
      }
      guests.clear();
    },
  };
}

/** Which run of a container's it is. */
const runOf = (monitor: Monitor | undefined): string => String(monitor?.startedNs ?? "");

const nicNamesOf = (api: GuestApiMeta): readonly string[] =>
  Object.entries(api.devices).flatMap(([name, { type }]) => (type === "nic" ? [name] : []));

/** Soft RLIMIT_NOFILE of this process (proc(5), limits). */
function openFilesLimit(): number {
  const line = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
  return line === null ? 1024 : Number(line[1]);
}
