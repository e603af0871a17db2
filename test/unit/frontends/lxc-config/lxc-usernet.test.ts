import assert from "node:assert/strict";
import { test } from "node:test";
import { showFault } from "../../../../src/base/source.js";
import { parseUserNet } from "../../../../src/frontends/lxc/config/lxc-usernet.js";
import { grantsOf, isLinkName } from "../../../../src/spec/user-nic.js";

const parse = (text: string): ReturnType<typeof parseUserNet> => parseUserNet({ file: "usernet", text });

const text = `# USER TYPE BRIDGE COUNT
alice veth lxcbr0 2

@staff\tveth  lxcbr0 3 # all of them together
  bob veth lxcbr0 0
alice veth br1 10
@www veth lxcbr0 1
alice veth lxcbr0 5`;

test("every line grants a user or a group a number of nics on a bridge", () => {
  const { grants, faults } = parse(text);
  assert.deepEqual(faults, []);
  assert.deepEqual(
    grants.map(({ owner, bridge, most, at }) => [owner, bridge, most, at.line]),
    [
      ["alice", "lxcbr0", 2, 2],
      ["@staff", "lxcbr0", 3, 4],
      ["bob", "lxcbr0", 0, 5],
      ["alice", "br1", 10, 6],
      ["@www", "lxcbr0", 1, 7],
      ["alice", "lxcbr0", 5, 8],
    ],
  );
});

test("those of a user are its own and its groups', for the bridge, in the order of the lines", () => {
  const { grants } = parse(text);
  const lines = (user: string, groups: readonly string[], bridge: string): readonly number[] =>
    grantsOf(grants, user, groups, bridge).map(({ at }) => at.line);
  assert.deepEqual(lines("alice", ["staff"], "lxcbr0"), [2, 4, 8]);
  assert.deepEqual(lines("alice", [], "br1"), [6]);
  assert.deepEqual(lines("bob", ["www", "staff"], "lxcbr0"), [4, 5, 7]);
  // A group's name is no user's, nor the other way round.
  assert.deepEqual(lines("staff", ["alice"], "lxcbr0"), []);
  assert.deepEqual(lines("alice", [], "lxcbr"), []);
});

test("a line with a fault grants nothing and is named; the others hold", () => {
  const { grants, faults } = parse(
    [
      "alice veth lxcbr0",
      "alice veth lxcbr0 2 3",
      "@ veth lxcbr0 1",
      "alice macvlan lxcbr0 1",
      "alice veth a-bridge-of-16-b 1",
      "alice veth ../x 1",
      "alice veth lxcbr0 -1",
      "alice veth lxcbr0 1x",
      "alice veth lxcbr0 1000000",
      "bob veth lxcbr0 1\r",
    ].join("\n"),
  );
  assert.deepEqual(
    grants.map(({ owner, most }) => [owner, most]),
    [["bob", 1]],
  );
  assert.deepEqual(faults.map(showFault), [
    "a line has four words, USER or @GROUP, veth, BRIDGE and COUNT, not 3 (usernet:1 alice)",
    "a line has four words, USER or @GROUP, veth, BRIDGE and COUNT, not 5 (usernet:2 alice)",
    "@ without the name of a group (usernet:3 @)",
    '"macvlan" is no type of nic that users can make: only veth is (usernet:4 alice)',
    '"a-bridge-of-16-b" cannot be the name of a bridge (usernet:5 alice)',
    '"../x" cannot be the name of a bridge (usernet:6 alice)',
    '"-1" is no number of nics, 0 to 999999 (usernet:7 alice)',
    '"1x" is no number of nics, 0 to 999999 (usernet:8 alice)',
    '"1000000" is no number of nics, 0 to 999999 (usernet:9 alice)',
  ]);
});

test("names of interfaces are what the kernel takes as they are", () => {
  for (const name of ["eth0", "a", "x-y_z.1@9", "123456789012345", "..."]) assert.ok(isLinkName(name), name);
  for (const name of ["", ".", "..", "a/b", "a:b", "eth%d", "a b", "a\n", "1234567890123456", "é", "\0", "\x7f"])
    assert.ok(!isLinkName(name), JSON.stringify(name));
});
