import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readlinkSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { describe, test, type TestContext } from "node:test";
import { cleanup } from "../support/cleanup.js";
import { domain, nic } from "../support/domain.js";
import { netns } from "../support/netns.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";
import { domains } from "./libvirt-guest.js";

const route = { family: "ipv4", prefix: null, netmask: null, metric: null } as const;

describe("the interfaces of a domain", () => {
  test("are of a bridge, with the document's names, addresses, routes and limits; one without an address is down", async (t) => {
    if (lacks(t, "bridge") || lacks(t, "tc-tbf") || lacks(t, "tc-bpf")) return;
    const host = domains(t);
    const outside = await netns(t);
    await outside.ok(["ip", "link", "add", "islt-br", "type", "bridge"]);
    await outside.ok(["ip", "addr", "add", "10.9.0.1/24", "dev", "islt-br"]);
    await outside.ok(["ip", "link", "set", "islt-br", "up"]);
    const bridge = { kind: "bridge", bridge: "islt-br" } as const;
    const first = nic(bridge, {
      target: "islt-lv0",
      ips: [{ address: "10.9.0.2", family: "ipv4", prefix: 24, peer: null }],
      routes: [
        { ...route, address: "0.0.0.0", prefix: 0, gateway: "10.9.0.1" },
        { ...route, address: "10.8.0.0", prefix: 16, gateway: "10.9.0.7", metric: 50 },
      ],
      isolated: true,
      others: [{ name: "filterref", xml: "<filterref filter='clean-traffic'/>" }],
      inbound: { average: 1000, peak: null, burst: null, floor: null },
    });
    const second = nic(
      { kind: "network", network: "default", portgroup: null, portId: null, bridge: null },
      { mac: "52:54:00:00:00:02" },
    );
    const third = nic(bridge, { mac: "52:54:00:00:00:03", guest: "wan", link: "up" });
    const guest = await host.start(
      "islt-lv-br",
      { interfaces: [first, second, third] },
      { near: outside.pid, context: { networks: () => ({ bridge: "islt-br" }) } },
    );
    const links = await guest.sh("ip -o link | sed 's/@[^:]*//'");
    assert.match(links, /: lo: <LOOPBACK,UP/);
    assert.match(links, /: eth0: <[^>]*UP.* 52:54:00:12:34:56 /);
    assert.match(links, /: eth1: <BROADCAST,MULTICAST> .* 52:54:00:00:00:02 /);
    assert.match(links, /: wan: <[^>]*UP.* 52:54:00:00:00:03 /);
    assert.deepEqual(
      (await guest.sh("ip route"))
        .split("\n")
        .map((line) => line.trim())
        .sort(),
      [
        "10.8.0.0/16 via 10.9.0.7 dev eth0  metric 50",
        "10.9.0.0/24 dev eth0 scope link  src 10.9.0.2",
        "default via 10.9.0.1 dev eth0",
      ],
    );
    const near = await outside.ok(["ip", "-d", "link", "show", "islt-lv0"]);
    assert.match(near, /master islt-br/);
    assert.match(near, /isolated on/);
    assert.match(await outside.ok(["tc", "qdisc", "show", "dev", "islt-lv0"]), /tbf .* rate 8Mbit/);
    await waitFor("the bridge", async () => (await guest.try("ping -c1 -W1 10.9.0.1")).status === 0);
    // What is not its own does not come out.
    await guest.sh("ip addr add 10.9.0.99/24 dev eth0");
    assert.notEqual((await guest.try("ping -c1 -W1 -I 10.9.0.99 10.9.0.1")).status, 0);
    assert.equal((await guest.try("ping -c1 -W1 10.9.0.1")).status, 0);
    await guest.kill();
    await waitFor(
      "the host's end to go",
      async () => (await outside.command(["ip", "link", "show", "islt-lv0"])).status !== 0,
    );
  });

  test("are a pair with addresses at both ends", async (t) => {
    if (lacks(t, "veth")) return;
    const host = domains(t);
    const outside = await netns(t);
    const pair = nic(
      {
        kind: "ethernet",
        ips: [{ address: "10.7.0.1", family: "ipv4", prefix: 32, peer: "10.7.0.2" }],
        routes: [{ ...route, address: "10.77.0.0", prefix: 16, gateway: "10.7.0.2" }],
      },
      { ips: [{ address: "10.7.0.2", family: "ipv4", prefix: 32, peer: "10.7.0.1" }] },
    );
    const guest = await host.start("islt-lv-ptp", { interfaces: [pair] }, { near: outside.pid });
    assert.match(await guest.sh("ip addr show eth0"), /inet 10\.7\.0\.2 peer 10\.7\.0\.1\/32/);
    assert.match(await guest.sh("ping -c1 -W2 10.7.0.1"), /1 packets received/);
    assert.match(await outside.ok(["ip", "route"]), /^10\.77\.0\.0\/16 via 10\.7\.0\.2 /m);
  });

  test("are on a link of the host's, or are one, which comes back", async (t) => {
    if (lacks(t, "macvlan") || lacks(t, "veth")) return;
    const host = domains(t);
    const outside = await netns(t);
    await outside.ok(["ip", "link", "add", "islt-d0", "type", "veth", "peer", "name", "islt-d1"]);
    const guest = await host.start(
      "islt-lv-dir",
      {
        interfaces: [nic({ kind: "direct", dev: "islt-d0", mode: "bridge" })],
        hostdevs: [{ kind: "net", interface: "islt-d1", ips: [], routes: [] }],
      },
      { near: outside.pid },
    );
    assert.equal(await guest.sh("ls /sys/class/net | tr '\\n' ' '"), "eth0 islt-d1 lo");
    assert.notEqual((await outside.command(["ip", "link", "show", "islt-d1"])).status, 0);
    await guest.kill();
    await waitFor("the link", async () => (await outside.command(["ip", "link", "show", "islt-d1"])).status === 0);
  });

  test("that cannot be had fail the start, and nothing of it is left", async (t) => {
    if (lacks(t, "veth")) return;
    const host = domains(t);
    const outside = await netns(t);
    const wrong = nic({ kind: "bridge", bridge: "islt-nope" });
    await assert.rejects(
      host.start(
        "islt-lv-nobr",
        { interfaces: [nic({ kind: "ethernet", ips: [], routes: [] }), wrong] },
        { near: outside.pid },
      ),
      /cannot find the bridge islt-nope: ENODEV/,
    );
    assert.equal((await outside.ok(["ip", "-o", "link"])).trim().split("\n").length, 1);
  });
});

