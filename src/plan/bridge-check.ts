import {
  type Block,
  beginProgram,
  call,
  compute,
  data,
  end,
  finishProgram,
  imm,
  jump,
  label,
  place,
  slot,
  within,
} from "../program/assembler.js";
import type { Label, LaunchProgram, Slot } from "../program/ops.js";
import type { HostFacts } from "../spec/host.js";
import { ENODEV, ENOENT } from "../sys/errno.js";
import { AF_INET, AF_PACKET } from "../sys/flags.js";
import { delNeighbour, newAddress } from "../sys/netlink.js";
import { SOCKADDR_IN_AT, SOCKADDR_IN_SIZE } from "../sys/structs.js";
import { answerTime, askDhcp, askDns, seeWhetherTaken, sendProbe, settleGuest } from "./bridge-guest.js";
import { exchange, expect, inet, limitWaiting, sendTo } from "./exchange.js";
import { deferRequest, interfaceIndex, type NetSockets, openNetSockets, request } from "./nic/netlink.js";
import {
  enterNetns,
  joinSide,
  newSide,
  openDatagrams,
  openOwnNetns,
  removeGroupAtEnd,
  settle,
  type Side,
  sideLink,
} from "./side.js";

/**
 * Does what a guest on a bridge does, to see whether that passes: asks for an address, asks for a name, speaks with somebody beyond the host.
 * The guest and who is beyond are network namespaces of the program's own process, joined with the host by a veth pair each: all of it
 * goes with the process. Nobody gets a lease, and an address that somebody answers for is not taken.
 */
export interface BridgeCheck {
  readonly bridge: string;
  /** Four bytes, of the bridge itself. */
  readonly gateway: Uint8Array;
  readonly prefix: number;
  /** The bridge's: a port with a smaller one would make it smaller. */
  readonly mtu: number;
  /** An address of the bridge's network that nobody has; null: nothing is asked but for an address. */
  readonly guest: Uint8Array | null;
  /** A network of four addresses that nobody uses; null: nobody beyond the host is spoken to. */
  readonly beyond: Uint8Array | null;
  /** Asked for by DHCP: of no network of this host's. */
  readonly foreign: Uint8Array;
  /** Eight bytes that are other ones each time. */
  readonly random: Uint8Array;
}

/** Bits of the program's result: what passed; `taken`: somebody has the guest's address, so there was nothing beyond DHCP. */
export const checkBits = { dhcp: 1, dns: 2, forward: 4, nat: 8, answer: 16, taken: 32 } as const;

/** How often each but DHCP is asked. */
const tries = 3;
/** The port of who is beyond: QUIC's, which a firewall closes last. */
const farPort = 443;

/** Result: `checkBits`. */
export function planBridgeCheck(wanted: BridgeCheck, host: HostFacts): LaunchProgram {
  const client = beginProgram(host.arch, "client");
  const { build } = client;
  const { bridge, guest, beyond, gateway, prefix, mtu, random } = wanted;
  const { names, group, mac, portMac } = identities(random);
  const result = slot(build, "result");
  const [taken, done] = [label("somebody has the address"), label("all is known")];
  compute(client, result, "set", imm(0), null, "nothing passed yet");
  const here = openNetSockets(client, "host");
  const home = openOwnNetns(client, "host");
  const master = interfaceIndex(client, here, bridge, { note: `find the bridge ${bridge}` });
  const near = newSide(client, "guest");
  const dhcp = openDatagrams(client, AF_INET, "dhcp");
  const arp = openDatagrams(client, AF_PACKET, "arp");
  const far = newSide(client, "beyond");
  enterNetns(client, home, "host");

  if (guest !== null) {
    // The host learns our hardware address for it; who gets the address next shall not wait until that is forgotten. After all else is gone.
    const entry = delNeighbour({ index: "late", address: guest });
    deferRequest(client, entry, { index: master }, `{RTM_DELNEIGH, ${bridge}}`, "forget the guest", [ENOENT, ENODEV]);
  }
  removeGroupAtEnd(client, group);
  const port = {
    name: names.near,
    group,
    mtu,
    peerMtu: mtu,
    hwaddr: portMac,
    peerHwaddr: mac,
    master: "late" as const,
  };
  joinSide(client, here, near, port, { masterIndex: master });
  settle(client, here, bridge);
  if (guest !== null) sendProbe(client, near, arp, mac, guest);
  askDhcp(
    client,
    dhcp,
    mac,
    { server: gateway, foreign: wanted.foreign, xid: random.subarray(0, 4) },
    checkBits.dhcp,
    result,
  );
  if (guest !== null) {
    if (beyond !== null) joinFar(client, here, far, { name: names.far, group }, beyond);
    seeWhetherTaken(client, arp, guest, taken);
    settleGuest(client, near, { address: guest, prefix, gateway });
    askDns(client, near, { server: gateway, id: random.subarray(4, 6) }, checkBits.dns, tries, result);
    if (beyond !== null) speak(client, near, far, beyond, random, result, done);
    jump(client, done, "all is known");
    place(client, taken);
    compute(client, result, "or", result, imm(checkBits.taken), "somebody has the guest's address");
  }
  place(client, done);
  end(client, result, "all is known");
  return finishProgram(build);
}

