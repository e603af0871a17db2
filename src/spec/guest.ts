import type { DeviceNode } from "./mount.js";
import type { Source } from "../base/source.js";

/** The worlds that guests are promised: LXC's own, LXD's container environment, systemd's container interface. */
export const guestProfiles = ["lxc", "lxd", "systemd"] as const;
export type GuestProfile = (typeof guestProfiles)[number];

/**
 * What becomes of the guest's /etc/localtime. symlink: a relative link to the guest's own file of the host's zone. copy: the host's data. auto: the link
 * where the guest has the zone, else the copy.
 */
export const localtimeModes = ["off", "auto", "symlink", "copy"] as const;
export type LocaltimeMode = (typeof localtimeModes)[number];

/**
 * Where the guest's journal is. guest: in the guest, with a link on the host. host: on the host, bound into the guest. try-: only where the host keeps a
 * journal. auto: as host where the host has a directory for this guest, else no.
 */
export const journalModes = ["no", "auto", "host", "guest", "try-host", "try-guest"] as const;
export type JournalMode = (typeof journalModes)[number];

/**
 * Whether the container is a scope of the host's systemd. auto: where systemd runs and makes one, else in groups of our own. yes: as auto, but a refusal fails
 * the start.
 */
export const scopeModes = ["no", "auto", "yes"] as const;
export type ScopeMode = (typeof scopeModes)[number];

/** A secret that systemd's credentials carry: never shown, never written where others can read it. */
export interface Credential {
  readonly name: string;
  readonly value: string;
  readonly at: Source | null;
}

/** A user of the host's whom the guest has as well, with the home directory. */
export interface BoundUser {
  readonly name: string;
  readonly at: Source | null;
}

/** A tmpfs on /run, and the manager's read-only directory in it. */
export interface RunSpec {
  /** What the guest reads in /run/host/container-manager. */
  readonly manager: string;
  /** A socket for messages of init's ($NOTIFY_SOCKET). */
  readonly notify: boolean;
  /** A directory for sockets of the guest's that the host may connect to. */
  readonly exports: boolean;
  readonly credentials: readonly Credential[];
  /** Their records are in /run/host/userdb, their homes below /run/host/home. */
  readonly users: readonly BoundUser[];
}

/** What a guest finds beyond what its configuration names. A front end fills it in from a profile; the planner asks for the values only. */
export interface GuestSpec {
  /** Where the values came from: for people, never for decisions. */
  readonly profile: GuestProfile | "libvirt";
  /** The root's mount options are out of the reach of an id-mapped guest's root: it cannot take nodev back. */
  readonly lockedRoot: boolean;
  /** Nodes below /dev that only hosts which have them give, made anew with their own mode; usable in id-mapped guests, too. */
  readonly devices: readonly DeviceNode[];
  /** /dev/mqueue: the message queues of the guest's own ipc namespace. */
  readonly mqueue: boolean;
  /** /dev/log: where systemd's journal wants a link, that link; a socket for any other syslog daemon to replace. */
  readonly log: boolean;
  /** proc and sysfs without anything over them, below /dev/.lxc: a guest's own user namespaces may mount theirs then. */
  readonly nesting: boolean;
  /** Directories of /sys that are bound from the host as they are; what either side lacks is left out. */
  readonly hostDirectories: readonly string[];
  /** Directories of /sys with something empty and read-only over them. */
  readonly hidden: readonly string[];
  /** /proc/sys/fs/binfmt_misc where the kernel has only one for all: the host's, or something empty over it. */
  readonly binfmtMisc: "host" | "hidden" | null;
  /** cgroup2 on /sys/fs/cgroup where the host has nothing but cgroup2, whatever namespaces there are. */
  readonly unifiedCgroups: boolean;
  /** null: /run is the image's own. */
  readonly run: RunSpec | null;
  /** Init is told its uuid, its ttys and its host's names ($container_uuid, $container_ttys, $container_host_...); what is run later is told nothing. */
  readonly tellsInit: boolean;
  /** The ttys are login ptys that init is told of, not files that look like virtual terminals. */
  readonly ttysArePtys: boolean;
  /** null: made of the host's machine id and the container's place and name. */
  readonly uuid: string | null;
  /** The host's SELinux file system is there, read-only, where the host has one. */
  readonly selinuxfs: boolean;
  /** Names and addresses of nics that nobody gave are the same at every start. */
  readonly stableNics: boolean;
  readonly localtime: LocaltimeMode;
  readonly journal: JournalMode;
  readonly scope: ScopeMode;
  /** LXCFS's files over those of /proc and /sys, where LXCFS runs on the host. */
  readonly lxcfs: boolean;
  /** The socket through which the guest asks about itself is in this directory, by the name `sock`; null: none. */
  readonly api: GuestApiSpec | null;
}

export interface GuestApiSpec {
  /** Absolute, inside. */
  readonly directory: string;
}

/** A guest that finds what its configuration names and nothing else. */
export const plainGuest: GuestSpec = {
  profile: "lxc",
  lockedRoot: false,
  devices: [],
  mqueue: false,
  log: false,
  nesting: false,
  hostDirectories: [],
  hidden: [],
  binfmtMisc: null,
  unifiedCgroups: false,
  run: null,
  tellsInit: false,
  ttysArePtys: false,
  uuid: null,
  selinuxfs: false,
  stableNics: false,
  localtime: "off",
  journal: "no",
  scope: "no",
  lxcfs: true,
  api: null,
};
