import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { end } from "../support/host.js";
import { linksOf } from "../support/instance.js";
import { linkTable, make, place, startTraces, type Place } from "../support/place.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

const veth = `lxc.net.0.type = veth
lxc.net.0.link = islt-br
lxc.net.0.flags = up`;

/** What LXC's own tool adds to a failure. */
const afterwards =
  /: (Received container state|The container failed to start|To get more details|Additional information)|Failed to (parse config file|load config|create lxc_container)/;

/** The start is refused in these words, in one line that ends with where the fault is, and nothing is left. */
async function refuses(there: Place, lines: string, key: string, message: RegExp): Promise<void> {
  const { net, own } = there;
  const traces = await startTraces(own, net, "islt-nf");
  make(own, "islt-nf", lines);
  const { status, stdout, stderr } = await own.command(["lxc-start", ...own.store.at("islt-nf")]);
  assert.equal(status, 1, lines);
  assert.equal(stdout, "");
  const [first = "", ...more] = stderr.trimEnd().split("\n");
  assert.match(first, message);
  assert.match(first, new RegExp(`islt-nf/config:\\d+ ${key.replaceAll(".", "\\.")}\\b`));
  assert.deepEqual(
    more.filter((line) => !afterwards.test(line)),
    [],
  );
  await traces.assertGone(`after ${lines}`);
}

function start({ own }: Place, name: string): Promise<{ readonly status: number; readonly stderr: string }> {
  return own.command(["lxc-start", ...own.store.at(name)]);
}

const lacksLinks = (t: TestContext): boolean => lacks(t, "veth") || lacks(t, "bridge");

test("bad values of a nic are refused with file and line, and leave nothing", async (t) => {
  if (lacksLinks(t)) return;
  const there = await place(t);
  const long = "islt-sixteenbyte";
  assert.equal(long.length, 16);
  const at = (key: string): string => `lxc.net.0.${key}`;
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["hwaddr", "00:16:3e:11:22", /"00:16:3e:11:22" is not a MAC address/],
    ["hwaddr", "00:16:3e:11:22:zz", /is not a MAC address/],
    ["hwaddr", "01:16:3e:11:22:33", /multicast/],
    ["hwaddr", "00:00:00:00:00:00", /is no network device's address/],
    ["name", long, /longer than 15 bytes/],
    ["veth.pair", long, /longer than 15 bytes/],
    ["link", long, /longer than 15 bytes/],
    ["name", "a/b", /cannot be the name/],
    ["ipv4.address", "10.9.0.300/24", /10\.9\.0\.300/],
    ["ipv4.address", "10.9.0.2/33", /10\.9\.0\.2\/33/],
    ["ipv6.address", "fd09::zz/64", /fd09::zz/],
    ["mtu", "67", /is not an MTU/],
    ["link", "islt-none", /there is no interface islt-none on the host; make the bridge/],
    ["veth.pair", "islt-br", /the name islt-br is in use on the host/],
    ["ipv4.address", "10.9.0.1/24", /10\.9\.0\.1 is the address of islt-br itself/],
    ["ipv4.address", "10.9.0.0/24", /10\.9\.0\.0 is the network of islt-br, 10\.9\.0\.0\/24/],
    ["ipv4.address", "10.9.0.255/24", /10\.9\.0\.255 is the broadcast address of 10\.9\.0\.0\/24/],
    ["ipv6.address", "fd09::1/64", /fd09::1 is the address of islt-br itself/],
  ];
  // What only the kernel knows is told with the nic's own line.
  const ofType = /there is no interface|is in use on the host/;
  for (const [key, value, message] of cases) {
    const line = key === "link" ? veth.replace("islt-br", value) : `${veth}\n${at(key)} = ${value}`;
    await refuses(there, line, ofType.test(message.source) ? at("type") : at(key), message);
  }
});

