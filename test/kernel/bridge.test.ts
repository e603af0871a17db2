import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { bridgePlace, guest, inside, noteFiles, shown, world } from "../support/bridge-place.js";
import type { CommandResult } from "../support/command.js";
import { end } from "../support/host.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

const done: Pick<CommandResult, "status" | "stdout" | "stderr"> = { status: 0, stdout: "", stderr: "" };
const seen = ({ status, stdout, stderr }: CommandResult): typeof done => ({ status, stdout, stderr });

test("guests get addresses and names on lxcbr0, and reach the world behind it", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t);
  const far = await world(t, there.net);
  assert.deepEqual(seen(await there.islet("up")), done);
  const link = await there.net.ok(["ip", "-o", "addr", "show", "lxcbr0"]);
  assert.match(link, /inet 10\.0\.3\.1\/24 brd 10\.0\.3\.255/);
  assert.match(await there.net.ok(["ip", "-o", "link", "show", "lxcbr0"]), /00:16:3e:00:00:00/);
  const [one, two] = [await guest(there, "islt-net-1"), await guest(there, "islt-net-2")];
  assert.notEqual(one, two);
  assert.equal((await inside(there, "islt-net-1", "ping", "-c", "1", "-W", "5", "10.0.3.1")).status, 0);
  assert.equal((await inside(there, "islt-net-1", "ping", "-c", "1", "-W", "5", two)).status, 0);
  const name = await inside(there, "islt-net-1", "nslookup", "islt-net-2", "10.0.3.1");
  assert.ok(name.stdout.includes(two), name.stdout);
  // The far host answers the address of the near one.
  const served = far.command(["busybox", "nc", "-l", "-p", "7", "-e", "cat"], { timeout: 30_000 });
  const asked = await waitFor("an answer through NAT", async () => {
    const answer = await inside(there, "islt-net-1", "sh", "-c", "echo hello | nc -w 2 192.0.2.2 7");
    return answer.stdout !== "" && answer.stdout;
  });
  assert.equal(asked, "hello\n");
  await served;
  const { bridges, containers } = await shown(there.own);
  const [bridge] = bridges;
  assert.deepEqual(
    containers.map(({ container, bridge: at, ipv4 }) => [container, at, ipv4]),
    [
      ["islt-net-1", "lxcbr0", [one]],
      ["islt-net-2", "lxcbr0", [two]],
    ],
  );
  assert.match(
    await there.own.ok(["islet", "net", ...there.own.store.at("").slice(0, 2)]),
    /^BRIDGE +STATE +IPV4\s*\nlxcbr0 +up +10\.0\.3\.1\/24\s*\n\nCONTAINER +HOST SIDE +BRIDGE +IPV4\s*\nislt-net-1 +veth\w+ +lxcbr0 +10\.0\.3\.\d+\s*\nislt-net-2 /,
  );
  assert.deepEqual(
    [bridge?.bridge, bridge?.state, bridge?.ipv4, bridge?.ports.length],
    ["lxcbr0", "up", "10.0.3.1/24", 2],
  );
});

test("it stays while interfaces are on it, and leaves nothing", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t);
  const { own, net, islet } = there;
  const rules = (): Promise<string> => net.ok(["nft", "list", "ruleset"]);
  await net.ok(["nft", "add", "table", "inet", "lxc"]);
  const before = await rules();
  assert.deepEqual(seen(await islet("up")), done);
  assert.notEqual(await rules(), before);
  await guest(there, "islt-net-1");
  const busy = await islet("down");
  assert.equal(busy.status, 1);
  assert.match(busy.stderr, /^islet net: lxcbr0 is in use: veth\S+; stop the containers, or --force\n$/);
  const pid = (await there.list())[0]?.dnsmasqPid ?? assert.fail("no dnsmasq");
  await own.ok(["lxc-stop", ...own.store.at("islt-net-1"), "-k"]);
  assert.deepEqual(seen(await islet("down")), done);
  // Reaped by whoever takes orphans here.
  await waitFor("dnsmasq's end", () => !existsSync(`/proc/${pid}`));
  assert.equal(await rules(), before);
  assert.equal((await net.command(["ip", "link", "show", "lxcbr0"])).status, 1);
  assert.deepEqual(noteFiles({ own }), []);
  const again = await islet("down");
  assert.deepEqual([again.status, again.stderr], [1, "islet net: islet has made no bridge lxcbr0\n"]);
});