/** What is called how; the hardware addresses are locally administered, and the port's so high that the bridge does not take it for its own. */
function identities(random: Uint8Array): {
  readonly names: { readonly near: string; readonly far: string };
  readonly group: number;
  readonly mac: Uint8Array;
  readonly portMac: Uint8Array;
} {
  const [first = 0, second = 0, third = 0, ...rest] = random;
  const digits = [first, second].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return {
    names: { near: `islet-try-${digits}`, far: `islet-far-${digits}` },
    // Above what administrators number.
    group: 0x40000000 + first * 0x10000 + second * 0x100 + third,
    mac: Uint8Array.of(0x02, 0x16, 0x3e, ...rest.slice(0, 3)),
    portMac: Uint8Array.of(0xfe, 0x16, 0x3e, ...rest.slice(0, 3)),
  };
}

const addressIn = (network: Uint8Array, number: number): Uint8Array =>
  network.map((byte, index) => (index === 3 ? byte + number : byte));

/** The host is .1 of their network, who is beyond it .2. */
function joinFar(
  block: Block,
  here: NetSockets,
  far: Side,
  port: { readonly name: string; readonly group: number },
  beyond: Uint8Array,
): void {
  joinSide(block, here, far, port, {});
  for (const [sockets, link, number] of [
    [here, port.name, 1],
    [far.sockets, sideLink, 2],
  ] as const) {
    const index = interfaceIndex(block, sockets, link, { note: `find ${link}` });
    const message = newAddress({ index: "late", address: addressIn(beyond, number), prefix: 30 });
    request(block, sockets, message, { index }, `{RTM_NEWADDR, ${link}}`, { note: `give ${link} its address` });
  }
  const own = inet(block, addressIn(beyond, 2), farPort);
  call(block, "bind", [far.udp, own, imm(own.size)], { note: "take the port of who is beyond" });
  limitWaiting(block, far.udp, answerTime);
}

/** A word from the guest to who is beyond, and one back to where it seems to come from. */
function speak(
  block: Block,
  near: Side,
  far: Side,
  beyond: Uint8Array,
  random: Uint8Array,
  result: Slot,
  done: Label,
): void {
  const word = data(block.build, random, "word");
  const address = addressIn(beyond, 2);
  const to = inet(block, address, farPort);
  const expected = [0, 4].map((at) => ({ at, bytes: random.subarray(at, at + 4) }));
  const there = {
    what: "a word from the guest",
    tries,
    ask: () => {
      sendTo(block, near.udp, word, to, "speak to who is beyond", true);
    },
    socket: far.udp,
    expected,
    sender: null,
    bit: checkBits.forward,
  };
  const { sender } = exchange(block, there, result, done);
  expect(block, within(sender, SOCKADDR_IN_AT.address, 4), addressIn(beyond, 1), done);
  compute(block, result, "or", result, imm(checkBits.nat), "it comes from the host's address");
  const seen = within(sender, 0, SOCKADDR_IN_SIZE);
  const back = {
    what: "a word back",
    tries,
    ask: () => {
      sendTo(block, far.udp, word, seen, "answer the guest", true);
    },
    socket: near.udp,
    expected,
    sender: address,
    bit: checkBits.answer,
  };
  exchange(block, back, result, done);
}