test("two nics on one link with the same address are refused with both lines; on different links they may", async (t) => {
  if (lacksLinks(t)) return;
  const there = await place(t);
  const { net, run, stop } = there;
  const nic = (index: number, link: string, line: string): string =>
    `lxc.net.${index}.type = veth\nlxc.net.${index}.link = ${link}\nlxc.net.${index}.${line}`;
  for (const [line, message] of [
    ["hwaddr = 00:16:3e:11:22:33", /two network devices on islt-br have the hardware address 00:16:3e:11:22:33/],
    ["ipv4.address = 10.9.0.2/24", /two network devices on islt-br have the address 10\.9\.0\.2/],
    ["ipv6.address = fd09::2/64", /two network devices on islt-br have the address fd09::2/],
  ] as const) {
    const both = `${nic(0, "islt-br", line)}\n${nic(1, "islt-br", line)}`;
    const key = line.split(" ")[0] ?? "";
    await refuses(there, both, `lxc.net.1.${key}`, message);
    await refuses(there, both, `lxc.net.0.${key}`, message);
  }
  await net.ok(["ip", "link", "add", "islt-br2", "type", "bridge"]);
  const mac = "hwaddr = 00:16:3e:11:22:33";
  await run("islt-nf", `${nic(0, "islt-br", mac)}\n${nic(1, "islt-br2", mac)}`);
  await stop("islt-nf");
});

test("an address that a running container has is refused with that one's name, also by the next daemon", async (t) => {
  if (lacksLinks(t)) return;
  const there = await place(t);
  const { own, net, run, stop } = there;
  await run("islt-nf-1", `${veth}\nlxc.net.0.hwaddr = 00:16:3e:11:22:33\nlxc.net.0.ipv4.address = 10.9.0.2/24`);
  const sameMac = /islt-nf-1, which runs on islt-br too, has the hardware address 00:16:3e:11:22:33 already/;
  const sameAddress = /islt-nf-1, which runs on islt-br too, has the address 10\.9\.0\.2 already/;
  await refuses(there, `${veth}\nlxc.net.0.hwaddr = 00:16:3E:11:22:33`, "lxc.net.0.type", sameMac);
  await refuses(there, `${veth}\nlxc.net.0.ipv4.address = 10.9.0.2/24`, "lxc.net.0.ipv4.address", sameAddress);
  const daemon = own.pid();
  end(daemon, "SIGKILL");
  await waitFor("the daemon's end", () => !existsSync(`/proc/${daemon}`));
  await own.ok(["lxc-ls", "-P", own.store.path]);
  await refuses(there, `${veth}\nlxc.net.0.hwaddr = 00:16:3e:11:22:33`, "lxc.net.0.type", sameMac);
  // On another bridge it is nobody's.
  await net.ok(["ip", "link", "add", "islt-br2", "type", "bridge"]);
  await run("islt-nf-2", `${veth.replace("islt-br", "islt-br2")}\nlxc.net.0.hwaddr = 00:16:3e:11:22:33`);
  await stop("islt-nf-2");
  await stop("islt-nf-1");
  await run("islt-nf-2", `${veth}\nlxc.net.0.hwaddr = 00:16:3e:11:22:33\nlxc.net.0.ipv4.address = 10.9.0.2/24`);
  await stop("islt-nf-2");
});

test("of two that start at once with one address, one runs", async (t) => {
  if (lacksLinks(t)) return;
  const there = await place(t);
  const names = ["islt-nf-1", "islt-nf-2"];
  for (const name of names) make(there.own, name, `${veth}\nlxc.net.0.ipv4.address = 10.9.0.2/24`);
  const results = await Promise.all(names.map((name) => start(there, name)));
  assert.deepEqual(
    results.map(({ status }) => status).toSorted((a, b) => a - b),
    [0, 1],
  );
  assert.match(results.map(({ stderr }) => stderr).join(""), /has the address 10\.9\.0\.2 already/);
  await there.stop(names[results.findIndex(({ status }) => status === 0)] ?? "");
});

test("an address outside the bridge's network is told, and the container starts", async (t) => {
  if (lacksLinks(t)) return;
  const there = await place(t);
  make(there.own, "islt-nf", `${veth}\nlxc.net.0.ipv4.address = 10.7.0.2/24`);
  const { status, stderr } = await start(there, "islt-nf");
  assert.equal(status, 0);
  assert.match(
    stderr,
    /^[^\n]*10\.7\.0\.2 is not in the network of islt-br, 10\.9\.0\.0\/24: unless the host has a route to it, nobody reaches it[^\n]*config:\d+ lxc\.net\.0\.ipv4\.address[^\n]*\n$/,
  );
  await there.stop("islt-nf");
  make(there.own, "islt-nf", `${veth}\nlxc.net.0.ipv4.address = 10.9.0.2/24`);
  assert.deepEqual((await start(there, "islt-nf")).stderr, "");
  await there.stop("islt-nf");
});

