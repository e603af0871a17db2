import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import type { HostFiles } from "../../../../src/frontends/libvirt/host/files.js";
import { findUsb, withUsbFound } from "../../../../src/frontends/libvirt/host/usb.js";
import { readDevice } from "../../../../src/frontends/libvirt/xml/device.js";
import type { UsbDevice } from "../../../../src/frontends/libvirt/xml/domain.js";
import { usbLines } from "../../../../src/frontends/libvirt/xml/read-others.js";
import { domain, usb } from "../../../support/domain.js";

/** A made-up /sys/bus/usb/devices: by name, vendor, product and number as the kernel writes them. */
function sysfs(devices: Readonly<Record<string, readonly [string, string, string]>>): HostFiles {
  const files = ["idVendor", "idProduct", "devnum"];
  return {
    list: (path) => (path === "/sys/bus/usb/devices" ? Object.keys(devices) : []),
    read: (path) => {
      const [, name = "", file = ""] = /^\/sys\/bus\/usb\/devices\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
      const text = devices[name]?.[files.indexOf(file)];
      return text === undefined ? null : `${text}\n`;
    },
  };
}

const host = sysfs({
  usb1: ["1d6b", "0002", "1"],
  usb2: ["1d6b", "0003", "1"],
  "1-0:1.0": ["1234", "5678", "9"],
  "1-1": ["046D", "c52b", "5"],
  "1-1:1.0": ["046d", "c52b", "5"],
  "2-1.4": ["0bda", "8153", "17"],
  "12-1.4.2": ["0bda", "8153", "103"],
  "3-1": ["ffff", "gggg", "2"],
});

const placeOf = (wanted: Partial<UsbDevice>): unknown => {
  const found = findUsb(usb(wanted), host);
  return found === null ? null : [found.bus, found.device];
};
const refused = (wanted: Partial<UsbDevice>, code: number, message: string): void => {
  assert.throws(
    () => findUsb(usb(wanted), host),
    (error) => {
      assert.ok(error instanceof LibvirtError);
      assert.deepEqual([error.code, error.domain, error.message], [code, 0, message]);
      return true;
    },
  );
};

describe("a USB device of the host's", () => {
  it("is found by its ids, also a hub, and not by those of an interface", () => {
    assert.deepEqual(placeOf({ vendor: 0x46d, product: 0xc52b }), [1, 5]);
    assert.deepEqual(placeOf({ vendor: 0x1d6b, product: 3 }), [2, 1]);
    refused({ vendor: 0x1234, product: 0x5678 }, 1, "internal error: Did not find USB device 1234:5678");
    refused({ vendor: 0x46d, product: 1 }, 1, "internal error: Did not find USB device 046d:0001");
    refused({ vendor: 0xffff, product: 0 }, 1, "internal error: Did not find USB device ffff:0000");
  });

  it("must be one: of several the place says which", () => {
    const twins = { vendor: 0xbda, product: 0x8153 };
    refused(twins, 9, "operation failed: Multiple USB devices for bda:8153, use <address> to specify one");
    assert.deepEqual(placeOf({ ...twins, bus: 12, device: 103 }), [12, 103]);
    refused({ ...twins, bus: 1, device: 5 }, 1, "internal error: Did not find USB device 0bda:8153 bus:1 device:5");
  });

  it("is found by its place alone, whatever it is", () => {
    assert.deepEqual(placeOf({ bus: 1, device: 5 }), [1, 5]);
    refused({ bus: 5, device: 1 }, 1, "internal error: Did not find USB device bus:5 device:1");
    // Without a bus there is no place.
    assert.deepEqual(placeOf({ vendor: 0x46d, product: 0xc52b, bus: 0, device: 7 }), [1, 5]);
  });

  it("is nowhere on a host without a bus", () => {
    assert.throws(() => findUsb(usb({ vendor: 1, product: 2 }), sysfs({})), /Did not find USB device 0001:0002/);
  });

  it("may be missing where the document says so, and then is left out of what runs", () => {
    const there = usb({ vendor: 0x46d, product: 0xc52b, startupPolicy: "optional" });
    const gone = { ...there, product: 1 };
    const tun = { kind: "misc", char: "/dev/net/tun" } as const;
    assert.deepEqual(withUsbFound(domain({ hostdevs: [gone, tun, there] }), host).hostdevs, [
      tun,
      { ...there, bus: 1, device: 5 },
    ]);
    assert.equal(findUsb({ ...gone, startupPolicy: "requisite" }, host), null);
    refused({ ...gone, startupPolicy: "mandatory" }, 1, "internal error: Did not find USB device 046d:0001");
    const other = domain({ hostdevs: [tun] });
    assert.equal(withUsbFound(other, host), other);
  });
});

describe("a USB device in a document", () => {
  const read = (source: string): UsbDevice => {
    const device = readDevice(`<hostdev mode='subsystem' type='usb'>${source}</hostdev>`, {
      newUuid: () => "",
      newMac: () => "",
      defaultEmulator: "",
      arch: "x86_64",
    });
    return device.kind === "hostdev" && device.device.kind === "usb" ? device.device : assert.fail("no USB device");
  };
  // What libvirt 9.0 makes of them.
  const cases: readonly (readonly [string, readonly string[]])[] = [
    [
      "<source startupPolicy='optional'><vendor id='0x1234'/><product id='0x5678'/></source>",
      ["  <source startupPolicy='optional'>", "    <vendor id='0x1234'/>", "    <product id='0x5678'/>", "  </source>"],
    ],
    [
      "<source autoAddress='yes'><vendor id='0x12345'/><product id='0'/><address bus='1' device='0'/></source>",
      [
        "  <source>",
        "    <vendor id='0x12345'/>",
        "    <product id='0x0000'/>",
        "    <address bus='1' device='0'/>",
        "  </source>",
      ],
    ],
    [
      "<source missing='yes'><vendor id='1'/><product id='70000'/><address bus='0' device='0'/></source>",
      ["  <source>", "    <vendor id='0x0001'/>", "    <product id='0x11170'/>", "  </source>"],
    ],
  ];
  for (const [source, lines] of cases)
    it(`is printed as libvirt does: ${source}`, () => {
      const made = ["<hostdev mode='subsystem' type='usb' managed='no'>", ...lines, "</hostdev>"];
      assert.deepEqual(usbLines(read(source)), made);
      assert.deepEqual(usbLines(read(made.slice(1, -1).join("\n"))), made);
    });

  it("has a policy of libvirt's and a vendor", () => {
    for (const policy of ["bogus", "default", ""])
      assert.throws(() => read(`<source startupPolicy='${policy}'><address bus='1' device='1'/></source>`), {
        message: `XML error: Invalid value for attribute 'startupPolicy' in element 'source': '${policy}'.`,
      });
    assert.throws(() => read("<source><vendor id='0'/><product id='1'/></source>"), {
      message: "XML error: Invalid value for attribute 'id' in element 'vendor': Zero is not permitted",
    });
  });
});
