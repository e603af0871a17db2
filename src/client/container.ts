import { unreachable } from "../base/never.js";
import { IsletError } from "../base/errors.js";
import type { Addresses, ContainerId, ContainerStatus, ResourceUsage, State } from "../engine/engine.js";
import type { LibraryCalls } from "../engine/library.js";
import { type ConsoleOptions, type ContainerConsole, joinConsole, joinTty } from "./console.js";
import { type Copyable, copyable, type Snapshots, snapshotsOf, type StoppedSnapshots } from "./copies.js";
import { type EventOptions, type IsletEvent, openEvents } from "./events.js";
import { type ContainerFiles, containerFiles } from "./files.js";
import {
  type ExecOptions,
  type ExecResult,
  execute,
  type PipedProcess,
  signalNumber,
  spawnInTerminal,
  spawnPiped,
  type SpawnOptions,
  type TerminalOptions,
  type TerminalProcess,
} from "./process.js";
import { runTask } from "./runner.js";

/**
 * A container as a program holds it: what can be asked of it depends on its state, which is in its type. A method that changes the state
 * gives the container in its new state back. Somebody else may have changed it meanwhile: then methods throw ISLET_NOT_RUNNING or ISLET_RUNNING.
 */
export type Container = StoppedContainer | RunningContainer | FrozenContainer | ChangingContainer;

/** What it is at this moment. */
export interface ContainerInfo {
  readonly name: string;
  readonly store: string;
  readonly state: State;
  /** Of its main process, as this host numbers them; null when it does not run. */
  readonly initPid: number | null;
  /** Of the last run, as far as it is known: 128 + N if signal N killed its main process. */
  readonly exitCode: number | null;
  /** Milliseconds since the start; null when it does not run. */
  readonly uptime: number | null;
  /** Its main process has said that it is ready (sd_notify(3)); absent until then. Guests with `islet.guest = systemd` are asked to say so. */
  readonly isReady?: true;
}

export interface WaitOptions {
  /** Milliseconds; ISLET_TIMEOUT. Default: for ever. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

interface Common {
  readonly name: string;
  /** Directory of the container store. */
  readonly store: string;
  /** The container itself, asked for anew. */
  refresh(): Promise<Container>;
  info(): Promise<ContainerInfo>;
  /** Resolves when it is in one of the states. */
  wait(states: State | readonly State[], options?: WaitOptions): Promise<ContainerInfo>;
  /** The text of its configuration (lxc.container.conf(5)). */
  config(): Promise<string>;
  /** Replaces it, from the next start on. ISLET_BAD_CONFIG with all faults; nothing is written then. */
  setConfig(text: string): Promise<void>;
  /** What its guest is told beside its configuration (docs/guests/settings.md). */
  readonly settings: ContainerSettings;
  /** What happens to it from now on. */
  events(options?: Omit<EventOptions, "name">): AsyncIterableIterator<IsletEvent>;
}

/** Each change takes effect at once, in a running guest as well. */
export interface ContainerSettings {
  /** All of them. ISLET_BAD_CONFIG when the file they are in is broken. */
  all(): Promise<Readonly<Record<string, string>>>;
  /** null: it is not set. */
  get(key: string): Promise<string | null>;
  /** All or none; ISLET_BAD_REQUEST says what is wrong with which. */
  set(values: Readonly<Record<string, string>>): Promise<void>;
  unset(...keys: readonly string[]): Promise<void>;
}

export interface StoppedContainer extends Common, Copyable {
  readonly state: "STOPPED";
  readonly snapshots: StoppedSnapshots;
  /** Resolves when its init runs. ISLET_START_FAILED says which step failed; nothing is left then. */
  start(): Promise<RunningContainer & AsyncDisposable>;
  /** Removes it with its files. */
  destroy(): Promise<void>;
  /** The files of its root file system. */
  readonly files: ContainerFiles;
}

interface Living extends Common, Copyable {
  readonly snapshots: Snapshots;
  /** Has the guest said that it is ready? null: it has no API to say so through. */
  isReady(): Promise<boolean | null>;
  /** Resolves when it has; ISLET_TIMEOUT, ISLET_UNSUPPORTED when it has no API. */
  waitReady(options?: WaitOptions): Promise<void>;
  /** Asks its init to halt (lxc.signal.halt) and kills it when `timeout` (milliseconds, default 60 000) is over; `kill`: at once. */
  stop(options?: StopContainerOptions): Promise<StoppedContainer>;
  /** Sends a signal to its main process. */
  signal(signal: NodeJS.Signals | number): Promise<void>;
  usage(): Promise<ResourceUsage>;
  addresses(): Promise<Addresses>;
  /** What a file of its control group says, `memory.max`; names of the other cgroup version are translated. */
  cgroup(item: string): Promise<string>;
  /** Writes one, until it stops. */
  setCgroup(item: string, value: string | number): Promise<void>;
  readonly files: ContainerFiles;
}

