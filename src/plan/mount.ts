import { type Block, call, compute, goOn, imm, jump, label, place, slot, str } from "../program/assembler.js";
import {
  type FsOption,
  type FsTextOption,
  close,
  mkdirat,
  mountSetattr,
  moveMount,
  newFilesystem,
  openTree,
  openat,
  openat2,
} from "../program/calls.js";
import type { Label, Rule, Slot, Value } from "../program/ops.js";
import { EEXIST, ENOENT } from "../sys/errno.js";
import {
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_STRICTATIME,
  MOUNT_ATTR__ATIME,
  MS_BIND,
  MS_DIRSYNC,
  MS_MANDLOCK,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_NOSYMFOLLOW,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_RELATIME,
  MS_REMOUNT,
  MS_SLAVE,
  MS_STRICTATIME,
  MS_SYNCHRONOUS,
  MS_UNBINDABLE,
  O_PATH,
  O_CREAT,
  O_RDONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  openFlags,
} from "../sys/flags.js";
import type { MountEntry, MountOptions } from "../spec/mount.js";

/** mount(8) flags as attributes of one mount (mount_setattr(2)). */
export function attributesOf(flags: number): number {
  let out = 0;
  if ((flags & MS_RDONLY) !== 0) out |= MOUNT_ATTR_RDONLY;
  if ((flags & MS_NOSUID) !== 0) out |= MOUNT_ATTR_NOSUID;
  if ((flags & MS_NODEV) !== 0) out |= MOUNT_ATTR_NODEV;
  if ((flags & MS_NOEXEC) !== 0) out |= MOUNT_ATTR_NOEXEC;
  if ((flags & MS_NODIRATIME) !== 0) out |= MOUNT_ATTR_NODIRATIME;
  if ((flags & MS_NOSYMFOLLOW) !== 0) out |= MOUNT_ATTR_NOSYMFOLLOW;
  // One value, not two bits; of both the kernel's mount(2) takes strictatime.
  if ((flags & MS_STRICTATIME) !== 0) out |= MOUNT_ATTR_STRICTATIME;
  else if ((flags & MS_NOATIME) !== 0) out |= MOUNT_ATTR_NOATIME;
  return out;
}

/** Attributes to clear: those asked for by rw, suid, dev, exec, and the access time group when one of its members is set. */
export function attributesToClear(options: MountOptions): number {
  let out = attributesOf(options.clear & ~(MS_NOATIME | MS_STRICTATIME));
  if (((options.flags | options.clear) & (MS_NOATIME | MS_STRICTATIME | MS_RELATIME)) !== 0) out |= MOUNT_ATTR__ATIME;
  return out;
}

/** Flags and data as options of a file system context. */
export function filesystemOptions(source: string, options: MountOptions): readonly FsTextOption[] {
  const out: FsTextOption[] = [{ name: "source", value: source === "" ? "none" : source }];
  if ((options.flags & MS_RDONLY) !== 0) out.push({ name: "ro", value: null });
  if ((options.flags & MS_SYNCHRONOUS) !== 0) out.push({ name: "sync", value: null });
  if ((options.flags & MS_DIRSYNC) !== 0) out.push({ name: "dirsync", value: null });
  if ((options.flags & MS_MANDLOCK) !== 0) out.push({ name: "mand", value: null });
  for (const word of splitData(options.data)) {
    const equals = word.indexOf("=");
    // Quotes are mount(8)'s and mount(2)'s; fsconfig(2) takes a value as it is.
    const value = word.slice(equals + 1).replace(/^"(.*)"$/, "$1");
    out.push(equals < 0 ? { name: word, value: null } : { name: word.slice(0, equals), value });
  }
  return out;
}

/** Commas separate, but for escaped ones (overlayfs) and those within quotes (SELinux contexts). */
function splitData(data: string): readonly string[] {
  const words: string[] = [];
  let word = "";
  let quoted = false;
  for (let at = 0; at < data.length; at += 1) {
    const char = data.charAt(at);
    if (char === '"') quoted = !quoted;
    if (char === "\\" && data.charAt(at + 1) === ",") {
      word += "\\,";
      at += 1;
    } else if (char === "," && !quoted) {
      if (word !== "") words.push(word);
      word = "";
    } else {
      word += char;
    }
  }
  if (word !== "") words.push(word);
  return words;
}

/** How a path inside the container is followed. Standard places (proc, sys, dev) are never links. */
export const insideRoot: number = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
export const insideRootNoLinks: number = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;

/** Attributes of mounts that have no programs, devices or set-id files. */
export const guarded: number = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

