import assert from "node:assert/strict";
import { fstatSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import type { Engine, StartOptions, StopOptions } from "../../../../src/engine/engine.js";
import type { ContainerSpec } from "../../../../src/spec/spec.js";
import { runningContainer, store, tool } from "./canned.js";

const configs = { web: "lxc.uts.name = web\nlxc.rootfs.path = dir:/canned/web/rootfs\n" };

interface Started {
  readonly spec: ContainerSpec;
  readonly options: StartOptions;
}

function starting(kept: Started[]): Partial<Engine> {
  return {
    start: (spec, options) => {
      assert.ok(!("make" in spec));
      kept.push({ spec, options });
      return Promise.resolve(runningContainer(spec.name));
    },
  };
}

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "islt-cmds-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

describe("lxc-start", () => {
  it("reads the configuration once, starts silently, and keeps what it was started with", async () => {
    const kept: Started[] = [];
    const outcome = await tool(["lxc-start", "web"], { configs, engine: starting(kept) });
    assert.deepEqual(outcome, {
      status: 0,
      stdout: "",
      stderr: "",
      calls: ["readConfig", "definedElsewhere", "start"],
    });
    assert.equal(kept[0]?.spec.hostname?.value, "web");
    assert.match(kept[0].spec.annotations["lxc.config"] ?? "", /^lxc.uts.name = web$/m);
  });
  it("applies -s, -c, -L and --share-*, and runs COMMAND instead of init", async () => {
    const kept: Started[] = [];
    const args = ["-s", "lxc.uts.name=other", "-c", "/dev/tty9", "-L", "/log", "--share-net", "db", "-p", "pid"];
    await tool(["lxc-start", "web", ...args, "--", "/bin/x", "-F"], { configs, engine: starting(kept), cwd: "/run" });
    const { spec, options } = kept[0] ?? assert.fail("not started");
    assert.equal(spec.hostname?.value, "other");
    assert.deepEqual([spec.console.kind, spec.console.path, spec.console.logFile], ["device", "/dev/tty9", "/log"]);
    assert.deepEqual(spec.namespaces.net.kind === "share" && spec.namespaces.net.with, { container: "db" });
    assert.deepEqual(spec.init.command.value, ["/bin/x", "-F"]);
    assert.equal(options.pidFile, "/run/pid");
  });
  it("refuses a -s that is no setting or a bad one", async () => {
    for (const [define, last] of [
      ["foo", /\nlxc-start: could not parse command line\n$/],
      ["lxc.tty.max=a", /^lxc-start: web: "a" is not a whole number .*\n$/],
      ["lxc.bogus=1", /^lxc-start: web: Unsupported config key "lxc.bogus" .*\n$/],
    ] as const) {
      const { status, stderr, calls } = await tool(["lxc-start", "web", "-s", define], { configs });
      assert.equal(status, 1);
      assert.match(stderr, last, define);
      assert.ok(!calls.includes("start"));
    }
  });
  it("says that a container is running already, with status 0", async () => {
    const engine = { start: () => Promise.reject(new IsletError("ISLET_RUNNING", "runs")) };
    const { status, stderr } = await tool(["lxc-start", "web"], { configs, engine });
    assert.deepEqual([status, stderr], [0, "lxc-start: web: Container is already running\n"]);
  });
  it("says so too of one that was started with -f and has no file of its own", async () => {
    const { status, stderr } = await tool(["lxc-start", "adhoc"], { running: [runningContainer("adhoc")] });
    assert.deepEqual([status, stderr], [0, "lxc-start: adhoc: Container is already running\n"]);
  });
  it("says that there is no configuration", async () => {
    const { status, stderr } = await tool(["lxc-start", "nosuch"]);
    assert.deepEqual([status, stderr], [1, "lxc-start: nosuch: No container config specified\n"]);
  });
  it("puts the real cause before LXC's fixed lines", async () => {
    const at = { file: "web/config", line: 14, key: "lxc.mount.entry" };
    const error = new IsletError("ISLET_START_FAILED", "cannot mount /srv on mnt: EACCES", { at });
    const engine = { start: () => Promise.reject(error) };
    const lines = (text: string): readonly string[] => text.trimEnd().split("\n");
    const daemon = await tool(["lxc-start", "web"], { configs, engine });
    assert.equal(daemon.status, 1);
    assert.deepEqual(lines(daemon.stderr), [
      "lxc-start: web: cannot mount /srv on mnt: EACCES (web/config:14 lxc.mount.entry)",
      'lxc-start: web: Received container state "ABORTING" instead of "RUNNING"',
      "lxc-start: web: The container failed to start",
      "lxc-start: web: To get more details, run the container in foreground mode",
      "lxc-start: web: Additional information can be obtained by setting the --logfile and --logpriority options",
    ]);
    const foreground = await tool(["lxc-start", "web", "-F"], { configs, engine });
    assert.equal(lines(foreground.stderr).length, 3);
  });
  it("names file and line of a broken configuration, and says what LXC says then", async () => {
    const { status, stderr } = await tool(["lxc-start", "web"], { configs: { web: "# x\nlxc.foo = 1\n" } });
    assert.equal(status, 1);
    assert.match(stderr, /^lxc-start: web: Unsupported config key "lxc.foo" \(\/canned\/web\/config:2 lxc.foo\)/);
    assert.match(
      stderr,
      /Failed to parse config file "\/canned\/web\/config" at line "lxc.foo = 1"\nFailed to load config for web\nlxc-start: web: Failed to create lxc_container\n$/,
    );
  });
  it("starts an undefined container from -f, and says which file it cannot read", async (t) => {
    const file = join(directory(t), "conf");
    writeFileSync(file, configs.web);
    const kept: Started[] = [];
    assert.equal((await tool(["lxc-start", "adhoc", "-f", file], { engine: starting(kept) })).status, 0);
    assert.equal(kept[0]?.spec.configFile, file);
    const missing = await tool(["lxc-start", "adhoc", "-f", "/nonexistent/conf"]);
    assert.equal(missing.status, 1);
    assert.equal(
      missing.stderr,
      'lxc-start: adhoc: No such file or directory - Failed to open file "/nonexistent/conf"\nlxc-start: adhoc: Failed to load rcfile\n',
    );
  });
  it("joins the console with -F until the container has stopped, closes it, and returns 0", async () => {
    const descriptor = openSync("/dev/null", "r");
    const kept: Started[] = [];
    const engine: Partial<Engine> = { ...starting(kept), console: () => Promise.resolve(descriptor) };
    const { status, calls } = await tool(["lxc-start", "-F", "web"], { configs, engine });
    assert.equal(status, 0);
    assert.throws(() => fstatSync(descriptor), { code: "EBADF" });
    assert.deepEqual(calls, ["readConfig", "definedElsewhere", "start", "console", "status"]);
  });
});

describe("a client of lxc-start -F that goes away", () => {
  const failing = async (end: "client" | "relay"): Promise<readonly number[]> => {
    const signals: number[] = [];
    const engine: Partial<Engine> = {
      ...starting([]),
      console: () => Promise.resolve(openSync("/dev/null", "r")),
      signal: (_id, signal) => {
        signals.push(signal);
        return Promise.resolve();
      },
    };
    const lost = (): Promise<never> => Promise.reject(new IsletError("ISLET_PROTOCOL", "the connection ended"));
    const canned =
      end === "client" ? { gone: lost(), relay: () => new Promise<never>(() => undefined) } : { relay: lost };
    const { status } = await tool(["lxc-start", "-F", "web"], { configs, engine, ...canned });
    assert.equal(status, 1);
    return signals;
  };
  it("takes the container along, as LXC's monitor does", async () => {
    assert.deepEqual(await failing("client"), [9]);
  });
  it("is not confused with a console that fails", async () => {
    assert.deepEqual(await failing("relay"), []);
  });
});

describe("logging", () => {
  it("writes errors in LXC's format to -o, beside standard error", async (t) => {
    const file = join(directory(t), "log");
    const { stderr } = await tool(["lxc-start", "nosuch", "-o", file]);
    assert.match(
      readFileSync(file, "utf8"),
      /^lxc-start nosuch \d{14}\.\d{3} ERROR    lxc_start - [^ ]+:[^ ]+:\d+ - No container config specified\n$/,
    );
    assert.notEqual(stderr, "");
  });
  it("makes the file and its directory although there is nothing to write", async (t) => {
    const file = join(directory(t), "deep/er/log");
    const { status } = await tool(["lxc-info", "web", "-o", file], { configs });
    assert.deepEqual([status, readFileSync(file, "utf8")], [0, ""]);
  });
  it("does nothing without the log that was asked for", async () => {
    const none = await tool(["lxc-start", "web", "-o", "/proc/nowhere/log"], { configs, engine: starting([]) });
    assert.deepEqual([none.status, none.calls], [1, []]);
    assert.match(none.stderr, /No such file or directory - Failed to create dir for log file "\/proc\/nowhere\/log"\n/);
    const directoryItself = await tool(["lxc-start", "web", "-o", "."], { configs, cwd: "/" });
    assert.equal(
      directoryItself.stderr,
      'lxc-start: web: Is a directory - Failed to open log file "."\nlxc-start: web: Is a directory - Failed to enable logfile\n',
    );
    assert.deepEqual(await tool(["lxc-start", "web", "-q", "-o", "/"], { configs }), { ...none, stderr: "" });
  });
  it("writes nothing on standard error with -q", async () => {
    assert.deepEqual(await tool(["lxc-start", "nosuch", "-q"]), {
      status: 1,
      stdout: "",
      stderr: "",
      calls: ["readConfig", "status"],
    });
  });
  it("logs less grave messages only when asked", async (t) => {
    const file = join(directory(t), "log");
    await tool(["lxc-start", "web", "-o", file, "-l", "INFO"], { configs, engine: starting([]) });
    assert.match(readFileSync(file, "utf8"), / INFO {5}lxc_start - .* - started with init process 4711\n$/);
  });
});

describe("lxc-stop", () => {
  const running = [runningContainer("web")];
  async function stopping(...args: readonly string[]): Promise<StopOptions | string> {
    let given: StopOptions | null = null;
    const engine: Partial<Engine> = {
      stop: (_id, options) => {
        given = options;
        return Promise.resolve({ killed: false });
      },
    };
    const { stderr } = await tool(["lxc-stop", "web", ...args], { running, engine });
    return given ?? stderr;
  }
  it("asks for a clean stop within 60 seconds", async () => {
    assert.deepEqual(await stopping(), { kind: "clean", timeout: 60_000, noKill: false });
  });
  it("understands its options", async () => {
    assert.deepEqual(await stopping("-k"), { kind: "kill", timeout: 60_000, noKill: false });
    assert.deepEqual(await stopping("-kW"), { kind: "kill", timeout: 0, noKill: false });
    assert.deepEqual(await stopping("-r", "-t5"), { kind: "reboot", timeout: 5000, noKill: false });
    assert.deepEqual(await stopping("-W"), { kind: "clean", timeout: 0, noKill: false });
    assert.deepEqual(await stopping("-t", "-1", "--nokill"), { kind: "clean", timeout: null, noKill: true });
    assert.deepEqual(await stopping("-k", "--nolock"), { kind: "kill", timeout: 60_000, noKill: false });
  });
  it("refuses options that contradict each other, in LXC's words", async () => {
    assert.equal(await stopping("-k", "--nokill"), "lxc-stop: web: -k can't be used with --nokill\n");
    assert.equal(await stopping("-k", "-r"), "lxc-stop: web: -k can't be used with -r\n");
    assert.equal(await stopping("-k", "-t", "1"), "lxc-stop: web: -k doesn't allow timeouts\n");
    assert.equal(await stopping("--nolock"), "lxc-stop: web: --nolock may only be used with -k\n");
    const { stderr } = await tool(["lxc-stop", "web", "-t", "abc"], { running });
    assert.match(stderr, /^lxc-stop: "abc" .*\nlxc-stop: could not parse command line\n$/);
  });
  it("has status 2 for a container that does not run", async () => {
    const { status, stderr } = await tool(["lxc-stop", "nosuch"]);
    assert.deepEqual([status, stderr], [2, "lxc-stop: nosuch: nosuch is not running\n"]);
    const engine = { stop: () => Promise.reject(new IsletError("ISLET_NOT_RUNNING", "gone")) };
    assert.equal((await tool(["lxc-stop", "web"], { running, engine })).status, 2);
  });
  it("tells that a container had to be killed, with status 0", async () => {
    const engine = { stop: () => Promise.resolve({ killed: true }) };
    const { status, stderr } = await tool(["lxc-stop", "web", "-t", "3"], { running, engine });
    assert.equal(status, 0);
    assert.match(stderr, /did not shut down within 3 seconds and was killed/);
  });
  it("has status 1 when the time ran out and nothing may be killed", async () => {
    const engine = { stop: () => Promise.reject(new IsletError("ISLET_TIMEOUT", "still running after 1 s")) };
    const { status, stderr } = await tool(["lxc-stop", "web", "-t1", "--nokill"], { running, engine });
    assert.deepEqual([status, stderr], [1, "lxc-stop: web: still running after 1 s\n"]);
  });
});

describe("the common options", () => {
  it("ask for a name, and take -P once", async () => {
    assert.deepEqual((await tool(["lxc-stop"])).stderr, "lxc-stop: No container name specified\n");
    const twice = await tool(["lxc-stop", "web", "-P", "/a", "-P", "/b"]);
    assert.deepEqual([twice.status, twice.stderr], [1, "This command only accepts 1 -P,--lxcpath arguments\n"]);
  });
  it("take -P relative to the caller's directory, without slashes at its end", async () => {
    const asked: string[] = [];
    const engine: Partial<Engine> = {
      status: (id) => {
        asked.push(id.storePath);
        return Promise.resolve({ ...runningContainer("web", "STOPPED"), ...id });
      },
    };
    await tool(["lxc-stop", "web", "-P", "sub//"], { engine, cwd: "/srv" });
    await tool(["lxc-stop", "web"], { engine });
    assert.deepEqual(asked, ["/srv/sub", store]);
  });
});
