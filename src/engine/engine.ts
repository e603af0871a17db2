import type { BridgeFinding, BridgeNetwork, BridgeStatus, BridgeUp } from "../spec/bridge.js";
import type { NicGrants, UserNic, UserNicRemoval, UserNicRequest } from "../spec/user-nic.js";
import type { ContainerName } from "../base/brand.js";
import type { CopyOptions, RenameOptions, SnapshotOptions, SnapshotStatus, CopyBasics } from "./copy-requests.js";
import type { ArchiveOptions, ContainerArchive, Exported, ExportOptions } from "./archive-requests.js";
import type { Fault } from "../base/source.js";
import type { UnshareRequest } from "../plan/unshare.js";
import type { IdMapEntry } from "../spec/idmap.js";
import type { ImageFacts, ImageServer, ImageSource, ImageStatus, RemoteImage, RootEditor } from "../spec/image.js";
import type { NicSpec } from "../spec/nic.js";
import type { RootfsSource } from "../spec/rootfs.js";
import type { Settings } from "../spec/settings.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { State } from "../spec/states.js";
import type { StorageRequest } from "../spec/storage.js";
import type { Caller, ClientTask, CommandSession, HostOutput, ListenSockets } from "./session.js";
import type {
  Addresses,
  ContainerEvent,
  ContainerId,
  ContainerStatus,
  DetailedUsage,
  HostReport,
  InterfaceStatus,
  LinkStatus,
  LiveUsage,
  NestedContainer,
  ResourceUsage,
} from "./status.js";

/**
 * The closed list of what a front end may ask of the engine. Every method throws IsletError with a stable code; none leaves
 * anything half-made when it throws. Times are milliseconds unless said.
 */

export {
  type ArchiveOptions,
  compressions,
  type Compression,
  type ContainerArchive,
  type Exported,
  type ExportOptions,
  type ImportOptions,
  type PortableConfig,
} from "./archive-requests.js";
export { states, type State } from "../spec/states.js";
export type { GuestCaller, GuestDoor, GuestEvent, GuestView } from "./guest-door.js";
export type { Caller, ClientTask, CommandSession, HostOutput, ListenSockets, Screen, ScreenEvents } from "./session.js";
export {
  type Addresses,
  type ContainerEvent,
  type ContainerId,
  type ContainerStatus,
  type DetailedUsage,
  type HostReport,
  type InterfaceStatus,
  isSameContainer,
  type LinkStatus,
  type LiveUsage,
  type NestedContainer,
  noSuchContainer,
  type ResourceUsage,
} from "./status.js";
export type {
  CopiedConfig,
  CopyBasics,
  CopyOptions,
  RenameOptions,
  SnapshotOptions,
  SnapshotStatus,
} from "./copy-requests.js";

export interface StartOptions {
  readonly caller: Caller;
  /** Written with the monitor's pid (no newline, mode 0600), removed when the container ends; null none. */
  readonly pidFile: string | null;
  /** Test aid: the program's operation with this index fails with EIO instead of running. */
  readonly failOperation?: number;
  /** Namespaces of the caller that a `keep` refers to are those of this process; default the daemon's own. */
  readonly console: "monitor";
  /** Descriptors that become the main process's 0-2 (lxc-execute with pipes); null: the console instead. They stay the caller's. */
  readonly stdio?: readonly [number | null, number | null, number | null];
  /** Takes what the user should know although the container can be started: rules of a seccomp policy without effect. */
  readonly warn?: (fault: Fault) => void;
  /**
   * Gets a stream socket that is joined with the console from its first byte on, as `console` gives one that is joined later: what a command
   * prints that ends at once is not lost. Called when the container runs, or has ended already; the socket is then the caller's to close.
   */
  readonly join?: (descriptor: number) => void;
  /** Sockets that become init's descriptors 3 and up, with their names as sd_listen_fds(3) has them; they stay the caller's. Not with a small init. */
  readonly listen?: ListenSockets;
}

