import { join } from "node:path";
import type { HostFacts } from "../spec/host.js";

/** Where what belongs to a bridge of islet's is kept. */
export interface BridgeFiles {
  /** How it was made. */
  readonly note: string;
  readonly dnsmasqPid: string;
  /** Who has which address; outlives the bridge. */
  readonly leases: string;
  /** What dnsmasq is told of each container that was on it once (--dhcp-hostsdir); outlives the bridge, as reservations must. */
  readonly hosts: string;
  /** Names of addresses that the running containers have by themselves (--hostsdir): a file for each that runs. */
  readonly running: string;
}

export const bridgeDirectory = ({ runtimeDir }: HostFacts): string => join(runtimeDir, "net");

export function bridgeFiles(host: HostFacts, name: string): BridgeFiles {
  const directory = bridgeDirectory(host);
  // LXC's own place, so that addresses stay what they were; other daemons of this host keep theirs for themselves.
  const lasting = host.runtimeDir === "/run/islet" ? "/var/lib/misc" : directory;
  return {
    note: join(directory, `${name}.json`),
    dnsmasqPid: join(directory, `${name}.dnsmasq.pid`),
    leases: join(lasting, `dnsmasq.${name}.leases`),
    hosts: join(lasting, `dnsmasq.${name}.hosts`),
    running: join(directory, `${name}.running`),
  };
}
