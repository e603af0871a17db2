import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import type { CommandResult } from "../support/command.js";
import { testDir } from "../support/paths.js";
import { plainUsers, userPlace } from "../support/plain-user.js";
import { end } from "../support/host.js";
import { lacks } from "../support/skip.js";
import { accounts, create, hostLinks, made, refused } from "../support/user-nic.js";
import { waitFor } from "../support/wait.js";

const { ann, bob } = plainUsers;

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
