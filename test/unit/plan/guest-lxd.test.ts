import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hostFacts } from "../../support/facts.js";
import { callsOf, planOf } from "../../support/plan.js";

const lxd = "islet.guest = lxd";
const mapped = `${lxd}\nlxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536`;
const all = (config: string, changes: Parameters<typeof hostFacts>[1] = {}): string =>
  callsOf(planOf(config, hostFacts("v1", changes)), "open_tree", "openat2", "mknodat", "bpf", "openat", "fsopen").join(
    "\n",
  );

describe("the plan of a guest of the profile lxd", () => {
  it("leaves binfmt_misc alone where the kernel gives each user namespace its own", () => {
    for (const config of [lxd, mapped]) assert.doesNotMatch(all(config), /binfmt_misc/);
  });

  it("binds the host's binfmt_misc on other kernels for an id-mapped guest, and hides it from a privileged one", () => {
    assert.match(all(mapped, { binfmtNamespaces: false }), /open_tree\(AT_FDCWD, "\/proc\/sys\/fs\/binfmt_misc"/);
    const privileged = all(lxd, { binfmtNamespaces: false });
    assert.match(privileged, /openat2\(root, "proc\/sys\/fs\/binfmt_misc"/);
    assert.doesNotMatch(privileged, /AT_FDCWD, "\/proc\/sys\/fs\/binfmt_misc"/);
  });

  it("makes no node and keeps no device rule where the daemon is in a user namespace: the host's nodes are bound", () => {
    const nested = all(lxd, { inUserNamespace: true });
    assert.doesNotMatch(nested, /S_IFCHR/);
    assert.doesNotMatch(nested, /devices\.(allow|deny)/);
    assert.match(nested, /open_tree\(AT_FDCWD, "\/dev\/fuse"/);
    assert.match(all(lxd), /devices\.allow/);
    // What somebody wrote down is not left out in silence.
    assert.match(all(`${lxd}\nlxc.cgroup.devices.deny = a`, { inUserNamespace: true }), /devices\.deny/);
  });

  it("keeps out of an image's own /dev", () => {
    for (const config of [lxd, mapped]) {
      const plan = all(`${config}\nlxc.autodev = 0`);
      assert.doesNotMatch(plan, /dev, "log"|"fuse"|mqueue|lib\/systemd/);
    }
  });

  it("locks the root of an id-mapped guest alone", () => {
    const locker = (config: string): number =>
      planOf(config, hostFacts("v2")).filter((operation) => operation.process === "locker").length;
    assert.equal(locker(lxd), 0);
    assert.ok(locker(mapped) > 0);
    // Nothing to lock.
    assert.equal(locker(`${mapped}\nlxc.rootfs.options = dev`), 0);
    assert.equal(locker("lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536"), 0);
  });

  it("mounts cgroup2 where there is nothing else, and leaves /sys/fs/cgroup empty elsewhere", () => {
    const cgroup2 = (kind: "v1" | "v2"): boolean =>
      callsOf(planOf(lxd, hostFacts(kind)), "fsopen").some((text) => text.includes("cgroup"));
    assert.deepEqual([cgroup2("v1"), cgroup2("v2")], [false, true]);
  });
});
