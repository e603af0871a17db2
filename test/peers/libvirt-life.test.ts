import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { libvirtClient } from "../support/libvirt-wire.js";
import { lacks } from "../support/skip.js";
import { type VirshPlace, virshPlace } from "../support/virsh.js";
import { busybox } from "../support/store.js";
import { waitFor } from "../support/wait.js";

/** Domains and containers are the same things: what virsh does is seen by the lxc-* commands and the other way round, and events tell of all of it. */

const longUuid = "4de601c5-e42e-4721-81c9-7abc8ac07934";

interface Wanted {
  readonly init?: string;
  readonly top?: string;
}

const xmlOf = (name: string, root: string, { init = "sleep 1000", top = "" }: Wanted = {}): string => `
<domain type='lxc'><name>${name}</name><memory>262144</memory>
<os><type>exe</type><init>/bin/sh</init><initarg>-c</initarg><initarg>${init.replaceAll("&", "&amp;").replaceAll("<", "&lt;")}</initarg></os>
${top}<features><privnet/></features>
<devices><filesystem type='mount'><source dir='${root}'/><target dir='/'/></filesystem><console type='pty'/></devices></domain>`;

async function define(place: VirshPlace, name: string, wanted: Wanted = {}): Promise<string> {
  const root = place.rootfs(name);
  const file = join(root, "..", `${name}.xml`);
  writeFileSync(file, xmlOf(name, root, wanted));
  await place.ok("define", file);
  return root;
}

test("a domain is a container of lxc-ls, lxc-start and lxc-stop, with what its document says", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { own, ok } = place;
  const root = await define(place, "web", { init: "env > /environment; cat /proc/self/status > /status; sleep 1000" });
  assert.equal(await own.ok(["lxc-ls", "-P", own.store.path, "-1"]), "web\n");
  await own.ok(["lxc-start", ...own.store.at("web")]);
  await waitFor("its init", () => existsSync(join(root, "status")) && readFileSync(join(root, "status")).length > 0);
  assert.match(readFileSync(join(root, "environment"), "utf8"), /^container=lxc-libvirt$/m);
  assert.match(await ok("list"), / web +running\n/);
  assert.match(await ok("dumpxml", "web"), /^<domain type='lxc' id='\d+'>/);
  await own.ok(["lxc-freeze", ...own.store.at("web")]);
  assert.equal(await ok("domstate", "web"), "paused\n\n");
  await own.ok(["lxc-unfreeze", ...own.store.at("web")]);
  await own.ok(["lxc-stop", ...own.store.at("web"), "-k"]);
  assert.equal(await ok("domstate", "web"), "shut off\n\n");
  // Its configuration says the same in LXC's words.
  assert.equal(await own.ok(["lxc-execute", ...own.store.at("web"), "--", "/bin/hostname"]), "web\n");
  await own.ok(["lxc-start", ...own.store.at("web"), "-s", "lxc.uts.name = other"]);
  assert.equal(await ok("domstate", "web"), "running\n\n");
  await own.ok(["lxc-stop", ...own.store.at("web"), "-k"]);
  await ok("autostart", "web");
  await own.ok(["lxc-autostart", "-P", own.store.path]);
  assert.match(await ok("list", "--autostart"), / web +running\n/);
  await ok("destroy", "web");
  await own.ok(["lxc-destroy", ...own.store.at("web")]);
  assert.doesNotMatch(await ok("list", "--all"), /web/);
  assert.ok(existsSync(join(root, "bin/busybox")));
});

test("a container of lxc-create is a domain, whose definition stays LXC's", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { own, ok, virsh } = place;
  const root = busybox(own.store, "made", "lxc.cgroup.memory.limit_in_bytes = 128M\n");
  assert.match(await ok("list", "--all"), / - +made +shut off\n/);
  const xml = await ok("dumpxml", "made");
  assert.match(xml, /<memory unit='KiB'>131072<\/memory>/);
  assert.match(xml, new RegExp(`<source dir='${root}'/>\n +<target dir='/'/>`));
  const uuid = (await ok("domuuid", "made")).trim();
  await ok("start", "made");
  assert.equal((await ok("domname", uuid)).trim(), "made");
  assert.equal(await own.ok(["lxc-info", ...own.store.at("made"), "-s", "-H"]), "RUNNING\n");
  await ok("shutdown", "made");
  await waitFor("its end", async () => (await ok("domstate", "made")).startsWith("shut off"));
  assert.match(
    (await virsh(["undefine", "made"])).stderr,
    /made was made by lxc-create: what it is like is said in .*\/made\/config/,
  );
  await ok("autostart", "made");
  assert.match(readFileSync(join(own.store.path, "made/config"), "utf8"), /^lxc\.start\.auto = 1$/m);
  await ok("autostart", "--disable", "made");
  assert.doesNotMatch(readFileSync(join(own.store.path, "made/config"), "utf8"), /lxc\.start\.auto/);
});

