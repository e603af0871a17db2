import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { linksOf, processesOf } from "../support/instance.js";
import { descriptorCount } from "../support/leaks.js";
import { linkTable, make, pidOf, place, startTraces } from "../support/place.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

const veth = `lxc.net.0.type = veth
lxc.net.0.link = islt-br
lxc.net.0.flags = up`;

test("an empty network has the loopback interface only, up if a nic asks for it", async (t) => {
  const { own, run, inside, stop } = await place(t);
  await run("islt-down", "lxc.net.0.type = empty");
  await run("islt-up", "lxc.net.0.type = empty\nlxc.net.0.flags = up");
  const down = linkTable(await inside("islt-down", "ip", "-o", "link"));
  const up = linkTable(await inside("islt-up", "ip", "-o", "link"));
  assert.deepEqual([...down.keys(), ...up.keys()], ["lo", "lo"]);
  assert.doesNotMatch(down.get("lo") ?? "", /<[^>]*\bUP\b/);
  assert.match(up.get("lo") ?? "", /<[^>]*\bUP\b/);
  assert.equal(await inside("islt-up", "ping", "-c", "1", "-W", "2", "127.0.0.1").then(() => "answered"), "answered");
  const list = await own.ok(["lxc-ls", "-P", own.store.path, "-f", "-F", "name,ipv4,ipv6,interface"]);
  assert.equal(
    list,
    "NAME      IPV4 IPV6 INTERFACE \nislt-down -    -    lo        \nislt-up   -    -    lo        \n",
  );
  await stop("islt-down");
  await stop("islt-up");
});

test("without any nic the container has a network namespace of its own, with nothing in it but lo", async (t) => {
  const { net, run, inside, stop } = await place(t);
  await run("islt-n", "");
  const links = linkTable(await inside("islt-n", "ip", "-o", "link"));
  assert.deepEqual([...links.keys()], ["lo"]);
  assert.notEqual(
    await inside("islt-n", "readlink", "/proc/self/ns/net"),
    await net.ok(["readlink", "/proc/self/ns/net"]),
  );
  await stop("islt-n");
});

test("type none shares the host's network", async (t) => {
  const { net, run, inside, stop } = await place(t);
  await run("islt-n", "lxc.net.0.type = none");
  assert.equal(
    await inside("islt-n", "readlink", "/proc/self/ns/net"),
    await net.ok(["readlink", "/proc/self/ns/net"]),
  );
  await stop("islt-n");
  assert.deepEqual(linksOf(net.pid), ["lo", "islt-br"]);
});

