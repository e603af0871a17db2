import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createUserNics } from "../../src/engine/user-nics.js";
import { probeHost } from "../../src/host/probe.js";
import type { CommandResult } from "../support/command.js";
import { testDir } from "../support/paths.js";
import { plainUsers, userPlace, type UserPlace } from "../support/plain-user.js";
import { end } from "../support/host.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

const { ann, bob } = plainUsers;

interface Made {
  readonly name: string;
  readonly index: number;
  readonly hostName: string;
  readonly hostIndex: number;
}

/** What a success prints. */
function made({ status, stdout, stderr }: CommandResult): Made {
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  const [, name = "", index = "", hostName = "", hostIndex = ""] =
    /^([^:]+):(\d+):([^:]+):(\d+)\n$/.exec(stdout) ?? assert.fail(stdout);
  return { name, index: Number(index), hostName, hostIndex: Number(hostIndex) };
}

function refused({ status, stdout, stderr }: CommandResult, words: RegExp): void {
  assert.deepEqual({ status, stdout }, { status: 1, stdout: "" });
  assert.match(stderr, words);
}

const create = (there: UserPlace, user: typeof ann | typeof bob | null, pid: number, ...words: readonly string[]) =>
  there.userNic(user, "create", "/path", "name", String(pid), "veth", ...words);

const accounts = (there: UserPlace): readonly string[] => readFileSync(there.nics, "utf8").split("\n").slice(0, -1);

const hostLinks = async ({ net }: UserPlace): Promise<readonly string[]> =>
  [...(await net.ok(["ip", "-o", "link"])).matchAll(/^\d+: (veth[^:@]+)/gm)].map(([, name = ""]) => name);

test("a user gets as many nics as are granted, on the bridge, and they are accounted for as LXC does it", async (t) => {
  if (lacks(t, "bridge")) return;
  const there = await userPlace(t);
  await there.grant("# nobody else", `${ann.name} veth isltbr0 2`, `@${ann.name} veth isltbr0 1`);
  const pid = await there.guest(ann);
  const first = made(await create(there, ann, pid, "isltbr0", "web0"));
  const second = made(await create(there, ann, pid, "isltbr0"));
  const third = made(await create(there, ann, pid, "isltbr0"));
  assert.deepEqual([first.name, second.name, third.name], ["web0", "eth0", "eth1"]);
  for (const each of [first, second, third]) assert.match(each.hostName, /^veth4711_[A-Za-z0-9]{4}$/);
  assert.deepEqual(accounts(there), [
    `${ann.name} veth isltbr0 ${first.hostName}`,
    `${ann.name} veth isltbr0 ${second.hostName}`,
    `@${ann.name} veth isltbr0 ${third.hostName}`,
  ]);
  const near = await there.net.ok(["ip", "-o", "link", "show", first.hostName]);
  assert.match(near, new RegExp(`^${first.hostIndex}: .*[<,]UP[,>].* mtu 1400 .* master isltbr0 .* link/ether fe:`));
  assert.match(await there.links(pid), new RegExp(`^${first.index}: web0@.* mtu 1400 .* state DOWN`, "m"));
  assert.match(await there.net.ok(["ip", "-o", "link", "show", "isltbr0"]), / mtu 1400 /);

  refused(await create(there, ann, pid, "isltbr0"), /^lxc-user-nic: Quota reached; /);
  assert.equal((await hostLinks(there)).length, 3);
  // The user may take them away itself; whoever asks next sees it.
  await there.net.ok(["ip", "link", "del", second.hostName]);
  const fourth = made(await create(there, ann, pid, "isltbr0"));
  assert.equal(fourth.name, "eth0");
  assert.deepEqual(
    [...accounts(there)].sort(),
    [
      `${ann.name} veth isltbr0 ${first.hostName}`,
      `${ann.name} veth isltbr0 ${fourth.hostName}`,
      `@${ann.name} veth isltbr0 ${third.hostName}`,
    ].sort(),
  );
});

