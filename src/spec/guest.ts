/** The worlds that guests are promised: LXC's own, LXD's container environment, systemd's container interface. */
export const guestProfiles = ["lxc", "lxd", "systemd"] as const;
export type GuestProfile = (typeof guestProfiles)[number];

/** What a guest finds beyond what its configuration names. A front end fills it in from a profile; the planner asks for the values only. */
export interface GuestSpec {
  /** Where the values came from: for people, never for decisions. */
  readonly profile: GuestProfile;
  /** The socket through which the guest asks about itself is in this directory, by the name `sock`; null: none. */
  readonly api: GuestApiSpec | null;
}

export interface GuestApiSpec {
  /** Absolute, inside. */
  readonly directory: string;
}
