import { closeSync, constants, openSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { ioError } from "../base/io-error.js";
import { contentOf } from "./content.js";
import type { StorageContext, StorageDriver } from "./driver.js";
import { checkFsType, fsMaker, makeFileSystem } from "./mkfs.js";
import { isBlockDevice, requireTool, tryTool } from "./programs.js";

/** A device of the host's. It is used as it is; a file system is made only where nothing at all is found on it, and it is never removed. */

/** @throws IsletError ISLET_BUSY: it is mounted, or part of something else. */
function checkUnused(device: string): void {
  try {
    // O_EXCL on a device: nobody else may have it for themselves (open(2)).
    closeSync(openSync(device, constants.O_RDONLY | constants.O_EXCL));
  } catch (error) {
    const failure = ioError(`use ${device}`, error);
    if (failure.errno !== "EBUSY") throw failure;
    throw new IsletError("ISLET_BUSY", `${device} is in use`, { hint: "it is mounted, or part of another device" });
  }
}

/** Knows far more marks than we do: partition tables, RAIDs, encryption. Status 2: there is nothing. */
async function isBlank(device: string, context: StorageContext): Promise<boolean> {
  if (contentOf(device) !== null) return false;
  const result = await tryTool(context, { name: "blkid", from: "util-linux" }, ["-p", device]);
  return result.kind === "refused" && result.why.endsWith(" ended with status 2");
}

export const blockDriver: StorageDriver<"block"> = {
  plan(_place, { device, fstype }) {
    if (!isBlockDevice(device))
      throw new IsletError("ISLET_NO_ROOTFS", `${device} is not a block device`, {
        hint: "is it there, and attached?",
      });
    checkUnused(device);
    const content = contentOf(device);
    if (content?.kind === "other") throw new IsletError("ISLET_NO_ROOTFS", `${device} holds ${content.what}`);
    if (content === null && fstype === null)
      throw new IsletError("ISLET_NO_ROOTFS", `there is no file system on ${device}`, {
        hint: "make one (mkfs), or say which one islet shall make (--fstype)",
      });
    if (content !== null && fstype !== null && content.type !== fstype)
      throw new IsletError("ISLET_EXISTS", `there is a file system ${content.type} on ${device}, not ${fstype}`, {
        hint: `leave --fstype out to use it as it is; wipefs -a ${device} makes it blank`,
      });
    if (fstype !== null) {
      checkFsType(fstype);
      if (content === null) requireTool(fsMaker(fstype));
    }
    return Promise.resolve({ kind: "block", driver: "block", path: device });
  },
  async create(source, _place, { fstype }, context) {
    if (source.kind !== "block" || fstype === null) return;
    if (contentOf(source.path)?.kind === "filesystem") return;
    if (!(await isBlank(source.path, context)))
      throw new IsletError("ISLET_EXISTS", `something is on ${source.path}`, {
        hint: `look with blkid -p ${source.path}; wipefs -a ${source.path} makes it blank`,
      });
    await makeFileSystem(context, fstype, source.path);
  },
  request: (source) =>
    Promise.resolve({ kind: "block", device: source.kind === "block" ? source.path : "", fstype: null }),
  remove: () => Promise.resolve(),
};
