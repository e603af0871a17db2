import type { IdMapEntry } from "../spec/idmap.js";
import type { ContainerSpec } from "../spec/spec.js";
import { noSuchContainer } from "./engine.js";
import type {
  AttachOptions,
  Caller,
  ClientTask,
  ContainerEvent,
  ContainerId,
  ContainerStatus,
  Engine,
  StopOptions,
  TakenTerminal,
} from "./engine.js";

/**
 * What a program may ask through the library, in process or over the daemon's socket (docs/protocol/control.md, CALL): containers are named
 * by store and name, everything else is plain data, tasks and descriptors.
 */
export interface LibraryCalls extends Pick<
  Engine,
  | "freeze"
  | "unfreeze"
  | "signal"
  | "wait"
  | "usage"
  | "addresses"
  | "cgroupItem"
  | "setCgroupItem"
  | "resizeConsole"
  | "settings"
  | "isReady"
  | "waitReady"
> {
  /** Where containers are unless a program says otherwise: the system's lxc.lxcpath. */
  defaultStore(): Promise<string>;
  /** Every container of the store, defined or only running, sorted by name. */
  list(storePath: string): Promise<readonly ContainerStatus[]>;
  /** ISLET_NOT_FOUND when it is neither defined nor running. */
  status(id: ContainerId): Promise<ContainerStatus>;
  /** `run`: runs a task of the template in the program's own process tree; resolves with its result. */
  create(id: ContainerId, request: CreateRequest, run: (task: Task) => Promise<number>): Promise<void>;
  /** As its configuration says. */
  start(id: ContainerId): Promise<ContainerStatus>;
  stop(id: ContainerId, options: StopOptions): Promise<boolean>;
  destroy(id: ContainerId): Promise<void>;
  readConfig(id: ContainerId): Promise<string>;
  /** Refuses, with ISLET_BAD_CONFIG and all faults, what could not be read again. */
  writeConfig(id: ContainerId, text: string): Promise<void>;
  /** null: it is done; otherwise the task completes it in the running guest. */
  changeSettings(id: ContainerId, changes: Readonly<Record<string, string | null>>): Promise<Task | null>;
  attach(id: ContainerId, options: ProgramAttach): Promise<Task>;
  lookUp(id: ContainerId, path: string, follow: boolean): Promise<FoundFile>;
  /** A stream socket joined with the console; the caller closes it. */
  console(id: ContainerId, replay: boolean): Promise<number>;
  /** A tty of the container's by number, null any free one. */
  terminal(id: ContainerId, number: number | null): Promise<TakenTerminal>;
  /** Until the function that it gives back is called. `lost`: events may have been missed since the last one. */
  subscribe(listener: (event: ContainerEvent | "lost") => void): Promise<() => void>;
  close(): Promise<void>;
}

/** A ClientTask (RUN) whose failure may have to be explained elsewhere. */
export interface Task {
  readonly image: Uint8Array;
  readonly fds: readonly number[];
  explain(record: Uint8Array): Promise<Error>;
  /** To be called, once, when it has run or never will: closes the descriptors. */
  release(): void;
}

export interface FoundFile {
  readonly task: Task;
  readonly idmap: readonly IdMapEntry[];
}

export interface ProgramAttach extends Pick<
  AttachOptions,
  "command" | "set" | "uid" | "gid" | "terminals" | "environment"
> {
  readonly cwd: string;
}

export interface CreateRequest {
  /** A template of LXC's (busybox is built in), a path of a script, or null: the root file system is there already, or none is wanted. */
  readonly template: string | null;
  readonly templateArguments: readonly string[];
  /** Root file system elsewhere; null: STORE/NAME/rootfs. */
  readonly rootfs: string | null;
  /** Lines `KEY = VALUE` instead of the system's default configuration; null: that. */
  readonly config: string | null;
}

/** How the documents that describe containers are read and written: a front end's side of the library. */
export interface Documents {
  defaultStore(caller: Caller): string;
  /** To start from; ISLET_NOT_FOUND, ISLET_BAD_CONFIG. */
  spec(id: ContainerId, caller: Caller, engine: Engine): Promise<ContainerSpec>;
  create(
    id: ContainerId,
    request: CreateRequest,
    caller: Caller,
    engine: Engine,
    run: (task: ClientTask) => Promise<number>,
  ): Promise<void>;
  destroy(id: ContainerId, caller: Caller, engine: Engine): Promise<void>;
  /** Throws ISLET_BAD_CONFIG with all faults. */
  check(file: string, text: string, caller: Caller): void;
}

