import assert from "node:assert/strict";
import { test } from "node:test";
import { hasIptablesNat, iptablesRemoval, iptablesRules } from "../../../src/network/iptables.js";
import { iptablesObstacles } from "../../../src/network/iptables-read.js";
import { lxcbr0 as net } from "../../support/bridge.js";

const mark = '-m comment --comment "islet lxcbr0"';

/** As iptables-save prints a table. */
const table = (name: string, ...lines: readonly string[]): string =>
  [`# Generated`, `*${name}`, ...lines, "COMMIT", "# Completed", ""].join("\n");

test("the rules are those of LXC's lxc-net, each with its owner's name", () => {
  assert.deepEqual(
    iptablesRules(net, "ipv4", "").map(({ text }) => text),
    [
      `*filter
-I INPUT -i lxcbr0 -p udp -m udp --dport 67 ${mark} -j ACCEPT
-I INPUT -i lxcbr0 -p tcp -m tcp --dport 67 ${mark} -j ACCEPT
-I INPUT -i lxcbr0 -p udp -m udp --dport 53 ${mark} -j ACCEPT
-I INPUT -i lxcbr0 -p tcp -m tcp --dport 53 ${mark} -j ACCEPT
-I FORWARD -i lxcbr0 ${mark} -j ACCEPT
-I FORWARD -o lxcbr0 ${mark} -j ACCEPT
COMMIT
`,
      `*nat
-A POSTROUTING -s 10.0.3.0/24 ! -d 10.0.3.0/24 ${mark} -j MASQUERADE
COMMIT
`,
      `*mangle
-A POSTROUTING -o lxcbr0 -p udp -m udp --dport 68 ${mark} -j CHECKSUM --checksum-fill
COMMIT
`,
    ],
  );
  assert.deepEqual(
    iptablesRules(net, "ipv4", "").map(({ isOptional }) => isOptional),
    [false, false, true],
  );
});

test("IPv6 has rules of its own, with NAT only where that is wanted", () => {
  const ipv6 = { address: "fd42::1", prefix: 64, network: { address: "fd42::", prefix: 64 }, nat: true };
  const texts = iptablesRules({ ...net, ipv6 }, "ipv6", "").map(({ text }) => text);
  assert.equal(texts.length, 2);
  assert.ok(texts[0]?.includes(`-I INPUT -i lxcbr0 -p udp -m udp --dport 547 ${mark} -j ACCEPT`));
  assert.ok(texts[1]?.includes(`-A POSTROUTING -s fd42::/64 ! -d fd42::/64 ${mark} -j MASQUERADE`));
  assert.equal(iptablesRules({ ...net, ipv6: { ...ipv6, nat: false } }, "ipv6", "").length, 1);
});

const nat = `-A POSTROUTING -s 10.0.3.0/24 ! -d 10.0.3.0/24 ${mark} -j MASQUERADE`;

test("what is there already is replaced in the same step, and nothing else is touched", () => {
  const others = [
    ":POSTROUTING ACCEPT [1:2]",
    "-A POSTROUTING -s 10.0.3.0/24 ! -d 10.0.3.0/24 -j MASQUERADE",
    '-A POSTROUTING -m comment --comment "islet lxcbr01" -j ACCEPT',
    '-A POSTROUTING -m comment --comment "say --comment \\"islet lxcbr0\\" so" -j ACCEPT',
  ];
  const saved = table("nat", ...others, nat);
  assert.equal(
    iptablesRules(net, "ipv4", saved).find((change) => change.table === "nat")?.text,
    `*nat\n${nat.replace("-A", "-D")}\n${nat}\nCOMMIT\n`,
  );
  assert.deepEqual(iptablesRemoval("lxcbr0", table("nat", ...others)), []);
  assert.deepEqual(
    iptablesRemoval("lxcbr0", `${table("filter")}${saved}`).map(({ text }) => text),
    [`*nat\n${nat.replace("-A", "-D")}\nCOMMIT\n`],
  );
  // What is there can be taken away.
  const checksum = `-A POSTROUTING -o lxcbr0 ${mark} -j CHECKSUM --checksum-fill`;
  assert.deepEqual(
    iptablesRemoval("lxcbr0", table("mangle", checksum)).map(({ isOptional }) => isOptional),
    [false],
  );
  assert.deepEqual([hasIptablesNat("lxcbr0", saved), hasIptablesNat("lxcbr0", table("nat", ...others))], [true, false]);
});

const obstacles = (hook: "input" | "forward", ...lines: readonly string[]): readonly string[] =>
  iptablesObstacles(net, { program: "iptables-legacy", text: table("filter", ...lines) }, hook, false);

test("a chain of iptables that drops is told with what helps, as the host's firewall wants it", () => {
  const said = "the firewall's chain FORWARD of iptables-legacy drops what is forwarded, unless a rule accepts it: ";
  const insert = (chain: string): string =>
    ["-i", "-o"].map((option) => `iptables-legacy -I ${chain} ${option} lxcbr0 -j ACCEPT`).join("; ");
  assert.deepEqual(obstacles("forward", ":FORWARD DROP [0:0]"), [said + insert("FORWARD")]);
  assert.deepEqual(obstacles("forward", ":FORWARD DROP [0:0]", ":DOCKER-USER - [0:0]"), [said + insert("DOCKER-USER")]);
  assert.deepEqual(obstacles("forward", ":FORWARD DROP [0:0]", ":ufw-user-forward - [0:0]"), [
    `${said}ufw route allow in on lxcbr0; ufw route allow out on lxcbr0`,
  ]);
  assert.deepEqual(obstacles("input", ":INPUT DROP [0:0]", ":ufw-user-forward - [0:0]"), [
    "the firewall's chain INPUT of iptables-legacy drops what is sent to the host, unless a rule accepts it: ufw allow in on lxcbr0",
  ]);
  assert.deepEqual(obstacles("forward", ":FORWARD DROP [0:0]", `-A FORWARD -i lxcbr0 ${mark} -j ACCEPT`), [
    `${said}iptables-legacy -I FORWARD -o lxcbr0 -j ACCEPT`,
  ]);
});

test("a rule that drops counts wherever the chain leads to, unless it is for others", () => {
  const open = [":INPUT ACCEPT [0:0]", ":OURS - [0:0]"];
  for (const closed of [
    ["-A INPUT -j REJECT --reject-with icmp-port-unreachable"],
    ["-A INPUT -j OURS", "-A OURS -p udp -j DROP"],
    ["-A INPUT -g OURS", "-A OURS -j OURS", "-A OURS ! -i eth0 -j DROP"],
    ["-A INPUT -i lxc+ -j DROP"],
  ])
    assert.equal(obstacles("input", ...open, ...closed).length, 1, closed.join(" | "));
  for (const passing of [
    [],
    ["-A OURS -j DROP"],
    ["-A INPUT -i eth0 -j DROP"],
    ["-A INPUT -i virbr+ -j REJECT"],
    ["-A INPUT -m conntrack --ctstate INVALID -j DROP"],
    ["-A INPUT -j DROP", `-A INPUT -i lxcbr0 ${mark} -j ACCEPT`],
  ])
    assert.deepEqual(obstacles("input", ...open, ...passing), [], passing.join(" | "));
  assert.deepEqual(iptablesObstacles(net, { program: "iptables-legacy", text: null }, "input", false), [
    "the kernel has rules of iptables-legacy, which cannot be read: apt-get install iptables",
  ]);
});
