import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { root } from "../../support/paths.js";
import { waitFor } from "../../support/wait.js";

const islet: string = process.env["ISLET_BINARY"] ?? join(root, "build/islet");
const dir = mkdtempSync(join(tmpdir(), "islt-moves-"));
after(() => {
  rmSync(dir, { recursive: true, force: true });
});

interface Moves {
  readonly child: ChildProcess;
  readonly code: Promise<number | null>;
  /** Takings so far, a byte each, since the file is an ordinary one. */
  readonly count: () => number;
}

function moves(name: string, milliseconds: string): Moves {
  const file = join(dir, name);
  writeFileSync(file, "");
  const child = spawn(islet, ["moves", file, milliseconds], { stdio: ["pipe", "ignore", "ignore"] });
  const code = new Promise<number | null>((resolve) => child.on("close", resolve));
  return { child, code, count: () => statSync(file).size };
}

test("moves writes every few milliseconds, until its time is over", async () => {
  const begin = performance.now();
  const { code, count } = moves("alone", "200");
  assert.equal(await code, 0);
  assert.ok(performance.now() - begin >= 200);
  // One every 5 ms, fewer on a busy machine.
  assert.ok(count() >= 5 && count() <= 41, `${count()} writes`);
});

test("a byte gives it its whole time again", async () => {
  const begin = performance.now();
  const { child, code } = moves("again", "300");
  const timer = setInterval(() => child.stdin?.write("x"), 50);
  setTimeout(() => clearInterval(timer), 500);
  assert.equal(await code, 0);
  assert.ok(performance.now() - begin >= 700);
});

test("it ends with whoever started it", async () => {
  const { child, code, count } = moves("orphan", "60000");
  await waitFor("a write", () => count() > 0);
  child.stdin?.end();
  assert.equal(await code, 0);
});

test("what cannot be opened or written ends it", async () => {
  const run = (...words: readonly string[]): Promise<number | null> =>
    new Promise((resolve) =>
      spawn(islet, ["moves", ...words], { stdio: ["pipe", "ignore", "ignore"] }).on("close", resolve),
    );
  assert.equal(await run(join(dir, "none"), "1000"), 1);
  assert.equal(await run("/dev/full", "1000"), 1);
  assert.equal(await run("/dev/null"), 1);
});
