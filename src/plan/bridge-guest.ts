import {
  type Block,
  call,
  compute,
  data,
  goOn,
  imm,
  jump,
  label,
  nil,
  place,
  slot,
  store,
  str,
  within,
} from "../program/assembler.js";
import type { Label, Slot } from "../program/ops.js";
import { ARP_AT, ARP_REPLY, ARP_SIZE, ETH_P_ARP, arpProbe } from "../sys/arp.js";
import {
  BOOTREPLY,
  DHCP_AT,
  DHCP_CLIENT_PORT,
  DHCP_SERVER_PORT,
  DNS_AT,
  DNS_PORT,
  dhcpReturnQuestion,
  dnsVersionQuestion,
} from "../sys/dhcp.js";
import { EAGAIN } from "../sys/errno.js";
import { MSG_DONTWAIT, SO_BINDTODEVICE, SO_BROADCAST, SOL_SOCKET } from "../sys/flags.js";
import { broadcastOf } from "../sys/ip.js";
import { newAddress, newRoute } from "../sys/netlink.js";
import { SOCKADDR_LL_AT, sockaddrPacketBroadcast } from "../sys/structs.js";
import { type Exchange, exchange, expect, inet, limitWaiting, sendTo } from "./exchange.js";
import { interfaceIndex, request } from "./nic/netlink.js";
import { type Side, sideLink } from "./side.js";

/** What a guest on a bridge asks of the host: who has an address, an address for itself, a name. */

/** Milliseconds that an answer has. */
export const answerTime = 250;
/** How often DHCP is asked: a server has a second. */
const dhcpTries = 4;
/** Datagrams that are passed over. */
const patience = 64;

/** Who has this address? `mac`: the guest's. The answer has the time until `seeWhetherTaken`. */
export function sendProbe(block: Block, guest: Side, arp: Slot, mac: Uint8Array, address: Uint8Array): void {
  const index = interfaceIndex(block, guest.sockets, sideLink, { note: "find the guest's interface" });
  const to = data(block.build, sockaddrPacketBroadcast(ETH_P_ARP), "{ARP, everybody}");
  store(block, index, within(to, SOCKADDR_LL_AT.ifindex, 4), 4, "ARP on the guest's interface");
  call(block, "bind", [arp, to, imm(to.size)], { note: "listen for ARP" });
  const probe = data(block.build, arpProbe(mac, address), () => `{who has ${address.join(".")}?}`);
  sendTo(block, arp, probe, to, "ask who has the guest's address", false);
}

/** Goes on at `taken` if somebody has answered for the address. */
export function seeWhetherTaken(block: Block, arp: Slot, address: Uint8Array, taken: Label): void {
  const { build } = block;
  const [next, free] = [label("the next of ARP"), label("nobody has it")];
  const left = slot(build, "patience");
  const bytes = data(build, new Uint8Array(ARP_SIZE), "ARP");
  compute(block, left, "set", imm(patience), null, "what of others is passed over");
  place(block, next);
  jump(block, taken, "too much of others", "lt", left, imm(1));
  compute(block, left, "sub", left, imm(1), "one answer");
  call(block, "recvfrom", [arp, bytes, imm(ARP_SIZE), imm(MSG_DONTWAIT, "MSG_DONTWAIT"), nil, nil], {
    note: "see who has the guest's address",
    on: goOn(free, EAGAIN),
  });
  expect(block, within(bytes, ARP_AT.op, 1), Uint8Array.of(ARP_REPLY), next);
  expect(block, within(bytes, ARP_AT.senderAddress, 4), address, next);
  jump(block, taken, "it is not ours to take");
  place(block, free);
}

/** The guest takes an address and has a gateway. */
export function settleGuest(
  block: Block,
  { sockets }: Side,
  { address, prefix, gateway }: { readonly address: Uint8Array; readonly prefix: number; readonly gateway: Uint8Array },
): void {
  const index = interfaceIndex(block, sockets, sideLink, { note: "find the guest's interface" });
  const message = newAddress({ index: "late", address, prefix, broadcast: broadcastOf(address, prefix) });
  request(block, sockets, message, { index }, "{RTM_NEWADDR, guest}", { note: "give the guest its address" });
  const route = newRoute({ family: "ipv4", gateway, index: "late" });
  request(block, sockets, route, { index }, "{RTM_NEWROUTE, guest}", { note: "give the guest its gateway" });
}

/** Sets `bit` if the server at `server` answers, with a no: it is asked for `foreign`, which is in no network of its. `xid`: four bytes. */
export function askDhcp(
  block: Block,
  fd: Slot,
  mac: Uint8Array,
  { server, foreign, xid }: { readonly server: Uint8Array; readonly foreign: Uint8Array; readonly xid: Uint8Array },
  bit: number,
  result: Slot,
): void {
  const { build } = block;
  const one = data(build, Uint8Array.of(1, 0, 0, 0), "[1]");
  const link = str(build, sideLink);
  const level = imm(SOL_SOCKET, "SOL_SOCKET");
  call(block, "setsockopt", [fd, level, imm(SO_BROADCAST, "SO_BROADCAST"), one, imm(4)], {
    note: "let it ask everybody",
  });
  call(block, "setsockopt", [fd, level, imm(SO_BINDTODEVICE, "SO_BINDTODEVICE"), link, imm(link.size)], {
    note: "keep DHCP on the guest's interface",
  });
  const own = inet(block, new Uint8Array(4), DHCP_CLIENT_PORT);
  call(block, "bind", [fd, own, imm(own.size)], { note: "take the port of DHCP's clients" });
  const question = data(build, dhcpReturnQuestion(xid, mac, foreign), "{DHCPREQUEST}");
  const everybody = inet(block, new Uint8Array(4).fill(255), DHCP_SERVER_PORT);
  ask(block, result, {
    what: "an answer by DHCP",
    tries: dhcpTries,
    ask: () => {
      sendTo(block, fd, question, everybody, "ask for an address by DHCP", true);
    },
    socket: fd,
    expected: [
      { at: DHCP_AT.op, bytes: Uint8Array.of(BOOTREPLY) },
      { at: DHCP_AT.xid, bytes: xid },
    ],
    sender: server,
    bit,
  });
}

/** Sets `bit` if the server at `server` answers. `id`: two bytes. */
export function askDns(
  block: Block,
  { udp }: Side,
  { server, id }: { readonly server: Uint8Array; readonly id: Uint8Array },
  bit: number,
  tries: number,
  result: Slot,
): void {
  const question = data(block.build, dnsVersionQuestion(id), "{TXT version.bind}");
  const to = inet(block, server, DNS_PORT);
  ask(block, result, {
    what: "an answer by DNS",
    tries,
    ask: () => {
      sendTo(block, udp, question, to, "ask for a name by DNS", true);
    },
    socket: udp,
    expected: [{ at: DNS_AT.id, bytes: id }],
    sender: server,
    bit,
  });
}

function ask(block: Block, result: Slot, wanted: Exchange): void {
  const none = label(`without ${wanted.what}`);
  limitWaiting(block, wanted.socket, answerTime);
  exchange(block, wanted, result, none);
  place(block, none);
}
