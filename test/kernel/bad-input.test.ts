import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { instance, processesOf, watchTraces, type Instance } from "../support/instance.js";
import { busybox, busyboxConfig } from "../support/store.js";
import { waitFor } from "../support/wait.js";

const failedStart = [
  'Received container state "ABORTING" instead of "RUNNING"',
  "The container failed to start",
  "To get more details, run the container in foreground mode",
  "Additional information can be obtained by setting the --logfile and --logpriority options",
];

/** The lines of an output. */
const linesOf = (text: string): readonly string[] => (text === "" ? [] : text.trimEnd().split("\n"));

/** lxc-start of islt-b fails with one line that matches, then LXC's own words; nothing is left. */
async function refusesToStart(own: Instance, cause: RegExp, argv: readonly string[] = []): Promise<void> {
  // The first start of a daemon makes what it keeps.
  await own.command(["lxc-start", ...own.store.at("islt-b"), ...argv]);
  const before = await watchTraces(own, ["islt-b"]);
  const result = await own.command(["lxc-start", ...own.store.at("islt-b"), ...argv]);
  assert.equal(result.status, 1, result.stderr);
  assert.equal(result.stdout, "");
  const [first = "", ...rest] = linesOf(result.stderr);
  assert.match(first, cause);
  assert.deepEqual(
    rest,
    failedStart.map((line) => `lxc-start: islt-b: ${line}`),
  );
  await before.assertGone("after the refused start");
  assert.equal(await own.ok(["lxc-info", ...own.store.at("islt-b"), "-sH"]), "STOPPED\n");
}

/** A container whose config has these lines at its end; the first of them is in line 10. */
async function withLines(t: TestContext, extra: string): Promise<Instance> {
  const own = await instance(t);
  busybox(own.store, "islt-b", extra);
  return own;
}

for (const [what, line, fault] of [
  ["an unknown key", "lxc.nosuch = 1", /unknown|Unsupported/i],
  ["a bad number", "lxc.tty.max = many", /many/],
  ["a bad capability", "lxc.cap.drop = everything", /everything/],
  ["a bad automount", "lxc.mount.auto = floppy", /floppy/],
  ["a bad id map", "lxc.idmap = x 0 1 2", /idmap/],
  ["a bad address", "lxc.net.0.ipv4.address = 10.0.0.999/24", /10\.0\.0\.999/],
  ["a bad signal", "lxc.signal.halt = SIGNOTHING", /SIGNOTHING/],
  ["drop and keep together", "lxc.cap.drop = chown\nlxc.cap.keep = chown", /./],
  ["a missing include", "lxc.include = /nowhere/islt.conf", /\/nowhere\/islt\.conf/],
  ["a line without a value", "lxc.tty.max", /./],
] as const) {
  test(`${what} is refused with file and line`, async (t) => {
    const own = await withLines(t, line);
    const at = own.store.at("islt-b");
    const file = join(own.store.path, "islt-b/config");
    const before = await watchTraces(own, ["islt-b"]);
    const number =
      readFileSync(file, "utf8")
        .split("\n")
        .indexOf(line.split("\n").at(-1) ?? "") + 1;
    const start = await own.command(["lxc-start", ...at]);
    assert.equal(start.status, 1);
    assert.match(start.stderr, fault);
    assert.ok(
      start.stderr.includes(`${file}:${number}`) || start.stderr.includes(`"${file}" at line "${number}"`),
      `${file}:${number} is not in\n${start.stderr}`,
    );
    assert.match(start.stderr, /^Failed to load config for islt-b$/m);
    assert.match(start.stderr, /Failed to create lxc_container$/m);
    const info = await own.command(["lxc-info", ...at]);
    assert.equal(info.status, 1);
    assert.match(info.stderr, /Failure to retrieve information on .*:islt-b$/m);
    const list = await own.command(["lxc-ls", "-P", own.store.path, "-1"]);
    assert.deepEqual([list.status, list.stdout], [0, ""]);
    assert.match(list.stderr, /Failed to load config for islt-b/);
    await before.assertGone("after the refusals");
  });
}

test("a root file system that is missing is named", async (t) => {
  const own = await instance(t);
  const rootfs = join(own.store.path, "islt-b/rootfs");
  mkdirSync(join(own.store.path, "islt-b"));
  writeFileSync(join(own.store.path, "islt-b/config"), busyboxConfig(rootfs, "islt-b"));
  await refusesToStart(own, new RegExp(`${rootfs}.*ENOENT.*config:1 lxc\\.rootfs\\.path`));
});

