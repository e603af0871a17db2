import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { type Watch, closeFd, memfd, syscall, watch } from "../host/addon.js";
import { hostLxcfs, lxcfsFacts, lxcfsServers } from "../host/lxcfs.js";
import { planLxcfsQuestion } from "../plan/lxcfs-live.js";
import { runHelper } from "../runtime/helper.js";
import type { Monitor } from "../runtime/monitors.js";
import type { HostFacts, LxcfsFacts } from "../spec/host.js";
import { livingStates } from "../spec/states.js";
import { requireSyscall } from "../sys/syscalls.js";
import { type Wanted, mendGuest } from "./lxcfs-guest.js";
import { createLxcfsNotes } from "./lxcfs-notes.js";
import type { ContainerId } from "./engine.js";
import { createChangeQueue } from "../base/queue.js";
import type { Registry } from "./registry.js";

/**
 * LXCFS is noticed when it comes and when it goes, and running guests are mended: the mounts of a dead one give ENOTCONN for every file
 * ("Transport endpoint is not connected"), so they are taken away at once, and those of the next one are put there when it is back. Changes of
 * the host's mounts and the end of LXCFS's process are events; nothing is polled. Each guest is entered by a process of its own that has a time
 * limit.
 */
export interface LxcfsKeeper {
  /** What a start may use; null where LXCFS does not run or does not answer. */
  current(): LxcfsFacts | null;
  /** Begins to watch; resolves when it is known whether LXCFS is there. Guests that run already are mended by and by. */
  begin(): Promise<void>;
  /** There are running guests that rely on it. */
  isNeeded(): boolean;
  close(): void;
}

/** Milliseconds for LXCFS to say what it has. */
const answerTime = 1000;
/** Milliseconds between two questions to one that does not answer. */
const patience = 5000;
/** Tries with a guest that takes too long, and milliseconds between them. */
const mostTries = 3;
const tryPause = 5000;
/** Guests that are mended at the same time. */
const together = 4;
/** Milliseconds after a change in which a start may have used the LXCFS before. */
const startTime = 60_000;
/** Milliseconds in which changes of the host's mounts are taken together. */
const settleTime = 10;
/** The same where they change all the time. */
const restTime = 250;

const ownMountinfo = "/proc/self/mountinfo";

interface Found {
  readonly device: string;
  /** null: it does not answer, but is not dead either. Guests keep it, starts do without. */
  readonly facts: LxcfsFacts | null;
}

