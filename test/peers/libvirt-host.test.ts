import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { lacks } from "../support/skip.js";
import { virshPlace } from "../support/virsh.js";

/** What Debian's virsh shows of the host, beside what the kernel says, and what it says of documents that cannot be converted. */
describe("virsh about the host", () => {
  it("shows the kernel's own numbers, and refusals with their line", async (t) => {
    if (lacks(t, "virsh")) return;
    const place = await virshPlace(t);
    const text = (path: string): string => readFileSync(path, "utf8");
    const cpus = text("/proc/cpuinfo").match(/^processor/gm)?.length ?? 0;

    const info = await place.ok("nodeinfo");
    assert.match(info, new RegExp(`^CPU\\(s\\): +${cpus}$`, "m"));
    const [, memory = "0"] = /^Memory size: +(\d+) KiB$/m.exec(info) ?? [];
    assert.ok(Number(memory) > 0, info);

    const map = await place.ok("nodecpumap");
    assert.match(map, new RegExp(`^CPUs online: +${cpus}$`, "m"));
    assert.match(map, /^CPU map: +y/m);

    const ticks = (): number => Number(/^cpu +(\d+)/.exec(text("/proc/stat"))?.[1] ?? 0);
    const before = ticks();
    const [, user = "0"] = /^user: +(\d+)$/m.exec(await place.ok("nodecpustats")) ?? [];
    // The user's time and that of nice processes.
    assert.ok(Number(user) / 1e7 >= before, `${user} ${before}`);
    assert.match(await place.ok("nodecpustats", "--percent"), /^usage: +[\d.]+%$/m);
    assert.match((await place.virsh(["nodecpustats", "--cpu", "4000"])).stderr, /Invalid cpuNum/);

    const total = /^MemTotal: +(\d+)/.exec(text("/proc/meminfo"))?.[1] ?? "";
    assert.match(await place.ok("nodememstats"), new RegExp(`^total *: +${total} KiB$`, "m"));
    assert.match(await place.ok("freecell", "--all"), /^Total: +\d+ KiB$/m);
    assert.match(await place.ok("node-memory-tune"), /^Shared memory:/);

    const capabilities = await place.ok("capabilities");
    assert.match(capabilities, new RegExp(`<cpus num='${cpus}'>`));
    assert.match(capabilities, /<os_type>exe<\/os_type>\n +<arch name='\w+'>\n +<wordsize>64<\/wordsize>/);
    assert.match(await place.ok("version"), /^Running hypervisor: LXC \d+\.\d+\.\d+$/m);

    const file = join(place.sockets, "native");
    const refused = async (command: string, document: string): Promise<string> => {
      writeFileSync(file, document);
      const { status, stderr } = await place.virsh([command, "lxc-tools", file]);
      assert.equal(status, 1);
      return stderr.trim();
    };
    assert.equal(
      await refused("domxml-from-native", "lxc.uts.name = a\nlxc.rootfs.path = /a\nlxc.tty.max\n"),
      "error: configuration file syntax error: memory conf:3: expecting an assignment",
    );
    assert.equal(
      await refused("domxml-from-native", "lxc.uts.name = a\nlxc.rootfs.path = overlay:/a:/b\n"),
      "error: unsupported configuration: lxc.rootfs.path 'overlay:/a:/b' cannot be a filesystem of a domain (line 2)",
    );
    assert.equal(
      await refused(
        "domxml-to-native",
        `<domain type='lxc'><name>a</name><memory>1</memory><os><type>exe</type><init>/i</init></os><on_reboot>destroy</on_reboot></domain>`,
      ),
      "error: unsupported configuration: LXC has no on_reboot action destroy",
    );
  });
});