test("a veth pair joins the container with a bridge, and traffic passes both ways", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge")) return;
  const { net, own, run, inside, stop } = await place(t);
  const traces = await startTraces(own, net, "islt-v");
  await run(
    "islt-v",
    `${veth}
lxc.net.0.veth.pair = islt-pair
lxc.net.0.hwaddr = 00:16:3e:11:22:33
lxc.net.0.mtu = 1400
lxc.net.0.ipv4.address = 10.9.0.2/24
lxc.net.0.ipv4.gateway = 10.9.0.1
lxc.net.0.ipv6.address = fd09::2/64
lxc.net.0.ipv6.gateway = fd09::1`,
  );
  const links = linkTable(await inside("islt-v", "ip", "-o", "link"));
  assert.deepEqual([...links.keys()], ["lo", "eth0"]);
  assert.match(links.get("eth0") ?? "", /<[^>]*\bUP\b.* mtu 1400 .*00:16:3e:11:22:33/);
  assert.match(links.get("lo") ?? "", /<[^>]*\bUP\b/);
  assert.match(await net.ok(["ip", "-o", "link", "show", "islt-pair"]), / mtu 1400 .*master islt-br .*link\/ether fe:/);
  assert.match(await inside("islt-v", "ip", "-4", "addr", "show", "eth0"), /inet 10\.9\.0\.2\/24 brd 10\.9\.0\.255/);
  assert.match(await inside("islt-v", "ip", "-6", "addr", "show", "eth0"), /inet6 fd09::2\/64 scope global/);
  assert.match(await inside("islt-v", "ip", "route"), /^default via 10\.9\.0\.1 dev eth0/m);
  assert.match(await inside("islt-v", "ip", "-6", "route"), /^default via fd09::1 dev eth0/m);
  await inside("islt-v", "ping", "-c", "1", "-W", "5", "10.9.0.1");
  await net.ok(["busybox", "ping", "-c", "1", "-W", "5", "10.9.0.2"]);
  await waitFor("the IPv6 address", async () => !/tentative/.test(await inside("islt-v", "ip", "-6", "addr")));
  await inside("islt-v", "ping", "-6", "-c", "1", "-W", "5", "fd09::1");

  const info = await own.ok(["lxc-info", ...own.store.at("islt-v")]);
  assert.match(info, /^IP: {13}10\.9\.0\.2\nIP: {13}fd09::2$/m);
  assert.match(
    info,
    /^Link: {11}islt-pair\n TX bytes: {6}\S+ (bytes|KiB)\n RX bytes: {6}\S+ (bytes|KiB)\n Total bytes: {3}\S+ (bytes|KiB)$/m,
  );
  assert.equal(await own.ok(["lxc-info", ...own.store.at("islt-v"), "-iH"]), "10.9.0.2\nfd09::2\n");
  assert.equal(
    await own.ok(["lxc-ls", "-P", own.store.path, "-f"]),
    "NAME   STATE   AUTOSTART GROUPS IPV4     IPV6    UNPRIVILEGED \nislt-v RUNNING 0         -      10.9.0.2 fd09::2 false        \n",
  );
  await stop("islt-v");
  await traces.assertGone("after the container stopped");
});

test("several nics get their names in order: those given, ethN for the others", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge")) return;
  const { net, own, run, inside, stop } = await place(t);
  const traces = await startTraces(own, net, "islt-v");
  await run(
    "islt-v",
    `${veth}
lxc.net.2.type = veth
lxc.net.2.name = wan
lxc.net.2.veth.pair = islt-wan
lxc.net.2.hwaddr = 00:16:3e:00:00:02
lxc.net.7.type = veth
lxc.net.7.link = islt-br
lxc.net.7.hwaddr = 00:16:3e:00:00:07
lxc.net.9.type = veth
lxc.net.9.name = eth2`,
  );
  const links = linkTable(await inside("islt-v", "ip", "-o", "link"));
  assert.deepEqual([...links.keys()].sort(), ["eth0", "eth1", "eth2", "lo", "wan"]);
  assert.match(links.get("wan") ?? "", /00:16:3e:00:00:02/);
  assert.match(links.get("eth1") ?? "", /00:16:3e:00:00:07/);
  assert.doesNotMatch(links.get("wan") ?? "", /<[^>]*\bUP\b/);
  assert.doesNotMatch(await net.ok(["ip", "-o", "link", "show", "islt-wan"]), /master/);
  assert.equal((await own.ok(["lxc-info", ...own.store.at("islt-v")])).match(/^Link: /gm)?.length, 4);
  await stop("islt-v");
  await traces.assertGone("after the container stopped");
});

test("the gateway may be the bridge's own address, or just the interface", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge")) return;
  const { run, inside, stop } = await place(t);
  await run(
    "islt-auto",
    `${veth}
lxc.net.0.ipv4.address = 10.9.0.2/24
lxc.net.0.ipv4.gateway = auto
lxc.net.0.ipv6.address = fd09::2/64
lxc.net.0.ipv6.gateway = auto`,
  );
  assert.match(await inside("islt-auto", "ip", "route"), /^default via 10\.9\.0\.1 dev eth0/m);
  assert.match(await inside("islt-auto", "ip", "-6", "route"), /^default via fd09::1 dev eth0/m);
  await stop("islt-auto");
  await run(
    "islt-dev",
    `${veth}
lxc.net.0.ipv4.address = 10.9.0.3/32
lxc.net.0.ipv4.gateway = dev
lxc.net.0.ipv6.address = fd09::3/128
lxc.net.0.ipv6.gateway = dev`,
  );
  assert.match(await inside("islt-dev", "ip", "route"), /^default dev eth0/m);
  assert.match(await inside("islt-dev", "ip", "-6", "route"), /^default dev eth0/m);
  await stop("islt-dev");
});

