import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { LibvirtError } from "../../src/frontends/libvirt/errors.js";
import { type HostFile, toSpec } from "../../src/frontends/libvirt/spec/to-spec.js";
import type { DomainDoc } from "../../src/frontends/libvirt/xml/domain.js";
import { consoles, domain, filesystem, nic, specContext, withOs } from "../support/domain.js";
import { hostFacts, type HostKind, layouts, startFacts } from "../support/facts.js";
import { compare, type Outcome, planned, refused } from "../support/golden.js";
import { root } from "../support/paths.js";

/** Domain -> specification -> launch program -> text, as for configurations of LXC: NAME.txt, NAME@HOST.txt on the hosts that are not its natural one. */

const directory = join(root, "test/golden/libvirt");

const files: Readonly<Record<string, HostFile>> = {
  "/srv/www": { kind: "dir" },
  "/srv/hosts": { kind: "file" },
  "/dev/sdb": { kind: "b", major: 8, minor: 16 },
  "/dev/vdb": { kind: "b", major: 253, minor: 16 },
  "/dev/net/tun": { kind: "c", major: 10, minor: 200 },
  "/dev/rtc": { kind: "c", major: 250, minor: 0 },
};

const rootfs = filesystem({ kind: "mount", dir: "/opt/vm-1-root" }, "/");
const plainRoute = { family: "ipv4", prefix: null, netmask: null, metric: null } as const;

