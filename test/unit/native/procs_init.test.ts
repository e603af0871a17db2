import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { root } from "../../support/paths.js";
import { lacks } from "../../support/skip.js";
import { waitFor } from "../../support/wait.js";

/** ISLET_BINARY: one built with sanitizers, say. */
const islet: string = process.env["ISLET_BINARY"] ?? join(root, "build/islet");

const dir = mkdtempSync(join(tmpdir(), "islt-init-"));
after(() => {
  rmSync(dir, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly took: number;
}

/** `islet init ARGS` as the first process of namespaces of its own; `during` gets its pid out here. */
async function init(args: readonly string[], during?: (pid: number) => Promise<void> | void): Promise<Ended> {
  const begin = Date.now();
  // unshare execs nothing but init in the child; --kill-child takes the namespace down should the test fail.
  const child = spawn("unshare", ["-pfm", "--kill-child", "--mount-proc", islet, "init", ...args], {
    env: {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      ISLET_RUNTIME_DIR: dir,
      ASAN_OPTIONS: process.env["ASAN_OPTIONS"] ?? "",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (data: Buffer) => (stdout += data.toString()));
  child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
  const timer = setTimeout(() => child.kill("SIGKILL"), 15_000);
  const closed = new Promise<number | null>((resolve) => child.on("close", resolve));
  if (during !== undefined) {
    await waitFor("the command", () => stdout.includes("ready"));
    await during(Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim()));
  }
  const code = await closed;
  clearTimeout(timer);
  return { code, stdout, stderr, took: Date.now() - begin };
}

test("init ends with its command's exit code", async (t) => {
  if (lacks(t, "root")) return;
  assert.equal((await init(["--", "true"])).code, 0);
  assert.equal((await init(["-n", "web1", "--", "sh", "-c", "exit 7"])).code, 7);
  assert.equal((await init(["--name=web1", "-q", "sh", "-c", "exit 8"])).code, 8);
});

test("a command that a signal ends gives 128 and the signal", async (t) => {
  if (lacks(t, "root")) return;
  assert.equal((await init(["--", "sh", "-c", "kill -KILL $$"])).code, 137);
});

test("a command that cannot be executed gives 255 and says why", async (t) => {
  if (lacks(t, "root")) return;
  const ended = await init(["--", "/no/such/command", "x"]);
  assert.equal(ended.code, 255);
  assert.equal(ended.stderr, "islet init: cannot execute /no/such/command: No such file or directory\n");
});

test("a call without a command is a usage error", async (t) => {
  if (lacks(t, "root")) return;
  for (const args of [[], ["--"], ["-n", "x"], ["--bogus", "true"]]) {
    const ended = await init(args);
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /^usage: islet init /);
  }
});

test("the command has a session of its own, default signals and an empty mask; init is pid 1 and is called init", async (t) => {
  if (lacks(t, "root")) return;
  const ended = await init([
    "--",
    "sh",
    "-c",
    // Not of the shell: dash blocks everything for a moment before it waits.
    "sleep 0.1; echo $$; cat /proc/$$/stat; grep -E '^Sig(Blk|Ign)' /proc/self/status; cat /proc/1/comm; ls /proc/1/fd",
  ]);
  const [pid = "", stat = "", ...rest] = ended.stdout.trim().split("\n");
  assert.equal(pid, "2");
  assert.deepEqual(stat.replace(/.*\) /, "").split(" ").slice(1, 4), ["1", "2", "2"]);
  assert.deepEqual(rest, ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "init", "0", "1", "2", "3"]);
});

test("signals are passed on to the command; SIGHUP is not", async (t) => {
  if (lacks(t, "root")) return;
  const script =
    "trap 'echo usr1' USR1; trap 'echo hup' HUP; trap 'echo int; exit 5' INT; echo ready; while :; do sleep 0.05; done";
  const ended = await init(["--", "sh", "-c", script], async (pid) => {
    process.kill(pid, "SIGHUP");
    process.kill(pid, "SIGUSR1");
    await new Promise((resolve) => setTimeout(resolve, 200));
    process.kill(pid, "SIGINT");
  });
  assert.equal(ended.code, 5);
  assert.equal(ended.stdout, "ready\nusr1\nint\n");
});

test("SIGTERM ends everybody, and whoever does not listen is killed", async (t) => {
  if (lacks(t, "root")) return;
  const script = "(trap '' TERM; sleep 30) & trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
  const ended = await init(["--", "sh", "-c", script], (pid) => {
    process.kill(pid, "SIGTERM");
  });
  assert.equal(ended.code, 3);
  assert.equal(ended.stdout, "ready\nterm\n");
  assert.ok(ended.took < 6000);
});

test("when the command ends, what it left running is ended too, and does not change the exit code", async (t) => {
  if (lacks(t, "root")) return;
  const mark = join(dir, "left");
  const ended = await init([
    "--",
    "sh",
    "-c",
    `(trap 'echo bye > ${mark}; exit 9' TERM; echo up > ${mark}; while :; do sleep 0.05; done) >/dev/null 2>&1 & while ! [ -s ${mark} ]; do sleep 0.02; done; exit 4`,
  ]);
  assert.equal(ended.code, 4);
  assert.equal(readFileSync(mark, "utf8"), "bye\n");
});

test("orphans are reaped while the command runs", async (t) => {
  if (lacks(t, "root")) return;
  const ended = await init([
    "--",
    "sh",
    "-c",
    "for i in 1 2 3; do (sleep 0.1 &) ; done; sleep 0.5; grep -l 'State:.Z' /proc/[0-9]*/status | wc -l",
  ]);
  assert.equal(ended.code, 0);
  assert.equal(ended.stdout, "0\n");
});
