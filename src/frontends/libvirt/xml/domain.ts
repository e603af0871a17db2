/**
 * A libvirt domain of type lxc as data: everything of its XML that the LXC driver honours or gives back in `dumpxml`, complete (defaults are filled in
 * by the reader). Sizes are KiB unless said. Source: formatdomain of libvirt 9.0, drvlxc.
 */
export interface DomainDoc {
  readonly name: string;
  /** Lower case, with dashes. */
  readonly uuid: string;
  readonly title: string | null;
  readonly description: string | null;
  readonly metadata: readonly MetadataElement[];
  /** `memory`; also `currentMemory`, which never is more. */
  readonly memory: bigint;
  readonly currentMemory: bigint;
  readonly blkio: BlkioTune | null;
  readonly memtune: MemTune | null;
  readonly vcpu: Vcpu;
  readonly cputune: CpuTune | null;
  readonly numatune: NumaTune | null;
  /** null: not said yet; the first start makes it /machine. */
  readonly partition: string | null;
  readonly os: OsSpec;
  readonly idmap: { readonly uids: readonly IdRange[]; readonly gids: readonly IdRange[] } | null;
  readonly features: Features;
  readonly clock: Clock;
  readonly onPoweroff: LifecycleAction;
  readonly onReboot: LifecycleAction;
  readonly onCrash: CrashAction;
  /** Path as given, or the host's default; echoed, never run. */
  readonly emulator: string;
  /** In document order. */
  readonly filesystems: readonly Filesystem[];
  readonly interfaces: readonly Interface[];
  readonly consoles: readonly Console[];
  readonly disks: readonly Disk[];
  readonly hostdevs: readonly Hostdev[];
  /** Devices that are parsed and echoed without effect (controller, rng, memballoon, ...), as they are written back. */
  readonly otherDevices: readonly OpaqueElement[];
  readonly seclabels: readonly SecLabel[];
  readonly namespaces: SharedNamespaces | null;
  /** Where it is running: what only the live XML has. null: the persistent definition. */
  readonly live: LiveParts | null;
}

/** What a running domain has beside its definition. */
export interface LiveParts {
  /** A process of the guest on the host: libvirt's domain id. */
  readonly id: number;
  /** Host's ptys of the consoles, by port: /dev/pts/3. */
  readonly consoles: readonly (string | null)[];
}

/** `xml`: as the writer prints it below <metadata>, already indented relative to itself (attributes in double quotes). */
export interface MetadataElement {
  readonly uri: string;
  readonly xml: string;
}

export interface OpaqueElement {
  readonly name: string;
  readonly xml: string;
}

export interface BlkioTune {
  readonly weight: number | null;
  readonly devices: readonly BlkioDevice[];
}

export interface BlkioDevice {
  readonly path: string;
  /** null: not given; bytes and operations a second. */
  readonly weight: number | null;
  readonly readIops: number | null;
  readonly writeIops: number | null;
  readonly readBytes: bigint | null;
  readonly writeBytes: bigint | null;
}

export interface MemTune {
  readonly hardLimit: bigint | null;
  readonly softLimit: bigint | null;
  readonly swapHardLimit: bigint | null;
}

export interface Vcpu {
  readonly count: number;
  /** `current`, when it is less than count. */
  readonly current: number | null;
  readonly placement: "static" | "auto";
  /** Sorted list of CPU numbers; null: not given. */
  readonly cpuset: readonly number[] | null;
}

export interface CpuTune {
  readonly shares: bigint | null;
  /** Microseconds. */
  readonly period: bigint | null;
  /** Microseconds; negative: none. */
  readonly quota: bigint | null;
}

export interface NumaTune {
  readonly mode: "strict" | "preferred" | "interleave" | "restrictive";
  readonly placement: "static" | "auto";
  readonly nodeset: readonly number[] | null;
}

export interface OsSpec {
  readonly arch: "x86_64" | "i686" | "aarch64";
  readonly init: string;
  readonly initArgs: readonly string[];
  readonly initEnv: readonly { readonly name: string; readonly value: string }[];
  readonly initDir: string | null;
  /** A name, looked up inside the root, or +NUMBER. */
  readonly initUser: string | null;
  readonly initGroup: string | null;
  readonly cmdline: string | null;
}

/** `start`: inside; `target`: on the host. */
export interface IdRange {
  readonly start: number;
  readonly target: number;
  readonly count: number;
}

export interface Features {
  readonly privnet: boolean;
  readonly capabilities: Capabilities | null;
  /** acpi, apic, pae, ...: accepted, echoed in this order, without effect. */
  readonly others: readonly string[];
}

export interface Capabilities {
  readonly policy: "default" | "allow" | "deny";
  /** By libvirt's names (`sys_admin`), in libvirt's order. */
  readonly states: readonly { readonly name: string; readonly on: boolean }[];
}