test("what is not the user's, not granted or makes no sense is refused, and nothing is left of it", async (t) => {
  if (lacks(t, "bridge")) return;
  const there = await userPlace(t);
  await there.grant(
    `${ann.name} veth isltbr0 5`,
    `${ann.name} veth isltbr1 5`,
    `${ann.name} veth lo 1`,
    "@nobody veth isltbr0 9",
  );
  const [mine, other] = [await there.guest(ann), await there.guest(bob)];
  const notMine = (pid: number): RegExp =>
    new RegExp(`^lxc-user-nic: User ${ann.name} may not modify netns for pid ${pid}\\n$`);
  for (const pid of [other, there.net.pid, process.pid, there.own.pid(), 1, 2 ** 22 + 1])
    refused(await create(there, ann, pid, "isltbr0"), notMine(pid));
  for (const words of ["abc", "-1", "1e3", "", " 1", "1 "])
    refused(
      await there.userNic(ann, "create", "p", "n", words, "veth", "isltbr0"),
      /^lxc-user-nic: Could not read pid: ".*"\n$/,
    );
  refused(
    await create(there, bob, other, "isltbr0"),
    /^lxc-user-nic: Quota reached; nobody grants islt-bob a nic on "isltbr0"\n$/,
  );
  refused(await create(there, ann, mine, "islt-none"), /^lxc-user-nic: Quota reached; /);
  refused(await create(there, ann, mine, "isltbr0/../x"), /^lxc-user-nic: Quota reached; /);
  refused(await create(there, ann, mine, "isltbr1"), /^lxc-user-nic: there is no bridge isltbr1 on the host/);
  refused(await create(there, ann, mine, "lo"), /^lxc-user-nic: lo is no bridge/);
  refused(
    await there.userNic(ann, "create", "p", "n", String(mine), "macvlan", "isltbr0"),
    /^lxc-user-nic: Quota reached; "macvlan" is no type/,
  );
  for (const name of [
    "sixteen-bytes-xx",
    "ééééééééé",
    "",
    ".",
    "..",
    "a/b",
    "a:b",
    "a b",
    "a\tb",
    "eth%d",
    "%s",
    "\u0007",
  ])
    refused(
      await create(there, ann, mine, "isltbr0", name),
      /^lxc-user-nic: ".*" cannot be the name of an interface\n$/,
    );
  refused(
    await create(there, ann, mine, "isltbr0", "lo"),
    /^lxc-user-nic: cannot make the veth pair .*EEXIST.*; there is an interface lo already\n$/,
  );
  for (const words of [
    [],
    ["create"],
    ["destroy", "a", "b", "1", "veth", "isltbr0"],
    ["create", "a", "b", "1", "veth", "isltbr0", "c", "d"],
    ["toString", "a", "b", "1", "veth", "isltbr0"],
  ])
    refused(await there.userNic(ann, ...words), /^Description:\n {2}Manage nics/);
  assert.deepEqual(await hostLinks(there), []);
  assert.equal((await there.links(mine)).split("\n").length, 2, "lo alone");
  assert.deepEqual(existsSync(there.nics) ? accounts(there) : [], []);
  // A name of 15 bytes is one, and the user can do with the nic what it likes.
  assert.equal(made(await create(there, ann, mine, "isltbr0", "fifteen-bytes-x")).name, "fifteen-bytes-x");
});

