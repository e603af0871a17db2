/** The worlds that guests are promised: LXC's own, LXD's container environment, systemd's container interface. */
export const guestProfiles = ["lxc", "lxd", "systemd"] as const;
export type GuestProfile = (typeof guestProfiles)[number];

/** What a guest finds beyond what its configuration names. A front end fills it in from a profile; the planner asks for the values only. */
export interface GuestSpec {
  /** Where the values came from: for people, never for decisions. */
  readonly profile: GuestProfile;
  /** LXCFS's files over those of /proc and /sys, where LXCFS runs on the host. */
  readonly lxcfs: boolean;
}
