import assert from "node:assert/strict";
import { test } from "node:test";
import { check } from "../../../src/host/addon.js";
import { hostLxcfs, lxcfsFacts, lxcfsMounts } from "../../../src/host/lxcfs.js";
import { mayHaveLxcfs } from "../../../src/plan/lxcfs.js";
import { planLxcfsQuestion, planLxcfsRepair } from "../../../src/plan/lxcfs-live.js";
import { lxcfsPlace, lxcfsRepairs, type SeenLxcfs } from "../../../src/plan/lxcfs-places.js";
import { planStart } from "../../../src/plan/start.js";
import { encodeProgram } from "../../../src/program/encode.js";
import { explainProgram } from "../../../src/program/explain.js";
import { type Value, shown } from "../../../src/program/ops.js";
import type { LxcfsFacts } from "../../../src/spec/host.js";
import { hostFacts, startFacts } from "../../support/facts.js";
import { planOf, specOf } from "../../support/plan.js";

const facts: LxcfsFacts = { proc: ["meminfo", "uptime", "pressure/cpu"], cpu: "whole" };
const running = startFacts({ lxcfs: facts });
const isAbout = (config: string, start = running): boolean =>
  JSON.stringify(planOf(config, hostFacts("v2"), start)).includes("/var/lib/lxcfs");

test("where LXCFS runs every container gets its files, of whatever profile, unless islet.lxcfs says no", () => {
  for (const profile of ["lxc", "lxd", "systemd"]) assert.ok(isAbout(`islet.guest = ${profile}`));
  assert.ok(!isAbout("islet.lxcfs = 0"));
  assert.ok(!isAbout("", startFacts()));
});

test("LXCFS's own mount hook is left to do its work", () => {
  const hook = "lxc.hook.mount = /usr/share/lxcfs/lxc.mount.hook";
  for (const words of ["", " --skip-cgroup-mounts"]) {
    assert.ok(!isAbout(`${hook}${words}`));
    assert.ok(mayHaveLxcfs(specOf(`${hook}${words}`), startFacts()));
  }
  assert.ok(isAbout("lxc.hook.mount = /srv/other/lxc.mount.hook"));
  assert.ok(isAbout("lxc.hook.start = /usr/share/lxcfs/lxc.mount.hook"));
});

test("no operation for LXCFS can fail a start", () => {
  const program = planStart(specOf("lxc.mount.auto = proc sys"), hostFacts("v2"), running);
  const calls = program.sections
    .flatMap(({ ops }) => ops)
    .filter(({ code, args }) => code === "call" && JSON.stringify(args.map(words)).includes("lxcfs"));
  assert.ok(calls.length >= 14, String(calls.length));
  for (const { note, rules } of calls)
    assert.ok(
      rules.some(({ on }) => on === "any"),
      note,
    );
});

const words = (value: Value): string =>
  value.kind === "slot" ? value.name : value.kind === "data" ? shown(value.show) : "";

const seen = (id: number, point: string, changes: Partial<SeenLxcfs> = {}): SeenLxcfs => ({
  id,
  device: "0:50",
  root: point === "/var/lib/lxcfs" ? "/" : point,
  point,
  ...changes,
});
const dead = new Set(["0:50"]);

test("dead mounts of the host's LXCFS are taken away, the uppermost first, and the living are put in their place", () => {
  const mounts = [seen(7, "/proc/meminfo"), seen(9, "/proc/meminfo"), seen(8, "/var/lib/lxcfs")];
  assert.deepEqual(
    lxcfsRepairs(mounts, dead, [], facts).map(({ place, dead: ids, bind }) => [place.source, ids, bind]),
    [
      ["proc/meminfo", [9, 7], true],
      ["", [8], true],
    ],
  );
  assert.ok(lxcfsRepairs(mounts, dead, [], null).every(({ bind }) => !bind));
});

test("mounts of a living LXCFS, of one of the guest's own, and those that the guest has made elsewhere are left alone", () => {
  const mounts = [
    seen(1, "/proc/meminfo", { device: "0:60" }),
    seen(2, "/home/meminfo", { root: "/proc/meminfo" }),
    seen(3, "/proc/stat", { root: "/proc/meminfo" }),
    seen(4, "/proc/sys/kernel/x"),
    seen(5, "/proc/../x"),
  ];
  assert.deepEqual(lxcfsRepairs(mounts, dead, [], facts), []);
});

test("what was taken away comes back when LXCFS is there again and has it", () => {
  const owed = ["/proc/uptime", "/proc/pressure/cpu", "/proc/swaps", "/sys/devices/system/cpu", "/var/lib/lxcfs"];
  const binds = (living: LxcfsFacts): readonly string[] =>
    lxcfsRepairs([], dead, owed, living).flatMap(({ place, bind }) => (bind ? [place.source] : []));
  assert.deepEqual(binds(facts), ["proc/uptime", "proc/pressure/cpu", "sys/devices/system/cpu", ""]);
  assert.deepEqual(binds({ proc: ["swaps"], cpu: ["online"] }), ["proc/swaps", ""]);
  assert.deepEqual(lxcfsRepairs([], dead, owed, null), []);
});