/** A tmpfs whose root everybody may read, with limits as tmpfs(5) has them. */
export function tmpfsOptions(size: string, inodes: string): readonly FsOption[] {
  return [
    { name: "source", value: "tmpfs" },
    { name: "mode", value: "0755" },
    { name: "size", value: size },
    { name: "nr_inodes", value: inodes },
  ];
}

/**
 * Opens a mount point below the root, making it (and its parents, 0755) where it is missing and `create` says so. The path is the container's:
 * every step is an openat2 that cannot leave the root.
 */
export function openTarget(
  block: Block,
  root: Value,
  path: string,
  create: "dir" | "file" | null,
  out: Slot,
  what: string,
  on: readonly Rule[],
  resolve: number = insideRoot,
): void {
  const directory = openFlags(block.build.arch).O_DIRECTORY;
  const clean = path.split("/").filter((part) => part !== "" && part !== ".");
  const full = clean.length === 0 ? "." : clean.join("/");
  const hints = {
    ENOENT: `create it in the container's root file system, or add create=dir or create=file`,
    ELOOP: "a symbolic link in the container stands in the way",
  };
  if (create === null) {
    openat2(block, root, full, O_PATH, resolve, out, { note: what, on, hints });
    return;
  }
  const there = label("there");
  const missing = label("missing");
  openat2(block, root, full, O_PATH, resolve, out, { note: what, on: [...goOn(missing, ENOENT), ...on], hints });
  jump(block, there, "it is there");
  place(block, missing);
  let parent: Value = root;
  clean.forEach((name, index) => {
    const last = index === clean.length - 1;
    const prefix = clean.slice(0, index + 1).join("/");
    if (last && create === "file") {
      const made = slot(block.build, `${out.name}.file`);
      openat(
        block,
        parent,
        name,
        O_RDONLY | O_CREAT | openFlags(block.build.arch).O_NOFOLLOW,
        made,
        { note: `make the file ${prefix}`, on },
        0o644,
      );
      close(block, made, `close ${prefix}`);
      return;
    }
    mkdirat(block, parent, name, 0o755, {
      note: `make the directory ${prefix}`,
      on: [{ on: EEXIST, to: "next" }, ...on],
    });
    if (last) return;
    const next = slot(block.build, `${out.name}.${index + 1}`);
    openat2(block, root, prefix, O_PATH | directory, resolve, next, { note: `open ${prefix}`, on });
    if (parent !== root) close(block, parent, "close its parent");
    parent = next;
  });
  if (parent !== root) close(block, parent, "close its parent");
  openat2(block, root, full, O_PATH, resolve, out, { note: what, on, hints });
  place(block, there);
}

/** A file system mounted on a directory of the container that is known by descriptor. */
export function mountOn(block: Block, mount: Slot, target: Slot, what: string, on: readonly Rule[]): void {
  moveMount(block, mount, target, { note: what, on });
  close(block, target, "close the mount point");
}

export interface PassedMount {
  /** In the host's process; any open descriptor when there is nothing to pass. */
  readonly tree: Slot;
  /** 1 in the host's process when there is something. */
  readonly present: Slot;
  /** In the container's process: what arrives. */
  readonly mount: Slot;
  readonly arrived: Slot;
  readonly what: string;
}

export interface EntryPlaces {
  /** An open descriptor of the host's process that stands in for a mount that is not there. */
  readonly standIn: Slot;
  /** Where paths of the host are opened. */
  readonly hostBlock: Block;
  /** Where mounts are made. */
  readonly block: Block;
  /** The container's root directory. */
  readonly root: Slot;
  /** User namespace of the container for idmap=container; null without one. */
  readonly userns: Slot | null;
  /** Where the two blocks are different processes: hands a mount from the host's to the container's. */
  readonly pass: (passed: PassedMount) => void;
  /** The file system in a device or a file as a detached mount. */
  readonly image: (block: Block, entry: MountEntry, kind: "block" | "loop", tree: Slot) => void;
  /** Takes the mounts whose propagation must be set again at the very end, open. */
  readonly keep: (kept: KeptMount) => void;
}

/** A mount that is not to be shared although the container's whole tree is made so. */
export interface KeptMount {
  readonly mount: Slot;
  readonly arrived: Slot;
  readonly propagation: number;
  readonly what: string;
}

