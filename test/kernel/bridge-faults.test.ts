import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inside, bridgePlace, type BridgePlace } from "../support/bridge-place.js";
import { end } from "../support/host.js";
import { instance, linksOf, processesOf, type Instance } from "../support/instance.js";
import { make } from "../support/place.js";
import { root } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { compileStatic } from "../support/static.js";
import { waitFor } from "../support/wait.js";

const quick = "LXC_DHCP_PING=false\n";

/** What is written down of bridges; who has which address, and may have it again, is kept. */
const notes = ({ own }: BridgePlace): readonly string[] =>
  readdirSync(join(own.runtimeDir, "net")).filter((file) => !/\.(leases|hosts)$/.test(file));

/** Pids of dnsmasq for this daemon's bridges. */
function servers({ own }: BridgePlace): readonly number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`--pid-file=${own.runtimeDir}/net/`);
      } catch {
        return false;
      }
    });
}

type Guests = Pick<BridgePlace, "own">;

const leaseScript = `#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev $interface
`;

/** A container on lxcbr0, not started. */
function makeGuest({ own }: Guests, name: string): void {
  make(own, name, "lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.flags = up");
  writeFileSync(join(own.store.path, name, "rootfs", "lease"), leaseScript, { mode: 0o755 });
}

/** A running guest asks for an address: null if it gets none within `tries` of two seconds. */
async function askAddress({ own }: Guests, name: string, tries: number = 10): Promise<string | null> {
  const within = ["lxc-attach", ...own.store.at(name), "--"];
  const words = ["udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", String(tries), "-T", "2", "-s", "/lease"];
  const asked = await own.command([...within, ...words, "-x", `hostname:${name}`]);
  if (asked.status !== 0) return null;
  const shown = await own.ok([...within, "ip", "-4", "addr", "show", "eth0"]);
  return /inet (10\.0\.3\.\d+)\//.exec(shown)?.[1] ?? assert.fail(shown);
}

/** A started guest with an address. */
async function guest(there: Guests, name: string): Promise<string> {
  makeGuest(there, name);
  await there.own.ok(["lxc-start", ...there.own.store.at(name)]);
  return (await askAddress(there, name)) ?? assert.fail(`${name} got no address`);
}

async function nothingLeft(there: BridgePlace): Promise<void> {
  await waitFor("dnsmasq's end", () => servers(there).length === 0);
  assert.deepEqual(linksOf(there.net.pid), ["lo"]);
  assert.equal(await there.net.ok(["nft", "list", "ruleset"]), "");
  assert.deepEqual(notes(there), []);
}

async function killed(pid: number): Promise<void> {
  end(pid, "SIGKILL");
  await waitFor(`the end of ${pid}`, () => !existsSync(`/proc/${pid}`));
}

test("fifty starts at once make one bridge with one dnsmasq, and leave nothing", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t, { config: quick, isOnDemand: true });
  const { own, net } = there;
  const names = Array.from({ length: 50 }, (_, index) => `islt-bf-${index + 1}`);
  for (const name of names) makeGuest(there, name);
  const started = await Promise.all(names.map((name) => own.command(["lxc-start", ...own.store.at(name)])));
  assert.deepEqual(
    started.filter(({ status, stderr }) => status !== 0 || stderr !== "").map(({ stderr }) => stderr),
    [],
  );
  assert.equal(servers(there).length, 1);
  assert.equal((await there.list())[0]?.ports.length, 50);
  assert.equal(linksOf(net.pid).length, 52);
  const asking = names.slice(0, 12);
  const addresses = await Promise.all(asking.map((name) => askAddress(there, name)));
  assert.ok(!addresses.includes(null), String(addresses));
  assert.equal(new Set(addresses).size, asking.length);
  const stopped = await Promise.all(names.map((name) => own.command(["lxc-stop", ...own.store.at(name), "-k"])));
  assert.deepEqual(
    stopped.filter(({ status }) => status !== 0),
    [],
  );
  assert.deepEqual(linksOf(net.pid), ["lo", "lxcbr0"]);
  assert.equal((await there.islet("down")).status, 0);
  await nothingLeft(there);
});

