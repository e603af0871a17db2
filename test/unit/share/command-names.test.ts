import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { commands } from "../../../src/frontends/lxc/index.js";

const file = join(import.meta.dirname, "../../../../share/command-names.txt");
const names = readFileSync(file, "utf8")
  .split("\n")
  .map((line) => line.replace(/#.*/, "").trim())
  .filter((line) => line !== "");

test("every command of the LXC front end has a name in bin/", () => {
  assert.deepEqual(
    Object.keys(commands).filter((name) => !names.includes(name)),
    [],
  );
});

test("no command name is listed twice", () => {
  assert.equal(new Set(names).size, names.length);
});
