import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Cleaner } from "../support/cleanup.js";
import { loopsOf } from "../support/disk.js";
import { watchTraces } from "../support/instance.js";
import { netns, type Netns } from "../support/netns.js";
import { linkTable } from "../support/place.js";
import { lacks } from "../support/skip.js";
import { type VirshPlace, virshPlace } from "../support/virsh.js";
import { checkBurst, type Side } from "../support/transfer.js";
import { waitFor } from "../support/wait.js";

/** Devices of running and of defined domains, changed with Debian's virsh. */

interface DevicePlace extends VirshPlace {
  readonly net: Netns;
  /** What a command in the domain prints. */
  readonly inside: (name: string, ...command: readonly string[]) => Promise<string>;
  /** Links of the host's side. */
  readonly links: () => Promise<ReadonlyMap<string, string>>;
  /** A file of that device, for attach-device and its like. */
  readonly file: (xml: string) => string;
  readonly start: (
    name: string,
    more?: { readonly devices?: string; readonly top?: string; readonly init?: string },
  ) => Promise<void>;
  /** What virsh complains of. */
  readonly fault: (...words: readonly string[]) => Promise<string>;
}

async function devicePlace(t: Cleaner): Promise<DevicePlace> {
  const net = await netns(t);
  await net.ok(["ip", "link", "add", "islt-br", "type", "bridge"]);
  await net.ok(["ip", "addr", "add", "10.9.0.1/24", "dev", "islt-br"]);
  await net.ok(["ip", "link", "set", "islt-br", "up"]);
  const place = await virshPlace(t, { netnsPid: net.pid });
  const { own, ok, virsh, rootfs } = place;
  const file = (name: string, xml: string): string => {
    const path = join(own.store.path, "..", name);
    writeFileSync(path, xml);
    return path;
  };
  return {
    ...place,
    net,
    inside: (name, ...command) => own.ok(["lxc-attach", ...own.store.at(name), "--", ...command]),
    links: async () => linkTable(await net.ok(["ip", "-o", "link"])),
    file: (xml) => file("device.xml", xml),
    start: async (name, { devices = "", top = "<features><privnet/></features>", init = "exec sleep 1000" } = {}) => {
      const root = rootfs(name);
      await ok(
        "define",
        file(
          `${name}.xml`,
          `<domain type='lxc'><name>${name}</name><memory>262144</memory>
<os><type>exe</type><init>/bin/sh</init><initarg>-c</initarg><initarg>${init.replaceAll("&", "&amp;")}</initarg></os>${top}
<devices><filesystem><source dir='${root}'/><target dir='/'/></filesystem><console type='pty'/>${devices}</devices></domain>`,
        ),
      );
      await ok("start", name);
    },
    fault: async (...words) => {
      const { status, stderr } = await virsh(words);
      assert.equal(status, 1, `virsh ${words.join(" ")}`);
      return stderr;
    },
  };
}

const mac = "52:54:00:aa:bb:01";

test("an interface comes and goes while the domain runs", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const { ok, start, inside, links, own, net, fault } = await devicePlace(t);
  await start("web");
  const before = await ok("dumpxml", "web");
  const traces = await watchTraces(own, ["web"], net.pid);
  assert.match(
    await ok("attach-interface", "web", "bridge", "islt-br", "--mac", mac),
    /Interface attached successfully/,
  );
  const target = /(\S+) +bridge +islt-br +- +52:54:00:aa:bb:01/.exec(await ok("domiflist", "web"))?.[1] ?? "";
  assert.match((await links()).get(target) ?? "", /master islt-br .*\bUP\b|UP.*master islt-br/);
  assert.match(await inside("web", "ip", "link", "show", "eth0"), new RegExp(`link/ether ${mac}`));
  assert.match(await ok("domifstat", "web", target), new RegExp(`${target} rx_bytes \\d+`));
  assert.match(await ok("domstats", "web", "--interface"), new RegExp(`net\\.0\\.name=${target}`));
  assert.doesNotMatch(await ok("dumpxml", "web", "--inactive"), /interface/);
  // Another daemon knows of it.
  await own.restart();
  assert.match(await ok("domiflist", "web"), new RegExp(`${target} `));
  assert.match(await fault("detach-interface", "web", "bridge", "--mac", "52:54:00:00:00:99"), /No interface with MAC/);
  await ok("detach-interface", "web", "bridge", "--mac", mac);
  assert.equal((await links()).has(target), false);
  assert.doesNotMatch(await inside("web", "ip", "link"), /eth0/);
  assert.equal(await ok("dumpxml", "web"), before);
  await traces.assertGone("an interface that is detached").catch((error: unknown) => {
    // The document of the running domain was changed and is kept, whatever it says.
    assert.match(String(error), /^Error: left behind an interface that is detached:\n {2}file libvirt$/);
  });
});