test("after dnsmasq was killed while guests ask, up mends it and they get their addresses", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t, { config: quick });
  await there.islet("up");
  const names = ["islt-bf-1", "islt-bf-2", "islt-bf-3"];
  const first = await guest(there, "islt-bf-0");
  for (const name of names) {
    makeGuest(there, name);
    await there.own.ok(["lxc-start", ...there.own.store.at(name)]);
  }
  const [pid = 0] = servers(there);
  await killed(pid);
  const asking = names.map((name) => askAddress(there, name));
  assert.equal((await there.list())[0]?.state, "no dnsmasq");
  const mended = await there.islet("up");
  assert.deepEqual([mended.status, mended.stderr], [0, ""]);
  const addresses = await Promise.all(asking);
  assert.equal(new Set([first, ...addresses]).size, 4, String(addresses));
  assert.ok(!addresses.includes(null));
});

test("the next start on a bridge whose dnsmasq was killed mends it", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t, { config: quick });
  await there.islet("up");
  const [pid = 0] = servers(there);
  await killed(pid);
  const address = await guest(there, "islt-bf-1");
  assert.match(address, /^10\.0\.3\./);
  assert.equal(servers(there).length, 1);
  assert.notDeepEqual(servers(there), [pid]);
  // What cannot be mended is told, and does not keep the container from running.
  await killed(servers(there)[0] ?? 0);
  const leases = join(there.own.runtimeDir, "net", "dnsmasq.lxcbr0.leases");
  const text = readFileSync(leases, "utf8");
  assert.ok(text.includes(address), text);
  writeFileSync(join(there.own.runtimeDir, "net", "lxcbr0.json"), "{}");
  makeGuest(there, "islt-bf-2");
  assert.equal((await there.own.command(["lxc-start", ...there.own.store.at("islt-bf-2")])).status, 0);
});

test("a daemon that is killed in the middle of up leaves what the next up makes whole, and down takes away", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t, { config: quick });
  for (const delay of [0, 3, 8, 15, 25, 40]) {
    const up = there.islet("up").catch(() => undefined);
    const daemon = there.own.pid();
    await new Promise((resolve) => setTimeout(resolve, delay));
    await killed(daemon);
    await up;
    await there.own.ok(["lxc-ls", "-P", there.own.store.path]);
    const again = await there.islet("up");
    assert.deepEqual([again.status, again.stderr], [0, ""], `after ${delay} ms`);
    assert.equal((await there.list())[0]?.state, "up");
    assert.equal(servers(there).length, 1);
    assert.equal((await there.islet("down")).status, 0);
    await nothingLeft(there);
  }
});

test("a killed monitor leaves no pair on the bridge, and the leases in order", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t, { config: quick });
  await there.islet("up");
  const one = await guest(there, "islt-bf-1");
  const two = await guest(there, "islt-bf-2");
  const monitor = processesOf(there.own.store.path, []).find((line) => line.trimEnd().endsWith(" islt-bf-1"));
  await killed(Number((monitor ?? assert.fail("no monitor")).split(" ")[0]));
  await waitFor("its pair to go", async () => (await there.list())[0]?.ports.length === 1);
  const leases = readFileSync(join(there.own.runtimeDir, "net", "dnsmasq.lxcbr0.leases"), "utf8");
  assert.match(leases, new RegExp(`^\\d+ \\S+ ${two.replaceAll(".", "\\.")} islt-bf-2 \\S+$`, "m"));
  for (const each of leases.trimEnd().split("\n")) assert.match(each, /^\d+ [0-9a-f:]{17} 10\.0\.3\.\d+ \S+ \S+$/);
  // What it had is free again.
  await waitFor("its address to be given back", () => {
    const text = readFileSync(join(there.own.runtimeDir, "net", "dnsmasq.lxcbr0.leases"), "utf8");
    return !text.includes(` ${one} `);
  });
  assert.equal((await inside(there, "islt-bf-2", "ping", "-c", "1", "-W", "5", "10.0.3.1")).status, 0);
});

