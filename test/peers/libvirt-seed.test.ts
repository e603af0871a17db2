import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { lacks } from "../support/skip.js";
import { screen } from "../support/tmux.js";
import { virshPlace, type VirshPlace } from "../support/virsh.js";
import { waitFor } from "../support/wait.js";

/** Every shell command of the LXC driver's page, typed with Debian's virsh: test names are the page's headings. */

const definition = (name: string, root: string, more: { os?: string; devices?: string; top?: string } = {}): string => `
<domain type='lxc'>
  <name>${name}</name>
  <memory>500000</memory>
  <os>
    <type>exe</type>
    ${more.os ?? "<init>/sbin/init</init>"}
  </os>
  <vcpu>1</vcpu>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  ${more.top ?? "<features><privnet/></features>"}
  <devices>
    <emulator>/usr/libexec/libvirt_lxc</emulator>
    <filesystem type='mount'>
      <source dir='${root}'/>
      <target dir='/'/>
    </filesystem>
    ${more.devices ?? "<console type='pty' />"}
  </devices>
</domain>
`;

async function defined(
  place: VirshPlace,
  name: string,
  more: { os?: string; devices?: string; top?: string } = {},
): Promise<{ readonly file: string; readonly root: string }> {
  const root = place.rootfs(name);
  const file = join(root, "..", `${name}.xml`);
  writeFileSync(file, definition(name, root, more));
  await place.ok("define", file);
  return { file, root };
}

/** Ends at once when it is asked to, and starts again when it is told to. */
const obedient = `<init>/bin/sh</init><initarg>-c</initarg>
<initarg>trap 'exit 0' TERM; trap 'reboot -f' HUP; echo up $$ >> /starts; while :; do sleep 1000 &amp; wait $!; done</initarg>`;

test("Defining, viewing, starting, stopping and undefining", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { ok, virsh } = place;
  const { file, root } = await defined(place, "myguest", { os: obedient });
  const text = await ok("dumpxml", "myguest");
  assert.match(
    text,
    /^<domain type='lxc'>\n {2}<name>myguest<\/name>\n {2}<uuid>[-0-9a-f]{36}<\/uuid>\n {2}<memory unit='KiB'>500000</,
  );
  assert.equal(await ok("dumpxml", "myguest", "--inactive"), text);
  assert.equal(await ok("start", "myguest"), "Domain 'myguest' started\n\n");
  const live = await ok("dumpxml", "myguest");
  const id = Number(/^<domain type='lxc' id='(\d+)'>/.exec(live)?.[1]);
  assert.ok(existsSync(`/proc/${id}`));
  assert.equal(await ok("dumpxml", "myguest", "--inactive"), text);
  assert.match(await ok("list"), new RegExp(` ${id} +myguest +running\n`));
  assert.match((await virsh(["start", "myguest"])).stderr, /Domain is already active/);
  const starts = (): number => readFileSync(join(root, "starts"), "utf8").split("\n").length - 1;
  await waitFor("its start", () => existsSync(join(root, "starts")));

  assert.match(await ok("reboot", "myguest"), /Domain 'myguest' is being rebooted/);
  await waitFor("its second start", () => starts() === 2);
  assert.match(await ok("list"), / myguest +running\n/);
  assert.match(await ok("shutdown", "myguest"), /Domain 'myguest' is being shutdown/);
  await waitFor("its end", async () => (await ok("domstate", "myguest")) === "shut off\n\n");
  assert.equal(await ok("domstate", "--reason", "myguest"), "shut off (shutdown)\n\n");
  await ok("start", "myguest");
  assert.match(await ok("destroy", "myguest"), /Domain 'myguest' destroyed/);
  assert.equal(await ok("domstate", "--reason", "myguest"), "shut off (destroyed)\n\n");
  await ok("start", "myguest");
  assert.match(await ok("undefine", "myguest"), /Domain 'myguest' has been undefined/);
  assert.match(await ok("dominfo", "myguest"), /Persistent: +no\n/);
  await ok("destroy", "myguest");
  assert.doesNotMatch(await ok("list", "--all"), /myguest/);
  assert.match((await virsh(["start", "myguest"])).stderr, /failed to get domain 'myguest'/);

  assert.match(await ok("create", file), /Domain 'myguest' created from /);
  assert.match(await ok("dominfo", "myguest"), /Persistent: +no\n/);
  await ok("destroy", "myguest");
  assert.doesNotMatch(await ok("list", "--all"), /myguest/);
  assert.ok(existsSync(join(root, "sbin/init")), "a root file system is nobody's to remove");
});