test("addresses, routes and the host's end of an attached interface are as they are said", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const { ok, start, inside, links, file, net } = await devicePlace(t);
  await start("web");
  await ok(
    "attach-device",
    "web",
    file(`<interface type='bridge'><mac address='${mac}'/><source bridge='islt-br'/><target dev='web-lan'/><guest dev='lan0'/>
<ip address='10.9.0.7' family='ipv4' prefix='24'/><route family='ipv4' address='10.77.0.0' prefix='16' gateway='10.9.0.1'/>
<bandwidth><inbound average='1000'/><outbound average='1000'/></bandwidth></interface>`),
    "--live",
  );
  assert.equal((await links()).has("web-lan"), true);
  if (existsSync("/sbin/tc")) {
    const shaped = await net.ok(["tc", "qdisc", "show", "dev", "web-lan"]);
    for (const each of [/qdisc tbf .* rate 8Mbit/, /qdisc clsact/]) assert.match(shaped, each);
  }
  assert.match(await inside("web", "ip", "addr", "show", "lan0"), /inet 10\.9\.0\.7\/24/);
  assert.match(await inside("web", "ip", "route"), /10\.77\.0\.0\/16 via 10\.9\.0\.1 dev lan0/);
  await inside("web", "ping", "-c", "1", "-W", "2", "10.9.0.1");
  await net.ok(["ip", "link", "add", "islt-uplink", "type", "veth", "peer", "name", "islt-switch"]);
  await ok("attach-interface", "web", "direct", "islt-uplink", "--live");
  assert.match(await inside("web", "ip", "link"), /eth0/);
  await ok("destroy", "web");
  assert.deepEqual([...(await links()).keys()].sort(), ["islt-br", "islt-switch", "islt-uplink", "lo"]);
  await ok("start", "web");
  assert.doesNotMatch(await ok("dumpxml", "web"), /interface/);
});

test("bursts of an interface pass at their peak, and then its average holds", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "tc-bpf") || lacks(t, "tc-tbf")) return;
  const { ok, start, inside, fault, net } = await devicePlace(t);
  await start("web", {
    devices: `<interface type='bridge'><source bridge='islt-br'/><target dev='web-lan'/><ip address='10.9.0.7' family='ipv4' prefix='24'/>
<bandwidth><inbound average='1000' peak='3000' burst='2200'/><outbound average='1000' burst='2200'/></bandwidth></interface>`,
  });
  assert.match(await net.ok(["tc", "qdisc", "show", "dev", "web-lan"]), /rate 8Mbit burst 2200Kb peakrate 24Mbit/);
  const pid = /^Id: +(\d+)$/m.exec(await ok("dominfo", "web"))?.[1] ?? "";
  const guest: Side = {
    run: (script) => inside("web", "sh", "-c", script),
    pid: Number(pid),
    address: "10.9.0.7",
  };
  const host: Side = { run: (script) => net.ok(["sh", "-c", script]), pid: net.pid, address: "10.9.0.1" };
  await checkBurst(host, guest, 0.6);
  await checkBurst(guest, host, 0);
  assert.match(
    await fault("domiftune", "web", "web-lan", "--inbound", "1000", "--live"),
    /this function is not supported by the connection driver: virDomainSetInterfaceParameters/,
  );
});

