import assert from "node:assert/strict";
import { test } from "node:test";
import { findingsOf, findingWarnings, type Situation, type Trial } from "../../../src/network/findings.js";
import {
  freeAddress,
  freeNetwork,
  parseAddresses,
  parseRoutes,
  parseUplinks,
  rivalsOf,
} from "../../../src/network/free.js";
import { lxcbr0 as net } from "../../support/bridge.js";

const all = { dhcp: true, names: true, forwarding: true, nat: true, answers: true };
const trial = (passed: Partial<Trial["passed"]>, more: Partial<Trial> = {}): Trial => ({
  passed: { ...all, ...passed },
  noGuest: null,
  noBeyond: null,
  ...more,
});
const quiet: Situation = {
  nft: null,
  iptables: [],
  dnsmasq: { pid: 7, isStopped: false },
  closedBy: null,
  filtersBridged: false,
  uplinks: ["eth0"],
  rivals: [],
  hasNatRule: true,
};
const warnings = (one: Trial, situation: Partial<Situation> = {}): readonly string[] =>
  findingWarnings(net, findingsOf(net, one, { ...quiet, ...situation }));

test("when all passes there is nothing to say, whatever the rules are", () => {
  assert.deepEqual(warnings(trial({}), { closedBy: "net/ipv4/ip_forward", dnsmasq: null, rivals: ["eth0"] }), []);
});

test("a cause is said once, with all that comes of it", () => {
  assert.deepEqual(warnings(trial({ dhcp: false, names: false }), { dnsmasq: null }), [
    "guests on lxcbr0 get no address by DHCP and get no answer by DNS: dnsmasq does not run: islet net up",
  ]);
  assert.deepEqual(warnings(trial({ dhcp: false }), { dnsmasq: { pid: 7, isStopped: true } }), [
    "guests on lxcbr0 get no address by DHCP: dnsmasq is stopped: kill -CONT 7",
  ]);
  assert.deepEqual(
    warnings(trial({ forwarding: false, nat: false, answers: false }), {
      closedBy: "net/ipv4/ip_forward",
      rivals: ["eth0"],
    }),
    [
      "guests on lxcbr0 reach nobody beyond the host: the host does not forward: sysctl -w net/ipv4/ip_forward=1",
      "guests on lxcbr0 reach nobody beyond the host: eth0 has a route into 10.0.3.0/24, too: give the bridge another network",
    ],
  );
  assert.deepEqual(warnings(trial({ nat: false, answers: false }), { hasNatRule: false }), [
    "guests on lxcbr0 have their own addresses beyond the host, to which nobody answers (no NAT): the bridge's rule for it is gone: islet net up",
  ]);
});

test("without a cause it is said where to look", () => {
  assert.match(
    warnings(trial({ answers: false }))[0] ?? "",
    /get no answer from beyond the host: the cause was not found; see nft/,
  );
  const confFile = "/etc/lxc/dnsmasq.conf";
  const own = { ...net, ipv4: { ...net.ipv4, dhcp: { ...net.ipv4.dhcp, confFile } } };
  const [line = ""] = findingWarnings(own, findingsOf(own, trial({ dhcp: false }), quiet));
  assert.ok(line.endsWith(" and /etc/lxc/dnsmasq.conf"), line);
});

test("what could not be tried says why, and is no warning", () => {
  const none = { ...all, names: false, forwarding: false, nat: false, answers: false };
  const causes = (one: Trial): readonly unknown[] =>
    findingsOf(net, one, quiet).map(({ passes, causes: [why] }) => [passes, why]);
  assert.deepEqual(causes({ passed: none, noGuest: "full", noBeyond: null }), [
    [true, undefined],
    ...Array.from({ length: 4 }, () => [null, "full"]),
  ]);
  assert.deepEqual(causes({ passed: { ...none, names: true }, noGuest: null, noBeyond: "used" }).slice(1), [
    [true, undefined],
    ...Array.from({ length: 3 }, () => [null, "used"]),
  ]);
  assert.deepEqual(causes(trial({ forwarding: false, nat: false, answers: false })).slice(3), [
    [null, "nothing is forwarded"],
    [null, "nothing is forwarded"],
  ]);
  assert.deepEqual(causes(trial({ nat: false, answers: false })).slice(4), [[null, "there is no NAT"]]);
  assert.deepEqual(warnings(trial(none, { noGuest: "full" })), []);
});