test("a user takes away what is its own: by the accounts, and by where the inner end is", async (t) => {
  if (lacks(t, "bridge")) return;
  const there = await userPlace(t);
  const group = join(there.accounts, "group");
  writeFileSync(group, `${readFileSync(group, "utf8")}islt-both:x:4800:${ann.name},${bob.name}\n`);
  await there.grant("@islt-both veth isltbr0 2", `${bob.name} veth isltbr0 1`);
  const [mine, other] = [await there.guest(ann), await there.guest(bob)];
  const own = made(await create(there, ann, mine, "isltbr0"));
  const others = made(await create(there, bob, other, "isltbr0"));
  assert.match(accounts(there).join("\n"), /^@islt-both .*\n@islt-both /, "one quota for all of the group");
  refused(await create(there, ann, mine, "isltbr0"), /Quota reached/);
  const remove = (user: typeof ann | typeof bob, netns: string, ...words: readonly string[]): Promise<CommandResult> =>
    there.userNic(user, "delete", "/path", "name", netns, "veth", ...words);
  const netns = `/proc/${mine}/ns/net`;
  refused(await remove(bob, netns, "isltbr0", own.hostName), /User islt-bob may not modify netns/);
  const notAllowed = /^lxc-user-nic: Caller is not allowed to delete network device ".*"\n$/;
  refused(await remove(ann, netns, "isltbr0", others.hostName), notAllowed);
  refused(await remove(ann, netns, "isltbr0", "isltbr0"), notAllowed);
  refused(await remove(ann, netns, "isltbr0", "lo"), notAllowed);
  refused(await remove(ann, netns, "isltbr0"), notAllowed);
  refused(await remove(ann, netns, "none", own.hostName), notAllowed);
  const noNamespace = /^lxc-user-nic: Failed while opening netns file for ".*"; /;
  for (const path of [
    "/etc/passwd",
    "/nope",
    "",
    `/proc/${mine}/ns/../ns/net`,
    `/proc/${mine}/ns/user`,
    `/proc/${mine}/fd/0`,
  ])
    refused(await remove(ann, path, "isltbr0", own.hostName), noNamespace);
  refused(await remove(ann, "/proc/self/ns/net", "isltbr0", own.hostName), /may not modify netns/);
  assert.equal((await hostLinks(there)).length, 2);
  assert.equal((await remove(ann, netns, "isltbr0", own.hostName)).status, 0);
  assert.deepEqual(await hostLinks(there), [others.hostName]);
  assert.deepEqual(accounts(there), [`@islt-both veth isltbr0 ${others.hostName}`]);
});

test("root asks at its own socket, for any namespace but the host's, as much as is granted to it", async (t) => {
  if (lacks(t, "bridge")) return;
  const there = await userPlace(t);
  const pid = await there.guest(ann);
  refused(await create(there, null, pid, "isltbr0"), /Quota reached/);
  await there.grant("root veth isltbr0 1", "root veth none 1");
  refused(
    await create(there, null, there.own.pid(), "isltbr0"),
    /^lxc-user-nic: User root may not modify netns for pid/,
  );
  assert.match(made(await create(there, null, pid, "isltbr0")).hostName, /^veth[A-Za-z0-9]{6}$/);
  const alone = made(await create(there, null, pid, "none", "alone"));
  assert.doesNotMatch(await there.net.ok(["ip", "-o", "link", "show", alone.hostName]), / master /);
});

test("the door for users is there while somebody is granted something, and nobody who is not root starts a daemon", async (t) => {
  if (lacks(t, "bridge")) return;
  const there = await userPlace(t);
  const door = join(there.own.runtimeDir, "user");
  const nobody =
    /^lxc-user-nic: nobody serves users at .*\/user: .*systemctl start islet\.socket, or any islet command\)\n$/;
  const pid = await there.guest(ann);
  assert.ok(!existsSync(door));
  refused(await create(there, ann, pid, "isltbr0"), nobody);
  await there.grant(`${ann.name} veth isltbr0 nonsense`, `${ann.name} macvlan isltbr0 1`, `${bob.name} veth isltbr0 1`);
  assert.equal(statSync(door).mode & 0o777, 0o666);
  assert.equal(statSync(join(there.own.runtimeDir, "socket")).mode & 0o777, 0o600);
  const { stderr } = await create(there, ann, pid, "isltbr0");
  assert.match(
    stderr,
    /"nonsense" is no number of nics.*lxc-usernet:1 islt-ann\)\n.*"macvlan" is no type.*lxc-usernet:2 /,
  );
  await there.grant();
  refused(await create(there, ann, pid, "isltbr0"), nobody);
  await there.grant(`${ann.name} veth isltbr0 1`);
  end(there.own.pid(), "SIGKILL");
  await waitFor("the daemon to end", async () =>
    (await create(there, ann, pid, "isltbr0")).stderr.includes("nobody serves"),
  );
  refused(await create(there, ann, pid, "isltbr0"), nobody);
  chmodSync(there.own.runtimeDir, 0o700);
  refused(
    await create(there, ann, pid, "isltbr0"),
    /^lxc-user-nic: cannot reach the islet daemon at .*Permission denied\n$/,
  );
});

