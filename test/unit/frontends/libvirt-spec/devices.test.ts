import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { guestNode, mayUse } from "../../../../src/frontends/libvirt/spec/devices.js";
import { toSpec } from "../../../../src/frontends/libvirt/spec/to-spec.js";
import type { Bandwidth, Disk, DomainDoc, Interface } from "../../../../src/frontends/libvirt/xml/domain.js";
import { deviceText, unifiedDevicePolicy } from "../../../../src/plan/cgroup.js";
import { withImages } from "../../../../src/plan/disk-image.js";
import type { NicSpec } from "../../../../src/spec/nic.js";
import { hostFacts } from "../../../support/facts.js";
import { domain, nic, specContext, usb } from "../../../support/domain.js";

const host = specContext({
  "/dev/sdb": { kind: "b", major: 8, minor: 16 },
  "/srv/data.img": { kind: "file" },
  "/srv": { kind: "dir" },
  "/dev/net/tun": { kind: "c", major: 10, minor: 200 },
  "/dev/rtc": { kind: "c", major: 250, minor: 0 },
  "/dev/bus/usb/001/012": { kind: "c", major: 189, minor: 11 },
});

function devices(changes: Partial<DomainDoc>): {
  readonly nodes: readonly string[];
  readonly rules: readonly string[];
} {
  const { mounts, cgroup } = toSpec(domain(changes), host);
  return {
    nodes: mounts.dev.nodes.slice(6).map(({ name, type, mode }) => `${type} ${name} ${mode.toString(8)}`),
    rules: cgroup.devicesV1.slice(10).map(deviceText),
  };
}

const ids = [{ start: 0, target: 100000, count: 65536 }];

const fails = (changes: Partial<DomainDoc>, message: string): void => {
  assert.throws(() => devices(changes), { name: "LibvirtError", message });
};

