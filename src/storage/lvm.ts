import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { IsletError } from "../base/errors.js";
import type { DeathSignal, ProgramResult } from "../host/run-program.js";
import type { RootfsSource } from "../spec/rootfs.js";
import { contentOf } from "./content.js";
import type { StorageContext, StorageDriver } from "./driver.js";
import { checkFsType, defaultFsType, defaultSize, fsMaker, makeFileSystem } from "./mkfs.js";
import { askTool, isBlockDevice, requireTool, runTool, type Tool, tryTool } from "./programs.js";

/** Logical volumes: of a thin pool where there is one, as LXC decides it. */

const tool = (name: string): Tool => ({ name, from: "lvm2" });
/** Where no udev makes the devices' names, LVM makes them itself, if it is told to. */
const settings = (): readonly string[] =>
  existsSync("/run/udev/control")
    ? []
    : ["--config", "activation { udev_sync=0 udev_rules=0 } devices { obtain_device_list_from_udev=0 }"];

const run = (context: StorageContext, name: string, words: readonly string[]): Promise<ProgramResult> =>
  tryTool(context, tool(name), [...settings(), ...words]);

/** Milliseconds for udev to make a device's name, and for the last user of a volume to let it go. */
const patience = 10_000;
/**
 * What still waits for the group's lock goes with this process: the next one may have looked for its volume by then. In the middle of a change LVM
 * holds every signal off, and whoever looks waits for its lock.
 */
const ends: DeathSignal = "SIGTERM";
const defaultGroup = "lxc";
const defaultPool = "lxc";

/** As lvm(8) has them. */
function checkName(what: string, name: string): void {
  const isFit =
    /^[A-Za-z0-9_+.][A-Za-z0-9_+.-]{0,126}$/.test(name) &&
    !/^(?:\.{1,2}|snapshot.*|pvmove.*)$/.test(name) &&
    !/_(?:cdata|cmeta|corig|iorig|mimage|mlog|pmspare|rimage|rmeta|tdata|tmeta|vdata|vorigin|wcorig)/.test(name);
  if (!isFit)
    throw new IsletError("ISLET_BAD_REQUEST", `"${name}" cannot be the name of a ${what}`, {
      hint: "letters, digits and _ + . - but for some reserved words: lvm(8), VALID NAMES",
    });
}

/** GROUP and VOLUME of /dev/GROUP/VOLUME; null: another kind of path. */
function partsOf(path: string): { readonly group: string; readonly volume: string } | null {
  const [, group, volume] = /^\/dev\/(?!mapper\/)([^/]+)\/([^/]+)$/.exec(path) ?? [];
  return group === undefined || volume === undefined ? null : { group, volume };
}

/** What lvs says of one volume; null: it is not there. */
const askVolume = (context: StorageContext, path: string, field: string): Promise<string | null> =>
  askTool(context, tool("lvs"), [
    ...settings(),
    "--unbuffered",
    "--noheadings",
    "--nosuffix",
    "--units",
    "b",
    "-o",
    field,
    path,
  ]);

const isThinPool = async (context: StorageContext, path: string): Promise<boolean> =>
  (await askVolume(context, path, "lv_attr"))?.startsWith("t") === true;

/** Its name below /dev comes from udev, or from LVM where no udev runs; either may take a moment. */
async function whenThere(context: StorageContext, path: string): Promise<void> {
  const end = Date.now() + patience;
  let isActivated = false;
  while (!isBlockDevice(path)) {
    context.signal?.throwIfAborted();
    if (Date.now() > end)
      throw new IsletError("ISLET_IO", `the device ${path} does not appear`, { hint: "does udev run? try vgmknodes" });
    if (!isActivated && Date.now() > end - patience + 1000) {
      isActivated = true;
      await run(context, "lvchange", ["-ay", "-K", path]);
      await run(context, "vgmknodes", []);
    }
    await sleep(20);
  }
}

async function removeVolume(context: StorageContext, path: string): Promise<void> {
  const { host } = context;
  // Not the caller's patience: what is half-made goes even if nobody waits for it any more.
  const own: StorageContext = { host };
  const end = Date.now() + patience;
  for (;;) {
    if (!isBlockDevice(path) && (await askVolume(own, path, "lv_name")) === null && (await isAnswering(own, path)))
      return;
    const result = await run(own, "lvremove", ["-f", path]);
    if (result.kind === "done") return;
    const why = result.kind === "refused" ? result.why.trim() : "lvremove does not end";
    if (/failed to find|not found/i.test(why)) return;
    // udev, or a mkfs that was just killed, may hold it for a moment.
    if (Date.now() > end || !/in use|busy/i.test(why))
      throw new IsletError("ISLET_IO", `cannot remove the logical volume ${path}: ${why}`, { errno: "STATUS" });
    await sleep(200);
  }
}

/** Without LVM's programs, and no device there either, there is nothing that could be removed. */
async function isAnswering(context: StorageContext, path: string): Promise<boolean> {
  const group = partsOf(path)?.group;
  if (group === undefined) return true;
  // A group that is gone takes its volumes along.
  return (
    (await askTool(context, tool("vgs"), [...settings(), "--noheadings", "-o", "vg_name"])) !== null ||
    !isBlockDevice(path)
  );
}

