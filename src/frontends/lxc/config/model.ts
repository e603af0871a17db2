import type { Fault, Source } from "../../../base/source.js";
import type { NicFilter } from "../../../spec/nic.js";
import type { NamespaceKind } from "../../../spec/namespace.js";
import type { AutoMounts } from "../../../spec/mount.js";
import type { GuestProfile, JournalMode, LocaltimeMode, ScopeMode } from "../../../spec/guest.js";
import type { HookKind } from "../../../spec/hooks.js";
import type { ConfigDocument } from "./document.js";

/** A value and the line it was given by. */
export interface Item<T> {
  readonly value: T;
  readonly at: Source;
}

/** What reading a configuration needs of the host. Both calls answer null for whatever cannot be read. */
export interface ConfigFiles {
  /** The text of a regular file (or "" for /dev/null). */
  read(path: string): string | null;
  /** The names in a directory, in any order. */
  list(directory: string): readonly string[] | null;
}

/** What `/dev/path` in a device rule and a bare lxc.rootfs.path stand for; null where there is nothing. */
export interface FileKind {
  readonly type: "c" | "b" | "dir" | "file" | "other";
  readonly major: number;
  readonly minor: number;
}

/** Something to tell the user that does not stop anything. */
export type Notice =
  | {
      readonly kind: "legacy";
      readonly oldKey: string;
      readonly newKey: string | null;
      readonly message: string;
      readonly at: Source;
    }
  | { readonly kind: "skipped"; readonly message: string; readonly at: Source };

export const nicTypes = ["veth", "macvlan", "ipvlan", "vlan", "phys", "empty", "none"] as const;
export type NicType = (typeof nicTypes)[number];

export interface AddressValue {
  readonly address: string;
  readonly prefix: number;
  readonly broadcast: string | null;
}

/** A tmpfs of that size in bytes, null: the kernel's default. */
export interface RootfsUpper {
  readonly size: number | null;
}

/** One lxc.net.N while it is being read. */
export interface NicValues {
  readonly index: number;
  /** The first line that named it. */
  readonly at: Source;
  type: Item<NicType> | null;
  flags: Item<string> | null;
  link: Item<string> | null;
  name: Item<string> | null;
  hwaddr: Item<string> | null;
  mtu: Item<string> | null;
  ipv4: Item<AddressValue>[];
  ipv6: Item<AddressValue>[];
  gateway4: Item<string> | null;
  gateway6: Item<string> | null;
  scriptUp: Item<string> | null;
  scriptDown: Item<string> | null;
  pair: Item<string> | null;
  vethMode: Item<"bridge" | "router"> | null;
  routes4: Item<string>[];
  routes6: Item<string>[];
  rxQueues: Item<number> | null;
  txQueues: Item<number> | null;
  vethVlanId: Item<number | "none"> | null;
  vethTagged: Item<number>[];
  vlanId: Item<number> | null;
  macvlanMode: Item<"private" | "vepa" | "bridge" | "passthru"> | null;
  ipvlanMode: Item<"l2" | "l3" | "l3s"> | null;
  ipvlanIsolation: Item<"bridge" | "private" | "vepa"> | null;
  l2proxy: Item<boolean> | null;
  /** islet.net.N. */
  naming: Item<"lxc" | "systemd"> | null;
  reserve: Item<string> | null;
  limitIn: Item<number> | null;
  limitInBurst: Item<number> | null;
  limitInPeak: Item<number> | null;
  limitOut: Item<number> | null;
  limitOutBurst: Item<number> | null;
  filter: Item<readonly NicFilter[]> | null;
}

export interface EnvironmentValue {
  readonly name: string;
  /** null: taken from the caller. */
  readonly value: string | null;
  readonly scope: "all" | "runtime" | "hooks";
}

export interface NamedText {
  readonly name: string;
  readonly value: string;
}

export interface IdMapValue {
  readonly type: "u" | "g";
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

export interface CapabilityValue {
  readonly number: number;
  /** As it is read back: lower-case name, or the number as given. */
  readonly name: string;
}

/** The values of a configuration as its lines gave them, without defaults. Written only while parsing. */
export interface Draft {
  utsName: Item<string> | null;
  arch: Item<string> | null;
  ephemeral: Item<boolean> | null;
  initCmd: Item<string> | null;
  initCwd: Item<string> | null;
  initUid: Item<number> | null;
  initGid: Item<number> | null;
  initGroups: Item<number>[];
  executeCmd: Item<string> | null;
  environment: Item<EnvironmentValue>[];
  signalHalt: Item<number> | null;
  signalReboot: Item<number> | null;
  signalStop: Item<number> | null;
  startAuto: Item<boolean> | null;
  startDelay: Item<number> | null;
  startOrder: Item<number> | null;
  groups: Item<string>[];
  monitorUnshare: Item<boolean> | null;
  monitorDeathSignal: Item<number> | null;
  logLevel: Item<string> | null;
  logFile: Item<string> | null;
  logSyslog: Item<string> | null;
  keyringSession: Item<boolean> | null;
  noNewPrivs: Item<boolean> | null;
  schedCore: Item<boolean> | null;
  timeBoot: Item<bigint> | null;
  timeMonotonic: Item<bigint> | null;

  rootfsPath: Item<string> | null;
  rootfsBackend: Item<string> | null;
  rootfsMount: Item<string> | null;
  rootfsOptions: Item<string> | null;
  rootfsManaged: Item<boolean> | null;
  rootfsUpper: Item<RootfsUpper> | null;
  /** Bytes. */
  rootfsSize: Item<number> | null;
  fstab: Item<string> | null;
  mountEntries: Item<string>[];
  autoMounts: AutoMounts;
  autodev: Item<boolean> | null;
  autodevSize: Item<number> | null;

