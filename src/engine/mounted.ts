import { readFileSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { printable } from "../base/printable.js";
import { parseMountinfo } from "../sys/mountinfo.js";

/** The first thing that is mounted in a directory, `except` on one place; null: nothing, as far as this process sees. */
export function mountBelow(mountinfo: string, directory: string, except: string | null = null): string | null {
  const found = parseMountinfo(mountinfo).find(({ point }) => point.startsWith(`${directory}/`) && point !== except);
  return found?.point ?? null;
}

/** ISLET_BUSY, with the mount's name. */
export function checkNothingMounted(directory: string, except: string | null = null): void {
  const point = mountBelow(readFileSync("/proc/self/mountinfo", "utf8"), directory, except);
  if (point !== null) {
    throw new IsletError("ISLET_BUSY", `something is mounted on ${printable(point)}`, {
      hint: `umount ${printable(point)} first`,
    });
  }
}