/** The calls, served by an engine in this process. The caller's descriptors and tasks stay its own. */
export function serveLibrary(engine: Engine, documents: Documents, caller: Caller): LibraryCalls {
  const task = (made: ClientTask, release: () => void): Task => ({
    image: made.image,
    fds: made.fds,
    explain: (record) => Promise.resolve(made.explainFailure(record)),
    release,
  });
  const stops = new Set<() => void>();
  const calls: LibraryCalls = {
    defaultStore: () => Promise.resolve(documents.defaultStore(caller)),
    async list(storePath) {
      const active = await engine.active(storePath);
      const known = new Set(active.map(({ name }) => name));
      const stopped = (await engine.defined(storePath)).filter((name) => !known.has(name));
      const rest = await Promise.all(stopped.map(async (name) => await engine.status({ storePath, name })));
      return [...active, ...rest].sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    async status(id) {
      const status = await engine.status(id);
      if (status.state === "STOPPED" && (await engine.readConfig(id)) === null) throw noSuchContainer(id);
      return status;
    },
    create: (id, request, run) =>
      documents.create(id, request, caller, engine, (made) => run(task(made, () => undefined))),
    async start(id) {
      const spec = await documents.spec(id, caller, engine);
      return await engine.start(spec, { caller, pidFile: null, console: "monitor" });
    },
    stop: async (id, options) => (await engine.stop(id, options)).killed,
    destroy: (id) => documents.destroy(id, caller, engine),
    freeze: (id) => engine.freeze(id),
    unfreeze: (id) => engine.unfreeze(id),
    signal: (id, signal) => engine.signal(id, signal),
    wait: (id, wanted, timeout, aborted) => engine.wait(id, wanted, timeout, aborted),
    usage: (id) => engine.usage(id),
    addresses: (id) => engine.addresses(id),
    cgroupItem: (id, item) => engine.cgroupItem(id, item),
    setCgroupItem: (id, item, value) => engine.setCgroupItem(id, item, value),
    async readConfig(id) {
      const config = await engine.readConfig(id);
      if (config === null) throw noSuchContainer(id);
      return config.text;
    },
    async writeConfig(id, text) {
      const config = await engine.readConfig(id);
      if (config === null) throw noSuchContainer(id);
      documents.check(config.file, text, caller);
      await engine.writeConfig(id, text);
    },
    settings: (id) => engine.settings(id),
    isReady: (id) => engine.isReady(id),
    waitReady: (id, timeout, aborted) => engine.waitReady(id, timeout, aborted),
    async changeSettings(id, changes) {
      const made = await engine.changeSettings(id, changes);
      return made === null ? null : task(made.task, made.handedOver);
    },
    async attach(id, options) {
      const { cwd, ...rest } = options;
      const made = await engine.attach(id, {
        ...rest,
        caller: { ...caller, cwd },
        keepNames: [],
        namespaces: null,
        elevated: { cgroup: false, capabilities: false, lsm: false },
        remountSysProc: false,
        architecture: null,
        selinuxContext: null,
      });
      return task(made, () => undefined);
    },
    async lookUp(id, path, follow) {
      const runs = (await engine.status(id)).initPid !== null;
      const found = await engine.lookUp(id, runs ? null : await documents.spec(id, caller, engine), path, follow);
      return { task: task(found.task, found.handedOver), idmap: found.idmap };
    },
    console: (id, replay) => engine.console(id, { replay }),
    resizeConsole: (id, rows, columns) => engine.resizeConsole(id, rows, columns),
    terminal: (id, number) => engine.takeTerminal(id, number),
    async subscribe(listener) {
      const stop = await engine.subscribe(listener);
      stops.add(stop);
      return () => {
        stops.delete(stop);
        stop();
      };
    },
    close: () => {
      for (const stop of stops) stop();
      stops.clear();
      return Promise.resolve();
    },
  };
  return calls;
}
