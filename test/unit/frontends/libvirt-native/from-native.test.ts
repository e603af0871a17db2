import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import { checkFormat } from "../../../../src/frontends/libvirt/native/faults.js";
import type { DomainDoc } from "../../../../src/frontends/libvirt/xml/domain.js";
import { consoles, domain as domainWith, filesystem, nic } from "../../../support/domain.js";
import { fromNative, generatedMac, refusal, uuid, withRoot } from "./native.js";

describe("domxml-from-native", () => {
  it("makes of the vectors' configuration the domain that libvirt made", () => {
    const doc = fromNative(
      [
        "lxc.utsname = migrate_test",
        "lxc.rootfs = /var/lib/lxc/migrate_test",
        "lxc.network.type = veth",
        "lxc.network.flags = up",
        "lxc.network.link = virbr0",
        "lxc.network.hwaddr = 02:00:15:8f:05:c1",
        "lxc.network.name = eth0",
        "lxc.cap.drop = sys_module mac_admin",
        "lxc.tty = 4",
        "lxc.mount.entry = proc proc proc nodev,noexec,nosuid 0 0",
        "lxc.mount.entry = tmpfs run tmpfs size=8m,mode=0755 0 0",
        "lxc.cgroup.memory.limit_in_bytes = 128M",
        "lxc.arch = x86_64",
        "",
      ].join("\n"),
    );
    const expected = domainWith({
      name: "migrate_test",
      uuid,
      memtune: { hardLimit: 131_072n, softLimit: null, swapHardLimit: null },
      features: {
        privnet: false,
        capabilities: {
          policy: "allow",
          states: [
            { name: "mac_admin", on: false },
            { name: "sys_module", on: false },
          ],
        },
        others: [],
      },
      filesystems: [
        filesystem({ kind: "mount", dir: "/var/lib/lxc/migrate_test" }, "/"),
        filesystem({ kind: "ram", usage: 8192n }, "/run"),
      ],
      interfaces: [nic({ kind: "bridge", bridge: "virbr0" }, { mac: "02:00:15:8f:05:c1", guest: "eth0", link: "up" })],
      consoles: consoles(4),
    });
    assert.deepEqual(doc, expected);
  });

  it("knows one format", () => {
    checkFormat("lxc-tools");
    assert.throws(
      () => {
        checkFormat("foo");
      },
      refusal(8, 17, "unsupported config type foo"),
    );
  });

  for (const [what, text, code, domain, detail] of [
    ["a line that is none", "lxc.uts.name = a\n# x\nlxc.tty", 33, 9, "memory conf:3: expecting an assignment"],
    ["a line of two words", "a b = c", 33, 9, "memory conf:1: expecting an assignment"],
    ["a line without a name", "\r\n= 3", 33, 9, "memory conf:2: expecting a name"],
    ["no name", "lxc.rootfs = /a", 67, 17, "Missing lxc.uts.name configuration"],
    ["a name with a slash", "lxc.utsname = a/b\nlxc.rootfs = /a", 27, 20, "name a/b cannot contain '/'"],
    ["no root", "lxc.utsname = a", 67, 17, "Missing lxc.rootfs.path configuration"],
  ] as const)
    it(`refuses ${what}`, () => {
      assert.throws(() => fromNative(text), refusal(code, domain, detail));
    });

  const none: DomainDoc = withRoot();
  it("fills in what LXC does not say", () => {
    assert.deepEqual(
      [none.memory, none.memtune, none.consoles, none.features.privnet],
      [65_536n, null, consoles(1), true],
    );
    assert.deepEqual(none.features.capabilities, { policy: "allow", states: [] });
    assert.equal(none.os.arch, "x86_64");
  });

  for (const [line, of, expected] of [
    ["lxc.arch = x86", (doc: DomainDoc) => doc.os.arch, "i686"],
    ["lxc.arch = amd64", (doc: DomainDoc) => doc.os.arch, "x86_64"],
    ["lxc.arch = arm64", (doc: DomainDoc) => doc.os.arch, "aarch64"],
    ["lxc.arch = pdp11", (doc: DomainDoc) => doc.os.arch, "x86_64"],
    ["lxc.tty.max = 2", (doc: DomainDoc) => doc.consoles, consoles(2)],
    ["lxc.tty = 0", (doc: DomainDoc) => doc.consoles, consoles(1)],
    [
      "lxc.id_map = u 0 100000 65536\nlxc.idmap = g 1 7 1\nlxc.idmap = g 0 100000 1",
      (doc: DomainDoc) => doc.idmap,
      {
        uids: [{ start: 0, target: 100_000, count: 65_536 }],
        gids: [
          { start: 0, target: 100_000, count: 1 },
          { start: 1, target: 7, count: 1 },
        ],
      },
    ],
    [
      "lxc.cap.drop = sys_time\nlxc.cap.drop = CAP_MKNOD setfcap setgid",
      (doc: DomainDoc) => doc.features.capabilities?.states.map(({ name, on }) => `${name} ${on}`),
      ["mknod false", "setgid false", "setfcap false", "sys_time false"],
    ],
    ["lxc.cap.drop = sys_time\nlxc.cap.drop =", (doc: DomainDoc) => doc.features.capabilities?.states, []],
    [
      "lxc.cap.drop = sys_time\nlxc.cap.drop = none\nlxc.cap.drop = kill",
      (doc: DomainDoc) => doc.features.capabilities?.states,
      [{ name: "kill", on: false }],
    ],
    [
      "lxc.cap.keep = kill chown",
      (doc: DomainDoc) => doc.features.capabilities,
      {
        policy: "deny",
        states: [
          { name: "chown", on: true },
          { name: "kill", on: true },
        ],
      },
    ],
    ["lxc.cap.keep = none", (doc: DomainDoc) => doc.features.capabilities, { policy: "deny", states: [] }],
    [
      "lxc.cgroup.memory.soft_limit_in_bytes = 64m\nlxc.cgroup.memory.memsw.limit_in_bytes = 1GiB",
      (doc: DomainDoc) => [doc.memory, doc.memtune],
      [65_536n, { hardLimit: null, softLimit: 65_536n, swapHardLimit: 1_048_576n }],
    ],
    ["lxc.cgroup.memory.limit_in_bytes = -1", (doc: DomainDoc) => [doc.memory, doc.memtune], [65_536n, null]],
    ["lxc.cgroup2.memory.max = 1G", (doc: DomainDoc) => [doc.memory, doc.memtune], [65_536n, null]],
    [
      "lxc.cgroup.cpu.shares = 512\nlxc.cgroup.cpu.cfs_quota_us = -1\nlxc.cgroup.cpu.cfs_period_us = 50000",
      (doc: DomainDoc) => doc.cputune,
      { shares: 512n, period: 50_000n, quota: -1n },
    ],
    ["lxc.cgroup.cpuset.cpus = 0-2,5", (doc: DomainDoc) => doc.vcpu.cpuset, [0, 1, 2, 5]],
    [
      "lxc.cgroup.cpuset.mems = 1",
      (doc: DomainDoc) => doc.numatune,
      { mode: "strict", placement: "static", nodeset: [1] },
    ],
    [
      [
        "lxc.cgroup.blkio.weight = 500",
        "lxc.cgroup.blkio.device_weight = 8:16 100",
        "lxc.cgroup.blkio.throttle.read_bps_device = 8:16 1048576",
        "lxc.cgroup.blkio.throttle.write_bps_device = 8:0 7",
        "lxc.cgroup.blkio.throttle.read_iops_device = 8:16 20",
        "lxc.cgroup.blkio.throttle.write_iops_device = 8:0 30",
      ].join("\n"),
      (doc: DomainDoc) => doc.blkio,
      {
        weight: 500,
        devices: [
          {
            path: "/dev/block/8:16",
            weight: 100,
            readIops: 20,
            writeIops: null,
            readBytes: 1_048_576n,
            writeBytes: null,
          },
          { path: "/dev/block/8:0", weight: null, readIops: null, writeIops: 30, readBytes: null, writeBytes: 7n },
        ],
      },
    ],
  ] as const)
    it(`turns ${line.replaceAll("\n", ", ")} into what it means`, () => {
      assert.deepEqual(of(withRoot(line)), expected);
    });

  it("ignores what a domain has no place for, keys with a dash, and keys of others", () => {
    const doc = withRoot(
      "lxc.hook.pre-start = /bin/true",
      "lxc.environment = A=b",
      "lxc.start.auto = 1",
      "lxc.include = /usr/share/lxc/config/common.conf",
      "lxc.mount.auto = proc:mixed",
      "lxc.init.cmd = /bin/sh",
      "lxc.apparmor.profile = unconfined",
      "lxc.seccomp.profile = /x",
      "lxc.cgroup.devices.deny = a",
      "lxc.autodev = 1",
      "my.key = 3",
    );
    assert.deepEqual(doc, none);
  });

  it("takes the last of several values, as LXC does, and none where it is empty", () => {
    const doc = fromNative('lxc.utsname = a\nlxc.rootfs = /a\nlxc.uts.name = "b"\nlxc.tty = 3\nlxc.tty =\n');
    assert.deepEqual([doc.name, doc.consoles.length], ["b", 1]);
  });

  for (const [line, code, domain, detail] of [
    ["lxc.mount = /etc/fstab", 74, 17, "lxc.mount.fstab or lxc.mount found, use lxc.mount.entry lines instead"],
    ["lxc.mount.fstab = /etc/fstab", 74, 17, "lxc.mount.fstab or lxc.mount found, use lxc.mount.entry lines instead"],
    ["lxc.tty = many", 1, 17, "failed to parse int: 'many'"],
    ["lxc.tty.max = 100000", 67, 17, "lxc.tty.max is more than 1024 (line 3)"],
    ["lxc.idmap = u 0 100000", 1, 17, "invalid lxc.idmap: 'u 0 100000'"],
    ["lxc.id_map = x 0 1 1", 1, 17, "invalid lxc.id_map: 'x 0 1 1'"],
    ["lxc.cgroup.memory.limit_in_bytes = lots", 1, 17, "failed to convert size: 'lots'"],
    ["lxc.cgroup.memory.limit_in_bytes = 99999999999E", 1, 17, "failed to convert size: '99999999999E'"],
    ["lxc.cgroup.cpu.shares = x", 1, 17, "failed to parse integer: 'x'"],
    ["lxc.cgroup.cpuset.cpus = 3-1", 8, 17, "Failed to parse bitmap '3-1'"],
    ["lxc.cgroup.blkio.weight = -5", 1, 17, "failed to parse integer: '-5'"],
    ["lxc.cgroup.blkio.device_weight = 8:0", 1, 17, "invalid lxc.cgroup.blkio.device_weight value: '8:0'"],
    ["lxc.cgroup.blkio.device_weight = 8:0 x", 1, 17, "failed to parse device weight: 'x'"],
    ["lxc.cgroup.blkio.throttle.read_bps_device = 8:0 x", 1, 17, "failed to parse read_bps_device: 'x'"],
  ] as const)
    it(`refuses ${line}`, () => {
      assert.throws(() => withRoot(line), refusal(code, domain, detail));
    });

  it("answers any text with a domain or one of libvirt's errors", () => {
    // prettier-ignore
    const key = fc.constantFrom(
      "lxc.uts.name", "lxc.rootfs.path", "lxc.net.0.type", "lxc.net.0.ipv4.address", "lxc.network.type", "lxc.net.0.hwaddr",
      "lxc.mount.entry", "lxc.idmap", "lxc.tty.max", "lxc.cgroup.cpuset.cpus", "lxc.net", "lxc.cgroup.memory.limit_in_bytes",
      "lxc.cap.drop", "lxc.cgroup.blkio.device_weight", "lxc.arch",
    );
    const line = fc.tuple(key, fc.string({ unit: "binary" })).map((parts) => parts.join(" = "));
    fc.assert(
      fc.property(fc.array(fc.oneof(line, fc.string())), (lines) => {
        try {
          assert.equal(withRoot(...lines).uuid, uuid);
        } catch (error) {
          assert.ok(error instanceof LibvirtError, String(error));
          assert.ok(!error.message.includes(generatedMac));
        }
      }),
      { numRuns: 500 },
    );
  });

  it("reads many lines in a time that grows with their number", () => {
    const lines = Array.from({ length: 30_000 }, (_, index) => `lxc.net.0.ipv4.address = 10.0.0.${index % 250}/8`);
    const began = performance.now();
    assert.equal(withRoot("lxc.net.0.type = veth", ...lines).interfaces[0]?.ips.length, 30_000);
    assert.ok(performance.now() - began < 5000);
  });
});