describe("a domain's devices", () => {
  it("are the usual ones and nothing else", () => {
    const { mounts, cgroup } = toSpec(domain(), host);
    assert.deepEqual(
      mounts.dev.nodes.map(({ name }) => name),
      ["null", "zero", "full", "random", "urandom", "tty"],
    );
    const [first, ...rest] = cgroup.devicesV1;
    assert.deepEqual([first?.allow, first?.type], [false, "a"]);
    assert.ok(rest.every((rule) => rule.allow));
    assert.deepEqual(rest.map(deviceText), [
      ...[3, 5, 7, 8, 9].map((minor) => `c 1:${minor} rwm`),
      "c 5:0 rwm",
      "c 5:2 rwm",
      "c 10:229 rwm",
      "c 136:* rwm",
    ]);
  });

  it("of the host are there under their own names, disks under the document's", () => {
    const disk = {
      type: "block",
      device: "disk",
      driver: null,
      format: null,
      source: "/dev/sdb",
      target: "vda",
      bus: null,
    } as const;
    assert.deepEqual(devices({ disks: [{ ...disk, readonly: true }] }), { nodes: ["b vda 700"], rules: ["b 8:16 rm"] });
    assert.deepEqual(
      devices({
        hostdevs: [
          { kind: "storage", block: "/dev/sdb" },
          { kind: "misc", char: "/dev/net/tun" },
          usb({ bus: 1, device: 12 }),
        ],
      }),
      {
        nodes: ["b sdb 700", "c net/tun 700", "c bus/usb/001/012 700"],
        rules: ["b 8:16 rwm", "c 10:200 rwm", "c 189:11 rwm"],
      },
    );
  });

  it("may be raw images, which become devices when it starts", () => {
    const disk: Disk = {
      type: "file",
      device: "disk",
      driver: null,
      format: null,
      source: "/srv/data.img",
      target: "vda",
      bus: "virtio",
      readonly: false,
    };
    const image = { name: "vda", path: "/srv/data.img", readonly: false, mode: 0o700 };
    for (const same of [disk, { ...disk, format: "raw" }, { ...disk, driver: "loop", format: "none" }])
      assert.deepEqual(toSpec(domain({ disks: [same] }), host).mounts.dev.images, [image]);
    for (const [mapped, spec] of [
      [false, toSpec(domain({ disks: [{ ...disk, readonly: true }] }), host)],
      [true, toSpec(domain({ disks: [{ ...disk, readonly: true }], idmap: { uids: ids, gids: ids } }), host)],
    ] as const) {
      const [only] = spec.mounts.dev.images ?? [];
      assert.ok(only);
      const made = withImages(spec, [{ image: only, major: 7, minor: 3 }]);
      const node = { name: "vda", type: "b", major: 7, minor: 3, mode: 0o700, host: "/dev/loop3" };
      assert.deepEqual(made.mounts.dev.images, undefined);
      assert.deepEqual((mapped ? made.guest.devices : made.mounts.dev.nodes).at(-1), node);
      assert.deepEqual(made.cgroup.devicesV1.slice(10).map(deviceText), ["b 7:3 rm"]);
      assert.deepEqual(made.cgroup.devicesV2, []);
      // On the unified hierarchy the rule is one of the program's, which later changes are made of.
      const policy = unifiedDevicePolicy(made, hostFacts("v2"));
      assert.deepEqual(policy?.exceptions.at(-1), { type: "b", major: 7, minor: 3, access: 3 });
    }
    for (const [changes, message] of [
      [{ driver: "nbd", format: "qcow2" }, "unsupported configuration: disk driver nbd is not supported"],
      [{ format: "qcow2" }, "unsupported configuration: disk format qcow2 is not supported"],
      [{ driver: "loop", format: "qcow2" }, "unsupported configuration: disk format qcow2 is not supported"],
      [{ source: "" }, "unsupported configuration: Can't setup disk without media"],
      [{ source: "/srv" }, "unsupported configuration: Storage source /srv must be a file"],
      [{ source: "/srv/none" }, "Unable to open /srv/none: No such file or directory"],
    ] as const)
      fails({ disks: [{ ...disk, ...changes }] }, message);
  });

  it("that are missing, of another kind or elsewhere are refused", () => {
    fails({ hostdevs: [{ kind: "misc", char: "/dev/nope" }] }, "Unable to access /dev/nope: No such file or directory");
    fails(
      { hostdevs: [{ kind: "storage", block: "/dev/net/tun" }] },
      "unsupported configuration: Storage source /dev/net/tun must be a block device",
    );
    fails(
      { hostdevs: [{ kind: "misc", char: "/dev/../etc" }] },
      "unsupported configuration: device /dev/../etc is not below /dev",
    );
    fails({ hostdevs: [{ kind: "pci", xml: "" }] }, "unsupported configuration: Unsupported host device type pci");
  });

  it("of a clock may be read; where the clock is the host's they are in /dev", () => {
    const clock = (offset: "utc" | "localtime", present: boolean): DomainDoc["clock"] => ({
      offset,
      attributes: {},
      timers: [{ name: "rtc", present }],
    });
    assert.deepEqual(devices({ clock: clock("localtime", true) }), { nodes: ["c rtc 700"], rules: ["c 250:0 r"] });
    assert.deepEqual(devices({ clock: clock("utc", true) }), { nodes: [], rules: ["c 250:0 r"] });
    assert.deepEqual(devices({ clock: clock("utc", false) }), { nodes: [], rules: [] });
  });
});

