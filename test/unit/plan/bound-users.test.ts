import assert from "node:assert/strict";
import { test } from "node:test";
import { showFault } from "../../../src/base/source.js";
import { type GuestAccounts, boundIds, boundUsers } from "../../../src/plan/bound-users.js";
import type { BoundUser } from "../../../src/spec/guest.js";

const host = {
  passwd: `root:x:0:0:root:/root:/bin/bash
toor:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
alice:x:1000:1000:Alice A,Room 1,,:/home/alice:/bin/bash
bob:x:1001:1001:,,,:/home/bob:/bin/zsh
carol:x:1002:100::/home/carol:/bin/sh
dave:x:1003:1003::/:/bin/sh
erin:x:1004:1004::/home/../etc:/bin/sh
frank:x:1005:4000::/home/frank:/bin/sh
grace:x:1006:1006:Gra\tce:/home/grace:
heidi:x:1007:1007::/home/heidi:/bin/../bin/bash
`,
  group: `root:x:0:
daemon:x:1:
users:x:100:
nogroup:x:65534:
alice:x:1000:
bob:x:1001:
dave:x:1003:
erin:x:1004:
grace:x:1006:
heidi:x:1007:
`,
  shadow: "alice:$6$salt$hash:19000:0:99999:7:::\nbob:!:19000:0:99999:7:::\n",
};
const empty: GuestAccounts = {
  passwd: "root:x:0:0:root:/root:/bin/sh\n",
  group: "root:x:0:\n",
  hasProgram: () => false,
};

const wanted = (...names: readonly string[]): readonly BoundUser[] =>
  names.map((name, index) => ({ name, at: { file: "config", line: index + 1, key: "islet.bind.user" } }));
const faultsOf = (names: readonly string[], guest = empty): readonly string[] =>
  boundUsers(wanted(...names), host, guest).faults.map(showFault);

test("users get ids from 60514 on in the order of the lines, past those that the guest uses itself", () => {
  const guest = {
    ...empty,
    passwd: "own:x:60514:5::/:/bin/sh\n",
    group: "theirs:x:60516:\n",
    hasProgram: (path: string) => path.startsWith("/bin/"),
  };
  const { users, faults } = boundUsers(wanted("bob", "alice", "grace", "heidi"), host, guest);
  assert.deepEqual(faults, []);
  assert.deepEqual(
    users.map(({ at, ...rest }) => [at?.line, rest]),
    [
      // prettier-ignore
      [1, { name: "bob", home: "/home/bob", uid: 1001, gid: 1001, inside: 60515, realName: "", shell: "/bin/zsh", hash: null }],
      // prettier-ignore
      [2, { name: "alice", home: "/home/alice", uid: 1000, gid: 1000, inside: 60517, realName: "Alice A", shell: "/bin/bash", hash: "$6$salt$hash" }],
      // prettier-ignore
      [3, { name: "grace", home: "/home/grace", uid: 1006, gid: 1006, inside: 60518, realName: "", shell: null, hash: null }],
      // prettier-ignore
      [4, { name: "heidi", home: "/home/heidi", uid: 1007, gid: 1007, inside: 60519, realName: "", shell: null, hash: null }],
    ],
  );
});

test("a shell that the guest does not have is not named", () => {
  assert.equal(boundUsers(wanted("alice"), host, empty).users[0]?.shell, null);
});

test("every user that cannot be passed in is named with its line", () => {
  const names = ["nobody-there", "root", "toor", "daemon", "nobody", "carol", "dave", "erin", "frank", "alice"];
  assert.deepEqual(faultsOf(names), [
    "the host has no user nobody-there (config:1 islet.bind.user); only those of its passwd file can be passed in",
    "root is root, who cannot be passed in (config:2 islet.bind.user)",
    "toor is root, who cannot be passed in (config:3 islet.bind.user)",
    "daemon is a user of the system's (uid 1), not a person (config:4 islet.bind.user)",
    "nobody is a user of the system's (uid 65534), not a person (config:5 islet.bind.user)",
    "carol has no group of its own: the first is users (config:6 islet.bind.user)",
    'dave has no home directory that could be passed in: "/" (config:7 islet.bind.user)',
    'erin has no home directory that could be passed in: "/home/../etc" (config:8 islet.bind.user)',
    "frank has no group of its own: the first is 4000, which has no name (config:9 islet.bind.user)",
  ]);
  assert.deepEqual(boundUsers(wanted(...names), host, empty).users, []);
});

test("a user or group of the guest's own is not taken over", () => {
  assert.match(
    faultsOf(["alice"], { ...empty, passwd: "alice:x:1:1::/:/x\n" }).join(),
    /a user or group alice of its own/,
  );
  assert.match(faultsOf(["alice"], { ...empty, group: "alice:x:1:\n" }).join(), /a user or group alice of its own/);
});

test("where the guest uses all ids itself, users are refused", () => {
  const all = Array.from(
    { length: boundIds.last - boundIds.first },
    (_, index) => `g${index}:x:${boundIds.first + index}:`,
  );
  const guest = { ...empty, group: `${all.join("\n")}\n` };
  assert.deepEqual(faultsOf(["alice"], guest), []);
  assert.equal(boundUsers(wanted("alice"), host, guest).users[0]?.inside, boundIds.last);
  assert.match(
    faultsOf(["alice", "bob"], guest).join(),
    /no id left for bob \(config:2 [^)]*\); it uses those from 60514 to 60577/,
  );
});
