import type { NicGrants } from "../../../../spec/user-nic.js";
import type { CgroupLayout } from "../../../../spec/host.js";

/** All that islet doctor looks at, as plain data: doctor-read.ts reads it, doctor-examine.ts judges it. */
export interface DoctorFacts {
  readonly kernel: KernelState;
  readonly cgroups: CgroupLayout;
  /** /proc/cgroups: what the kernel has, mounted or not. */
  readonly controllers: readonly { readonly name: string; readonly enabled: boolean }[];
  readonly security: {
    readonly apparmor: boolean;
    readonly selinux: boolean;
    /** Mode of the daemon itself in /proc/self/status: it runs under a filter of somebody else's. */
    readonly underSeccomp: boolean;
  };
  readonly privileges: {
    /** Of the daemon. */
    readonly uid: number;
    readonly capabilities: bigint;
    readonly lastCapability: number;
    readonly inUserNamespace: boolean;
    /** Texts of /etc/subuid and /etc/subgid; null: there is no such file. */
    readonly subuid: string | null;
    readonly subgid: string | null;
  };
  /** Path by name; those that are missing are not there. */
  readonly programs: ReadonlyMap<string, string>;
  readonly islet: IsletState;
  readonly store: StoreState;
}

export interface KernelState {
  /** uname -r */
  readonly release: string;
  /** Built in (y) or as a module (m); null: no configuration can be read. */
  readonly options: ReadonlyMap<string, "y" | "m"> | null;
  /** Names in /proc/self/ns, mnt as mount. */
  readonly namespaces: readonly string[];
  /** user.max_user_namespaces; null: no such sysctl. */
  readonly maxUserNamespaces: number | null;
  /** /proc/filesystems and /proc/misc. */
  readonly filesystems: readonly string[];
  readonly miscDevices: readonly string[];
  /** Of these the device node is there. */
  readonly nodes: readonly string[];
  /** /sys/module, and modules.builtin. */
  readonly loaded: ReadonlySet<string>;
  /** modules.dep */
  readonly loadable: ReadonlySet<string>;
  readonly seccompFilters: boolean;
  readonly missingCalls: readonly string[];
  /** fs.inotify.max_user_instances; null: not known. */
  readonly inotifyInstances: number | null;
}

export interface IsletState {
  readonly version: string;
  /** That of package.json beside the daemon's program. */
  readonly installedVersion: string | null;
  readonly daemonPid: number;
  /** What was installed last is newer than the daemon that runs. */
  readonly isOutdated: boolean;
  readonly daemonBinary: string;
  /** The program of whoever asks; null: not known. */
  readonly clientBinary: string | null;
  readonly runtimeDir: { readonly path: string; readonly mode: number; readonly uid: number };
  readonly monitorDir: { readonly path: string; readonly mode: number } | null;
  readonly socket: { readonly path: string; readonly mode: number } | null;
  /** Sockets in the monitors' directory at which nobody listens. */
  readonly deadSockets: readonly string[];
  /** What users who are not root may ask for. */
  readonly nicGrants: NicGrants;
  /** Containers that LXC's own monitors run. */
  readonly lxcMonitors: readonly { readonly pid: number; readonly storePath: string; readonly name: string }[];
}

export interface StoreState {
  readonly path: string;
  /** null: there is no such directory. */
  readonly mount: {
    readonly point: string;
    readonly type: string;
    readonly options: readonly string[];
  } | null;
  /** null: not known. */
  readonly freeBytes: bigint | null;
  readonly freeShare: number | null;
  /** Names that have the mark of a creation under way. `isAlive`: somebody holds the lock on it. */
  readonly partial: readonly { readonly name: string; readonly isAlive: boolean }[];
  readonly containers: readonly ContainerHealth[];
}

export interface ContainerHealth {
  readonly name: string;
  /** Each with file and line. */
  readonly faults: readonly string[];
  /** lxc.net.N.link that this host does not have, while it is stopped. */
  readonly missingLinks: readonly string[];
  /** lxc.rootfs.path, if it is a directory that is not there. */
  readonly missingRootfs: string | null;
}

/** ok; note: missing, and only some need it; warning: something does not work; error: islet cannot do its work. */
export type Level = "ok" | "note" | "warning" | "error";

export interface Finding {
  readonly level: Level;
  readonly what: string;
  /** What does not work. */
  readonly effect: string | null;
  /** What helps. */
  readonly remedy: string | null;
}

export interface Section {
  readonly title: string;
  readonly findings: readonly Finding[];
}
