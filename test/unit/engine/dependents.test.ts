import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { dependentsText, parseDependents } from "../../../src/engine/dependents.js";
import { replaceName } from "../../../src/engine/identity.js";
import { mountBelow } from "../../../src/engine/mounted.js";
import { movedRoot } from "../../../src/engine/rename.js";
import { freeName, timestamp } from "../../../src/engine/snapshots.js";

test("who needs whom is written as LXC writes it: two lines for each", () => {
  const ids = [
    { storePath: "/var/lib/lxc", name: "c" },
    { storePath: "/var/lib/lxc/c/snaps", name: "snap0" },
  ];
  assert.equal(dependentsText(ids), "/var/lib/lxc\nc\n/var/lib/lxc/c/snaps\nsnap0\n");
  assert.deepEqual(parseDependents(dependentsText(ids)), ids);
});

test("a list that is cut off, and LXC 1.0's counter, name nobody", () => {
  assert.deepEqual(parseDependents("/var/lib/lxc\n"), []);
  assert.deepEqual(parseDependents("3\n"), []);
  assert.deepEqual(parseDependents(""), []);
  assert.deepEqual(parseDependents("relative\nc\n/s\n../x\n/s\n\n"), []);
});

test("any list of names comes back", () => {
  const word = fc.stringMatching(/^[a-z0-9_.-]{1,20}$/);
  const id = fc.tuple(word, word).map(([store, name]) => ({ storePath: `/${store}`, name }));
  fc.assert(
    fc.property(fc.array(id), (ids) => {
      assert.deepEqual(parseDependents(dependentsText(ids)), ids);
    }),
  );
});

test("the old name in etc/hosts becomes the new one where it stands for itself", () => {
  const hosts = "127.0.0.1\tlocalhost\n127.0.1.1 web web.lan # web\n10.0.0.9 webmail my-web\n";
  assert.equal(
    replaceName(hosts, "web", "copy"),
    "127.0.0.1\tlocalhost\n127.0.1.1 copy copy.lan # web\n10.0.0.9 webmail my-web\n",
  );
  assert.equal(replaceName("1.2.3.4 a$b", "a$b", "$&"), "1.2.3.4 $&");
});

test("a moved container finds its own layers where they are now, and others where they were", () => {
  assert.deepEqual(
    movedRoot({ kind: "overlay", lowers: ["/s/a/rootfs", "/s/ab"], upper: "/s/a/overlay/delta" }, "/s/a", "/s/b"),
    { kind: "overlay", lowers: ["/s/b/rootfs", "/s/ab"], upper: "/s/b/overlay/delta" },
  );
});

test("the lowest free number names a snapshot, and its time is written as LXC writes it", () => {
  assert.equal(freeName(new Set(["snap0", "snap2"])), "snap1");
  assert.equal(timestamp(new Date(2026, 10, 3, 4, 5, 6)), "2026:11:03 04:05:06");
});

test("something mounted below a directory is found, also with a blank in its name", () => {
  const line = (point: string): string => `30 1 0:5 / ${point} rw - tmpfs none rw\n`;
  assert.equal(mountBelow(line("/s/a\\040b/x"), "/s/a b"), "/s/a b/x");
  assert.equal(mountBelow(line("/s/ab"), "/s/a"), null);
  assert.equal(mountBelow(line("/s/a/rootfs"), "/s/a", "/s/a/rootfs"), null);
});