  consolePath: Item<string> | null;
  consoleLog: Item<string> | null;
  consoleRotate: Item<boolean> | null;
  consoleSize: Item<number> | null;
  consoleBuffer: Item<number> | null;
  ttyMax: Item<number> | null;
  ttyDir: Item<string> | null;
  ptyMax: Item<number> | null;

  idmap: Item<IdMapValue>[];
  namespaceClone: Item<NamespaceKind>[];
  namespaceKeep: Item<NamespaceKind>[];
  namespaceShare: Map<NamespaceKind, Item<string>>;
  capDrop: Item<CapabilityValue>[];
  capKeep: Item<CapabilityValue>[];
  /** lxc.cap.keep was given, perhaps with nothing to keep. */
  capKeepMode: boolean;
  apparmorProfile: Item<string> | null;
  apparmorIncomplete: Item<boolean> | null;
  apparmorNesting: Item<boolean> | null;
  apparmorRaw: Item<string>[];
  selinuxContext: Item<string> | null;
  selinuxKeyring: Item<string> | null;
  seccompProfile: Item<string> | null;
  seccompNesting: Item<boolean> | null;
  seccompProxy: Item<string> | null;
  seccompCookie: Item<string> | null;
  prlimits: Item<NamedText>[];
  sysctls: Item<NamedText>[];
  procFiles: Item<NamedText>[];

  cgroup: Item<NamedText>[];
  cgroup2: Item<NamedText>[];
  cgroupRelative: Item<boolean> | null;
  cgroupDir: Item<string> | null;
  cgroupContainer: Item<string> | null;
  cgroupMonitor: Item<string> | null;
  cgroupPivot: Item<string> | null;
  cgroupInner: Item<string> | null;

  /** Sorted by index. */
  nics: NicValues[];
  /** The nic that unnumbered lxc.network.* lines belong to (files of 2013). */
  legacyNic: number | null;

  hooks: Record<HookKind, Item<string>[]>;
  hookVersion: Item<0 | 1> | null;

  guestProfile: Item<GuestProfile> | null;
  guestUuid: Item<string> | null;
  guestLocaltime: Item<LocaltimeMode> | null;
  guestJournal: Item<JournalMode> | null;
  guestScope: Item<ScopeMode> | null;
  credentials: Item<NamedText>[];
  bindUsers: Item<string>[];
  guestLxcfs: Item<boolean> | null;
  guestApi: Item<boolean> | null;
}

/** The same when parsing is over. */
export type Values = Readonly<Draft>;

export const noAutoMounts: AutoMounts = { proc: null, sys: null, cgroup: null, shared: null, at: null };

export function newDraft(): Draft {
  // prettier-ignore
  return {
    utsName: null, arch: null, ephemeral: null, initCmd: null, initCwd: null, initUid: null, initGid: null, initGroups: [], executeCmd: null,
    environment: [], signalHalt: null, signalReboot: null, signalStop: null, startAuto: null, startDelay: null, startOrder: null, groups: [],
    monitorUnshare: null, monitorDeathSignal: null, logLevel: null, logFile: null, logSyslog: null, keyringSession: null, noNewPrivs: null,
    schedCore: null, timeBoot: null, timeMonotonic: null,
    rootfsPath: null, rootfsBackend: null, rootfsMount: null, rootfsOptions: null, rootfsManaged: null, rootfsUpper: null, rootfsSize: null, fstab: null, mountEntries: [],
    autoMounts: noAutoMounts, autodev: null, autodevSize: null,
    consolePath: null, consoleLog: null, consoleRotate: null, consoleSize: null, consoleBuffer: null, ttyMax: null, ttyDir: null, ptyMax: null,
    idmap: [], namespaceClone: [], namespaceKeep: [], namespaceShare: new Map(), capDrop: [], capKeep: [], capKeepMode: false,
    apparmorProfile: null, apparmorIncomplete: null, apparmorNesting: null, apparmorRaw: [], selinuxContext: null, selinuxKeyring: null,
    seccompProfile: null, seccompNesting: null, seccompProxy: null, seccompCookie: null, prlimits: [], sysctls: [], procFiles: [],
    cgroup: [], cgroup2: [], cgroupRelative: null, cgroupDir: null, cgroupContainer: null, cgroupMonitor: null, cgroupPivot: null, cgroupInner: null,
    nics: [], legacyNic: null,
    hooks: { "pre-start": [], "pre-mount": [], mount: [], autodev: [], "start-host": [], start: [], stop: [], "post-stop": [], clone: [], destroy: [] },
    hookVersion: null,
    guestProfile: null, guestUuid: null, guestLocaltime: null, guestJournal: null, guestScope: null, credentials: [], bindUsers: [],
    guestLxcfs: null, guestApi: null,
  };
}

export interface ParsedConfig {
  readonly document: ConfigDocument;
  readonly values: Values;
  /** All faults, in the order of the lines. With any of them LXC refuses the whole file. */
  readonly faults: readonly Fault[];
  readonly notices: readonly Notice[];
  /** All lines in effect with includes expanded, current names: a file of its own that means the same. */
  readonly expanded: string;
  /** The file's new text where hwaddr templates were filled in (to be written back); null: nothing changed. */
  readonly rewritten: string | null;
}
