import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";

import { droppedCapabilities, keepsCapability } from "../../../src/plan/capability.js";
import { mapText } from "../../../src/plan/idmap.js";
import { lockName } from "../../../src/plan/lock.js";
import { nicNames } from "../../../src/plan/nic/nic.js";
import { nearName } from "../../../src/plan/nic/veth.js";
import { toHostId, type IdMapEntry } from "../../../src/spec/idmap.js";
import { hostFacts, startFacts } from "../../support/facts.js";
import { callsOf, planOf, specOf } from "../../support/plan.js";

test("the lock of a container is LXC's command socket, with a hash for a path that does not fit", () => {
  assert.equal(lockName("/var/lib/lxc", "web1"), "/var/lib/lxc/web1/command");
  // As strace sees LXC 5.0.2 ask for them: 105 bytes are kept, 106 are hashed (FNV-1a, 64 bits).
  const store = `/tmp/islt-ptest/${"x".repeat(70)}`;
  assert.equal(lockName(store, "n".repeat(10)), `${store}/${"n".repeat(10)}/command`);
  assert.equal(lockName(store, "n".repeat(11)), "lxc/238b1fab4777d083/command");
  assert.equal(lockName(store, "n".repeat(12)), "lxc/dd37bd0a709802b7/command");
  assert.equal(
    lockName(`/tmp/islt-ptest/${"long-directory-name-".repeat(5)}`, "islt-hash"),
    "lxc/2e3e0ced15e84845/command",
  );
});

test("two containers never share a lock, and every lock fits into an address", () => {
  const part = fc.stringMatching(/^[a-zé]{1,120}$/);
  fc.assert(
    fc.property(part, part, part, part, (storeA, nameA, storeB, nameB) => {
      const [a, b] = [lockName(`/${storeA}`, nameA), lockName(`/${storeB}`, nameB)];
      assert.ok(Buffer.byteLength(a) <= 107);
      assert.equal(a === b, storeA === storeB && nameA === nameB);
    }),
  );
});

const net = (...lines: readonly string[]): ReturnType<typeof nicNames> => {
  const { network } = specOf(lines.join("\n"));
  assert.ok(network.kind === "own");
  return nicNames(network.nics);
};

test("nics without a name are the next free ethN; names that are given elsewhere are not taken twice", () => {
  assert.deepEqual(net("lxc.net.0.type = veth", "lxc.net.1.type = veth"), ["eth0", "eth1"]);
  assert.deepEqual(
    net("lxc.net.0.type = veth", "lxc.net.1.type = veth", "lxc.net.1.name = eth0", "lxc.net.2.type = veth"),
    ["eth1", "eth0", "eth2"],
  );
  assert.deepEqual(net("lxc.net.0.type = empty", "lxc.net.3.type = veth", "lxc.net.3.name = lan"), [null, "lan"]);
});

test("the host's ends of veth pairs have different names that fit an interface", () => {
  const random = startFacts().random;
  const names = [0, 1, 2].map((index) => nearName(null, index, random));
  assert.equal(new Set(names).size, 3);
  for (const name of names) assert.match(name, /^veth[0-9a-f]{6}$/);
  assert.equal(nearName("given0", 1, random), "given0");
});

const map: readonly IdMapEntry[] = [
  { type: "uid", inside: 0, outside: 100000, count: 1000, at: null },
  { type: "gid", inside: 0, outside: 200000, count: 5, at: null },
  { type: "uid", inside: 1000, outside: 1000, count: 1, at: null },
];

test("the maps of a user namespace are lines of three numbers, users and groups apart", () => {
  assert.equal(mapText(map, "uid"), "0 100000 1000\n1000 1000 1\n");
  assert.equal(mapText(map, "gid"), "0 200000 5\n");
  assert.equal(mapText([], "uid"), "");
});

