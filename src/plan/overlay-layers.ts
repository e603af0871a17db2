import type { Source } from "../base/source.js";
import { type Block, call, cwdFd, goOn, imm, label, place, slot, str } from "../program/assembler.js";
import { type CallOptions, type FsOption, mkdirat, mountSetattr, newFilesystem, openTree } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import type { MountOptions } from "../spec/mount.js";
import type { OverlaySource } from "../spec/rootfs.js";
import { EEXIST } from "../sys/errno.js";
import { type Owner, idmapHints } from "./mount.js";

/** Layers of an overlay: where they are, as mounts, and the making of the upper one. */

export interface OverlayMount {
  readonly source: OverlaySource;
  readonly options: MountOptions;
  readonly at: Source | null;
  /** The container's own: what is missing of the upper layer's path below it is made; null: its parent must be there. */
  readonly directory: string | null;
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

/** The directory that a path lies in; "" for one in the root. */
export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

/** LXC makes what is missing of the upper layer, and the work directory beside it. */
export function makeUpper(block: Block, mount: OverlayMount, upper: string): void {
  const made = (path: string): CallOptions => ({
    note: `make ${path}, of the upper layer`,
    hints: { ENOENT: `the directory ${parentOf(path)} is missing`, EROFS: "it lies on a read-only file system" },
  });
  const there = { on: EEXIST, to: "next" } as const;
  const parent = parentOf(upper);
  const { directory } = mount;
  if (directory !== null && parent.startsWith(`${directory}/`)) {
    const parts = parent.slice(directory.length + 1).split("/");
    parts.forEach((_, index) => {
      const path = `${directory}/${parts.slice(0, index + 1).join("/")}`;
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

/** A layer as a mount of its own, mapped where that is asked for. */
export function takeLayer(block: Block, mount: OverlayMount, path: string, name: string): Slot {
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
export function takeUpper(
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