test("a gateway outside of the nic's networks is reached on the link", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge")) return;
  const { run, inside, stop } = await place(t);
  await run("islt-v", `${veth}\nlxc.net.0.ipv4.address = 10.7.0.2/32\nlxc.net.0.ipv4.gateway = 10.9.0.1`);
  assert.match(await inside("islt-v", "ip", "route"), /^default via 10\.9\.0\.1 dev eth0/m);
  await stop("islt-v");
});

for (const mode of ["private", "vepa", "bridge", "passthru"]) {
  test(`macvlan in the mode ${mode}`, async (t) => {
    if (lacks(t, "veth")) return;
    const { net, own, run, inside, stop } = await place(t);
    await net.ok(["ip", "link", "add", "islt-p0", "type", "veth", "peer", "name", "islt-p1"]);
    await net.ok(["ip", "addr", "add", "10.8.0.1/24", "dev", "islt-p1"]);
    for (const link of ["islt-p0", "islt-p1"]) await net.ok(["ip", "link", "set", link, "up"]);
    const traces = await startTraces(own, net, "islt-m");
    await run(
      "islt-m",
      `lxc.net.0.type = macvlan
lxc.net.0.link = islt-p0
lxc.net.0.flags = up
lxc.net.0.macvlan.mode = ${mode}
lxc.net.0.ipv4.address = 10.8.0.2/24`,
    );
    const links = linkTable(await inside("islt-m", "ip", "-o", "link"));
    assert.deepEqual([...links.keys()], ["lo", "eth0"]);
    assert.match(
      await net.ok(["nsenter", `--net=/proc/${await pidOf(own, "islt-m")}/ns/net`, "ip", "-d", "link", "show", "eth0"]),
      new RegExp(`macvlan mode ${mode}`),
    );
    await inside("islt-m", "ping", "-c", "1", "-W", "5", "10.8.0.1");
    await stop("islt-m");
    await traces.assertGone("after the container stopped");
  });
}

test("an interface of the host moves in under a new name and comes back under its own", async (t) => {
  if (lacks(t, "veth")) return;
  const { net, own, run, inside, stop } = await place(t);
  await net.ok(["ip", "link", "add", "islt-p0", "type", "veth", "peer", "name", "islt-p1"]);
  const traces = await startTraces(own, net, "islt-p");
  await run(
    "islt-p",
    `lxc.net.0.type = phys
lxc.net.0.link = islt-p0
lxc.net.0.name = lan
lxc.net.0.flags = up
lxc.net.0.hwaddr = 00:16:3e:44:55:66`,
  );
  assert.deepEqual(linksOf(net.pid).includes("islt-p0"), false);
  assert.match(
    linkTable(await inside("islt-p", "ip", "-o", "link")).get("lan") ?? "",
    /<[^>]*\bUP\b.*00:16:3e:44:55:66/,
  );
  await stop("islt-p");
  await traces.assertGone("after the container stopped");

  await own.ok(["lxc-start", ...own.store.at("islt-p")]);
  process.kill(await pidOf(own, "islt-p"), "SIGKILL");
  await own.ok(["lxc-wait", ...own.store.at("islt-p"), "-s", "STOPPED", "-t", "10"]).catch(() => undefined);
  await traces.assertGone("after its init was killed");

  await own.ok(["lxc-start", ...own.store.at("islt-p")]);
  await inside("islt-p", "ip", "link", "set", "lan", "down");
  await inside("islt-p", "ip", "link", "set", "lan", "name", "other");
  await stop("islt-p");
  await traces.assertGone("after the guest had renamed it");
});

