import type { Source } from "../base/source.js";
import type { Arch } from "../sys/arch.js";

/** What the planner must know of the machine: gathered by src/host/probe.ts, given to plan() as plain data. */
export interface HostFacts {
  readonly arch: Arch;
  /** /run/islet or $ISLET_RUNTIME_DIR. */
  readonly runtimeDir: string;
  /** Highest capability the kernel knows. */
  readonly lastCapability: number;
  readonly cgroups: CgroupLayout;
  /** Namespace kinds that the kernel has. */
  readonly namespaces: readonly string[];
  /** Each user namespace may have a binfmt_misc of its own (Linux 6.7). */
  readonly binfmtNamespaces: boolean;
  readonly lsm: { readonly apparmor: boolean; readonly selinux: boolean };
  /** The daemon itself is in a user namespace: no mknod, no device controller. */
  readonly inUserNamespace: boolean;
  /** Hard limit of open files; null unlimited. Node raises its own soft limit, which guests must not inherit. */
  readonly openFilesHard: number | null;
  /** Online processors and memory nodes for cpuset on v1, e.g. "0-1" and "0". */
  readonly cpus: string;
  readonly memoryNodes: string;
  /** Where LXCFS is mounted on this host, if it runs at all: /var/lib/lxcfs or $ISLET_LXCFS. */
  readonly lxcfs: string;
  /** The program that asks this host's systemd for scopes: busctl(1) or $ISLET_BUSCTL. null: systemd does not run here. */
  readonly busctl: string | null;
  /** Directory of the host's passwd, group and shadow: /etc or $ISLET_ACCOUNTS. */
  readonly accounts: string;
}

export interface CgroupLayout {
  readonly unified: {
    /** Mount point, e.g. /sys/fs/cgroup or /sys/fs/cgroup/unified. */
    readonly mount: string;
    /** Controllers that the root offers. */
    readonly controllers: readonly string[];
    /** The daemon's own cgroup in it, e.g. "/". */
    readonly own: string;
  } | null;
  readonly legacy: readonly LegacyHierarchy[];
}

export interface LegacyHierarchy {
  /** Mount point, e.g. /sys/fs/cgroup/memory. */
  readonly mount: string;
  /** memory, cpu, cpuacct ...; name=systemd for a named one. */
  readonly controllers: readonly string[];
  readonly own: string;
  /** Its weights of block io are those of BFQ alone, as in kernels since 5.0: blkio.bfq.weight. */
  readonly hasBfqWeights?: true;
}

/** Kinds in which a start is made where its caller is: what a container keeps is the caller's, and so are the links of its nics. */
export const callerNamespaceKinds = ["net", "uts", "ipc"] as const;
export type CallerNamespace = (typeof callerNamespaceKinds)[number];

