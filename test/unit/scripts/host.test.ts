import assert from "node:assert/strict";
import { test } from "node:test";
import { differences, type HostPicture, type HostProcess } from "../../support/host.js";

const empty: HostPicture = {
  mounts: [],
  links: [],
  cgroups: [],
  vacant: [],
  run: [],
  loops: [],
  netns: [],
  processes: new Map(),
};
const sleeper: HostProcess = {
  pid: 7,
  parent: "1",
  command: "sleep 60",
  environment: "ISLET_TEST_DIR=/tmp/islt-run-x",
  cgroup: "0::/",
  program: "/bin/sleep",
  netns: "net:[1]",
};
const marks = ["/tmp/islt-run-x"];

test("a mount, link, cgroup or name in /run that came or went is a difference", () => {
  const after = {
    ...empty,
    loops: ["loop7 /tmp/islt-run-x/disk (deleted)"],
    mounts: ["/mnt rw tmpfs x"],
    cgroups: ["/sys/fs/cgroup/pids/lxc.payload.a"],
  };
  assert.deepEqual(differences(empty, after, { marks }), [
    "mounts: left behind: /mnt rw tmpfs x",
    "cgroups: left behind: /sys/fs/cgroup/pids/lxc.payload.a",
    "loops: left behind: loop7 /tmp/islt-run-x/disk (deleted)",
  ]);
  assert.deepEqual(differences({ ...empty, links: ["eth0"] }, empty, { marks }), ["links: missing now: eth0"]);
});

test("a second mount of the same kind at the same place is a difference", () => {
  const before = { ...empty, mounts: ["/mnt rw tmpfs x"] };
  const after = { ...empty, mounts: ["/mnt rw tmpfs x", "/mnt rw tmpfs x"] };
  assert.deepEqual(differences(before, after, { marks }), ["mounts: left behind: /mnt rw tmpfs x"]);
});

test("services that systemd starts meanwhile are no difference", () => {
  const after = { ...empty, cgroups: ["/sys/fs/cgroup/system.slice/cron.service"], run: ["/run/systemd", "/run/apt"] };
  assert.deepEqual(differences(empty, after, { marks }), []);
});

test("a daemon's own cgroup may go, with the last daemon or as what a killed one had left, but none may stay", () => {
  const own = { ...empty, cgroups: ["/sys/fs/cgroup/islet", "/sys/fs/cgroup/pids/islet"] };
  assert.deepEqual(differences(own, empty, { marks }), []);
  assert.equal(differences(empty, own, { marks }).length, 2);
  const inner = { ...empty, cgroups: ["/sys/fs/cgroup/pids/islet/a"] };
  assert.equal(differences(inner, empty, { marks }).length, 1);
});

test("the group of a container that was killed with the run before may go, one with processes in it may not", () => {
  const group = "/sys/fs/cgroup/pids/lxc.payload.a";
  const before = { ...empty, cgroups: [group] };
  assert.deepEqual(differences({ ...before, vacant: [group] }, empty, { marks }), []);
  assert.deepEqual(differences(before, empty, { marks }), [`cgroups: missing now: ${group}`]);
  const service = { ...empty, cgroups: ["/sys/fs/cgroup/pids/other"], vacant: ["/sys/fs/cgroup/pids/other"] };
  assert.equal(differences(service, empty, { marks }).length, 1);
});

test("a process counts only if it carries a mark of the run", () => {
  const mine = { ...empty, processes: new Map([["7@1", sleeper]]) };
  const other = { ...empty, processes: new Map([["7@1", { ...sleeper, environment: "" }]]) };
  assert.match(differences(empty, mine, { marks })[0] ?? "", /^processes: left behind: pid 7, parent 1, sleep 60/);
  assert.deepEqual(differences(empty, other, { marks }), []);
});

test("on a shared machine only what carries a mark counts", () => {
  const after = {
    ...empty,
    mounts: ["/tmp/islt-run-x/a rw tmpfs x", "/tmp/islt-run-y/a rw tmpfs x"],
    links: ["islt-v0"],
  };
  assert.deepEqual(differences(empty, after, { marks, shared: true }), [
    "mounts: left behind: /tmp/islt-run-x/a rw tmpfs x",
  ]);
});
