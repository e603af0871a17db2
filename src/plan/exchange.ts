import {
  type Block,
  buffer,
  call,
  compute,
  data,
  imm,
  jump,
  label,
  load,
  place,
  slot,
  within,
} from "../program/assembler.js";
import type { Data, Label, Slot } from "../program/ops.js";
import { SOL_SOCKET, SO_RCVTIMEO } from "../sys/flags.js";
import { sockaddrInet, SOCKADDR_IN_AT, SOCKADDR_IN_SIZE, timeval } from "../sys/structs.js";

/** Questions and answers over sockets in a launch program: asked again until the right answer comes, or no more tries are left. */

/** What an answer must have at a place: up to four bytes. */
export interface Expected {
  readonly at: number;
  readonly bytes: Uint8Array;
}

export interface Exchange {
  /** In words: "an answer by DHCP". */
  readonly what: string;
  readonly tries: number;
  readonly ask: () => void;
  /** Where the answer arrives; it has a time limit (`limitWaiting`). */
  readonly socket: Slot;
  readonly expected: readonly Expected[];
  /** Who must have sent it: four bytes; null: anybody. */
  readonly sender: Uint8Array | null;
  /** Of the result, when the answer came. */
  readonly bit: number;
}

/** `mayFail`: it is tried again anyway. */
export function sendTo(block: Block, fd: Slot, bytes: Data, to: Data, what: string, mayFail: boolean): void {
  call(block, "sendto", [fd, bytes, imm(bytes.size), imm(0), to, imm(to.size)], {
    note: what,
    on: mayFail ? [{ on: "any", to: "next" }] : [],
  });
}

/** `address`: four bytes. */
export const inet = (block: Block, address: Uint8Array, port: number): Data =>
  data(block.build, sockaddrInet(address, port), () => `{${address.join(".")}:${port}}`);

/** Room for what is received, and for who has sent it. */
export interface Received {
  readonly bytes: Data;
  readonly sender: Data;
}

/** Datagrams that are passed over, others' or forged, before the exchange is given up: whoever floods does not keep the program for long. */
const patience = 64;
const room = 1500;

/** `milliseconds` that a question's answer has. */
export function limitWaiting(block: Block, socket: Slot, milliseconds: number): void {
  const time = data(block.build, timeval(milliseconds), `{${milliseconds} ms}`);
  call(block, "setsockopt", [socket, imm(SOL_SOCKET, "SOL_SOCKET"), imm(SO_RCVTIMEO, "SO_RCVTIMEO"), time, imm(16)], {
    note: "limit the time for an answer",
  });
}

/** Sets the bit of `result` when the answer comes, else goes on at `none`. */
export function exchange(block: Block, wanted: Exchange, result: Slot, none: Label): Received {
  const { build } = block;
  const { what } = wanted;
  const received: Received = {
    bytes: buffer(build, room, "datagram"),
    sender: buffer(build, SOCKADDR_IN_SIZE, "sender"),
  };
  const length = data(build, Uint8Array.of(SOCKADDR_IN_SIZE, 0, 0, 0), `[${SOCKADDR_IN_SIZE}]`);
  const left = slot(build, "patience");
  const came = label(`there is ${what}`);
  compute(block, left, "set", imm(patience), null, "what of others is passed over");
  for (let turn = 0; turn < wanted.tries; turn += 1) {
    const again = label(`try ${turn + 2}`);
    const next = label(`the next datagram of try ${turn + 1}`);
    wanted.ask();
    place(block, next);
    jump(block, none, "too much of others", "lt", left, imm(1));
    compute(block, left, "sub", left, imm(1), "one datagram");
    const on = [{ on: "any" as const, to: again }];
    call(block, "recvfrom", [wanted.socket, received.bytes, imm(room), imm(0), received.sender, length], {
      note: `wait for ${what}`,
      on,
    });
    if (wanted.sender !== null) expect(block, within(received.sender, SOCKADDR_IN_AT.address, 4), wanted.sender, next);
    for (const { at, bytes } of wanted.expected) expect(block, within(received.bytes, at, bytes.length), bytes, next);
    jump(block, came, `there is ${what}`);
    place(block, again);
  }
  jump(block, none, `there is not ${what}`);
  place(block, came);
  compute(block, result, "or", result, imm(wanted.bit), what);
  return received;
}

/** Goes on at `otherwise` unless the bytes are these. */
export function expect(block: Block, where: Data, bytes: Uint8Array, otherwise: Label): void {
  const found = slot(block.build, "found");
  const width = bytes.length;
  if (width !== 1 && width !== 2 && width !== 4) throw new RangeError(`${width} bytes are no number`);
  load(block, found, where, width, "look at it", false);
  let value = 0;
  bytes.forEach((byte, index) => {
    value += byte * 2 ** (8 * index);
  });
  jump(block, otherwise, "it is another", "ne", found, imm(value));
}