export interface StopContainerOptions {
  readonly timeout?: number;
  readonly kill?: boolean;
}

export interface RunningContainer extends Living {
  readonly state: "RUNNING";
  /** Runs a command to its end. Its exit status is a result, not an error. */
  exec(argv: readonly string[], options?: ExecOptions): Promise<ExecResult>;
  /** Begins a command; its standard streams are streams, or with `terminal` it has a terminal. */
  spawn(argv: readonly string[], options: TerminalOptions): Promise<TerminalProcess>;
  spawn(argv: readonly string[], options?: SpawnOptions): Promise<PipedProcess>;
  /** Its console, or with `tty` one of its ttys (a number, or "free" for any that nobody has). */
  console(options?: ConsoleOptions): Promise<ContainerConsole>;
  freeze(): Promise<FrozenContainer>;
  /** Asks its init to reboot; resolves when it runs again. ISLET_TIMEOUT after `timeout` milliseconds, default 60 000. */
  reboot(options?: { readonly timeout?: number }): Promise<RunningContainer>;
}

/** None of its processes moves. */
export interface FrozenContainer extends Living {
  readonly state: "FROZEN";
  unfreeze(): Promise<RunningContainer>;
}

/** On the way from one state to another. */
export interface ChangingContainer extends Common {
  readonly state: Exclude<State, "STOPPED" | "RUNNING" | "FROZEN">;
  /** Resolves when it has arrived. */
  settled(options?: WaitOptions): Promise<StoppedContainer | RunningContainer | FrozenContainer>;
}

const defaultTimeout = 60_000;
/** `await using` of a container that was started: then it is killed. */
const disposeTimeout = 5000;

/** CLOCK_BOOTTIME is what process.uptime is not: read where the kernel shows it. */
export function describe(status: ContainerStatus, now: number): ContainerInfo {
  const { name, storePath, state, initPid, exitStatus, startedAt } = status;
  const uptime = startedAt === null ? null : Math.max(0, now - startedAt);
  return {
    name,
    store: storePath,
    state,
    initPid,
    exitCode: exitStatus,
    uptime,
    ...(status.isReady === true ? { isReady: true } : {}),
  };
}

/** Everything that makes containers of states. */
export interface Handles {
  of(status: ContainerStatus): Container;
  /** `await using` kills and destroys it. */
  made(id: ContainerId): StoppedContainer & AsyncDisposable;
  info(status: ContainerStatus): ContainerInfo;
}

