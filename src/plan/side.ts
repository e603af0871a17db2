import { type Block, blob, call, cwdFd, imm, slot } from "../program/assembler.js";
import { openat } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import { ENODEV } from "../sys/errno.js";
import { AF_INET, CLONE_NEWNET, O_RDONLY, SIOCETHTOOL, SOCK_CLOEXEC, SOCK_DGRAM } from "../sys/flags.js";
import { delLinkGroup, newLinkVeth, setLink, type VethOptions } from "../sys/netlink.js";
import { ETHTOOL_GLINK, ethtoolRequest } from "../sys/structs.js";
import { writeFile } from "./cgroup.js";
import { deferRequest, type NetSockets, openNetSockets, request } from "./nic/netlink.js";

/**
 * Network namespaces that the program's own process enters one after another and keeps by what it has opened there: they end with it. Each
 * is joined with the host by a veth pair.
 */
export interface Side {
  /** Who it plays. */
  readonly name: string;
  readonly sockets: NetSockets;
  readonly netns: Slot;
  readonly udp: Slot;
}

/** The interface of a side, in its namespace. */
export const sideLink = "eth0";

/** `family`: AF_INET (UDP) or AF_PACKET; in the namespace that the process is in. */
export function openDatagrams(block: Block, family: number, name: string): Slot {
  const out = slot(block.build, `${name}.socket`);
  const type = imm(SOCK_DGRAM | SOCK_CLOEXEC, "SOCK_DGRAM|SOCK_CLOEXEC");
  const shown = family === AF_INET ? "AF_INET" : "AF_PACKET";
  call(block, "socket", [imm(family, shown), type, imm(0)], { note: `open a socket: ${name}`, out });
  return out;
}

/** The namespace that the process is in. */
export function openOwnNetns(block: Block, name: string): Slot {
  const netns = slot(block.build, `${name}.netns`);
  openat(block, cwdFd, "/proc/self/ns/net", O_RDONLY, netns, { note: `open the network namespace: ${name}` });
  return netns;
}

export function enterNetns(block: Block, netns: Slot, name: string): void {
  call(block, "setns", [netns, imm(CLONE_NEWNET, "CLONE_NEWNET")], { note: `enter the network namespace: ${name}` });
}

/** The process goes into a new namespace. */
export function newSide(block: Block, name: string): Side {
  call(block, "unshare", [imm(CLONE_NEWNET, "CLONE_NEWNET")], {
    note: `make a network namespace: ${name}`,
    hints: { ENOSPC: "a limit of namespaces is reached: /proc/sys/user/max_net_namespaces" },
  });
  for (const link of ["all", "default"]) {
    // Who has no address yet is answered from where no route of its leads.
    writeFile(block, `/proc/sys/net/ipv4/conf/${link}/rp_filter`, "0", `${name}: no rp_filter`, null);
    writeFile(block, `/proc/sys/net/ipv6/conf/${link}/disable_ipv6`, "1", `${name}: no IPv6`, null, true);
  }
  const sockets = openNetSockets(block, name);
  return { name, sockets, netns: openOwnNetns(block, name), udp: openDatagrams(block, AF_INET, name) };
}

/** The links of a group are removed at the end, in one go. Before the first of them is made. */
export function removeGroupAtEnd(block: Block, group: number): void {
  const show = `{RTM_DELLINK, group ${group}}`;
  deferRequest(block, delLinkGroup(group), {}, show, "remove the interfaces of the trial", [ENODEV]);
}

/** `name`: of the host's end; `here`: of the host. */
export function joinSide(
  block: Block,
  here: NetSockets,
  side: Side,
  options: Omit<VethOptions, "peerName" | "peerNetnsFd" | "up">,
  late: { readonly masterIndex?: Slot },
): void {
  const { name } = options;
  const message = newLinkVeth({ ...options, up: true, peerName: sideLink, peerNetnsFd: "late" });
  request(block, here, message, { ...late, netnsFd: side.netns }, `{RTM_NEWLINK, ${name}, veth}`, {
    note: `make the veth pair ${name}`,
    hints: { EEXIST: `the name ${name} is in use on the host`, EOPNOTSUPP: "this kernel has no veth" },
  });
  request(block, side.sockets, setLink({ name: sideLink, up: true }), {}, `{RTM_SETLINK, ${sideLink}, up}`, {
    note: `bring the other end of ${name} up`,
  });
  settle(block, here, name);
  settle(block, side.sockets, sideLink);
}

/**
 * The kernel takes note of a carrier when it comes to it, and until then drops what is sent there; who asks whether there is one makes it
 * come to it (ethtool_op_get_link).
 */
export function settle(block: Block, sockets: NetSockets, name: string): void {
  const room = blob(block.build, ethtoolRequest(name, ETHTOOL_GLINK), `{ifr_name="${name}", ETHTOOL_GLINK}`);
  call(block, "ioctl", [sockets.ioctl, imm(SIOCETHTOOL, "SIOCETHTOOL"), room], {
    note: `see whether ${name} has a carrier`,
  });
}
