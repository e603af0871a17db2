import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { commands, templateCommand } from "../../../src/frontends/lxc/index.js";
import { builtinTemplates } from "../../../src/frontends/lxc/templates/builtin.js";

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

test("templates/ has a link for every template that is built in, and the daemon knows it by that name", async () => {
  const { templateNames } = (await import(join(import.meta.dirname, "../../../../scripts/lib/names.mjs"))) as {
    readonly templateNames: () => readonly string[];
  };
  assert.deepEqual(templateNames(), Object.keys(builtinTemplates));
  for (const name of templateNames()) assert.notEqual(await templateCommand(`lxc-${name}`), null);
  for (const name of ["debian", "lxc-none", "lxc-constructor", "islet-debian"])
    assert.equal(await templateCommand(name), null);
});