/** One mount entry, bind or file system. */
export function planEntry(places: EntryPlaces, entry: MountEntry, index: number): void {
  const { block } = places;
  const before = block.at;
  block.at = entry.at;
  const skip = label(`after mount ${index + 1}`);
  const on: readonly Rule[] = entry.optional ? [{ on: "any", to: skip }] : [];
  const what = `mount ${entry.source} on /${entry.target}`;
  const { flags } = entry.options;
  if ((flags & MS_REMOUNT) !== 0 && (flags & MS_BIND) === 0) planRemount(places, entry, what, on);
  else {
    const mount = slot(block.build, `mount ${index + 1}`);
    if ((flags & MS_BIND) !== 0) planBind(places, entry, mount, what, on, skip);
    else if (entry.image !== undefined) planImage(places, entry, entry.image, mount);
    else
      newFilesystem(block, entry.fstype, filesystemOptions(entry.source, entry.options), attributesOf(flags), mount, {
        note: what,
        on,
        hints: filesystemHints,
      });
    const target = slot(block.build, `target ${index + 1}`);
    openTarget(block, places.root, entry.target, entry.create, target, `open the mount point /${entry.target}`, on);
    mountOn(block, mount, target, what, on);
    if (entry.options.propagation !== 0) {
      mountSetattr(
        block,
        mount,
        "",
        { propagation: entry.options.propagation & ~MS_REC },
        (entry.options.propagation & MS_REC) !== 0,
        { note: `${what}: propagation`, on },
      );
    }
    const kind = entry.options.propagation & ~MS_REC;
    if (kind === MS_PRIVATE || kind === MS_UNBINDABLE) {
      const there = slot(block.build, `mount ${index + 1} is there`);
      compute(block, there, "set", imm(1), null, `${entry.target} is mounted`);
      places.keep({ mount, arrived: there, propagation: entry.options.propagation, what });
    } else close(block, mount, "close the mount");
  }
  place(block, skip);
  block.at = before;
}

/** After the container's tree was made shared: what an entry wanted private or unbindable becomes so again. */
export function setAgain(block: Block, kept: readonly KeptMount[]): void {
  for (const { mount, arrived, propagation, what } of kept) {
    const absent = label(`${what} is absent`);
    jump(block, absent, "it was left out", "eq", arrived, imm(0));
    mountSetattr(block, mount, "", { propagation: propagation & ~MS_REC }, (propagation & MS_REC) !== 0, {
      note: `${what}: propagation`,
    });
    close(block, mount, "close the mount");
    place(block, absent);
  }
}

/**
 * The upper and work directories of overlays, where they lie in the container's own directory but not in its root file system: there they are
 * made, as LXC does it.
 */
