import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { createWholes, type Wholes } from "../../../src/engine/whole.js";

const largest = 1000;
/** Nanoseconds; whatever is changed by now was changed long ago. */
const later = (): bigint => BigInt(Date.now() + 60_000) * 1_000_000n;

function container(t: TestContext): string {
  const store = mkdtempSync(join(tmpdir(), "islt-unit-whole-"));
  t.after(() => {
    rmSync(store, { recursive: true, force: true });
  });
  const directory = join(store, "web");
  mkdirSync(directory);
  writeFileSync(join(directory, "config"), "# web\n");
  return directory;
}

/** File systems count time in ticks of some milliseconds: the next change has another time. */
const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));

async function remembered(t: TestContext): Promise<{ readonly directory: string; readonly wholes: Wholes }> {
  const directory = container(t);
  const wholes = createWholes(largest, later);
  assert.equal(wholes.look(directory), true);
  assert.equal(wholes.look(directory), true, "also when it is remembered");
  await tick();
  return { directory, wholes };
}

const changes: Readonly<Record<string, (directory: string) => void>> = {
  "its config is removed": (directory) => unlinkSync(join(directory, "config")),
  "its config gets another name": (directory) => renameSync(join(directory, "config"), join(directory, "config.old")),
  "it is being made or removed": (directory) => writeFileSync(join(directory, "partial"), ""),
  "it has a journal": (directory) => writeFileSync(join(directory, "islet-journal"), ""),
  "it is removed": (directory) => rmSync(directory, { recursive: true }),
  "it is removed, and the times of what takes its name are old": (directory) => {
    rmSync(directory, { recursive: true });
    mkdirSync(directory);
    utimesSync(directory, 1, 1);
  },
  "a link to nothing takes the place of its config": (directory) => {
    unlinkSync(join(directory, "config"));
    symlinkSync("/nowhere", join(directory, "config"));
  },
};

for (const [what, change] of Object.entries(changes)) {
  test(`a container that is remembered as whole is not when ${what}`, async (t) => {
    const { directory, wholes } = await remembered(t);
    change(directory);
    assert.equal(wholes.look(directory), false);
    assert.equal(wholes.look(directory), false, "nor is it remembered");
  });
}

test("a container becomes whole again when its mark goes", async (t) => {
  const { directory, wholes } = await remembered(t);
  writeFileSync(join(directory, "partial"), "");
  assert.equal(wholes.look(directory), false);
  await tick();
  unlinkSync(join(directory, "partial"));
  assert.equal(wholes.look(directory), true);
});

test("a directory that has just changed is looked at each time: the next change may have the same time", (t) => {
  const directory = container(t);
  const wholes = createWholes(largest);
  for (let i = 0; i < 50; i += 1) {
    assert.equal(wholes.look(directory), true);
    renameSync(join(directory, "config"), join(directory, "config.old"));
    assert.equal(wholes.look(directory), false);
    renameSync(join(directory, "config.old"), join(directory, "config"));
  }
});

test("nothing simple is said of a config that is a link, a directory or too large, nor of what is no directory", (t) => {
  const directory = container(t);
  const wholes = createWholes(largest, later);
  const config = join(directory, "config");
  assert.equal(wholes.look(config), false);
  assert.equal(wholes.look(`${config}/below`), false);
  writeFileSync(config, "x".repeat(largest + 1));
  assert.equal(wholes.look(directory), false);
  renameSync(config, join(directory, "other"));
  symlinkSync("other", config);
  assert.equal(wholes.look(directory), false);
  unlinkSync(config);
  mkdirSync(config);
  assert.equal(wholes.look(directory), false);
});
