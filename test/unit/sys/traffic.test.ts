import assert from "node:assert/strict";
import { test } from "node:test";

import { encodeClassic } from "../../../src/sys/cbpf.js";
import * as k from "../../../src/sys/flags.js";
import { patchAt, type NetlinkMessage } from "../../../src/sys/nlmsg.js";
import { newFilterHook, newIngressFilter, newTokenBucket } from "../../../src/sys/traffic.js";

const hex = (message: NetlinkMessage): string => Buffer.from(message.bytes).toString("hex");

// The bytes of iproute2 6.1 (strace -xx -e sendmsg), the sequence numbers, which are times there, made 0. The link's index is 3.
test("queueing disciplines and filters are the bytes that tc(8) sends", () => {
  const nothing = [{ code: 0x28, jt: 0, jf: 0, k: 12 }] as const;
  const cases: readonly (readonly [string, NetlinkMessage, string])[] = [
    [
      "tc qdisc add dev va clsact",
      newFilterHook({ index: 3 }),
      "3000000024000506000000000000000000000000030000000000fffff1ffffff000000000b000100636c736163740000",
    ],
    [
      "tc filter add dev va ingress prio 2 protocol all bpf bytecode '2,40 0 0 12,6 0 0 4294967295'",
      newIngressFilter({
        index: 3,
        priority: 2,
        program: { classic: encodeClassic([...nothing, { code: 0x06, jt: 0, jf: 0, k: 0xffffffff }]) },
        returns: "match",
      }),
      "4c0000002c0005060000000000000000000000000300000000000000f2ffffff00030200080001006270660020000200060004000200000014000500280000000c00000006000000ffffffff",
    ],
    [
      "tc filter add dev va ingress prio 3 protocol all bpf direct-action bytecode '1,6 0 0 2'",
      newIngressFilter({
        index: 3,
        priority: 3,
        program: { classic: encodeClassic([{ code: 0x06, jt: 0, jf: 0, k: k.TC_ACT_SHOT }]) },
        returns: "verdict",
      }),
      "4c0000002c0005060000000000000000000000000300000000000000f2ffffff0003030008000100627066002000020006000400010000000c00050006000000020000000800080001000000",
    ],
  ];
  for (const [command, message, bytes] of cases) assert.equal(hex(message), bytes, command);
});

// tc qdisc add dev va root tbf rate 8mbit burst 16384 limit 116384
test("a token bucket is what tc(8) sends, without the table of times that the kernel does not read, nor the table's scale", () => {
  const message = hex(newTokenBucket({ index: 3, rate: 1_000_000, burst: 16_384, limit: 116_384 }));
  const ofTc = "2800010003010000ffff000040420f00000000000000000000000000a0c6010000e80300000000000800060000400000";
  assert.equal(
    message,
    "60000000240005060000000000000000000000000300000000000000ffffffff00000000080001007462660034000200" +
      ofTc.replace("03010000ffff", "000100000000"),
  );
});

test("a rate beyond 32 bits has a field of its own", () => {
  const quick = hex(newTokenBucket({ index: 3, rate: 6_000_000_000, burst: 60_000_000, limit: 660_000_000 }));
  assert.ok(quick.endsWith("0c00040000bca06501000000"));
  assert.ok(quick.includes("0001000000000000ffffffff"));
});

// tc qdisc add dev va root tbf rate 8mbit burst 2000kb limit 116384 peakrate 32mbit mtu 40000
test("a token bucket with a peak has a second one, as tc(8) sends it", () => {
  const made = { index: 3, rate: 1_000_000, burst: 2_048_000, limit: 116_384 };
  const message = hex(newTokenBucket({ ...made, peak: { rate: 4_000_000, burst: 40_000 } }));
  const ofTc =
    "28000100000100000000000040420f00000100000000000000093d00a0c601000048e8015a6202000800060000401f0008000700409c0000";
  assert.ok(message.endsWith(ofTc), message);
  const quick = hex(newTokenBucket({ ...made, peak: { rate: 6_000_000_000, burst: 60_000_000 } }));
  assert.ok(quick.endsWith("0c00050000bca06501000000"));
});

test("a loaded program is named by its descriptor, which may come late", () => {
  const message = newIngressFilter({
    index: "late",
    priority: 1,
    program: { fd: "late", name: "islet_limit" },
    returns: "verdict",
  });
  assert.equal(patchAt(message, "index"), 20);
  const at = patchAt(message, "programFd");
  assert.equal(Buffer.from(message.bytes.subarray(at - 4, at)).toString("hex"), "08000600");
  assert.ok(hex(message).endsWith("1000070069736c65745f6c696d6974000800080001000000"));
});
