import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { lacks } from "../support/skip.js";
import { type VirshPlace, virshPlace } from "../support/virsh.js";

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

const together = `
import libvirt
conn = libvirt.open("lxc:///system")
def joined():
    stream = conn.newStream(0)
    conn.lookupByName("bare").openConsole(None, stream, 0)
    return stream
def wait(stream, what):
    got = b""
    while what not in got:
        got += stream.recv(1000)
streams = [joined() for _ in range(8)]
for index, stream in enumerate(streams):
    stream.send(b"echo $((40 + %d)) of one\\n" % index)
    for other in streams:
        wait(other, b"%d of one" % (40 + index))
for stream in streams:
    stream.finish()
print("seen")
`;

test("several clients are at one console: what one types is typed, and all see what comes of it", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "python3-libvirt")) return;
  const place = await bare(t);
  const { stdout, stderr } = await place.command(["/usr/bin/python3", "-c", together]);
  assert.deepEqual([stdout, stderr], ["seen\n", ""]);
});

test("a domain whose document has no console has one, and clients reach it", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "python3-libvirt")) return;
  const place = await bare(t);
  const { stdout, stderr } = await place.command(["/usr/bin/python3", "-c", typed]);
  assert.deepEqual([stdout, stderr], ["answered\nanswered\n", ""]);
});

/** A shell runs in it, at the console that its document does not name. */
async function bare(t: TestContext): Promise<VirshPlace> {
  const place = await virshPlace(t);
  const root = place.rootfs("bare");
  const file = join(root, "..", "bare.xml");
  writeFileSync(
    file,
    `<domain type='lxc'><name>bare</name><memory>65536</memory><os><type>exe</type><init>/bin/sh</init></os>
<features><privnet/></features><devices><filesystem type='mount'><source dir='${root}'/><target dir='/'/></filesystem></devices></domain>`,
  );
  await place.ok("create", file);
  return place;
}