test("Connecting to a container console", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { root } = await defined(place, "myguest", { devices: "<console type='pty'/><console type='pty'/>" });
  writeFileSync(
    join(root, "etc/inittab"),
    "::sysinit:/etc/init.d/rcS\nconsole::respawn:-/bin/sh\ntty2::respawn:-/bin/sh\n",
  );
  await place.ok("start", "myguest");
  const user = await screen(t, 100, 30);
  const here = (...words: readonly string[]): string =>
    [...place.within, "virsh", "-c", "lxc:///system", ...words].map((word) => `'${word}'`).join(" ");
  for (const [words, tty] of [
    [[], "/dev/console"],
    [["--devname", "console1"], "/dev/tty2"],
  ] as const) {
    await user.clear();
    await user.line(here("console", "myguest", ...words));
    await user.shows(/Escape character is/);
    await user.line("echo at $(tty)- $((40 + 2))");
    await user.shows(new RegExp(`at ${tty}- 42`));
    // As many lines as a guest prints at once arrive, all of them.
    await user.line("i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; done; echo end $((1 + 1))");
    await user.shows(/line 1999\nline 2000\nend 2/);
    await user.keys("C-]");
    await user.shows(/host>\s*$/);
  }
  assert.match(
    (await place.virsh(["console", "myguest", "--devname", "console9"])).stderr,
    /cannot find console device 'console9'|Cannot run interactive console/,
  );
});

test("Running commands in a container", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  await defined(place, "myguest");
  await place.ok("start", "myguest");
  const listing = await place.ok("lxc-enter-namespace", "myguest", "--", "/bin/ls", "-al", "/dev");
  for (const name of ["console", "null", "tty1", "ptmx -> |ptmx", "urandom"]) assert.match(listing, new RegExp(name));
  const failed = await place.virsh(["lxc-enter-namespace", "myguest", "--", "/bin/sh", "-c", "exit 3"]);
  assert.equal(failed.status, 1);
  assert.match(failed.stderr, /unexpected exit status 3/);
  assert.equal(await place.ok("lxc-enter-namespace", "myguest", "--noseclabel", "--", "/bin/hostname"), "myguest\n\n");
});

/** What virt-top asks for and reads: all figures at once, then each domain by its uuid. Debian 12 has no package of it: libvirt-newer has the program itself. */
const monitor = `
import libvirt
conn = libvirt.openReadOnly("lxc:///system")
print(conn.getHostname() != "", conn.getInfo()[2] > 0)
for domain, figures in conn.getAllDomainStats(0, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE):
    again = conn.lookupByUUIDString(domain.UUIDString())
    print(again.name(), figures["state.state"], figures["cpu.time"] > 0, figures["balloon.maximum"], figures["vcpu.current"],
          figures["net.count"], figures["block.count"])
`;

test("Monitoring container utilization", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "python3-libvirt")) return;
  const place = await virshPlace(t);
  await defined(place, "myguest");
  await place.ok("start", "myguest");
  const seen = await place.command(["/usr/bin/python3", "-c", monitor]);
  assert.equal(seen.stderr, "");
  assert.equal(seen.stdout, "True True\nmyguest 1 True 500000 1 0 1\n");
  assert.match(await place.ok("domstats", "myguest"), /balloon\.maximum=500000/);
});

