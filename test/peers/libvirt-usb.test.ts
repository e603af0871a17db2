import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { usbNamespace } from "../support/mntns.js";
import { lacks } from "../support/skip.js";
import { virshPlace } from "../support/virsh.js";

/** USB devices that domains name by their ids, on a host whose bus is made up for the test alone. */

const ids = (vendor: string, product: string, more = ""): string =>
  `<hostdev mode='subsystem' type='usb'><source${more}><vendor id='0x${vendor}'/><product id='0x${product}'/></source></hostdev>`;

test("a USB device is found by its ids when the domain starts, or is attached", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  if (!existsSync("/dev/loop-control")) {
    t.skip("there is no /dev/loop-control to stand for a device");
    return;
  }
  const place = await virshPlace(t, { mntnsPid: await usbNamespace(t, { vendor: "046d", product: "c52b" }) });
  const { ok, own, rootfs, virsh } = place;
  const root = rootfs("web");
  const file = (text: string): string => {
    const path = join(own.store.path, "..", "device.xml");
    writeFileSync(path, text);
    return path;
  };
  const define = async (devices: string): Promise<void> => {
    await ok(
      "define",
      file(`<domain type='lxc'><name>web</name><uuid>4de601c5-e42e-4721-81c9-7abc8ac07935</uuid><memory>262144</memory><os><type>exe</type><init>/bin/sh</init>
<initarg>-c</initarg><initarg>exec sleep 1000</initarg></os><features><privnet/></features>
<devices><filesystem><source dir='${root}'/><target dir='/'/></filesystem>${devices}</devices></domain>`),
    );
  };
  const fault = async (...words: readonly string[]): Promise<string> => {
    const { status, stderr } = await virsh(words);
    assert.equal(status, 1, `virsh ${words.join(" ")}`);
    return stderr;
  };
  const inside = (...command: readonly string[]): Promise<string> =>
    own.ok(["lxc-attach", ...own.store.at("web"), "--", ...command]);
  const node = "/dev/bus/usb/001/005";
  const isThere = async (): Promise<void> => {
    assert.match(await inside("ls", "-ln", node), /^crwx------ +1 0 +0 +10, 237 /);
    assert.match(await own.ok(["lxc-cgroup", ...own.store.at("web"), "devices.list"]), /^c 10:237 rwm$/m);
    await inside("sh", "-c", `: < ${node}`);
  };

  await define(ids("046d", "1111"));
  assert.match(await fault("start", "web"), /internal error: Did not find USB device 046d:1111/);
  await define(`${ids("046d", "c52b")}${ids("046d", "1111", " startupPolicy='optional'")}`);
  await ok("start", "web");
  await isThere();
  const live = await ok("dumpxml", "web");
  assert.match(live, /<product id='0xc52b'\/>\n +<address bus='1' device='5'\/>/);
  assert.doesNotMatch(live, /0x1111/);
  assert.doesNotMatch(await ok("dumpxml", "web", "--inactive"), /address bus='1'/);
  await own.restart();
  await ok("detach-device", "web", file(ids("046d", "c52b")), "--live");
  await assert.rejects(inside("ls", node));
  await assert.rejects(ok("detach-device", "web", file(ids("046d", "c52b")), "--live"), /usb device not found/);

  assert.match(await fault("attach-device", "web", file(ids("046d", "1111")), "--live"), /Did not find USB device/);
  await ok("attach-device", "web", file(ids("046d", "c52b")), "--live");
  await isThere();
  assert.match(
    await fault("attach-device", "web", file(ids("046d", "c52b")), "--live"),
    /host USB device already exists/,
  );
  await ok("destroy", "web");
});