test("an interface that the domain was started with can be detached, too", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const { ok, start, inside, links, fault, file } = await devicePlace(t);
  const nic = `<interface type='bridge'><mac address='${mac}'/><source bridge='islt-br'/></interface>`;
  await start("web", {
    devices: `<interface type='direct'><mac address='52:54:00:aa:bb:02'/><source dev='islt-br' mode='bridge'/></interface>${nic}`,
  });
  assert.match(
    await fault("detach-interface", "web", "direct", "--live"),
    /unsupported configuration: Only bridged veth devices can be detached/,
  );
  const target = /(\S+) +bridge +islt-br/.exec(await ok("domiflist", "web"))?.[1] ?? "";
  assert.equal((await links()).has(target), true);
  await ok("detach-device", "web", file(nic), "--live");
  assert.equal((await links()).has(target), false);
  assert.doesNotMatch(await inside("web", "ip", "link"), /eth1/);
  assert.match(await ok("dumpxml", "web", "--inactive"), new RegExp(mac));
});

test("an attachment that fails leaves nothing", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const { ok, start, links, fault, file, own, net, inside } = await devicePlace(t);
  await start("web");
  const before = [await ok("dumpxml", "web"), await inside("web", "ip", "link")];
  const traces = await watchTraces(own, ["web"], net.pid);
  assert.match(await fault("attach-interface", "web", "bridge", "islt-none"), /islt-none/);
  // The pair is there when the route turns out to lead nowhere.
  const nowhere = `<interface type='bridge'><source bridge='islt-br'/><ip address='10.9.0.8' family='ipv4' prefix='24'/>
<route family='ipv4' address='10.77.0.0' prefix='16' gateway='10.66.0.1'/></interface>`;
  assert.match(await fault("attach-device", "web", file(nowhere), "--persistent"), /gateway/);
  const onLink = `<interface type='direct'><source dev='islt-br' mode='bridge'/><ip address='10.9.0.8' family='ipv4' prefix='24'/>
<route family='ipv4' address='10.77.0.0' prefix='16' gateway='10.66.0.1'/></interface>`;
  assert.match(await fault("attach-device", "web", file(onLink), "--live"), /gateway/);
  const usual = file(`<hostdev mode='capabilities' type='misc'><source><char>/dev/null</char></source></hostdev>`);
  assert.match(
    await fault("attach-device", "web", usual, "--live"),
    /there is a file \/dev\/null in the container already/,
  );
  await inside("web", "sh", "-c", "echo > /dev/null");
  assert.match(
    await fault(
      "attach-device",
      "web",
      file(`<disk type='block'><source dev='/dev/islt-none'/><target dev='vdb'/></disk>`),
    ),
    /Unable to access \/dev\/islt-none: No such file or directory/,
  );
  const filesystem = file(`<filesystem><source dir='/tmp'/><target dir='/mnt'/></filesystem>`);
  assert.match(
    await fault("attach-device", "web", filesystem, "--live"),
    /device type 'filesystem' cannot be attached/,
  );
  assert.match(
    await fault("attach-device", "web", filesystem, "--config"),
    /persistent attach of device is not supported/,
  );
  assert.deepEqual([await ok("dumpxml", "web"), await inside("web", "ip", "link")], before);
  assert.deepEqual([...(await links()).keys()].sort(), ["islt-br", "lo"]);
  await traces.assertGone("attachments that fail");
});

/** May the domain use the device? */
async function rules(place: DevicePlace, name: string): Promise<string> {
  return await place.own.ok(["lxc-cgroup", ...place.own.store.at(name), "devices.list"]);
}

