import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { showFault } from "../../src/base/source.js";
import { hostFiles, parseConfig, toSpec, type ConfigFiles } from "../../src/frontends/lxc/config/config.js";
import { hostFacts, layouts, startFacts, userFacts, type HostKind } from "../support/facts.js";
import type { LxcfsFacts, RootfsFacts, StartFacts } from "../../src/spec/host.js";
import type { ContainerSpec } from "../../src/spec/spec.js";
import { compare, planned, refused, type Outcome } from "../support/golden.js";
import { root } from "../support/paths.js";

/**
 * Configuration -> specification -> launch program -> text, compared with what is kept beside the configuration: NAME.txt, or
 * NAME.err for what must be refused; NAME@HOST.txt on the hosts that are not its natural one. UPDATE=1 rewrites them and prints what changed.
 */

const directory = join(root, "test/golden/lxc");

/** The host a configuration is at home on; all others are written for cgroup v2. */
const homes: Readonly<Record<string, HostKind>> = {
  "cgroup-directories": "hybrid",
  "cgroup1-limits": "v1",
  "debian-system": "v1",
  "devices-2013": "v1",
  "mount-auto-full": "hybrid",
  "mount-auto-force": "v1",
  nested: "hybrid",
  "refused-cgroup": "v1",
  "ubuntu-2013": "v1",
};

/** Those that are planned for every kind of host. */
const everywhere = [
  "cgroup1-limits",
  "cgroup2-limits",
  "devices-2013",
  "devices-v2",
  "guest-lxd",
  "guest-lxd-mapped",
  "minimal",
  "mount-auto",
  "userns",
];

/** Where LXCFS runs: nowhere else. */
const lxcfsHosts: Readonly<Record<string, LxcfsFacts>> = {
  lxcfs: { proc: ["meminfo", "uptime", "pressure/cpu"], cpu: "whole" },
  "lxcfs-idmapped": { proc: ["cpuinfo"], cpu: ["online"] },
  "lxcfs-off": { proc: ["meminfo"], cpu: "whole" },
};

/** Files and devices of the host's, and what is in them. */
const disks: Readonly<Record<string, Partial<RootfsFacts>>> = {
  "/srv/secret.img": { other: "a LUKS container" },
  "/srv/web.img": { fstype: "ext4" },
  "/srv/old.img": { known: ["xfs", "minix"] },
  "/dev/lxc/web": { path: "/dev/dm-3", fstype: "xfs" },
  "tank/lxc/web": { mountedOn: "/tank/lxc/web" },
  "tank/lxc/old": {},
};

function diskOf({ rootfs }: ContainerSpec): RootfsFacts | null {
  const path = rootfs.documentPath;
  const disk = disks[path];
  const none = { missing: false, fstype: null, other: null, known: [], mountedOn: null };
  return disk === undefined ? null : { path, ...none, ...disk };
}

/** The host's users, as many as a configuration names. */
function usersOf(spec: ContainerSpec): Partial<StartFacts> {
  const { guest } = startFacts();
  const wanted = spec.guest.run?.users ?? [];
  return guest === null || wanted.length === 0 ? {} : { guest: { ...guest, users: wanted.map(userFacts) } };
}

const files: ConfigFiles = {
  read: (path) => (path.startsWith("/golden/") ? hostFiles.read(path.replace("/golden", `${directory}/files`)) : null),
  list: (path) => (path.startsWith("/golden/") ? hostFiles.list(path.replace("/golden", `${directory}/files`)) : null),
};

function outcome(name: string, host: HostKind): Outcome {
  const text = readFileSync(join(directory, `${name}.conf`), "utf8");
  const parsed = parseConfig({ file: `/var/lib/lxc/${name}/config`, text, files });
  if (parsed.faults.length > 0) return refused(parsed.faults.map(showFault));
  const made = toSpec(parsed, { name, storePath: "/var/lib/lxc", files, stat: () => null });
  if (made.kind === "faults") return refused(made.faults.map(showFault));
  const apparmor = made.spec.security.apparmor.profile !== null;
  const selinux = made.spec.security.selinux.context !== null;
  const facts = hostFacts(host, { lsm: { apparmor, selinux } });
  const start = startFacts({
    sharedPids: { minimal: 1001, "/srv/lxc/other": 1002 },
    lxcfs: lxcfsHosts[name] ?? null,
    rootfs: diskOf(made.spec),
    ...usersOf(made.spec),
  });
  return planned(made.spec, facts, start);
}

const names = readdirSync(directory)
  .filter((file) => file.endsWith(".conf"))
  .map((file) => file.slice(0, -5));
const kinds = Object.keys(layouts) as readonly HostKind[];
const expected = new Set<string>();

for (const name of names) {
  const home = homes[name] ?? "v2";
  for (const host of everywhere.includes(name) ? kinds : [home]) {
    const stem = host === home ? name : `${name}@${host}`;
    expected.add(stem);
    test(`the plan of ${name} on a host with cgroup ${host} is the one that was reviewed`, () => {
      compare(directory, stem, outcome(name, host));
    });
  }
}

test("planning is a pure function: the same configuration and host give the same program", () => {
  for (const name of ["debian-system", "userns", "hooks"]) assert.deepEqual(outcome(name, "v2"), outcome(name, "v2"));
});

test("every reviewed plan has its configuration, and the tables above name no other", () => {
  const kept = readdirSync(directory)
    .filter((file) => /\.(txt|err)$/.test(file))
    .map((file) => file.slice(0, -4));
  assert.deepEqual(kept.filter((stem) => !expected.has(stem)), []);
  assert.deepEqual([...Object.keys(homes), ...everywhere].filter((name) => !names.includes(name)), []);
});
