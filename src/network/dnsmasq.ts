import type { BridgeNetwork } from "../spec/bridge.js";
import { dhcpRanges } from "./dhcp-range.js";

/** dnsmasq(8) on one bridge: DHCP and DNS there and nowhere else. */

export interface DnsmasqFiles {
  readonly dnsmasqPid: string;
  readonly leases: string;
  /** Directories: of hardware addresses with what belongs to them, and of names with their addresses. */
  readonly hosts: string;
  readonly running: string;
}

/** Its arguments: those of LXC's lxc-net, and the directories. `user`: whose rights it takes. It goes into the background when it serves. */
export function dnsmasqWords(net: BridgeNetwork, user: string, files: DnsmasqFiles): readonly string[] {
  const { ipv4, ipv6, domain } = net;
  return [
    // Else it reads the host's own.
    `--conf-file=${ipv4.dhcp.confFile ?? "/dev/null"}`,
    ...(domain === null ? [] : [`--domain=${domain}`, `--local=/${domain}/`]),
    ...(ipv4.dhcp.ping ? [] : ["--no-ping"]),
    `--user=${user}`,
    "--strict-order",
    "--bind-interfaces",
    `--pid-file=${files.dnsmasqPid}`,
    `--listen-address=${ipv4.address}`,
    ...dhcpRanges(ipv4.dhcp).map((range) => `--dhcp-range=${range}`),
    `--dhcp-lease-max=${ipv4.dhcp.most}`,
    "--dhcp-no-override",
    "--except-interface=lo",
    `--interface=${net.name}`,
    `--dhcp-leasefile=${files.leases}`,
    `--dhcp-hostsdir=${files.hosts}`,
    `--hostsdir=${files.running}`,
    "--dhcp-authoritative",
    // ra-names: a guest's address of its own making has its name, too.
    ...(ipv6 === null ? [] : [`--dhcp-range=${ipv6.address},ra-names`, `--listen-address=${ipv6.address}`]),
  ];
}
