import assert from "node:assert/strict";
import { test } from "node:test";
import { mountEntries, parseMounts } from "../../../../src/frontends/lxc/commands/copy-mounts.js";
import { randomName } from "../../../../src/frontends/lxc/commands/copied.js";

test("mounts of lxc-copy -m: kind, source and target", () => {
  assert.deepEqual(parseMounts("bind=/srv:/mnt:ro,overlay=/opt,bind=/a:b"), [
    { kind: "bind", source: "/srv", target: "/mnt", options: "ro" },
    { kind: "overlay", source: "/opt", target: "/opt", options: "rw" },
    // LXC takes it, too.
    { kind: "bind", source: "/a", target: "b", options: "rw" },
  ]);
});

test("what is no mount is refused", () => {
  for (const wrong of ["", "foo=/x", "bind=x", "bind=/a:/b:ro:more", "/x"])
    assert.throws(() => parseMounts(wrong), Error, wrong);
});

test("the lines are those that lxc-copy writes, blanks escaped", () => {
  const made = mountEntries(
    parseMounts("bind=/a b:/mnt,overlay=/opt"),
    "/s/c",
    () => false,
    () => "XXXXXX",
  );
  assert.deepEqual(made.entries, [
    "/a\\040b mnt none bind,optional,rw,create=dir 0 0",
    "/opt opt overlay lowerdir=/opt,upperdir=/s/c/delta#XXXXXX,workdir=/s/c/work#XXXXXX,create=dir",
  ]);
  assert.deepEqual(made.directories, ["delta#XXXXXX", "work#XXXXXX"]);
});

test("a name that nobody has thought of is the original's with six letters and digits", () => {
  assert.match(randomName("web"), /^web_[A-Za-z0-9]{6}$/);
});
