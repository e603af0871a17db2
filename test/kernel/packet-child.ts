/**
 * What net-filter.test.ts runs in a guest's network namespace: `send LINK` sends the frames that its input has, one a line in hexadecimal;
 * `listen LINK` prints each frame that comes in, in the same way, until it is killed.
 */
import { readFileSync, writeSync } from "node:fs";
import { sys } from "../support/frames.js";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const ETH_P_ALL = 3;
const PACKET_OUTGOING = 4;
const SIOCGIFINDEX = 0x8933;

const [what, link = ""] = process.argv.slice(2);

// The protocol is in network order.
const socket = sys("socket", AF_PACKET, SOCK_RAW, ETH_P_ALL << 8);
const request = Buffer.alloc(40);
request.write(link);
sys("ioctl", socket, SIOCGIFINDEX, request);
/** struct sockaddr_ll (packet(7)). */
const address = Buffer.alloc(20);
address.writeUInt16LE(AF_PACKET, 0);
address.writeUInt16BE(ETH_P_ALL, 2);
address.writeInt32LE(request.readInt32LE(16), 4);
sys("bind", socket, address, address.length);

if (what === "send") {
  for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
    const frame = Buffer.from(line, "hex");
    sys("sendto", socket, frame, frame.length, 0, address, address.length);
  }
} else {
  writeSync(1, "listening\n");
  const room = Buffer.alloc(2048);
  const from = Buffer.alloc(20);
  const size = Buffer.alloc(4);
  for (;;) {
    size.writeUInt32LE(from.length);
    const length = sys("recvfrom", socket, room, room.length, 0, from, size);
    if (from[10] !== PACKET_OUTGOING) writeSync(1, `${room.toString("hex", 0, length)}\n`);
  }
}
