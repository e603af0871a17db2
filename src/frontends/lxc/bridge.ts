import type { BridgeNetwork } from "../../spec/bridge.js";
import { parseLxcNet } from "./config/lxc-net.js";
import { readHostFiles } from "./host-files.js";

/** What LXC's lxc-net reads, in its order; ISLET_LXC_NET in the daemon's environment names another file. */
export function bridgeFiles(): readonly string[] {
  const given = process.env["ISLET_LXC_NET"];
  return given === undefined ? ["/etc/default/lxc", "/etc/default/lxc-net"] : [given];
}

/**
 * The bridge that the host's lxc-net wants, if it is called that or `name` is null: what a start makes that finds no such interface. A daemon with a runtime
 * directory of its own stands beside the host's, whose bridge is not its business unless it was given one.
 */
export function wantedBridge(runtimeDir: string, name: string | null): BridgeNetwork | null {
  if (runtimeDir !== "/run/islet" && process.env["ISLET_LXC_NET"] === undefined) return null;
  const { network, isWanted } = parseLxcNet(readHostFiles(bridgeFiles()));
  return isWanted && (name === null || network.name === name) ? network : null;
}
