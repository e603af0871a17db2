import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { derivedUuid, fromSpec } from "../../../../src/frontends/libvirt/spec/from-spec.js";
import { numbersOf } from "../../../../src/frontends/libvirt/spec/limits-from.js";
import { toSpec } from "../../../../src/frontends/libvirt/spec/to-spec.js";
import type { DomainDoc } from "../../../../src/frontends/libvirt/xml/domain.js";
import { specOf } from "../../../support/plan.js";
import { domain, filesystem, nic, specContext } from "../../../support/domain.js";

const uuid = "11111111-2222-3333-4444-555555555555";
const hostMemory = 8_000_000n;
const shown = (config: string): DomainDoc => fromSpec(specOf(config), uuid, hostMemory, "x86_64");

describe("a container of lxc-create's as a domain", () => {
  it("has its init, its root and the host's memory", () => {
    const doc = shown("lxc.tty.max = 2");
    assert.equal(doc.name, "web1");
    assert.equal(doc.uuid, uuid);
    assert.deepEqual([doc.memory, doc.currentMemory, doc.memtune], [hostMemory, hostMemory, null]);
    assert.equal(doc.os.init, "/sbin/init");
    assert.deepEqual(doc.filesystems, [filesystem({ kind: "mount", dir: "/var/lib/lxc/web1/rootfs" }, "/")]);
    assert.deepEqual(
      doc.consoles.map(({ port }) => port),
      [0, 1, 2],
    );
    assert.deepEqual([doc.idmap, doc.namespaces, doc.live], [null, null, null]);
  });

  it("has the host's architecture", () => {
    const archOf = (config: string, arch: "x86_64" | "aarch64"): string =>
      fromSpec(specOf(config), uuid, hostMemory, arch).os.arch;
    assert.equal(archOf("", "x86_64"), "x86_64");
    assert.equal(archOf("", "aarch64"), "aarch64");
    assert.equal(archOf("lxc.arch = i686", "x86_64"), "i686");
    assert.equal(archOf("lxc.arch = armv7l", "aarch64"), "aarch64");
  });

  it("has limits of either cgroup version", () => {
    const v1 = shown(
      "lxc.cgroup.memory.limit_in_bytes = 256M\nlxc.cgroup.cpu.shares = 512\nlxc.cgroup.cpuset.cpus = 0-1,3",
    );
    assert.deepEqual([v1.memory, v1.memtune?.hardLimit, v1.cputune?.shares], [262144n, 262144n, 512n]);
    assert.deepEqual(v1.vcpu.cpuset, [0, 1, 3]);
    const v2 = shown(
      "lxc.cgroup2.memory.max = 1048576\nlxc.cgroup2.memory.swap.max = 1M\nlxc.cgroup2.cpu.max = 50000 100000",
    );
    assert.deepEqual(v2.memtune, { hardLimit: 1024n, softLimit: null, swapHardLimit: 2048n });
    assert.deepEqual([v2.cputune?.quota, v2.cputune?.period], [50000n, 100000n]);
    assert.equal(shown("lxc.cgroup2.memory.max = max").memory, hostMemory);
  });

  it("has its nics, as libvirt has words for them", () => {
    const doc = shown(
      [
        "lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.flags = up\nlxc.net.0.hwaddr = 00:16:3e:11:22:33",
        "lxc.net.0.ipv4.address = 10.0.3.7/24\nlxc.net.0.ipv4.gateway = 10.0.3.1\nlxc.net.0.name = wan",
        "lxc.net.1.type = macvlan\nlxc.net.1.link = eth0",
        "lxc.net.2.type = vlan\nlxc.net.2.link = eth0\nlxc.net.2.vlan.id = 7",
        "lxc.net.3.type = phys\nlxc.net.3.link = eth1",
      ].join("\n"),
    );
    const [first, second] = doc.interfaces;
    assert.deepEqual(
      [first?.source, first?.mac, first?.guest, first?.link],
      [{ kind: "bridge", bridge: "lxcbr0" }, "00:16:3e:11:22:33", "wan", "up"],
    );
    assert.deepEqual(first?.ips, [{ address: "10.0.3.7", family: "ipv4", prefix: 24, peer: null }]);
    assert.deepEqual(
      first?.routes.map(({ address, prefix, gateway }) => [address, prefix, gateway]),
      [["0.0.0.0", 0, "10.0.3.1"]],
    );
    assert.deepEqual([second?.source, second?.link], [{ kind: "direct", dev: "eth0", mode: "private" }, "down"]);
    assert.deepEqual(
      doc.hostdevs.map((hostdev) => (hostdev.kind === "net" ? hostdev.interface : hostdev.kind)),
      ["eth0.7", "eth1"],
    );
    assert.equal(doc.features.privnet, false);
  });

  it("has a private network without nics, and shares the host's with none", () => {
    assert.equal(shown("lxc.net.0.type = empty").features.privnet, true);
    assert.equal(shown("lxc.net.0.type = none").features.privnet, false);
  });

  it("has its mounts but those of the kernel's", () => {
    const doc = shown(
      [
        "lxc.mount.entry = /srv/www var/www none bind,ro,create=dir 0 0",
        "lxc.mount.entry = tmpfs tmp tmpfs size=10m 0 0",
        "lxc.mount.entry = tmpfs run tmpfs size=50% 0 0",
        "lxc.mount.entry = /dev/sdb1 data ext4 defaults 0 0",
        "lxc.mount.entry = proc proc proc defaults 0 0",
        "lxc.mount.entry = opt/a opt/b none bind,relative 0 0",
      ].join("\n"),
    );
    assert.deepEqual(doc.filesystems.slice(1), [
      filesystem({ kind: "mount", dir: "/srv/www" }, "/var/www", { readonly: true }),
      filesystem({ kind: "ram", usage: 10240n }, "/tmp"),
      filesystem({ kind: "block", dev: "/dev/sdb1" }, "/data"),
      filesystem({ kind: "bind", dir: "/opt/a" }, "/opt/b"),
    ]);
  });

  it("has its ids, capabilities and environment", () => {
    const doc = shown(
      "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 200000 65536\nlxc.cap.drop = sys_time mac_admin\nlxc.environment = A=1\nlxc.init.uid = 7",
    );
    assert.deepEqual(doc.idmap, {
      uids: [{ start: 0, target: 100000, count: 65536 }],
      gids: [{ start: 0, target: 200000, count: 65536 }],
    });
    assert.deepEqual(doc.features.capabilities, {
      policy: "allow",
      states: [
        { name: "mac_admin", on: false },
        { name: "sys_time", on: false },
      ],
    });
    assert.deepEqual(doc.os.initEnv, [{ name: "A", value: "1" }]);
    assert.equal(doc.os.initUser, "+7");
    assert.deepEqual(shown("lxc.cap.keep = chown bpf").features.capabilities, {
      policy: "deny",
      states: [{ name: "chown", on: true }],
    });
  });
});