test("what could not be told to clients in one string is not defined, changed or started", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const { own, rootfs, virsh, ok, socket } = await virshPlace(t);
  const client = await libvirtClient(t, socket);
  const root = rootfs("long");
  const document = (more: string): string =>
    `<domain type='lxc'><name>long</name><uuid>${longUuid}</uuid><memory>65536</memory><os><type>exe</type><init>/bin/sh</init></os>
<devices><filesystem><source dir='${root}'/><target dir='/'/></filesystem>${more}</devices></domain>`;
  const small = document("");
  // A byte that takes six when it is printed.
  const long = small.replace("<os>", () => `<description>${'"'.repeat(800_000)}</description><os>`);
  const problem =
    /Unable to encode message payload: the document of long has 48\d{5} bytes, a string has 4194304 at most/;
  await assert.rejects(client.call("DOMAIN_DEFINE_XML", { xml: long }), problem);
  await assert.rejects(client.call("DOMAIN_CREATE_XML", { xml_desc: long, flags: 0 }), problem);
  assert.ok(!existsSync(join(own.store.path, "long")));
  await client.call("DOMAIN_DEFINE_XML", { xml: small });
  const before = await ok("dumpxml", "long");
  const args = {
    dom: { name: "long", uuid: longUuid, id: -1 },
    type: 0,
    metadata: '"'.repeat(800_000),
    key: null,
    uri: null,
  };
  await assert.rejects(client.call("DOMAIN_SET_METADATA", { ...args, flags: 2 }), problem);
  assert.equal(await ok("dumpxml", "long"), before);
  assert.equal((await virsh(["undefine", "long"])).status, 0);
});

test("a domain whose root is in its directory of the store comes back as often as it is undefined", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { own, rootfs, virsh, ok } = place;
  const directory = join(own.store.path, "own");
  const root = join(directory, "rootfs");
  const made = rootfs("own");
  mkdirSync(directory);
  renameSync(made, root);
  const file = join(own.store.path, "..", "own.xml");
  writeFileSync(file, xmlOf("own", root));
  const refused = async (why: string): Promise<void> => {
    const { stderr } = await virsh(["define", file]);
    assert.match(stderr, /exists already and is not a container/, why);
    assert.ok(existsSync(join(root, "bin/busybox")), why);
    assert.ok(!existsSync(join(directory, "config")), why);
  };
  for (const round of ["once", "again"]) {
    await ok("define", file);
    await ok("start", "own");
    await ok("destroy", "own");
    await ok("undefine", "own");
    assert.deepEqual(readdirSync(directory), ["rootfs"], round);
  }
  await ok("define", file);
  await own.ok(["lxc-destroy", ...own.store.at("own")]);
  assert.deepEqual(readdirSync(directory), ["rootfs"], "lxc-destroy takes nothing that <source> names");
  assert.ok(existsSync(join(root, "bin/busybox")));

  writeFileSync(join(directory, "notes"), "");
  await refused("something else is there");
  rmSync(join(directory, "notes"));
  writeFileSync(file, xmlOf("own", rootfs("other")));
  await refused("the document's root is another directory");
  writeFileSync(file, xmlOf("own", root).replace("type='mount'", "type='bind'"));
  await refused("the document's root is no directory");
  writeFileSync(file, xmlOf("own", root));
  renameSync(root, join(directory, "..", "..", "real"));
  symlinkSync(join(directory, "..", "..", "real"), root);
  const { stderr } = await virsh(["define", file]);
  assert.match(stderr, /exists already and is not a container/, "a link");
  assert.deepEqual(readdirSync(directory), ["rootfs"]);
});

