import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { guests, type Guest } from "./guest.js";

/** The rules of LXC's distribution configurations. */
const usual = (prefix: string): string =>
  [
    "deny = a",
    ...[
      "c *:* m",
      "b *:* m",
      "c 1:3 rwm",
      "c 1:5 rwm",
      "c 1:7 rwm",
      "c 5:0 rwm",
      "c 5:1 rwm",
      "c 5:2 rwm",
      "c 1:8 rwm",
      "c 1:9 rwm",
      "c 136:* rwm",
    ].map((rule) => `allow = ${rule}`),
  ]
    .map((rule) => `${prefix}.devices.${rule}\n`)
    .join("");

const refused = async (guest: Guest, script: string): Promise<void> => {
  const { status, stderr } = await guest.try(script);
  assert.notEqual(status, 0, script);
  assert.match(stderr, /Operation not permitted/, script);
};

describe("device rules", () => {
  const { define, started } = guests();

  for (const prefix of ["lxc.cgroup", "lxc.cgroup2"] as const) {
    it(`${prefix}: a denied device gives EPERM to root in the container, an allowed one works, any node can be made`, async () => {
      const guest = await started(prefix === "lxc.cgroup" ? "usual1" : "usual2", usual(prefix));
      await guest.sh("mknod /dev/kmsg-node c 1 11 && mknod /dev/loop-node b 7 0");
      await refused(guest, "head -c 1 < /dev/kmsg-node");
      await refused(guest, "head -c 1 < /dev/loop-node");
      assert.equal(
        await guest.sh("head -c 3 /dev/zero | wc -c; echo x > /dev/null; head -c 1 /dev/urandom | wc -c"),
        "3\n1",
      );
      await guest.sh("echo x > /dev/console");
    });
  }

  it("without m the node cannot even be made", async () => {
    const guest = await started(
      "nonodes",
      "lxc.cgroup.devices.deny = a\nlxc.cgroup.devices.allow = c 1:3 rwm\nlxc.cgroup.devices.allow = c 136:* rw\n",
    );
    await refused(guest, "mknod /dev/x c 1 5");
    await guest.sh("mknod /dev/y c 1 3 && echo x > /dev/y");
  });

  it("r, w and m are told apart", async () => {
    const guest = await started("modes", "lxc.cgroup.devices.deny = c 1:5 w\nlxc.cgroup.devices.deny = c 1:3 r\n");
    assert.equal(await guest.sh("head -c 3 < /dev/zero | wc -c"), "3");
    await refused(guest, "echo x > /dev/zero");
    await guest.sh("echo x > /dev/null");
    await refused(guest, "cat < /dev/null");
  });

  it("rules apply in their order", async () => {
    const guest = await started("order", "lxc.cgroup.devices.deny = c 1:5 rwm\nlxc.cgroup.devices.allow = c 1:5 rwm\n");
    assert.equal(await guest.sh("head -c 3 < /dev/zero | wc -c"), "3");
  });

  it("allow takes the path of a device", async () => {
    const guest = await started("bypath", `${usual("lxc.cgroup")}lxc.cgroup.devices.allow = /dev/kmsg rw\n`);
    await guest.sh("mknod /dev/kmsg c 1 11 && head -c 0 < /dev/kmsg");
  });

  it("hold for attached processes and for what they start", async () => {
    const guest = await started("attached", usual("lxc.cgroup"));
    await refused(guest, "mknod /dev/k c 1 11 && sh -c 'head -c 1 < /dev/k'");
  });

  it("without rules everything is allowed", async () => {
    const guest = await started("open");
    await guest.sh("mknod /dev/kmsg c 1 11 && head -c 0 < /dev/kmsg");
  });

  it("a rule that is none is an error with its line", async () => {
    assert.match(await define("badrule", "lxc.cgroup.devices.allow = c 1:x rw\n").refuses(), /c 1:x rw.*device rule/);
  });
});
