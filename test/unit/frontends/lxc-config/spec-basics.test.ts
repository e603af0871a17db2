import assert from "node:assert/strict";
import { test } from "node:test";
import { convert, specFaults, specOf, withoutSources } from "./helper.js";

test("an empty configuration gives LXC's defaults", () => {
  const spec = specOf("");
  assert.equal(spec.name, "web1");
  assert.equal(spec.storePath, "/var/lib/lxc");
  assert.equal(spec.configFile, "/var/lib/lxc/web1/config");
  assert.equal(spec.hostname, null);
  assert.deepEqual(spec.init.command, { value: ["/sbin/init"], at: null });
  assert.deepEqual(spec.process.environment, [
    { kind: "set", name: "container", value: "lxc", scope: "runtime", at: null },
  ]);
  assert.deepEqual(spec.rootfs.source, { kind: "host" });
  assert.deepEqual(withoutSources(spec.namespaces), {
    mount: { kind: "new" },
    pid: { kind: "new" },
    uts: { kind: "new" },
    ipc: { kind: "new" },
    net: { kind: "new" },
    user: { kind: "keep" },
    cgroup: { kind: "new" },
    time: { kind: "keep" },
  });
  assert.deepEqual(spec.network, { kind: "own", nics: [] });
  assert.deepEqual(spec.security.capabilities, { kind: "drop", capabilities: [] });
  assert.equal(spec.mounts.dev.populate, true);
  assert.equal(spec.mounts.dev.tmpfsSize, 500_000);
  assert.deepEqual(
    spec.mounts.dev.nodes.map((node) => node.name),
    ["full", "null", "random", "tty", "urandom", "zero"],
  );
  assert.deepEqual(
    spec.mounts.dev.links.map((link) => link.name),
    ["fd", "stdin", "stdout", "stderr"],
  );
  assert.deepEqual(spec.console, {
    kind: "pty",
    path: null,
    logFile: null,
    logSize: 0,
    logRotate: false,
    bufferSize: 0,
    ttys: 0,
    ttyDir: null,
    isTty1: false,
    ptys: 0,
  });
  const { haltSignal, rebootSignal, stopSignal, monitorDeathSignal } = spec.lifecycle;
  assert.deepEqual([haltSignal, rebootSignal, stopSignal, monitorDeathSignal], [null, 2, 9, 9]);
  assert.equal(spec.process.newSessionKeyring, true);
  assert.deepEqual(spec.annotations, {});
});

test("values keep the line they came from", () => {
  const spec = specOf("\nlxc.uts.name = a\nlxc.init.cmd = /x");
  assert.deepEqual(spec.hostname, {
    value: "a",
    at: { file: "/var/lib/lxc/web1/config", line: 2, key: "lxc.uts.name" },
  });
  assert.equal(spec.init.command.at?.line, 3);
});

test("a quote at the beginning of a word of the init command keeps blanks, elsewhere it is a character, as in LXC 6", () => {
  const words = (text: string): readonly string[] => specOf(`lxc.init.cmd = ${text}`).init.command.value;
  assert.deepEqual(words(`/sbin/init  --x "a b" 'c "d"' "" x`), ["/sbin/init", "--x", "a b", 'c "d"', "", "x"]);
  assert.deepEqual(words('/x --opt="a b" it\'s "p"q'), ["/x", '--opt="a', 'b"', "it's", "p", "q"]);
  assert.deepEqual(specFaults('lxc.init.cmd = /sbin/init "a b'), [
    'a quote is not closed in "/sbin/init "a b" (/var/lib/lxc/web1/config:1 lxc.init.cmd)',
  ]);
  assert.equal(specFaults('lxc.init.cmd = "" x').length, 1);
});

test("a command given by the caller comes before lxc.init.cmd", () => {
  const spec = specOf("lxc.init.cmd = /x", { context: { command: ["/bin/sh", "-l"] } });
  assert.deepEqual(spec.init.command, { value: ["/bin/sh", "-l"], at: { file: "command line", line: 0, key: "" } });
  assert.equal(spec.init.mode, "exec");
});

test("lxc-execute runs the given command or lxc.execute.cmd, and needs one of them", () => {
  assert.deepEqual(
    specOf("lxc.execute.cmd = /bin/echo 'a b'", { context: { mode: "supervised" } }).init.command.value,
    ["/bin/echo", "a b"],
  );
  assert.deepEqual(
    specOf("lxc.execute.cmd = /x", { context: { mode: "supervised", command: ["/y"] } }).init.command.value,
    ["/y"],
  );
  assert.deepEqual(specFaults("lxc.init.cmd = /x", { context: { mode: "supervised" } }), [
    "there is no command to execute; give one, or set lxc.execute.cmd",
  ]);
});

test("what is for everyone comes before what is for some, and container=lxc at the end", () => {
  const spec = specOf(
    "lxc.environment = A=1\nlxc.environment.hooks = B=2\nlxc.environment = HOME\nlxc.environment.runtime = C=",
  );
  assert.deepEqual(withoutSources(spec.process.environment), [
    { kind: "set", name: "A", value: "1", scope: "all" },
    { kind: "inherit", name: "HOME", scope: "all" },
    { kind: "set", name: "B", value: "2", scope: "hooks" },
    { kind: "set", name: "C", value: "", scope: "runtime" },
    { kind: "set", name: "container", value: "lxc", scope: "runtime" },
  ]);
});