test("a root file system that is a file is named", async (t) => {
  const own = await instance(t);
  const rootfs = join(own.store.path, "islt-b/rootfs");
  mkdirSync(join(own.store.path, "islt-b"));
  writeFileSync(rootfs, "");
  writeFileSync(join(own.store.path, "islt-b/config"), busyboxConfig(rootfs, "islt-b"));
  await refusesToStart(own, new RegExp(`${rootfs}.*config:1 lxc\\.rootfs\\.path`));
});

test("an init that is missing or cannot be executed is named, with what to do", async (t) => {
  const own = await withLines(t, "lxc.init.cmd = /sbin/nothing");
  await refusesToStart(
    own,
    /cannot execute \/sbin\/nothing: ENOENT.*config:10 lxc\.init\.cmd.*does not exist in the container/,
  );
  writeFileSync(join(own.store.path, "islt-b/rootfs/sbin/nothing"), "#!/bin/sh\n", { mode: 0o644 });
  await refusesToStart(own, /cannot execute \/sbin\/nothing: EACCES.*not executable/);
  writeFileSync(join(own.store.path, "islt-b/rootfs/sbin/nothing"), "nonsense\n");
  chmodSync(join(own.store.path, "islt-b/rootfs/sbin/nothing"), 0o755);
  await refusesToStart(own, /cannot execute \/sbin\/nothing: ENOEXEC/);
  rmSync(join(own.store.path, "islt-b/rootfs/sbin/nothing"));
  mkdirSync(join(own.store.path, "islt-b/rootfs/sbin/nothing"));
  await refusesToStart(own, /cannot execute \/sbin\/nothing: EACCES/);
  await refusesToStart(own, /cannot execute \/bin\/nosuch: ENOENT/, ["--", "/bin/nosuch"]);
});

test("a mount whose source is missing is named", async (t) => {
  const own = await withLines(t, "lxc.mount.entry = /nowhere/islt mnt none bind 0 0");
  await refusesToStart(own, /\/nowhere\/islt.*ENOENT.*config:10 lxc\.mount\.entry/);
});

test("more mounts than a launch program can hold are refused in words", async (t) => {
  const own = await withLines(t, "lxc.mount.entry = /lib mnt none bind 0 0\n".repeat(2000));
  await refusesToStart(own, /the launch program .*is too l.*fewer/);
});

test("a hook that fails is named with its status and its last words", async (t) => {
  const own = await instance(t);
  const script = join(own.runtimeDir, "../hook");
  writeFileSync(script, "#!/bin/sh\necho first >&2\necho the disk is full\nexit 7\n", { mode: 0o755 });
  busybox(own.store, "islt-b", `lxc.hook.pre-start = ${script}`);
  await refusesToStart(
    own,
    /pre-start hook .*exit status 7.*the disk is full.*config:10 lxc\.hook\.pre-start|pre-start hook .*config:10/,
  );
});

test("names that are none are refused before anything is touched", async (t) => {
  const own = await instance(t);
  const before = readdirSync(own.store.path);
  for (const name of ["a/b", "..", "x".repeat(300), "a\nb"]) {
    for (const tool of ["lxc-start", "lxc-info", "lxc-stop", "lxc-destroy", "lxc-attach"]) {
      const result = await own.command([tool, "-P", own.store.path, "-n", name]);
      assert.notEqual(result.status, 0, `${tool} ${name}`);
      assert.equal(linesOf(result.stderr).length, 1, `${tool} ${JSON.stringify(name)}: ${result.stderr}`);
    }
    const created = await own.command(["lxc-create", "-P", own.store.path, "-n", name, "-t", "none"]);
    assert.equal(created.status, 1);
    assert.equal(linesOf(created.stderr).length, 1, created.stderr);
  }
  assert.deepEqual(readdirSync(own.store.path), before);
  assert.equal(existsSync(join(own.store.path, "../b")), false);
});

