import type { Fault, Source } from "../base/source.js";

/** Nics that users of the host may make without being root (lxc-user-nic(1)). */

/** One line of lxc-usernet(5): how many nics a user, or the users of a group together, may have on a bridge. */
export interface NicGrant {
  /** As the accounts name it: a user, or `@` and a group. */
  readonly owner: string;
  readonly bridge: string;
  readonly most: number;
  readonly at: Source;
}

export interface NicGrants {
  /** In the order of the lines. */
  readonly grants: readonly NicGrant[];
  /** Lines that grant nothing because something is wrong with them. */
  readonly faults: readonly Fault[];
}

/** In the place of a bridge: the host's end of the nic is joined with nothing. */
export const noBridge = "none";

/** Who asks: what the kernel says of the other end of a socket, or of a process. */
export interface NicUser {
  readonly uid: number;
}

export interface UserNicRequest {
  readonly user: NicUser;
  /** Whose network namespace gets the nic; a pid of the daemon's namespace. */
  readonly pid: number;
  readonly bridge: string;
  /** In there; null: the first of eth0, eth1 ... that is free. */
  readonly name: string | null;
}

/** The two ends of a nic that was made. */
export interface UserNic {
  readonly name: string;
  readonly index: number;
  readonly hostName: string;
  readonly hostIndex: number;
}

export interface UserNicRemoval {
  readonly user: NicUser;
  /** As in UserNicRequest: the nic's inner end is in its network namespace. */
  readonly pid: number;
  readonly bridge: string;
  readonly hostName: string;
}

/** Can an interface be called so? What the kernel refuses (dev_valid_name), and what it would replace: `%`. */
export function isLinkName(name: string): boolean {
  // Bytes beyond ASCII and controls would be shown to others as they are.
  return /^[!-~]{1,15}$/.test(name) && !/[/:%]/.test(name) && name !== "." && name !== "..";
}

/**
 * The grants of a user of those groups on a bridge, in the order of the lines. A nic counts towards the first of them that has room left;
 * what a group has, its users have together.
 */
export function grantsOf(
  grants: readonly NicGrant[],
  user: string,
  groups: readonly string[],
  bridge: string,
): readonly NicGrant[] {
  const owners = new Set([user, ...groups.map((group) => `@${group}`)]);
  return grants.filter((grant) => grant.bridge === bridge && owners.has(grant.owner));
}
