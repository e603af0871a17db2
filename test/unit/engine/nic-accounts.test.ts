import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { openNicAccounts, parseNicAccounts, showNicAccounts } from "../../../src/engine/nic-accounts.js";
import { currentArch } from "../../support/image.js";
import { testDir } from "../../support/paths.js";

const file = (t: TestContext): string => {
  const directory = mkdtempSync(join(testDir, "islt-accounts-"));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  return join(directory, "lxc/nics");
};

const text = "alice veth lxcbr0 veth1000_aaaa\n@staff veth lxcbr0 veth1000_bbbb\nbob veth br1 veth1001_cccc\n";

test("accounts read as LXC writes them, and are written so", () => {
  const accounts = parseNicAccounts(text);
  assert.deepEqual(accounts[1], { owner: "@staff", type: "veth", bridge: "lxcbr0", nic: "veth1000_bbbb" });
  assert.equal(showNicAccounts(accounts), text);
});

test("what an interrupted change leaves behind its lines counts nothing twice", () => {
  const lines = text.split("\n").filter((line) => line !== "");
  for (let which = 0; which < 2 ** lines.length; which += 1) {
    const kept = lines.filter((_, index) => (which & (1 << index)) !== 0).map((line) => `${line}\n`);
    const shorter = kept.join("");
    const there = parseNicAccounts(shorter).map(({ nic }) => nic);
    // The kill came between the write and the cut.
    const torn = shorter + text.slice(shorter.length);
    const found = parseNicAccounts(torn).filter(({ nic }) => there.includes(nic));
    assert.deepEqual(found, parseNicAccounts(shorter), JSON.stringify(torn));
  }
  assert.deepEqual(parseNicAccounts("# no account at all\n\na b c\na b c d e\n"), []);
});

test("the file is made for root alone, holds what is written last, and keeps its inode", async (t) => {
  const path = file(t);
  const accounts = await openNicAccounts(currentArch, path, 0);
  t.after(() => {
    accounts.close();
  });
  accounts.write(parseNicAccounts(text));
  const { ino, mode } = statSync(path);
  assert.equal(mode & 0o777, 0o600);
  assert.deepEqual(
    accounts.read((nic) => nic !== "veth1000_aaaa").map(({ nic }) => nic),
    ["veth1000_bbbb", "veth1001_cccc"],
  );
  accounts.write(accounts.read((nic) => nic === "veth1001_cccc"));
  assert.equal(readFileSync(path, "utf8"), "bob veth br1 veth1001_cccc\n");
  assert.equal(statSync(path).ino, ino);
});

test("nobody else gets at them until they are closed", async (t) => {
  const path = file(t);
  const first = await openNicAccounts(currentArch, path, 0);
  await assert.rejects(openNicAccounts(currentArch, path, 30), /somebody else has had the lock of .* for 0.03 s/);
  const waiting = openNicAccounts(currentArch, path, 5000);
  first.close();
  (await waiting).close();
});

test("a file that cannot be theirs is refused", async (t) => {
  const path = file(t);
  (await openNicAccounts(currentArch, path, 0)).close();
  writeFileSync(path, Buffer.alloc((4 << 20) + 1));
  const accounts = await openNicAccounts(currentArch, path, 0);
  t.after(() => {
    accounts.close();
  });
  assert.throws(() => accounts.read(() => true), /is larger than/);
});