/** A spec that is made when the turn of its start has come, after what others do before it: that may be what it is about. */
export interface LateSpec extends ContainerId {
  readonly annotations: ContainerSpec["annotations"];
  readonly make: () => Promise<ContainerSpec>;
}

export type Startable = ContainerSpec | LateSpec;

/** What another front end has to do around a start, whoever asks for it: after `before` either `after` or `failed` is called. */
export interface StartCompany {
  /** Before anything is made. Throws when there is to be no start, and has then taken back what it did. */
  readonly before: () => Promise<void>;
  /** It is begun now. Does not throw. */
  readonly making: (spec: ContainerSpec, options: StartOptions) => void;
  /** It runs. Throws when it must not, after `end`. */
  readonly after: (end: () => Promise<void>) => Promise<void>;
  /** It could not be started, and nothing is left of it. */
  readonly failed: (error: unknown) => Promise<void>;
}

export interface AttachOptions {
  readonly caller: Caller;
  /** null: the login shell of the user in the container's passwd, else /bin/sh. */
  readonly command: readonly string[] | null;
  readonly environment: "keep" | "clear";
  /** With clear: names that are kept all the same. */
  readonly keepNames: readonly string[];
  /** NAME=VALUE, applied last. */
  readonly set: readonly string[];
  /** null: all the namespaces the container has of its own. */
  readonly namespaces: readonly string[] | null;
  /** What is NOT done: lxc-attach -e. */
  readonly elevated: { readonly cgroup: boolean; readonly capabilities: boolean; readonly lsm: boolean };
  readonly remountSysProc: boolean;
  readonly uid: number | null;
  readonly gid: number | null;
  /** Arch name as in lxc.arch; null: that of the container. */
  readonly architecture: string | null;
  /** Which of the caller's descriptors 0-2 are terminals. */
  readonly terminals: readonly [boolean, boolean, boolean];
  readonly selinuxContext: string | null;
  /** A descriptor that gets a copy of what the process's terminal shows, if it gets one; stays the caller's. */
  readonly terminalLog?: number;
}

export interface StopOptions {
  /** clean: the halt signal, then after `timeout` the stop signal (unless noKill). kill: the stop signal now. reboot: the reboot signal, then wait for RUNNING. */
  readonly kind: "clean" | "kill" | "reboot";
  /** Milliseconds; null for ever; 0: send and do not wait. */
  readonly timeout: number | null;
  readonly noKill: boolean;
}

export interface StopResult {
  /** The timeout ran out and the container was killed. */
  readonly killed: boolean;
}

