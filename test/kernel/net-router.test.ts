import assert from "node:assert/strict";
import { test } from "node:test";
import type { Instance } from "../support/instance.js";
import type { Netns } from "../support/netns.js";
import { make, pidOf, place, startTraces, type Place } from "../support/place.js";
import { allowForwarding, neighbour, proxies, sysctl, watchRoutes } from "../support/routes.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

/** Routes through an interface: their destinations. */
async function routes(net: Netns, link: string): Promise<readonly string[]> {
  const both =
    (await net.ok(["ip", "-4", "route", "show", "dev", link])) +
    (await net.ok(["ip", "-6", "route", "show", "dev", link]));
  return both
    .split("\n")
    .map((line) => line.split(" ")[0] ?? "")
    .filter((line) => line !== "" && !line.startsWith("fe80:"))
    .sort();
}

const router = `lxc.net.0.type = veth
lxc.net.0.veth.mode = router
lxc.net.0.veth.pair = islt-r
lxc.net.0.flags = up`;

const proxied = `${router}
lxc.net.0.link = islt-up
lxc.net.0.l2proxy = 1
lxc.net.0.ipv4.address = 10.6.0.50/32
lxc.net.0.ipv4.gateway = 169.254.0.1
lxc.net.0.ipv6.address = fd06::50/128
lxc.net.0.ipv6.gateway = fe80::1`;

const entries = ["10.6.0.50 islt-up", "169.254.0.1 islt-r", "fd06::50 islt-up", "fe80::1 islt-r"];

/** The neighbour gets a word from a port of the container's. */
async function hears(inside: Place["inside"], net: Netns, address: string): Promise<void> {
  await inside("islt-r", "sh", "-c", "nc -ll -p 700 -e echo hello </dev/null >/dev/null 2>&1 &");
  await waitFor("the container's port", async () => {
    const answer = await net.command(["busybox", "nc", "-w", "2", address, "700"]);
    return answer.stdout === "hello\n";
  });
}

test("a router's container is reached over routes of the host, by neighbours too, and all of it goes with the container", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge")) return;
  const { net, own, run, inside, stop } = await place(t);
  const lan = await neighbour(t, net);
  await allowForwarding(net);
  const traces = await startTraces(own, net, "islt-r");
  const assertRoutes = await watchRoutes(net);
  const extra = "lxc.net.0.veth.ipv4.route = 10.66.0.0/24\nlxc.net.0.veth.ipv6.route = fd66::/64";
  await run("islt-r", `${proxied}\n${extra}`);
  const near = await net.ok(["ip", "-o", "link", "show", "islt-r"]);
  assert.match(near, /<[^>]*\bUP\b.* mtu 1400 .*link\/ether fe:/);
  assert.doesNotMatch(near, /master/);
  assert.deepEqual(await routes(net, "islt-r"), ["10.6.0.50", "10.66.0.0/24", "fd06::50", "fd66::/64"]);
  assert.deepEqual(await proxies(net), entries);
  for (const path of ["ipv4/conf/islt-r/forwarding", "ipv6/conf/islt-r/forwarding", "ipv6/conf/islt-r/proxy_ndp"])
    assert.equal(await net.ok(["cat", `/proc/sys/net/${path}`]), "1\n", path);
  assert.match(await inside("islt-r", "ip", "route"), /^default via 169\.254\.0\.1 dev eth0/m);
  assert.match(await inside("islt-r", "ip", "-6", "route"), /^default via fe80::1 dev eth0/m);
  assert.match(await inside("islt-r", "ip", "-o", "link", "show", "eth0"), / mtu 1400 /);

  await net.ok(["busybox", "ping", "-c", "1", "-W", "5", "10.6.0.50"]);
  await lan.ok(["busybox", "ping", "-c", "1", "-W", "5", "10.6.0.50"]);
  await inside("islt-r", "ping", "-c", "1", "-W", "5", "10.6.0.9");
  await hears(inside, lan, "10.6.0.50");
  await waitFor("the IPv6 address", async () => !/tentative/.test(await inside("islt-r", "ip", "-6", "addr")));
  await lan.ok(["busybox", "ping6", "-c", "1", "-W", "5", "fd06::50"]);
  await inside("islt-r", "ping", "-6", "-c", "1", "-W", "5", "fd06::9");

  await own.ok(["lxc-stop", ...own.store.at("islt-r"), "-r", "-t", "20"]);
  assert.deepEqual(await proxies(net), entries, "after a reboot");
  await net.ok(["busybox", "ping", "-c", "1", "-W", "5", "10.6.0.50"]);
  await stop("islt-r");
  await assertRoutes("after the container stopped");
  await traces.assertGone("after the container stopped");

  await own.ok(["lxc-start", ...own.store.at("islt-r")]);
  assert.deepEqual(await proxies(net), entries);
  process.kill(await pidOf(own, "islt-r"), "SIGKILL");
  await assertRoutes("after its init was killed");
  await traces.assertGone("after its init was killed");

  const failed = await refused(own, `${proxied}\nlxc.net.0.script.up = /bin/false`);
  assert.match(failed, /script \/bin\/false.*exit status 1/);
  await assertRoutes("after a start that failed");
  await traces.assertGone("after a start that failed");
});

