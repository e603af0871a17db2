import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";

import { attributesOf, filesystemOptions } from "../../../src/plan/mount.js";
import { parseMountOptions, showMountOptions } from "../../../src/spec/mount-options.js";
import * as k from "../../../src/sys/flags.js";
import { hostFacts } from "../../support/facts.js";
import { callsOf, planOf } from "../../support/plan.js";

const options = (text: string): ReturnType<typeof parseMountOptions> => parseMountOptions(text.split(","));

test("every option of a mount is the attribute of its name", () => {
  const pairs = [
    ["ro", k.MOUNT_ATTR_RDONLY],
    ["nosuid", k.MOUNT_ATTR_NOSUID],
    ["nodev", k.MOUNT_ATTR_NODEV],
    ["noexec", k.MOUNT_ATTR_NOEXEC],
    ["nodiratime", k.MOUNT_ATTR_NODIRATIME],
    ["nosymfollow", k.MOUNT_ATTR_NOSYMFOLLOW],
    ["noatime", k.MOUNT_ATTR_NOATIME],
    ["strictatime", k.MOUNT_ATTR_STRICTATIME],
    // What mounts are without being told, and what is not of a mount but of a file system.
    ["relatime", 0],
    ["sync", 0],
    ["bind", 0],
  ] as const;
  for (const [word, attribute] of pairs) assert.equal(attributesOf(options(word).flags), attribute, word);
  assert.equal(attributesOf(options("ro,nosuid,nodev,noexec,noatime").flags), 0x1f & ~k.MOUNT_ATTR_STRICTATIME);
  assert.equal(
    attributesOf(options("noatime,strictatime").flags),
    k.MOUNT_ATTR_STRICTATIME,
    "access times are one value",
  );
});

test("a word that takes an option back clears it on a bind, and the last of several wins", () => {
  const calls = (text: string): readonly string[] =>
    callsOf(planOf(`lxc.mount.entry = /srv/a srv/a none bind,${text} 0 0`), "mount_setattr").filter((call) =>
      call.startsWith('mount_setattr(mount 1, ""'),
    );
  assert.deepEqual(calls("rw,dev"), [
    'mount_setattr(mount 1, "", AT_EMPTY_PATH, {attr_set=0, attr_clr=MOUNT_ATTR_RDONLY|MOUNT_ATTR_NODEV, propagation=0, userns_fd=0}, 32)',
  ]);
  assert.match(calls("ro,rw").join(), /attr_set=0, attr_clr=MOUNT_ATTR_RDONLY/);
  assert.match(calls("rw,ro").join(), /attr_set=MOUNT_ATTR_RDONLY, attr_clr=0/);
  assert.deepEqual(calls("defaults"), []);
});

test("a change of access times clears the whole group first, as the kernel wants it", () => {
  for (const config of ["lxc.mount.entry = /srv/a srv/a none bind,noatime 0 0", "lxc.rootfs.options = noatime"]) {
    const calls = callsOf(planOf(config), "mount_setattr").filter((call) =>
      call.includes("attr_set=MOUNT_ATTR_NOATIME"),
    );
    assert.equal(calls.length, 1, config);
    assert.match(calls[0] ?? "", /attr_clr=MOUNT_ATTR_NOATIME\|MOUNT_ATTR_STRICTATIME\|0x40/);
  }
});

test("options of a file system are split at commas, but not within quotes or at escaped ones", () => {
  const split = (text: string): readonly string[] =>
    filesystemOptions("src", { flags: 0, clear: 0, propagation: 0, data: text }).map(({ name, value }) =>
      value === null ? name : `${name}=${value}`,
    );
  assert.deepEqual(split(""), ["source=src"]);
  assert.deepEqual(split("size=1m,mode=0755,nr_inodes=10"), ["source=src", "size=1m", "mode=0755", "nr_inodes=10"]);
  assert.deepEqual(split("flag,,x=a=b"), ["source=src", "flag", "x=a=b"]);
  assert.deepEqual(split("lowerdir=/a\\,b:/c,upperdir=/u"), ["source=src", "lowerdir=/a\\,b:/c", "upperdir=/u"]);
  assert.deepEqual(split('context="u:o:r:s0:c1,c2",ro'), ["source=src", "context=u:o:r:s0:c1,c2", "ro"]);
});

test("flags that belong to the file system become options of it; without a source it is called none", () => {
  const made = filesystemOptions("", options("ro,sync,dirsync,mand,noexec,size=1m"));
  assert.deepEqual(made, [
    { name: "source", value: "none" },
    { name: "ro", value: null },
    { name: "sync", value: null },
    { name: "dirsync", value: null },
    { name: "mand", value: null },
    { name: "size", value: "1m" },
  ]);
});

test("options that were shown are read back as the same", () => {
  const word = fc.constantFrom(
    "ro",
    "rw",
    "nosuid",
    "suid",
    "nodev",
    "dev",
    "noexec",
    "exec",
    "sync",
    "async",
    "noatime",
    "relatime",
    "bind",
    "rbind",
    "shared",
    "rslave",
    "size=1m",
    "mode=0755",
    "defaults",
    "nosymfollow",
    "lazytime",
    "nolazytime",
    "unbindable",
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 8 }), (words) => {
      const first = parseMountOptions(words);
      assert.deepEqual(parseMountOptions(showMountOptions(first).flatMap((each) => each.split(","))), first);
    }),
  );
});

test("a mount point that is to be made is made step by step, and no step can leave the root or follow a magic link", () => {
  const ops = planOf("lxc.mount.entry = /srv/f a/b/f none bind,create=file 0 0").filter((op) =>
    op.source?.includes("lxc.mount.entry"),
  );
  const opens = callsOf(ops, "openat2");
  assert.ok(opens.length >= 3);
  for (const call of opens) assert.match(call, /RESOLVE_NO_MAGICLINKS\|RESOLVE_IN_ROOT/);
  assert.deepEqual(
    callsOf(ops, "mkdirat").map((call) => call.split(", ")[1]),
    ['"a"', '"b"'],
  );
  assert.match(callsOf(ops, "openat").join(), /"f", O_RDONLY\|O_CREAT\|O_CLOEXEC\|O_NOFOLLOW, 0644/);
});

test("an optional entry goes on behind itself on any error; another one fails the start", () => {
  const rules = (words: string): readonly string[] =>
    planOf(`lxc.mount.entry = /srv/a srv/a none bind${words} 0 0`)
      .filter((op) => op.source?.includes("lxc.mount.entry"))
      .flatMap((op) => op.rules.map((rule) => rule.on));
  assert.deepEqual(rules(""), []);
  assert.ok(rules(",optional").length >= 3 && rules(",optional").every((on) => on === "any"));
});

test("with a user namespace sources of the host are opened outside of it and handed in", () => {
  const config =
    "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\nlxc.mount.entry = /srv/a srv/a none bind 0 0";
  const of = (process: string): readonly string[] =>
    planOf(config, hostFacts("v2"))
      .filter((op) => op.process === process)
      .map((op) => `${op.call} ${op.args[1] ?? ""}`);
  assert.ok(of("monitor").includes('open_tree "/srv/a"'));
  assert.ok(!of("init").includes('open_tree "/srv/a"'));
  assert.ok(
    of("monitor").some((call) => call.startsWith("sendmsg")) && of("init").some((call) => call.startsWith("recvmsg")),
  );
});
