import type { NicGrants } from "../../spec/user-nic.js";
import { parseUserNet } from "./config/lxc-usernet.js";
import { readHostFiles } from "./host-files.js";

/**
 * The host's lxc-usernet(5), or another one that ISLET_LXC_USERNET in the daemon's environment names; null: a daemon with a runtime directory of
 * its own stands beside the host's, and grants nobody anything unless it was given one.
 */
export function userNetFile(runtimeDir: string): string | null {
  return process.env["ISLET_LXC_USERNET"] ?? (runtimeDir === "/run/islet" ? "/etc/lxc/lxc-usernet" : null);
}

/** A file that is not there grants nothing. @throws IsletError ISLET_IO */
export function readNicGrants(runtimeDir: string): NicGrants {
  const file = userNetFile(runtimeDir);
  const [found] = file === null ? [] : readHostFiles([file]);
  return found === undefined ? { grants: [], faults: [] } : parseUserNet(found);
}