const docs: Readonly<Record<string, DomainDoc>> = {
  /** Example 1 of the driver's page: the host's file system, a managed network. */
  "host-root": withOs(
    { init: "/bin/sh" },
    { name: "vm1", memory: 500000n, interfaces: [nic({ kind: "network", network: "default", portgroup: null, portId: null, bridge: null })] },
  ),
  /** Example 2: a root file system of its own. */
  "private-root": withOs({ init: "/init" }, { name: "vm1", memory: 32768n, filesystems: [rootfs], features: { ...domain().features, privnet: true } }),
  consoles: domain({ filesystems: [rootfs], consoles: consoles(3) }),
  filesystems: domain({
    filesystems: [
      { ...rootfs, readonly: true },
      filesystem({ kind: "mount", dir: "/srv/www" }, "/var/www", { readonly: true }),
      filesystem({ kind: "mount", dir: "/srv/hosts" }, "/etc/hosts"),
      filesystem({ kind: "bind", dir: "/var/www" }, "/srv"),
      filesystem({ kind: "ram", usage: 10240n }, "/tmp"),
    ],
  }),
  images: domain({
    filesystems: [
      rootfs,
      filesystem({ kind: "block", dev: "/dev/vdb" }, "/srv", { readonly: true }),
      filesystem({ kind: "file", file: "/srv/old.img", driver: "loop", format: "raw" }, "/data"),
    ],
  }),
  mapped: domain({
    filesystems: [rootfs],
    idmap: { uids: [{ start: 0, target: 100000, count: 65536 }], gids: [{ start: 0, target: 200000, count: 65536 }] },
    features: { ...domain().features, privnet: true },
    hostdevs: [{ kind: "misc", char: "/dev/net/tun" }],
    onReboot: "destroy",
  }),
  limits: domain({
    filesystems: [rootfs],
    memtune: { hardLimit: 102400n, softLimit: 65536n, swapHardLimit: 204800n },
    cputune: { shares: 512n, period: 100000n, quota: 50000n },
    vcpu: { count: 2, current: null, placement: "static", cpuset: [0, 1] },
    numatune: { mode: "strict", placement: "static", nodeset: [0] },
    partition: "/production",
  }),
  capabilities: domain({
    filesystems: [rootfs],
    features: {
      privnet: false,
      capabilities: { policy: "default", states: [{ name: "mknod", on: true }, { name: "sys_chroot", on: false }] },
      others: [],
    },
  }),
  interfaces: domain({
    filesystems: [rootfs],
    interfaces: [
      nic({ kind: "bridge", bridge: "br0" }, { target: "web1-0", ips: [{ address: "10.9.0.2", family: "ipv4", prefix: 24, peer: null }], routes: [{ ...plainRoute, address: "0.0.0.0", prefix: 0, gateway: "10.9.0.1" }, { ...plainRoute, address: "10.8.0.0", prefix: 16, gateway: "10.9.0.7", metric: 50 }], isolated: true }),
      nic({ kind: "ethernet", ips: [{ address: "10.7.0.1", family: "ipv4", prefix: 32, peer: "10.7.0.2" }], routes: [] }, { mac: "52:54:00:00:00:02", guest: "ptp0", link: "up", ips: [{ address: "10.7.0.2", family: "ipv4", prefix: 32, peer: "10.7.0.1" }] }),
      nic({ kind: "direct", dev: "eth0", mode: "bridge" }, { mac: "52:54:00:00:00:03" }),
      nic({ kind: "network", network: "default", portgroup: null, portId: null, bridge: null }, { mac: "52:54:00:00:00:04", inbound: { average: 1000, peak: null, burst: null, floor: null }, outbound: { average: 125, peak: null, burst: null, floor: null } }),
    ],
    hostdevs: [{ kind: "net", interface: "eth7", ips: [], routes: [] }],
  }),
  devices: domain({
    filesystems: [rootfs],
    clock: { offset: "localtime", attributes: {}, timers: [{ name: "rtc", present: true }] },
    disks: [{ type: "block", device: "disk", driver: null, format: null, source: "/dev/vdb", target: "vda", bus: null, readonly: true }],
    hostdevs: [{ kind: "storage", block: "/dev/sdb" }, { kind: "misc", char: "/dev/net/tun" }],
  }),
  shared: domain({
    filesystems: [rootfs],
    namespaces: { net: { type: "netns", value: "red" }, ipc: { type: "pid", value: "12345" }, uts: { type: "name", value: "other" } },
  }),
  "old-machine": withOs({ arch: "i686", initArgs: ["--unit", "emergency.service"], initEnv: [{ name: "PATH", value: "/opt/bin" }, { name: "FOO", value: "bar baz" }], initDir: "/root", cmdline: "quiet single" }, { filesystems: [rootfs] }),
  "refused-network": domain({ interfaces: [nic({ kind: "other", type: "user", xml: "" })] }),
  "refused-script": domain({ interfaces: [nic({ kind: "bridge", bridge: "br0" }, { script: "/etc/ifup" })] }),
};

const ext4 = { path: "/dev/vdb", missing: false, fstype: "ext4", other: null, known: [], mountedOn: null };

/** Those that are planned for every kind of host. */
const everywhere = ["limits"];

function outcome(name: string, host: HostKind): Outcome {
  const doc = docs[name];
  assert.ok(doc);
  try {
    const spec = toSpec(doc, specContext(files));
    return planned(spec, hostFacts(host), startFacts({ images: { "/dev/vdb": ext4 } }));
  } catch (error) {
    if (error instanceof LibvirtError) return refused([`${error.code}/${error.domain}: ${error.message}`]);
    throw error;
  }
}

const expected = new Set<string>();

for (const name of Object.keys(docs)) {
  for (const host of everywhere.includes(name) ? (Object.keys(layouts) as readonly HostKind[]) : (["v2"] as const)) {
    const stem = host === "v2" ? name : `${name}@${host}`;
    expected.add(stem);
    test(`the plan of the domain ${name} on a host with cgroup ${host} is the one that was reviewed`, () => {
      compare(directory, stem, outcome(name, host));
    });
  }
}

test("every reviewed plan has its domain", () => {
  const kept = readdirSync(directory).map((file) => file.replace(/\.(txt|err)$/, ""));
  assert.deepEqual(kept.filter((stem) => !expected.has(stem)), []);
});