test("the host's only uplink is not given away; with another default route, or as no uplink, it is", async (t) => {
  if (lacksLinks(t)) return;
  const there = await place(t);
  const { net, run, stop } = there;
  for (const name of ["islt-up", "islt-two"]) {
    await net.ok(["ip", "link", "add", name, "type", "veth", "peer", "name", `${name}-p`]);
    for (const each of [name, `${name}-p`]) await net.ok(["ip", "link", "set", each, "up"]);
  }
  await net.ok(["ip", "addr", "add", "192.0.2.1/24", "dev", "islt-up"]);
  await net.ok(["ip", "addr", "add", "198.51.100.1/24", "dev", "islt-two"]);
  const phys = "lxc.net.0.type = phys\nlxc.net.0.link = islt-up";
  const words = /islt-up is the host's only uplink: .*; write lxc\.net\.0\.type = macvlan to share it/;
  await run("islt-nf", phys);
  await stop("islt-nf");
  await net.ok(["ip", "link", "set", "islt-up", "up"]);
  // An interface loses its addresses when it changes its namespace.
  await net.ok(["ip", "addr", "add", "192.0.2.1/24", "dev", "islt-up"]);
  await net.ok(["ip", "route", "add", "default", "via", "192.0.2.2"]);
  await refuses(there, phys, "lxc.net.0.type", words);
  assert.match(await net.ok(["ip", "route"]), /^default via 192\.0\.2\.2 dev islt-up/m);
  // As the port of a bridge that has the route.
  await net.ok(["ip", "link", "set", "islt-up", "master", "islt-br"]);
  await net.ok(["ip", "route", "replace", "default", "via", "10.9.0.77"]);
  await refuses(there, phys, "lxc.net.0.type", words);
  await net.ok(["ip", "route", "add", "default", "via", "198.51.100.2", "metric", "50"]);
  await run("islt-nf", phys);
  assert.equal(linksOf(net.pid).includes("islt-up"), false);
  await stop("islt-nf");
  assert.equal(linksOf(net.pid).includes("islt-up"), true);
});

test("a guest that removes its own interface goes on, is told of without it, and starts again", async (t) => {
  if (lacksLinks(t)) return;
  const { net, own, run, inside, stop } = await place(t);
  const traces = await startTraces(own, net, "islt-nf");
  await run("islt-nf", `${veth}\nlxc.net.0.veth.pair = islt-pair\nlxc.net.0.ipv4.address = 10.9.0.2/24`);
  await inside("islt-nf", "ip", "link", "del", "eth0");
  await waitFor("the host's end to go with it", () => !linksOf(net.pid).includes("islt-pair"));
  assert.deepEqual([...linkTable(await inside("islt-nf", "ip", "-o", "link")).keys()], ["lo"]);
  const info = await own.command(["lxc-info", ...own.store.at("islt-nf")]);
  assert.deepEqual([info.status, info.stderr], [0, ""]);
  assert.match(info.stdout, /^State: +RUNNING$/m);
  const list = await own.command(["lxc-ls", "-P", own.store.path, "-f", "-F", "name,state,ipv4,interface"]);
  assert.deepEqual([list.status, list.stderr], [0, ""]);
  assert.match(list.stdout, /^islt-nf RUNNING - +lo /m);
  const shown = await own.command(["islet", "net", "ls", "-P", own.store.path]);
  assert.deepEqual([shown.status, shown.stderr], [0, ""]);
  assert.equal((await own.command(["lxc-stop", ...own.store.at("islt-nf"), "-r", "-t", "20"])).status, 0);
  assert.match(await inside("islt-nf", "ip", "-4", "addr", "show", "eth0"), /10\.9\.0\.2/);
  await inside("islt-nf", "ip", "link", "del", "eth0");
  await stop("islt-nf");
  await traces.assertGone("after the container stopped");
  await own.ok(["lxc-start", ...own.store.at("islt-nf")]);
  await inside("islt-nf", "ping", "-c", "1", "-W", "5", "10.9.0.1");
  await stop("islt-nf");
  await traces.assertGone("after the second stop");
});