describe("a domain that becomes a container and is shown again", () => {
  it("has the devices, interfaces and namespaces that it had", () => {
    const doc = domain({
      filesystems: [filesystem({ kind: "mount", dir: "/srv/a" }, "/", { readonly: true })],
      interfaces: [
        nic(
          {
            kind: "ethernet",
            ips: [{ address: "10.7.0.1", family: "ipv4", prefix: 32, peer: "10.7.0.2" }],
            routes: [],
          },
          { guest: "ptp0", link: "up", isolated: true },
        ),
      ],
      hostdevs: [
        { kind: "misc", char: "/dev/net/tun" },
        { kind: "storage", block: "/dev/sdb" },
      ],
      namespaces: { net: null, ipc: { type: "pid", value: "12" }, uts: null },
    });
    const host = specContext({
      "/dev/net/tun": { kind: "c", major: 10, minor: 200 },
      "/dev/sdb": { kind: "b", major: 8, minor: 16 },
    });
    const again = fromSpec(toSpec(doc, host), doc.uuid, hostMemory, "x86_64");
    for (const key of ["filesystems", "interfaces", "hostdevs", "namespaces", "memory", "idmap", "consoles"] as const)
      assert.deepEqual(again[key], doc[key], key);
    assert.equal(again.features.capabilities, null);
  });
});

describe("the uuid of a container without one", () => {
  it("depends on its place and its name, and on nothing else", () => {
    const one = derivedUuid("/var/lib/lxc", "web1");
    assert.match(one, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(derivedUuid("/var/lib/lxc", "web1"), one);
    assert.notEqual(derivedUuid("/var/lib/lxc", "web2"), one);
    assert.notEqual(derivedUuid("/srv/lxc", "web1"), one);
  });
});

describe("a list of processors", () => {
  it("is taken as the kernel takes it, and never fills the memory", () => {
    assert.deepEqual(numbersOf("3,0-1"), [0, 1, 3]);
    for (const text of ["", "a", "0-99999", "1-", null]) assert.equal(numbersOf(text), null);
  });
});
