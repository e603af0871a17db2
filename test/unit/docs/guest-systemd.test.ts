import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../../support/paths.js";

const page = readFileSync(join(root, "docs/guests/systemd.md"), "utf8");
const tests = ["guest-systemd", "guest-systemd-init", "guest-systemd-users", "debian-services", "scope"]
  .map((name) => readFileSync(join(root, `test/kernel/${name}.test.ts`), "utf8"))
  .join("\n");

const rows = page
  .slice(page.indexOf("## Point by point"))
  .split("\n")
  .filter((line) => line.startsWith("| ") && !line.startsWith("| point"))
  .map((line) => line.split("|").map((cell) => cell.trim()));

test("every point of docs/guests/systemd.md names tests, and all of them exist", () => {
  assert.ok(rows.length > 30);
  for (const [, point = "", , named = ""] of rows) {
    const names = [...named.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "");
    assert.notEqual(names.length, 0, `${point} names no test`);
    for (const name of names) assert.ok(tests.includes(`"${name}"`), `${point}: there is no test "${name}"`);
  }
});

test("docs/guests/systemd.md has a row for every test that begins with a point's number", () => {
  for (const [, name = ""] of tests.matchAll(/"((?:[EVARND][0-9]*|section [0-9])[^":]*: [^"]*)"/g))
    assert.ok(page.includes(`\`${name}\``), `no row names "${name}"`);
});
