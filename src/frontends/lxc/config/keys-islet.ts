/** Rows: what LXC has no words for. LXC's own tools ignore such lines, so the file stays theirs, too. */
import { type GuestProfile, guestProfiles } from "../../../spec/guest.js";
import { flagKey, type KeyRow, scalar } from "./row.js";
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
  {
    ...flagKey("islet.guest.api", "guestApi", false, {
      since: "islet",
      doc: "Whether the guest finds the socket of its API at /dev/lxd/sock; by default it does if islet.guest is lxd.",
    }),
    get: ({ guestApi, guestProfile }) => ((guestApi?.value ?? guestProfile?.value === "lxd") ? "1" : "0"),
  },
];
