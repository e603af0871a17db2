/** What the profiles have in common. */
import type { AutoMounts } from "../../../spec/mount.js";
import type { GuestApiSpec } from "../../../spec/guest.js";
import type { Values } from "./model.js";

/** Where LXD has it. */
export const guestApi: GuestApiSpec = { directory: "/dev/lxd" };

/** The profile's mounts where lxc.mount.auto says nothing at all; a word of it makes the list the configuration's. */
export function autoMountsOr(
  auto: AutoMounts,
  values: Values,
  profile: Pick<AutoMounts, "proc" | "sys"> & Partial<AutoMounts>,
): AutoMounts {
  return values.autoMounts.at === null ? { ...auto, ...profile } : auto;
}