test("a second up changes nothing; one that was killed in part is mended, also by the next daemon", async (t) => {
  if (lacks(t, "nftables")) return;
  const { own, islet, list } = await bridgePlace(t, { config: 'LXC_DOMAIN="lxc"\n' });
  assert.deepEqual(seen(await islet("start")), done);
  const [first] = await list();
  assert.deepEqual(seen(await islet("up")), done);
  assert.deepEqual(await list(), [first]);
  const pid = first?.dnsmasqPid ?? assert.fail("no dnsmasq");
  end(pid, "SIGKILL");
  await waitFor("dnsmasq's end", async () => (await list())[0]?.state === "no dnsmasq");
  const daemon = own.pid();
  end(daemon, "SIGKILL");
  await waitFor("the daemon's end", () => !existsSync(`/proc/${daemon}`));
  assert.deepEqual(seen(await islet("up")), done);
  const [mended] = await list();
  assert.deepEqual([mended?.state, mended?.ipv4], ["up", "10.0.3.1/24"]);
  assert.notEqual(mended?.dnsmasqPid, pid);
  assert.deepEqual(seen(await islet("stop")), done);
  assert.deepEqual(await list(), []);
});

test("other settings need a down first", async (t) => {
  if (lacks(t, "nftables")) return;
  const { file, islet } = await bridgePlace(t);
  await islet("up");
  writeFileSync(file, "LXC_DHCP_MAX=9\n");
  const { status, stderr } = await islet("up");
  assert.deepEqual([status, stderr], [1, "islet net: lxcbr0 is up with other settings; islet net down comes first\n"]);
});

test("IPv6 where it is configured", async (t) => {
  if (lacks(t, "nftables")) return;
  const config = "LXC_IPV6_ADDR=fd42:7::1\nLXC_IPV6_MASK=64\nLXC_IPV6_NETWORK=fd42:7::/64\nLXC_IPV6_NAT=true\n";
  const { net, islet, list } = await bridgePlace(t, { config });
  assert.deepEqual(seen(await islet("up")), done);
  assert.match(await net.ok(["ip", "-6", "-o", "addr", "show", "lxcbr0"]), /fd42:7::1\/64/);
  assert.match(await net.ok(["nft", "list", "ruleset"]), /ip6 saddr fd42:7::\/64 .*masquerade/);
  assert.equal((await net.ok(["cat", "/proc/sys/net/ipv6/conf/all/forwarding"])).trim(), "1");
  assert.equal((await list())[0]?.ipv6, "fd42:7::1/64");
});

test("what somebody else has made is not touched", async (t) => {
  if (lacks(t, "nftables")) return;
  const { net, islet, list } = await bridgePlace(t);
  await net.ok(["ip", "link", "add", "lxcbr0", "type", "bridge"]);
  const before = await net.ok(["ip", "-o", "addr"]);
  const { status, stderr } = await islet("up");
  assert.equal(status, 1);
  assert.equal(
    stderr,
    "islet net: there is an interface lxcbr0 already that islet has not made; containers can use it as it is\n",
  );
  assert.equal((await islet("down")).status, 1);
  assert.equal(await net.ok(["ip", "-o", "addr"]), before);
  assert.deepEqual(await list(), []);
});

test("a firewall in the way is told with what helps, and that helps", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t);
  const { net, islet } = there;
  const chain = (hook: string): string => `{ type filter hook ${hook} priority 0; policy drop; }`;
  await net.ok(["nft", "add", "table", "inet", "islt-wall"]);
  for (const hook of ["input", "forward"])
    await net.ok(["nft", "add", "chain", "inet", "islt-wall", hook, chain(hook)]);
  const { status, stderr } = await islet("up");
  const lines = stderr.trim().split("\n");
  assert.deepEqual([status, lines.length], [0, 2], stderr);
  for (const line of lines) {
    assert.match(
      line,
      /^islet net: guests on lxcbr0 .*: the firewall's chain inet islt-wall (input|forward) drops what /,
    );
    for (const remedy of (line.split(" accepts it: ")[1] ?? "").split("; ")) await net.ok(remedy.split(" "));
  }
  assert.deepEqual(seen(await islet("up")), done);
  assert.match(await guest(there, "islt-net-1"), /^10\.0\.3\./);
});

