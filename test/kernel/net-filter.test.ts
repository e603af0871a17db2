import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { linkLocal } from "../../src/plan/nic/filter-bpf.js";
import { formatIp } from "../../src/sys/ip.js";
import { cleanup } from "../support/cleanup.js";
import { ok } from "../support/command.js";
import { frames, other } from "../support/forgeries.js";
import { ipv4, mac as macBytes, tagged } from "../support/packets.js";
import { linksOf } from "../support/instance.js";
import { pidOf, place, type Place } from "../support/place.js";
import { patience } from "../support/patience.js";
import { sysctl } from "../support/routes.js";
import { lacks } from "../support/skip.js";
import { checkBurst, type Side, transfer as secondsOf } from "../support/transfer.js";
import { waitFor } from "../support/wait.js";

const child = fileURLToPath(new URL("packet-child.js", import.meta.url));

const veth = `lxc.net.0.type = veth
lxc.net.0.link = islt-br
lxc.net.0.flags = up`;

const addressed = `${veth}
lxc.net.0.veth.pair = islt-f
lxc.net.0.ipv4.address = 10.9.0.2/24
lxc.net.0.ipv6.address = fd09::2/64
lxc.net.0.veth.ipv4.route = 10.66.0.0/20
lxc.net.0.veth.ipv6.route = fd66::/56`;

const neighbour = `${veth}\nlxc.net.0.ipv4.address = 10.9.0.3/24\nlxc.net.0.ipv6.address = fd09::3/64`;

async function macOf({ inside }: Place, name: string): Promise<string> {
  return (await inside(name, "cat", "/sys/class/net/eth0/address")).trim();
}

type Sent = Readonly<Record<string, Buffer>>;