test("users who ask at once never get more than is granted, also when the daemon is killed meanwhile", async (t) => {
  if (lacks(t, "bridge")) return;
  const there = await userPlace(t);
  await there.grant(`${ann.name} veth isltbr0 3`);
  const pid = await there.guest(ann);
  const all = await Promise.all(Array.from({ length: 10 }, () => create(there, ann, pid, "isltbr0")));
  assert.equal(all.filter(({ status }) => status === 0).length, 3, all.map(({ stderr }) => stderr).join(""));
  const consistent = async (): Promise<void> => {
    const links = await hostLinks(there);
    assert.ok(links.length <= 3, links.join(" "));
    const accounted = accounts(there).map((line) => line.split(" ")[3]);
    for (const link of links) assert.ok(accounted.includes(link), `${link} is nobody's`);
  };
  await consistent();
  for (let round = 0; round < 8; round += 1) {
    for (const link of await hostLinks(there)) await there.net.ok(["ip", "link", "del", link]);
    const asking = Array.from({ length: 5 }, () => create(there, ann, pid, "isltbr0"));
    await sleep(4 * round);
    end(there.own.pid(), "SIGKILL");
    await Promise.all(asking);
    await consistent();
    // What had been accounted for and never made is forgotten.
    await there.revive();
    await Promise.all(Array.from({ length: 5 }, () => create(there, ann, pid, "isltbr0")));
    await consistent();
    assert.equal((await hostLinks(there)).length, 3);
    assert.equal(accounts(there).length, 3);
  }
});

test("a nic on the bridge that the host wants makes the bridge, as a start does", async (t) => {
  if (lacks(t, "nftables")) return;
  // Before what the others undo: dnsmasq would live on.
  let down: () => Promise<unknown> = () => Promise.resolve();
  t.after(() => down());
  const file = join(mkdtempSync(join(testDir, "islt-lxc-net-")), "lxc-net");
  t.after(() => {
    rmSync(dirname(file), { recursive: true });
  });
  writeFileSync(file, "");
  const there = await userPlace(t, { ISLET_LXC_NET: file });
  down = () => there.own.command(["islet", "net", "down", "--force", `--config=${file}`]);
  await there.grant(`${ann.name} veth lxcbr0 1`);
  const pid = await there.guest(ann);
  refused(await create(there, bob, await there.guest(bob), "lxcbr0"), /Quota reached/);
  refused(await there.net.command(["ip", "link", "show", "lxcbr0"]), /does not exist/);
  const { hostName } = made(await create(there, ann, pid, "lxcbr0"));
  assert.match(await there.net.ok(["ip", "-o", "link", "show", hostName]), / master lxcbr0 /);
  assert.match(await there.net.ok(["ip", "-o", "addr", "show", "lxcbr0"]), /inet 10\.0\.3\.1\/24/);
  assert.match(await there.own.ok(["islet", "net"]), /^lxcbr0 +up +10\.0\.3\.1\/24/m);
});

test("of a nic whose maker dies nothing is left, neither a link nor an account", async (t) => {
  if (lacks(t, "bridge")) return;
  const there = await userPlace(t);
  const pid = await there.guest(ann);
  const at = { file: "lxc-usernet", line: 1, key: ann.name };
  const nics = createUserNics(
    { ...probeHost(there.own.runtimeDir), accounts: there.accounts },
    {
      binary: "/bin/false",
      grants: () => Promise.resolve({ grants: [{ owner: ann.name, bridge: "none", most: 1, at }], faults: [] }),
      accounts: there.nics,
      provideBridge: () => Promise.resolve(),
    },
  );
  writeFileSync(there.nics, `${bob.name} veth isltbr0 lo\n${bob.name} veth isltbr0 islt-gone\n`);
  await assert.rejects(nics.add({ user: { uid: ann.id }, pid, bridge: "none", name: null }), /cannot make veth4711_/);
  assert.deepEqual(accounts(there), [`${bob.name} veth isltbr0 lo`]);
  assert.equal((await there.links(pid)).split("\n").length, 2, "lo alone");
});
