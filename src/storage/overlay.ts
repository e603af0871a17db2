import { chmodSync, chownSync, mkdirSync, rmdirSync, statSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { ioError, isErrno } from "../base/io-error.js";
import type { OverlaySource, RootfsSource } from "../spec/rootfs.js";
import type { StorageDriver, StoragePlace } from "./driver.js";
import { removeTree } from "./tree.js";

/**
 * Changes in a directory of their own, over others that are only read. LXC's places: STORE/NAME/overlay/delta, with `work` beside it, which the
 * start makes; what a template makes is put into STORE/NAME/rootfs, the layer below.
 */

const ownLower = (place: Pick<StoragePlace, "directory">): string => `${place.directory}/rootfs`;

/** Is everything below the changes a directory of the container's own, which is filled like any? */
export function ownLowerOf(source: RootfsSource, directory: string): string | null {
  if (source.kind !== "overlay" || source.lowers.length !== 1) return null;
  const own = ownLower({ directory });
  return source.lowers[0] === own ? own : null;
}

/** A colon ends a layer in lxc.rootfs.path. */
function checkLayer(path: string): void {
  const shown = JSON.stringify(path);
  if (!path.startsWith("/")) throw new IsletError("ISLET_BAD_REQUEST", `the layer ${shown} is no absolute path`);
  if (path.includes(":")) {
    throw new IsletError("ISLET_UNSUPPORTED", `the layer ${shown} has a colon in its path`, {
      hint: "a configuration cannot say that: lxc.rootfs.path = overlay:LOWER:UPPER",
    });
  }
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o755 });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw ioError(`make ${path}`, error);
  }
}

function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR", "ENOTEMPTY", "EEXIST")) throw ioError(`remove ${path}`, error);
  }
}

/** The root directory that the guest sees is the topmost layer's: it must look as the one below. */
function makeLike(path: string, like: string): void {
  const { uid, gid, mode } = statSync(like);
  chownSync(path, uid, gid);
  chmodSync(path, mode & 0o7777);
}

const layersOf = (source: RootfsSource): readonly string[] | null => {
  switch (source.kind) {
    case "dir":
    case "btrfs":
      return [source.path];
    case "overlay":
      return source.upper === null ? null : [source.upper, ...source.lowers];
    case "host":
    case "loop":
    case "block":
    case "zfs":
    case "other":
      return null;
    default: {
      const impossible: never = source;
      return impossible;
    }
  }
};

const isOwn = (source: OverlaySource, place: StoragePlace): boolean =>
  source.upper?.startsWith(`${place.directory}/`) === true;

export const overlayDriver: StorageDriver<"overlay"> = {
  plan(place, { lowers }) {
    const all = lowers ?? [ownLower(place)];
    for (const path of [...all, place.directory]) checkLayer(path);
    for (const path of lowers ?? []) {
      if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true)
        throw new IsletError("ISLET_NO_ROOTFS", `the layer ${path} is not a directory`);
    }
    return Promise.resolve({ kind: "overlay", lowers: all, upper: `${place.directory}/overlay/delta` });
  },
  async create(source, place, _request, { host }) {
    if (source.kind !== "overlay" || source.upper === null) return;
    const [top = ""] = source.lowers;
    try {
      if (ownLowerOf(source, place.directory) !== null) makeDirectory(top);
      makeDirectory(`${place.directory}/overlay`);
      makeDirectory(source.upper);
      makeLike(source.upper, top);
    } catch (error) {
      await removeTree(host, `${place.directory}/overlay`);
      throw ioError(`make ${source.upper}`, error);
    }
  },
  async snapshot(from, to, place, context) {
    const layers = layersOf(from);
    if (layers === null || to.kind !== "overlay") return false;
    if (!layers.every((layer) => to.lowers.includes(layer))) return false;
    await overlayDriver.create(to, place, { kind: "overlay", lowers: to.lowers }, context);
    return { depends: true };
  },
  request: (source) =>
    Promise.resolve({
      kind: "overlay",
      lowers: source.kind === "overlay" && source.upper?.endsWith("/overlay/delta") === true ? source.lowers : null,
    }),
  async remove(source, place, { host }) {
    if (source.kind !== "overlay" || source.upper === null) return;
    if (isOwn(source, place)) {
      await removeTree(host, `${place.directory}/overlay`);
      const own = ownLowerOf(source, place.directory);
      if (own !== null) await removeTree(host, own);
      return;
    }
    // What is below belongs to others.
    if (source.upper.split("/").filter(Boolean).length >= 2) await removeTree(host, source.upper);
    const work = `${source.upper.slice(0, source.upper.lastIndexOf("/"))}/work`;
    // The kernel's own directory in it is empty; with anything else in it, it is somebody's.
    for (const path of [`${work}/work`, work]) removeIfEmpty(path);
  },
};