describe("a domain's interfaces", () => {
  const nics = (changes: Partial<DomainDoc>): readonly NicSpec[] => {
    const { network } = toSpec(domain(changes), host);
    assert.equal(network.kind, "own");
    return network.kind === "own" ? network.nics : [];
  };
  const only = (item: Interface): NicSpec => nics({ interfaces: [item] })[0] ?? assert.fail("no nic");

  it("are the host's where there are none and none are asked for", () => {
    assert.deepEqual(toSpec(domain(), host).network, { kind: "host" });
  });

  it("are lo alone with privnet", () => {
    const [lo, ...rest] = nics({ features: { ...domain().features, privnet: true } });
    assert.deepEqual([lo?.type, lo?.up, rest.length], ["empty", true, 0]);
  });

  it("stay down unless they have an address or shall be up", () => {
    const bridge = { kind: "bridge", bridge: "br0" } as const;
    assert.equal(only(nic(bridge)).up, false);
    assert.equal(only(nic(bridge, { link: "up" })).up, true);
    const made = only(nic(bridge, { ips: [{ address: "10.0.0.2", family: "ipv4", prefix: null, peer: null }] }));
    assert.equal(made.up, true);
    assert.deepEqual(made.addresses, [
      { family: "ipv4", address: "10.0.0.2", prefix: 8, broadcast: "10.255.255.255", at: null },
    ]);
  });

  it("are of the bridge that a network has", () => {
    const network = { kind: "network", network: "default", portgroup: null, portId: null, bridge: null } as const;
    const made = only(nic(network, { guest: "wan", target: "web1-0" }));
    assert.ok(made.type === "veth");
    assert.deepEqual([made.link, made.name, made.pair, made.hwaddr], ["virbr0", "wan", "web1-0", "52:54:00:12:34:56"]);
    fails(
      { interfaces: [nic({ ...network, network: "nonet" })] },
      "Network not found: no network with matching name 'nonet'",
    );
  });

  it("have routes by prefix, by mask, and by the class of the network", () => {
    const route = { family: "ipv4", prefix: null, netmask: null, gateway: "10.0.0.1", metric: null } as const;
    const routes = [
      { ...route, address: "0.0.0.0" },
      { ...route, address: "10.8.0.0", netmask: "255.255.0.0" },
      { ...route, address: "192.168.1.0", metric: 7 },
      { ...route, family: "ipv6", address: "::", gateway: "fe80::1" },
    ] as const;
    const made = only(nic({ kind: "bridge", bridge: "br0" }, { routes }));
    assert.deepEqual(
      made.routes?.map(({ to, prefix, gateway, metric }) => `${to}/${prefix} ${gateway} ${metric ?? "-"}`),
      ["0.0.0.0/0 10.0.0.1 -", "10.8.0.0/16 10.0.0.1 -", "192.168.1.0/24 10.0.0.1 7", "::/0 fe80::1 -"],
    );
  });

  it("have limits in thousands of bytes a second", () => {
    const bandwidth = { peak: null, burst: null, floor: null };
    const made = only(
      nic(
        { kind: "bridge", bridge: "br0" },
        { inbound: { average: 1000, ...bandwidth }, outbound: { average: 1, ...bandwidth } },
      ),
    );
    assert.ok(made.type === "veth");
    assert.deepEqual([made.limitIn?.rate, made.limitOut?.rate], [8_000_000, 16_000]);
  });

  it("pass bursts as the driver's tc commands do", () => {
    const limits = (inbound: Partial<Bandwidth>, outbound: Partial<Bandwidth>): unknown => {
      const rate = { average: 1000, peak: null, burst: null, floor: null };
      const item = { inbound: { ...rate, ...inbound }, outbound: { ...rate, ...outbound } };
      const made = only(nic({ kind: "bridge", bridge: "br0" }, item));
      return made.type === "veth" ? [made.limitIn, made.limitOut] : null;
    };
    const rate = { rate: 8_000_000, at: null };
    // What comes in has bursts at the peak alone; what goes out has those of a second.
    assert.deepEqual(limits({}, {}), [rate, { ...rate, burst: 1_024_000 }]);
    assert.deepEqual(limits({ burst: 500 }, { burst: 500, peak: 9000 }), [rate, { ...rate, burst: 512_000 }]);
    assert.deepEqual(limits({ burst: 500, peak: 2000 }, { burst: 1 }), [
      { ...rate, burst: 512_000, peak: 16_000_000 },
      { ...rate, burst: 16_384 },
    ]);
    assert.deepEqual(limits({ peak: 2000 }, { average: 1e9, burst: 1e9 }), [
      { ...rate, peak: 16_000_000 },
      { ...rate, rate: 100_000_000_000, burst: 0xffff_ffff },
    ]);
    assert.deepEqual(limits({ peak: 500, burst: 9 }, {}), [
      { ...rate, rate: 4_000_000 },
      { ...rate, burst: 1_024_000 },
    ]);
  });

  it("have no part of a network's rate that is theirs, as the network has no limit", () => {
    const inbound = { average: 1000, peak: null, burst: null, floor: 100 };
    const source = { kind: "network", network: "default", portgroup: null, portId: null, bridge: null } as const;
    fails(
      { interfaces: [nic(source, { inbound })] },
      "unsupported configuration: Invalid use of 'floor' on interface with MAC address 52:54:00:12:34:56 - network 'default' has no inbound QoS set",
    );
  });

  it("are links of the host's own, which come back", () => {
    const [made, ...rest] = nics({ hostdevs: [{ kind: "net", interface: "eth7", ips: [], routes: [] }] });
    assert.ok(made?.type === "phys");
    assert.deepEqual([made.link, made.name, made.up, rest.length], ["eth7", "eth7", false, 0]);
  });

  it("have those of libvirt's filters that say whose the frames are, and are refused with any other", () => {
    const bridge = { kind: "bridge", bridge: "br0" } as const;
    const filtered = (filter: string, changes: Partial<Interface> = {}): Interface =>
      nic(bridge, { others: [{ name: "filterref", xml: `<filterref filter='${filter}'/>` }], ...changes });
    const ips = [{ address: "10.0.0.2", family: "ipv4", prefix: 24, peer: null }] as const;
    const words = (item: Interface): unknown => {
      const made = only(item);
      return made.type === "veth" ? made.filter?.words : null;
    };
    assert.deepEqual(words(filtered("no-mac-spoofing")), ["mac"]);
    assert.deepEqual(words(filtered("clean-traffic", { ips })), ["mac", "ipv4", "ipv6"]);
    fails(
      { interfaces: [filtered("clean-traffic")] },
      "unsupported configuration: the network filter 'clean-traffic' needs the interface's IPv4 address: give it as <ip>",
    );
    fails(
      { interfaces: [filtered("toString")] },
      "unsupported configuration: the network filter 'toString' is not supported",
    );
  });

  it("are refused where something would be left out that protects others", () => {
    const bridge = { kind: "bridge", bridge: "br0" } as const;
    const other = (name: string): Partial<DomainDoc> => ({
      interfaces: [nic(bridge, { others: [{ name, xml: "" }] })],
    });
    fails(
      other("vlan"),
      "unsupported configuration: an interface of type 'bridge' is requesting a vlan tag, but that is not supported for this type of connection",
    );
    const bandwidth = { average: 1, peak: null, burst: null, floor: null };
    fails(
      { interfaces: [nic({ kind: "direct", dev: "eth0", mode: "vepa" }, { inbound: bandwidth })] },
      "unsupported configuration: Unable to set network bandwidth on direct interfaces",
    );
    fails(
      { interfaces: [nic({ kind: "other", type: "user", xml: "" })] },
      "internal error: Unsupported network type user",
    );
  });
});