/** What of the frames that one container sends another one gets. */
async function received(
  t: TestContext,
  { own }: Place,
  sent: Sent,
  { from, to, link = "eth0" }: { readonly from: string; readonly to: string; readonly link?: string },
  /** Where they look otherwise when they arrive. */
  arriving = sent,
): Promise<readonly string[]> {
  const within = async (name: string): Promise<readonly string[]> => [
    `--net=/proc/${await pidOf(own, name)}/ns/net`,
    process.execPath,
    child,
  ];
  const listener = spawn("nsenter", [...(await within(to)), "listen", "eth0"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  cleanup(t)(() => {
    listener.kill("SIGKILL");
  });
  let heard = "";
  listener.stdout.setEncoding("utf8").on("data", (text: string) => (heard += text));
  await waitFor("the listener", () => heard.startsWith("listening\n"));
  const input = Object.values(sent).map((frame) => `${frame.toString("hex")}\n`);
  await ok(["nsenter", ...(await within(from)), "send", link], { input: input.join("") });
  let length = -1;
  while (heard.length > length) {
    length = heard.length;
    await sleep(300 * patience);
  }
  listener.kill("SIGKILL");
  const got = new Set(heard.split("\n"));
  return Object.entries(arriving).flatMap(([what, frame]) => (got.has(frame.toString("hex")) ? [what] : []));
}

async function framesOf(here: Place, name: string): Promise<ReturnType<typeof frames>> {
  const mac = await macOf(here, name);
  return frames({ mac, local: formatIp(linkLocal(macBytes(mac))) });
}

/** The whole of a guest's IPv6 is there. */
async function settled({ inside }: Place, name: string): Promise<void> {
  await waitFor(`the addresses of ${name}`, async () => !/tentative/.test(await inside(name, "ip", "-6", "addr")));
  assert.doesNotMatch(await inside(name, "ip", "-6", "addr"), /dadfailed/);
}

const way = { from: "islt-fa", to: "islt-fb" };

/** In VLANs, in one that is sent and as they arrive: the kernel shows frames without their first tag. */
function inVlans(mac: string): { readonly sent: Sent; readonly arriving: Sent } {
  const sent = {
    forged: tagged(5, ipv4({ source: mac, from: "10.9.0.3" })),
    other: tagged(5, ipv4({ source: other, from: "10.9.0.2" })),
    two: tagged(6, tagged(5, ipv4({ source: mac, from: "10.9.0.2", payload: [1] }))),
    own: tagged(5, ipv4({ source: mac, from: "10.9.0.2", payload: [2] })),
  };
  const bare = (frame: Buffer): Buffer => Buffer.concat([frame.subarray(0, 12), frame.subarray(16)]);
  return { sent, arriving: Object.fromEntries(Object.entries(sent).map(([what, frame]) => [what, bare(frame)])) };
}

test("from a filtered container comes what is its own, and nothing that is forged", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge") || lacks(t, "tc-bpf")) return;
  const here = await place(t);
  await here.run("islt-fb", neighbour);
  await here.run("islt-fa", addressed);
  const free = await framesOf(here, "islt-fa");
  // The bridge itself looks at nothing of this: without a filter all of it arrives.
  const all = { ...free.forged, ...free.honest };
  assert.deepEqual(await received(t, here, all, way), Object.keys(all));
  const freeVlans = inVlans(await macOf(here, "islt-fa"));
  assert.deepEqual(await received(t, here, freeVlans.sent, way, freeVlans.arriving), ["forged", "other", "two", "own"]);
  await here.stop("islt-fa");

  await here.run("islt-fa", `${addressed}\nislet.net.0.filter = all`);
  const { honest, forged } = await framesOf(here, "islt-fa");
  assert.deepEqual(await received(t, here, { ...forged, ...honest }, way), Object.keys(honest));
  const vlans = inVlans(await macOf(here, "islt-fa"));
  assert.deepEqual(await received(t, here, vlans.sent, way, vlans.arriving), ["own"]);
});

test("whatever the guest does with its interface, the filter stays", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge") || lacks(t, "tc-bpf") || lacks(t, "macvlan")) return;
  const here = await place(t);
  const { inside, own } = here;
  await here.run("islt-fb", neighbour);
  await here.run("islt-fa", `${addressed}\nislet.net.0.filter = mac`);
  const reaches = async (): Promise<boolean> => {
    const ping = ["ping", "-c", "1", "-W", "1", "10.9.0.3"];
    return (await own.command(["lxc-attach", ...own.store.at("islt-fa"), "--", ...ping])).status === 0;
  };
  const mac = await macOf(here, "islt-fa");
  assert.ok(await reaches());
  await inside("islt-fa", "ip", "link", "set", "eth0", "address", "02:00:00:00:00:77");
  assert.ok(!(await reaches()), "with another MAC");
  await inside("islt-fa", "ip", "link", "set", "eth0", "address", mac);
  assert.ok(await reaches());

  // A guest's ip(8) is busybox's, which makes no macvlan.
  const pid = await pidOf(own, "islt-fa");
  const ip = (...args: readonly string[]): Promise<string> =>
    ok(["nsenter", `--net=/proc/${pid}/ns/net`, "ip", ...args]);
  await ip("link", "add", "link", "eth0", "name", "mv", "address", other, "type", "macvlan", "mode", "bridge");
  await ip("link", "set", "mv", "up");
  const byMacvlan = { forged: ipv4({ source: other, from: "10.9.0.2" }), own: ipv4({ source: mac, from: "10.9.0.2" }) };
  assert.deepEqual(await received(t, here, byMacvlan, { ...way, link: "mv" }), ["own"]);
  await ip("link", "set", "eth0", "name", "other0");
  await ip("link", "set", "other0", "up");
  assert.deepEqual(await received(t, here, byMacvlan, { ...way, link: "other0" }), ["own"]);
  // Qdiscs of its own end are the guest's affair; those of the host's end are not there for it.
  await ip("link", "set", "other0", "down");
  await ip("link", "set", "other0", "up");
  assert.deepEqual(await received(t, here, byMacvlan, { ...way, link: "other0" }), ["own"]);
});

