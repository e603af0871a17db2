import assert from "node:assert/strict";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { bridgePlace, type BridgePlace, noteFiles } from "../support/bridge-place.js";
import { mountNamespace } from "../support/mntns.js";
import { testDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";

const variants = ["nft", "legacy"] as const;
type Variant = (typeof variants)[number];

const done = { status: 0, stdout: "", stderr: "" };
const allPass = ["DHCP", "DNS", "forwarding", "NAT", "the way back"].map((name) => `lxcbr0: ${name} passes\n`).join("");
const noNft = "LXC_USE_NFT=false\n";
const both = `${noNft}LXC_IPV6_ADDR=fd42:7::1\nLXC_IPV6_MASK=64\nLXC_IPV6_NETWORK=fd42:7::/64\nLXC_IPV6_NAT=true\n`;

/** A directory in which iptables is that variant. */
function alternatives(t: TestContext, variant: Variant): string {
  const directory = mkdtempSync(join(testDir, "islt-iptables-"));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  for (const name of ["iptables", "ip6tables"])
    for (const what of ["", "-save", "-restore"])
      symlinkSync(`/usr/sbin/${name}-${variant}${what}`, join(directory, `${name}${what}`));
  return directory;
}

async function place(t: TestContext, variant: Variant, config: string): Promise<BridgePlace> {
  const path = `${alternatives(t, variant)}:${process.env["PATH"] ?? ""}`;
  return await bridgePlace(t, { config, env: { PATH: path } });
}

/** All rules of both families, without what counts. */
async function rules({ net }: BridgePlace, variant: Variant): Promise<readonly string[]> {
  const saves = ["iptables", "ip6tables"].map((name) => net.ok([`${name}-${variant}-save`]));
  return (await Promise.all(saves))
    .join("")
    .split("\n")
    .filter((line) => line.startsWith("-"));
}

const isOurs = (line: string): boolean => line.includes('--comment "islet lxcbr0"');

/** Rules of others that look much like ours. */
const strangers = [
  ["-A", "INPUT", "-i", "lxcbr0", "-p", "udp", "--dport", "67", "-j", "ACCEPT"],
  ["-A", "FORWARD", "-i", "lxcbr01", "-m", "comment", "--comment", "islet lxcbr01", "-j", "ACCEPT"],
  ["-A", "FORWARD", "-m", "comment", "--comment", 'not --comment "islet lxcbr0" at all', "-j", "ACCEPT"],
  ["-t", "nat", "-A", "POSTROUTING", "-s", "10.0.3.0/24", "!", "-d", "10.0.3.0/24", "-j", "MASQUERADE"],
];

for (const variant of variants) {
  const feature = `iptables-${variant}` as const;

  test(`with iptables (${variant}) guests reach others, a second up changes nothing, and down leaves what others made`, async (t) => {
    if (lacks(t, feature) || lacks(t, "veth")) return;
    const there = await place(t, variant, both);
    const { net, islet } = there;
    for (const words of strangers) await net.ok([`iptables-${variant}`, ...words]);
    const before = await rules(there, variant);
    assert.deepEqual(await islet("up").then(seen), done);
    const made = await rules(there, variant);
    assert.deepEqual(
      made.filter((line) => !isOurs(line) || line.includes("not ")),
      before,
    );
    assert.equal(made.length - before.length, 8 + 6);
    assert.deepEqual(await islet("check").then(seen), { ...done, stdout: allPass });
    assert.deepEqual(await islet("up").then(seen), done);
    assert.deepEqual(await rules(there, variant), made);
    assert.deepEqual(await islet("down").then(seen), done);
    assert.deepEqual(await rules(there, variant), before);
    assert.deepEqual(noteFiles(there), []);
  });

  test(`with iptables (${variant}) what is left of the rules goes, also when others took some, the file changed or the note is lost`, async (t) => {
    if (lacks(t, feature) || lacks(t, "veth")) return;
    const there = await place(t, variant, noNft);
    const { net, own, islet, file } = there;
    assert.deepEqual(await islet("up").then(seen), done);
    await net.ok([`iptables-${variant}`, "-D", "FORWARD", "1"]);
    await net.ok([`iptables-${variant}`, "-t", "mangle", "-F"]);
    writeFileSync(file, "LXC_USE_NFT=true\n");
    assert.deepEqual(await islet("down").then(seen), done);
    assert.deepEqual(await rules(there, variant), []);

    writeFileSync(file, noNft);
    assert.deepEqual(await islet("up").then(seen), done);
    rmSync(join(own.runtimeDir, "net/lxcbr0.json"));
    assert.deepEqual(await islet("down").then(seen), done);
    assert.deepEqual(await rules(there, variant), []);
    assert.equal((await net.command(["ip", "link", "show", "lxcbr0"])).status, 1);
  });

  test(`with iptables (${variant}) flushed rules are named, and up makes them again, before those that drop`, async (t) => {
    if (lacks(t, feature) || lacks(t, "veth")) return;
    const there = await place(t, variant, noNft);
    const { net, islet } = there;
    assert.deepEqual(await islet("up").then(seen), done);
    await net.ok([`iptables-${variant}`, "-t", "nat", "-F"]);
    const { status, stdout } = await islet("check");
    assert.equal(status, 1);
    assert.match(stdout, /^lxcbr0: NAT does not pass: the bridge's rule for it is gone: islet net up$/m);
    for (const chain of ["INPUT", "FORWARD"]) await net.ok([`iptables-${variant}`, "-P", chain, "DROP"]);
    assert.deepEqual(await islet("up").then(seen), done);
    assert.deepEqual(await islet("check").then(seen), { ...done, stdout: allPass });
  });
}

test("where nft is missing, iptables is taken; where both are, the packages are named", async (t) => {
  if (lacks(t, "iptables-nft") || lacks(t, "veth")) return;
  const without = await mountNamespace(t, ["nft"]);
  const there = await bridgePlace(t, { mntnsPid: without });
  assert.deepEqual(await there.islet("up").then(seen), done);
  assert.equal((await rules(there, "nft")).filter(isOurs).length, 8);
  assert.deepEqual(await there.islet("check").then(seen), { ...done, stdout: allPass });
  await there.net.ok(["iptables-nft", "-I", "INPUT", "-j", "DROP"]);
  const closed = await there.islet("check");
  assert.equal(closed.status, 1);
  assert.match(closed.stdout, /^lxcbr0: DHCP does not pass: /);
  await there.net.ok(["iptables-nft", "-D", "INPUT", "-j", "DROP"]);
  assert.deepEqual(await there.islet("down").then(seen), done);
  assert.deepEqual(await rules(there, "nft"), []);

  const neither = await bridgePlace(t, { mntnsPid: await mountNamespace(t, ["nft", "iptables-restore"]) });
  const { status, stderr } = await neither.islet("up");
  assert.deepEqual([status, stderr], [1, "islet net: nft is missing; apt-get install nftables, or iptables\n"]);
  writeFileSync(neither.file, noNft);
  assert.equal(
    (await neither.islet("up")).stderr,
    "islet net: iptables is missing; apt-get install iptables, or LXC_USE_NFT=true with nftables\n",
  );
  assert.equal((await neither.net.command(["ip", "link", "show", "lxcbr0"])).status, 1);
  assert.deepEqual(noteFiles(neither), []);
});

function seen({ status, stdout, stderr }: typeof done): typeof done {
  return { status, stdout, stderr };
}
