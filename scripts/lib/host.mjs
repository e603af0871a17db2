// What a test run, a demo or a benchmark must leave as it was: a picture of the host before and after, and the difference.
import { existsSync, readFileSync, readdirSync, readlinkSync, rmSync, rmdirSync } from "node:fs";
import { dirname, join } from "node:path";

const read = (path) => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // a process that has ended meanwhile
  }
};
const list = (path) => {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
};
const link = (path) => {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
};

/** Mount points of all cgroup hierarchies. */
export function cgroupMounts() {
  return read("/proc/self/mountinfo")
    .split("\n")
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(" ")[4]);
}

function mounts() {
  return read("/proc/self/mountinfo")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const fields = line.split(" ");
      const [fstype, source] = fields.slice(fields.indexOf("-") + 1);
      return `${fields[4]} ${fields[5]} ${fstype} ${source}`;
    });
}

function cgroups() {
  const found = [];
  const walk = (dir) => {
    for (const name of list(dir)) {
      const path = join(dir, name);
      // A cgroup directory is one that has cgroup.procs; reading that decides it without a stat of every file.
      if (!name.includes(".") || existsSync(join(path, "cgroup.procs"))) {
        if (!existsSync(join(path, "cgroup.procs"))) continue;
        found.push(path);
        walk(path);
      }
    }
  };
  for (const mount of cgroupMounts()) walk(mount);
  return found;
}

/** Those of the groups that hold no process, in themselves or below. */
function vacant(groups) {
  const holding = new Set();
  for (const path of groups) {
    if (read(join(path, "cgroup.procs")) === "") continue;
    for (let dir = path; dir !== "/" && !holding.has(dir); dir = dirname(dir)) holding.add(dir);
  }
  return groups.filter((path) => !holding.has(path));
}

/** Names in /run: all of the first level, and everything below the directories of container managers. */
function runtimeNames() {
  const found = list("/run").map((name) => `/run/${name}`);
  for (const dir of ["/run/islet", "/run/lxc", "/run/netns"]) {
    for (const name of existsSync(dir) ? readdirSync(dir, { recursive: true }) : []) found.push(join(dir, name));
  }
  return found;
}

/** pid to what it is; kernel threads are left out. */
export function processes() {
  const found = new Map();
  for (const pid of list("/proc").filter((name) => /^\d+$/.test(name))) {
    const command = read(`/proc/${pid}/cmdline`).split("\0").join(" ").trim();
    if (command === "") continue;
    const [, parent = "?", started = "?"] = /\) \S+ (\d+)(?: \S+){17} (\d+)/.exec(read(`/proc/${pid}/stat`)) ?? [];
    found.set(`${pid}@${started}`, {
      pid: Number(pid),
      parent,
      command,
      environment: read(`/proc/${pid}/environ`),
      cgroup: read(`/proc/${pid}/cgroup`),
      program: link(`/proc/${pid}/exe`),
      netns: link(`/proc/${pid}/ns/net`),
    });
  }
  return found;
}

/** Files behind loop devices, with the device: one whose file is gone lives on until somebody detaches it. */
function loops() {
  return list("/sys/block")
    .filter((name) => /^loop\d+$/.test(name))
    .flatMap((name) => {
      const file = read(`/sys/block/${name}/loop/backing_file`).trim();
      return file === "" ? [] : [`${name} ${file}`];
    });
}

export function picture() {
  const running = processes();
  const groups = cgroups();
  return {
    mounts: mounts(),
    links: list("/sys/class/net"),
    cgroups: groups,
    vacant: vacant(groups),
    run: runtimeNames(),
    loops: loops(),
    netns: [...new Set([...running.values()].map((each) => each.netns).filter((each) => each !== ""))],
    processes: running,
  };
}

/** Comings and goings that are the machine's own: services that systemd starts, package managers, logins. */
const noise = [
  /^\/sys\/fs\/cgroup\/.*\/?(system\.slice|user\.slice|init\.scope|machine\.slice|process_api)(\/|$)/,
  /^\/run\/(systemd|user|lock|udev|log|utmp|dbus|sshd?|apt|dpkg|needrestart|crond?|motd.*|initctl|shm|mount|sudo|tmpfiles\.d|credentials|chrony.*|resolvconf)(\/|\.|$)/,
];
const ours = /islt-|islet|lxc/;
/** A daemon's own cgroup, empty or not: it goes when the last daemon does, which may be one of somebody else's. */
const daemonsCgroup = /^\/sys\/fs\/cgroup(\/[^/]+)?\/islet$/;
/** A container's, by its name alone. */
const containersCgroup = /^\/sys\/fs\/cgroup(\/[^/]+)?\/lxc\.(payload|monitor)\.[^/]+(\/|$)/;
/** Of all domains, made with the first one: it stays, as libvirt's does. */
const partition = /^\/sys\/fs\/cgroup(\/[^/]+)?\/machine$/;

