import assert from "node:assert/strict";
import { fstatSync, mkdtempSync, openSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import type { AttachOptions, Engine, StartOptions } from "../../../../src/engine/engine.js";
import type { ContainerSpec } from "../../../../src/spec/spec.js";
import { keepAttach, type Outcome, runningContainer, tool } from "./canned.js";

async function attached(...args: readonly string[]): Promise<AttachOptions> {
  const kept: AttachOptions[] = [];
  const outcome = await tool(["lxc-attach", ...args], { engine: keepAttach(kept), run: () => Promise.resolve(0) });
  return kept[0] ?? assert.fail(outcome.stderr);
}

describe("lxc-attach", () => {
  it("runs a login shell where there is no command, with the caller's environment", async () => {
    const options = await attached("web");
    assert.equal(options.command, null);
    assert.equal(options.environment, "keep");
    assert.deepEqual(options.elevated, { cgroup: false, capabilities: false, lsm: false });
    assert.deepEqual([options.uid, options.gid, options.namespaces, options.architecture], [null, null, null, null]);
  });
  it("takes the command's words as they are", async () => {
    assert.deepEqual((await attached("web", "ls", "-l", "-q")).command, ["ls", "-l", "-q"]);
    assert.deepEqual((await attached("-n", "web", "--", "ls", "-l")).command, ["ls", "-l"]);
  });
  it("takes what sets the environment; -v without a value is ignored", async () => {
    const options = await attached("web", "--clear-env", "--keep-var", "TERM", "-v", "A=1", "-vB=", "-v", "NONE");
    assert.equal(options.environment, "clear");
    assert.deepEqual(options.keepNames, ["TERM"]);
    assert.deepEqual(options.set, ["A=1", "B="]);
  });
  it("elevates everything with -e, what is named with -eNAME, and everything with -s", async () => {
    const all = { cgroup: true, capabilities: true, lsm: true };
    assert.deepEqual((await attached("web", "-e")).elevated, all);
    assert.deepEqual((await attached("web", "-eCGROUP|LSM")).elevated, { ...all, capabilities: false });
    const some = await attached("web", "-s", "NETWORK|UTSNAME");
    assert.deepEqual([some.elevated, some.namespaces], [all, ["net", "uts"]]);
    assert.deepEqual((await attached("web", "-s", "mnt|pid")).namespaces, ["mount", "pid"]);
  });
  it("takes numeric ids", async () => {
    const options = await attached("web", "-u", "1000", "-g1001");
    assert.deepEqual([options.uid, options.gid], [1000, 1001]);
  });
  it("says what it cannot parse, then what LXC says", async () => {
    for (const args of [["-u", "x"], ["-s", "FOO"], ["-s", ""], ["-eFOO"], ["-a", "foo"]]) {
      const { status, stderr, calls } = await tool(["lxc-attach", "web", ...args, "--", "true"]);
      assert.equal(status, 1);
      assert.match(stderr, /^lxc-attach: .*\nlxc-attach: could not parse command line\n$/i, args.join(" "));
      assert.deepEqual(calls, []);
    }
  });
  it("names the container that does not run", async () => {
    const engine = { attach: () => Promise.reject(new IsletError("ISLET_NOT_RUNNING", "")) };
    const { status, stderr } = await tool(["lxc-attach", "web", "true"], { engine });
    assert.equal(status, 1);
    assert.match(stderr, /web is not running\n.*Failed to get init pid\n.*Failed to get attach context\n$/);
  });
  it("opens the file of -L for the time of the command, below the caller's directory", async (t) => {
    const cwd = mkdtempSync(join(tmpdir(), "islt-attach-"));
    t.after(() => rmSync(cwd, { recursive: true }));
    const kept: AttachOptions[] = [];
    const run = (): Promise<number> => {
      assert.ok(fstatSync(kept[0]?.terminalLog ?? -1).isFile());
      return Promise.resolve(3);
    };
    const { status } = await tool(["lxc-attach", "web", "-L", "log", "cmd"], { engine: keepAttach(kept), run, cwd });
    assert.equal(status, 3);
    assert.equal(statSync(join(cwd, "log")).mode & 0o777, 0o600);
    assert.throws(() => fstatSync(kept[0]?.terminalLog ?? -1), { code: "EBADF" });
  });
  it("says in LXC's words that the file of -L cannot be opened, and runs nothing", async () => {
    const { status, stderr, calls } = await tool(["lxc-attach", "web", "-L", "/nonexistent/log", "cmd"]);
    assert.deepEqual(
      [status, stderr, calls],
      [1, 'lxc-attach: web: No such file or directory - Failed to open log file "/nonexistent/log"\n', []],
    );
  });
  it("has the command's status, 127 for one that is missing, 126 for one that cannot be executed", async () => {
    const failing = (errno: string) => () =>
      Promise.reject(new IsletError("ISLET_OPERATION_FAILED", "cannot execute it", { errno, syscall: "execve" }));
    const engine = keepAttach([]);
    const run = async (answer: () => Promise<number>): Promise<number> =>
      (await tool(["lxc-attach", "web", "cmd"], { engine, run: answer })).status;
    assert.equal(await run(() => Promise.resolve(137)), 137);
    assert.equal(await run(failing("ENOENT")), 127);
    assert.equal(await run(failing("EACCES")), 126);
    const { stderr } = await tool(["lxc-attach", "web", "cmd"], { engine, run: failing("ENOENT") });
    assert.match(stderr, /No such file or directory - Failed to exec "cmd"\n$/);
  });
});

describe("lxc-execute", () => {
  const configs = { app: "lxc.uts.name = app\nlxc.rootfs.path = dir:/canned/app/rootfs\n" };
  interface Executed {
    readonly spec: ContainerSpec;
    readonly options: StartOptions;
    readonly outcome: Outcome;
  }
  async function executed(args: readonly string[], columns: number | null = null): Promise<Executed> {
    const kept: { readonly spec: ContainerSpec; readonly options: StartOptions }[] = [];
    const engine: Partial<Engine> = {
      execute: (spec, options) => {
        kept.push({ spec, options });
        return Promise.resolve({ ended: Promise.resolve(7) });
      },
      wait: () => Promise.resolve(runningContainer("app", "STOPPED")),
      console: () => Promise.resolve(openSync("/dev/null", "r")),
    };
    const outcome = await tool(["lxc-execute", "app", ...args], { configs, engine, columns });
    return { ...(kept[0] ?? assert.fail(outcome.stderr)), outcome };
  }
  it("runs the command under the tiny init, without a console, with the ids asked for", async () => {
    const { spec, outcome } = await executed(["-u", "5", "-g6", "--", "id", "-u"]);
    assert.equal(outcome.status, 7);
    assert.deepEqual([spec.init.mode, spec.init.command.value], ["supervised", ["id", "-u"]]);
    assert.deepEqual([spec.init.uid, spec.init.gid, spec.console.kind], [5, 6, "none"]);
  });
  it("gives the command the caller's pipes, and a pty for a terminal", async () => {
    const pipes = await executed(["true"]);
    assert.deepEqual(pipes.options.stdio, [50, 51, 52]);
    assert.ok(!pipes.outcome.calls.includes("console"));
    const terminal = await executed(["true"], 80);
    assert.deepEqual(terminal.options.stdio, [null, null, 52]);
    assert.equal(terminal.spec.console.kind, "pty");
    assert.ok(terminal.outcome.calls.includes("console"));
  });
  it("takes lxc.execute.cmd where there is no command", async () => {
    const { spec } = await executed(["-s", "lxc.execute.cmd=echo 'a b'"]);
    assert.deepEqual(spec.init.command.value, ["echo", "a b"]);
  });
  it("wants a command", async () => {
    const { status, stderr } = await tool(["lxc-execute", "app"], { configs });
    assert.equal(status, 1);
    assert.match(stderr, /^lxc-execute: Missing command to execute!\n/);
  });
  it("wants a configuration", async () => {
    const { status, stderr } = await tool(["lxc-execute", "nosuch", "true"]);
    assert.equal(status, 1);
    assert.match(stderr, /Executing a container with no configuration file may crash the host/);
  });
  it("says that the container runs already, with status 1", async () => {
    const running = [runningContainer("app")];
    const engine = { execute: () => Promise.reject(new IsletError("ISLET_RUNNING", "")) };
    const { status, stderr } = await tool(["lxc-execute", "app", "true"], { configs, running, engine });
    assert.equal(status, 1);
    assert.match(stderr, /Container "app" appears to be already running/);
  });
});
