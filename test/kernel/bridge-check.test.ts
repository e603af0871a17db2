import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bridgePicture, bridgePlace, type BridgePlace, leasesOf } from "../support/bridge-place.js";
import type { CommandResult } from "../support/command.js";
import { netns } from "../support/netns.js";
import { root } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

const names = ["DHCP", "DNS", "forwarding", "NAT", "the way back"];
const allPass = names.map((name) => `lxcbr0: ${name} passes\n`).join("");

/** Network namespaces that processes are in. */
function namespaces(): readonly string[] {
  const of = (pid: string): string => {
    try {
      return readlinkSync(`/proc/${pid}/ns/net`);
    } catch {
      return ""; // it has ended meanwhile
    }
  };
  return [
    ...new Set(
      readdirSync("/proc")
        .filter((entry) => /^\d+$/.test(entry))
        .map(of),
    ),
  ].filter((one) => one !== "");
}

const childrenOf = (pid: number): readonly string[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");

/** The lines of a check that fails. */
async function failing({ islet }: Pick<BridgePlace, "islet">): Promise<readonly string[]> {
  const { status, stdout, stderr } = await islet("check");
  const lines = stdout.trimEnd().split("\n");
  assert.deepEqual([status, stderr, lines.length], [1, "", names.length], stdout);
  return lines;
}

const seen = ({ status, stdout, stderr }: CommandResult): unknown => ({ status, stdout, stderr });

const wall = async (
  { net }: BridgePlace,
  hook: string,
  rules: readonly string[],
  policy: string = "accept",
): Promise<void> => {
  await net.ok(["nft", "add", "table", "inet", "islt-wall"]);
  await net.ok([
    "nft",
    "add",
    "chain",
    "inet",
    "islt-wall",
    hook,
    `{ type filter hook ${hook} priority 0; policy ${policy}; }`,
  ]);
  for (const rule of rules) await net.ok(["nft", `add rule inet islt-wall ${hook} ${rule}`]);
};

test("when all is well it says so, quickly, and leaves nothing", async (t) => {
  if (lacks(t, "nftables") || lacks(t, "veth")) return;
  const there = await bridgePlace(t);
  assert.deepEqual(seen(await there.islet("up")), { status: 0, stdout: "", stderr: "" });
  const before = await bridgePicture(there);
  const old = namespaces();
  const children = childrenOf(there.own.pid());
  for (let turn = 0; turn < 3; turn += 1)
    assert.deepEqual(seen(await there.islet("check")), { status: 0, stdout: allPass, stderr: "" });
  assert.equal(await bridgePicture(there), before);
  assert.equal(leasesOf(there), "");
  await waitFor("its namespaces to be gone", () => namespaces().every((one) => old.includes(one)));
  await waitFor("its processes to be gone", () => childrenOf(there.own.pid()).every((pid) => children.includes(pid)));
  const json = JSON.parse((await there.islet("check", "--format=json")).stdout) as unknown;
  assert.deepEqual(
    json,
    ["dhcp", "names", "forwarding", "nat", "answers"].map((check) => ({ check, passes: true, causes: [] })),
  );
});

test("a chain that drops what is sent to the host is named with what helps, and that helps", async (t) => {
  if (lacks(t, "nftables") || lacks(t, "veth")) return;
  const there = await bridgePlace(t);
  await there.islet("up");
  await wall(there, "input", [], "drop");
  const before = await bridgePicture(there);
  const lines = await failing(there);
  const remedy = "nft insert rule inet islt-wall input iifname lxcbr0 accept";
  const cause = `the firewall's chain inet islt-wall input drops what is sent to the host, unless a rule accepts it: ${remedy}`;
  assert.deepEqual(lines, [
    `lxcbr0: DHCP does not pass: ${cause}`,
    `lxcbr0: DNS does not pass: ${cause}`,
    ...names.slice(2).map((name) => `lxcbr0: ${name} passes`),
  ]);
  assert.equal(await bridgePicture(there), before);
  const { status, stderr } = await there.islet("up");
  assert.deepEqual(
    [status, stderr],
    [0, `islet net: guests on lxcbr0 get no address by DHCP and get no answer by DNS: ${cause}\n`],
  );
  await there.net.ok(remedy.split(" "));
  assert.deepEqual(seen(await there.islet("up")), { status: 0, stdout: "", stderr: "" });
});

test("a rule that rejects what is forwarded is named, also in a chain behind others, and a drop chain that lets the bridge pass is not", async (t) => {
  if (lacks(t, "nftables") || lacks(t, "veth")) return;
  const there = await bridgePlace(t);
  const { net, islet } = there;
  await islet("up");
  await wall(there, "forward", ["ip saddr 10.0.0.0/8 accept", "ip daddr 10.0.0.0/8 accept"], "drop");
  assert.deepEqual(seen(await islet("up")), { status: 0, stdout: "", stderr: "" });
  await net.ok(["nft", "flush chain inet islt-wall forward"]);
  await net.ok(["nft", "chain inet islt-wall forward { policy accept; }"]);
  await net.ok(["nft", "add chain inet islt-wall last"]);
  await net.ok(["nft", "add rule inet islt-wall last reject with icmpx admin-prohibited"]);
  await net.ok(["nft", "add rule inet islt-wall forward jump last"]);
  const lines = await failing(there);
  const remedies = ["iifname", "oifname"].map((key) => `nft insert rule inet islt-wall forward ${key} lxcbr0 accept`);
  assert.equal(
    lines[2],
    `lxcbr0: forwarding does not pass: the firewall's chain inet islt-wall forward drops what is forwarded, unless a rule accepts it: ${remedies.join("; ")}`,
  );
  assert.deepEqual(lines.slice(3), [
    "lxcbr0: NAT was not tried: nothing is forwarded",
    "lxcbr0: the way back was not tried: nothing is forwarded",
  ]);
  await net.ok((remedies[0] ?? "").split(" "));
  const half = await failing(there);
  assert.match(
    half[4] ?? "",
    /^lxcbr0: the way back does not pass: .* accepts it: nft insert rule inet islt-wall forward oifname lxcbr0 accept$/,
  );
});

test("of rules that name the uplink nothing is said, but that they do", async (t) => {
  if (lacks(t, "nftables") || lacks(t, "veth")) return;
  const there = await bridgePlace(t);
  const { net, islet } = there;
  await net.ok(["ip", "link", "add", "islt-up", "type", "veth", "peer", "name", "islt-far"]);
  for (const link of ["islt-far", "islt-up"]) await net.ok(["ip", "link", "set", link, "up"]);
  await net.ok(["ip", "addr", "add", "192.0.2.1/24", "dev", "islt-up"]);
  await net.ok(["ip", "route", "add", "default", "via", "192.0.2.2"]);
  await wall(there, "forward", ["ct state established accept", "iifname lxcbr0 oifname islt-up accept"], "drop");
  assert.deepEqual(seen(await islet("up")), { status: 0, stdout: "", stderr: "" });
  const { status, stdout } = await islet("check");
  assert.equal(status, 0);
  assert.match(stdout, /^lxcbr0: forwarding was not tried: rules name islt-up, and the trial has no part in it$/m);
});

test("rules that are gone are named, and up makes them again", async (t) => {
  if (lacks(t, "nftables") || lacks(t, "veth")) return;
  const there = await bridgePlace(t);
  await there.islet("up");
  await there.net.ok(["nft", "flush", "ruleset"]);
  const lines = await failing(there);
  assert.equal(lines[3], "lxcbr0: NAT does not pass: the bridge's rule for it is gone: islet net up");
  assert.deepEqual(seen(await there.islet("up")), { status: 0, stdout: "", stderr: "" });
  assert.deepEqual(seen(await there.islet("check")), { status: 0, stdout: allPass, stderr: "" });
});

test("a bridge of a release that knew nftables alone is up with the same settings", async (t) => {
  if (lacks(t, "nftables") || lacks(t, "veth")) return;
  const there = await bridgePlace(t);
  await there.islet("up");
  const file = join(there.own.runtimeDir, "net/lxcbr0.json");
  const { version, network } = JSON.parse(readFileSync(file, "utf8")) as { version: number; network: object };
  writeFileSync(file, JSON.stringify({ version, network: { ...network, nft: undefined, hostNames: undefined } }));
  assert.deepEqual(seen(await there.islet("up")), { status: 0, stdout: "", stderr: "" });
  assert.deepEqual(seen(await there.islet("down")), { status: 0, stdout: "", stderr: "" });
  assert.equal(await there.net.ok(["nft", "list", "ruleset"]), "");
});

test("a dnsmasq that does not answer, and a host that does not forward, are named within the time", async (t) => {
  if (lacks(t, "nftables") || lacks(t, "veth")) return;
  const there = await bridgePlace(t);
  await there.islet("up");
  const list = JSON.parse(await there.own.ok(["islet", "net", "ls", "--format=json"])) as {
    readonly bridges: readonly { readonly dnsmasqPid: number }[];
  };
  const pid = list.bridges[0]?.dnsmasqPid ?? assert.fail("no dnsmasq");
  process.kill(pid, "SIGSTOP");
  try {
    const begin = performance.now();
    const lines = await failing(there);
    assert.ok(performance.now() - begin < 10_000);
    assert.equal(lines[0], `lxcbr0: DHCP does not pass: dnsmasq is stopped: kill -CONT ${pid}`);
    assert.equal(lines[2], "lxcbr0: forwarding passes");
  } finally {
    process.kill(pid, "SIGCONT");
  }
  await there.net.ok(["sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"]);
  const lines = await failing(there);
  assert.equal(lines[0], "lxcbr0: DHCP passes");
  assert.equal(
    lines[2],
    "lxcbr0: forwarding does not pass: the host does not forward: sysctl -w net/ipv4/ip_forward=1",
  );
});

test("rules of iptables-legacy are named, with docker's own chain where there is one", async (t) => {
  if (lacks(t, "nftables") || lacks(t, "veth") || lacks(t, "iptables-legacy")) return;
  const there = await bridgePlace(t);
  await there.islet("up");
  await there.net.ok(["iptables-legacy", "-N", "DOCKER-USER"]);
  await there.net.ok(["iptables-legacy", "-A", "FORWARD", "-j", "DOCKER-USER"]);
  await there.net.ok(["iptables-legacy", "-P", "FORWARD", "DROP"]);
  const lines = await failing(there);
  const remedies = ["-i", "-o"].map((option) => `iptables-legacy -I DOCKER-USER ${option} lxcbr0 -j ACCEPT`);
  assert.equal(
    lines[2],
    `lxcbr0: forwarding does not pass: the firewall's chain FORWARD of iptables-legacy drops what is forwarded, unless a rule accepts it: ${remedies.join("; ")}`,
  );
  for (const remedy of remedies) await there.net.ok(remedy.split(" "));
  assert.deepEqual(seen(await there.islet("check")), { status: 0, stdout: allPass, stderr: "" });
});

test("an address that somebody has is not taken, and networks in use are not touched", async (t) => {
  if (lacks(t, "nftables") || lacks(t, "veth")) return;
  const there = await bridgePlace(t, { config: "LXC_DHCP_RANGE=10.0.3.9,10.0.3.9\n" });
  const { net, islet } = there;
  await islet("up");
  await net.ok(["ip", "link", "add", "islt-up", "type", "veth", "peer", "name", "islt-down"]);
  await net.ok(["ip", "addr", "add", "192.0.2.77/24", "dev", "islt-up"]);
  await net.ok(["ip", "addr", "add", "198.51.100.1/32", "dev", "islt-up"]);
  await net.ok(["ip", "link", "set", "islt-up", "up"]);
  assert.deepEqual(seen(await islet("check")), { status: 0, stdout: allPass, stderr: "" });
  const other = await netns(t);
  const peer = ["peer", "name", "islt-p", "netns", String(other.pid)];
  await net.ok(["ip", "link", "add", "islt-v", "type", "veth", ...peer]);
  await net.ok(["ip", "link", "set", "islt-v", "master", "lxcbr0", "up"]);
  await other.ok(["ip", "addr", "add", "10.0.3.9/24", "dev", "islt-p"]);
  await other.ok(["ip", "link", "set", "islt-p", "up"]);
  const { status, stdout } = await islet("check");
  assert.equal(status, 0, stdout);
  assert.match(stdout, /^lxcbr0: DHCP passes\nlxcbr0: DNS was not tried: somebody has the address that was chosen\n/);
});

test("without a bridge there is nothing to check", async (t) => {
  if (lacks(t, "nftables")) return;
  const { islet } = await bridgePlace(t);
  const { status, stderr } = await islet("check");
  assert.deepEqual([status, stderr], [1, "islet net: islet has made no bridge lxcbr0, or it is down; islet net up\n"]);
});

test("whichever step of it fails, and whenever it is killed, nothing is left", async (t) => {
  if (lacks(t, "nftables") || lacks(t, "veth")) return;
  const there = await bridgePlace(t);
  await there.islet("up");
  const before = await bridgePicture(there);
  const script = join(root, "dist/test/support/bridge-faults.js");
  const argv = [process.execPath, script, join(root, "build/islet"), there.own.runtimeDir];
  const printed = await there.net.ok(argv, { timeout: 120_000 });
  const { count, failed, faults } = JSON.parse(printed) as { count: number; failed: number; faults: readonly string[] };
  assert.deepEqual(faults, []);
  assert.ok(failed > count / 2, `${failed} of ${count}`);
  // Whom the kernel came to know by one that was killed, it forgets by itself; what somebody wrote down would stay.
  await there.net.ok(["ip", "neigh", "flush", "dev", "lxcbr0"]);
  assert.equal(await bridgePicture(there), before);
  assert.equal(leasesOf(there), "");
});
