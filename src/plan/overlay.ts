import { IsletError } from "../base/errors.js";
import type { Source } from "../base/source.js";
import {
  type Block,
  buffer,
  call,
  clone,
  cwdFd,
  end,
  goOn,
  imm,
  label,
  load,
  place,
  slot,
  str,
  wait,
} from "../program/assembler.js";
import {
  type CallOptions,
  type FsOption,
  cloneArguments,
  closeNow,
  createFilesystem,
  mkdirat,
  mountSetattr,
  moveMount,
  moveMountAt,
  newFilesystem,
  openFilesystem,
  openTree,
  openat,
} from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import type { MountOptions } from "../spec/mount.js";
import type { OverlaySource } from "../spec/rootfs.js";
import { EEXIST } from "../sys/errno.js";
import {
  CLONE_FILES,
  CLONE_NEWNS,
  CLONE_PIDFD,
  F_DUPFD_CLOEXEC,
  MS_RDONLY,
  MS_SLAVE,
  O_CLOEXEC,
  O_PATH,
  PR_SET_SECUREBITS,
  SECBIT_NO_SETUID_FIXUP,
  openFlags,
} from "../sys/flags.js";
import { type Owner, attributesOf, filesystemOptions, idmapHints, tmpfsOptions } from "./mount.js";

export interface OverlayMount {
  readonly source: OverlaySource;
  readonly options: MountOptions;
  readonly at: Source | null;
  /** The container's own: what is missing of the upper layer's path below it is made. */
  readonly directory: string;
  /** Whose a new upper layer shall be; null: root's. */
  readonly owner: Owner | null;
  /** Layers are mapped by that user namespace, whose root has those ids; null: as they are. */
  readonly idmap: { readonly userns: Slot; readonly root: Owner } | null;
  /** A directory to mount on in a mount namespace of its own. */
  readonly place: string;
  /** Nothing is to be written, so that there is no upper layer. */
  readonly onlyLowers: boolean;
  /** Marks of the layers are in user.overlay, as a user namespace may write them. */
  readonly userXattr: boolean;
}

/** The kernel takes at most 255 bytes of an option. */
const longestOption = 255;

