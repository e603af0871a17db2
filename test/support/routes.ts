import assert from "node:assert/strict";
import type { Cleaner } from "./cleanup.js";
import { netns, type Netns } from "./netns.js";
import { waitFor } from "./wait.js";

/** islt-up (10.6.0.1) of the network leads to a neighbour, 10.6.0.9 in a network namespace of its own. */
export async function neighbour(t: Cleaner, net: Netns): Promise<Netns> {
  const other = await netns(t);
  await net.ok([
    "ip",
    "link",
    "add",
    "islt-up",
    "mtu",
    "1400",
    "type",
    "veth",
    "peer",
    "name",
    "islt-lan",
    "mtu",
    "1400",
  ]);
  await net.ok(["ip", "link", "set", "islt-lan", "netns", String(other.pid)]);
  for (const [where, link, host] of [
    [net, "islt-up", 1],
    [other, "islt-lan", 9],
  ] as const) {
    await where.ok(["ip", "addr", "add", `10.6.0.${host}/24`, "dev", link]);
    await where.ok(["ip", "addr", "add", `fd06::${host}/64`, "dev", link, "nodad"]);
    await where.ok(["ip", "link", "set", link, "up"]);
  }
  // For addresses of an interface that the host has no other route to, it answers nobody (arp_process).
  await net.ok(["ip", "route", "add", "default", "via", "10.6.0.9"]);
  return other;
}

/** As sysctl(8) would, which is not on every host. */
export async function sysctl(net: Netns, path: string, value: number): Promise<void> {
  await net.ok(["sh", "-c", `echo ${value} > /proc/sys/net/${path}`]);
}

/** What a router with l2proxy on islt-up needs. */
export async function allowForwarding(net: Netns): Promise<void> {
  await sysctl(net, "ipv6/conf/all/forwarding", 1);
  await sysctl(net, "ipv4/conf/islt-up/forwarding", 1);
  await sysctl(net, "ipv6/conf/islt-up/forwarding", 1);
  await sysctl(net, "ipv6/conf/islt-up/proxy_ndp", 1);
}

/** ADDRESS LINK of each address that the host answers for. */
export async function proxies(net: Netns): Promise<readonly string[]> {
  const both =
    (await net.ok(["ip", "-4", "neigh", "show", "proxy"])) + (await net.ok(["ip", "-6", "neigh", "show", "proxy"]));
  return both
    .split("\n")
    .map((line) => /^(\S+) dev (\S+)/.exec(line)?.slice(1).join(" ") ?? "")
    .filter((line) => line !== "")
    .sort();
}

/** Routes and entries of the network, which must come back to what they were. */
export async function watchRoutes(net: Netns): Promise<(after: string) => Promise<void>> {
  const picture = async (): Promise<string> => {
    const all = (await net.ok(["ip", "-4", "route"])) + (await net.ok(["ip", "-6", "route"]));
    // Link-local routes and the state of links come and go by themselves.
    const lines = all.split("\n").filter((line) => line !== "" && !line.startsWith("fe80:"));
    return [...lines.map((line) => line.replace(/ linkdown\b/, "").trim()), ...(await proxies(net))].join("\n");
  };
  const before = await picture();
  return async (after) => {
    let now = "";
    try {
      await waitFor("routes and entries to be gone", async () => (now = await picture()) === before);
    } catch {
      assert.equal(now, before, after);
    }
  };
}
