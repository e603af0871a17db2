import { resolve } from "node:path";
import { IsletError } from "../base/errors.js";
import type { ContainerId } from "../engine/engine.js";
import { bootTime } from "../host/clock.js";
import { createRequest, type CreateRequest, importRequest, type LibraryCalls } from "../engine/library.js";
import {
  type Container,
  type ContainerInfo,
  createHandles,
  lazily,
  type RunningContainer,
  type StoppedContainer,
} from "./container.js";
import { type EventOptions, type IsletEvent, openEvents } from "./events.js";
import { defaultRuntimeDirectory } from "./paths.js";
import { type Storage, storageRequests } from "./storage.js";
import { performed, type WorkOptions } from "./work.js";

export interface ConnectOptions {
  /** Directory of the daemon's sockets. Default: $ISLET_RUNTIME_DIR, or /run/islet. */
  readonly runtimeDirectory?: string;
  /** Directory of the containers. Default: the system's (lxc.lxcpath), /var/lib/lxc. */
  readonly store?: string;
  /** Use no daemon: this process does its work, as root, and the containers outlive it all the same. Default false. */
  readonly inProcess?: boolean;
}

/** A key of lxc.container.conf(5), and its values in order. */
export type ContainerConfig = Readonly<
  Record<`lxc.${string}` | `islet.${string}`, string | number | readonly (string | number)[]>
>;

export interface CreateOptions extends WorkOptions {
  /** Fills the root file system: a template of LXC's by name (busybox is built in) or the path of a script. Default: none. */
  readonly template?: string;
  /** Words for the template. */
  readonly templateArguments?: readonly string[];
  /** A root file system that is there, or with a template: where it is made. Default: STORE/NAME/rootfs. */
  readonly rootfs?: string;
  /** How a new root file system is kept; without a template it is empty. Not with `rootfs`, nor with lxc.rootfs.path in `config`. Default: a directory. */
  readonly storage?: Storage;
  /** The configuration; the template adds to it. Default: the system's (default.conf). */
  readonly config?: ContainerConfig;
  /** What a template script prints. Default: nothing of it is shown. */
  readonly output?: "inherit" | "ignore";
}

export interface ImportOptions extends WorkOptions {
  /** Default: as it was called. */
  readonly name?: string;
  /** It is the same container, which is nowhere else any more: it keeps its MAC addresses, its host name and what it is to its guest. Default false. */
  readonly keep?: boolean;
  /** Also what unpacks to more than 200 times its size. Default false: ISLET_UNTRUSTED. */
  readonly large?: boolean;
  /** Default: a directory. */
  readonly storage?: Storage;
}

/** A connection to islet. `await using` or `close` ends it; containers go on running. */
export interface Islet extends AsyncDisposable {
  readonly store: string;
  /** Makes a container. `await using` destroys it again, running or not. ISLET_EXISTS. Nothing is left of what fails. */
  create(name: string, options?: CreateOptions): Promise<StoppedContainer & AsyncDisposable>;
  /** `create` and `start`; `await using` kills and destroys it. */
  run(name: string, options?: CreateOptions): Promise<RunningContainer & AsyncDisposable>;
  /**
   * Makes a container of a file that `export` has written. `await using` destroys it again. ISLET_EXISTS; ISLET_UNTRUSTED: what leads outside, or has been
   * changed; ISLET_IO: it is cut off. Read the configuration of what a stranger gave you before you start it: hooks and mounts are those of this host.
   */
  import(path: string, options?: ImportOptions): Promise<StoppedContainer & AsyncDisposable>;
  /** A container that is there. ISLET_NOT_FOUND. */
  get(name: string): Promise<Container>;
  /** All of the store, sorted by name. */
  list(): Promise<readonly ContainerInfo[]>;
  /** What happens to containers of every store from now on. */
  events(options?: EventOptions): AsyncIterableIterator<IsletEvent>;
  close(): Promise<void>;
}

function configLines(config: ContainerConfig): string {
  return Object.entries(config)
    .flatMap(([key, values]) =>
      (Array.isArray(values) ? values : [values]).map((value) => [key, String(value)] as const),
    )
    .map(([key, value]) => {
      if (/[\r\n\0]/.test(key + value))
        throw new IsletError("ISLET_BAD_CONFIG", `${JSON.stringify(key)}: a value is one line`);
      return `${key} = ${value}\n`;
    })
    .join("");
}

function requestOf(options: CreateOptions): CreateRequest {
  const { template = null, templateArguments = [], rootfs = null, storage, config } = options;
  const request = {
    template,
    templateArguments,
    rootfs,
    storage: storage === undefined ? [] : storageRequests(storage),
    config: config === undefined ? null : configLines(config),
  };
  return createRequest(request, "");
}

/** Reaches the daemon, which is started if none runs. Root only, or who runs the daemon. ISLET_DISCONNECTED, ISLET_PERMISSION. */
export async function connect(options: ConnectOptions = {}): Promise<Islet> {
  const runtimeDirectory = options.runtimeDirectory ?? defaultRuntimeDirectory();
  const calls: LibraryCalls =
    options.inProcess === true
      ? await (await import("./in-process.js")).openInProcess(runtimeDirectory)
      : (await import("./remote.js")).connectRemote(runtimeDirectory);
  let store: string;
  try {
    store = options.store ?? (await calls.defaultStore());
    if (!store.startsWith("/")) throw new IsletError("ISLET_BAD_REQUEST", `the store ${store} is no absolute path`);
    if (options.store !== undefined) await calls.list(store);
  } catch (error) {
    await calls.close();
    throw error;
  }
  const handles = createHandles(calls, bootTime);
  const idOf = (name: string): ContainerId => ({ storePath: store, name });

  const create = async (name: string, wanted: CreateOptions = {}): Promise<StoppedContainer & AsyncDisposable> => {
    const id = idOf(name);
    const request = requestOf(wanted);
    await performed(wanted, wanted.output ?? "ignore", (work) => calls.create(id, request, work));
    return handles.made(id);
  };

  return {
    store,
    create,
    async run(name, wanted = {}) {
      const made = await create(name, wanted);
      try {
        wanted.signal?.throwIfAborted();
        return { ...(await made.start()), [Symbol.asyncDispose]: made[Symbol.asyncDispose] };
      } catch (error) {
        await made.destroy();
        throw error;
      }
    },
    async import(path, wanted = {}) {
      const { name = null, keep = false, large = false, storage = { kind: "dir" } } = wanted;
      const request = importRequest({ path: resolve(path), name, keep, large, storage: storageRequests(storage) }, "");
      return handles.made(await performed(wanted, "ignore", (work) => calls.import(store, request, work)));
    },
    get: async (name) => handles.of(await calls.status(idOf(name))),
    list: async () => (await calls.list(store)).map((status) => handles.info(status)),
    events: (wanted = {}) => lazily(() => openEvents(calls, store, wanted)),
    close: () => calls.close(),
    [Symbol.asyncDispose]: () => calls.close(),
  };
}
