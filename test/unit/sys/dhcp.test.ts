import assert from "node:assert/strict";
import { test } from "node:test";
import { arpProbe } from "../../../src/sys/arp.js";
import { dhcpReturnQuestion, dnsVersionQuestion } from "../../../src/sys/dhcp.js";
import { ethtoolRequest, sockaddrInet, sockaddrPacketBroadcast, timeval } from "../../../src/sys/structs.js";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
/** Blanks are for the reader. */
const bare = (text: string): string => text.replace(/ /g, "");
const mac = Uint8Array.of(2, 0x16, 0x3e, 1, 2, 3);

test("a client asks for its old address as RFC 2131 lays it out", () => {
  const question = dhcpReturnQuestion(Uint8Array.of(1, 2, 3, 4), mac, Uint8Array.of(192, 0, 2, 0));
  assert.equal(question.length, 300);
  // BOOTREQUEST, Ethernet, 6, no hops; xid; no seconds; broadcast; no addresses; ours.
  assert.equal(
    hex(question.subarray(0, 44)),
    bare(`01010600 01020304 0000 8000 ${"00".repeat(16)} 02163e010203 ${"00".repeat(10)}`),
  );
  assert.equal(hex(question.subarray(44, 236)), "00".repeat(192));
  // The cookie; message type REQUEST; requested address; the end.
  assert.equal(hex(question.subarray(236, 250)), bare("63825363350103 3204c0000200 ff"));
});

test("a name server is asked for its version", () => {
  const question = hex(dnsVersionQuestion(Uint8Array.of(0xab, 0xcd)));
  assert.equal(question, bare("abcd00000001000000000000 0776657273696f6e 0462696e64 00 0010 0003"));
});

test("an ARP probe has no address of the asker's", () => {
  const probe = hex(arpProbe(mac, Uint8Array.of(10, 0, 3, 254)));
  assert.equal(probe, bare("0001080006040001 02163e010203 00000000 000000000000 0a0003fe"));
});

test("addresses of sockets, times and ethtool's question lie as the kernel reads them", () => {
  assert.equal(hex(sockaddrInet(Uint8Array.of(10, 0, 3, 1), 67)), bare(`0200 0043 0a000301 ${"00".repeat(8)}`));
  assert.equal(hex(sockaddrPacketBroadcast(0x0806)), bare("1100 0806 00000000 0000 00 06 ffffffffffff0000"));
  assert.equal(hex(timeval(1250)), bare("0100000000000000 90d0030000000000"));
  const { bytes, pointers } = ethtoolRequest("eth0", 10);
  assert.deepEqual(
    [hex(bytes.subarray(0, 8)), hex(bytes.subarray(40)), pointers],
    ["6574683000000000", "0a00000000000000", [{ at: 16, to: 40 }]],
  );
});