test("a wrong line of LXC_DHCP_CONFILE is told with file and line, and nothing is left", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t);
  const more = `${there.file}.dnsmasq`;
  writeFileSync(more, "# fine\ndhcp-host=00:16:3e:00:00:07,10.0.3.7\nno-such-word=1\n");
  writeFileSync(there.file, `${quick}LXC_DHCP_CONFILE=${more}\n`);
  const { status, stderr } = await there.islet("up");
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`^islet net: cannot start dnsmasq on lxcbr0: .*line 3 of ${more}[^\\n]*\\n$`));
  await nothingLeft(there);
  writeFileSync(more, "dhcp-host=00:16:3e:00:00:07,10.0.3.7\n");
  const mended = await there.islet("up");
  assert.deepEqual([mended.status, mended.stderr], [0, ""]);
});

test("a second daemon leaves the bridge of the first alone", async (t) => {
  if (lacks(t, "nftables")) return;
  const first = await bridgePlace(t, { config: quick });
  const second = { own: await instance(t, { netnsPid: first.net.pid, env: { ISLET_LXC_NET: first.file } }) };
  const islet = (...words: readonly string[]): ReturnType<Instance["command"]> =>
    second.own.command(["islet", "net", ...words, `--config=${first.file}`]);
  assert.equal((await first.islet("up")).status, 0);
  const [before] = await first.list();
  const rules = await first.net.ok(["nft", "-s", "list", "ruleset"]);
  const refused = await islet("up");
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /^islet net: [^\n]*lxcbr0[^\n]*\n$/);
  const down = await islet("down");
  assert.deepEqual([down.status, down.stderr], [1, "islet net: islet has made no bridge lxcbr0\n"]);
  const forced = await islet("down", "--force");
  assert.equal(forced.status, 1);
  assert.deepEqual(await first.list(), [before]);
  assert.equal(await first.net.ok(["nft", "-s", "list", "ruleset"]), rules);
  // Its containers use the bridge all the same.
  assert.match(await guest(second, "islt-bf-1"), /^10\.0\.3\./);
  assert.deepEqual((await first.list())[0]?.dnsmasqPid, before?.dnsmasqPid);
});

/** Resident memory, kB. */
const rss = (pid: number): number => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);

for (const [how, mode, state] of [
  ["hardware addresses", "mac", "addresses for containers only"],
  ["client identifiers", "id", "up"],
] as const) {
  test(`a guest that floods DHCP with ${how} takes no other container's address`, async (t) => {
    if (lacks(t, "nftables")) return;
    const there = await bridgePlace(t, { config: quick });
    const { own } = there;
    await there.islet("up");
    const early = await guest(there, "islt-bf-1");
    makeGuest(there, "islt-bf-2");
    compileStatic(join(root, "test/support/dhcp-flood.c"), join(own.store.path, "islt-bf-2/rootfs/bin/dhcp-flood"));
    await own.ok(["lxc-start", ...own.store.at("islt-bf-2")]);
    const [pid = 0] = servers(there);
    const before = [rss(pid), rss(own.pid())] as const;
    await own.ok(["lxc-attach", ...own.store.at("islt-bf-2"), "--", "dhcp-flood", "eth0", "10.0.3.", mode, "20"], {
      timeout: 120_000,
    });
    const leases = readFileSync(join(own.runtimeDir, "net", "dnsmasq.lxcbr0.leases"), "utf8")
      .trimEnd()
      .split("\n");
    assert.ok(leases.length <= 253, String(leases.length));
    assert.ok(
      leases.some((line) => line.includes(` ${early} islt-bf-1 `)),
      "who had an address keeps it",
    );
    assert.equal((await there.list())[0]?.state, state);
    assert.ok(rss(pid) - before[0] < 4096, `dnsmasq grew from ${before[0]} to ${rss(pid)} kB`);
    assert.ok(rss(own.pid()) - before[1] < 32_768, `the daemon grew from ${before[1]} to ${rss(own.pid())} kB`);
    t.diagnostic(`dnsmasq ${before[0]} to ${rss(pid)} kB, daemon ${before[1]} to ${rss(own.pid())} kB`);
    const late = await guest(there, "islt-bf-3");
    assert.match(late, /^10\.0\.3\./);
    assert.notEqual(late, early);
    assert.equal(await askAddress(there, "islt-bf-1"), early);
  });
}
