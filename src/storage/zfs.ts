import { existsSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import type { StorageContext, StorageDriver } from "./driver.js";
import { askTool, requireTool, runTool, type Tool, tryTool } from "./programs.js";

/** Data sets of ZFS, which nobody mounts but a start (canmount=noauto), as LXC's are. */

const zfs: Tool = { name: "zfs", from: "zfsutils-linux" };
const defaultRoot = "lxc";

/** zfs(8): letters, digits and _ - : . in each part. */
function checkDataset(dataset: string): void {
  const isFit =
    dataset.length <= 255 &&
    /^[A-Za-z][A-Za-z0-9_:.-]*(?:\/[A-Za-z0-9_:.-]+)*$/.test(dataset) &&
    !dataset.split("/").some((part) => part === "." || part === "..");
  if (!isFit) throw new IsletError("ISLET_BAD_REQUEST", `"${dataset}" cannot be the name of a data set`);
}

const property = (context: StorageContext, name: string, of: string): Promise<string | null> =>
  askTool(context, zfs, ["get", "-H", "-p", "-o", "value", name, of]);

const isThere = async (context: StorageContext, dataset: string): Promise<boolean> =>
  (await property(context, "type", dataset)) !== null;

const places = (directory: string): readonly string[] => [
  "-o",
  `mountpoint=${directory}/rootfs`,
  "-o",
  "canmount=noauto",
  "-p",
];

export const zfsDriver: StorageDriver<"zfs"> = {
  async plan(place, request, context) {
    requireTool(zfs);
    if (!existsSync("/dev/zfs"))
      throw new IsletError("ISLET_UNSUPPORTED", "the kernel has no ZFS", {
        hint: "apt-get install zfs-dkms, then modprobe zfs",
      });
    const root = request.root ?? place.defaults["lxc.bdev.zfs.root"] ?? defaultRoot;
    const dataset = `${root}/${place.name}`;
    checkDataset(dataset);
    const [pool = ""] = root.split("/");
    if (!(await isThere(context, pool)))
      throw new IsletError("ISLET_UNSUPPORTED", `there is no ZFS pool ${pool}`, {
        hint: `zpool create ${pool} DEVICE makes one; --zfsroot takes another`,
      });
    if (await isThere(context, dataset)) throw new IsletError("ISLET_EXISTS", `there is a data set ${dataset} already`);
    return { kind: "zfs", dataset };
  },
  async create(source, place, { size }, context) {
    if (source.kind !== "zfs") return;
    const { dataset } = source;
    const quota = size === null ? [] : ["-o", `refquota=${size}`];
    try {
      await runTool(
        context,
        zfs,
        ["create", ...quota, ...places(place.directory), dataset],
        `make the data set ${dataset}`,
      );
    } catch (error) {
      await zfsDriver.remove(source, place, { host: context.host });
      throw error;
    }
  },
  async snapshot(from, to, place, context) {
    if (from.kind !== "zfs" || to.kind !== "zfs") return false;
    // A clone cannot leave its pool.
    if (from.dataset.split("/")[0] !== to.dataset.split("/")[0]) return false;
    const snapshot = `${from.dataset}@${place.name}`;
    await runTool(context, zfs, ["snapshot", snapshot], `make the snapshot ${snapshot}`);
    try {
      await runTool(context, zfs, ["clone", ...places(place.directory), snapshot, to.dataset], `clone ${snapshot}`);
    } catch (error) {
      await tryTool({ host: context.host }, zfs, ["destroy", snapshot]);
      throw error;
    }
    return { depends: true };
  },
  async request(source, context) {
    if (source.kind !== "zfs") return { kind: "zfs", root: null, size: null };
    const { dataset } = source;
    const quota = await property(context, "refquota", dataset);
    return {
      kind: "zfs",
      root: dataset.includes("/") ? dataset.slice(0, dataset.lastIndexOf("/")) : null,
      size: quota === null || !/^[1-9]\d*$/.test(quota) ? null : BigInt(quota),
    };
  },
  async remove(source, _place, { host }) {
    if (source.kind !== "zfs") return;
    const context: StorageContext = { host };
    const { dataset } = source;
    // Where zfs(8) is gone nothing of it can be looked at: its pool is not imported either.
    if (!(await isThere(context, dataset))) return;
    const origin = await property(context, "origin", dataset);
    await runTool(context, zfs, ["destroy", "-r", dataset], `remove the data set ${dataset}`);
    // The snapshot that it was cloned from was made for it; others may have been cloned from it since.
    if (origin !== null && origin.includes("@")) await tryTool(context, zfs, ["destroy", "-d", origin]);
  },
};
