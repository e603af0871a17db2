/** Rows: what LXC has no words for. LXC's own tools ignore such lines, so the file stays theirs, too. */
import {
  type GuestProfile,
  type JournalMode,
  type LocaltimeMode,
  type ScopeMode,
  guestProfiles,
  journalModes,
  localtimeModes,
  scopeModes,
} from "../../../spec/guest.js";
import { isletNetRow } from "./keys-islet-net.js";
import type { RootfsUpper } from "./model.js";
import { namedFamily } from "./keys-process.js";
import { type KeyRow, flagKey, linesKey, scalar, textKey } from "./row.js";
import { Problem, type Read, anyText, oneOf } from "./scalars.js";

/** As /etc/machine-id must be able to take it: neither all zeroes nor all ones. */
const uuid: Read<string> = (value) => {
  const lower = value.toLowerCase();
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(lower) && !/^(?:[0-]+|[f-]+)$/.test(lower)
    ? lower
    : new Problem(`"${value}" is not a UUID such as 0f3c1b52-9a1e-8d07-b6c4-3e5d7a9f1c20`);
};

/** As every system takes them; what has no dot in front is no path either. */
const userName = /^[A-Za-z_][A-Za-z0-9_.-]{0,30}$/;

const upperSizes: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** null: it is none. */
function readBytes(text: string): number | null {
  const [, digits = "", unit = ""] = /^(\d{1,15})([kmgt]?)(?:i?b)?$/i.exec(text) ?? [];
  const size = Number(digits) * (upperSizes[unit.toLowerCase()] ?? 0);
  return Number.isSafeInteger(size) && size > 0 ? size : null;
}

const rootfsUpper: Read<RootfsUpper> = (value) => {
  if (value === "tmpfs") return { size: null };
  const size = value.startsWith("tmpfs:") ? readBytes(value.slice(6)) : null;
  return size === null ? new Problem(`"${value}" is not tmpfs or tmpfs:SIZE, such as tmpfs:512M`) : { size };
};

const rootfsSize: Read<number> = (value) => readBytes(value) ?? new Problem(`"${value}" is not a size, such as 5G`);

/** A whole number of the largest unit. */
export function showBytes(size: number): string {
  const unit = ["T", "G", "M", "K"].find((name) => size % (upperSizes[name.toLowerCase()] ?? 1) === 0) ?? "";
  return `${size / (upperSizes[unit.toLowerCase()] ?? 1)}${unit}`;
}

/** What rootfsUpper reads back as the same. */
export const showUpper = ({ size }: RootfsUpper): string => (size === null ? "tmpfs" : `tmpfs:${showBytes(size)}`);

const bindUser = linesKey("islet.bind.user", "bindUsers", {
  since: "islet",
  doc: "A user of the host's whom a systemd guest has as well, with the home directory; may be given several times.",
});

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
  textKey(
    "islet.uuid",
    "guestUuid",
    {
      since: "islet",
      doc: "The UUID that a systemd guest becomes its machine id of. Default: made of the host's machine id and the container's place and name. A copy needs another.",
    },
    uuid,
  ),
  scalar<LocaltimeMode>(
    "islet.localtime",
    "text",
    "guestLocaltime",
    oneOf("a way to set the time zone", localtimeModes),
    (value) => value ?? "",
    {
      since: "islet",
      doc: "The guest's /etc/localtime at each start: off, symlink (to the guest's own file of the host's zone), copy (of the host's) or auto (symlink where the guest has the zone, else copy: the default with islet.guest = systemd).",
    },
  ),
  scalar<JournalMode>(
    "islet.journal",
    "text",
    "guestJournal",
    oneOf("a way to link journals", journalModes),
    (value) => value ?? "",
    {
      since: "islet",
      doc: "The guest's journal: no, guest (a link to it on the host), host (kept on the host), try-guest and try-host (where the host keeps a journal), auto (host where there is a directory for this guest: the default with islet.guest = systemd).",
    },
  ),
  scalar<ScopeMode>(
    "islet.scope",
    "text",
    "guestScope",
    oneOf("a word on scopes", scopeModes),
    (value) => value ?? "",
    {
      since: "islet",
      doc: "Whether the container runs in a scope of the host's systemd: no, auto (where systemd runs and makes one: the default with islet.guest = systemd) or yes (as auto, but the start fails if systemd makes none). lxc.cgroup.dir and the like win.",
    },
  ),
  ...namedFamily("islet.credential", "NAME", "credentials", anyText, {
    since: "islet",
    doc: "A credential of a systemd guest's: the value itself, or file:/path of a text of at most 1 MiB.",
  }),
  {
    ...bindUser,
    set: (draft, value, at, rest) =>
      userName.test(value) ? bindUser.set(draft, value, at, rest) : new Problem(`"${value}" is not a user's name`),
  },
  {
    ...flagKey("islet.guest.api", "guestApi", false, {
      since: "islet",
      doc: "Whether the guest finds the socket of its API at /dev/lxd/sock; by default it does if islet.guest is lxd.",
    }),
    get: ({ guestApi, guestProfile }) => ((guestApi?.value ?? guestProfile?.value === "lxd") ? "1" : "0"),
  },
  scalar<RootfsUpper>(
    "islet.rootfs.upper",
    "text",
    "rootfsUpper",
    rootfsUpper,
    (value) => (value === null ? "" : showUpper(value)),
    {
      since: "islet",
      doc: "tmpfs or tmpfs:SIZE: every start begins anew with the directories of lxc.rootfs.path, all of which are only read; what is written is on a tmpfs (half of the memory, or SIZE, such as 512M) that goes with the container.",
    },
  ),
  scalar<number>(
    "islet.rootfs.size",
    "text",
    "rootfsSize",
    rootfsSize,
    (value) => (value === null ? "" : showBytes(value)),
    {
      since: "islet",
      doc: "What a root file system that is a directory may take, such as 5G; df inside shows it. Set at the start by a project quota: ext4 or xfs, mounted with prjquota. Root of a container without lxc.idmap is not held to it on ext4 (CAP_SYS_RESOURCE), and can lift it anywhere.",
    },
  ),
  isletNetRow,
];