test("a guest with very many mounts of LXCFS makes no very long program", () => {
  const many = Array.from({ length: 20_000 }, (_, id) => seen(id, id % 2 === 0 ? "/proc/meminfo" : `/proc/x${id}`));
  const repairs = lxcfsRepairs(many, dead, [], facts);
  assert.ok(repairs.length <= 128 && repairs.every((repair) => repair.dead.length <= 8));
  const every = repairs.map((repair) => ({ ...repair, dead: [1, 2, 3, 4, 5, 6, 7, 8], bind: true }));
  check(encodeProgram(planLxcfsRepair(hostFacts("v1"), true, every)));
});

test("a repair unmounts by id only, below directories without links, and binds only where nothing is mounted", () => {
  const place = lxcfsPlace("/proc/meminfo");
  assert.ok(place !== null);
  const text = explainProgram(planLxcfsRepair(hostFacts("v1"), false, [{ place, dead: [41], bind: true }]));
  const order = [
    /open_tree\(lxcfs, "proc\/meminfo"/,
    /mount_setattr\(.*MS_PRIVATE/,
    /setns\(init\.pidfd, CLONE_NEWNS\)/,
    /openat2\(root, "proc", .*RESOLVE_NO_SYMLINKS\|RESOLVE_IN_ROOT/,
    /statx\(found, "", AT_EMPTY_PATH\|AT_STATX_DONT_SYNC, STATX_MNT_ID/,
    /if mount != 41 go to/,
    /umount2\("meminfo", MNT_DETACH\|UMOUNT_NOFOLLOW\)/,
    /openat2\(directory, "meminfo", .*RESOLVE_NO_XDEV/,
    /move_mount\(/,
  ].map((wanted) => text.search(wanted));
  assert.ok(
    order.every((at, index) => at > (order[index - 1] ?? -1)),
    `${order.join()}\n${text}`,
  );
});

test("the question's program is one that runs", () => {
  check(encodeProgram(planLxcfsQuestion(hostFacts("v1"))));
});

/** getdents64's entries, as the question's program passes them on. */
function answer(...directories: readonly (readonly string[])[]): Uint8Array {
  const u64 = (value: number): Buffer => {
    const out = Buffer.alloc(8);
    out.writeBigUInt64LE(BigInt(value));
    return out;
  };
  const entry = (name: string): Buffer => {
    const length = Math.ceil((20 + name.length) / 8) * 8;
    const out = Buffer.alloc(length);
    out.writeUInt16LE(length, 16);
    out.write(name, 19);
    return out;
  };
  return Buffer.concat(
    directories.flatMap((names) => {
      const entries = Buffer.concat(names.map(entry));
      return names.length === 0 ? [u64(0)] : [u64(entries.length), entries, u64(0)];
    }),
  );
}

test("an answer is read as files below proc/ and proc/pressure/, and cpu/ whole or in parts", () => {
  assert.deepEqual(
    lxcfsFacts(answer([".", "..", "meminfo", "pressure"], ["cpu", "io"], ["online", "online", "uevent"])),
    { proc: ["meminfo", "pressure/cpu", "pressure/io"], cpu: "whole" },
  );
  assert.deepEqual(lxcfsFacts(answer(["stat"], [], ["online", "online"])), { proc: ["stat"], cpu: ["online"] });
  for (const cut of [0, 7, 8, 20, 40]) lxcfsFacts(answer(["meminfo"], ["cpu"], ["online"]).subarray(0, cut));
});

const line = (id: number, point: string, rest: string): string => `${id} 27 0:${id} / ${point} rw,nosuid - ${rest}\n`;
const ours = "fuse.lxcfs lxcfs rw,user_id=0,group_id=0,allow_other";

test("LXCFS is there when root's is the uppermost mount of its place", () => {
  assert.equal(hostLxcfs(line(5, "/var/lib/lxcfs", ours), "/var/lib/lxcfs"), "0:5");
  assert.equal(hostLxcfs(line(5, "/var/lib/lxcfs", ours) + line(6, "/var/lib/lxcfs", ours), "/var/lib/lxcfs"), "0:6");
  assert.equal(
    hostLxcfs(line(5, "/var/lib/lxcfs", ours) + line(6, "/var/lib/lxcfs", "tmpfs x rw"), "/var/lib/lxcfs"),
    null,
  );
  assert.equal(hostLxcfs(line(5, "/var/lib/lxcfs", "fuse.lxcfs x rw,user_id=1000"), "/var/lib/lxcfs"), null);
  assert.equal(hostLxcfs(line(5, "/var/lib/lxcfs2", ours), "/var/lib/lxcfs"), null);
});

test("a file system that only has LXCFS's name in its source is none", () => {
  assert.deepEqual(
    lxcfsMounts(line(5, "/a", "tmpfs fuse.lxcfs rw") + line(6, "/b", "tmpfs x\\040-\\040fuse.lxcfs rw")),
    [],
  );
  assert.equal(lxcfsMounts(line(5, "/proc/meminfo", ours))[0]?.id, 5);
});