describe("a device that comes to a running guest", () => {
  const sdb = { kind: "hostdev", device: { kind: "storage", block: "/dev/sdb" } } as const;
  it("is the node that a start would make", () => {
    const node = guestNode(sdb, host);
    assert.deepEqual([node?.source, node?.destination, node?.mode.toString(8)], ["/dev/sdb", "/dev/sdb", "700"]);
    assert.equal(node === null ? "" : deviceText(node.rule), "b 8:16 rwm");
    assert.equal(
      guestNode({ kind: "hostdev", device: { kind: "net", interface: "eth1", ips: [], routes: [] } }, host),
      null,
    );
    assert.throws(() => guestNode({ kind: "hostdev", device: { kind: "misc", char: "/dev/none" } }, host), {
      code: 38,
      message: "Unable to access /dev/none: No such file or directory",
    });
    assert.throws(() => guestNode({ kind: "hostdev", device: { kind: "misc", char: "/etc/../dev/sdb" } }, host), {
      message: /is not below \/dev/,
    });
  });
  it("may be one that it has already, by another path or because every guest has it", () => {
    const { rule } = guestNode(sdb, host) ?? assert.fail();
    const has = (hostdevs: DomainDoc["hostdevs"]): boolean => mayUse(domain({ hostdevs }), rule, host);
    assert.equal(has([]), false);
    assert.equal(
      has([
        { kind: "misc", char: "/dev/net/tun" },
        { kind: "misc", char: "/dev/gone" },
      ]),
      false,
    );
    assert.equal(has([sdb.device]), true);
    assert.equal(mayUse(domain(), { ...rule, type: "c", major: 10, minor: 229 }, host), true);
    assert.equal(mayUse(domain(), { ...rule, type: "c", major: 136, minor: 7 }, host), true);
  });
});
