import assert from "node:assert/strict";
import { test } from "node:test";
import { LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import { type Device, readDevice } from "../../../../src/frontends/libvirt/xml/device.js";
import { context } from "./support.js";

function read(text: string): Device {
  return readDevice(text, context, 2);
}

test("devices are read one by one, with a client's quotes, comments and live names", () => {
  const nic = read(`<!-- x -->\n<interface type="bridge">
      <mac address="52:54:00:82:f1:15"/>
      <source bridge="br0"/>
      <target dev="vnet4"/>
    </interface>`);
  assert.ok(nic.kind === "interface");
  assert.deepEqual(
    [nic.device.mac, nic.device.source, nic.device.target],
    ["52:54:00:82:f1:15", { kind: "bridge", bridge: "br0" }, null],
  );
  const fresh = read("<interface type='bridge'><source bridge='br0'/></interface>");
  assert.ok(fresh.kind === "interface" && fresh.device.mac === context.newMac());
  const filesystem = read("<filesystem type='ram'><source usage='1' units='MiB'/><target dir='/x'/></filesystem>");
  assert.deepEqual(filesystem, {
    kind: "filesystem",
    device: { source: { kind: "ram", usage: 1024n }, accessMode: "passthrough", target: "/x", readonly: false },
  });
  const hostdev = read("<hostdev mode='capabilities' type='misc'><source><char>/dev/fuse</char></source></hostdev>");
  assert.deepEqual(hostdev, { kind: "hostdev", device: { kind: "misc", char: "/dev/fuse" } });
  const disk = read("<disk type='block'><source dev='/dev/loop0'/><target dev='sdc'/></disk>");
  assert.ok(disk.kind === "disk" && disk.device.bus === "scsi" && disk.device.target === "sdc");
  assert.deepEqual(read("<console type='pty'/>"), {
    kind: "console",
    device: { type: "pty", targetType: "lxc", port: 2 },
  });
  assert.deepEqual(read(`<rng model="virtio"><backend model="random">/dev/random</backend></rng>`), {
    kind: "other",
    device: { name: "rng", xml: "<rng model='virtio'>\n  <backend model='random'>/dev/random</backend>\n</rng>" },
  });
});

test("a device that is none, or none that a container has, is refused in libvirt's words", () => {
  const wrong = [
    ["<foo/>", 67, 20, "unsupported configuration: unknown device type 'foo'"],
    ["<domain/>", 67, 20, "unsupported configuration: unknown device type 'domain'"],
    [
      "<interface",
      35,
      20,
      "(device_definition):1: Couldn't find end of Start Tag interface line 1\n<interface\n----------^",
    ],
    ["<input type='mouse'/>", 1, 20, "internal error: Input devices are not supported by this virtualization driver."],
    ["<graphics type='vnc'/>", 1, 20, "internal error: missing video model and cannot determine default"],
    ["<disk type='file'><source file='/a'/></disk>", 20, 20, "missing target information for device /a"],
    [
      "<interface type='none'/>",
      27,
      5,
      "XML error: Invalid value for attribute 'type' in element 'interface': 'none'.",
    ],
  ] as const;
  for (const [text, code, domain, message] of wrong)
    assert.throws(
      () => read(text),
      (error) => {
        assert.ok(error instanceof LibvirtError);
        assert.deepEqual([error.code, error.domain, error.message], [code, domain, message]);
        return true;
      },
    );
});