async function refused(own: Instance, lines: string): Promise<string> {
  make(own, "islt-r", lines);
  const result = await own.command(["lxc-start", ...own.store.at("islt-r")]);
  assert.equal(result.status, 1, result.stderr);
  const first = result.stderr.split("\n")[0] ?? "";
  assert.match(first, /islt-r\/config:\d+ lxc\.net\.0/);
  return first;
}

test("a router needs no link, and its gateway may be the interface", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge")) return;
  const { net, run, inside, stop } = await place(t);
  const assertRoutes = await watchRoutes(net);
  await run("islt-r", `${router}\nlxc.net.0.ipv4.address = 10.5.0.2/32\nlxc.net.0.ipv4.gateway = dev`);
  assert.match(await inside("islt-r", "ip", "route"), /^default dev eth0/m);
  assert.deepEqual(await routes(net, "islt-r"), ["10.5.0.2"]);
  assert.deepEqual(await proxies(net), []);
  await net.ok(["busybox", "ping", "-c", "1", "-W", "5", "10.5.0.2"]);
  await inside("islt-r", "ping", "-c", "1", "-W", "5", "10.9.0.1");
  await stop("islt-r");
  await assertRoutes("after the container stopped");
  // Only its MTU would be asked of the link: as with LXC it may be missing.
  await run("islt-r", `${router}\nlxc.net.0.link = islt-none\nlxc.net.0.ipv4.address = 10.5.0.2/32`);
  assert.match(await inside("islt-r", "ip", "-o", "link", "show", "eth0"), / mtu 1500 /);
  await stop("islt-r");
});

test("what a router and l2proxy need of the host is said with the sysctl to set", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge")) return;
  const { net, own } = await place(t);
  await neighbour(t, net);
  const traces = await startTraces(own, net, "islt-r");
  const assertRoutes = await watchRoutes(net);
  const refuses = async (lines: string, message: RegExp): Promise<void> => {
    assert.match(await refused(own, lines), message);
    await assertRoutes(`after ${String(message)}`);
    await traces.assertGone(`after ${String(message)}`);
  };
  await refuses(
    `${router}\nlxc.net.0.link = islt-none\nlxc.net.0.l2proxy = 1\nlxc.net.0.ipv4.address = 10.6.0.50/32`,
    /there is no interface islt-none on the host; see lxc\.net\.0\.link/,
  );
  const requires = (what: string, name: string): RegExp => {
    const [words, variable] = [what, name].map((text) => text.replaceAll(".", "\\."));
    return new RegExp(
      `${words} requires the sysctl ${variable}=1 on the host \\(.*\\); set it: sysctl -w ${variable}=1$`,
    );
  };
  await sysctl(net, "ipv4/conf/islt-up/forwarding", 0);
  await refuses(proxied, requires("lxc.net.0.l2proxy", "net.ipv4.conf.islt-up.forwarding"));
  await sysctl(net, "ipv4/conf/islt-up/forwarding", 1);
  await refuses(proxied, requires("lxc.net.0.l2proxy", "net.ipv6.conf.islt-up.proxy_ndp"));
  await sysctl(net, "ipv6/conf/islt-up/proxy_ndp", 1);
  await refuses(proxied, requires("lxc.net.0.l2proxy", "net.ipv6.conf.islt-up.forwarding"));
  await sysctl(net, "ipv6/conf/islt-up/forwarding", 1);
  await refuses(proxied, requires("veth.mode = router with an IPv6 gateway", "net.ipv6.conf.all.forwarding"));

  await allowForwarding(net);
  await net.ok(["ip", "route", "add", "fd06::50/128", "dev", "islt-br"]);
  const failed = await refused(own, proxied);
  assert.match(
    failed,
    /cannot route fd06::50\/128 through islt-r: EEXIST .*; the host has a route to fd06::50\/128 already/,
  );
  assert.deepEqual(await routes(net, "islt-br"), ["10.9.0.0/24", "fd06::50", "fd09::/64"], "the other's route stays");
  await net.ok(["ip", "route", "del", "fd06::50/128", "dev", "islt-br"]);
  await assertRoutes("after the address was taken");
});

