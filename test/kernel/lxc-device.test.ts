import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { command, type CommandResult, fails, ok } from "../support/command.js";
import { instance } from "../support/instance.js";
import { netns } from "../support/netns.js";
import { lacks } from "../support/skip.js";
import { busybox } from "../support/store.js";
import { type Guest, guests, mountsInside } from "./guest.js";

/** All that a container needs but /dev/full. */
const denied = ["a", "c 1:3", "c 1:5", "c 1:8", "c 1:9", "c 5:*", "c 136:*"]
  .map((rule, index) => `lxc.cgroup.devices.${index === 0 ? "deny" : "allow"} = ${rule}${index === 0 ? "" : " rwm"}\n`)
  .join("");

describe("lxc-device with device nodes", () => {
  const { started } = guests();

  it("makes a node inside, lets the container use it, and takes both back", async (t) => {
    if (lacks(t, "cgroup1")) return;
    const guest = await started("islt-node1", denied);
    const change = (...words: readonly string[]): Promise<CommandResult> =>
      command(["lxc-device", ...guest.at, ...words]);
    assert.match((await guest.try("mknod /tmp/before c 1 7")).stderr, /not permitted/);
    const added = await change("add", "/dev/full", "/dev/islt/full");
    assert.deepEqual([added.status, added.stdout, added.stderr], [0, "", ""]);
    assert.equal(await guest.sh("stat -c %t:%T:%a /dev/islt/full"), "1:7:666");
    assert.match((await guest.try("echo x > /dev/islt/full")).stderr, /No space left/);
    const removed = await change("del", "/dev/full", "/dev/islt/full");
    assert.deepEqual([removed.status, removed.stderr], [0, ""]);
    assert.match((await guest.try("mknod /tmp/after c 1 7")).stderr, /not permitted/);
    assert.match((await guest.try("ls /dev/islt/full")).stderr, /No such file/);
    const again = await fails(["lxc-device", ...guest.at, "del", "/dev/full", "/dev/islt/full"], 1);
    assert.match(
      again.stderr,
      /there is no device \/dev\/islt\/full in the container.*\n.*Failed to del \/dev\/full from islt-node1\n$/,
    );
  });

  it("never leaves the container's root, whatever links the guest makes", async (t) => {
    if (lacks(t, "cgroup1")) return;
    const guest = await started("islt-node2");
    await guest.sh("ln -s /tmp /dev/trap; mkdir -p /tmp; ln -s /etc/passwd /dev/link");
    await ok(["lxc-device", ...guest.at, "add", "/dev/null", "/dev/trap/islt-escaped"]);
    assert.ok(!existsSync("/tmp/islt-escaped") && existsSync(join(guest.rootfs, "tmp/islt-escaped")));
    await ok(["lxc-device", ...guest.at, "add", "/dev/null", "/dev/link"]);
    assert.equal(await guest.sh("stat -c %t:%T /dev/link; grep -c root /etc/passwd"), "1:3\n1");
    assert.equal((await command(["lxc-device", ...guest.at, "add", "/dev/null", "../x"])).status, 1);
  });

  it("refuses what is no device, and a container that does not run", async () => {
    const guest = await started("islt-node3");
    const none = await fails(["lxc-device", ...guest.at, "add", "/etc/passwd"], 1);
    assert.match(
      none.stderr,
      /\/etc\/passwd is neither a device nor an interface.*\n.*Failed to add \/etc\/passwd to islt-node3\n$/,
    );
    await guest.kill();
    assert.equal(
      (await fails(["lxc-device", ...guest.at, "add", "/dev/null"], 1)).stderr,
      "lxc-device: islt-node3: Container islt-node3 is not running\n",
    );
  });
});

