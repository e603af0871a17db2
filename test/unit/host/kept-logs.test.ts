import assert from "node:assert/strict";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createKeptLogs, type KeptLogs } from "../../../src/host/kept-logs.js";
import { cleanup, type Cleaner } from "../../support/cleanup.js";
import { command } from "../../support/command.js";
import { root, testDir } from "../../support/paths.js";
import { lacks } from "../../support/skip.js";

interface Place {
  readonly above: string;
  readonly directory: string;
  readonly logs: KeptLogs;
  readonly complaints: string[];
  readonly text: (file: string) => string;
}

function place(t: Cleaner, size = 4096): Place {
  const above = mkdtempSync(join(testDir, "kept-logs-"));
  cleanup(t)(() => {
    rmSync(above, { recursive: true });
  });
  const directory = join(above, "var/lxc");
  const complaints: string[] = [];
  const logs = createKeptLogs(directory, (line) => complaints.push(line), { size, backups: 3 });
  return { above, directory, logs, complaints, text: (file) => readFileSync(join(directory, file), "utf8") };
}

test("a log is root's alone, in a directory that is root's alone, and what was there stays before what comes", (t) => {
  const { directory, logs, complaints, text } = place(t);
  logs.append("web", ["one", "two"]);
  logs.append("web", ["three"]);
  logs.append("db", ["else"]);
  assert.equal(text("web.log"), "one\ntwo\nthree\n");
  assert.equal(text("db.log"), "else\n");
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  assert.equal(statSync(join(directory, "web.log")).mode & 0o777, 0o600);
  assert.deepEqual(complaints, []);
});

test("a log that would be larger than its limit makes room: three older ones are kept, whatever is written", (t) => {
  const { directory, logs, text } = place(t, 100);
  for (let index = 0; index < 50; index += 1) logs.append("web", [`line ${index} ${"x".repeat(20)}`]);
  assert.deepEqual(readdirSync(directory).sort(), ["web.log", "web.log.0", "web.log.1", "web.log.2"]);
  for (const file of readdirSync(directory)) assert.ok(statSync(join(directory, file)).size <= 100);
  assert.match(text("web.log"), /line 49 x+\n$/);
  const all = ["web.log.2", "web.log.1", "web.log.0", "web.log"].map(text).join("");
  const numbers = [...all.matchAll(/^line (\d+)/gm)].map(([, number]) => Number(number));
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => 50 - numbers.length + index),
  );
  logs.append("web", ["y".repeat(1000)]);
  assert.equal(text("web.log"), `${"y".repeat(99)}\n`);
});

test("a name is never a path", (t) => {
  const { above, logs, complaints } = place(t);
  for (const name of ["../out", "..", "a/\u001b[2J", "", "a\nb"]) logs.append(name, ["x"]);
  assert.deepEqual(readdirSync(above), []);
  assert.equal(complaints.length, 5);
  // oxlint-disable-next-line no-control-regex -- they are looked for
  for (const line of complaints) assert.doesNotMatch(line, /[\u0000-\u001f]/);
});

test("links in the place of a log or of the directory are not followed, and nobody waits for a pipe's reader", async (t) => {
  const { above, directory, logs, complaints } = place(t);
  const victim = join(above, "victim");
  writeFileSync(victim, "as it was");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  symlinkSync(victim, join(directory, "soft.log"));
  linkSync(victim, join(directory, "hard.log"));
  symlinkSync(join(above, "none"), join(directory, "new.log"));
  mkdirSync(join(directory, "directory.log"));
  assert.equal((await command(["mkfifo", join(directory, "pipe.log")])).status, 0);
  for (const name of ["soft", "hard", "new", "directory", "pipe"]) logs.append(name, ["x"]);
  assert.equal(complaints.length, 5);
  assert.equal(
    complaints[0],
    `the log of "soft" in ${directory} cannot be written: ELOOP: too many symbolic links encountered`,
  );
  assert.equal(readFileSync(victim, "utf8"), "as it was");
  renameSync(directory, join(above, "elsewhere"));
  symlinkSync(join(above, "elsewhere"), directory);
  logs.append("web", ["x"]);
  assert.equal(complaints.length, 6);
  assert.deepEqual(readdirSync(above).sort(), ["elsewhere", "var", "victim"]);
  assert.ok(!readdirSync(join(above, "elsewhere")).includes("web.log"));
});

test("a directory that others may write to is none for logs", (t) => {
  const { directory, logs, complaints } = place(t);
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o1777);
  logs.append("web", ["x"]);
  assert.deepEqual(readdirSync(directory), []);
  assert.deepEqual(complaints, [
    `the log of "web" in ${directory} cannot be written: others may write to that directory`,
  ]);
});

test("what cannot be written is complained of once until it can be again", (t) => {
  const { above, logs, complaints, text } = place(t);
  writeFileSync(join(above, "var"), "");
  logs.append("web", ["lost"]);
  logs.append("web", ["lost"]);
  assert.equal(complaints.length, 1);
  rmSync(join(above, "var"));
  logs.append("web", ["kept"]);
  assert.equal(text("web.log"), "kept\n");
  rmSync(join(above, "var"), { recursive: true });
  writeFileSync(join(above, "var"), "");
  logs.append("web", ["lost"]);
  assert.equal(complaints.length, 2);
});

test("on a full disk lines are written whole or not at all", async (t) => {
  if (lacks(t, "root")) return;
  const { above } = place(t);
  const module = join(root, "dist/src/host/kept-logs.js");
  const program = `
const { createKeptLogs } = await import(${JSON.stringify(module)});
const { readFileSync, writeFileSync } = await import("node:fs");
const logs = createKeptLogs(${JSON.stringify(above)}, (line) => console.log(line));
logs.append("web", ["first"]);
try { writeFileSync(${JSON.stringify(join(above, "filler"))}, Buffer.alloc(60 * 1024)); } catch {}
logs.append("web", ["x".repeat(9000)]);
logs.append("web", ["last"]);
console.log(readFileSync(${JSON.stringify(join(above, "web.log"))}, "utf8"));`;
  const inside = `mount -t tmpfs -o size=64k,mode=700 islt-logs "$0" && exec "$@"`;
  const within = ["unshare", "-m", "--propagation", "private", "sh", "-c", inside, above];
  const { stdout, stderr } = await command([...within, process.execPath, "--input-type=module", "-e", program]);
  assert.equal(stderr, "");
  assert.equal(
    stdout,
    `the log of "web" in ${above} cannot be written: ENOSPC: no space left on device\nfirst\nlast\n\n`,
  );
});
