import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import * as fc from "fast-check";

import { hookArgv, hookEnvironment, hooksOf, shellQuote } from "../../../src/plan/hooks.js";
import { initEnvironment } from "../../../src/plan/process.js";
import { hostFacts, startFacts } from "../../support/facts.js";
import { callsOf, contextOf, planOf } from "../../support/plan.js";

test("a hook of version 0 gets name, section and type as arguments, one of version 1 none", () => {
  const argv = (version: number): readonly string[] =>
    hookArgv(
      contextOf(`lxc.hook.version = ${version}\nlxc.hook.start-host = /hooks/up -v`),
      "/hooks/up -v",
      "lxc",
      "start-host",
      ["more"],
    );
  assert.deepEqual(argv(0), ["/bin/sh", "-c", "exec /hooks/up -v 'web1' 'lxc' 'start-host' 'more'"]);
  assert.deepEqual(argv(1), ["/bin/sh", "-c", "exec /hooks/up -v 'more'"]);
});

test("a word that was quoted is the same word to a shell", () => {
  const words = fc.array(
    fc.string({ unit: "binary-ascii", maxLength: 12 }).map((word) => word.replaceAll("\0", "")),
    { minLength: 1, maxLength: 8 },
  );
  fc.assert(
    fc.property(words, (given) => {
      const said = execFileSync("/bin/sh", ["-c", `printf '%s\\000' ${given.map(shellQuote).join(" ")}`]).toString();
      assert.deepEqual(said.split("\0").slice(0, -1), given);
    }),
    { numRuns: 30 },
  );
});

test("hooks know the container by the variables that LXC documents", () => {
  const config =
    "lxc.hook.pre-start = /a\nlxc.console.logfile = /var/log/c\nlxc.log.level = INFO\nlxc.environment = A=b\nlxc.environment.hooks = H=1\nlxc.environment.runtime = R=1";
  const made = hookEnvironment(contextOf(config), "pre-start", null);
  assert.deepEqual(made, {
    ...startFacts().environment,
    A: "b",
    H: "1",
    LXC_NAME: "web1",
    LXC_CONFIG_FILE: "web1/config",
    LXC_ROOTFS_MOUNT: "/run/islet/rootfs",
    LXC_ROOTFS_PATH: "/var/lib/lxc/web1/rootfs",
    LXC_CONSOLE_LOGPATH: "/var/log/c",
    LXC_CGNS_AWARE: "1",
    LXC_LOG_LEVEL: "INFO",
    LXC_HOOK_VERSION: "0",
  });
  const versionOne = hookEnvironment(contextOf("lxc.hook.version = 1"), "stop", "reboot");
  assert.deepEqual(
    [
      versionOne["LXC_HOOK_TYPE"],
      versionOne["LXC_HOOK_SECTION"],
      versionOne["LXC_TARGET"],
      versionOne["LXC_HOOK_VERSION"],
    ],
    ["stop", "lxc", "reboot", "1"],
  );
  const old = contextOf("", hostFacts("v2", { namespaces: ["mount", "pid"] }));
  assert.equal(hookEnvironment(old, "stop", null)["LXC_CGNS_AWARE"], undefined);
});

test("hooks of a kind run in the order in which they were written", () => {
  const context = contextOf("lxc.hook.mount = /one\nlxc.hook.start = /other\nlxc.hook.mount = /two");
  assert.deepEqual(
    hooksOf(context, "mount").map((hook) => hook.command),
    ["/one", "/two"],
  );
  const ran = callsOf(planOf("lxc.hook.mount = /one\nlxc.hook.start = /other\nlxc.hook.mount = /two"), "execve").map(
    (call) => /exec (\S+)/.exec(call)?.[1],
  );
  assert.deepEqual(
    ran.filter((each) => each !== undefined),
    ["/one", "/two", "/other"],
  );
});

test("the main program gets what the configuration says and nothing of the caller's environment", () => {
  const environment = initEnvironment(
    contextOf(
      "lxc.environment = A=1\nlxc.environment = A=2\nlxc.environment = TERM\nlxc.environment.hooks = H=1\nlxc.environment.runtime = R=1",
    ),
  );
  assert.deepEqual([...environment].sort(), ["A=2", "R=1", "TERM=linux", "container=lxc"]);
  assert.throws(
    () => initEnvironment(contextOf("lxc.environment = NOT_THERE")),
    /NOT_THERE is to be inherited but is not set/,
  );
});

test("a program without a slash is looked for in the PATH of the new environment, as execvp does", () => {
  const tried = (config: string): readonly (string | undefined)[] =>
    callsOf(planOf(config), "execve")
      .filter((call) => call.includes("myinit"))
      .map((call) => /^execve\("([^"]*)"/.exec(call)?.[1]);
  assert.deepEqual(tried("lxc.init.cmd = /sbin/myinit"), ["/sbin/myinit"]);
  assert.deepEqual(tried("lxc.init.cmd = myinit\nlxc.environment = PATH=/x:/y:"), [
    "/x/myinit",
    "/y/myinit",
    "./myinit",
  ]);
  assert.equal(tried("lxc.init.cmd = myinit").length, 6);
});

test("limits of the configuration are set, and the usual one of open files where it says nothing", () => {
  const limits = (config: string): readonly string[] => callsOf(planOf(config), "prlimit64");
  assert.deepEqual(limits(""), ["prlimit64(init, RLIMIT_NOFILE, {1024, 524288}, NULL)"]);
  assert.deepEqual(limits("lxc.prlimit.nofile = 10:20\nlxc.prlimit.core = unlimited"), [
    "prlimit64(init, RLIMIT_NOFILE, {10, 20}, NULL)",
    "prlimit64(init, RLIMIT_CORE, {unlimited, unlimited}, NULL)",
  ]);
});

test("sysctls are written through a procfs that the guest never sees, each by its path", () => {
  const ops = planOf("lxc.sysctl.net.ipv4.ip_forward = 1\nlxc.sysctl.kernel.msgmax = 9000");
  const opens = callsOf(ops, "openat2").filter((call) => call.startsWith("openat2(proc.private"));
  assert.deepEqual(
    opens.map((call) => call.split(", ")[1]),
    ['"sys/net/ipv4/ip_forward"', '"sys/kernel/msgmax"'],
  );
  for (const call of opens) assert.match(call, /RESOLVE_NO_SYMLINKS\|RESOLVE_BENEATH/);
});
