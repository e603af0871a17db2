import assert from "node:assert/strict";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { guest, inside, lease, bridgePlace, type BridgePlace } from "../support/bridge-place.js";
import { end } from "../support/host.js";
import { testDir } from "../support/paths.js";
import { make } from "../support/place.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

/** Without three seconds of dnsmasq's waiting for each. */
const quick = 'LXC_DHCP_PING="false"\n';

/** The addresses that a name has on the bridge, as a guest asks for it. */
async function resolved(
  there: BridgePlace,
  from: string,
  name: string,
  type: string = "a",
): Promise<readonly string[]> {
  const { stdout } = await inside(there, from, "nslookup", `-type=${type}`, name, "10.0.3.1");
  const [, answer = ""] = stdout.split(/^Name:.*$/m);
  return [...answer.matchAll(/^Address(?: \d+)?: (\S+)/gm)].map(([, address = ""]) => address);
}

const leases = ({ own }: BridgePlace): string =>
  readFileSync(join(own.runtimeDir, "net/dnsmasq.lxcbr0.leases"), "utf8");
const stop = ({ own }: BridgePlace, name: string): Promise<string> => own.ok(["lxc-stop", ...own.store.at(name), "-k"]);

test("a container's name is its own, whatever its guest or another says", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t, { config: quick });
  await there.islet("up");
  const one = await guest(there, "islt-name-1");
  const two = await guest(there, "islt-name-2");
  assert.equal(await lease(there, "islt-name-2", "islt-name-1"), two);
  assert.equal(await lease(there, "islt-name-1", "evil"), one);
  assert.deepEqual(await resolved(there, "islt-name-2", "islt-name-1"), [one]);
  assert.deepEqual(await resolved(there, "islt-name-1", "islt-name-2"), [two]);
  assert.deepEqual(await resolved(there, "islt-name-1", "evil"), []);
});

test("an address that nobody gave is the same at every start, and free in between", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t, { config: quick });
  await there.islet("up");
  const hwaddr = (): Promise<string> =>
    there.own.ok(["lxc-attach", ...there.own.store.at("islt-name-1"), "--", "cat", "/sys/class/net/eth0/address"]);
  await guest(there, "islt-name-2");
  const address = await guest(there, "islt-name-1");
  const first = await hwaddr();
  assert.match(first, /^02:/);
  assert.ok(leases(there).includes(address));
  await stop(there, "islt-name-1");
  await waitFor("the lease's end", () => !leases(there).includes(address));
  assert.deepEqual(await resolved(there, "islt-name-2", "islt-name-1"), []);
  assert.equal(await guest(there, "islt-name-1"), address);
  assert.equal(await hwaddr(), first);
});

test("an address without DHCP has its name, too, while the container runs; nobody else gets it", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t, { config: `${quick}LXC_DOMAIN="lxc"\nLXC_DHCP_RANGE="10.0.3.50,10.0.3.51"\n` });
  await there.islet("up");
  make(
    there.own,
    "islt-name-1",
    "lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.flags = up\nlxc.net.0.ipv4.address = 10.0.3.50/24\nlxc.net.0.ipv6.address = fd42::50/64",
  );
  await there.own.ok(["lxc-start", ...there.own.store.at("islt-name-1")]);
  assert.equal(await guest(there, "islt-name-2"), "10.0.3.51");
  for (const name of ["islt-name-1", "islt-name-1.lxc"]) {
    assert.deepEqual(await resolved(there, "islt-name-2", name), ["10.0.3.50"]);
    assert.deepEqual(await resolved(there, "islt-name-2", name, "aaaa"), ["fd42::50"]);
  }
  await stop(there, "islt-name-1");
  await waitFor("the name's end", async () => (await resolved(there, "islt-name-2", "islt-name-1")).length === 0);
});

test("an address is kept for a container by one line, and by nothing else's leave", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t, { config: quick });
  const { own } = there;
  await there.islet("up");
  const reserve = (address: string): string => `islet.net.0.reserve = ${address}`;
  assert.equal(await guest(there, "islt-name-1", reserve("10.0.3.50")), "10.0.3.50");
  const leased = await guest(there, "islt-name-2");
  const veth = "lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.flags = up";
  const file = join(own.store.path, "islt-name-3/config");
  const refused = async (address: string, network: string = veth): Promise<string> => {
    make(own, "islt-name-3", `${network}\n${reserve(address)}`);
    const line =
      readFileSync(file, "utf8")
        .split("\n")
        .findIndex((each) => each.startsWith("islet.net.0.reserve")) + 1;
    const { status, stderr } = await own.command(["lxc-start", ...own.store.at("islt-name-3")]);
    assert.equal(status, 1, stderr);
    const [first = ""] = stderr.split("\n");
    assert.ok(first.includes(`(${file}:${line} islet.net.0.reserve)`), first);
    return first.replace("lxc-start: islt-name-3: ", "").replace(/ \(.*?\)/, "");
  };
  const path = own.store.path;
  assert.equal(await refused("10.0.4.50"), "10.0.4.50 is not in 10.0.3.0/24, the network of lxcbr0");
  assert.equal(await refused("10.0.3.1"), "10.0.3.1 is the address of lxcbr0 itself");
  assert.equal(await refused("10.0.3.255"), "10.0.3.255 cannot be a host's in 10.0.3.0/24");
  assert.equal(await refused("10.0.3.50"), `10.0.3.50 is reserved for ${path}/islt-name-1 already`);
  assert.equal(
    await refused(leased),
    `${leased} is leased to ${path}/islt-name-2 at present; take another one, or stop that container first`,
  );
  await there.net.ok(["ip", "link", "add", "islt-br", "type", "bridge"]);
  assert.equal(
    await refused("10.0.3.60", veth.replace("lxcbr0", "islt-br")),
    "10.0.3.60 cannot be reserved: islet has not made the bridge islt-br; lxc.net.0.ipv4.address gives an address without DHCP",
  );
  // Kept while its container is stopped; free when that is destroyed.
  await stop(there, "islt-name-1");
  assert.equal(await refused("10.0.3.50"), `10.0.3.50 is reserved for ${path}/islt-name-1 already`);
  await own.ok(["lxc-destroy", ...own.store.at("islt-name-1")]);
  assert.equal(await guest(there, "islt-name-3", reserve("10.0.3.50")), "10.0.3.50");
  // And one that somebody else had once is taken over from who runs no longer.
  await stop(there, "islt-name-2");
  await stop(there, "islt-name-3");
  assert.equal(await guest(there, "islt-name-3", reserve(leased)), leased);
});

