import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../base/io-error.js";

/** Whether it is this daemon's turn to start domains, once in the time that the host is up. */

/**
 * True once for each boot, and only for the host's own daemon, or for one whose environment says ISLET_LIBVIRT_AUTOSTART=1: the runtime directory, which is
 * empty after a boot, remembers it.
 */
export function isAutostartDue(runtimeDir: string, environment: Readonly<Record<string, string | undefined>>): boolean {
  if (runtimeDir !== "/run/islet" && environment["ISLET_LIBVIRT_AUTOSTART"] !== "1") return false;
  try {
    writeFileSync(join(runtimeDir, "libvirt-autostarted"), "", { flag: "wx", mode: 0o600 });
    return true;
  } catch (error) {
    if (!isErrno(error, "EEXIST")) console.error(error);
    return false;
  }
}

/** The names in a store; none where there is no store yet. */
export function namesIn(storePath: string): readonly string[] {
  try {
    return readdirSync(storePath);
  } catch {
    return [];
  }
}
