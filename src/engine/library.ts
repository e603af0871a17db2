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
  FillOptions,
  Startable,
  StopOptions,
  TakenTerminal,
} from "./engine.js";
import type {
  CopyRequest,
  CreateRequest,
  ExportRequest,
  ImportRequest,
  KeptSnapshot,
  SnapshotRequest,
  Task,
  Work,
} from "./library-requests.js";

export {
  copyRequest,
  type CopyRequest,
  createRequest,
  type CreateRequest,
  exportRequest,
  type ExportRequest,
  importRequest,
  type ImportRequest,
  type KeptSnapshot,
  nobodyWaits,
  type RequestedMapEntry,
  snapshotRequest,
  type SnapshotRequest,
  type Task,
  type Work,
} from "./library-requests.js";

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
  create(id: ContainerId, request: CreateRequest, work: Work): Promise<void>;
  /** As its configuration says. */
  start(id: ContainerId): Promise<ContainerStatus>;
  stop(id: ContainerId, options: StopOptions): Promise<boolean>;
  destroy(id: ContainerId): Promise<void>;
  /** `target.name` null: a name that nobody has. Resolves with what the copy is. */
  copy(
    source: ContainerId,
    target: { readonly storePath: string; readonly name: string | null },
    request: CopyRequest,
    work: Work,
  ): Promise<ContainerId>;
  snapshots(id: ContainerId): Promise<readonly KeptSnapshot[]>;
  /** Resolves with its name. */
  snapshot(id: ContainerId, request: SnapshotRequest, work: Work): Promise<string>;
  restore(id: ContainerId, name: string, work: Work): Promise<void>;
  /** A container made of a snapshot. */
  copySnapshot(id: ContainerId, name: string, target: ContainerId, work: Work): Promise<void>;
  destroySnapshot(id: ContainerId, name: string): Promise<void>;
  export(id: ContainerId, request: ExportRequest, work: Work): Promise<void>;
  /** Resolves with what it has become. */
  import(storePath: string, request: ImportRequest, work: Work): Promise<ContainerId>;
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

/** How the documents that describe containers are read and written: a front end's side of the library. */
export interface Documents {
  defaultStore(caller: Caller): string;
  /** What it is like; ISLET_NOT_FOUND, ISLET_BAD_CONFIG. */
  spec(id: ContainerId, caller: Caller, engine: Engine): Promise<ContainerSpec>;
  /** To start from; the same errors. */
  startable(id: ContainerId, caller: Caller, engine: Engine): Promise<Startable>;
  create(id: ContainerId, request: CreateRequest, engine: Engine, waiting: FillOptions): Promise<void>;
  destroy(id: ContainerId, caller: Caller, engine: Engine): Promise<void>;
  copy(
    source: ContainerId,
    target: { readonly storePath: string; readonly name: string | null },
    request: CopyRequest,
    engine: Engine,
    waiting: FillOptions,
  ): Promise<ContainerId>;
  snapshot(id: ContainerId, request: SnapshotRequest, engine: Engine, waiting: FillOptions): Promise<string>;
  restore(id: ContainerId, name: string, engine: Engine, waiting: FillOptions): Promise<void>;
  copySnapshot(id: ContainerId, name: string, target: ContainerId, engine: Engine, waiting: FillOptions): Promise<void>;
  destroySnapshot(id: ContainerId, name: string, caller: Caller, engine: Engine): Promise<void>;
  export(id: ContainerId, request: ExportRequest, engine: Engine, waiting: FillOptions): Promise<void>;
  import(storePath: string, request: ImportRequest, engine: Engine, waiting: FillOptions): Promise<ContainerId>;
  /** Throws ISLET_BAD_CONFIG with all faults. */
  check(file: string, text: string, caller: Caller): void;
}

/** LXC's `ts` in milliseconds since 1970; null: nobody knows. */
function localTime(made: string | null): number | null {
  const match = /^(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)$/.exec(made ?? "");
  if (match === null) return null;
  const [year = 0, month = 1, day, hours, minutes, seconds] = match.slice(1).map(Number);
  return new Date(year, month - 1, day, hours, minutes, seconds).getTime();
}

/** The calls, served by an engine in this process. The caller's descriptors and tasks stay its own. */
export function serveLibrary(engine: Engine, documents: Documents, caller: Caller): LibraryCalls {
  const task = (made: ClientTask, release: () => void): Task => ({
    image: made.image,
    fds: made.fds,
    explain: (record) => Promise.resolve(made.explainFailure(record)),
    release,
  });
  const waiting = ({ run, progress, notice, signal }: Work): FillOptions => ({
    caller,
    run: (made) => run(task(made, () => undefined)),
    progress,
    notice,
    signal,
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
    create: (id, request, work) => documents.create(id, request, engine, waiting(work)),
    copy: (source, target, request, work) => documents.copy(source, target, request, engine, waiting(work)),
    snapshots: async (id) =>
      (await engine.snapshots(id)).map(({ name, made, comment }) => ({ name, made: localTime(made), comment })),
    snapshot: (id, request, work) => documents.snapshot(id, request, engine, waiting(work)),
    restore: (id, name, work) => documents.restore(id, name, engine, waiting(work)),
    copySnapshot: (id, name, target, work) => documents.copySnapshot(id, name, target, engine, waiting(work)),
    destroySnapshot: (id, name) => documents.destroySnapshot(id, name, caller, engine),
    export: (id, request, work) => documents.export(id, request, engine, waiting(work)),
    import: (storePath, request, work) => documents.import(storePath, request, engine, waiting(work)),
    async start(id) {
      const what = await documents.startable(id, caller, engine);
      return await engine.start(what, { caller, pidFile: null, console: "monitor" });
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
