import { copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type DebianImage, debianRootfs, isCached } from "../test/support/debian.js";
import type { Side } from "./sides.js";

/** A Debian 12 guest with systemd on both sides, with the configuration that Debian's lxc has for Debian guests. */
const image: DebianImage = { release: "bookworm", flavour: "systemd" };

/** Making the image takes long: it is measured unasked only where that has been done. */
export function hasDebianImage(): boolean {
  return isCached(image);
}

/**
 * Makes the container, unless it is there; `stamp` is the program that writes the time at which multi-user.target is reached. Its root is in `memory`: a
 * guest that boots or halts waits for the disk (fsync(2), sync(2)), and how long that takes is up to everybody else. Gives back the root's path.
 */
export async function makeDebian(side: Side, name: string, stamp: string, memory: string): Promise<string> {
  const rootfs = join(memory, `${side.name}-${name}`);
  if (existsSync(rootfs)) return rootfs;
  await debianRootfs(image, rootfs);
  copyFileSync(stamp, join(rootfs, "islt-init"));
  const units = join(rootfs, "etc/systemd/system");
  mkdirSync(join(units, "multi-user.target.wants"), { recursive: true });
  // With default dependencies the target would come after its own units.
  writeFileSync(
    join(units, "islt-stamp.service"),
    "[Unit]\nDefaultDependencies=no\nAfter=multi-user.target\nConflicts=shutdown.target\nBefore=shutdown.target\n[Service]\nExecStart=/islt-init\n",
  );
  symlinkSync("../islt-stamp.service", join(units, "multi-user.target.wants/islt-stamp.service"));
  const lines = [
    "lxc.include = /usr/share/lxc/config/debian.common.conf",
    `lxc.rootfs.path = dir:${rootfs}`,
    `lxc.uts.name = ${name}`,
    "lxc.net.0.type = empty",
  ];
  mkdirSync(join(side.store, name), { recursive: true });
  writeFileSync(join(side.store, name, "config"), `${lines.join("\n")}\n`);
  return rootfs;
}
