import assert from "node:assert/strict";
import { test } from "node:test";
import { linkTable, pidOf, place, type Place, startTraces } from "../support/place.js";
import { neighbour } from "../support/routes.js";
import { lacks } from "../support/skip.js";

/** VLANs and ipvlans on a link of the host's, as a container has them and as the neighbour on that link sees them. */

/** What `ip -d` says of eth0 inside: busybox says less. */
const details = async ({ net, own }: Place, name: string): Promise<string> =>
  net.ok(["nsenter", `--net=/proc/${await pidOf(own, name)}/ns/net`, "ip", "-d", "link", "show", "eth0"]);

test("a VLAN of the host's link is the container's, and only that VLAN", async (t) => {
  if (lacks(t, "veth") || lacks(t, "vlan")) return;
  const there = await place(t);
  const { net, own, run, inside, stop } = there;
  const lan = await neighbour(t, net);
  await lan.ok(["ip", "link", "add", "link", "islt-lan", "name", "islt-lan.7", "type", "vlan", "id", "7"]);
  await lan.ok(["ip", "addr", "add", "10.7.0.9/24", "dev", "islt-lan.7"]);
  await lan.ok(["ip", "link", "set", "islt-lan.7", "up"]);
  const traces = await startTraces(own, net, "islt-s");
  const lines = (id: number, address: string): string => `lxc.net.0.type = vlan
lxc.net.0.link = islt-up
lxc.net.0.vlan.id = ${id}
lxc.net.0.flags = up
lxc.net.0.mtu = 1300
lxc.net.0.ipv4.address = ${address}/24`;
  await run("islt-s", lines(7, "10.7.0.2"));
  const links = linkTable(await inside("islt-s", "ip", "-o", "link"));
  assert.deepEqual([...links.keys()], ["lo", "eth0"]);
  assert.match(links.get("eth0") ?? "", /\bUP\b.* mtu 1300 /);
  assert.match(await details(there, "islt-s"), /vlan protocol 802\.1Q id 7 /);
  await inside("islt-s", "ping", "-c", "1", "-W", "5", "10.7.0.9");
  await lan.ok(["busybox", "ping", "-c", "1", "-W", "5", "10.7.0.2"]);
  await stop("islt-s");
  await traces.assertGone("after the container stopped");
  await run("islt-s", lines(8, "10.7.0.2"));
  const other = await own.command([
    "lxc-attach",
    ...own.store.at("islt-s"),
    "--",
    "ping",
    "-c",
    "1",
    "-W",
    "1",
    "10.7.0.9",
  ]);
  assert.equal(other.status, 1, "the neighbour is in another VLAN");
  await stop("islt-s");
});

for (const [mode, isolation] of [
  ["l2", "bridge"],
  ["l3", "private"],
  ["l3s", "vepa"],
] as const) {
  test(`an ipvlan in the mode ${mode} with the isolation ${isolation}`, async (t) => {
    if (lacks(t, "veth") || lacks(t, "ipvlan")) return;
    const there = await place(t);
    const { net, own, run, inside, stop } = there;
    const lan = await neighbour(t, net);
    const mac = /link\/ether (\S+)/.exec(await net.ok(["ip", "-o", "link", "show", "islt-up"]))?.[1] ?? "";
    // In the modes of layer 3 nobody answers for the container's address on the link.
    if (mode !== "l2") await lan.ok(["ip", "neigh", "add", "10.6.0.50", "lladdr", mac, "dev", "islt-lan"]);
    const traces = await startTraces(own, net, "islt-s");
    await run(
      "islt-s",
      `lxc.net.0.type = ipvlan
lxc.net.0.link = islt-up
lxc.net.0.ipvlan.mode = ${mode}
lxc.net.0.ipvlan.isolation = ${isolation}
lxc.net.0.flags = up
lxc.net.0.ipv4.address = 10.6.0.50/24`,
    );
    assert.deepEqual([...linkTable(await inside("islt-s", "ip", "-o", "link")).keys()], ["lo", "eth0"]);
    assert.match(await details(there, "islt-s"), new RegExp(`ipvlan +mode ${mode} ${isolation}`));
    assert.match(await details(there, "islt-s"), new RegExp(`link/ether ${mac}`), "it is the link's own");
    await inside("islt-s", "ping", "-c", "1", "-W", "5", "10.6.0.9");
    await lan.ok(["busybox", "ping", "-c", "1", "-W", "5", "10.6.0.50"]);
    await stop("islt-s");
    await traces.assertGone("after the container stopped");
  });
}