test("what was made in part is made whole, and what came in its place stays", async (t) => {
  if (lacks(t, "nftables")) return;
  const { net, own, islet, list } = await bridgePlace(t);
  await net.ok(["ip", "link", "add", "lxcbr0", "type", "bridge"]);
  await net.ok(["ip", "link", "set", "lxcbr0", "alias", `made by islet in ${own.runtimeDir}`]);
  assert.deepEqual(seen(await islet("up")), done);
  assert.deepEqual([(await list())[0]?.state, (await list())[0]?.ipv4], ["up", "10.0.3.1/24"]);
  await net.ok(["ip", "link", "del", "lxcbr0"]);
  await net.ok(["ip", "link", "add", "lxcbr0", "type", "bridge"]);
  assert.equal((await list())[0]?.state, "down");
  assert.equal((await islet("up")).status, 1);
  assert.deepEqual(seen(await islet("down")), done);
  await net.ok(["ip", "link", "show", "lxcbr0"]);
  assert.equal(await net.ok(["nft", "list", "ruleset"]), "");
  assert.deepEqual(noteFiles({ own }), []);
});

test("when another name server has the port, the error says so and nothing is left", async (t) => {
  if (lacks(t, "nftables")) return;
  const { net, own, islet, list } = await bridgePlace(t);
  // Ends with the namespace's first caller.
  const holder = net.command(["busybox", "nc", "-l", "-p", "53"], { timeout: 60_000 }).catch(() => undefined);
  const sockets = (): string =>
    ["tcp", "tcp6"].map((kind) => readFileSync(`/proc/${net.pid}/net/${kind}`, "utf8")).join("");
  await waitFor("the port to be taken", () => /:0035 \S+ 0A /.test(sockets()));
  const { status, stderr } = await islet("up");
  assert.equal(status, 1);
  assert.match(
    stderr,
    /^islet net: cannot start dnsmasq on lxcbr0: .*Address already in use; another name server has port 53 of 10\.0\.3\.1 .*\n$/,
  );
  assert.equal((await net.command(["ip", "link", "show", "lxcbr0"])).status, 1);
  assert.equal(await net.ok(["nft", "list", "ruleset"]), "");
  assert.deepEqual(await list(), []);
  assert.deepEqual(noteFiles({ own }), []);
  await net.command(["sh", "-c", "echo | busybox nc -w 1 127.0.0.1 53"]);
  await holder;
});

test("a wrong variable is told with file and line, and nothing is made", async (t) => {
  if (lacks(t, "nftables")) return;
  const { net, file, islet } = await bridgePlace(t, { config: "USE_LXC_BRIDGE=true\nLXC_ADDR=10.9.0.1\n" });
  const { status, stderr } = await islet("up");
  assert.equal(status, 1);
  assert.equal(stderr, `islet net: 10.9.0.1 is not in 10.0.3.0/24 (${file}:2 LXC_ADDR)\n`);
  assert.equal((await net.command(["ip", "link", "show", "lxcbr0"])).status, 1);
});

test("the first container that is to be joined with it makes it", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t, { config: "USE_LXC_BRIDGE=true\n", isOnDemand: true });
  assert.match(await guest(there, "islt-net-1"), /^10\.0\.3\./);
  const [first] = await there.list();
  assert.deepEqual([first?.state, first?.ports.length], ["up", 1]);
  await guest(there, "islt-net-2");
  const [second] = await there.list();
  assert.deepEqual([second?.dnsmasqPid, second?.ports.length], [first?.dnsmasqPid, 2]);
});

test("many at once that need it make one", async (t) => {
  if (lacks(t, "nftables")) return;
  // With it, dnsmasq takes three seconds for each, one after another.
  const there = await bridgePlace(t, { config: "LXC_DHCP_PING=false\n", isOnDemand: true });
  const names = ["islt-net-1", "islt-net-2", "islt-net-3", "islt-net-4"];
  const addresses = await Promise.all(names.map((name) => guest(there, name)));
  assert.equal(new Set(addresses).size, names.length);
  assert.equal((await there.list())[0]?.ports.length, names.length);
});

test("a start makes none that nobody wants, and tells what is wrong with the variables", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t, { config: "USE_LXC_BRIDGE=false\n", isOnDemand: true });
  await assert.rejects(guest(there, "islt-net-1"), /lxcbr0/);
  assert.deepEqual(await there.list(), []);
  writeFileSync(there.file, "LXC_ADDR=10.9.0.1\n");
  const { status, stderr } = await there.own.command(["lxc-start", ...there.own.store.at("islt-net-1")]);
  assert.equal(status, 1);
  assert.ok(stderr.includes(`10.9.0.1 is not in 10.0.3.0/24 (${there.file}:1 LXC_ADDR)`), stderr);
  assert.deepEqual(await there.list(), []);
});
