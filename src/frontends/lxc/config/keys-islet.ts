/** Rows: what LXC has no words for. LXC's own tools ignore such lines, so the file stays theirs, too. */
import { type GuestProfile, guestProfiles } from "../../../spec/guest.js";
import { type KeyRow, flagKey, scalar } from "./row.js";
import { oneOf } from "./scalars.js";

export const isletRows: readonly KeyRow[] = [
  scalar<GuestProfile>(
    "islet.guest",
    "text",
    "guestProfile",
    oneOf("a profile of guests", guestProfiles),
    (value) => value ?? "lxc",
    {
      since: "islet",
      doc: "What the guest finds: lxc (LXC's own, the default), lxd (LXD's container environment) or systemd (systemd's container interface).",
    },
  ),
  flagKey("islet.lxcfs", "guestLxcfs", true, {
    since: "islet",
    doc: "Where LXCFS runs on the host, the guest finds its files in /proc and /sys, which show the container's own limits (default 1).",
  }),
];
