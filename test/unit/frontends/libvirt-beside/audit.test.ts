import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  auditValue,
  changeRecords,
  startRecords,
  stopRecords,
} from "../../../../src/frontends/libvirt/beside/audit.js";
import { domain, filesystem, nic, usb } from "../../../support/domain.js";

const uuid = "11111111-2222-3333-4444-555555555555";
const who = `vm="t2" uuid=${uuid}`;

describe("what audit is told of a domain", () => {
  const doc = domain({
    name: "t2",
    memory: 200000n,
    filesystems: [
      filesystem({ kind: "mount", dir: "/path/root" }, "/"),
      filesystem({ kind: "ram", usage: 1n }, "/tmp"),
    ],
    interfaces: [nic({ kind: "bridge", bridge: "br0" }, { mac: "00:16:3e:11:22:33" })],
    hostdevs: [
      { kind: "storage", block: "/dev/sdb" },
      { kind: "misc", char: "/dev/input/event0" },
      usb({ bus: 1, device: 12 }),
    ],
  });

  it("that starts, in libvirt's words and order", () => {
    const records = startRecords(doc, {
      pid: 25919,
      pidNamespace: 4026533072,
      consoles: ["/dev/pts/1", null, "/dev/pts/3"],
    });
    assert.deepEqual(
      records.map(({ type, text }) => `${type} ${text}`),
      [
        `2501 virt=lxc resrc=fs reason=start ${who} old-fs="?" new-fs="/path/root"`,
        `2501 virt=lxc resrc=net reason=start ${who} old-net="?" new-net="00:16:3e:11:22:33"`,
        `2501 virt=lxc resrc=hostdev reason=start ${who} disk="/dev/sdb"`,
        `2501 virt=lxc resrc=hostdev reason=start ${who} chardev="/dev/input/event0"`,
        `2501 virt=lxc resrc=dev reason=start ${who} bus=usb device="001.012"`,
        `2501 virt=lxc resrc=chardev reason=start ${who} old-chardev="?" new-chardev="/dev/pts/1"`,
        `2501 virt=lxc resrc=chardev reason=start ${who} old-chardev="?" new-chardev="/dev/pts/3"`,
        `2501 virt=lxc resrc=mem reason=start ${who} old-mem=0 new-mem=200000`,
        `2501 virt=lxc resrc=vcpu reason=start ${who} old-vcpu=0 new-vcpu=1`,
        `2500 virt=lxc op=start reason=booted ${who} vm-pid=25919`,
        `2500 virt=lxc op=init ${who} vm-pid=25919 init-pid=25919 pid-ns=4026533072`,
      ],
    );
    assert.ok(records.every(({ isSuccess }) => isSuccess));
  });

  it("that fails to start, and that has a label", () => {
    const label = { type: "static", model: "selinux", relabel: null, label: "a:b", baseLabel: null, imageLabel: null };
    const records = startRecords(domain({ name: "t2", seclabels: [{ ...label, type: "static" }] }), null);
    assert.equal(records[0]?.text, `virt=lxc ${who} vm-ctx=a:b img-ctx=? model=selinux`);
    assert.equal(records[0]?.type, 2502);
    assert.deepEqual(records.at(-1), {
      type: 2500,
      text: `virt=lxc op=start reason=booted ${who} vm-pid=0`,
      isSuccess: false,
    });
  });

  it("that ends, and whose devices change", () => {
    assert.deepEqual(
      stopRecords(doc, "destroyed").map(({ text }) => text),
      [`virt=lxc op=stop reason=destroyed ${who} vm-pid=0`],
    );
    const after = { ...doc, interfaces: [nic({ kind: "bridge", bridge: "br0" }, { mac: "00:16:3e:00:00:01" })] };
    assert.deepEqual(
      changeRecords(doc, after).map(({ text }) => text),
      [
        `virt=lxc resrc=net reason=detach ${who} old-net="00:16:3e:11:22:33" new-net="?"`,
        `virt=lxc resrc=net reason=attach ${who} old-net="?" new-net="00:16:3e:00:00:01"`,
      ],
    );
    assert.deepEqual(changeRecords(doc, { ...doc, memory: 1n }), []);
  });

  it("is no way to forge a record", () => {
    assert.equal(auditValue("vm", 'a" uuid=0'), "vm=612220757569643D30");
    assert.equal(auditValue("vm", "a\nb"), "vm=610A62");
    assert.equal(auditValue("vm", "ä"), "vm=C3A4");
  });
});