test("an id inside stands for the id that the kernel would make of it, or for none", () => {
  assert.deepEqual(
    [
      toHostId(map, "uid", 0),
      toHostId(map, "uid", 999),
      toHostId(map, "uid", 1000),
      toHostId(map, "uid", 1001),
      toHostId(map, "gid", 5),
    ],
    [100000, 100999, 1000, null, null],
  );
  fc.assert(
    fc.property(fc.nat(3000), (id) => {
      const line = mapText(map, "uid")
        .trim()
        .split("\n")
        .map((each) => each.split(" ").map(Number))
        .find(([inside = 0, , count = 0]) => id >= inside && id < inside + count);
      const [inside = 0, outside = 0] = line ?? [];
      assert.equal(toHostId(map, "uid", id), line === undefined ? null : outside + id - inside);
    }),
  );
});

test("the maps are written before the child does anything but wait", () => {
  const ops = planOf("lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536");
  assert.deepEqual(
    callsOf(ops, "openat").filter((call) => call.includes("_map")),
    [
      'openat(AT_FDCWD, "/proc/PID/uid_map", O_WRONLY|O_CLOEXEC, 0)',
      'openat(AT_FDCWD, "/proc/PID/gid_map", O_WRONLY|O_CLOEXEC, 0)',
    ],
  );
  const init = ops.filter((op) => op.process === "init" && op.operation === "call").map((op) => op.call);
  const ids = init.indexOf("setresgid");
  assert.ok(init.indexOf("read") < ids && ids < init.indexOf("mount_setattr"), init.slice(0, 12).join());
});

test("capabilities to keep and to drop are two ways to say the same set", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(40)), fc.integer({ min: 30, max: 63 }), (numbers, last) => {
      const dropped = droppedCapabilities({ kind: "drop", capabilities: numbers }, last);
      const kept = droppedCapabilities({ kind: "keep", capabilities: numbers }, last);
      assert.deepEqual(
        [...dropped, ...kept].sort((a, b) => a - b),
        Array.from({ length: last + 1 }, (_, number) => number),
      );
      for (const number of numbers) {
        assert.ok(!keepsCapability({ kind: "drop", capabilities: numbers }, number));
        assert.ok(keepsCapability({ kind: "keep", capabilities: numbers }, number));
      }
    }),
  );
});

test("each dropped capability leaves the bounding set, up to the last one the kernel knows and no further", () => {
  const drops = (config: string, last: number): readonly string[] =>
    callsOf(planOf(config, hostFacts("v2", { lastCapability: last })), "prctl").flatMap(
      (call) => /^prctl\(PR_CAPBSET_DROP, (CAP_\w+)/.exec(call)?.slice(1) ?? [],
    );
  assert.deepEqual(drops("lxc.cap.drop = sys_module mac_admin", 40), ["CAP_SYS_MODULE", "CAP_MAC_ADMIN"]);
  assert.equal(drops("lxc.cap.keep = none", 40).length, 41);
  assert.equal(drops("lxc.cap.keep = none", 37).length, 38);
  assert.equal(drops("lxc.cap.keep = none", 63).length, 41);
  assert.ok(!drops("lxc.cap.keep = chown kill", 40).includes("CAP_KILL"));
});

test("every run has a boot id of its own where the container's /proc and /dev are ours", () => {
  const has = (config: string): boolean =>
    callsOf(planOf(config), "openat2").some((call) => call.includes('"proc/sys/kernel/random/boot_id"'));
  assert.ok(has("lxc.mount.auto = proc:mixed"));
  assert.ok(!has(""), "no /proc is mounted");
  assert.ok(!has("lxc.mount.auto = proc:mixed\nlxc.autodev = 0"), "no place to keep it");
  const ops = planOf("lxc.mount.auto = proc:mixed").filter((op) => /boot id|file's name/.test(op.note));
  assert.deepEqual(
    ops.map((op) => op.call).filter((name) => name !== "close"),
    ["openat", "read", "openat", "write", "open_tree", "mount_setattr", "openat2", "move_mount", "unlinkat"],
  );
});