test("a filtered container gets its address by DHCP, and is reached by IPv4 and IPv6", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge") || lacks(t, "tc-bpf") || lacks(t, "dnsmasq")) return;
  const here = await place(t);
  const { net, inside } = here;
  const mac = "02:00:00:00:00:0a";
  const server = spawn(
    "nsenter",
    [
      `--net=/proc/${net.pid}/ns/net`,
      "dnsmasq",
      "--keep-in-foreground",
      "--conf-file=/dev/null",
      "--user=root",
      "--pid-file=",
      "--leasefile-ro",
      "--port=0",
      "--interface=islt-br",
      "--bind-interfaces",
      "--no-ping",
      "--dhcp-range=10.9.0.2,static",
      `--dhcp-host=${mac},10.9.0.2`,
    ],
    { stdio: "ignore" },
  );
  cleanup(t)(() => {
    server.kill("SIGKILL");
  });
  await here.run("islt-fb", neighbour);
  await here.run("islt-fa", `${addressed}\nlxc.net.0.hwaddr = ${mac}\nislet.net.0.filter = all`);
  // The address that is there is taken away, and asked for.
  await inside("islt-fa", "ip", "addr", "flush", "dev", "eth0");
  await inside("islt-fa", "ip", "link", "set", "eth0", "down");
  await inside("islt-fa", "ip", "link", "set", "eth0", "up");
  await waitFor("an answer of DHCP", async () =>
    /10\.9\.0\.2/.test(await inside("islt-fa", "sh", "-c", "udhcpc -i eth0 -f -n -q -t 5 -s /bin/true 2>&1; true")),
  );
  await inside("islt-fa", "ip", "addr", "add", "10.9.0.2/24", "dev", "eth0");
  await inside("islt-fa", "ip", "addr", "add", "fd09::2/64", "dev", "eth0");
  await inside("islt-fa", "ping", "-c", "1", "-W", "5", "10.9.0.3");
  await inside("islt-fb", "ping", "-c", "1", "-W", "5", "10.9.0.2");
  for (const name of ["islt-fa", "islt-fb"]) await settled(here, name);
  await inside("islt-fa", "ping", "-6", "-c", "1", "-W", "5", "fd09::3");
  await inside("islt-fb", "ping", "-6", "-c", "1", "-W", "5", "fd09::2");
  // With another's address it is heard by nobody.
  await inside("islt-fa", "ip", "addr", "add", "10.9.0.99/24", "dev", "eth0");
  await assert.rejects(inside("islt-fa", "ping", "-c", "1", "-W", "1", "-I", "10.9.0.99", "10.9.0.3"));
});

async function sides({ net, inside, own }: Place): Promise<{ readonly guest: Side; readonly host: Side }> {
  const guest: Side = {
    run: (script) => inside("islt-fa", "sh", "-c", script),
    pid: await pidOf(own, "islt-fa"),
    address: "10.9.0.2",
  };
  const host: Side = { run: (script) => net.ok(["sh", "-c", script]), pid: net.pid, address: "10.9.0.1" };
  return { guest, host };
}

/** Seconds that two megabytes take. */
async function transfer(here: Place, direction: "in" | "out"): Promise<number> {
  const { guest, host } = await sides(here);
  return await (direction === "in" ? secondsOf(host, guest) : secondsOf(guest, host));
}

test("limits hold in both directions, and neither slows the other", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge") || lacks(t, "tc-bpf") || lacks(t, "tc-tbf")) return;
  const here = await place(t);
  const isSlow = (seconds: number, what: string): void => {
    t.diagnostic(`${what}: ${seconds.toFixed(2)} s`);
    assert.ok(seconds > 1.6 && seconds < 3 * patience, `${what}: ${seconds.toFixed(2)} s`);
  };
  const isQuick = (seconds: number, what: string): void => {
    t.diagnostic(`${what}: ${seconds.toFixed(2)} s`);
    assert.ok(seconds < 1.5 * patience, `${what}: ${seconds.toFixed(2)} s`);
  };
  await here.run("islt-fa", `${addressed}\nislet.net.0.limit.in = 8mbit`);
  isSlow(await transfer(here, "in"), "in, of 8mbit");
  isQuick(await transfer(here, "out"), "out, without a limit");
  await here.stop("islt-fa");
  await here.run("islt-fa", `${addressed}\nislet.net.0.limit.out = 8000kbit`);
  isSlow(await transfer(here, "out"), "out, of 8mbit");
  isQuick(await transfer(here, "in"), "in, without a limit");
  await here.stop("islt-fa");
  await here.run("islt-fa", `${addressed}\nislet.net.0.limit.in = 1gbit\nislet.net.0.limit.out = 1gbit`);
  isQuick(await transfer(here, "in"), "in, of 1gbit");
  isQuick(await transfer(here, "out"), "out, of 1gbit");
});

test("a burst passes after a pause, at its peak where there is one, and then the limit holds", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge") || lacks(t, "tc-bpf") || lacks(t, "tc-tbf")) return;
  const here = await place(t);
  const check = async (direction: "in" | "out", leastOfFirst: number): Promise<void> => {
    const { guest, host } = await sides(here);
    await (direction === "in" ? checkBurst(host, guest, leastOfFirst) : checkBurst(guest, host, leastOfFirst));
  };
  const limited = `${addressed}\nislet.net.0.limit.in = 8mbit\nislet.net.0.limit.in.burst = 2200k`;
  await here.run("islt-fa", `${limited}\nislet.net.0.limit.out = 8mbit\nislet.net.0.limit.out.burst = 2200k`);
  await check("in", 0);
  await check("out", 0);
  await here.stop("islt-fa");
  await here.run("islt-fa", `${limited}\nislet.net.0.limit.in.peak = 24mbit`);
  assert.match(await guards(here), /rate 8Mbit burst 2200Kb peakrate 24Mbit/);
  await check("in", 0.6);
});