test("events tell of whatever happens, whoever causes it", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "python3-libvirt")) return;
  const place = await virshPlace(t);
  const { own, ok } = place;
  const log = join(own.store.path, "..", "events");
  const watching = place.command(["/usr/bin/python3", "-u", "-c", watcher, log], { timeout: 60_000 });
  await waitFor("the watcher", () => existsSync(log));
  await define(place, "web", { init: "trap 'reboot -f' HUP; while :; do sleep 1000 & wait $!; done" });
  await ok("start", "web");
  await ok("suspend", "web");
  await ok("resume", "web");
  await ok("desc", "web", "--live", "--new-desc", "words");
  await new Promise((resolve) => setTimeout(resolve, 300));
  await ok("reboot", "web");
  await waitFor("the reboot to be told", () => readFileSync(log, "utf8").includes("reboot"));
  await ok("destroy", "web");
  await own.ok(["lxc-start", ...own.store.at("web")]);
  await own.ok(["lxc-stop", ...own.store.at("web"), "-k"]);
  await ok("undefine", "web");
  await define(place, "end");
  await watching;
  assert.deepEqual(readFileSync(log, "utf8").trim().split("\n").slice(1), [
    "web 0 0 off",
    "web 2 0 on",
    "web 3 0 on",
    "web 4 0 on",
    "web metadata 0",
    "web reboot",
    "web 5 1 off",
    "web 2 0 on",
    "web 5 0 off",
    "web 1 0 off",
    "end 0 0 off",
  ]);
});

const watcher = `
import libvirt, sys, threading
libvirt.virEventRegisterDefaultImpl()
log = open(sys.argv[1], "w")
done = False
def say(*words):
    print(*words, file=log, flush=True)
def life(conn, dom, event, detail, opaque):
    global done
    say(dom.name(), event, detail, "off" if dom.ID() == -1 else "on")
    done = done or dom.name() == "end"
conn = libvirt.open("lxc:///system")
conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, life, None)
conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, lambda c, dom, o: say(dom.name(), "reboot"), None)
conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, lambda c, dom, kind, uri, o: say(dom.name(), "metadata", kind), None)
say("ready")
while not done:
    libvirt.virEventRunDefaultImpl()
`;

test("on_poweroff and on_reboot are heeded", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { ok } = place;
  const again = await define(place, "again", {
    init: "echo up >> /starts; [ $(wc -l < /starts) -lt 3 ] || exec sleep 1000",
    top: "<on_poweroff>restart</on_poweroff>",
  });
  await ok("start", "again");
  const starts = (root: string): number =>
    existsSync(join(root, "starts")) ? readFileSync(join(root, "starts"), "utf8").trim().split("\n").length : 0;
  await waitFor("its third start", () => starts(again) === 3);
  await ok("destroy", "again");
  assert.equal(await ok("domstate", "again"), "shut off\n\n");
  const once = await define(place, "once", {
    init: "echo up >> /starts; sleep 0.3; reboot -f; sleep 1000",
    top: "<on_reboot>destroy</on_reboot>",
  });
  await ok("start", "once");
  await waitFor("its end", async () => (await ok("domstate", "once")).startsWith("shut off"));
  assert.ok(starts(once) <= 2, "its reboot is the end");
});

test("a daemon that is killed loses no definition, no running domain and no transient one", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { own, ok } = place;
  await define(place, "kept");
  await define(place, "off");
  await ok("start", "kept");
  await ok("setmem", "kept", "131072", "--live");
  const root = place.rootfs("passing");
  const file = join(root, "..", "passing.xml");
  writeFileSync(file, xmlOf("passing", root));
  await ok("create", file);
  const before = [await ok("list", "--all"), await ok("dumpxml", "kept"), await ok("dumpxml", "passing")];
  await own.restart();
  assert.deepEqual([await ok("list", "--all"), await ok("dumpxml", "kept"), await ok("dumpxml", "passing")], before);
  assert.match(before[1] ?? "", /<currentMemory unit='KiB'>131072</);
  assert.match(await ok("dominfo", "passing"), /Persistent: +no\n/);
  await ok("undefine", "kept");
  await own.restart();
  assert.match(await ok("dominfo", "kept"), /Persistent: +no\n/);
  for (const name of ["kept", "passing"]) await ok("destroy", name);
  assert.match(await ok("list", "--all"), /-+\n - +off +shut off\n\n$/);
  assert.deepEqual(readdirSync(own.store.path), ["off"]);
  assert.deepEqual(readdirSync(join(own.runtimeDir, "libvirt")), []);
});
