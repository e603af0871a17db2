import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { lacks } from "../support/skip.js";
import { screen } from "../support/tmux.js";
import { type VirshPlace, virshPlace } from "../support/virsh.js";
import { waitFor } from "../support/wait.js";

/** Debian's virt-install, and virt-xml and virt-clone of the same package: guests without a document by hand. */

const connect = ["--connect", "lxc:///system"];
const common = [...connect, "--memory", "128", "--container", "--network", "none"];

async function ran(place: VirshPlace, ...argv: readonly string[]): Promise<string> {
  // It keeps its log there.
  const env = { HOME: place.sockets };
  const { status, stdout, stderr } = await place.command(argv, { timeout: 60_000, env });
  assert.equal(status, 0, `${argv.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

test("virt-install makes a running, persistent domain of a root file system", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "virt-install")) return;
  const place = await virshPlace(t);
  const { ok } = place;
  const root = place.rootfs("web");
  const words = ["--name", "web", "--init", "/sbin/init", "--filesystem", `${root},/`, "--noautoconsole"];
  assert.match(await ran(place, "virt-install", ...common, ...words, "--print-xml"), /<init>\/sbin\/init<\/init>/);
  assert.doesNotMatch(await ok("list", "--all"), /web/);

  assert.match(await ran(place, "virt-install", ...common, ...words), /Domain creation completed/);
  const info = await ok("dominfo", "web");
  assert.match(info, /^State: +running$/m);
  assert.match(info, /^Persistent: +yes$/m);
  const live = await ok("dumpxml", "web");
  assert.match(live, new RegExp(`<source dir='${root}'/>\n +<target dir='/'/>`));
  assert.match(live, /<privnet\/>/, "--network none is no network of the host's");
  assert.equal(await ok("lxc-enter-namespace", "web", "--", "/bin/hostname"), "web\n\n");

  // What runs stays as it is, what is defined is for the next start.
  await ran(place, "virt-xml", ...connect, "web", "--edit", "--memory", "200");
  assert.match(await ok("dumpxml", "web", "--inactive"), /<memory unit='KiB'>204800</);
  assert.match(await ok("dumpxml", "web"), /<memory unit='KiB'>131072</);
  await ok("destroy", "web");
  assert.match(
    await ran(place, "virt-clone", ...connect, "-o", "web", "-n", "copy", "--auto-clone"),
    /Clone 'copy' created/,
  );
  assert.match(await ok("dumpxml", "copy"), /<memory unit='KiB'>204800</);
  assert.notEqual(await ok("domuuid", "copy"), await ok("domuuid", "web"));
  for (const name of ["web", "copy"]) await ok("undefine", name);
});

test("what virt-install is told of init, ids, processors and autostart is the guest's", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "virt-install") || lacks(t, "userns")) return;
  const place = await virshPlace(t);
  const { ok } = place;
  const root = place.rootfs("mapped");
  const init = join(root, "start");
  writeFileSync(init, "#!/bin/sh\nexec sleep 1000\n", { mode: 0o755 });
  const ids = (kind: string): string => `${kind}.start=0,${kind}.target=100000,${kind}.count=65536`;
  const words = ["--name", "mapped", "--boot", "init=/start,initargs=one two", "--filesystem", `${root},/`];
  const more = ["--idmap", `${ids("uid")},${ids("gid")}`, "--vcpus", "2", "--metadata", "title=Two words"];
  await ran(place, "virt-install", ...common, ...words, ...more, "--autostart", "--noautoconsole");
  assert.match(await ok("dominfo", "mapped"), /^CPU\(s\): +2$/m);
  assert.match(await ok("list", "--autostart"), / mapped +running\n/);
  assert.match(await ok("list", "--title"), /Two words/);
  const pid = /id='(\d+)'/.exec(await ok("dumpxml", "mapped"))?.[1] ?? "";
  assert.match((await place.command(["cat", `/proc/${pid}/uid_map`])).stdout, /^ +0 +100000 +65536\n$/);
  const xml = await ok("dumpxml", "mapped", "--inactive");
  assert.match(xml, /<initarg>one<\/initarg>\n +<initarg>two<\/initarg>/);
});

test("virt-install of a transient guest, and its console", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "virt-install")) return;
  const place = await virshPlace(t);
  const root = place.rootfs("short");
  const words = ["--name", "short", "--init", "/bin/sh", "--filesystem", `${root},/`, "--transient"];
  const user = await screen(t, 100, 30);
  await user.line(
    [...place.within, "env", `HOME=${place.sockets}`, "virt-install", ...common, ...words]
      .map((word) => `'${word}'`)
      .join(" "),
  );
  await user.shows(/Escape character is/);
  await user.line("echo $((40 + 2)) of $(hostname)");
  await user.shows(/42 of short/);
  await user.keys("C-]");
  await user.shows(/host>\s*$/);
  assert.match(await place.ok("dominfo", "short"), /^Persistent: +no$/m);
  await place.ok("destroy", "short");
  assert.doesNotMatch(await place.ok("list", "--all"), /short/);
});

test("a transient domain that is defined stays, as what it runs with and as what it is told to be", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { own, ok } = place;
  const root = place.rootfs("passing");
  const file = join(root, "..", "passing.xml");
  const write = (memory: number): void => {
    writeFileSync(
      file,
      `<domain type='lxc'><name>passing</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><memory>${memory}</memory>
<os><type>exe</type><init>/bin/sleep</init><initarg>1000</initarg></os><features><privnet/></features>
<devices><filesystem type='mount'><source dir='${root}'/><target dir='/'/></filesystem><console type='pty'/></devices></domain>`,
    );
  };
  write(131072);
  await ok("create", file);
  const id = await ok("domid", "passing");
  write(262144);
  await ok("define", file);
  assert.match(await ok("dominfo", "passing"), /^Persistent: +yes$/m);
  assert.equal(await ok("domid", "passing"), id);
  assert.match(await ok("dumpxml", "passing"), /<memory unit='KiB'>131072</);
  assert.match(await ok("dumpxml", "passing", "--inactive"), /<memory unit='KiB'>262144</);
  assert.equal(await own.ok(["lxc-ls", "-P", own.store.path, "-1", "--running"]), "passing\n");
  await ok("destroy", "passing");
  await waitFor("its end", async () => (await ok("domstate", "passing")).startsWith("shut off"));
  await ok("undefine", "passing");
  assert.doesNotMatch(await ok("list", "--all"), /passing/);
});