test("Converting LXC container configuration", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const root = place.rootfs("native");
  const config = join(root, "..", "config");
  writeFileSync(
    config,
    `lxc.utsname = migrated\nlxc.rootfs = ${root}\nlxc.tty = 1\nlxc.network.type = empty\nlxc.cap.drop = sys_module\nlxc.cap.drop = sys_time\nlxc.cgroup.memory.limit_in_bytes = 134217728\n`,
  );
  const xml = await place.ok("domxml-from-native", "lxc-tools", config);
  assert.match(xml, /<name>migrated<\/name>/);
  assert.match(xml, /<memory unit='KiB'>131072<\/memory>/);
  assert.match(xml, /<sys_module state='off'\/>\n +<sys_time state='off'\/>/);
  const file = join(root, "..", "migrated.xml");
  writeFileSync(file, xml);
  await place.ok("define", file);
  await place.ok("start", "migrated");
  await place.ok("destroy", "migrated");
  const native = await place.ok("domxml-to-native", "lxc-tools", file);
  assert.match(native, /^lxc\.uts\.name = migrated$/m);
  assert.match(native, new RegExp(`^lxc\\.rootfs\\.path = (dir:)?${root}$`, "m"));
  assert.match(
    (await place.virsh(["domxml-from-native", "vmware-vmx", config])).stderr,
    /invalid argument: unsupported config type vmware-vmx/,
  );
});

test("Altering the available capabilities", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const caps = async (name: string, features: string): Promise<bigint> => {
    await defined(place, name, { top: `<features><privnet/>${features}</features>` });
    await place.ok("start", name);
    const status = await place.ok("lxc-enter-namespace", name, "--", "/bin/grep", "CapBnd", "/proc/1/status");
    await place.ok("destroy", name);
    return BigInt(`0x${/CapBnd:\s*([0-9a-f]+)/.exec(status)?.[1] ?? ""}`);
  };
  const has = (set: bigint, number: number): boolean => ((set >> BigInt(number)) & 1n) === 1n;
  const [mknod, chroot, module] = [27, 18, 16];
  const usual = await caps("usual", "");
  assert.deepEqual([has(usual, mknod), has(usual, chroot), has(usual, module)], [false, true, false]);
  const changed = await caps(
    "changed",
    "<capabilities policy='default'><mknod state='on'/><sys_chroot state='off'/></capabilities>",
  );
  assert.deepEqual([has(changed, mknod), has(changed, chroot)], [true, false]);
  assert.equal(await caps("denied", "<capabilities policy='deny'><mknod state='on'/></capabilities>"), 1n << 27n);
});

test("Inherit namespaces", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  await defined(place, "container1");
  await place.ok("start", "container1");
  const link = async (name: string, kind: string): Promise<string> =>
    (await place.ok("lxc-enter-namespace", name, "--", "/bin/readlink", `/proc/1/ns/${kind}`)).trim();
  const pid = /id='(\d+)'/.exec(await place.ok("dumpxml", "container1"))?.[1] ?? "";
  const root = place.rootfs("sharer");
  const file = join(root, "..", "sharer.xml");
  writeFileSync(
    file,
    definition("sharer", root, { top: "" })
      .replace("<domain type='lxc'>", "<domain type='lxc' xmlns:lxc='http://libvirt.org/schemas/domain/lxc/1.0'>")
      .replace(
        "</domain>",
        `<lxc:namespace><lxc:sharenet type='name' value='container1'/><lxc:shareipc type='pid' value='${pid}'/><lxc:shareuts type='name' value='container1'/></lxc:namespace></domain>`,
      ),
  );
  await place.ok("define", file);
  await place.ok("start", "sharer");
  for (const kind of ["net", "ipc", "uts"]) assert.equal(await link("sharer", kind), await link("container1", kind));
  assert.notEqual(await link("sharer", "mnt"), await link("container1", "mnt"));
});
