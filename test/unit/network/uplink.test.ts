import assert from "node:assert/strict";
import { test } from "node:test";
import { isOnlyUplink } from "../../../src/network/uplink.js";
import type { LinkInfo, RouteInfo } from "../../../src/sys/netlink-parse.js";

interface Given {
  readonly kind?: string;
  readonly master?: number;
  readonly link?: number;
}

const link = (index: number, name: string, { kind, master, link: below }: Given = {}): LinkInfo => ({
  index,
  name,
  flags: 1,
  mtu: 1500,
  hwaddr: null,
  kind: kind ?? null,
  master: master ?? null,
  link: below ?? null,
  linkNetnsId: null,
  alias: null,
  stats: null,
});

const route = (links: readonly number[], changes: Partial<RouteInfo> = {}): RouteInfo => ({
  prefix: 0,
  table: 254,
  type: 1,
  links,
  ...changes,
});

const two = [link(2, "eth0"), link(3, "eth1")];

test("the only interface with a default route is the only uplink, until another one has one as well", () => {
  assert.equal(isOnlyUplink("eth0", two, [route([2])]), true);
  assert.equal(isOnlyUplink("eth1", two, [route([2])]), false);
  assert.equal(isOnlyUplink("eth0", two, [route([2]), route([3])]), false);
  assert.equal(isOnlyUplink("eth0", two, [route([2, 3])]), false);
  assert.equal(isOnlyUplink("eth0", two, []), false);
  assert.equal(isOnlyUplink("none", two, [route([2])]), false);
});

test("routes that lead nowhere, or are for others than everybody, are no way out", () => {
  const nowhere = [route([3], { type: 7 }), route([3], { table: 52 }), route([3], { prefix: 24 })];
  assert.equal(isOnlyUplink("eth0", two, [route([2]), ...nowhere]), true);
  assert.equal(isOnlyUplink("eth1", two, nowhere), false);
});

test("an interface is the uplink of what it carries", () => {
  const bridge = [link(2, "eth0", { master: 4 }), link(4, "br0", { kind: "bridge" })];
  const guest = link(9, "veth1", { kind: "veth", master: 4 });
  assert.equal(isOnlyUplink("eth0", [...bridge, guest], [route([4])]), true);
  assert.equal(isOnlyUplink("veth1", [...bridge, guest], [route([4])]), false);
  const bond = [
    link(2, "eth0", { master: 4 }),
    link(3, "eth1", { master: 4 }),
    link(4, "bond0", { kind: "bond", master: 5 }),
    link(5, "br0", { kind: "bridge" }),
  ];
  assert.equal(isOnlyUplink("eth0", bond, [route([5])]), false);
  assert.equal(isOnlyUplink("bond0", bond, [route([5])]), true);
  const vlan = [...two, link(6, "eth0.7", { kind: "vlan", link: 2 })];
  assert.equal(isOnlyUplink("eth0", vlan, [route([6])]), true);
  assert.equal(isOnlyUplink("eth1", vlan, [route([6])]), false);
  assert.equal(isOnlyUplink("eth0.7", vlan, [route([6])]), true);
});

test("interfaces that are on top of each other are no endless way", () => {
  const circle = [link(2, "a", { kind: "vlan", link: 3 }), link(3, "b", { kind: "vlan", link: 2 }), link(4, "c")];
  assert.equal(isOnlyUplink("c", circle, [route([2])]), true);
});
