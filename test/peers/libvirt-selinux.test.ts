import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readSelinux } from "../../src/frontends/libvirt/beside/selinux.js";
import { lacks } from "../support/skip.js";
import { type VirshPlace, virshPlace } from "../support/virsh.js";

/** sVirt: guests have labels that tell them from each other. Where SELinux runs: `npm run test:vm -- --selinux peers/libvirt-selinux`. */

async function start(place: VirshPlace, name: string, more = "", mapped = false): Promise<{ readonly pid: string }> {
  const root = place.rootfs(name);
  mkdirSync(join(root, "ram"));
  const file = join(root, "..", `${name}.xml`);
  const ids = mapped
    ? "<idmap><uid start='0' target='100000' count='65536'/><gid start='0' target='100000' count='65536'/></idmap>"
    : "";
  writeFileSync(
    file,
    `<domain type='lxc'><name>${name}</name><memory>262144</memory>${ids}
<os><type>exe</type><init>/bin/sleep</init><initarg>1000</initarg></os><features><privnet/></features>
<devices><filesystem type='mount'><source dir='${root}'/><target dir='/'/></filesystem>
<filesystem type='ram'><source usage='64'/><target dir='/ram'/></filesystem><console type='pty'/></devices>${more}</domain>`,
  );
  await place.ok("define", file);
  await place.ok("start", name);
  return { pid: (await place.ok("domid", name)).trim() };
}

const labelOf = (pid: string | number): string =>
  readFileSync(`/proc/${pid}/attr/current`, "utf8").replace(/[\0\n]+$/, "");

/** What a document says: process and files. */
const labelsIn = (xml: string): readonly (string | undefined)[] =>
  ["label", "imagelabel"].map((name) => new RegExp(`<${name}>(.*)</${name}>`).exec(xml)?.[1]);

test("a guest has a label of its own, and so has all that is in its own file systems", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "selinux")) return;
  const place = await virshPlace(t);
  const { ok, own } = place;
  const [one, two] = [await start(place, "one"), await start(place, "two", "", true)];
  const type = (readSelinux()?.process ?? "").split(":")[2];
  for (const [name, { pid }] of [
    ["one", one],
    ["two", two],
  ] as const) {
    const xml = await ok("dumpxml", name);
    const [label, files] = labelsIn(xml);
    assert.match(xml, /<seclabel type='dynamic' model='selinux' relabel='yes'>/);
    assert.match(label ?? "", new RegExp(`:${type}:s0:c\\d+,c\\d+$`));
    assert.equal(labelOf(pid), label);
    assert.match(
      await ok("dominfo", name),
      new RegExp(`^Security label: +${label} \\((permissive|enforcing)\\)$`, "m"),
    );
    const mounts = readFileSync(`/proc/${pid}/mounts`, "utf8").split("\n");
    for (const point of ["/dev", "/dev/pts", "/ram"]) {
      const line = mounts.find((each) => each.split(" ")[1] === point) ?? "";
      assert.ok(line.includes(`context=${files}`) || line.includes(`context="${files}"`), `${point}: ${line}`);
    }
    const inside = await own.ok(["lxc-attach", ...own.store.at(name), "--", "/bin/cat", "/proc/self/attr/current"]);
    assert.equal(inside.replace(/[\0\n]+$/, ""), label);
    assert.ok(!(await ok("dumpxml", "--inactive", name)).includes("<label>"));
  }
  assert.notEqual(labelOf(one.pid), labelOf(two.pid));
  const entered = await ok("lxc-enter-namespace", "one", "--", "/bin/cat", "/proc/self/attr/current");
  assert.ok(entered.includes(labelOf(one.pid)), entered);
  // The monitor knows it, whoever asks.
  const before = await ok("dumpxml", "one");
  await own.restart();
  assert.equal(await ok("dumpxml", "one"), before);
  assert.match(await ok("capabilities"), /<model>selinux<\/model>\n +<doi>0<\/doi>\n +<baselabel type='lxc'>/);
});

test("a document's own label, type or none is heeded, by lxc-start as well", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "selinux")) return;
  const place = await virshPlace(t);
  const { own, ok, virsh } = place;
  const [user = "", role = "", type = ""] = (readSelinux()?.process ?? "").split(":");
  const label = `${user}:${role}:${type}:s0:c5,c6`;
  const fixed = await start(
    place,
    "fixed",
    `<seclabel type='static' model='selinux' relabel='no'><label>${label}</label></seclabel>`,
  );
  assert.equal(labelOf(fixed.pid), label);
  const free = await start(place, "free", "<seclabel type='none' model='selinux'/>");
  assert.equal(labelOf(free.pid), labelOf(own.pid()));
  // Without a model it is the host's.
  await start(place, "based", `<seclabel type='dynamic'><baselabel>${user}:${role}:${type}:s0</baselabel></seclabel>`);
  await ok("destroy", "based");
  await own.ok(["lxc-start", ...own.store.at("based")]);
  const [made] = labelsIn(await ok("dumpxml", "based"));
  assert.match(made ?? "", new RegExp(`:${type}:s0:c\\d+,c\\d+$`));
  assert.equal(labelOf((await ok("domid", "based")).trim()), made);
  const other = await own.ok([
    "lxc-attach",
    ...own.store.at("based"),
    "-c",
    label,
    "--",
    "/bin/cat",
    "/proc/self/attr/current",
  ]);
  assert.equal(other.replace(/[\0\n]+$/, ""), label);

  writeFileSync(place.lxcConf, "security_default_confined = 0\n");
  const loose = await start(place, "loose");
  assert.equal(labelOf(loose.pid), labelOf(own.pid()));
  await ok("destroy", "loose");
  writeFileSync(place.lxcConf, "security_default_confined = 0\nsecurity_require_confined = 1\n");
  const { status, stderr } = await virsh(["start", "loose"]);
  assert.equal(status, 1);
  assert.match(stderr, /Unconfined guests are not allowed on this host/);
  writeFileSync(place.lxcConf, 'security_driver = "none"\n');
  await ok("start", "loose");
  assert.equal(labelOf((await ok("domid", "loose")).trim()), labelOf(own.pid()));
});
