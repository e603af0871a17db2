/** Rows: root file system, mounts, /dev, consoles. */
import type { AutoMounts, CgroupMountMode } from "../../../spec/mount.js";
import type { Source } from "../../../base/source.js";
import { splitWords } from "./grammar.js";
import { noAutoMounts } from "./model.js";
import { flagKey, type KeyRow, linesKey, numberKey, pathKey, scalar, textKey } from "./row.js";
import { anyText, consoleSize, Problem, type Read, unsigned } from "./scalars.js";

const rootfsTypes = ["dir", "zfs", "lvm", "rbd", "btrfs", "overlay", "overlayfs", "loop", "loopback", "nbd"] as const;

export interface RootfsPath {
  /** null: to be found out by what is there. */
  readonly type: (typeof rootfsTypes)[number] | (string & Record<never, never>) | null;
  readonly path: string;
}

/** `[TYPE:]PATH`. A path that begins with a slash has no type (LXC would split `/a:b` and then know no type "/a"). */
export function splitRootfsPath(value: string): RootfsPath {
  const colon = value.indexOf(":");
  if (colon <= 0 || value.startsWith("/")) return { type: null, path: value };
  return { type: value.slice(0, colon), path: value.slice(colon + 1) };
}

const rootfsOptions: Read<string> = (value) => {
  const wrong = value
    .split(",")
    .find((word) => word === "optional" || word === "relative" || word.startsWith("create="));
  return wrong === undefined
    ? value
    : new Problem(`"${wrong}" cannot be an option of the root file system: it is for lxc.mount.entry`);
};

/** Default size of the tmpfs on /dev, bytes. */
export const defaultDevSize = 500_000;

const devSize = (value: string): number => {
  const bytes = unsigned(2 ** 40)(value);
  return bytes instanceof Problem ? defaultDevSize : bytes;
};

const defaultSharedMount = "/dev/.lxc-mounts";

function automount(auto: AutoMounts, token: string, at: Source): AutoMounts | Problem {
  const proc = /^proc(?::(mixed|rw))?$/.exec(token);
  if (proc !== null) return { ...auto, proc: proc[1] === "rw" ? "rw" : "mixed", at };
  const sys = /^sys(?::(mixed|ro|rw))?$/.exec(token);
  if (sys !== null) return { ...auto, sys: (sys[1] ?? "mixed") as "mixed" | "ro" | "rw", at };
  const cgroup = /^cgroup(-full)?(?::(ro|mixed|rw))?(:force)?$/.exec(token);
  if (cgroup !== null) {
    const mode = (cgroup[2] ?? "default") as CgroupMountMode | "default";
    return {
      ...auto,
      cgroup: { scope: cgroup[1] === undefined ? "own" : "full", mode, force: cgroup[3] !== undefined },
      at,
    };
  }
  // It is always mounted, cgroup namespace or not.
  const cgroup2 = /^cgroup2(:ro)?(?::force)?$/.exec(token);
  if (cgroup2 !== null)
    return { ...auto, cgroup: { scope: "v2", mode: cgroup2[1] === undefined ? "rw" : "ro", force: true }, at };
  const shared = /^shmounts:([^:]+)(?::([^:]+)?)?$/.exec(token);
  if (shared?.[1] !== undefined)
    return { ...auto, shared: { host: shared[1], container: shared[2] ?? defaultSharedMount }, at };
  return new Problem(`Invalid filesystem to automount "${token}"`);
}

function cgroupWord({ scope, mode, force }: NonNullable<AutoMounts["cgroup"]>): string {
  if (scope === "v2" || scope === "newest") return mode === "ro" ? "cgroup2:ro" : "cgroup2";
  return `${scope === "own" ? "cgroup" : "cgroup-full"}${mode === "default" ? "" : `:${mode}`}${force ? ":force" : ""}`;
}

/** The words of lxc.mount.auto, in LXC's order. */
export function showAutoMounts(auto: AutoMounts): string {
  const words: string[] = [];
  // LXC has no word for a network part that is read-only, too.
  if (auto.proc !== null) words.push(`proc:${auto.proc === "ro" ? "mixed" : auto.proc}`);
  if (auto.sys !== null) words.push(`sys:${auto.sys}`);
  if (auto.cgroup !== null) words.push(cgroupWord(auto.cgroup));
  if (auto.shared !== null) {
    words.push(
      `shmounts:${auto.shared.host}${auto.shared.container === defaultSharedMount ? "" : `:${auto.shared.container}`}`,
    );
  }
  return words.join(" ");
}

