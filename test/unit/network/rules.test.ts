import assert from "node:assert/strict";
import { test } from "node:test";
import { dhcpRanges, freeFor } from "../../../src/network/dhcp-range.js";
import { dnsmasqWords } from "../../../src/network/dnsmasq.js";
import { firewallWarnings, hasNat, nftObstacles } from "../../../src/network/firewall.js";
import { nftRemoval, nftRules, tableOf } from "../../../src/network/nftables.js";
import { lxcbr0 as net } from "../../support/bridge.js";
import type { BridgeNetwork } from "../../../src/spec/bridge.js";

const both: BridgeNetwork = {
  ...net,
  ipv4: { ...net.ipv4, dhcp: { ...net.ipv4.dhcp, ping: false, confFile: "/etc/lxc/dnsmasq.conf" } },
  ipv6: { address: "fd42::1", prefix: 64, network: { address: "fd42::", prefix: 64 }, nat: true },
  domain: "lxc",
};

test("the rules are one table of the bridge's own, replaced in one transaction", () => {
  assert.equal(
    nftRules(net),
    `add table inet islet_lxcbr0
delete table inet islet_lxcbr0
table inet islet_lxcbr0 {
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "lxcbr0" udp dport { 53, 67 } accept
    iifname "lxcbr0" tcp dport { 53, 67 } accept
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "lxcbr0" accept
    oifname "lxcbr0" accept
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 10.0.3.0/24 ip daddr != 10.0.3.0/24 counter masquerade
  }
}
`,
  );
  assert.equal(nftRemoval("lxcbr0"), "add table inet islet_lxcbr0\ndelete table inet islet_lxcbr0\n");
});

test("IPv6 is masqueraded only where that is wanted", () => {
  const rule = "ip6 saddr fd42::/64 ip6 daddr != fd42::/64 counter masquerade";
  assert.ok(nftRules(both).includes(rule));
  assert.ok(both.ipv6 !== null && !nftRules({ ...both, ipv6: { ...both.ipv6, nat: false } }).includes("ip6 saddr"));
});

test("two bridges never share a table", () => {
  assert.deepEqual(["a-b", "a_b", "a.b", "ab"].map(tableOf), [
    "islet_a_2d_b",
    "islet_a_5f_b",
    "islet_a_2e_b",
    "islet_ab",
  ]);
});

test("those that dnsmasq does not know get no more than three quarters of the addresses", () => {
  const dhcp = (range: string, most: number = 1000): BridgeNetwork["ipv4"]["dhcp"] => ({
    ...net.ipv4.dhcp,
    range,
    most,
  });
  assert.deepEqual(dhcpRanges(dhcp("10.0.255.250,10.1.0.9")), [
    "tag:known,10.0.255.250,10.1.0.9",
    "tag:!known,10.0.255.250,10.1.0.5",
  ]);
  assert.deepEqual(dhcpRanges(dhcp("10.0.3.2,10.0.3.254", 40))[1], "tag:!known,10.0.3.2,10.0.3.31");
  for (const range of ["10.0.3.2,10.0.3.16", "10.0.3.2,10.0.3.254,12h", "10.0.3.2,static"])
    assert.deepEqual(dhcpRanges(dhcp(range)), [range]);
  const first = (count: number): readonly string[] => Array.from({ length: count }, (_, host) => `10.0.3.${host + 2}`);
  const whole = dhcp("10.0.3.2,10.0.3.254");
  assert.deepEqual(
    [0, 188, 189, 252, 253].map((count) => freeFor(whole, first(count))),
    ["all", "all", "known", "known", "none"],
  );
  assert.equal(freeFor(dhcp("10.0.3.2,10.0.3.254", 40), first(40)), "none");
  assert.equal(freeFor(whole, ["10.0.3.254", "10.9.9.9"]), "all");
});