/** A name below /run/netns for the namespace of a process, as ip-netns(8) makes it. */
function nameNetwork(t: TestContext, name: string, pid: number): void {
  const directory = "/run/netns";
  const atEnd = cleanup(t);
  if (!existsSync(directory)) {
    mkdirSync(directory);
    atEnd(() => {
      rmdirSync(directory);
    });
  }
  writeFileSync(`${directory}/${name}`, "");
  atEnd(() => {
    rmSync(`${directory}/${name}`);
  });
  execFileSync("mount", ["--bind", `/proc/${pid}/ns/net`, `${directory}/${name}`]);
  atEnd(() => {
    execFileSync("umount", [`${directory}/${name}`]);
  });
}

test("a domain may have the namespaces of others, whose host name stays", async (t) => {
  const host = domains(t);
  const outside = await netns(t);
  nameNetwork(t, "islt-lv-red", outside.pid);
  const other = await host.start("islt-lv-other", { features: { ...domain().features, privnet: true } });
  const guest = await host.start(
    "islt-lv-share",
    {
      namespaces: {
        net: { type: "netns", value: "islt-lv-red" },
        ipc: { type: "pid", value: String(other.pid) },
        uts: { type: "name", value: "islt-lv-other" },
      },
    },
    { context: { shared: (name) => (name === "islt-lv-other" ? other.pid : null) } },
  );
  const of = (pid: number, kind: string): string => readlinkSync(`/proc/${pid}/ns/${kind}`);
  assert.equal(of(guest.pid, "net"), of(outside.pid, "net"));
  assert.equal(of(guest.pid, "ipc"), of(other.pid, "ipc"));
  assert.equal(of(guest.pid, "uts"), of(other.pid, "uts"));
  assert.notEqual(of(guest.pid, "pid"), of(other.pid, "pid"));
  assert.equal(await guest.sh("hostname"), "islt-lv-other");
  assert.match(readFileSync(`/proc/${guest.pid}/environ`, "utf8"), /LIBVIRT_LXC_NAME=islt-lv-share/);
});
