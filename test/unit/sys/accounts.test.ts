import assert from "node:assert/strict";
import { test } from "node:test";
import { groupsOf, parseGroup, parsePasswd, shadowHash } from "../../../src/sys/accounts.js";

test("users are read from passwd, and lines that are none are passed over", () => {
  const text = [
    "root:x:0:0:root:/root:/bin/bash",
    "# alice:x:1:1::/:/bin/sh",
    "+@people::::::",
    "+nis:x:1001:1001::/home/nis:/bin/sh",
    "-nis:x:1001:1001::/home/nis:/bin/sh",
    "short:x:1001",
    "long:x:1001:1001::/home/long:/bin/sh:more",
    "sign:x:-1:1001::/home/sign:/bin/sh",
    "error:x:4294967295:1001::/home/error:/bin/sh",
    "word:x:1001:staff::/home/word:/bin/sh",
    "",
    "alice:x:1000:1001:Alice A,Room 1,,:/home/alice:",
    "last:x:4294967294:7::/:/x",
  ].join("\n");
  assert.deepEqual(parsePasswd(text), [
    { name: "root", uid: 0, gid: 0, gecos: "root", home: "/root", shell: "/bin/bash" },
    { name: "alice", uid: 1000, gid: 1001, gecos: "Alice A,Room 1,,", home: "/home/alice", shell: "" },
    { name: "last", uid: 4_294_967_294, gid: 7, gecos: "", home: "/", shell: "/x" },
  ]);
});

test("groups are read from group, and lines that are none are passed over", () => {
  assert.deepEqual(parseGroup("root:x:0:\n+:::\n#x:x:1:\nalice:x:1001:bob,carol\nbad:x::\n"), [
    { name: "root", gid: 0, members: [] },
    { name: "alice", gid: 1001, members: ["bob", "carol"] },
  ]);
});

test("a user is in its own group and in those that name it", () => {
  const groups = parseGroup("bob:x:1001:\nstaff:x:50:alice,bob\nalice:x:1000:bobby\ncarol:x:1002:carol");
  const [bob] = parsePasswd("bob:x:1001:1001::/home/bob:/bin/sh");
  assert.ok(bob !== undefined);
  assert.deepEqual(groupsOf(bob, groups), ["bob", "staff"]);
});

test("a password is one that somebody can log in with: not an empty, locked or forbidden one, nor another's", () => {
  const text = ["ok:$y$j9T$salt$hash", "empty:", "locked:!$y$j9T$salt$hash", "none:*", "new:!", "odd:$y$a b"]
    .map((line) => `${line}:19000:0:99999:7:::\n`)
    .join("");
  assert.equal(shadowHash(text, "ok"), "$y$j9T$salt$hash");
  for (const name of ["empty", "locked", "none", "new", "odd", "missing", "o"])
    assert.equal(shadowHash(text, name), null);
});
