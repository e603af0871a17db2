import assert from "node:assert/strict";
import { test } from "node:test";
import { LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import {
  type Impact,
  withDevice,
  withoutDevice,
  withReplaced,
} from "../../../../src/frontends/libvirt/xml/change-devices.js";
import { type Device, readDevice } from "../../../../src/frontends/libvirt/xml/device.js";
import type { DomainDoc } from "../../../../src/frontends/libvirt/xml/domain.js";
import { domain } from "../../../support/domain.js";
import { context } from "./support.js";

const read = (text: string): Device => readDevice(text, { ...context, newMac: () => "" });
const disk = (target: string): Device =>
  read(`<disk type='block'><source dev='/dev/sdb'/><target dev='${target}'/></disk>`);
const char = (path: string): Device =>
  read(`<hostdev mode='capabilities' type='misc'><source><char>${path}</char></source></hostdev>`);
const usb = (bus: number, device: number): Device =>
  read(`<hostdev mode='subsystem' type='usb'><source><address bus='${bus}' device='${device}'/></source></hostdev>`);
const nic = (mac: string, bridge = "br0"): Device =>
  read(
    `<interface type='bridge'>${mac === "" ? "" : `<mac address='${mac}'/>`}<source bridge='${bridge}'/></interface>`,
  );
const [one, two] = ["52:54:00:00:00:11", "52:54:00:00:00:12"];

const doc = (...devices: readonly Device[]): DomainDoc =>
  devices.reduce((so, device) => withDevice(so, device, "config"), domain());

/** Code and message, for the definition and for what runs. */
function faults(change: (impact: Impact) => unknown): readonly (readonly [number, string])[] {
  return (["config", "live"] as const).map((impact) => {
    try {
      change(impact);
    } catch (error) {
      assert.ok(error instanceof LibvirtError);
      return [error.code, error.message];
    }
    return assert.fail(`${impact}: no fault`);
  });
}

test("a device that is attached is the last of its kind, and detached again the document is as it was", () => {
  const before = doc(disk("sdb"), char("/dev/fuse"), nic(one));
  for (const device of [disk("sdc"), char("/dev/net/tun"), usb(1, 12), nic(two)]) {
    const after = withDevice(before, device, "live");
    const list = device.kind === "disk" ? after.disks : device.kind === "hostdev" ? after.hostdevs : after.interfaces;
    assert.equal(list.length, 2);
    assert.equal(list[1], device.device);
    const removed = withoutDevice(after, device, "live");
    assert.deepEqual(removed.doc, before);
    assert.equal(removed.device.device, device.device);
  }
});

test("a USB device that was found by its ids is detached by them, or by its place", () => {
  const byIds = read(
    "<hostdev mode='subsystem' type='usb'><source><vendor id='0x46d'/><product id='0xc52b'/></source></hostdev>",
  );
  const found = read(
    "<hostdev mode='subsystem' type='usb'><source><vendor id='0x46d'/><product id='0xc52b'/><address bus='1' device='12'/></source></hostdev>",
  );
  const before = doc(found, usb(1, 13));
  for (const wanted of [byIds, found, usb(1, 12)])
    assert.equal(withoutDevice(before, wanted, "live").device.device, found.device);
});

test("what is there already is not attached again", () => {
  const before = doc(disk("sdb"), char("/dev/fuse"), usb(1, 12));
  assert.deepEqual(
    faults((impact) => withDevice(before, disk("sdb"), impact)),
    [
      [8, "invalid argument: target sdb already exists."],
      [9, "operation failed: target sdb already exists"],
    ],
  );
  assert.deepEqual(
    faults((impact) => withDevice(before, char("/dev/fuse"), impact)),
    [
      [8, "invalid argument: device is already in the domain configuration"],
      [9, "operation failed: host device already exists"],
    ],
  );
  assert.equal(
    faults((impact) => withDevice(before, usb(1, 12), impact))[1]?.[1],
    "operation failed: host USB device already exists",
  );
});

test("what is not there is not detached", () => {
  const before = doc(disk("sdb"), char("/dev/fuse"), usb(1, 12));
  const messages = (device: Device): readonly string[] =>
    faults((impact) => withoutDevice(before, device, impact)).map(([, message]) => message);
  assert.deepEqual(messages(disk("sdc")), [
    "invalid argument: no target device sdc",
    "operation failed: disk sdc not found",
  ]);
  assert.deepEqual(messages(char("/dev/net/tun")), [
    "invalid argument: device not present in domain configuration",
    "operation failed: hostdev /dev/net/tun not found",
  ]);
  assert.equal(messages(usb(1, 13))[1], "operation failed: usb device not found");
  assert.deepEqual(faults((impact) => withoutDevice(before, nic(one), impact))[0], [
    99,
    `device not found: no device matching MAC address ${one} found`,
  ]);
  assert.equal(messages(nic(""))[0], "device not found: no matching device found");
});

test("an interface is known by its address, and without one where there is no other", () => {
  assert.deepEqual(withoutDevice(doc(nic(one)), nic(""), "live").doc.interfaces, []);
  const both = doc(nic(one), nic(two));
  assert.equal(withoutDevice(both, nic(two), "live").doc.interfaces[0]?.mac, one);
  assert.deepEqual(faults((impact) => withoutDevice(both, nic(""), impact))[0], [
    9,
    "operation failed: multiple matching devices found",
  ]);
  assert.deepEqual(faults((impact) => withoutDevice(doc(nic(one), nic(one)), nic(one), impact))[0], [
    9,
    `operation failed: multiple devices matching MAC address ${one} found`,
  ]);
});

test("an interface of a definition is replaced in its place and keeps its address; nothing else is", () => {
  const after = withReplaced(doc(nic(one), nic(two)), nic(one, "br1"));
  assert.deepEqual(
    after.interfaces.map(({ mac, source }) => [mac, source]),
    [
      [one, { kind: "bridge", bridge: "br1" }],
      [two, { kind: "bridge", bridge: "br0" }],
    ],
  );
  assert.equal(withReplaced(doc(nic(one)), nic("", "br1")).interfaces[0]?.mac, one);
  assert.throws(() => withReplaced(doc(disk("sdb")), disk("sdb")), {
    code: 67,
    message: "unsupported configuration: persistent update of device is not supported",
  });
});

test("filesystems, consoles and what a container has no use for are neither attached nor detached", () => {
  for (const [xml, kind] of [
    ["<filesystem><source dir='/a'/><target dir='/b'/></filesystem>", "filesystem"],
    ["<console type='pty'/>", "chr"],
    ["<rng model='virtio'><backend model='random'>/dev/random</backend></rng>", "rng"],
  ] as const) {
    assert.deepEqual(
      faults((impact) => withDevice(domain(), read(xml), impact)),
      [
        [67, "unsupported configuration: persistent attach of device is not supported"],
        [67, `unsupported configuration: device type '${kind}' cannot be attached`],
      ],
    );
    assert.deepEqual(
      faults((impact) => withoutDevice(domain(), read(xml), impact)),
      [
        [67, "unsupported configuration: persistent detach of device is not supported"],
        [67, `unsupported configuration: device type '${kind}' cannot be detached`],
      ],
    );
  }
});
