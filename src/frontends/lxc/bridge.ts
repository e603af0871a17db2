import { readFileSync } from "node:fs";
import { IsletError } from "../../base/errors.js";
import type { BridgeNetwork } from "../../spec/bridge.js";
import { parseLxcNet, type VariableFile } from "./config/lxc-net.js";

/** What LXC's lxc-net reads, in its order; ISLET_LXC_NET in the daemon's environment names another file. */
export function bridgeFiles(): readonly string[] {
  const given = process.env["ISLET_LXC_NET"];
  return given === undefined ? ["/etc/default/lxc", "/etc/default/lxc-net"] : [given];
}

/** Those that are there. @throws IsletError ISLET_IO */
export function readBridgeFiles(files: readonly string[]): readonly VariableFile[] {
  return files.flatMap((file) => {
    try {
      return [{ file, text: readFileSync(file, "utf8") }];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw new IsletError("ISLET_IO", `cannot read ${file}`, { cause: error });
    }
  });
}

/**
 * The bridge that the host's lxc-net wants, if it is called that or `name` is null: what a start makes that finds no such interface. A daemon with a runtime
 * directory of its own stands beside the host's, whose bridge is not its business unless it was given one.
 */
export function wantedBridge(runtimeDir: string, name: string | null): BridgeNetwork | null {
  if (runtimeDir !== "/run/islet" && process.env["ISLET_LXC_NET"] === undefined) return null;
  const { network, isWanted } = parseLxcNet(readBridgeFiles(bridgeFiles()));
  return isWanted && (name === null || network.name === name) ? network : null;
}
