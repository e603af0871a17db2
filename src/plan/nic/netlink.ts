import {
  type Block,
  type CallOptionsLike,
  buffer,
  call,
  check,
  data,
  imm,
  load,
  nil,
  slot,
  store,
  within,
} from "./parts.js";
import type { Slot, Value } from "../../program/ops.js";
import type { NetlinkMessage, PatchName } from "../../sys/nlmsg.js";
import { IFREQ_AT, ifreq } from "../../sys/structs.js";
import { SIOCGIFINDEX } from "../../sys/flags.js";

/** A netlink socket for routes and links (rtnetlink(7)) and a plain one for interface ioctls (netdevice(7)). */
export interface NetSockets {
  readonly rtnl: Slot;
  readonly ioctl: Slot;
}

export function openNetSockets(block: Block, where: string): NetSockets {
  const rtnl = slot(block.build, `${where}.rtnl`);
  const ioctl = slot(block.build, `${where}.ioctl`);
  call(block, "socket", [imm(16, "AF_NETLINK"), imm(0o2000003, "SOCK_RAW|SOCK_CLOEXEC"), imm(0, "NETLINK_ROUTE")], {
    note: "open a netlink socket",
    out: rtnl,
  });
  call(block, "socket", [imm(1, "AF_UNIX"), imm(0o2000002, "SOCK_DGRAM|SOCK_CLOEXEC"), imm(0)], {
    note: "open a socket for interface ioctls",
    out: ioctl,
  });
  return { rtnl, ioctl };
}

/** Sends one request and takes its acknowledgement; the kernel's answer is the operation's error. */
export function request(
  block: Block,
  sockets: NetSockets,
  message: NetlinkMessage,
  late: Readonly<Partial<Record<PatchName, Value>>>,
  show: string,
  options: CallOptionsLike,
): void {
  const bytes = data(block.build, message.bytes, show);
  for (const [name, value] of Object.entries(late)) {
    const at = message.patches[name as PatchName];
    if (at !== undefined && value !== undefined)
      store(block, value, within(bytes, at, 4, show), 4, `${options.note}: fill in ${name}`);
  }
  const answer = buffer(block.build, 1024, "answer");
  const error = slot(block.build, "netlink.error");
  call(block, "sendto", [sockets.rtnl, bytes, imm(bytes.size), imm(0), nil, imm(0)], {
    note: `${options.note}: send the request`,
  });
  call(block, "recvfrom", [sockets.rtnl, answer, imm(1024), imm(0), nil, nil], {
    note: `${options.note}: take the answer`,
  });
  load(block, error, within(answer, 16, 4), 4, `${options.note}: look at the answer`);
  check(block, error, options);
}

/** The index of an interface by its name in the block's network namespace. */
export function interfaceIndex(block: Block, sockets: NetSockets, name: string, options: CallOptionsLike): Slot {
  const index = slot(block.build, `${name}.index`);
  const room = data(block.build, ifreq(name), `{ifr_name="${name}"}`);
  call(block, "ioctl", [sockets.ioctl, imm(SIOCGIFINDEX, "SIOCGIFINDEX"), room], options);
  load(block, index, within(room, IFREQ_AT.ifindex, 4), 4, `take the index of ${name}`);
  return index;
}
