import {
  type Block,
  type CallOptionsLike,
  buffer,
  call,
  check,
  data,
  defer,
  ignore,
  imm,
  load,
  nil,
  slot,
  store,
  within,
} from "./parts.js";
import { close } from "../../program/calls.js";
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
  const rtnl = openRtnl(block, where);
  const ioctl = slot(block.build, `${where}.ioctl`);
  call(block, "socket", [imm(1, "AF_UNIX"), imm(0o2000002, "SOCK_DGRAM|SOCK_CLOEXEC"), imm(0)], {
    note: "open a socket for interface ioctls",
    out: ioctl,
  });
  return { rtnl, ioctl };
}

function openRtnl(block: Block, where: string): Slot {
  const rtnl = slot(block.build, `${where}.rtnl`);
  call(block, "socket", [imm(16, "AF_NETLINK"), imm(0o2000003, "SOCK_RAW|SOCK_CLOEXEC"), imm(0, "NETLINK_ROUTE")], {
    note: "open a netlink socket",
    out: rtnl,
  });
  return rtnl;
}

/** Sends one request and takes its acknowledgement; the kernel's answer is the operation's error. */
export function request(
  block: Block,
  sockets: Pick<NetSockets, "rtnl">,
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

/** Registers a request for the end that undoes an earlier one. `gone`: errors that say that there is nothing left to undo. */
export function deferRequest(
  block: Block,
  message: NetlinkMessage,
  late: Readonly<Partial<Record<PatchName, Value>>>,
  show: string,
  note: string,
  gone: readonly number[],
): void {
  defer(block, note, `${note} at the end`, (undo) => {
    const rtnl = openRtnl(undo, "undo");
    request(undo, { rtnl }, message, late, show, { note, on: ignore(...gone) });
    close(undo, rtnl, "close the netlink socket");
  });
}

/** The index of an interface by its name in the block's network namespace. */
export function interfaceIndex(block: Block, sockets: NetSockets, name: string, options: CallOptionsLike): Slot {
  const index = slot(block.build, `${name}.index`);
  const room = data(block.build, ifreq(name), `{ifr_name="${name}"}`);
  call(block, "ioctl", [sockets.ioctl, imm(SIOCGIFINDEX, "SIOCGIFINDEX"), room], options);
  load(block, index, within(room, IFREQ_AT.ifindex, 4), 4, `take the index of ${name}`);
  return index;
}
