import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createUserNics } from "../../src/engine/user-nics.js";
import { probeHost } from "../../src/host/probe.js";
import { plainUsers, userPlace } from "../support/plain-user.js";
import { end } from "../support/host.js";
import { lacks } from "../support/skip.js";
import { accounts, create, hostLinks } from "../support/user-nic.js";

const { ann, bob } = plainUsers;

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