test("an ipvlan in the mode l3s is answered for on its link", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge") || lacks(t, "ipvlan")) return;
  const { net, run, inside, stop } = await place(t);
  const lan = await neighbour(t, net);
  await allowForwarding(net);
  const assertRoutes = await watchRoutes(net);
  await run(
    "islt-r",
    `lxc.net.0.type = ipvlan
lxc.net.0.ipvlan.mode = l3s
lxc.net.0.link = islt-up
lxc.net.0.flags = up
lxc.net.0.l2proxy = 1
lxc.net.0.ipv4.address = 10.6.0.50/32
lxc.net.0.ipv4.gateway = dev
lxc.net.0.ipv6.address = fd06::50/128
lxc.net.0.ipv6.gateway = dev`,
  );
  assert.deepEqual(await proxies(net), ["10.6.0.50 islt-up", "fd06::50 islt-up"]);
  assert.deepEqual(await routes(net, "lo"), ["10.6.0.50", "fd06::50"]);
  await lan.ok(["busybox", "ping", "-c", "1", "-W", "5", "10.6.0.50"]);
  await inside("islt-r", "ping", "-c", "1", "-W", "5", "10.6.0.9");
  await stop("islt-r");
  await assertRoutes("after the container stopped");
});

const port = `lxc.net.0.type = veth
lxc.net.0.link = islt-br
lxc.net.0.veth.pair = islt-p
lxc.net.0.flags = up`;

test("a port of a bridge that filters is in the VLANs it was given and no others", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge-vlan")) return;
  const { net, run, stop } = await place(t);
  await net.ok(["ip", "link", "set", "islt-br", "type", "bridge", "vlan_filtering", "1", "vlan_default_pvid", "9"]);
  const vlans = async (lines: string): Promise<readonly string[]> => {
    await run("islt-r", `${port}\n${lines}`);
    const text = await net.ok(["bridge", "vlan", "show", "dev", "islt-p"]);
    await stop("islt-r");
    return [...text.matchAll(/(?:^|\s)(\d+(?: PVID)?(?: Egress Untagged)?)\s*$/gm)].map(([, vlan = ""]) => vlan);
  };
  assert.deepEqual(
    await vlans("lxc.net.0.veth.vlan.id = 20\nlxc.net.0.veth.vlan.tagged.id = 31\nlxc.net.0.veth.vlan.tagged.id = 30"),
    ["20 PVID Egress Untagged", "30", "31"],
  );
  assert.deepEqual(await vlans("lxc.net.0.veth.vlan.id = 9"), ["9 PVID Egress Untagged"]);
  assert.deepEqual(await vlans("lxc.net.0.veth.vlan.tagged.id = 30"), ["9 PVID Egress Untagged", "30"]);
  assert.deepEqual(await vlans("lxc.net.0.veth.vlan.id = none"), []);
});

test("VLANs of a bridge that does not filter are refused", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge")) return;
  const { net, own } = await place(t);
  const traces = await startTraces(own, net, "islt-r");
  assert.match(
    await refused(own, `${port}\nlxc.net.0.veth.vlan.id = 20`),
    /requires that the bridge islt-br filters VLANs .*; turn it on: ip link set islt-br type bridge vlan_filtering 1$|bridges of this kernel know no VLANs$/,
  );
  await traces.assertGone("after the refusal");
});

test("a bridge's port has the bridge's MTU, routes through it, and the queues that were asked for", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge")) return;
  const { net, own, run, stop } = await place(t);
  await net.ok(["ip", "link", "add", "islt-o", "mtu", "9000", "type", "veth", "peer", "name", "islt-q"]);
  await net.ok(["ip", "link", "set", "islt-o", "master", "islt-br"]);
  await net.ok(["ip", "link", "set", "islt-br", "mtu", "9000"]);
  const assertRoutes = await watchRoutes(net);
  await run(
    "islt-r",
    `${port}
lxc.net.0.ipv4.address = 10.9.0.2/24
lxc.net.0.veth.ipv4.route = 10.66.0.0/24
lxc.net.0.veth.n_rxqueues = 2
lxc.net.0.veth.n_txqueues = 3`,
  );
  const eth0 = await net.ok([
    "nsenter",
    `--net=/proc/${await pidOf(own, "islt-r")}/ns/net`,
    "ip",
    "-d",
    "link",
    "show",
    "eth0",
  ]);
  assert.match(eth0, / mtu 9000 /);
  // A kernel without receive packet steering says nothing of receive queues.
  assert.match(eth0, /numtxqueues 3 (?!numrxqueues (?!2 ))/);
  const near = await net.ok(["ip", "-d", "link", "show", "islt-p"]);
  assert.match(near, / mtu 9000 /);
  assert.match(near, /numtxqueues 2 (?!numrxqueues (?!3 ))/);
  assert.match(await net.ok(["ip", "link", "show", "islt-br"]), / mtu 9000 /);
  assert.deepEqual(await routes(net, "islt-p"), ["10.66.0.0/24"]);
  await stop("islt-r");
  await assertRoutes("after the container stopped");
});
