import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";

import { filterProgram, linkLocal, type FilterRules } from "../../../src/plan/nic/filter-bpf.js";
import { mostFiltered } from "../../../src/spec/nic.js";
import { MAX_INSTRUCTIONS } from "../../../src/sys/cbpf.js";
import { runOnFrame } from "../../../src/sys/cbpf-packet.js";
import { formatIp, parsePrefixed } from "../../../src/sys/ip.js";
import type { Allowed } from "../../../src/plan/nic/filter-bpf.js";
import { frames, other } from "../../support/forgeries.js";
import { arp, ethernet, ipv4, ipv6, mac, tagged } from "../../support/packets.js";

const own = "02:00:00:00:00:0a";
const local = formatIp(linkLocal(mac(own)));

function allowed(family: "ipv4" | "ipv6", ...texts: readonly string[]): readonly Allowed[] {
  return texts.map((text) => {
    const parsed = parsePrefixed(family, text);
    assert.ok(parsed !== undefined, text);
    return { address: parsed.address, prefix: parsed.prefix ?? parsed.address.length * 8 };
  });
}

const rules: FilterRules = {
  words: ["mac", "ipv4", "ipv6"],
  mac: mac(own),
  allowed4: allowed("ipv4", "10.9.0.2", "10.66.0.0/20"),
  allowed6: allowed("ipv6", "fd09::2", "fd66::/56"),
};

function passes(frame: Buffer, words = rules.words, more: Partial<FilterRules> = {}): boolean {
  return runOnFrame(filterProgram({ ...rules, ...more, words }), frame) !== 0;
}

test("the link-local address of a MAC is its modified EUI-64", () => {
  assert.equal(formatIp(linkLocal(mac("00:16:3e:12:34:56"))), "fe80::216:3eff:fe12:3456");
});

const { honest, forged } = frames({ mac: own, local });

for (const [what, frame] of Object.entries(honest))
  test(`a filter of all lets pass: ${what}`, () => {
    assert.ok(passes(frame));
  });

for (const [what, frame] of Object.entries(forged))
  test(`a filter of all drops: ${what}`, () => {
    assert.ok(!passes(frame));
  });

test("a filter of addresses drops what has another tag behind the one that the kernel takes off", () => {
  for (const type of [0x8100, 0x88a8, 0x9100]) {
    const frame = tagged(5, ipv4({ source: own, from: "10.9.0.3" }), type);
    assert.ok(!passes(frame) && !passes(frame, ["ipv4"]) && !passes(frame, ["ipv6"]));
    assert.ok(passes(frame, ["mac"]));
  }
});

test("each word checks its own thing and nothing else", () => {
  const source = own;
  const forgedMac = ipv4({ source: other, from: "10.9.0.2" });
  const forged4 = ipv4({ source, from: "10.9.0.3" });
  const forged6 = ipv6({ source, from: "fd09::3" });
  const forgedArp = arp({ source, senderIp: "10.9.0.3", targetIp: "10.9.0.1" });
  const foreignArp = arp({ source, sender: other, senderIp: "10.9.0.2", targetIp: "10.9.0.1" });
  const lldp = ethernet(own, 0x88cc, [1, 2, 3]);
  const each = [forgedMac, forged4, forged6, forgedArp, foreignArp, lldp];
  const seen = (words: FilterRules["words"]): readonly boolean[] => each.map((frame) => passes(frame, words));
  assert.deepEqual(seen(["mac"]), [false, true, true, true, false, true]);
  assert.deepEqual(seen(["ipv4"]), [true, false, true, false, true, true]);
  assert.deepEqual(seen(["ipv6"]), [true, true, false, true, true, true]);
  assert.deepEqual(seen(["mac", "ipv4"]), [false, false, true, false, false, true]);
});

test("without an IPv6 address a nic has its link-local one", () => {
  const [none, source] = [{ allowed6: [] }, own];
  assert.ok(passes(ipv6({ source, from: local }), rules.words, none));
  assert.ok(!passes(ipv6({ source, from: "fd09::2" }), rules.words, none));
});

test("whatever a frame is, its beginning passes only if nothing that the filter looks at is missing", () => {
  const shortest = (frame: Buffer): number => {
    let length = frame.length;
    while (length > 0 && passes(frame.subarray(0, length - 1))) length -= 1;
    return length;
  };
  // Ethernet and ARP as far as the sender, IPv4 as far as the source and the protocol, UDP as far as the port, IPv6 likewise.
  assert.equal(shortest(honest["an answer"] ?? Buffer.alloc(0)), 32);
  assert.equal(shortest(honest["IPv4 from the own address"] ?? Buffer.alloc(0)), 30);
  assert.equal(shortest(honest["UDP from the own address"] ?? Buffer.alloc(0)), 38);
  assert.equal(shortest(honest["IPv6 from the own address"] ?? Buffer.alloc(0)), 38);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      // No frame at random has the nic's MAC.
      assert.ok(!passes(Buffer.from(bytes)));
    }),
  );
});

test("a filter of many addresses is a program that the kernel takes", () => {
  const many = Array.from({ length: mostFiltered }, (_, i) => `fd09::${i.toString(16)}:0:1`);
  const program = filterProgram({ ...rules, allowed6: allowed("ipv6", ...many) });
  assert.ok(program.length <= MAX_INSTRUCTIONS);
  const source = own;
  const last = ipv6({ source, from: many.at(-1) ?? "" });
  assert.notEqual(runOnFrame(program, last), 0);
  assert.equal(runOnFrame(program, ipv6({ source, from: "fd09::ff:0:1" })), 0);
});
