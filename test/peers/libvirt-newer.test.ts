import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { CommandResult } from "../support/command.js";
import { debianRootfs } from "../support/debian.js";
import { lacks } from "../support/skip.js";
import { virshPlace } from "../support/virsh.js";

/** Clients of Debian 13 (libvirt 11.3), among them virt-top, which Debian 12 has no package of: each runs in a Debian of its own, where /run/libvirt is the daemon's. */

const within = `for each in proc sys dev; do mount --rbind "/$each" "$1/$each"; done
mkdir "$1/run/libvirt" 2>/dev/null; mount --bind "$0" "$1/run/libvirt"; exec chroot "$@"`;

const definition = (root: string): string => `<domain type='lxc'><name>myguest</name><memory>500000</memory>
<os><type>exe</type><init>/bin/sleep</init><initarg>1000</initarg></os><features><privnet/></features>
<devices><filesystem type='mount'><source dir='${root}'/><target dir='/'/></filesystem><console type='pty'/></devices></domain>`;

test("virsh of libvirt 11 and virt-top find what those of libvirt 9 find", async (t) => {
  if (lacks(t, "root") || lacks(t, "debian")) return;
  const place = await virshPlace(t);
  const debian = join(place.own.store.path, "..", "debian");
  await debianRootfs({ release: "trixie", flavour: "systemd", extra: ["libvirt-clients", "virt-top"] }, debian);
  const there = (...words: readonly string[]): Promise<CommandResult> =>
    place.own.command(
      ["unshare", "-m", "--propagation", "private", "sh", "-c", within, place.sockets, debian, ...words],
      {
        timeout: 60_000,
      },
    );
  const ok = async (...words: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await there(...words);
    assert.deepEqual([status, stderr], [0, ""], words.join(" "));
    return stdout;
  };
  const virsh = (...words: readonly string[]): Promise<string> => ok("virsh", "-c", "lxc:///system", ...words);

  assert.match(await virsh("version"), /Using library: libvirt 11\./);
  writeFileSync(join(debian, "myguest.xml"), definition(place.rootfs("myguest")));
  assert.equal(await virsh("define", "/myguest.xml"), "Domain 'myguest' defined from /myguest.xml\n\n");
  await virsh("start", "myguest");
  assert.match(await virsh("list"), /^ [1-9]\d* +myguest +running$/m);
  assert.equal(await virsh("dumpxml", "myguest"), await place.ok("dumpxml", "myguest"));
  assert.equal(await virsh("lxc-enter-namespace", "myguest", "--", "/bin/hostname"), "myguest\n\n");
  await virsh("setmem", "myguest", "400000", "--live");
  assert.match(await virsh("memtune", "myguest"), /^hard_limit +: 400000$/m);
  assert.match(await virsh("domstats", "myguest"), /^ {2}balloon\.maximum=500000$/m);
  const refused = await there("virsh", "-c", "lxc:///system", "save", "myguest", "/x");
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /this function is not supported by the connection driver: virDomainSave/);

  const [names = [], ...rows] = (
    await ok("sh", "-c", "virt-top -c lxc:///system --script -n 2 -d 1 --csv /csv && cat /csv")
  )
    .trim()
    .split("\n")
    .map((line) => line.split(","));
  const id = (await virsh("domid", "myguest")).trim();
  const cell = (row: readonly string[], name: string): string | undefined => row[names.indexOf(name)];
  assert.equal(rows.length, 2);
  for (const row of rows) {
    const told = ["Running", "Inactive", "Domain ID", "Domain name"].map((name) => cell(row, name));
    assert.deepEqual(told, ["1", "0", id, "myguest"]);
    assert.equal(cell(row, "Total guest memory (KB)"), "400000");
  }
  assert.match(
    await ok("virt-top", "-c", "lxc:///system", "--stream", "-n", "1", "-d", "1"),
    new RegExp(`^ *${id} R .* myguest$`, "m"),
  );

  await virsh("undefine", "myguest");
  assert.equal(await virsh("destroy", "myguest"), "Domain 'myguest' destroyed\n\n");
  assert.equal(await virsh("list", "--all", "--name"), "\n");
});