const pathOf = (source: RootfsSource): string | null =>
  source.kind === "block" && source.driver === "lvm" ? source.path : null;

/** Two file systems of one identity cannot be mounted side by side (xfs), or are taken for one (btrfs); to ext4 it does not matter. */
async function renewIdentity(context: StorageContext, path: string): Promise<boolean> {
  const content = contentOf(path);
  if (content?.kind !== "filesystem") return true;
  const words: Readonly<Record<string, readonly [Tool, readonly string[]]>> = {
    xfs: [{ name: "xfs_admin", from: "xfsprogs" }, ["-U", "generate", path]],
    btrfs: [{ name: "btrfstune", from: "btrfs-progs" }, ["-f", "-u", path]],
  };
  const renewal = Object.hasOwn(words, content.type) ? words[content.type] : undefined;
  return renewal === undefined || (await tryTool(context, ...renewal)).kind === "done";
}

export const lvmDriver: StorageDriver<"lvm"> = {
  async plan(place, request, context) {
    const group = request.group ?? place.defaults["lxc.bdev.lvm.vg"] ?? defaultGroup;
    const volume = request.volume ?? place.name;
    checkName("volume group", group);
    checkName("logical volume", volume);
    if (request.thinPool !== null) checkName("thin pool", request.thinPool);
    const fstype = request.fstype ?? defaultFsType;
    checkFsType(fstype);
    requireTool(tool("lvcreate"));
    requireTool(fsMaker(fstype));
    const found = await run(context, "vgs", ["--noheadings", "-o", "vg_name", group]);
    if (found.kind !== "done") {
      const why = found.kind === "refused" ? found.why.trim() : "vgs does not end";
      throw new IsletError("ISLET_UNSUPPORTED", `the volume group ${group} cannot be used: ${why}`, {
        hint: `vgcreate ${group} DEVICE makes one; --vgname takes another`,
      });
    }
    const path = `/dev/${group}/${volume}`;
    if ((await askVolume(context, path, "lv_name")) !== null)
      throw new IsletError("ISLET_EXISTS", `there is a logical volume ${path} already`, {
        hint: "choose another name with --lvname",
      });
    return { kind: "block", driver: "lvm", path };
  },
  async create(source, place, request, context) {
    const path = pathOf(source);
    const parts = path === null ? null : partsOf(path);
    if (path === null || parts === null) return;
    const { group, volume } = parts;
    const pool = request.thinPool ?? place.defaults["lxc.bdev.lvm.thin_pool"] ?? defaultPool;
    const poolPath = `/dev/${group}/${pool}`;
    const size = `${request.size ?? defaultSize}b`;
    const isThin = await isThinPool(context, poolPath);
    if (!isThin && request.thinPool !== null)
      context.notice?.(`there is no thin pool ${poolPath}: ${path} becomes an ordinary volume`);
    const kind = isThin ? ["--thinpool", poolPath, "-V", size] : ["-L", size];
    try {
      await runTool(
        context,
        tool("lvcreate"),
        [...settings(), "-Wy", "--yes", ...kind, "-n", volume, group],
        `make the logical volume ${path}`,
        ends,
      );
      await whenThere(context, path);
      await makeFileSystem(context, request.fstype ?? defaultFsType, path);
    } catch (error) {
      await removeVolume(context, path);
      throw error;
    }
  },
  async snapshot(from, to, _place, context) {
    const [original, copy] = [pathOf(from), pathOf(to)];
    const parts = copy === null ? null : partsOf(copy);
    if (original === null || copy === null || parts === null || partsOf(original)?.group !== parts.group) return false;
    const attributes = await askVolume(context, original, "lv_attr");
    const size = await askVolume(context, original, "lv_size");
    if (attributes === null || size === null) return false;
    const isThin = attributes.startsWith("V");
    // A snapshot of the old kind cannot be made of another one.
    if (attributes.startsWith("s")) return false;
    const words = [
      ...settings(),
      "-s",
      "--yes",
      ...(isThin ? ["-kn"] : ["-L", `${size}b`]),
      "-n",
      parts.volume,
      original,
    ];
    try {
      await runTool(context, tool("lvcreate"), words, `make a snapshot of ${original}`, ends);
      await whenThere(context, copy);
      if (await renewIdentity(context, copy)) return { depends: !isThin };
      context.notice?.(`${original} is copied: the file system in a snapshot of it cannot get another UUID`);
    } catch (error) {
      await removeVolume(context, copy);
      throw error;
    }
    await removeVolume(context, copy);
    return false;
  },
  async request(source, context) {
    const path = pathOf(source);
    const parts = path === null ? null : partsOf(path);
    const size = path === null ? null : await askVolume(context, path, "lv_size");
    const content = path !== null && isBlockDevice(path) ? contentOf(path) : null;
    return {
      kind: "lvm",
      volume: null,
      group: parts?.group ?? null,
      thinPool: null,
      fstype: content?.kind === "filesystem" ? content.type : null,
      size: size === null || !/^\d+$/.test(size) ? null : BigInt(size),
    };
  },
  async remove(source, _place, context) {
    const path = pathOf(source);
    if (path === null) return;
    await removeVolume(context, path);
  },
};
