import type {
  AttachOptions,
  ClientTask,
  Command,
  CommandSession,
  ContainerId,
  ContainerStatus,
  Engine,
  LiveUsage,
  State,
} from "../../../../src/engine/engine.js";
import { commands } from "../../../../src/frontends/lxc/index.js";

/** Canned answers of the engine's interface, and a session that keeps what it is given: for options and output only. */
export interface Canned {
  /** Text of NAME/config by name. */
  readonly configs?: Readonly<Record<string, string>>;
  readonly running?: readonly ContainerStatus[];
  readonly engine?: Partial<Engine>;
  readonly environment?: Readonly<Record<string, string>>;
  /** null: no terminal. */
  readonly columns?: number | null;
  /** Standard error is a terminal, as well. */
  readonly errorTerminal?: boolean;
  readonly run?: (task: ClientTask) => Promise<number>;
  readonly cwd?: string;
  readonly uid?: number;
  /** The words as they are: a command without the common options. */
  readonly plain?: boolean;
  /** Rejects when the client goes away; by default it stays. */
  readonly gone?: Promise<never>;
  readonly relay?: () => Promise<"closed">;
  readonly screen?: CommandSession["screen"];
}

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Methods of the engine that were called, in order. */
  readonly calls: readonly string[];
}

export const store = "/canned";

export function runningContainer(name: string, state: State = "RUNNING", config = ""): ContainerStatus {
  return {
    storePath: store,
    name,
    state,
    initPid: 4711,
    exitStatus: null,
    startedAt: 1,
    annotations: { "lxc.config": config },
  };
}

/** Of a container of which nothing is accounted. */
export const noUsage: LiveUsage = {
  cpuNanoseconds: null,
  memoryBytes: null,
  memoryLimitBytes: null,
  readBytes: null,
  writtenBytes: null,
  processes: null,
};

function cannedEngine(canned: Canned, calls: string[]): Engine {
  const configs = canned.configs ?? {};
  const running = canned.running ?? [];
  const stopped = (id: ContainerId): ContainerStatus => ({
    ...id,
    state: "STOPPED",
    initPid: null,
    exitStatus: null,
    startedAt: null,
    annotations: {},
  });
  const notCanned = (): Promise<never> => Promise.reject(new Error("this test has no answer for that"));
  const methods: Engine = {
    defined: () => Promise.resolve(Object.keys(configs).sort()),
    readConfig: ({ name }) => {
      const text = configs[name];
      return Promise.resolve(text === undefined ? null : { file: `${store}/${name}/config`, text });
    },
    isDefined: ({ name }) => Promise.resolve(configs[name] !== undefined),
    writeConfig: () => Promise.resolve(),
    status: (id) => Promise.resolve(running.find((one) => one.name === id.name) ?? stopped(id)),
    active: () => Promise.resolve(running),
    usage: notCanned,
    interfaces: () => Promise.resolve([]),
    addresses: () => Promise.resolve({ ipv4: [], ipv6: [] }),
    links: () => Promise.resolve([]),
    definedElsewhere: () => Promise.resolve(null),
    start: notCanned,
    execute: notCanned,
    plan: notCanned,
    stop: notCanned,
    signal: notCanned,
    initctl: notCanned,
    openNamespaces: notCanned,
    forget: notCanned,
    wait: notCanned,
    attach: notCanned,
    copy: notCanned,
    rename: notCanned,
    snapshots: notCanned,
    snapshot: notCanned,
    restore: notCanned,
    backUp: notCanned,
    restoreBackup: notCanned,
    export: notCanned,
    readArchive: notCanned,
    copies: () => Promise.resolve([]),
    hostCommand: notCanned,
    console: notCanned,
    resizeConsole: notCanned,
    create: notCanned,
    fillRootfs: notCanned,
    images: notCanned,
    pruneImages: notCanned,
    refreshImage: notCanned,
    remoteImages: notCanned,
    pinImage: notCanned,
    destroy: notCanned,
    freeze: notCanned,
    unfreeze: notCanned,
    subscribe: notCanned,
    cgroupItem: notCanned,
    setCgroupItem: notCanned,
    outerTerminals: notCanned,
    takeTerminal: notCanned,
    hostOutput: notCanned,
    containersOf: () => Promise.resolve(new Map()),
    wantedBridge: () => Promise.resolve(null),
    bridgeUp: notCanned,
    bridgeCheck: notCanned,
    bridgeDown: notCanned,
    bridges: notCanned,
    nicGrants: notCanned,
    addUserNic: notCanned,
    removeUserNic: notCanned,
    detailedUsage: notCanned,
    unshare: notCanned,
    changeDevice: notCanned,
    changeNode: notCanned,
    addNic: notCanned,
    removeNic: notCanned,
    nested: () => Promise.resolve([]),
    activeStores: () => Promise.resolve([...new Set(running.map((one) => one.storePath))]),
    lookUp: notCanned,
    liveUsage: notCanned,
    hostReport: notCanned,
    settings: () => Promise.resolve({}),
    changeSettings: () => Promise.resolve(null),
    isReady: () => Promise.resolve(null),
    waitReady: notCanned,
    ...canned.engine,
  };
  return new Proxy(methods, {
    get(target, property, receiver) {
      const value: unknown = Reflect.get(target, property, receiver);
      if (typeof value !== "function") return value;
      return (...args: readonly unknown[]): unknown => {
        calls.push(String(property));
        return Reflect.apply(value, target, args);
      };
    },
  });
}

/** Runs a command of the LXC door against canned data. `-P` is given unless the arguments have it. */
export async function tool(argv: readonly string[], canned: Canned = {}): Promise<Outcome> {
  const [name = "", ...args] = argv;
  const load = commands[name];
  if (load === undefined) throw new Error(`no command ${name}`);
  const command: Command = await load();
  const output = { 1: "", 2: "" };
  const calls: string[] = [];
  const columns = canned.columns ?? null;
  const session: CommandSession = {
    argv:
      name === "islet" || name === "lxc-usernsexec" || canned.plain === true || args.includes("-P")
        ? argv
        : [name, "-P", store, ...args],
    caller: {
      uid: canned.uid ?? 0,
      gid: 0,
      pid: 1,
      environment: canned.environment ?? { PATH: "/usr/bin:/bin" },
      cwd: canned.cwd ?? "/",
    },
    stdio: [50, 51, 52],
    listen: { fds: [], names: null },
    terminals:
      columns === null ? [false, false, canned.errorTerminal === true] : [true, true, canned.errorTerminal === true],
    rows: columns === null ? 0 : 25,
    columns: columns ?? 0,
    write(descriptor, text) {
      output[descriptor] += typeof text === "string" ? text : Buffer.from(text).toString();
    },
    run: canned.run ?? (() => Promise.reject(new Error("this test runs nothing in the client"))),
    relay: canned.relay ?? (() => Promise.resolve("closed")),
    gone: canned.gone ?? new Promise<never>(() => undefined),
    screen:
      canned.screen ??
      (() => {
        throw new Error("this test has no screen");
      }),
  };
  const status = await command(session, cannedEngine(canned, calls));
  return { status, stdout: output[1], stderr: output[2], calls };
}

/** An engine part whose attach keeps its options. */
export function keepAttach(kept: AttachOptions[]): Partial<Engine> {
  return {
    attach: (_id, options) => {
      kept.push(options);
      return Promise.resolve({ image: new Uint8Array(), fds: [], explainFailure: () => new Error("never") });
    },
  };
}
