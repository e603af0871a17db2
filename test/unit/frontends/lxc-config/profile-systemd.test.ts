import assert from "node:assert/strict";
import { test } from "node:test";
import { fromSpec } from "../../../../src/frontends/lxc/config/config.js";
import { planStart } from "../../../../src/plan/start.js";
import { check } from "../../../../src/host/addon.js";
import { encodeProgram } from "../../../../src/program/encode.js";
import { explainProgram, programJson } from "../../../../src/program/explain.js";
import { hostFacts, startFacts, userFacts } from "../../../support/facts.js";
import { convert, specFaults, specOf, withoutSources } from "./helper.js";

const root = "lxc.rootfs.path = dir:/r\n";
const systemd = `${root}islet.guest = systemd\n`;

test("without words of the configuration's own, a systemd guest has the mounts, name, ptys and capabilities of its interface", () => {
  const spec = specOf(systemd);
  assert.deepEqual(spec.mounts.auto, {
    proc: "mixed",
    sys: "ro",
    cgroup: { scope: "newest", mode: "rw", force: true },
    shared: null,
    at: null,
  });
  assert.equal(spec.hostname?.value, "web1");
  assert.equal(spec.console.ptys, 1024);
  assert.deepEqual(spec.security.capabilities, { kind: "drop", capabilities: [16, 17, 25, 29, 30, 37] });
  assert.equal(spec.cgroup.devicesV1.length, 9);
  assert.deepEqual(spec.cgroup.devicesV1, spec.cgroup.devicesV2);
  assert.deepEqual(
    [spec.guest.tellsInit, spec.guest.ttysArePtys, spec.guest.localtime, spec.guest.journal, spec.guest.scope],
    [true, true, "auto", "auto", "auto"],
  );
});

test("what the configuration of a systemd guest says itself wins", () => {
  const spec = specOf(
    `${systemd}lxc.uts.name = other\nlxc.pty.max = 3\nlxc.mount.auto = proc:rw\nlxc.cap.keep = chown\nislet.localtime = off\nislet.journal = no\nislet.scope = no\nlxc.mount.entry = tmpfs run tmpfs defaults 0 0\n`,
  );
  assert.equal(spec.hostname?.value, "other");
  assert.equal(spec.console.ptys, 3);
  assert.deepEqual([spec.mounts.auto.proc, spec.mounts.auto.sys, spec.mounts.auto.cgroup], ["rw", null, null]);
  assert.deepEqual(spec.security.capabilities, { kind: "keep", capabilities: [0] });
  assert.deepEqual(
    [spec.guest.localtime, spec.guest.journal, spec.guest.scope, spec.guest.run],
    ["off", "no", "no", null],
  );
});

test("capabilities that the configuration drops go as well, and its device rules follow the profile's", () => {
  const spec = specOf(`${systemd}lxc.cap.drop = net_raw sys_time\nlxc.cgroup2.devices.allow = c 10:229 rwm\n`);
  assert.deepEqual(spec.security.capabilities, { kind: "drop", capabilities: [13, 25, 16, 17, 29, 30, 37] });
  assert.equal(spec.cgroup.devicesV2.at(-1)?.minor, 229);
  assert.equal(spec.cgroup.devicesV1.at(-1)?.minor, 229);
  assert.deepEqual(spec.cgroup.devicesV2[0]?.type, "a");
});

test("with the host's network there is no CAP_NET_ADMIN, and with it no writable /proc/sys/net", () => {
  const spec = specOf(`${systemd}lxc.net.0.type = none\n`);
  assert.ok(spec.security.capabilities.capabilities.includes(12));
  const text = explainProgram(planStart(spec, hostFacts("v2"), startFacts()));
  assert.doesNotMatch(text, /keep \/proc\/sys\/net writable/);
});

test("rules for devices that nobody wrote down are left out where there can be none", () => {
  const plan = (inUserNamespace: boolean): string =>
    explainProgram(planStart(specOf(systemd), hostFacts("v2", { inUserNamespace }), startFacts()));
  assert.match(plan(false), /attach the device rules/);
  assert.doesNotMatch(plan(true), /attach the device rules/);
});

test("on the host's own root file system nothing is written and /run stays what it is", () => {
  const { guest } = specOf("islet.guest = systemd\nislet.localtime = copy\nislet.journal = guest\n");
  assert.deepEqual([guest.run, guest.localtime, guest.journal], [null, "off", "no"]);
});

test("the first veth gets the names that networkd knows, where nobody gave it any", () => {
  const names = (text: string, name = "web1"): unknown => {
    const spec = specOf(`${systemd}${text}`, { context: { name } });
    assert.ok(spec.network.kind === "own");
    return spec.network.nics.map((nic) => [nic.name, "pair" in nic ? nic.pair : null]);
  };
  assert.deepEqual(names("lxc.net.0.type = veth\nlxc.net.1.type = veth\n"), [
    ["host0", "ve-web1"],
    [null, null],
  ]);
  assert.deepEqual(names("lxc.net.0.type = veth\nlxc.net.0.link = br0\n"), [["host0", "vb-web1"]]);
  assert.deepEqual(names("lxc.net.0.type = veth\nlxc.net.0.name = eth0\nlxc.net.0.veth.pair = x\n"), [["eth0", "x"]]);
  const long = names("lxc.net.0.type = veth\n", "a-name-that-is-long") as readonly (readonly string[])[];
  assert.match(long[0]?.[1] ?? "", /^ve-a-name-t[0-9a-f]{4}$/);
});