test("what runs is refused where it must stand still, with LXC's words and status", async (t) => {
  const own = await withLines(t, "");
  const at = own.store.at("islt-b");
  await own.ok(["lxc-start", ...at]);
  await waitFor("monitor, init and its shell", () => processesOf(own.store.path, ["islt-b"]).length === 3);
  const before = await watchTraces(own, ["islt-b"]);
  const says = async (argv: readonly string[], status: number, ...lines: readonly string[]): Promise<void> => {
    const result = await own.command(argv);
    assert.deepEqual([result.status, linesOf(result.stderr)], [status, lines], argv.join(" "));
  };
  await says(["lxc-start", ...at], 0, "lxc-start: islt-b: Container is already running");
  await says(["lxc-destroy", ...at], 1, "lxc-destroy: islt-b: islt-b is running");
  await says(
    ["lxc-execute", ...at, "--", "/bin/true"],
    1,
    'lxc-execute: islt-b: Container "islt-b" appears to be already running',
    "lxc-execute: islt-b: Failed run an application inside container",
  );
  await says(["lxc-create", ...at, "-t", "none"], 1, "lxc-create: islt-b: Container already exists");
  await before.assertGone("after the refusals");
  await own.ok(["lxc-stop", ...at, "-k"]);
});

test("what does not run, or is not there, is refused with LXC's words and status", async (t) => {
  const own = await withLines(t, "");
  const before = await watchTraces(own, ["islt-b"]);
  const says = async (argv: readonly string[], status: number, ...lines: readonly string[]): Promise<void> => {
    const result = await own.command(argv);
    assert.deepEqual([result.status, linesOf(result.stderr)], [status, lines], argv.join(" "));
  };
  for (const name of ["islt-b", "islt-none"]) {
    const at = own.store.at(name);
    await says(["lxc-stop", ...at], 2, `lxc-stop: ${name}: ${name} is not running`);
    await says(["lxc-stop", ...at, "-k"], 2, `lxc-stop: ${name}: ${name} is not running`);
    await says(
      ["lxc-attach", ...at, "--", "true"],
      1,
      `lxc-attach: ${name}: ${name} is not running`,
      `lxc-attach: ${name}: Connection refused - Failed to get init pid`,
      `lxc-attach: ${name}: Connection refused - Failed to get attach context`,
    );
  }
  const none = own.store.at("islt-none");
  await says(["lxc-start", ...none], 1, "lxc-start: islt-none: No container config specified");
  await says(["lxc-info", ...none], 1, "islt-none doesn't exist");
  await says(["lxc-destroy", ...none], 1, "lxc-destroy: islt-none: Container is not defined");
  await says(
    ["lxc-execute", ...none, "--", "/bin/true"],
    1,
    "lxc-execute: islt-none: Executing a container with no configuration file may crash the host",
  );
  await before.assertGone("after the refusals");
});

test("a container whose creator died is removed when it is next looked at", async (t) => {
  const own = await withLines(t, "");
  const directory = join(own.store.path, "islt-b");
  writeFileSync(join(directory, "partial"), "");
  assert.equal(await own.ok(["lxc-ls", "-P", own.store.path, "-1"]), "");
  const result = await own.command(["lxc-start", ...own.store.at("islt-b")]);
  assert.deepEqual([result.status, result.stderr], [1, "lxc-start: islt-b: No container config specified\n"]);
  assert.equal(existsSync(directory), false);
});

test("somebody who is not root is told so in one line", async (t) => {
  const own = await withLines(t, "");
  for (const directory of [join(own.runtimeDir, ".."), join(own.runtimeDir, "../..")]) chmodSync(directory, 0o755);
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
  const program = (name: string): string => join(import.meta.dirname, "../../../bin", name);
  for (const tool of ["lxc-start", "lxc-stop", "lxc-info", "lxc-ls", "lxc-attach", "lxc-destroy", "lxc-create"]) {
    const at = tool === "lxc-ls" ? ["-P", own.store.path] : own.store.at("islt-b");
    const result = await own.command([...nobody, program(tool), ...at]);
    assert.equal(result.status, 1, `${tool}: ${result.stderr}`);
    assert.equal(linesOf(result.stderr).length, 1, result.stderr);
    assert.match(result.stderr, /root|privilege|permi/i);
  }
  const before = own.pid();
  assert.ok(existsSync(`/proc/${before}`));
});

test("a daemon that nobody but root may start says so too", async (t) => {
  const own = await withLines(t, "");
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
  const program = join(import.meta.dirname, "../../../bin/lxc-ls");
  for (const directory of [join(own.runtimeDir, ".."), join(own.runtimeDir, "../..")]) chmodSync(directory, 0o755);
  const elsewhere = join(own.runtimeDir, "../none");
  const result = await own.command([...nobody, "env", `ISLET_RUNTIME_DIR=${elsewhere}`, program]);
  assert.equal(result.status, 1);
  assert.equal(linesOf(result.stderr).length, 1, result.stderr);
  assert.equal(existsSync(elsewhere), false);
});