test("dnsmasq gets the arguments of LXC's lxc-net, and directories of its hosts", () => {
  const files = { dnsmasqPid: "/run/pid", leases: "/var/leases", hosts: "/var/hosts", running: "/run/running" };
  assert.deepEqual(dnsmasqWords(net, "dnsmasq", files), [
    "--conf-file=/dev/null",
    "--user=dnsmasq",
    "--strict-order",
    "--bind-interfaces",
    "--pid-file=/run/pid",
    "--listen-address=10.0.3.1",
    "--dhcp-range=tag:known,10.0.3.2,10.0.3.254",
    "--dhcp-range=tag:!known,10.0.3.2,10.0.3.190",
    "--dhcp-lease-max=253",
    "--dhcp-no-override",
    "--except-interface=lo",
    "--interface=lxcbr0",
    "--dhcp-leasefile=/var/leases",
    "--dhcp-hostsdir=/var/hosts",
    "--hostsdir=/run/running",
    "--dhcp-authoritative",
  ]);
  const more = dnsmasqWords(both, "nobody", files);
  for (const word of [
    "--conf-file=/etc/lxc/dnsmasq.conf",
    "--domain=lxc",
    "--local=/lxc/",
    "--no-ping",
    "--dhcp-range=fd42::1,ra-names",
    "--listen-address=fd42::1",
  ])
    assert.ok(more.includes(word), word);
});

interface Written {
  readonly family?: string;
  readonly table?: string;
  readonly hook?: string;
  readonly policy?: string;
  /** Its rules' expressions. */
  readonly rules?: readonly (readonly object[])[];
}

/** As `nft -j list ruleset` prints one chain. */
function listing({
  family = "inet",
  table = "filter",
  hook = "forward",
  policy = "drop",
  rules = [],
}: Written): string {
  const chain = { family, table, name: hook, handle: 1, type: "filter", hook, prio: 0, policy };
  const written = rules.map((expr, handle) => ({ rule: { family, table, chain: hook, handle, expr } }));
  return JSON.stringify({ nftables: [{ metainfo: { json_schema_version: 1 } }, { chain }, ...written] });
}

const on = (key: string, right: string): object => ({ match: { op: "==", left: { meta: { key } }, right } });
const accept = { accept: null };

test("chains that drop by default are told, with the rules that help", () => {
  assert.deepEqual(firewallWarnings(net, listing({})), [
    "the firewall's chain inet filter forward drops what is forwarded from guests on lxcbr0, unless a rule accepts it: nft insert rule inet filter forward iifname lxcbr0 accept; nft insert rule inet filter forward oifname lxcbr0 accept",
  ]);
  assert.deepEqual(firewallWarnings(net, listing({ family: "ip", hook: "input" })), [
    "the firewall's chain ip filter input drops what is sent to the host from guests on lxcbr0, unless a rule accepts it: nft insert rule ip filter input iifname lxcbr0 accept",
  ]);
});

test("chains that let pass, or have a rule for the bridge, are not", () => {
  const passing = [
    [on("iifname", "lxcbr0"), { counter: {} }, accept],
    [on("oifname", "lxc*"), accept],
  ];
  for (const quiet of [
    listing({ policy: "accept" }),
    listing({ family: "ip6" }),
    listing({ hook: "output" }),
    listing({ table: "islet_lxcbr0" }),
    listing({ rules: passing }),
    "",
    "no JSON",
    "[]",
    '{"nftables": [null, 1, {"chain": null}, {"rule": {"expr": 1}}]}',
  ])
    assert.deepEqual(firewallWarnings(net, quiet), [], quiet);
});

test("a rule for others, for a port, or that does not accept does not count", () => {
  const dport = { match: { op: "==", left: { payload: { protocol: "tcp", field: "dport" } }, right: 22 } };
  for (const rule of [
    [on("iifname", "virbr0"), accept],
    [on("oifname", "lxcbr0"), accept],
    [on("iifname", "lxcbr0"), dport, accept],
    [on("iifname", "lxcbr0"), { drop: null }],
    [accept, on("iifname", "eth*")],
  ])
    assert.equal(firewallWarnings(net, listing({ hook: "input", rules: [rule] })).length, 1, JSON.stringify(rule));
});

interface Walls {
  readonly family?: string;
  readonly table?: string;
  readonly hook?: string;
  readonly policy?: string;
  /** Of the base chain, and of other chains by their names. */
  readonly rules?: Readonly<Record<string, readonly (readonly object[])[]>>;
}

