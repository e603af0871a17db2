import { IsletError } from "../base/errors.js";
import { type Block, buffer, call, clone, cwdFd, end, imm, load, slot, str, wait } from "../program/assembler.js";
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
  openat,
} from "../program/calls.js";
import type { Slot } from "../program/ops.js";
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
import { type Owner, attributesOf, filesystemOptions, tmpfsOptions } from "./mount.js";
import { type OverlayMount, makeUpper, parentOf, takeLayer, takeUpper } from "./overlay-layers.js";

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

/** Colons part layers, backslashes quote; releases of the kernel differ in where. */
function isSayable(value: string): boolean {
  return !/[\\,]/.test(value) && new TextEncoder().encode(value).length <= longestOption;
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