/** An overlay as a detached mount (Documentation/filesystems/overlayfs.rst). Its layers are found by path where that can be said to the kernel. */
export function mountOverlay(block: Block, mount: OverlayMount, tree: Slot): void {
  const { lowers, upper } = mount.source;
  if (upper !== null) makeUpper(block, mount, upper);
  const byPath = layersOf(lowers.join(":"), upper === null ? null : [upper, `${parentOf(upper)}/work`]);
  const isPlain =
    mount.idmap === null && (upper !== null || mount.onlyLowers) && Object.values(byPath).every(isSayable);
  if (isPlain) overlayOf(block, mount, byPath, tree);
  else inNamespace(block, mount, mount.place, tree);
  if (!mount.onlyLowers) refuseReadOnly(block, mount, tree);
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

/** Colons part layers, backslashes quote; releases of the kernel differ in where. */
function isSayable(value: string): boolean {
  return !/[\\,]/.test(value) && new TextEncoder().encode(value).length <= longestOption;
}

function makeUpper(block: Block, mount: OverlayMount, upper: string): void {
  const made = (path: string): CallOptions => ({
    note: `make ${path}, of the upper layer`,
    hints: { ENOENT: `the directory ${parentOf(path)} is missing`, EROFS: "it lies on a read-only file system" },
  });
  const there = { on: EEXIST, to: "next" } as const;
  const parent = parentOf(upper);
  if (parent.startsWith(`${mount.directory}/`)) {
    const parts = parent.slice(mount.directory.length + 1).split("/");
    parts.forEach((_, index) => {
      const path = `${mount.directory}/${parts.slice(0, index + 1).join("/")}`;
      mkdirat(block, cwdFd, path, 0o755, { ...made(path), on: [there] });
    });
  }
  const isThere = label(`${upper} is there`);
  mkdirat(block, cwdFd, upper, 0o755, { ...made(upper), on: goOn(isThere, EEXIST) });
  if (mount.owner !== null && mount.idmap === null) own(block, cwdFd, upper, mount.owner);
  place(block, isThere);
  mkdirat(block, cwdFd, `${parent}/work`, 0o755, { ...made(`${parent}/work`), on: [there] });
}

function own(block: Block, directory: typeof cwdFd | Slot, path: string, owner: Owner): void {
  call(
    block,
    "fchownat",
    [directory, str(block.build, path), imm(owner.uid), imm(owner.gid), imm(0x100, "AT_SYMLINK_NOFOLLOW")],
    { note: "give the upper layer to the container's root" },
  );
}

interface Layers {
  readonly lower: string;
  readonly upper?: string;
  readonly work?: string;
}

function layersOf(lower: string, upper: readonly [upper: string, work: string] | null): Layers {
  return upper === null ? { lower } : { lower, upper: upper[0], work: upper[1] };
}

function optionsOf(mount: OverlayMount, layers: readonly FsOption[]): readonly FsOption[] {
  const name = mount.source.lowers.join(":");
  return [
    ...filesystemOptions(isSayable(name) ? name : "overlay", mount.options),
    ...(mount.userXattr ? [{ name: "userxattr", value: null }] : []),
    ...layers,
  ];
}

function byName({ lower, upper, work }: Layers): readonly FsOption[] {
  return [
    { name: "lowerdir", value: lower },
    ...(upper === undefined ? [] : [{ name: "upperdir", value: upper }]),
    ...(work === undefined ? [] : [{ name: "workdir", value: work }]),
  ];
}

function givenOf({ source, idmap }: OverlayMount): CallOptions {
  const all = [...source.lowers, ...(source.upper === null ? [] : [source.upper])].join(" ");
  return {
    note: "mount the overlay of the root file system",
    hints: {
      ENODEV: "this kernel has no overlays: modprobe overlay",
      ENOENT: `a layer is missing, of ${all}`,
      ENOTDIR: `a layer is not a directory, of ${all}`,
      EBUSY: `the upper layer ${source.upper ?? ""} is in use by another overlay`,
      ELOOP: "a layer lies in another one",
      ESTALE: "the upper layer was made over other lower ones",
      EPERM: "layers of an overlay need the privileges of the host's root",
      EINVAL:
        idmap === null
          ? "a layer is no directory, the upper layer's file system cannot hold one, or the kernel refuses an option of lxc.rootfs.options; dmesg says more"
          : "id-mapped layers need Linux 5.19 and file systems that can be id-mapped; dmesg says more",
    },
  };
}

function overlayOf(block: Block, mount: OverlayMount, layers: Layers, tree: Slot): void {
  const options = optionsOf(mount, byName(layers));
  newFilesystem(block, "overlay", options, attributesOf(mount.options.flags), tree, givenOf(mount));
}

/** Where the kernel cannot use the work directory, it mounts the overlay read-only and says so to nobody. */
function refuseReadOnly(block: Block, mount: OverlayMount, tree: Slot): void {
  if ((mount.options.flags & MS_RDONLY) !== 0) return;
  call(block, "faccessat", [tree, str(block.build, "."), imm(2, "W_OK")], {
    note: "write to the overlay of the root file system",
    hints: { EROFS: "its upper layer or the work directory beside that cannot be written; dmesg says more" },
  });
}

/** Short names of the layers' places, so that as many as possible fit into an option. */
function shortName(index: number): string {
  return index.toString(36);
}

/**
 * Layers as mounts of their own (mapped ones, a tmpfs) must have paths: another process mounts them where nobody else sees it, and the overlay of
 * them. It shares its descriptors with this one, whose `tree` is the overlay afterwards.
 */
function inNamespace(block: Block, mount: OverlayMount, where: string, tree: Slot): void {
  const { build } = block;
  const names = mount.source.lowers.map((_, index) => shortName(index));
  const lower = names.join(":");
  if (lower.length > longestOption)
    throw new IsletError("ISLET_UNSUPPORTED", `an overlay of ${names.length} lower layers`, {
      at: mount.at,
      hint: "merge some of them",
    });
  const base = slot(build, "layers");
  const tmpfs = tmpfsOptions("64k", "200");
  newFilesystem(block, "tmpfs", tmpfs, 0, base, { note: "make a place for the layers" });
  const layers = mount.source.lowers.map((path, index) => takeLayer(block, mount, path, `layer ${index + 1}`));
  const upper = mount.onlyLowers ? null : takeUpper(block, mount);
  for (const name of [...names, "+"]) mkdirat(block, base, name, 0o755, { note: "make the place of a layer" });
  // A descriptor for the other process to put the overlay into.
  call(block, "fcntl", [base, imm(F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC"), imm(0)], {
    note: "keep a descriptor for the overlay",
    out: tree,
  });
  const room = buffer(build, 8, "overlay.pidfd");
  const pidfd = slot(build, "overlay.pidfd");
  const flags = BigInt(CLONE_PIDFD | CLONE_FILES | CLONE_NEWNS);
  const given = givenOf(mount);
  clone(block, "overlay", cloneArguments(block, flags, 17, room, null), { note: given.note }, (helper) => {
    const at = slot(build, "overlay.place");
    mountSetattr(helper, cwdFd, "/", { propagation: MS_SLAVE }, true, { note: "keep the layers' mounts to itself" });
    openat(helper, cwdFd, where, O_PATH | openFlags(build.arch).O_DIRECTORY, at, { note: `open ${where}` });
    moveMount(helper, base, at, { note: "mount the place of the layers for a moment" });
    closeNow(helper, at, "close the place");
    layers.forEach((layer, index) => {
      moveMountAt(helper, layer, base, shortName(index), {
        note: `mount the layer ${mount.source.lowers[index] ?? ""}`,
      });
    });
    if (upper !== null) moveMountAt(helper, upper.layer, base, "+", { note: "mount the upper layer" });
    call(helper, "fchdir", [base], { note: "change to them" });
    if (mount.idmap !== null) actAs(helper, mount.idmap.root);
    const made = slot(build, "overlay");
    const context = openFilesystem(helper, "overlay", made, given);
    const options = optionsOf(mount, byName(layersOf(lower, upper?.paths ?? null)));
    createFilesystem(helper, context, options, attributesOf(mount.options.flags), made, given);
    closeNow(helper, context, "close the overlay context");
    call(helper, "dup3", [made, tree, imm(O_CLOEXEC, "O_CLOEXEC")], { note: "put it in its place" });
    closeNow(helper, made, "close the overlay");
    end(helper, 0, "the overlay is mounted");
  });
  load(block, pidfd, room, 4, "take its pidfd");
  wait(block, pidfd, true, { note: given.note });
  for (const fd of [pidfd, base, ...(upper === null ? [] : [upper.layer]), ...layers])
    closeNow(block, fd, "close what the overlay was made of");
}

function takeLayer(block: Block, mount: OverlayMount, path: string, name: string): Slot {
  const layer = slot(block.build, name);
  openTree(block, cwdFd, path, false, layer, {
    note: `take the layer ${path}`,
    hints: { ENOENT: "the layer is missing; see lxc.rootfs.path" },
  });
  if (mount.idmap !== null)
    mountSetattr(block, layer, "", { userns: mount.idmap.userns }, false, {
      note: `map the ids of the layer ${path}`,
      hints: idmapHints,
    });
  return layer;
}

/** The mount with both, and where they are in it by the names of inNamespace. Upper and work directory must be of one mount. */
function takeUpper(
  block: Block,
  mount: OverlayMount,
): { readonly layer: Slot; readonly paths: readonly [upper: string, work: string] } {
  const { upper, upperSize } = mount.source;
  if (upper !== null) {
    const layer = takeLayer(block, mount, parentOf(upper) || "/", "layer upper");
    return { layer, paths: [`+${upper.slice(upper.lastIndexOf("/"))}`, "+/work"] };
  }
  const tmpfs = slot(block.build, "layer upper");
  const options: readonly FsOption[] = [
    { name: "source", value: "tmpfs" },
    { name: "mode", value: "0755" },
    ...(upperSize === undefined ? [] : [{ name: "size", value: String(upperSize) }]),
  ];
  newFilesystem(block, "tmpfs", options, 0, tmpfs, { note: "make a tmpfs for the upper layer" });
  for (const name of ["upper", "work"]) mkdirat(block, tmpfs, name, 0o755, { note: `make ${name} on it` });
  if (mount.owner !== null) own(block, tmpfs, "upper", mount.owner);
  // A kernel before 6.3 cannot map its ids, and need not: the files are made with those that the container's have on the host.
  if (mount.idmap !== null) own(block, tmpfs, "work", mount.idmap.root);
  return { layer: tmpfs, paths: ["+/upper", "+/work"] };
}

/** On a mapped layer only ids that the map has can make files: those of the container's root. Its capabilities are the caller's. */
function actAs(helper: Block, root: Owner): void {
  call(
    helper,
    "prctl",
    [
      imm(PR_SET_SECUREBITS, "PR_SET_SECUREBITS"),
      imm(SECBIT_NO_SETUID_FIXUP, "SECBIT_NO_SETUID_FIXUP"),
      imm(0),
      imm(0),
      imm(0),
    ],
    { note: "keep the capabilities when the ids change" },
  );
  call(helper, "setfsgid", [imm(root.gid)], { note: "act on files as the container's root group" });
  call(helper, "setfsuid", [imm(root.uid)], { note: "act on files as the container's root" });
}