test("of two containers of one name the second has none, and is told", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t, { config: quick });
  const { own } = there;
  await there.islet("up");
  const one = await guest(there, "islt-name-1");
  const other = {
    path: join(own.store.path, "islt-other"),
    at: (name: string) => ["-P", join(own.store.path, "islt-other"), "-n", name],
  };
  mkdirSync(other.path);
  const second = { ...own, store: other };
  t.after(() => own.command(["lxc-stop", ...other.at("islt-name-1"), "-k"]));
  make(second, "islt-name-1", "lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.flags = up");
  const { status, stderr } = await own.command(["lxc-start", ...other.at("islt-name-1")]);
  assert.equal(status, 0, stderr);
  assert.match(
    stderr,
    new RegExp(`the name islt-name-1 on lxcbr0 is that of ${own.store.path}/islt-name-1, so nothing resolves`),
  );
  assert.deepEqual(await resolved(there, "islt-name-1", "islt-name-1"), [one]);
  await own.ok(["lxc-stop", ...other.at("islt-name-1"), "-k"]);
  // A destroyed one leaves nothing: the name is free.
  await stop(there, "islt-name-1");
  await own.ok(["lxc-destroy", ...own.store.at("islt-name-1")]);
  assert.deepEqual(
    await second.command(["lxc-start", ...other.at("islt-name-1")]).then(({ stderr: said }) => said),
    "",
  );
});

test("a start that fails leaves nothing with dnsmasq", async (t) => {
  if (lacks(t, "nftables")) return;
  const there = await bridgePlace(t, { config: quick });
  await there.islet("up");
  make(
    there.own,
    "islt-name-1",
    "lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.veth.pair = lo\nlxc.net.0.flags = up",
  );
  const { status, stderr } = await there.own.command(["lxc-start", ...there.own.store.at("islt-name-1")]);
  assert.equal(status, 1);
  assert.match(stderr, /the name lo is in use/);
  for (const kept of ["dnsmasq.lxcbr0.hosts", "lxcbr0.running"])
    assert.deepEqual(readdirSync(join(there.own.runtimeDir, "net", kept)), []);
});

test("the host knows the names of what runs, if its administrator wants it, also when no daemon was there", async (t) => {
  if (lacks(t, "nftables")) return;
  const accounts = mkdtempSync(join(testDir, "islt-accounts-"));
  t.after(() => {
    rmSync(accounts, { recursive: true });
  });
  for (const file of ["passwd", "group"]) copyFileSync(`/etc/${file}`, join(accounts, file));
  const hosts = join(accounts, "hosts");
  const own = "127.0.0.1\tlocalhost\n10.1.1.1 islt-name-3\n";
  writeFileSync(hosts, own);
  const there = await bridgePlace(t, {
    config: `${quick}LXC_DOMAIN="lxc"\nISLET_HOST_NAMES="true"\n`,
    isOnDemand: true,
    env: {
      ISLET_ACCOUNTS: accounts,
    },
  });
  const lines = (): readonly string[] => readFileSync(hosts, "utf8").slice(own.length).split("\n");
  const one = await guest(there, "islt-name-1");
  await waitFor("the first name", () => lines().includes(`${one}\tislt-name-1.lxc islt-name-1`));
  const two = await guest(there, "islt-name-2");
  const three = await guest(there, "islt-name-3");
  const wanted = [
    "# islet: containers on lxcbr0",
    `${one}\tislt-name-1.lxc islt-name-1`,
    `${two}\tislt-name-2.lxc islt-name-2`,
    // The host knows another of that name.
    `${three}\tislt-name-3.lxc`,
    "# islet: end of lxcbr0",
    "",
  ];
  await waitFor("all names", () => lines().join("\n") === wanted.join("\n"));
  assert.equal(readFileSync(hosts, "utf8").slice(0, own.length), own);
  await stop(there, "islt-name-2");
  await waitFor("one name less", () => lines().length === wanted.length - 1);
  // Nobody sees the end of the next.
  const pid = Number(await there.own.ok(["lxc-info", ...there.own.store.at("islt-name-1"), "-pH"]));
  await there.own.restart(async () => {
    end(pid, "SIGKILL");
    await waitFor("the guest's end", () => !existsSync(`/proc/${pid}`));
  });
  await waitFor("the name's end", () => lines().length === wanted.length - 2);
  await waitFor("the lease's end", () => !leases(there).includes(one));
  assert.equal((await there.islet("down", "--force")).status, 0);
  assert.equal(readFileSync(hosts, "utf8"), own);
});