export interface Clock {
  readonly offset: "utc" | "localtime" | "timezone" | "variable";
  /** Other attributes of <clock>, echoed: timezone, adjustment, basis. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly timers: readonly { readonly name: string; readonly present: boolean | null }[];
}

export type LifecycleAction = "destroy" | "restart" | "rename-restart" | "preserve";
export type CrashAction = LifecycleAction | "coredump-destroy" | "coredump-restart";

export type FilesystemSource =
  | { readonly kind: "mount"; readonly dir: string }
  | { readonly kind: "bind"; readonly dir: string }
  | { readonly kind: "block"; readonly dev: string }
  | { readonly kind: "file"; readonly file: string; readonly driver: string | null; readonly format: string | null }
  /** `usage` in KiB. */
  | { readonly kind: "ram"; readonly usage: bigint }
  /** Echoed; a start fails. `type`: template, volume, ...; `xml`: its <source> as written. */
  | { readonly kind: "other"; readonly type: string; readonly xml: string };

export interface Filesystem {
  readonly source: FilesystemSource;
  readonly accessMode: string;
  /** Absolute, inside; "/": the root. */
  readonly target: string;
  readonly readonly: boolean;
}

export interface InterfaceAddress {
  readonly address: string;
  readonly family: "ipv4" | "ipv6";
  readonly prefix: number | null;
  readonly peer: string | null;
}

export interface InterfaceRoute {
  readonly family: "ipv4" | "ipv6";
  readonly address: string;
  readonly prefix: number | null;
  readonly netmask: string | null;
  readonly gateway: string;
  readonly metric: number | null;
}

export type InterfaceSource =
  | { readonly kind: "bridge"; readonly bridge: string }
  /** portId, bridge: only while it runs. */
  | {
      readonly kind: "network";
      readonly network: string;
      readonly portgroup: string | null;
      readonly portId: string | null;
      readonly bridge: string | null;
    }
  /** Addresses and routes of the host's end. */
  | { readonly kind: "ethernet"; readonly ips: readonly InterfaceAddress[]; readonly routes: readonly InterfaceRoute[] }
  | { readonly kind: "direct"; readonly dev: string; readonly mode: "vepa" | "bridge" | "private" | "passthrough" }
  /** `null` of newer libvirt: no link at all. */
  | { readonly kind: "null" }
  /** user, mcast, ...: echoed; a start fails with `Unsupported network type TYPE`. */
  | { readonly kind: "other"; readonly type: string; readonly xml: string };

/** Kilobytes a second; burst in kilobytes; null: not given. */
export interface Bandwidth {
  readonly average: number;
  readonly peak: number | null;
  readonly burst: number | null;
  readonly floor: number | null;
}

export interface Interface {
  readonly mac: string;
  readonly source: InterfaceSource;
  /** The host's end; null: chosen at the start. Names of libvirt's own kind (vnetN) are dropped by the reader. */
  readonly target: string | null;
  /** Name inside; null: ethN by its place. */
  readonly guest: string | null;
  readonly ips: readonly InterfaceAddress[];
  readonly routes: readonly InterfaceRoute[];
  readonly script: string | null;
  readonly model: string | null;
  readonly inbound: Bandwidth | null;
  readonly outbound: Bandwidth | null;
  readonly link: "up" | "down" | null;
  readonly isolated: boolean;
  /** filterref, vlan, virtualport, mtu, ...: echoed in libvirt's order. */
  readonly others: readonly OpaqueElement[];
}

/** type pty is all that can be started. */
export interface Console {
  readonly type: string;
  readonly targetType: string;
  readonly port: number;
}

export interface Disk {
  readonly type: "block" | "file";
  readonly device: string;
  readonly driver: string | null;
  readonly format: string | null;
  readonly source: string;
  /** Name below /dev. */
  readonly target: string;
  readonly bus: string | null;
  readonly readonly: boolean;
}

export type Hostdev =
  | { readonly kind: "storage"; readonly block: string }
  | { readonly kind: "misc"; readonly char: string }
  | {
      readonly kind: "net";
      readonly interface: string;
      readonly ips: readonly InterfaceAddress[];
      readonly routes: readonly InterfaceRoute[];
    }
  | UsbDevice
  | { readonly kind: "pci"; readonly xml: string };

/** By its ids, by where it is, or both; null: not said. What runs has the place where the device was found. */
export interface UsbDevice {
  readonly kind: "usb";
  readonly managed: "yes" | "no";
  /** What becomes of a start without the device; null: it fails, as for mandatory. */
  readonly startupPolicy: StartupPolicy | null;
  readonly vendor: number | null;
  readonly product: number | null;
  readonly bus: number | null;
  readonly device: number | null;
}

export type StartupPolicy = "mandatory" | "requisite" | "optional";

export interface SecLabel {
  readonly type: "none" | "dynamic" | "static";
  readonly model: string | null;
  readonly relabel: boolean | null;
  readonly label: string | null;
  readonly baseLabel: string | null;
  readonly imageLabel: string | null;
}

export type NamespaceSource = {
  readonly type: "none" | "name" | "pid" | "netns";
  readonly value: string;
};

export interface SharedNamespaces {
  readonly net: NamespaceSource | null;
  readonly ipc: NamespaceSource | null;
  readonly uts: NamespaceSource | null;
}