for (const { title, top } of [
  { title: "a domain", top: "<features><privnet/></features>" },
  {
    title: "a domain with ids of its own",
    top: "<idmap><uid start='0' target='100000' count='65536'/><gid start='0' target='100000' count='65536'/></idmap><features><privnet/></features>",
  },
])
  test(`disks and devices of the host's come to ${title} and go`, async (t) => {
    if (lacks(t, "root") || lacks(t, "virsh")) return;
    if (!existsSync("/dev/loop0") || !existsSync("/dev/loop-control")) {
      t.skip("there is no /dev/loop0");
      return;
    }
    const place = await devicePlace(t);
    const { ok, start, inside, file, fault, own } = place;
    await start("web", { top });
    const before = [await rules(place, "web"), await inside("web", "ls", "-l", "/dev")];
    await ok("attach-disk", "web", "/dev/loop0", "vdb", "--live", "--mode", "readonly");
    assert.match(await inside("web", "ls", "-ln", "/dev/vdb"), /^brwx------ +1 0 +0 +7, +0 /);
    assert.match(await rules(place, "web"), /^b 7:0 rm$/m);
    await inside("web", "dd", "if=/dev/vdb", "of=/dev/null", "count=1");
    assert.match(await ok("domblklist", "web"), /vdb +\/dev\/loop0/);
    assert.match(await fault("attach-disk", "web", "/dev/loop1", "vdb", "--live"), /target vdb already exists/);
    const control = file(
      `<hostdev mode='capabilities' type='misc'><source><char>/dev/loop-control</char></source></hostdev>`,
    );
    await ok("attach-device", "web", control, "--live");
    assert.match(await inside("web", "ls", "-ln", "/dev/loop-control"), /^crwx------ +1 0 +0 +10, 237 /);
    assert.match(await fault("attach-device", "web", control, "--live"), /host device already exists/);
    await own.restart();
    await ok("detach-disk", "web", "vdb", "--live");
    await inside("web", "rm", "/dev/loop-control").catch(() => undefined);
    await ok("detach-device", "web", control, "--live");
    assert.deepEqual([await rules(place, "web"), await inside("web", "ls", "-l", "/dev")], before);
    assert.match(await fault("detach-device", "web", control, "--live"), /hostdev \/dev\/loop-control not found/);
    const disk = file(`<disk type='block'><source dev='/dev/loop0'/><target dev='vdb'/></disk>`);
    assert.match(await fault("detach-device", "web", disk, "--live"), /operation failed: disk vdb not found/);
  });

test("a file of the host's is a domain's disk like any other, but for what comes while it runs", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "loop")) return;
  const { ok, start, inside, file, fault, own } = await devicePlace(t);
  const image = join(own.store.path, "..", "data.img");
  writeFileSync(image, "data".repeat(1 << 18));
  const words = [image, "vdb", "--sourcetype", "file", "--subdriver", "raw"];
  const init = "while :; do dd if=/dev/zero of=/dev/vdb bs=4096 count=16 conv=fsync; sleep 1; done";
  await start("web", { init: "exec sleep 1000" });
  assert.match(
    await fault("attach-disk", "web", ...words, "--live"),
    /unsupported configuration: Can't setup disk for non-block device/,
  );
  await ok("attach-disk", "web", ...words, "--config");
  assert.match(
    await ok("dumpxml", "web", "--inactive"),
    /<disk type='file' device='disk'>[^]*<source file='[^']*data\.img'\/>/,
  );
  await ok("destroy", "web");
  await ok("undefine", "web");
  await start("db", { init, devices: `<disk type='file'><source file='${image}'/><target dev='vdb'/></disk>` });
  assert.match(await ok("domblklist", "db"), new RegExp(`vdb +${image}`));
  const [loop = ""] = loopsOf(join(own.store.path, ".."));
  // Linux 6.10 and later account on v1 only for devices that have a limit.
  await ok("blkiotune", "db", "--device-write-bytes-sec", `${loop},100000000`, "--live");
  await waitFor("what it writes", async () => /wr_bytes [1-9]/.test(await ok("domblkstat", "db", "vdb")));
  assert.match(await ok("domblkstat", "db", image), /wr_bytes [1-9]/);
  assert.match(await fault("domblkstat", "db", "vdc"), /invalid argument: invalid path: vdc/);
  const before = await inside("db", "ls", "-l", "/dev/vdb");
  // The daemon is killed: the domain goes on, and so does its disk.
  await own.restart();
  assert.deepEqual(loopsOf(join(own.store.path, "..")), [loop]);
  assert.equal(await inside("db", "ls", "-l", "/dev/vdb"), before);
  await ok(
    "detach-device",
    "db",
    file(`<disk type='file'><source file='${image}'/><target dev='vdb'/></disk>`),
    "--live",
  );
  assert.match(await inside("db", "sh", "-c", "ls /dev/vdb 2>&1 || true"), /No such file/);
  assert.doesNotMatch(await ok("domblklist", "db"), /vdb/);
  await ok("destroy", "db");
  await waitFor("the loop device to let go", () => loopsOf(join(own.store.path, "..")).length === 0);
  // By LXC's command it starts the same.
  await own.ok(["lxc-start", ...own.store.at("db")]);
  assert.match(await inside("db", "ls", "-l", "/dev/vdb"), /^brwx------/);
  assert.equal(loopsOf(join(own.store.path, "..")).length, 1);
  await ok("destroy", "db");
  await waitFor("the loop device to let go", () => loopsOf(join(own.store.path, "..")).length === 0);
});