/** `binary`: of islet. */
export function createLxcfsKeeper(host: HostFacts, binary: string, registry: Registry): LxcfsKeeper {
  const notes = createLxcfsNotes(`${host.runtimeDir}/lxcfs.json`);
  const perGuest = createChangeQueue();
  const servers = createServerWatch(host, () => {
    checkIn(0);
  });
  let found: Found | null = null;
  let hasLooked = false;
  let changedAt = Number.NEGATIVE_INFINITY;
  /** Since then, in guests that were looked at. */
  let seen = new Set<string>();
  let hasSeenAll = true;
  let timer: NodeJS.Timeout | null = null;
  /** When it is due, and when it was last. */
  let dueAt = 0;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let isChecking = false;
  let isStale = false;
  let isClosed = false;
  const ends: (() => void)[] = [];

  const checkIn = (milliseconds: number): void => {
    const due = performance.now() + milliseconds;
    if (isClosed || (timer !== null && dueAt <= due)) return;
    if (timer !== null) clearTimeout(timer);
    dueAt = due;
    timer = setTimeout(() => {
      timer = null;
      check().catch(unexpected);
    }, milliseconds).unref();
  };

  /** Compares what is there with what was known; one after another. */
  const check = async (): Promise<void> => {
    isStale = true;
    if (isChecking) return;
    isChecking = true;
    try {
      while (isStale && !isClosed) {
        isStale = false;
        await look();
      }
    } finally {
      isChecking = false;
    }
  };

  const look = async (): Promise<void> => {
    lookedAt = performance.now();
    const device = hostLxcfs(readFileSync(ownMountinfo, "utf8"), host.lxcfs);
    // Other mounts have changed; its end would have been told.
    if (device !== null && device === found?.device && found.facts !== null && servers.isWatching(device)) return;
    // Before it is asked: its end in between is not missed.
    servers.of(device);
    const answer = device === null ? "dead" : await ask(host, binary);
    if (isClosed) return;
    if (device !== null) notes.addDevice(device);
    if (answer === "late") checkIn(patience);
    const before = found;
    found = device === null || answer === "dead" ? null : { device, facts: answer === "late" ? null : answer };
    const isSame = before?.device === found?.device && (before?.facts === null) === (found?.facts === null);
    if (isSame && hasLooked) return;
    hasLooked = true;
    changedAt = performance.now();
    seen = new Set();
    hasSeenAll = true;
    mendAll();
    setTimeout(forgetOld, startTime, changedAt).unref();
  };

  /** Device numbers that no guest has any more are used again, perhaps for an LXCFS of a guest's own. */
  const forgetOld = (since: number): void => {
    if (since !== changedAt || !hasSeenAll || isClosed) return;
    notes.keepDevices(found === null ? seen : new Set([...seen, found.device]));
  };

  const mendAll = (): void => {
    const waiting = [...registry.all()].filter(mayHaveIt);
    const work = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await mend(next, 1);
    };
    for (let worker = 0; worker < together; worker += 1) work().catch(unexpected);
  };

  /** Never fails, and ends in time whatever the guest does. */
  const mend = async (monitor: Monitor, tries: number): Promise<void> => {
    const guest = guestOf(monitor.meta);
    const wanted = (): Wanted => ({
      dead: new Set([...notes.devices()].filter((device) => device !== found?.device)),
      owed: notes.owed(guest),
      living: found?.facts ?? null,
    });
    try {
      await perGuest.run(guest, async () => {
        const promise = (owed: readonly string[]): void => {
          notes.owe(guest, owed);
        };
        const mended = isClosed ? null : await mendGuest(host, binary, monitor, wanted, promise);
        if (mended === null || isClosed) return;
        for (const device of mended.devices) seen.add(device);
        notes.owe(guest, mended.owed);
        if (mended.isDone) return;
        if (tries === mostTries) throw new Error("it takes too long");
        setTimeout(() => {
          mend(monitor, tries + 1).catch(unexpected);
        }, tryPause).unref();
      });
    } catch (error) {
      hasSeenAll = false;
      console.error(`${guest}: LXCFS's files could not be mended:`, error instanceof Error ? error.message : error);
    }
  };

  const listen = (): void => {
    const fd = openSync(ownMountinfo, "r");
    const watcher = watch(fd, "change", () => {
      checkIn(performance.now() - lookedAt > restTime ? settleTime : restTime);
    });
    watcher.unref();
    const unsubscribe = registry.subscribe((event) => {
      if (event.kind !== "state" || event.state !== "RUNNING") return;
      if (performance.now() - changedAt > startTime && notes.owed(guestOf(event)).length === 0) return;
      const monitor = registry.get(event);
      if (monitor !== undefined && mayHaveIt(monitor)) mend(monitor, 1).catch(unexpected);
    });
    const forget = registry.onGone((meta) => {
      notes.owe(guestOf(meta), []);
    });
    ends.push(unsubscribe, forget, () => {
      watcher.close();
      closeSync(fd);
    });
  };

  return {
    current: () => found?.facts ?? null,
    async begin() {
      if (ends.length > 0) return;
      listen();
      notes.keepGuests(new Set([...registry.all()].map(({ meta }) => guestOf(meta))));
      await check();
    },
    isNeeded: () => [...registry.all()].some(({ meta, state }) => meta.lxcfs === true && livingStates.has(state)),
    close(): void {
      isClosed = true;
      if (timer !== null) clearTimeout(timer);
      servers.of(null);
      for (const end of ends.splice(0)) end();
    },
  };
}

function unexpected(error: unknown): void {
  console.error("cannot look after LXCFS:", error);
}

const guestOf = ({ storePath, name }: ContainerId): string => `${storePath}/${name}`;

/** Guests of releases before do not say it. */
function mayHaveIt({ meta, state }: Monitor): boolean {
  return meta.lxcfs !== false && livingStates.has(state);
}

/** What LXCFS offers. The question may have to wait for its process, so that another than ours asks. */
async function ask(host: HostFacts, binary: string): Promise<LxcfsFacts | "dead" | "late"> {
  const answer = memfd("lxcfs", new Uint8Array(0), false);
  if (answer < 0) return "late";
  try {
    const result = await runHelper(host.arch, binary, planLxcfsQuestion(host), [answer], answerTime);
    if (result.kind !== "done") return result.kind === "failed" ? "dead" : "late";
    const bytes = new Uint8Array(fstatSync(answer).size);
    return lxcfsFacts(bytes.subarray(0, readSync(answer, bytes, 0, bytes.length, 0)));
  } finally {
    closeFd(answer);
  }
}

interface ServerWatch {
  /** Watches the processes behind a device, and no others any more. */
  of(device: string | null): void;
  /** Does it watch at least one of them, alive? */
  isWatching(device: string): boolean;
}

/** A process that is killed leaves its mount behind: only its end tells. */
function createServerWatch(host: HostFacts, ended: () => void): ServerWatch {
  let watched: string | null = null;
  let all: readonly { readonly pidfd: number; readonly watcher: Watch }[] = [];
  const forget = (): void => {
    for (const { pidfd, watcher } of all) {
      watcher.close();
      closeFd(pidfd);
    }
    all = [];
    watched = null;
  };
  return {
    isWatching: (device) => device === watched && all.length > 0,
    of(device): void {
      if (device === watched && all.length > 0) return;
      forget();
      if (device === null) return;
      watched = device;
      all = lxcfsServers(host.arch, device).flatMap((pid) => {
        const pidfd = syscall(requireSyscall(host.arch, "pidfd_open"), [pid, 0]);
        if (pidfd < 0) return [];
        const watcher = watch(pidfd, "in", () => {
          forget();
          ended();
        });
        watcher.unref();
        return [{ pidfd, watcher }];
      });
    },
  };
}
