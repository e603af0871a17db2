import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { lacks } from "../support/skip.js";
import { virshPlace } from "../support/virsh.js";

const typed = `
import libvirt
conn = libvirt.open("lxc:///system")
for device in (None, "console0"):
    stream = conn.newStream(0)
    conn.lookupByName("bare").openConsole(device, stream, 0)
    stream.send(b"echo $((40 + 2)) of bare\\n")
    got = b""
    while b"42 of bare" not in got:
        got += stream.recv(1000)
    stream.finish()
    print("answered")
`;

test("a domain whose document has no console has one, and clients reach it", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "python3-libvirt")) return;
  const place = await virshPlace(t);
  const root = place.rootfs("bare");
  const file = join(root, "..", "bare.xml");
  writeFileSync(
    file,
    `<domain type='lxc'><name>bare</name><memory>65536</memory><os><type>exe</type><init>/bin/sh</init></os>
<features><privnet/></features><devices><filesystem type='mount'><source dir='${root}'/><target dir='/'/></filesystem></devices></domain>`,
  );
  await place.ok("create", file);
  const { stdout, stderr } = await place.command(["/usr/bin/python3", "-c", typed]);
  assert.deepEqual([stdout, stderr], ["answered\nanswered\n", ""]);
});
