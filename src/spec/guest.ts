import type { DeviceNode } from "./mount.js";

/** The worlds that guests are promised: LXC's own, LXD's container environment, systemd's container interface. */
export const guestProfiles = ["lxc", "lxd", "systemd"] as const;
export type GuestProfile = (typeof guestProfiles)[number];

/** What a guest finds beyond what its configuration names. A front end fills it in from a profile; the planner asks for the values only. */
export interface GuestSpec {
  /** Where the values came from: for people, never for decisions. */
  readonly profile: GuestProfile;
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
}

/** Nothing beyond the configuration. */
export const plainGuest: Omit<GuestSpec, "profile"> = {
  lockedRoot: false,
  devices: [],
  mqueue: false,
  log: false,
  nesting: false,
  hostDirectories: [],
  hidden: [],
  binfmtMisc: null,
  unifiedCgroups: false,
};