export const mountRows: readonly KeyRow[] = [
  {
    ...textKey("lxc.rootfs.path", "rootfsPath", {
      since: "2.1",
      doc: "[TYPE:]PATH of the root file system; TYPE: dir overlay overlayfs loop lvm zfs btrfs nbd rbd. Unset: the host's.",
    }),
    get: (values) => (values.rootfsPath === null ? "" : cleanPath(splitRootfsPath(values.rootfsPath.value).path)),
  },
  pathKey("lxc.rootfs.mount", "rootfsMount", {
    since: "0.7",
    doc: "Where the root file system is mounted while the container is set up.",
  }),
  textKey(
    "lxc.rootfs.options",
    "rootfsOptions",
    {
      since: "1.0",
      doc: "Mount options of the root file system; idmap=container or idmap=/path/to/userns for an id-mapped mount.",
    },
    rootfsOptions,
  ),
  flagKey("lxc.rootfs.managed", "rootfsManaged", true, {
    since: "3.1",
    doc: "0: lxc-destroy and lxc-copy leave the root file system alone.",
  }),
  pathKey("lxc.mount.fstab", "fstab", {
    since: "2.1",
    doc: "A file with more mounts, in the form of fstab(5); done before lxc.mount.entry.",
  }),
  linesKey("lxc.mount.entry", "mountEntries", {
    since: "0.7",
    doc: "A mount as a line of fstab(5), target below the container's root; also create=dir, create=file, optional, relative, idmap=.",
  }),
  {
    key: "lxc.mount.auto",
    kind: "words",
    since: "1.0",
    doc: "Standard mounts: proc[:mixed|rw], sys[:mixed|ro|rw], cgroup[-full][:ro|mixed|rw][:force], cgroup2[:ro][:force], shmounts:HOST[:CONTAINER].",
    set: (draft, value, at) => {
      for (const token of splitWords(value)) {
        const result = automount(draft.autoMounts, token, at);
        if (result instanceof Problem) return result;
        draft.autoMounts = result;
      }
      return undefined;
    },
    clear: (draft) => {
      draft.autoMounts = noAutoMounts;
      return undefined;
    },
    get: (values) => showAutoMounts(values.autoMounts),
  },
  flagKey("lxc.autodev", "autodev", true, {
    since: "0.9",
    doc: "1: a small tmpfs on /dev with the usual devices; 0: the image's own /dev.",
  }),
  scalar<number>("lxc.autodev.tmpfs.size", "size", "autodevSize", devSize, (value) => String(value ?? 0), {
    since: "4.0",
    doc: "Size of that tmpfs, bytes; default and for what is no number: 500000.",
  }),

  pathKey(
    "lxc.console.path",
    "consolePath",
    { since: "2.1", doc: "Where console input and output go on the host, or none for no console." },
    anyText,
  ),
  pathKey("lxc.console.logfile", "consoleLog", { since: "1.0.6", doc: "Console output is appended to this file." }),
  flagKey("lxc.console.rotate", "consoleRotate", false, {
    since: "3.0",
    doc: "1: the log file is renamed to FILE.1 when it is full.",
  }),
  numberKey(
    "lxc.console.size",
    "consoleSize",
    consoleSize,
    {
      since: "3.0",
      doc: "Size of the log file: number with B, KB, MB, GB, or auto; at least a page, rounded up to a power of two.",
    },
    "size",
  ),
  numberKey(
    "lxc.console.buffer.size",
    "consoleBuffer",
    consoleSize,
    { since: "3.0", doc: "Size of the console's ring buffer in memory; the same form." },
    "size",
  ),
  numberKey("lxc.tty.max", "ttyMax", unsigned(), {
    since: "2.1",
    doc: "Number of /dev/ttyN for logins through lxc-console.",
  }),
  textKey("lxc.tty.dir", "ttyDir", {
    since: "2.1",
    doc: "Directory below /dev for console and ttys, with links to it from /dev.",
  }),
  numberKey("lxc.pty.max", "ptyMax", unsigned(), {
    since: "2.1",
    doc: "Ptys that the container may open in its own devpts, beside its ttys.",
  }),
];

function cleanPath(path: string): string {
  return path.startsWith("/") && !path.includes(":")
    ? path.replace(/\/(?:\.?\/)+/g, "/").replace(/(.)\/$/, "$1")
    : path;
}