/** A chain for what is forwarded, with one rule in it, that drops by default. */
function forward(...expr: readonly object[]): string {
  const [family, table, name] = ["ip", "filter", "FORWARD"];
  const base = { family, table, name, hook: "forward", policy: "drop" };
  return JSON.stringify({ nftables: [{ chain: base }, { rule: { family, table, chain: name, expr } }] });
}
const via = (key: string, right: string): object => ({ match: { op: "==", left: { meta: { key } }, right } });
const accept = { accept: null };

test("rules that let the uplink pass by its name leave it open what guests reach", () => {
  const forwarding = (nft: string, uplinks: readonly string[] = ["eth0"]): boolean | null | undefined => {
    const closed = trial({ forwarding: false, nat: false, answers: false });
    return findingsOf(net, closed, { ...quiet, nft, uplinks }).find(({ what }) => what === "forwarding")?.passes;
  };
  assert.equal(forwarding(forward(via("iifname", "lxcbr0"), via("oifname", "eth0"), accept)), null);
  assert.equal(forwarding(forward(via("oifname", "eth*"), accept)), null);
  assert.equal(forwarding(forward(via("oifname", "eth0"), accept), ["wlan0"]), false);
  assert.equal(forwarding(forward(via("iifname", "docker0"), via("oifname", "eth0"), accept)), false);
  assert.equal(forwarding(forward(via("oifname", "eth0"))), false);
  const back = trial({ answers: false });
  const nft = forward(via("iifname", "eth0"), via("oifname", "lxcbr0"), accept);
  assert.equal(findingsOf(net, back, { ...quiet, nft })[4]?.passes, null);
  assert.equal(findingsOf(net, back, { ...quiet, nft, closedBy: "net/ipv4/ip_forward" })[4]?.passes, false);
});

test("where bridged packets meet the same rules, that is said, too", () => {
  const closed = { nft: forward(), filtersBridged: true };
  const [line = ""] = warnings(trial({ forwarding: false, nat: false, answers: false }), closed);
  assert.match(
    line,
    / drops what is forwarded, also from guest to guest \(net\.bridge\.bridge-nf-call-iptables\), unless a rule accepts it: iptables -I FORWARD -i lxcbr0 -j ACCEPT; /,
  );
});

const routes = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
lxcbr0	0003000A	00000000	0001	0	0	0	00FFFFFF	0	0	0
wg0	8003000A	00000000	0001	0	0	0	80FFFFFF	0	0	0
tun0	0000000A	00000000	0001	0	0	0	000000FF	0	0	0
`;

test("networks in use are not taken, and routes that take the bridge's are found", () => {
  const known = parseRoutes(routes);
  assert.deepEqual(
    known.map(({ link }) => link),
    ["eth0", "lxcbr0", "wg0", "tun0"],
  );
  assert.deepEqual(parseUplinks(routes), ["eth0"]);
  assert.deepEqual(freeNetwork(net, known), Uint8Array.of(198, 51, 100, 0));
  const local = parseAddresses(
    "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        |-- 198.51.100.9\n           /32 host LOCAL\n",
  );
  assert.deepEqual(freeNetwork(net, [...known, ...local]), Uint8Array.of(203, 0, 113, 0));
  const own = { ...net, ipv4: { ...net.ipv4, network: { address: "203.0.113.0", prefix: 24 } } };
  assert.equal(freeNetwork(own, [...known, ...local]), null);
  assert.deepEqual(rivalsOf(net, known), ["wg0"]);
});

test("the guest's address is one that nobody is known to have", () => {
  const text = (bytes: Uint8Array | null): string => bytes?.join(".") ?? "none";
  assert.equal(text(freeAddress(net, "", "")), "10.0.3.254");
  const leases = "1700000000 00:16:3e:01:02:03 10.0.3.254 web *\n";
  const arp =
    "IP address       HW type     Flags\n10.0.3.253       0x1         0x2         00:16:3e:00:00:01     *        lxcbr0\n";
  assert.equal(text(freeAddress(net, leases, arp)), "10.0.3.252");
  const range = (words: string): typeof net => ({
    ...net,
    ipv4: { ...net.ipv4, dhcp: { ...net.ipv4.dhcp, range: words } },
  });
  assert.equal(text(freeAddress(range("10.0.3.254,10.0.3.254"), leases, "")), "none");
  assert.equal(text(freeAddress(range("10.0.3.1,10.0.3.1"), "", "")), "none");
  assert.equal(text(freeAddress(range("10.0.3.9,static"), "", "")), "10.0.3.254");
  assert.equal(text(freeAddress(range("10.0.3.9,10.0.3.20,12h"), "", "")), "10.0.3.20");
});