describe("lxc-device in a container with an id map", () => {
  const { started } = guests();
  const map =
    "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\nlxc.rootfs.options = idmap=container\n" + denied;
  const mounts = async (guest: Guest): Promise<readonly string[]> =>
    [...(await mountsInside(guest)).keys()].filter((point) => /full|trap|null/.test(point));

  it("puts a node inside that its root owns and can open, and takes it out without a trace", async (t) => {
    if (lacks(t, "userns") || lacks(t, "cgroup1")) return;
    const guest = await started("islt-mapped1", map);
    const before = await mounts(guest);
    const onHost = readFileSync("/proc/self/mountinfo", "utf8");
    for (const path of ["/dev/islt/full", "/dev/islt/full", "/root/full"]) {
      const added = await command(["lxc-device", ...guest.at, "add", "/dev/full", path]);
      assert.deepEqual([added.status, added.stdout, added.stderr], [0, "", ""]);
      assert.equal(await guest.sh(`stat -c '%t:%T %a %u:%g' ${path}`), "1:7 666 0:0");
      assert.match((await guest.try(`echo x > ${path}`)).stderr, /No space left/);
    }
    await guest.sh("chmod 600 /root/full && head -c 1 /root/full | wc -c");
    for (const path of ["/root/full", "/dev/islt/full"]) {
      await ok(["lxc-device", ...guest.at, "del", "/dev/full", path]);
      assert.match((await guest.try(`ls ${path}`)).stderr, /No such file/);
    }
    assert.deepEqual(await mounts(guest), before);
    assert.equal(readFileSync("/proc/self/mountinfo", "utf8"), onHost);
    const again = await fails(["lxc-device", ...guest.at, "del", "/dev/full", "/root/full"], 1);
    assert.match(again.stderr, /there is no device \/root\/full in the container/);
  });

  it("a device that is not permitted any more cannot be opened, wherever its node is", async (t) => {
    if (lacks(t, "userns") || lacks(t, "cgroup1")) return;
    const guest = await started("islt-mapped2", map);
    for (const path of ["/dev/full1", "/dev/full2"]) await ok(["lxc-device", ...guest.at, "add", "/dev/full", path]);
    await ok(["lxc-device", ...guest.at, "del", "/dev/full", "/dev/full1"]);
    assert.match((await guest.try("echo x > /dev/full2")).stderr, /not permitted/);
  });

  it("replaces what is there, but no directory, and never leaves the container's root", async (t) => {
    if (lacks(t, "userns")) return;
    const guest = await started("islt-mapped3", map);
    await guest.sh("ln -s /tmp /dev/trap; ln -s /etc/passwd /dev/link; ln -s /proc/1/root/../../../tmp /root/out");
    await ok(["lxc-device", ...guest.at, "add", "/dev/full", "/dev/trap/islt-escaped"]);
    assert.ok(!existsSync("/tmp/islt-escaped") && existsSync(join(guest.rootfs, "tmp/islt-escaped")));
    await ok(["lxc-device", ...guest.at, "add", "/dev/full", "/dev/link"]);
    assert.equal(await guest.sh("stat -c %t:%T /dev/link; grep -c root /etc/passwd"), "1:7\n1");
    await ok(["lxc-device", ...guest.at, "add", "/dev/full", "/dev/null"]);
    assert.equal(await guest.sh("stat -c %t:%T /dev/null"), "1:7");
    for (const path of ["/proc", "/dev/pts", "/root/out/islt-escaped", "/dev/..", "/", "/dev/link/x"]) {
      assert.equal((await command(["lxc-device", ...guest.at, "add", "/dev/full", path])).status, 1, path);
    }
    assert.ok(!existsSync("/tmp/islt-escaped"));
    await guest.sh("test -d /proc/self && test -c /dev/pts/ptmx");
  });
});

describe("lxc-device with interfaces", () => {
  it("moves an interface in under a name, and out again", async (t) => {
    if (lacks(t, "veth")) return;
    const net = await netns(t);
    await net.ok(["ip", "link", "add", "islt-h0", "type", "veth", "peer", "name", "islt-h1"]);
    const own = await instance(t, { netnsPid: net.pid });
    busybox(own.store, "islt-nic");
    const at = own.store.at("islt-nic");
    await own.ok(["lxc-start", ...at]);
    const links = async (): Promise<string> => await own.ok(["lxc-attach", ...at, "--", "/bin/ip", "link"]);
    await own.ok(["lxc-device", ...at, "add", "islt-h0", "eth7"]);
    assert.match(await links(), / eth7[@:]/);
    const taken = await own.command(["lxc-device", ...at, "add", "islt-h1", "eth7"]);
    assert.equal(taken.status, 1);
    assert.match(taken.stderr, /EEXIST.*\n.*Failed to add islt-h1 to islt-nic\n$/);
    await own.ok(["lxc-device", ...at, "del", "eth7", "islt-h5"]);
    assert.doesNotMatch(await links(), /eth7/);
    assert.match(await net.ok(["ip", "link"]), /islt-h5/);
  });
});