export function makeOverlayDirectories(
  block: Block,
  directory: string,
  rootfs: string | null,
  entries: readonly MountEntry[],
  owner: Owner | null,
): void {
  const within = (path: string, parent: string): boolean => path.startsWith(`${parent}/`);
  for (const entry of entries) {
    if (entry.fstype !== "overlay") continue;
    for (const [, path = ""] of entry.options.data.matchAll(/(?:^|,)(?:upperdir|workdir)=([^,]+)/g)) {
      if (!within(path, directory) || (rootfs !== null && within(path, rootfs)) || path.split("/").includes(".."))
        continue;
      const parts = path
        .slice(directory.length + 1)
        .split("/")
        .filter(Boolean);
      parts.forEach((_, index) => {
        const made = `${directory}/${parts.slice(0, index + 1).join("/")}`;
        const there = label(`${made} is there`);
        mkdirat(block, imm(-100, "AT_FDCWD"), made, 0o755, {
          note: `make ${made} for an overlay`,
          at: entry.at,
          on: goOn(there, EEXIST),
        });
        if (owner !== null) {
          call(
            block,
            "fchownat",
            [
              imm(-100, "AT_FDCWD"),
              str(block.build, made),
              imm(owner.uid),
              imm(owner.gid),
              imm(0x100, "AT_SYMLINK_NOFOLLOW"),
            ],
            { note: `give ${made} to the container's root` },
          );
        }
        place(block, there);
      });
    }
  }
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

const filesystemHints: Readonly<Record<string, string>> = {
  ENODEV: "the kernel does not know this file system type; is its module loaded?",
  EINVAL: "the file system refused an option",
  EPERM: "this file system cannot be mounted here (in a user namespace only some can)",
};

/** The bind's source as a detached mount, with its attributes; ends with the mount in `mount`. */
function planBind(
  places: EntryPlaces,
  entry: MountEntry,
  mount: Slot,
  what: string,
  on: readonly Rule[],
  skip: Label,
): void {
  const recursive = (entry.options.flags & MS_REC) !== 0;
  const { block } = places;
  const hints = {
    ENOENT: `${entry.source} does not exist${entry.sourceInContainer ? " in the container" : ""}; with the option "optional" the entry is skipped then`,
  };
  if (entry.sourceInContainer) {
    const source = slot(block.build, `${mount.name}.source`);
    openTarget(
      block,
      places.root,
      entry.source,
      null,
      source,
      `open the source ${entry.source} inside the container`,
      on,
    );
    openTree(block, source, "", recursive, mount, { note: `take ${entry.source} as a mount`, on, hints }, true);
    close(block, source, "close the source");
  } else if (places.hostBlock === block) {
    openTree(block, imm(-100, "AT_FDCWD"), entry.source, recursive, mount, {
      note: `take ${entry.source} as a mount`,
      on,
      hints,
    });
    idmapBind(places, block, entry, mount, what);
  } else {
    const outer = places.hostBlock;
    const outerBefore = outer.at;
    outer.at = entry.at;
    const absent = label(`${entry.source} absent`);
    const passed = label(`${entry.source} passed`);
    const tree = slot(outer.build, `${mount.name}.tree`);
    const present = slot(outer.build, `${mount.name}.present`);
    openTree(outer, imm(-100, "AT_FDCWD"), entry.source, recursive, tree, {
      note: `take ${entry.source} as a mount`,
      on: entry.optional ? [{ on: "any", to: absent }] : [],
      hints,
    });
    isolateTree(outer, tree, recursive, entry.source);
    idmapBind(places, outer, entry, tree, what);
    compute(outer, present, "set", imm(1), null, `${entry.source} is there`);
    if (entry.optional) {
      jump(outer, passed, `${entry.source} is there`);
      place(outer, absent);
      compute(outer, tree, "set", places.standIn, null, `${entry.source} is not there`);
      compute(outer, present, "set", imm(0), null, `${entry.source} is not there`);
      place(outer, passed);
    }
    const arrived = slot(block.build, `${mount.name}.arrived`);
    places.pass({ tree, present, mount, arrived, what: entry.source });
    if (entry.optional) jump(block, skip, `${entry.source} is not there`, "eq", arrived, imm(0));
    outer.at = outerBefore;
  }
  const set = attributesOf(entry.options.flags);
  const clear = attributesToClear(entry.options);
  if (set !== 0 || clear !== 0)
    mountSetattr(block, mount, "", { set, clear }, recursive, { note: `${what}: set its options`, on });
}

/** Where only the host's side may mount a device, that does it and hands the mount in. */
function planImage(places: EntryPlaces, entry: MountEntry, kind: "block" | "loop", mount: Slot): void {
  const { block, hostBlock: outer } = places;
  if (outer === block) {
    places.image(block, entry, kind, mount);
    return;
  }
  const before = outer.at;
  outer.at = entry.at;
  const tree = slot(outer.build, `${mount.name}.tree`);
  const present = slot(outer.build, `${mount.name}.present`);
  places.image(outer, entry, kind, tree);
  compute(outer, present, "set", imm(1), null, `${entry.source} is there`);
  const arrived = slot(block.build, `${mount.name}.arrived`);
  places.pass({ tree, present, mount, arrived, what: entry.source });
  close(outer, tree, `close ${entry.source}`);
  outer.at = before;
}

/** For a mount that is taken on the host's side, where it is a peer of the host's: what is mounted below it would be there, too. */
export function isolateTree(block: Block, tree: Slot, recursive: boolean, what: string): void {
  mountSetattr(block, tree, "", { propagation: MS_SLAVE }, recursive, {
    note: `keep mounts below ${what} from reaching the host`,
  });
}

function idmapBind(places: EntryPlaces, outer: Block, entry: MountEntry, mount: Slot, what: string): void {
  if (entry.idmap === null) return;
  if (entry.idmap === "container") {
    if (places.userns === null) return;
    mountSetattr(outer, mount, "", { userns: places.userns }, false, {
      note: `${what}: map its ids as the container's`,
      hints: idmapHints,
    });
    return;
  }
  const userns = slot(outer.build, `${mount.name}.userns`);
  openat(outer, imm(-100, "AT_FDCWD"), entry.idmap.userns, O_RDONLY, userns, {
    note: `open the user namespace ${entry.idmap.userns}`,
  });
  mountSetattr(outer, mount, "", { userns }, false, { note: `${what}: map its ids`, hints: idmapHints });
  close(outer, userns, "close the user namespace");
}

export const idmapHints: Readonly<Record<string, string>> = {
  EINVAL: "this file system does not support idmapped mounts on this kernel",
  EPERM: "idmapped mounts need the privileges of the host's root",
};

/** `remount` of what is mounted there already: only its attributes change. */
function planRemount(places: EntryPlaces, entry: MountEntry, what: string, on: readonly Rule[]): void {
  const { block } = places;
  const target = slot(block.build, "remount");
  openTarget(block, places.root, entry.target, null, target, `open the mount point /${entry.target}`, on);
  mountSetattr(
    block,
    target,
    "",
    { set: attributesOf(entry.options.flags), clear: attributesToClear(entry.options) },
    false,
    { note: `${what}: change its options`, on },
  );
  close(block, target, "close the mount point");
}