export interface CreateOptions {
  /** How its root file system is kept; null: none is made. */
  readonly storage: StorageRequest | null;
  /** What is taken where the one before cannot be had (ISLET_UNSUPPORTED, ISLET_EXISTS), in this order. */
  readonly alternatives?: readonly StorageRequest[];
  /** Of its files on the disk: the top directory of its root file system belongs to the root of that. */
  readonly idmap?: readonly IdMapEntry[];
  /** lxc.bdev.* of the host's administrator, by key. */
  readonly storageDefaults: Readonly<Record<string, string>>;
  /** The text of the container's `config`, without what a template adds; `root`: where its root file system is. */
  readonly config: (root: RootfsSource | null) => string;
  /**
   * Fills the container's directory (config and rootfs exist by then, the rootfs empty or as the driver made it). A throw undoes the creation.
   */
  readonly populate: (place: NewContainer) => Promise<void>;
  /** It may be running, without a configuration that says what it is: this one is to stay when it ends. Otherwise: ISLET_RUNNING. */
  readonly allowRunning?: boolean;
  /**
   * Without storage: its directory may be there already, with a directory `rootfs` in it and nothing else, which is its root file system and stays as it is
   * whatever happens. `populate` comes before there is a `config` then.
   */
  readonly aroundRoot?: boolean;
  readonly progress?: (text: string) => void;
  readonly notice?: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** A container that is being made. */
export interface NewContainer {
  readonly directory: string;
  readonly config: string;
  /** Where its root file system is to be found by scripts: what the configuration says, or STORE/NAME/rootfs, where `mount` is then mounted for them. */
  readonly rootfs: string;
  /** Where this process and those that it starts find it: the same, unless it is mounted for nobody else. */
  readonly root: string;
  /** For Engine.hostCommand; null: nothing needs to be mounted. */
  readonly mount: HostMount | null;
}

/** A detached mount that a host command is to find at `path`, an existing directory. */
export interface HostMount {
  readonly descriptor: number;
  readonly path: string;
}

/** A root file system that islet makes itself. */
export type FillRequest = BusyboxFill | ImageFill;

/** Of an image: taken from the cache, which gets it first if need be. */
export interface ImageFill {
  readonly kind: "image";
  readonly image: ImageSource;
  /** An existing, empty directory. */
  readonly rootfs: string;
  /** Of the container. */
  readonly idmap: readonly IdMapEntry[];
  /** Get it anew, even if it is in the cache. */
  readonly refresh: boolean;
  /** What makes a container of the image: its name, network, consoles, users. */
  readonly finish: (root: RootEditor, image: ImageFacts) => Promise<void> | void;
}

/** Who waits for a root file system. */
export interface FillOptions {
  readonly caller: Caller;
  /** Runs a program in the caller's own process tree; resolves with its result. */
  readonly run: (task: ClientTask) => Promise<number>;
  /** What is being done now, for a progress line: "downloading 34 of 120 MiB". */
  readonly progress?: (text: string) => void;
  /** What the user should know. */
  readonly notice?: (text: string) => void;
  /** Nobody waits any more: everything ends, and nothing half-made stays. What was downloaded is kept for the next time. */
  readonly signal?: AbortSignal;
}

export interface BusyboxFill {
  readonly kind: "busybox";
  /** An existing directory. */
  readonly rootfs: string;
  /** The busybox program on the host; null: found by `searchPath` (a PATH value). */
  readonly program: string | null;
  readonly searchPath: string;
  /** Host ids that everything shall belong to; null: the daemon's own. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
}

/** A program as text, for `islet plan`. */
export interface PlannedStart {
  readonly text: string;
  /** Plain data for JSON. */
  readonly json: unknown;
}

/** A terminal of a container that is one client's alone. */
export interface TakenTerminal {
  /** 0: the console. */
  readonly number: number;
  /** A pty's master; for the console a stream socket joined with it. */
  readonly descriptor: number;
  /** The tty is taken until all copies of this descriptor are closed; null for the console, where `descriptor` does that. */
  readonly lease: number | null;
  /** Some session in the container has it as its controlling terminal: somebody will answer. Unknown for the console. */
  readonly isInUse: boolean | null;
  /** Closes this process's copies of both. */
  release(): void;
}

export interface Engine {
  /** Names in the store that have a config file, sorted; those being created are left out. */
  defined(storePath: string): Promise<readonly string[]>;
  /** The text of NAME/config, or null where there is none. ISLET_PARTIAL when the creation is under way or was cut off. */
  readConfig(id: ContainerId): Promise<{ readonly file: string; readonly text: string } | null>;
  /** Whether there is a text that `readConfig` would give, without reading it. Throws as that does. */
  isDefined(id: ContainerId): Promise<boolean>;
  /** Replaces NAME/config whole, atomically. */
  writeConfig(id: ContainerId, text: string): Promise<void>;
  /** Of any name, defined or not (STOPPED then). */
  status(id: ContainerId): Promise<ContainerStatus>;
  /** Every container of the store path that has a live monitor, defined or not, sorted by name. */
  active(storePath: string): Promise<readonly ContainerStatus[]>;
  usage(id: ContainerId): Promise<ResourceUsage>;
  /** Interfaces inside, lo among them, those of the host's where the container shares its network; [] when not running. */
  interfaces(id: ContainerId): Promise<readonly InterfaceStatus[]>;
  /** What of `interfaces` others can reach it by: nothing of lo, nothing link-local. Asks the kernel for less. */
  addresses(id: ContainerId): Promise<Addresses>;
  links(id: ContainerId): Promise<readonly LinkStatus[]>;
  /** What another front end's document beside the configuration says it is to be started as; null: there is none, the configuration says all. */
  definedElsewhere(id: ContainerId): Promise<LateSpec | null>;
  /** Resolves when init's exec succeeded. ISLET_RUNNING if it runs already; ISLET_HOOK_FAILED: an administrator's hook of another front end refuses it. */
  start(what: Startable, options: StartOptions): Promise<ContainerStatus>;
  /** Like `start`; also tells when the main process has ended, with its exit status (128 + signal). */
  execute(spec: ContainerSpec, options: StartOptions): Promise<{ readonly ended: Promise<number> }>;
  /** The program `start` would run, without running it. */
  plan(spec: ContainerSpec, options: StartOptions): Promise<PlannedStart>;
  stop(id: ContainerId, options: StopOptions): Promise<StopResult>;
  /** Sends a signal to the main process. ISLET_NOT_RUNNING. */
  signal(id: ContainerId, signal: number): Promise<void>;
  /**
   * Asks init for a runlevel, "0" to power off, "6" to reboot, through the pipe that sysvinit reads (/run/initctl and its older places). false: nobody
   * reads such a pipe. ISLET_NOT_RUNNING, ISLET_TIMEOUT.
   */
  initctl(id: ContainerId, runLevel: "0" | "6"): Promise<boolean>;
  /** Descriptors of the main process's namespaces, for the caller to close: user, ipc, uts, net, pid, mount. ISLET_NOT_RUNNING. */
  openNamespaces(id: ContainerId): Promise<readonly number[]>;
  /**
   * Takes a container's configuration away, with files beside it (names in its directory), and nothing of its root file system: one that runs goes on
   * running. ISLET_NOT_FOUND.
   */
  forget(id: ContainerId, beside: readonly string[]): Promise<void>;
  /** Resolves with the status once the container is in one of the states; ISLET_TIMEOUT. Aborted, it is forgotten and never settles. */
  wait(
    id: ContainerId,
    wanted: readonly State[],
    timeout: number | null,
    aborted?: AbortSignal,
  ): Promise<ContainerStatus>;
  attach(id: ContainerId, options: AttachOptions): Promise<ClientTask>;
  /** A command of the host, run in the caller's process tree with its stdio, in a mount namespace of its own (templates). Its result is the exit status. */
  hostCommand(
    argv: readonly string[],
    caller: Caller,
    extraEnvironment: Readonly<Record<string, string>>,
    mount?: HostMount | null,
  ): Promise<ClientTask>;
  /** A stream socket joined with the container's console; the caller closes it. */
  console(id: ContainerId, options: { readonly replay: boolean }): Promise<number>;
  resizeConsole(id: ContainerId, rows: number, columns: number): Promise<void>;
  create(id: ContainerId, options: CreateOptions): Promise<void>;
  /**
   * Fills a directory; null: it was made here and now. ISLET_UNSUPPORTED when a program it needs is missing, with the package's name;
   * ISLET_NOT_FOUND: no such image; ISLET_NETWORK: its server cannot be reached; ISLET_UNTRUSTED: it is not what was signed.
   */
  fillRootfs(request: FillRequest, options: FillOptions): Promise<ImageFacts | null>;
  /** What a server offers, in its own order. ISLET_NETWORK, ISLET_UNTRUSTED, ISLET_UNSUPPORTED as `fillRootfs`. */
  remoteImages(server: ImageServer, options: FillOptions): Promise<readonly RemoteImage[]>;
  /** The same image by a name that means no other one tomorrow: a registry's tag becomes the digest that it stands for now. */
  pinImage(image: ImageSource, options: FillOptions): Promise<ImageSource>;
  /** The image cache, sorted by name. */
  images(): Promise<readonly ImageStatus[]>;
  /** Makes an image of the cache anew; the old one serves until then. ISLET_NOT_FOUND; ISLET_UNSUPPORTED: another release has made it; and as `fillRootfs`. */
  refreshImage(name: string, options: FillOptions): Promise<void>;
  /** Takes images out of the cache; those in use stay. Gives back the names of those that went. */
  pruneImages(wanted: (image: ImageStatus) => boolean): Promise<readonly string[]>;
  /** ISLET_RUNNING, ISLET_HAS_SNAPSHOTS, ISLET_HAS_CLONES, ISLET_NOT_FOUND. Runs destroy hooks given in `spec` (null: a config that cannot be read, the directory is removed all the same). */
  destroy(id: ContainerId, spec: ContainerSpec | null, caller: Caller): Promise<void>;
  /**
   * Makes a container as another one: ISLET_EXISTS, ISLET_NOT_FOUND; ISLET_RUNNING unless that is allowed (it is then frozen meanwhile);
   * ISLET_UNSUPPORTED where it cannot be kept so. `source`: as its configuration has it.
   */
  copy(source: ContainerSpec, target: ContainerId, options: CopyOptions): Promise<void>;
  /** Within its store. ISLET_RUNNING, ISLET_HAS_SNAPSHOTS, ISLET_HAS_CLONES, ISLET_EXISTS. */
  rename(source: ContainerSpec, target: ContainerId, options: RenameOptions): Promise<void>;
  /** In the order of their numbers. Each is itself a container: what else can be done with it goes by its store and name. */
  snapshots(id: ContainerId): Promise<readonly SnapshotStatus[]>;
  /** Resolves with its name; without `name` it is snapN, N the lowest free number. ISLET_RUNNING, ISLET_EXISTS. `optionsFor`: called once, with what it will be. */
  snapshot(
    source: ContainerSpec,
    optionsFor: (snapshot: ContainerId) => SnapshotOptions,
    name?: string | null,
  ): Promise<string>;
  /** The container becomes what the snapshot is, whole or not at all. ISLET_RUNNING, ISLET_HAS_CLONES. */
  restore(current: ContainerSpec, snapshot: ContainerSpec, options: CopyBasics): Promise<void>;
  /**
   * Copies the directory that is its root to STORE/NAME/rootfs.backup.1, in place of the one of before; a running container is frozen meanwhile.
   * ISLET_UNSUPPORTED: it is no directory.
   */
  backUp(spec: ContainerSpec, options: Pick<CopyBasics, "progress" | "signal">): Promise<void>;
  /** Makes its root what the backup is. ISLET_BAD_REQUEST: there is none; ISLET_RUNNING, ISLET_HAS_CLONES. */
  restoreBackup(spec: ContainerSpec, options: Pick<CopyBasics, "progress" | "signal">): Promise<void>;
  /**
   * Writes a container into one archive, which `readArchive` takes. ISLET_RUNNING unless that is allowed (it is then frozen meanwhile); ISLET_BUSY: somebody
   * changed its files meanwhile; ISLET_BAD_REQUEST: a file has an owner that is in no id map; ISLET_IO: a full disk (nothing of the file is left).
   */
  export(spec: ContainerSpec, options: ExportOptions): Promise<Exported>;
  /** Opens such an archive. ISLET_BAD_REQUEST: it is none; ISLET_UNTRUSTED, ISLET_UNSUPPORTED (of a newer islet), ISLET_IO. */
  readArchive(options: ArchiveOptions): Promise<ContainerArchive>;
  /** Those that need its root file system, its own snapshots not counted; each can be destroyed before it. */
  copies(id: ContainerId): Promise<readonly ContainerId[]>;
  freeze(id: ContainerId): Promise<void>;
  unfreeze(id: ContainerId): Promise<void>;
  /** From now on every event of every container, in order, until the function that it gives back is called. The listener must not throw. */
  subscribe(listener: (event: ContainerEvent) => void): Promise<() => void>;
  /** A file of the payload cgroup, `memory.max`, as it reads; names of the other cgroup version are translated. ISLET_NOT_RUNNING, ISLET_IO. */
  cgroupItem(id: ContainerId, item: string): Promise<string>;
  /** Writes to such a file, until the container ends. What freezes or thaws changes the state, too. */
  setCgroupItem(id: ContainerId, item: string, value: string): Promise<void>;
  /**
   * Paths of the host's ptys that stand for the console and then for each tty (ConsoleSpec.outer): what is written there is typed, what is printed can be
   * read; a tty's says nothing while somebody has taken that tty. null: it is gone. []: the container has none. ISLET_NOT_RUNNING, ISLET_TIMEOUT.
   */
  outerTerminals(id: ContainerId): Promise<readonly (string | null)[]>;
  /**
   * Takes a terminal of the container for a client: 0 the console, otherwise a tty by number, null any that is free. ISLET_NOT_RUNNING;
   * ISLET_BUSY when somebody else has it; ISLET_BAD_REQUEST when there is none of that number; ISLET_TIMEOUT.
   */
  takeTerminal(id: ContainerId, number: number | null): Promise<TakenTerminal>;
  /** `hostCommand` whose standard output is read here; in the network namespace of a running container where one is given. */
  hostOutput(argv: readonly string[], caller: Caller, networkOf: ContainerId | null): Promise<HostOutput>;
  /** Which running container of the store each process (a pid of the daemon's namespace) is in, by its cgroup; those of none are missing. */
  containersOf(storePath: string, pids: readonly number[]): Promise<ReadonlyMap<number, string>>;
  /** More of what `usage` tells; nothing (all null) when not running. */
  detailedUsage(id: ContainerId): Promise<DetailedUsage>;
  /** A program of the caller's in new namespaces. Result of the task: its exit status times 2^22, plus its pid; the pid alone when detached. */
  unshare(options: UnshareOptions): Promise<ClientTask>;
  /** A device node or an interface into a running container, or out of it. null: it is done; otherwise what the client runs does it. */
  changeDevice(id: ContainerId, change: DeviceChange): Promise<DeviceTask | null>;
  /**
   * The same of a node without a client. ISLET_NOT_RUNNING; to add it, ISLET_EXISTS: something is at that path, ISLET_NOT_FOUND: there is no such
   * device. What the guest has removed itself need not be there.
   */
  changeNode(id: ContainerId, change: NodeChange): Promise<void>;
  /**
   * Makes a nic for a running container; it ends with the container. Gives the name of the host's end; null: it has none. ISLET_NOT_RUNNING;
   * ISLET_UNSUPPORTED: it has no network of its own; ISLET_EXISTS: a name is taken; ISLET_OPERATION_FAILED, ISLET_TIMEOUT.
   */
  addNic(id: ContainerId, nic: Extract<NicSpec, { readonly type: "veth" | "macvlan" }>): Promise<string | null>;
  /** By the name of the host's end. ISLET_NOT_RUNNING; ISLET_NOT_FOUND: it is not the container's. ISLET_OPERATION_FAILED, ISLET_TIMEOUT. */
  removeNic(id: ContainerId, hostName: string): Promise<void>;
  /**
   * Looks a path of the container up, as the container sees it, without opening what is there: the task hands over a descriptor (O_PATH).
   * `spec`: for a container that does not run; null: ISLET_NOT_RUNNING then.
   */
  lookUp(id: ContainerId, spec: ContainerSpec | null, path: string, follow: boolean): Promise<LookedUp>;
  /** Directories of which containers run, sorted. */
  activeStores(): Promise<readonly string[]>;
  /** What a running container keeps in a store at the same path as its own, with what is in these, `levels` deep. */
  nested(id: ContainerId, levels: number): Promise<readonly NestedContainer[]>;
  /** What tables and live screens show; nothing (all null) when not running. Without `activity` I/O and processes are not looked at: null. */
  liveUsage(id: ContainerId, wanted: { readonly activity: boolean }): Promise<LiveUsage>;
  /** This host and the daemon itself, as only the engine knows them. */
  hostReport(): Promise<HostReport>;
  /** The bridge that a start makes if a container is to be joined with it; null: none is wanted here. ISLET_BAD_CONFIG. */
  wantedBridge(): Promise<BridgeNetwork | null>;
  /** Makes a bridge with DHCP, names and NAT, or what is missing of it. ISLET_EXISTS, ISLET_BUSY, ISLET_UNSUPPORTED, ISLET_OPERATION_FAILED. */
  bridgeUp(network: BridgeNetwork): Promise<BridgeUp>;
  /** Takes it away; ISLET_BUSY while interfaces are on it, unless `force`. false: islet has made none of that name. */
  bridgeDown(name: string, force: boolean): Promise<boolean>;
  /** Does what guests on it do, to see whether that passes; null: islet has made none of that name, or it is down. */
  bridgeCheck(name: string): Promise<readonly BridgeFinding[] | null>;
  /** The bridges that islet has made. */
  bridges(): Promise<readonly BridgeStatus[]>;
  /** What users who are not root may have of nics. ISLET_IO. */
  nicGrants(): Promise<NicGrants>;
  /**
   * A veth between a bridge and a network namespace of the user's. ISLET_PERMISSION: no such user, or not its namespace. ISLET_BUSY: none is granted,
   * or all are used. ISLET_BAD_REQUEST, ISLET_UNSUPPORTED, ISLET_OPERATION_FAILED, ISLET_TIMEOUT, ISLET_IO.
   */
  addUserNic(request: UserNicRequest): Promise<UserNic>;
  /** ISLET_PERMISSION also when it is not the user's. */
  removeUserNic(request: UserNicRemoval): Promise<void>;
  /** A container's settings beside its configuration (docs/guests/settings.md). ISLET_NOT_FOUND, ISLET_BAD_CONFIG. */
  settings(id: ContainerId): Promise<Settings>;
  /** Sets those with a text, takes those with null away; all or nothing. null: it is done; otherwise what the client runs completes it in the guest. */
  changeSettings(
    id: ContainerId,
    changes: Readonly<Record<string, string | null>>,
  ): Promise<Pick<HostOutput, "task" | "handedOver"> | null>;
  /** Has the guest said that it is ready? null: it does not run, or has no way to say so. From memory. */
  isReady(id: ContainerId): Promise<boolean | null>;
  /** Resolves once it has; ISLET_TIMEOUT. Aborted, it is forgotten and never settles. */
  waitReady(id: ContainerId, timeout: number | null, aborted?: AbortSignal): Promise<void>;
}

export interface LookedUp extends Pick<HostOutput, "task" | "handedOver"> {
  /** Ids of the container's files as the host sees them; none: they are the same. */
  readonly idmap: readonly IdMapEntry[];
}

export interface DeviceTask extends Pick<HostOutput, "task" | "handedOver"> {
  /** To be called when the task has succeeded. */
  readonly done: () => void;
}

/** A device node of the host's, put by the daemon itself into a running container, or out of it. Paths are absolute. */
export type NodeChange = { readonly source: string; readonly destination: string } & (
  | {
      readonly action: "add";
      /** Permissions of the node, which belongs to the container's root. */
      readonly mode: number;
      readonly write: boolean;
      /** The container may use the device as it is. */
      readonly hasAccess: boolean;
    }
  /** `keepAccess`: it has the device at another path, too. */
  | { readonly action: "del"; readonly keepAccess: boolean }
);

export interface DeviceChange {
  readonly caller: Caller;
  readonly action: "add" | "del";
  /** An interface (of the caller's, or for `del` inside) or the path of a device node of the host. */
  readonly source: string;
  /** Its name or path inside; for an interface that is taken out, its name on the host. */
  readonly destination: string;
}

/** The request of the plan, with who asks in place of what follows from that. */
export interface UnshareOptions extends Omit<UnshareRequest, "argv" | "environment"> {
  readonly caller: Caller;
  readonly command: readonly string[];
}

/** A front end's command: resolves with the exit status. Errors it does not map itself are printed by the daemon as `argv0: line`, status 1. */
export type Command = (session: CommandSession, engine: Engine) => Promise<number>;

/** How a front end turns its document into a spec; used by engine-wide commands such as `islet plan`. */
export type SpecLoader = (id: ContainerId, caller: Caller, engine: Engine) => Promise<ContainerSpec>;

export type { ContainerName };
