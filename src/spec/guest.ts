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

/** A secret that systemd's credentials carry: never shown, never written where others can read it. */
export interface Credential {
  readonly name: string;
  readonly value: string;
  readonly at: Source | null;
}

/** A tmpfs on /run, and the manager's read-only directory in it. */
export interface RunSpec {
  /** What the guest reads in /run/host/container-manager. */
  readonly manager: string;
  /** A socket for messages of init's ($NOTIFY_SOCKET). */
  readonly notify: boolean;
  readonly credentials: readonly Credential[];
}

/** What a guest finds beyond what its configuration names. A front end fills it in from a profile; the planner asks for the values only. */
export interface GuestSpec {
  /** Where the values came from: for people, never for decisions. */
  readonly profile: GuestProfile;
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
}

/** A guest that finds what its configuration names and nothing else. */
export const plainGuest: GuestSpec = {
  profile: "lxc",
  run: null,
  tellsInit: false,
  ttysArePtys: false,
  uuid: null,
  selinuxfs: false,
  stableNics: false,
  localtime: "off",
  journal: "no",
};