function walls({ family = "inet", table = "filter", hook = "forward", policy = "accept", rules = {} }: Walls): string {
  const base = { family, table, name: "base", type: "filter", hook, prio: 0, policy };
  const others = Object.keys(rules).filter((name) => name !== "base");
  const chains = [base, ...others.map((name) => ({ family, table, name }))].map((chain) => ({ chain }));
  const written = Object.entries(rules).flatMap(([chain, each]) =>
    each.map((expr) => ({ rule: { family, table, chain, expr } })),
  );
  return JSON.stringify({ nftables: [...chains, ...written] });
}

const drop = { drop: null };
const xt = (type: string, name: string): object => ({ xt: { type, name } });

test("of what does not pass, chains that lead to a drop are told, too", () => {
  const said =
    "the firewall's chain inet filter base drops what is forwarded, unless a rule accepts it: nft insert rule inet filter base iifname lxcbr0 accept; nft insert rule inet filter base oifname lxcbr0 accept";
  for (const closed of [
    { policy: "drop" },
    { rules: { base: [[drop]] } },
    { rules: { base: [[{ reject: { type: "icmpx" } }]] } },
    {
      rules: {
        base: [[{ jump: { target: "a" } }]],
        a: [[{ goto: { target: "b" } }]],
        b: [[{ jump: { target: "a" } }], [drop]],
      },
    },
    { rules: { base: [[on("iifname", "lxcbr0"), drop]] } },
    { rules: { base: [[xt("target", "REJECT")]] } },
  ])
    assert.deepEqual(nftObstacles(net, walls(closed), "forward", false), [said], JSON.stringify(closed));
  for (const open of [
    {},
    { policy: "drop", hook: "input" },
    { policy: "drop", family: "ip6" },
    { policy: "drop", table: "islet_lxcbr0" },
    { rules: { other: [[drop]] } },
    { rules: { base: [[on("iifname", "eth0"), drop]] } },
    { rules: { base: [[{ match: { op: "in", left: { ct: { key: "state" } }, right: "invalid" } }, drop]] } },
    { rules: { base: [[xt("match", "conntrack"), drop]] } },
    {
      policy: "drop",
      rules: { base: ["iifname", "oifname"].map((key) => [on(key, "lxcbr0"), xt("match", "comment"), accept]) },
    },
  ])
    assert.deepEqual(nftObstacles(net, walls(open), "forward", false), [], JSON.stringify(open));
});

test("who keeps the chain is told in its own words", () => {
  const remedy = (one: object, hook: "input" | "forward" = "forward"): string =>
    (nftObstacles(net, JSON.stringify(one), hook, false)[0] ?? "").split(" accepts it: ")[1] ?? "";
  const listed = (table: string, name: string, hook: string, ...others: readonly string[]): object => ({
    nftables: [
      { chain: { family: "ip", table, name, hook, policy: "drop" } },
      ...others.map((other) => ({ chain: { family: "ip", table, name: other } })),
    ],
  });
  assert.equal(
    remedy(listed("firewalld", "filter_FORWARD", "forward")),
    "firewall-cmd --zone=trusted --add-interface=lxcbr0",
  );
  assert.equal(
    remedy(listed("filter", "FORWARD", "forward", "DOCKER-USER")),
    "iptables -I DOCKER-USER -i lxcbr0 -j ACCEPT; iptables -I DOCKER-USER -o lxcbr0 -j ACCEPT",
  );
  assert.equal(remedy(listed("filter", "INPUT", "input", "ufw-user-forward"), "input"), "ufw allow in on lxcbr0");
  assert.equal(remedy(listed("filter", "INPUT", "input"), "input"), "iptables -I INPUT -i lxcbr0 -j ACCEPT");
});

test("the rule for NAT is missed", () => {
  const rule = (table: string, ...expr: readonly object[]): string =>
    JSON.stringify({ nftables: [{ rule: { family: "inet", table, chain: "postrouting", expr } }] });
  assert.ok(hasNat(net, rule("islet_lxcbr0", { counter: {} }, { masquerade: null })));
  assert.ok(!hasNat(net, rule("lxc", { masquerade: null })));
  assert.ok(!hasNat(net, rule("islet_lxcbr0", accept)));
});