test("links that this kernel or host cannot make are named, with file and line", async (t) => {
  if (lacks(t, "veth")) return;
  const { net, own } = await place(t);
  await net.ok(["ip", "link", "add", "islt-p0", "type", "veth", "peer", "name", "islt-p1"]);
  const traces = await startTraces(own, net, "islt-v");
  const refuses = async (lines: string, message: RegExp): Promise<void> => {
    make(own, "islt-v", lines);
    const result = await own.command(["lxc-start", ...own.store.at("islt-v")]);
    assert.equal(result.status, 1);
    assert.match(result.stderr, message);
    assert.match(result.stderr.split("\n")[0] ?? "", /islt-v\/config:\d+ lxc\.net\.0/);
    await traces.assertGone(`after ${lines}`);
  };
  await refuses(
    "lxc.net.0.type = veth\nlxc.net.0.link = islt-none",
    /there is no interface islt-none on the host; make the bridge/,
  );
  await refuses("lxc.net.0.type = veth\nlxc.net.0.link = islt-p0", /islt-p0 is not a bridge/);
  await refuses("lxc.net.0.type = veth\nlxc.net.0.veth.pair = islt-p1", /the name islt-p1 is in use on the host/);
  await refuses("lxc.net.0.type = macvlan\nlxc.net.0.link = islt-none", /there is no interface islt-none on the host/);
  await refuses("lxc.net.0.type = phys\nlxc.net.0.link = islt-none", /there is no interface islt-none on the host/);
  for (const [type, lines] of [
    ["vlan", "lxc.net.0.vlan.id = 7"],
    ["ipvlan", "lxc.net.0.ipvlan.mode = l2"],
  ] as const) {
    const probe = type === "vlan" ? ["type", "vlan", "id", "7"] : ["type", "ipvlan", "mode", "l2"];
    const made = await net.command(["ip", "link", "add", "link", "islt-p0", "name", "islt-probe", ...probe]);
    if (made.status === 0) {
      await net.ok(["ip", "link", "del", "islt-probe"]);
      make(own, "islt-v", `lxc.net.0.type = ${type}\nlxc.net.0.link = islt-p0\n${lines}`);
      await own.ok(["lxc-start", ...own.store.at("islt-v")]);
      await own.ok(["lxc-stop", ...own.store.at("islt-v"), "-k"]);
    } else
      await refuses(
        `lxc.net.0.type = ${type}\nlxc.net.0.link = islt-p0\n${lines}`,
        new RegExp(`this kernel has no ${type}`),
      );
  }
});

for (const version of [0, 1]) {
  test(`network scripts of version ${version} are told what LXC tells them`, async (t) => {
    if (lacks(t, "veth") || lacks(t, "bridge")) return;
    const { net, own, run, stop } = await place(t);
    await net.ok(["ip", "link", "add", "islt-p0", "type", "veth", "peer", "name", "islt-p1"]);
    const log = join(own.runtimeDir, "..", "script.log");
    const script = join(own.runtimeDir, "..", "script");
    writeFileSync(
      script,
      `#!/bin/sh\necho "$# $* | $LXC_HOOK_TYPE $LXC_HOOK_SECTION $LXC_NET_TYPE $LXC_NET_PARENT $LXC_NET_PEER $LXC_NAME" >> ${log}\n`,
      { mode: 0o755 },
    );
    const both = (index: number): string =>
      `lxc.net.${index}.script.up = ${script}\nlxc.net.${index}.script.down = ${script}\n`;
    await run(
      "islt-s",
      `lxc.hook.version = ${version}
${veth}
lxc.net.0.veth.pair = islt-pair
${both(0)}lxc.net.1.type = macvlan
lxc.net.1.link = islt-br
lxc.net.1.name = mac
${both(1)}lxc.net.2.type = phys
lxc.net.2.link = islt-p0
${both(2)}`,
    );
    await stop("islt-s");
    const lines = readFileSync(log, "utf8").trimEnd().split("\n");
    const expected = (direction: string): readonly string[] => {
      const section = version === 0 ? `islt-s net ${direction} ` : "";
      const count = version === 0 ? 3 : 0;
      const variables = (type: string, rest: string): string =>
        version === 0 ? "    " : `${direction} net ${type} ${rest}`;
      return [
        `${count + 3} ${section}veth islt-br islt-pair | ${variables("veth", "islt-br islt-pair")} islt-s`,
        `${count + 3} ${section}macvlan islt-br mac | ${variables("macvlan", "islt-br ")} islt-s`,
        `${count + 2} ${section}phys islt-p0 | ${variables("phys", "islt-p0 ")} islt-s`,
      ];
    };
    assert.deepEqual(lines.slice(0, 3), expected("up"));
    assert.deepEqual(lines.slice(3).sort(), [...expected("down")].sort());
  });
}