/** What hangs on the host's end. */
async function guards({ net }: Place): Promise<string> {
  const qdiscs = await net.ok(["tc", "qdisc", "show", "dev", "islt-f"]);
  const filters = await net.ok(["tc", "filter", "show", "dev", "islt-f", "ingress"]);
  return `${qdiscs}${filters}`.replace(/^(qdisc tbf) [0-9a-f]+:/m, "$1").replace(/\b(id|tag) [0-9a-f]+ ?/g, "");
}

test("after a reboot from inside all of it is there again, without a daemon, and with the container it goes", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge") || lacks(t, "tc-bpf") || lacks(t, "tc-tbf")) return;
  const here = await place(t);
  const { net, own, inside } = here;
  const guarded = `${addressed}
islet.net.0.limit.in = 8mbit
islet.net.0.limit.out = 8mbit
islet.net.0.filter = all`;
  await here.run("islt-fa", guarded);
  const before = await guards(here);
  assert.match(before, /qdisc tbf root refcnt \d+ rate 8Mbit burst 16Kb/);
  assert.match(before, /pref 1 bpf .*islet_limit direct-action/);
  assert.match(before, /pref 2 bpf .*bytecode/);
  assert.match(before, /pref 3 bpf .*direct-action .*bytecode '1,6 0 0 2'/);
  const mac = await macOf(here, "islt-fa");
  const index = async (): Promise<string> =>
    (await net.ok(["ip", "-o", "link", "show"])).match(/^(\d+): islt-f@/m)?.[1] ?? "";
  const first = await index();
  const daemon = own.pid();
  await inside("islt-fa", "sh", "-c", "(sleep 1; reboot -f) </dev/null >/dev/null 2>&1 &");
  process.kill(daemon, "SIGKILL");
  await waitFor("the reboot", async () => !["", first].includes(await index()));
  await waitFor("all of it", async () => (await guards(here)) === before);
  assert.equal(own.pid(), daemon, "no other daemon has been started");
  // The next command starts one.
  assert.equal(await macOf(here, "islt-fa"), mac);
  await here.run("islt-fb", neighbour);
  const { honest, forged } = await framesOf(here, "islt-fa");
  assert.deepEqual(await received(t, here, { ...forged, ...honest }, way), Object.keys(honest));
  await here.stop("islt-fb");
  await here.stop("islt-fa");
  assert.deepEqual(linksOf(net.pid), ["lo", "islt-br"]);
});

test("a router's veth is guarded as a bridge's port is, and as many addresses as there may be are no obstacle", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge") || lacks(t, "tc-bpf") || lacks(t, "tc-tbf")) return;
  const here = await place(t);
  const { inside, own, net } = here;
  const many = Array.from({ length: 126 }, (_, i) => `lxc.net.0.ipv6.address = fd07::${i + 1}/128`).join("\n");
  await sysctl(net, "ipv6/conf/all/forwarding", 1);
  for (const filter of ["mac", "all"]) {
    await here.run(
      "islt-fa",
      `lxc.net.0.type = veth
lxc.net.0.veth.mode = router
lxc.net.0.veth.pair = islt-f
lxc.net.0.flags = up
lxc.net.0.ipv4.address = 10.5.0.2/32
lxc.net.0.ipv4.gateway = dev
lxc.net.0.ipv6.gateway = fe80::1
${many}
islet.net.0.limit.in = 100mbit
islet.net.0.limit.out = 100mbit
islet.net.0.filter = ${filter}`,
    );
    await inside("islt-fa", "ping", "-c", "1", "-W", "5", "10.9.0.1");
    await net.ok(["busybox", "ping", "-c", "1", "-W", "5", "10.5.0.2"]);
    await settled(here, "islt-fa");
    await net.ok(["busybox", "ping6", "-c", "1", "-W", "5", "fd07::126"]);
    // Another's address, to which the host has a route.
    await net.ok(["ip", "route", "add", "10.5.0.3/32", "dev", "islt-f"]);
    const pid = await pidOf(own, "islt-fa");
    await ok(["nsenter", `--net=/proc/${pid}/ns/net`, "ip", "addr", "add", "10.5.0.3/32", "dev", "eth0"]);
    const from3 = ["lxc-attach", ...own.store.at("islt-fa"), "--", "ping", "-c", "1", "-W", "1", "-I", "10.5.0.3"];
    const { status } = await own.command([...from3, "10.9.0.1"]);
    assert.equal(status === 0, filter === "mac", filter);
    await here.stop("islt-fa");
  }
});