/** Lines of a that b lacks, counted: two equal mounts are two. */
function minus(a, b) {
  const left = new Map();
  for (const line of b) left.set(line, (left.get(line) ?? 0) + 1);
  return a.filter((line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count <= 0;
  });
}

/**
 * What differs, in words; [] if nothing does. `marks`: strings that show in the command line, environment, program or cgroup of a
 * process that belongs to the run. With `shared` (others work on this machine at the same time) only differences
 * that carry one of the marks count.
 */
export function differences(before, after, { marks, shared = false }) {
  const found = [];
  const mine = (text) => marks.some((mark) => text.includes(mark));
  for (const kind of ["mounts", "links", "cgroups", "run", "loops"]) {
    const counts = (line) => (shared ? mine(line) : ours.test(line) || !noise.some((each) => each.test(line)));
    for (const line of minus(after[kind], before[kind]).filter((each) => counts(each) && !partition.test(each)))
      found.push(`${kind}: left behind: ${line}`);
    for (const line of minus(before[kind], after[kind]).filter(counts)) {
      // What a run before this one has left, killed perhaps, and a test of this one has taken away: that is as it should be.
      const abandoned = containersCgroup.test(line) && before.vacant.includes(line);
      if (!daemonsCgroup.test(line) && !/islt-/.test(line) && !abandoned) found.push(`${kind}: missing now: ${line}`);
    }
  }
  for (const [key, each] of after.processes) {
    if (before.processes.has(key)) continue;
    const text = `${each.command}\n${each.environment}\n${each.program}\n${each.cgroup}`;
    if (!mine(text) && !(!shared && /islt-|lxc\.(payload|monitor)/.test(`${each.command}\n${each.cgroup}`))) continue;
    const space = before.netns.includes(each.netns) ? "" : `, network namespace ${each.netns}`;
    found.push(`processes: left behind: pid ${each.pid}, parent ${each.parent}, ${each.command}${space}`);
  }
  return found;
}

/** The daemons that serve a runtime directory: Node processes that carry its path in their environment or arguments. */
export function daemonsOf(runtimeDir) {
  return [...processes().values()].filter(
    (each) =>
      /daemon|isletd/.test(each.command) &&
      /node/.test(each.program) &&
      `${each.command}\0${each.environment}`.includes(runtimeDir),
  );
}

/** Ends the daemons of a runtime directory; resolves when they are gone. They hold no state, so this stops no container. */
export async function stopDaemons(runtimeDir, seconds = 5) {
  for (const each of daemonsOf(runtimeDir)) end(each.pid, "SIGTERM");
  const deadline = Date.now() + seconds * 1000;
  while (daemonsOf(runtimeDir).length > 0) {
    if (Date.now() > deadline) {
      for (const each of daemonsOf(runtimeDir)) end(each.pid, "SIGKILL");
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export function end(pid, signal) {
  // A pid file that is just being written reads as 0, which would be everybody of our process group.
  if (!(pid > 1)) return;
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

const quietly = (path) => {
  try {
    rmdirSync(path);
  } catch {
    // not empty or not there: then it is not ours
  }
};

/**
 * Removes the control groups of domains that were killed with their daemons, islet's (each with groups in it) and libvirtd's, and what is above them where
 * it was not there before. `names`: beginnings of the domains' names. What is in use stays.
 */
export function sweepDomains(before, { names }) {
  const remove = (path) => {
    for (const name of list(path)) {
      if (existsSync(join(path, name, "cgroup.procs"))) remove(join(path, name));
    }
    quietly(path);
  };
  for (const mount of cgroupMounts()) {
    const machine = join(mount, "machine");
    for (const name of list(machine)) {
      const [, domain = ""] = /^lxc-[^-]+-(.*)\.libvirt-lxc$/.exec(name) ?? [];
      if (names.some((each) => domain.startsWith(each))) remove(join(machine, name));
    }
    for (const path of [machine, join(mount, "islet")]) {
      if (!before.cgroups.includes(path)) quietly(path);
    }
  }
}

/**
 * Removes what Debian's lxc leaves behind by itself: the empty cgroup of each monitor (v1), the pivot cgroup, lock files,
 * lxc-monitord's fifo, and /run/lxc where it was not there before. `names`: beginnings of the containers' names; `stores`: their store directories. What is in use stays.
 */
export function sweepLxc(before, { names, stores }) {
  for (const mount of cgroupMounts()) {
    for (const name of list(mount)) {
      const monitor = names.some((each) => name.startsWith(`lxc.monitor.${each}`));
      const pivot = name === "lxc.pivot" && !before.cgroups.includes(join(mount, name));
      if (monitor || pivot) quietly(join(mount, name));
    }
  }
  for (const above of ["/run/lxc/lock", "/run/lxc"]) {
    for (const path of stores.map((store) => join(above, store))) {
      rmSync(path, { recursive: true, force: true });
      for (let dir = dirname(path); dir !== "/run"; dir = dirname(dir)) {
        if (before.run.includes(dir)) break;
        quietly(dir);
      }
    }
  }
}
