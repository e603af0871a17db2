import assert from "node:assert/strict";
import { test } from "node:test";
import { addressWarning, joinedNics, refuseClashes } from "../../../src/network/clash.js";
import type { NicAddress, NicSpec } from "../../../src/spec/nic.js";
import type { AddressInfo } from "../../../src/sys/netlink-parse.js";

const address = (text: string): NicAddress => ({
  family: text.includes(":") ? "ipv6" : "ipv4",
  address: text,
  prefix: 24,
  broadcast: null,
  at: { file: "config", line: 7, key: "lxc.net.0.ipv4.address" },
});

type Veth = Extract<NicSpec, { readonly type: "veth" }>;

const veth = (changes: Partial<Veth>): NicSpec => ({
  index: 0,
  name: null,
  up: true,
  hwaddr: null,
  mtu: null,
  addresses: [],
  gateway4: null,
  gateway6: null,
  scriptUp: null,
  scriptDown: null,
  at: { file: "config", line: 3, key: "lxc.net.0.type" },
  type: "veth",
  link: "br0",
  mode: "bridge",
  pair: null,
  routes4: [],
  routes6: [],
  rxQueues: null,
  txQueues: null,
  vlanId: null,
  vlanTagged: [],
  l2proxy: false,
  reservation: null,
  limitIn: null,
  limitOut: null,
  filter: null,
  ...changes,
});

const mac = "00:16:3e:00:00:01";

test("what another one on the same link has is refused with its name, on another link or VLAN it is not", () => {
  const others = [{ name: "web", nics: joinedNics([veth({ hwaddr: mac, addresses: [address("10.0.3.7")] })]) }];
  assert.throws(
    () => {
      refuseClashes([veth({ hwaddr: mac })], others);
    },
    { message: `web, which runs on br0 too, has the hardware address ${mac} already` },
  );
  assert.throws(
    () => {
      refuseClashes([veth({ addresses: [address("10.0.3.8"), address("10.0.3.7")] })], others);
    },
    { message: "web, which runs on br0 too, has the address 10.0.3.7 already" },
  );
  const both: Partial<Veth> = { hwaddr: mac, addresses: [address("10.0.3.7")] };
  for (const elsewhere of [{ link: "br1" }, { link: null }, { vlanId: 7 }, { mode: "router" as const }])
    refuseClashes([veth({ ...both, ...elsewhere })], others);
  refuseClashes([veth({ hwaddr: "00:16:3e:00:00:02", addresses: [address("10.0.3.8")] })], others);
});

test("a nic without anything of its own brings nothing", () => {
  assert.deepEqual(joinedNics([veth({})]), []);
  assert.deepEqual(joinedNics([veth({ hwaddr: mac, vlanId: 7 })]), [
    { segment: "br0 VLAN 7", hwaddr: mac, addresses: [] },
  ]);
});

const has = (text: string, prefix: number): AddressInfo => ({
  index: 2,
  family: text.includes(":") ? "ipv6" : "ipv4",
  address: text,
  prefix,
  scope: 0,
  flags: 0,
  label: null,
  broadcast: null,
});

test("an address is one of the bridge's networks, or that is told; those of the network itself are refused", () => {
  const bridge = [has("10.0.3.1", 24), has("10.1.0.1", 16), has("fd42::1", 64)];
  for (const fine of ["10.0.3.7", "10.1.255.254", "fd42::7"])
    assert.equal(addressWarning(address(fine), "br0", bridge), null, fine);
  assert.equal(
    addressWarning(address("10.2.0.1"), "br0", bridge)?.message,
    "10.2.0.1 is not in the network of br0, 10.0.3.0/24, 10.1.0.0/16: unless the host has a route to it, nobody reaches it",
  );
  assert.match(addressWarning(address("fd43::7"), "br0", bridge)?.message ?? "", /^fd43::7 is not .* fd42::\/64:/);
  assert.equal(addressWarning(address("10.2.0.1"), "br0", [has("fd42::1", 64)]), null);
  for (const [text, words] of [
    ["10.0.3.1", "the address of br0 itself"],
    ["fd42::1", "the address of br0 itself"],
    ["10.0.3.0", "the network of br0, 10.0.3.0/24, and no host's address"],
    ["10.1.255.255", "the broadcast address of 10.1.0.0/16, which br0 has"],
  ] as const)
    assert.throws(() => addressWarning(address(text), "br0", bridge), { message: `${text} is ${words}` });
  assert.equal(addressWarning(address("10.9.0.0"), "br0", [has("10.9.0.1", 31)]), null);
});