test("limits have numbers, names or numbers of resources, and a hard limit that is not below the soft one", () => {
  const spec = specOf(
    "lxc.prlimit.nofile = 10:20\nlxc.prlimit.core = unlimited\nlxc.prlimit.3 = 5\nlxc.prlimit.nproc = 7:unlimited",
  );
  assert.deepEqual(withoutSources(spec.process.rlimits), [
    { resource: 7, name: "nofile", soft: 10n, hard: 20n },
    { resource: 4, name: "core", soft: null, hard: null },
    { resource: 3, name: "3", soft: 5n, hard: 5n },
    { resource: 6, name: "nproc", soft: 7n, hard: null },
  ]);
  assert.match(specFaults("lxc.prlimit.foo = 1")[0] ?? "", /^"foo" is not a resource limit .*; write as core cpu/);
  assert.match(specFaults("lxc.prlimit.nofile = 20:10")[0] ?? "", /^the soft limit "20" is above the hard limit "10"/);
});

test("sysctls have paths; where a slash comes first, dots belong to names", () => {
  const names = (text: string): readonly string[] => specOf(text).process.sysctls.map((entry) => entry.name);
  assert.deepEqual(names("lxc.sysctl.net.ipv4.ip_forward = 1\nlxc.sysctl.net/ipv4/conf/eth0.100/forwarding = 1"), [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/eth0.100/forwarding",
  ]);
});

test("files of the process stay within its directory", () => {
  assert.deepEqual(withoutSources(specOf("lxc.proc.oom_score_adj = 10").process.procFiles), [
    { name: "oom_score_adj", value: "10" },
  ]);
  assert.equal(specFaults("lxc.proc.../../x = 1").length, 1);
  assert.equal(specFaults("lxc.proc.a/../../x = 1").length, 1);
});

test("architectures give the persona", () => {
  assert.deepEqual(
    [
      specOf("lxc.arch = i686").process.personality,
      specOf("lxc.arch = arm64").process.personality,
      specOf("").process.personality,
    ],
    ["linux32", "linux", null],
  );
});

test("lxc.keyring.session = 1 means no new keyring, 0 is reported as without effect", () => {
  assert.equal(specOf("lxc.keyring.session = 1").process.newSessionKeyring, false);
  const result = convert("lxc.keyring.session = 0");
  assert.equal(result.kind === "spec" && result.spec.process.newSessionKeyring, true);
  assert.match(
    result.notices[0]?.message ?? "",
    /^\/var\/lib\/lxc\/web1\/config:1: lxc\.keyring\.session = 0 changes nothing/,
  );
});

test("signals and hooks and the rest of the life cycle arrive", () => {
  const spec = specOf(`lxc.signal.halt = SIGUSR1
lxc.signal.reboot = SIGTERM
lxc.signal.stop = SIGRTMIN+3
lxc.monitor.signal.pdeath = 0
lxc.ephemeral = 1
lxc.monitor.unshare = 1
lxc.start.auto = 1
lxc.start.delay = 5
lxc.start.order = -3
lxc.group = a b
lxc.log.level = trace
lxc.log.file = /l
lxc.log.syslog = daemon
lxc.hook.version = 1
lxc.hook.stop = /s
lxc.hook.pre-start = /p 1
lxc.hook.pre-start = /p 2
`);
  assert.deepEqual(spec.lifecycle, {
    haltSignal: 10,
    rebootSignal: 15,
    onReboot: "restart",
    stopSignal: 37,
    monitorDeathSignal: 0,
    ephemeral: true,
    monitorUnshare: true,
    autostart: { auto: true, delay: 5, order: -3, groups: ["a", "b"] },
    log: { level: "TRACE", file: "/l", syslog: "daemon" },
  });
  assert.equal(spec.hooks.version, 1);
  assert.deepEqual(
    spec.hooks.list.map((hook) => [hook.kind, hook.command]),
    [
      ["pre-start", "/p 1"],
      ["pre-start", "/p 2"],
      ["stop", "/s"],
    ],
  );
});

test("consoles arrive, none means none", () => {
  assert.equal(specOf("lxc.console.path = none").console.kind, "none");
  assert.deepEqual(
    [specOf("lxc.console = /dev/tty8").console.kind, specOf("lxc.console = /dev/tty8").console.path],
    ["device", "/dev/tty8"],
  );
  assert.equal(specOf("lxc.tty.dir = //lxc/").console.ttyDir, "lxc");
  assert.match(specFaults("lxc.tty.dir = ../etc")[0] ?? "", /^lxc\.tty\.dir must stay below \/dev/);
  assert.match(specFaults("lxc.tty.max = 4000000000")[0] ?? "", /^lxc\.tty\.max is above 1024/);
});

test("a name that cannot be one and a store path that is not absolute are faults", () => {
  assert.deepEqual(specFaults("", { context: { name: "a/b" } }), ['the container name "a/b" contains a slash']);
  assert.deepEqual(specFaults("", { context: { storePath: "x" } }), ['the container path "x" is not absolute']);
});

test("faults of reading and of conversion come together", () => {
  assert.deepEqual(
    specFaults("lxc.tty.max = x\nlxc.prlimit.foo = 1").map((line) => line.split(" (")[0]),
    ['"x" is not a whole number from 0 to 4294967295', '"foo" is not a resource limit'],
  );
});
