import assert from "node:assert/strict";
import { it } from "node:test";
import type { InterfaceStatus } from "../../../../src/engine/engine.js";
import { guestAddresses } from "../../../../src/frontends/libvirt/stats/addresses.js";

const nic = (name: string, more: Partial<InterfaceStatus> = {}): InterfaceStatus => ({
  name,
  up: true,
  isLoopback: false,
  hardwareAddress: null,
  addresses: [{ family: "ipv4", address: "10.0.0.1", prefix: 8 }],
  ...more,
});

it("what a guest has of interfaces and addresses fits into a message, however much it is", () => {
  const many = Array.from({ length: 3000 }, () => ({ family: "ipv6", address: "fd00::1", prefix: 64 }) as const);
  const told = guestAddresses(Array.from({ length: 3000 }, (_, at) => nic(`e${at}`, { addresses: many })));
  assert.equal(told.length, 2048);
  assert.equal(told[0]?.addrs.length, 2048);
  assert.equal(
    told.reduce((sum, { addrs }) => sum + addrs.length, 0),
    65_536,
  );
});

it("loopback by whatever name, and interfaces without addresses, are left out; IPv4 comes first, and names obey no terminal", () => {
  const both = [
    { family: "ipv6", address: "fd00::1", prefix: 64 },
    { family: "ipv4", address: "10.0.0.1", prefix: 8 },
  ] as const;
  const told = guestAddresses([
    nic("eth9", { isLoopback: true }),
    nic("bare", { addresses: [] }),
    nic("a\u001b]0;x\u0007", { hardwareAddress: "52:54:00:00:00:01", addresses: both }),
  ]);
  assert.deepEqual(told, [
    {
      name: "a]0;x",
      hwaddr: "52:54:00:00:00:01",
      addrs: [
        { type: 0, addr: "10.0.0.1", prefix: 8 },
        { type: 1, addr: "fd00::1", prefix: 64 },
      ],
    },
  ]);
});