test("credentials are values or texts of files; names that systemd would not take are faults", () => {
  const text = `${systemd}islet.credential.a.b = one\nislet.credential.c = file:/secret\n`;
  const { guest } = specOf(text, { files: { "/secret": "two\n" } });
  assert.deepEqual(
    guest.run?.credentials.map(({ name, value }) => [name, value]),
    [
      ["a.b", "one"],
      ["c", "two\n"],
    ],
  );
  assert.match(
    specFaults(`${systemd}islet.credential.c = file:/missing\n`).join("\n"),
    /cannot be read from "\/missing"/,
  );
  assert.match(specFaults(`${systemd}islet.credential.a:b = x\n`).join("\n"), /cannot be the name of a credential/);
  const other = convert(`${root}islet.credential.a = one\n`);
  assert.match(
    other.notices.map((notice) => notice.message).join("\n"),
    /has no effect without islet\.guest = systemd/,
  );
});

test("users of the host's are named one to a line, an empty line takes all of them back", () => {
  const names = (text: string): unknown => specOf(`${systemd}${text}`).guest.run?.users.map(({ name }) => name);
  assert.deepEqual(names("islet.bind.user = alice\nislet.bind.user = bob_1.x-\n"), ["alice", "bob_1.x-"]);
  assert.deepEqual(names("islet.bind.user = alice\nislet.bind.user =\nislet.bind.user = bob\n"), ["bob"]);
});

test("what can be no user's name is refused, and so are a name given twice and more than 64", () => {
  const long = "a".repeat(32);
  for (const wrong of ["../etc", "a/b", ".", "..", ".a", "-a", "1a", "a:b", "a b", "\u00e4", long])
    assert.match(specFaults(`${systemd}islet.bind.user = ${wrong}\n`).join("\n"), /is not a user's name/, wrong);
  const line = (_: unknown, index: number): string => `islet.bind.user = u${index}\n`;
  const many = (length: number): string => systemd + Array.from({ length }, line).join("");
  assert.equal(specOf(many(64)).guest.run?.users.length, 64);
  assert.deepEqual(
    specFaults(many(67)).filter((text) => text.includes("more than 64 users cannot be passed in")).length,
    1,
  );
  assert.match(
    specFaults(`${systemd}islet.bind.user = a\nislet.bind.user = b\nislet.bind.user = a\n`).join("\n"),
    /the user a is named twice \(\S+:5 /,
  );
});

test("users are not passed in without the profile, nor where the configuration has a /run of its own, and it says so", () => {
  const notices = (text: string): string =>
    convert(`${text}islet.bind.user = alice\n`)
      .notices.map(({ message }) => message)
      .join("\n");
  assert.match(notices(root), /:2: the user alice is not passed in without islet\.guest = systemd/);
  assert.match(
    notices(`${systemd}lxc.mount.entry = tmpfs run tmpfs defaults 0 0\n`),
    /:4: the user alice is not passed in where \/run is not islet's/,
  );
  assert.equal(notices(systemd), "");
});

test("64 users are few enough for one start, and no form of the plan shows their passwords", () => {
  const users = Array.from({ length: 64 }, (_, index) => userFacts({ name: `user${index}`, at: null }, index));
  const { guest } = startFacts();
  assert.ok(guest !== null);
  const hashed = users.map((user) => ({ ...user, hash: "$6$swordfish" }));
  const facts = startFacts({ guest: { ...guest, users: hashed } });
  const program = planStart(specOf(systemd), hostFacts("v2"), facts);
  check(encodeProgram(program));
  assert.doesNotMatch(explainProgram(program) + JSON.stringify(programJson(program)), /swordfish/);
});

test("init is told its terminal and its sockets, which come to stand at 3 and up", () => {
  const facts = startFacts({ terminal: "xterm", listen: { count: 2, names: "a:b" } });
  const text = explainProgram(planStart(specOf(systemd), hostFacts("v2"), facts));
  assert.match(text, /"TERM=xterm".*"LISTEN_FDS=2", "LISTEN_PID=1", "LISTEN_FDNAMES=a:b"/);
  assert.match(text, /fcntl\(listening\.1, F_DUPFD_CLOEXEC, 5\)/);
  assert.match(text, /dup3\(listening\.2\.moved, 4, 0\)/);
  const plain = explainProgram(planStart(specOf(root), hostFacts("v2"), facts));
  assert.doesNotMatch(plain, /TERM=|container_uuid|NOTIFY_SOCKET/);
  assert.match(plain, /"LISTEN_PID=1"/);
});

test("no form of the plan shows what a credential says", () => {
  const program = planStart(specOf(`${systemd}islet.credential.a = swordfish\n`), hostFacts("v2"), startFacts());
  assert.doesNotMatch(explainProgram(program) + JSON.stringify(programJson(program)), /swordfish/);
});

test("a systemd guest that is written out is read again as the same", () => {
  const spec = specOf(
    `${systemd}lxc.tty.max = 2\nlxc.net.0.type = veth\nislet.uuid = 0f3c1b52-9a1e-4d07-b6c4-3e5d7a9f1c20\nislet.credential.a = one\nislet.journal = try-host\nislet.scope = yes\nislet.bind.user = bob\nislet.bind.user = alice\n`,
  );
  assert.deepEqual(withoutSources(specOf(fromSpec(spec))), withoutSources(spec));
});

test("uuids that a machine id cannot be made of are refused", () => {
  for (const wrong of ["x", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]) {
    const made = convert(`${systemd}islet.uuid = ${wrong}\n`);
    assert.equal(made.kind, "faults", wrong);
  }
});