test("a failing script.up ends the start, and what it said is in the error", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge")) return;
  const { net, own } = await place(t);
  const traces = await startTraces(own, net, "islt-v");
  make(own, "islt-v", `${veth}\nlxc.net.0.script.up = /bin/sh -c 'echo no lease >&2; exit 3' --`);
  const result = await own.command(["lxc-start", ...own.store.at("islt-v")]);
  assert.equal(result.status, 1);
  assert.match(
    result.stderr.split("\n")[0] ?? "",
    /network script .*exit status 3.*config:\d+ .*no lease|network script .*exit status 3: no lease.*config:\d+/,
  );
  await traces.assertGone("after the script failed");
});

test("nics of a container with an id map belong to its root", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge") || lacks(t, "userns")) return;
  const { net, own, run, inside, stop } = await place(t);
  await net.ok(["ip", "link", "add", "islt-p0", "type", "veth", "peer", "name", "islt-p1"]);
  const traces = await startTraces(own, net, "islt-u");
  await run(
    "islt-u",
    `lxc.idmap = u 0 100000 65536
lxc.idmap = g 0 100000 65536
${veth}
lxc.net.0.ipv4.address = 10.9.0.2/24
lxc.net.0.ipv4.gateway = 10.9.0.1
lxc.net.1.type = phys
lxc.net.1.link = islt-p0
lxc.net.2.type = macvlan
lxc.net.2.link = islt-p1`,
  );
  assert.deepEqual([...linkTable(await inside("islt-u", "ip", "-o", "link")).keys()].sort(), [
    "eth0",
    "eth1",
    "eth2",
    "lo",
  ]);
  await inside("islt-u", "ping", "-c", "1", "-W", "5", "10.9.0.1");
  await inside("islt-u", "ip", "addr", "add", "10.9.0.9/24", "dev", "eth0");
  await stop("islt-u");
  await traces.assertGone("after the container stopped");
});

test("a reboot makes the network anew", async (t) => {
  if (lacks(t, "veth") || lacks(t, "bridge")) return;
  const { net, own, run, inside, stop } = await place(t);
  await run("islt-v", `${veth}\nlxc.net.0.ipv4.address = 10.9.0.2/24`);
  const monitor = processesOf(own.store.path, []).map((line) => line.split(" ")[0])[0] ?? "";
  const before = await pidOf(own, "islt-v");
  const descriptors = descriptorCount(Number(monitor));
  for (const round of [1, 2, 3]) {
    await own.ok(["lxc-stop", ...own.store.at("islt-v"), "-r", "-t", "20"]);
    assert.notEqual(await pidOf(own, "islt-v"), before, `round ${round}`);
    await inside("islt-v", "ping", "-c", "1", "-W", "5", "10.9.0.1");
  }
  assert.ok(existsSync(`/proc/${monitor}`), "the monitor is the same");
  assert.ok(descriptorCount(Number(monitor)) <= descriptors, "the monitor has no more descriptors than before");
  assert.equal(linksOf(net.pid).length, 3);
  await stop("islt-v");
  assert.deepEqual(linksOf(net.pid), ["lo", "islt-br"]);
});