test("definitions are changed, alone or with what runs", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const { ok, start, fault, file, links } = await devicePlace(t);
  await start("web");
  await ok("attach-interface", "web", "bridge", "islt-br", "--mac", mac, "--persistent");
  assert.match(await ok("dumpxml", "web", "--inactive"), new RegExp(mac));
  assert.match(await ok("domiflist", "web"), new RegExp(mac));
  const nic = (ip: string): string =>
    `<interface type='bridge'><mac address='${mac}'/><source bridge='islt-br'/><ip address='${ip}' family='ipv4' prefix='24'/></interface>`;
  assert.match(
    await fault("update-device", "web", file(nic("10.9.0.9")), "--live"),
    /Operation not supported: Unable to modify live devices/,
  );
  await ok("update-device", "web", file(nic("10.9.0.9")), "--config");
  assert.match(await ok("dumpxml", "web", "--inactive"), /<ip address='10\.9\.0\.9' family='ipv4' prefix='24'\/>/);
  assert.doesNotMatch(await ok("dumpxml", "web"), /10\.9\.0\.9/);
  await ok("detach-device", "web", file(nic("10.9.0.9")), "--persistent");
  assert.doesNotMatch(`${await ok("dumpxml", "web")}${await ok("dumpxml", "web", "--inactive")}`, /interface/);
  assert.equal((await links()).size, 2);
  await ok("attach-disk", "web", "/dev/loop0", "vdb", "--config");
  assert.match(
    await fault("attach-disk", "web", "/dev/loop1", "vdb", "--config"),
    /invalid argument: target vdb already exists\./,
  );
  await ok("detach-disk", "web", "vdb", "--config");
  const gone = file(`<disk type='block'><source dev='/dev/loop0'/><target dev='vdb'/></disk>`);
  assert.match(await fault("detach-device", "web", gone, "--config"), /invalid argument: no target device vdb/);
  assert.match(
    await fault("detach-device", "web", file(nic("10.9.0.9")), "--config"),
    /device not found: no device matching MAC address 52:54:00:aa:bb:01 found/,
  );
  await ok("undefine", "web");
  assert.match(
    await fault("attach-interface", "web", "bridge", "islt-br", "--config"),
    /transient domains do not have any persistent config/,
  );
  await ok("destroy", "web");
  await start("off");
  await ok("destroy", "off");
  assert.match(await fault("attach-interface", "off", "bridge", "islt-br", "--live"), /domain is not running/);
});

test("devices that come and go at the same time do not get in each other's way", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const { ok, start, inside, links } = await devicePlace(t);
  await start("web");
  const macs = ["01", "02", "03", "04"].map((last) => `52:54:00:aa:bb:${last}`);
  await Promise.all(
    macs.map((each) => ok("attach-interface", "web", "bridge", "islt-br", "--mac", each, "--persistent")),
  );
  for (const xml of [await ok("dumpxml", "web"), await ok("dumpxml", "web", "--inactive")])
    assert.deepEqual(new Set([...xml.matchAll(/mac address='([^']*)'/g)].map(([, each]) => each)), new Set(macs));
  assert.equal((await inside("web", "ip", "-o", "link")).match(/ eth[0-3]@/g)?.length, 4);
  await ok("suspend", "web");
  await Promise.all(macs.map((each) => ok("detach-interface", "web", "bridge", "--mac", each, "--persistent")));
  assert.doesNotMatch(`${await ok("dumpxml", "web")}${await ok("dumpxml", "web", "--inactive")}`, /interface/);
  assert.equal((await links()).size, 2);
});

test("a domain that reboots has the devices that it was started with", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const { ok, start, inside, links } = await devicePlace(t);
  await start("web", { init: "trap 'reboot -f' HUP; while :; do sleep 1000 & wait $!; done" });
  await ok("attach-interface", "web", "bridge", "islt-br", "--live");
  const before = await inside("web", "readlink", "/proc/1/ns/net");
  await ok("reboot", "web");
  await waitFor(
    "its next start",
    async () => (await inside("web", "readlink", "/proc/1/ns/net").catch(() => before)) !== before,
  );
  assert.equal((await links()).size, 2);
  assert.doesNotMatch(await ok("dumpxml", "web"), /interface/);
});