/** `bootTime`: CLOCK_BOOTTIME now, milliseconds. */
export function createHandles(calls: LibraryCalls, bootTime: () => number): Handles {
  const info = (status: ContainerStatus): ContainerInfo => describe(status, bootTime());

  const common = (id: ContainerId): Common => ({
    name: id.name,
    store: id.storePath,
    refresh: async () => of(await calls.status(id)),
    info: async () => info(await calls.status(id)),
    wait: async (wanted, { timeout, signal } = {}) => {
      signal?.throwIfAborted();
      const reached = calls.wait(id, typeof wanted === "string" ? [wanted] : wanted, timeout ?? null, signal);
      return info(await orAborted(reached, signal));
    },
    config: () => calls.readConfig(id),
    setConfig: (text) => calls.writeConfig(id, text),
    settings: settingsOf(calls, id),
    events: (options = {}) => lazily(() => openEvents(calls, id.storePath, { ...options, name: id.name })),
  });

  const made = (id: ContainerId): StoppedContainer & AsyncDisposable => ({
    ...stopped(id),
    [Symbol.asyncDispose]: async () => {
      await quietly(calls.stop(id, { kind: "kill", timeout: null, noKill: false }));
      await quietly(calls.destroy(id));
    },
  });

  const stopped = (id: ContainerId): StoppedContainer => ({
    ...common(id),
    ...copyable(calls, id, { made }),
    snapshots: snapshotsOf(calls, id, { made }),
    state: "STOPPED",
    files: containerFiles(calls, id),
    start: async () => {
      await calls.start(id);
      const container = running(id);
      const end = async (): Promise<void> => {
        await quietly(stop(id, { timeout: disposeTimeout }));
      };
      return { ...container, [Symbol.asyncDispose]: end };
    },
    destroy: () => calls.destroy(id),
  });

  const stop = async (id: ContainerId, options: StopContainerOptions): Promise<StoppedContainer> => {
    const kind = options.kill === true ? "kill" : "clean";
    const timeout = options.kill === true ? null : (options.timeout ?? defaultTimeout);
    await calls.stop(id, { kind, timeout, noKill: false });
    return stopped(id);
  };

  const living = (id: ContainerId): Living => ({
    ...common(id),
    ...copyable(calls, id, { made }),
    snapshots: snapshotsOf(calls, id, { made }),
    files: containerFiles(calls, id),
    isReady: () => calls.isReady(id),
    waitReady: async ({ timeout, signal } = {}) => {
      signal?.throwIfAborted();
      await orAborted(calls.waitReady(id, timeout ?? null, signal), signal);
    },
    stop: (options = {}) => stop(id, options),
    signal: (signal) => calls.signal(id, signalNumber(signal)),
    usage: () => calls.usage(id),
    addresses: () => calls.addresses(id),
    cgroup: async (item) => (await calls.cgroupItem(id, item)).trimEnd(),
    setCgroup: (item, value) => calls.setCgroupItem(id, item, String(value)),
  });

  const running = (id: ContainerId): RunningContainer => {
    const spawn = (
      argv: readonly string[],
      options: SpawnOptions | TerminalOptions = {},
    ): Promise<PipedProcess | TerminalProcess> =>
      "terminal" in options ? spawnInTerminal(calls, id, argv, options) : spawnPiped(calls, id, argv, options);
    return {
      ...living(id),
      state: "RUNNING",
      exec: (argv, options = {}) => execute(calls, id, argv, options),
      // Which of the two it gives follows from the options.
      spawn: spawn as RunningContainer["spawn"],
      console: ({ tty, replay = false } = {}) =>
        tty === undefined ? joinConsole(calls, id, replay) : joinTty(calls, id, tty === "free" ? null : tty),
      freeze: async () => {
        await calls.freeze(id);
        return frozen(id);
      },
      reboot: async ({ timeout = defaultTimeout } = {}) => {
        await calls.stop(id, { kind: "reboot", timeout, noKill: true });
        return running(id);
      },
    };
  };

  const frozen = (id: ContainerId): FrozenContainer => ({
    ...living(id),
    state: "FROZEN",
    unfreeze: async () => {
      await calls.unfreeze(id);
      return running(id);
    },
  });

  const of = (status: ContainerStatus): Container => {
    const id: ContainerId = { storePath: status.storePath, name: status.name };
    switch (status.state) {
      case "STOPPED":
        return stopped(id);
      case "RUNNING":
        return running(id);
      case "FROZEN":
        return frozen(id);
      case "STARTING":
      case "STOPPING":
      case "ABORTING":
      case "FREEZING":
      case "THAWED":
        return {
          ...common(id),
          state: status.state,
          settled: async ({ timeout, signal } = {}) => {
            const reached = calls.wait(id, ["STOPPED", "RUNNING", "FROZEN"], timeout ?? null, signal);
            const settled = of(await orAborted(reached, signal));
            if (settled.state === "STOPPED" || settled.state === "RUNNING" || settled.state === "FROZEN")
              return settled;
            throw new IsletError("ISLET_INTERNAL", `${id.name} is ${settled.state}`);
          },
        };
      default:
        return unreachable(status.state);
    }
  };

  return { of, made, info };
}

function settingsOf(calls: LibraryCalls, id: ContainerId): ContainerSettings {
  const change = async (changes: Readonly<Record<string, string | null>>): Promise<void> => {
    const task = await calls.changeSettings(id, changes);
    if (task === null) return;
    await runTask(task, ["ignore", "ignore", "ignore"]).result;
  };
  return {
    all: () => calls.settings(id),
    get: async (key) => {
      const all = await calls.settings(id);
      return (Object.hasOwn(all, key) ? all[key] : undefined) ?? null;
    },
    set: (values) => change(values),
    unset: (...keys) => change(Object.fromEntries(keys.map((key) => [key, null]))),
  };
}

/** A wait that is aborted in process is forgotten and never settles. */
async function orAborted<T>(wanted: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await wanted;
  let leave = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    leave = () => {
      reject(signal.reason instanceof Error ? signal.reason : new Error("aborted"));
    };
    signal.addEventListener("abort", leave);
  });
  wanted.catch(() => undefined);
  try {
    return await Promise.race([wanted, aborted]);
  } finally {
    signal.removeEventListener("abort", leave);
  }
}

/** What is gone already need not be ended. */
export async function quietly(ending: Promise<unknown>): Promise<void> {
  try {
    await ending;
  } catch (error) {
    if (!(error instanceof IsletError && ["ISLET_NOT_RUNNING", "ISLET_NOT_FOUND"].includes(error.code))) throw error;
  }
}

/** An iterator that is opened at once, although opening takes a moment. */
export function lazily(open: () => Promise<AsyncIterableIterator<IsletEvent>>): AsyncIterableIterator<IsletEvent> {
  const opened = open();
  opened.catch(() => undefined);
  const iterator: AsyncIterableIterator<IsletEvent> = {
    next: async () => await (await opened).next(),
    return: async () => {
      const inner = await opened;
      return (await inner.return?.()) ?? { done: true, value: undefined };
    },
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}