/** What is known only for this one start. */
export interface StartFacts {
  /** Environment of whoever starts it: inherited by hooks on the host, source of `inherit` entries. */
  readonly environment: Readonly<Record<string, string>>;
  /** Appended to the names of payload cgroups when they are taken: "" or "-1", "-2" ... */
  readonly cgroupSuffix: string;
  /** Text for random names and addresses, at least 16 hex digits per nic. */
  readonly random: string;
  /** Text of the container's own, the same at every start: for addresses that are to stay. At least 16 hex digits. */
  readonly digits: string;
  /** Pids behind the namespaces to share, by container name or path as the spec names it. */
  readonly sharedPids: Readonly<Record<string, number>>;
  /** The caller's pid and cgroup for namespaces to keep, and lxc.cgroup.relative. */
  readonly callerPid: number;
  /** Namespaces of the caller's that are not the daemon's and that the container's host side is to be in; their descriptors are preset slots. */
  readonly callerNamespaces: readonly CallerNamespace[];
  readonly callerCgroups: Readonly<Record<string, string>>;
  /** Where the monitor is in hierarchies in which the host's systemd has made a scope of it, by hierarchy as in /proc/PID/cgroup; {}: there is none. */
  readonly scope: Readonly<Record<string, string>>;
  /** Addresses of host links that an `auto` gateway refers to, by link name. */
  readonly linkAddresses: Readonly<Record<string, { readonly ipv4: string | null; readonly ipv6: string | null }>>;
  readonly pidFile: string | null;
  /** Main process gets descriptors of the caller (preset slots) as 0-2 where true, the console elsewhere. */
  readonly stdio: readonly [boolean, boolean, boolean] | null;
  /** Path of the monitor's socket, removed at the end. */
  readonly socketPath: string;
  /** null: the guest does not ask for any of it. */
  readonly guest: GuestFacts | null;
  /** Sockets of the caller's (preset slots) for init, by the protocol of sd_listen_fds(3); null: none. */
  readonly listen: { readonly count: number; readonly names: string | null } | null;
  /** Whom the main process's login stands for; null: it has none. */
  readonly login: LoginFacts | null;
  /** What kind of terminal the caller is joined with the console by; null: none, or nobody knows. */
  readonly terminal: string | null;
  /** null: a directory, or directories. */
  readonly rootfs: RootfsFacts | null;
  /** What is behind the mounts whose file systems must be found out, by source. */
  readonly images: Readonly<Record<string, RootfsFacts>>;
  /** How many loop devices of disk images (preset slots) the monitor keeps for as long as it lives. */
  readonly loops: number;
  /** What LXCFS offers; null where it does not run. */
  readonly lxcfs: LxcfsFacts | null;
  /** Where the network namespace is held while interfaces of the host's are in it, whatever becomes of the monitor; null: nowhere. */
  readonly networkPin: string | null;
  /** Directory on the host with the socket of the guest's API; where there is none at the time of the start, the guest gets none. */
  readonly guestApi: string;
}

/** Ids inside. */
export interface LoginFacts {
  readonly uid: number;
  readonly gid: number;
  /** Every group that the user is in. */
  readonly groups: readonly number[];
}

/** What is behind a root file system that must be mounted, or another device, as far as it could be seen before the start. */
export interface RootfsFacts {
  /** The file or device itself, links followed; as it was named where it is missing. */
  readonly path: string;
  readonly missing: boolean;
  /** By its superblock; null: no mark that is known, or not to be seen yet. */
  readonly fstype: string | null;
  /** What is there instead, in words. */
  readonly other: string | null;
  /** Types to try where `fstype` is null. */
  readonly known: readonly string[];
  /** Where a data set is mounted already. */
  readonly mountedOn: string | null;
}

/** Names of files of LXCFS, which stand for those of the same names in a guest's /proc and /sys. */
export interface LxcfsFacts {
  /** Below proc/, such as "meminfo" and "pressure/cpu". */
  readonly proc: readonly string[];
  /** Of sys/devices/system/cpu: all of it, or only these. */
  readonly cpu: "whole" | readonly string[];
}

/** What a guest is told of itself and its host. */
export interface GuestFacts {
  readonly uuid: string;
  /** The host's os-release(5); "" where it has none. */
  readonly osRelease: string;
  /** The host's /etc/localtime: its zone (Area/City; null: it is no link into zoneinfo) and its content; null: it has none, or nobody asks. */
  readonly localtime: { readonly zone: string | null; readonly data: Uint8Array } | null;
  readonly journal: JournalLink | null;
  /** Users of the host's whom the guest is to have, in the order of the configuration. */
  readonly users: readonly UserFacts[];
  /** Where on the host a link leads to the guest's sockets, in a directory of its store's in one of all stores. */
  readonly exportLink: string;
}

/** A user of the host's, and what becomes of it in the guest. */
export interface UserFacts {
  readonly name: string;
  readonly at: Source | null;
  /** The directory on the host. */
  readonly home: string;
  /** Whose the files there are. */
  readonly uid: number;
  readonly gid: number;
  /** The user's and its group's id in the guest. */
  readonly inside: number;
  readonly realName: string;
  /** The host's where the guest has such a program, too; null: none is named. */
  readonly shell: string | null;
  /** The hashed password; null: none opens the account. */
  readonly hash: string | null;
}

/** link: `path` on the host becomes a link to `target`. bind: the directory `path` of the host is made and mounted on `target` of the guest's. */
export interface JournalLink {
  readonly kind: "link" | "bind";
  readonly path: string;
  readonly target: string;
}