test("a domain with the host's network, or another's, gets no interface", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const { start, links, fault } = await devicePlace(t);
  await start("web", { top: "" });
  assert.match(
    await fault("attach-interface", "web", "bridge", "islt-br", "--live"),
    /unsupported configuration: web has no network of its own/,
  );
  await start("other");
  await start("sharer", {
    top: "<lxc:namespace xmlns:lxc='http://libvirt.org/schemas/domain/lxc/1.0'><lxc:sharenet type='name' value='other'/></lxc:namespace>",
  });
  assert.match(
    await fault("attach-interface", "sharer", "bridge", "islt-br", "--live"),
    /Config asks for inherit net namespace as well as private network interfaces/,
  );
  assert.equal((await links()).size, 2);
});

test("domifaddr shows the guest's own interfaces, with hardware addresses and prefixes", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const { ok, own, start, fault, inside } = await devicePlace(t);
  const nic = (number: number, more: string): string =>
    `<interface type='bridge'><mac address='52:54:00:aa:bb:0${number}'/><source bridge='islt-br'/>${more}</interface>`;
  const ip = (address: string, prefix: number): string =>
    `<ip address='${address}' family='${address.includes(":") ? "ipv6" : "ipv4"}' prefix='${prefix}'/>`;
  await start("web", {
    devices:
      nic(1, `${ip("10.9.0.7", 24)}${ip("fd00:9::7", 64)}`) +
      nic(2, `<guest dev='lan0'/>${ip("10.8.0.7", 20)}`) +
      nic(3, "<guest dev='lan1'/>"),
    top: "",
  });
  const rows = async (...words: readonly string[]): Promise<readonly string[]> => {
    const [head = "", line = "", ...rest] = (await ok("domifaddr", "web", ...words)).trimEnd().split("\n");
    assert.match(head, /^ Name +MAC address +Protocol +Address$/);
    assert.match(line, /^-+$/);
    return rest.map((row) => row.trim().replace(/ +/g, " "));
  };
  const first = ["eth0 52:54:00:aa:bb:01 ipv4 10.9.0.7/24", "- - ipv6 fd00:9::7/64"];
  const lan = "lan0 52:54:00:aa:bb:02 ipv4 10.8.0.7/20";
  assert.deepEqual(await rows(), [...first, lan]);
  for (const source of ["lease", "arp"]) assert.deepEqual(await rows("--source", source), [...first, lan]);
  assert.deepEqual(await rows("--full"), [first[0], "eth0 52:54:00:aa:bb:01 ipv6 fd00:9::7/64", lan]);
  assert.deepEqual(await rows("--interface", "lan0"), [lan]);
  assert.match(
    await fault("domifaddr", "web", "--source", "agent"),
    /argument unsupported: Unknown IP address data source 1$/m,
  );
  // What the guest does itself; a terminal would obey the name.
  await inside("web", "ip", "link", "set", "lan1", "name", "a\u001b[2Jb");
  await inside("web", "ip", "addr", "add", "192.0.2.9/31", "dev", "a\u001b[2Jb");
  await inside("web", "ip", "addr", "del", "10.8.0.7/20", "dev", "lan0");
  await inside("web", "ip", "addr", "add", "10.8.0.8/32", "dev", "lan0");
  await inside("web", "ip", "addr", "add", "127.0.0.5/8", "dev", "lo");
  const changed = [...first, "lan0 52:54:00:aa:bb:02 ipv4 10.8.0.8/32", "a[2Jb 52:54:00:aa:bb:03 ipv4 192.0.2.9/31"];
  assert.deepEqual(await rows(), changed);
  await own.restart();
  assert.deepEqual(await rows(), changed);
  // The host's network is nobody's.
  await start("shared", { top: "" });
  assert.match(await ok("domifaddr", "shared"), /^ Name.*\n-+\n\n$/);
  await ok("destroy", "web");
  assert.match(await fault("domifaddr", "web"), /domain is not running/);
});
