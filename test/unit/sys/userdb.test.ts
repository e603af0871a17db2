import assert from "node:assert/strict";
import { test } from "node:test";
import { recordFiles } from "../../../src/sys/userdb.js";

const alice = {
  name: "alice",
  id: 60_514,
  realName: 'Alice "A" Ä',
  home: "/run/host/home/alice",
  shell: "/bin/zsh",
  hash: "$y$j9T$salt$hash",
};

test("a user has a record, a secret record and a group's, each with a link by its number", () => {
  const files = recordFiles(alice);
  assert.deepEqual(
    files.map(({ name, link, isSecret }) => [name, link, isSecret]),
    [
      ["alice.group", "60514.group", false],
      ["alice.user-privileged", "60514.user-privileged", true],
      ["alice.user", "60514.user", false],
    ],
  );
  assert.deepEqual(
    files.map(({ text }): unknown => JSON.parse(text)),
    [
      { groupName: "alice", gid: 60_514, disposition: "regular", service: "io.islet" },
      { privileged: { hashedPassword: ["$y$j9T$salt$hash"] } },
      {
        userName: "alice",
        realName: 'Alice "A" Ä',
        uid: 60_514,
        gid: 60_514,
        homeDirectory: "/run/host/home/alice",
        shell: "/bin/zsh",
        disposition: "regular",
        service: "io.islet",
      },
    ],
  );
  for (const { text, isSecret } of files) assert.equal(text.includes("hash"), isSecret);
});

test("what a user does not have is not in the records", () => {
  const files = recordFiles({ ...alice, realName: "", shell: null, hash: null });
  assert.deepEqual(
    files.map(({ name }) => name),
    ["alice.group", "alice.user"],
  );
  assert.doesNotMatch(files.map(({ text }) => text).join(""), /realName|shell|privileged/);
});
