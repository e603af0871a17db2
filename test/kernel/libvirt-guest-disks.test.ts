import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Disk } from "../../src/frontends/libvirt/xml/domain.js";
import { loopsOf } from "../support/disk.js";
import { domain } from "../support/domain.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";
import { domains, says } from "./libvirt-guest.js";

/** Files that domains have as disks, seen from inside. */

const size = 1 << 20;

function image(path: string, text: string): string {
  writeFileSync(path, text);
  truncateSync(path, size);
  return path;
}

function fileDisk(source: string, target: string, changes: Partial<Disk> = {}): Disk {
  return {
    type: "file",
    device: "disk",
    driver: null,
    format: "raw",
    source,
    target,
    bus: "virtio",
    readonly: false,
    ...changes,
  };
}

/** An init that can be seen to have started again. */
const reboots = "echo run >> /runs; [ $(wc -l < /runs) = 1 ] && sleep 1 && reboot -f; exec sleep 1000";
const range = [{ start: 0, target: 100000, count: 65536 }];

for (const { title, changes } of [
  { title: "a domain", changes: {} },
  { title: "a domain with ids of its own", changes: { idmap: { uids: range, gids: range } } },
])
  describe(`the disks of ${title}`, () => {
    test("may be files: block devices of root's that it reads and, but for <readonly/>, writes", async (t) => {
      if (lacks(t, "loop")) return;
      const host = domains(t);
      const root = host.rootfs("islt-ld");
      const [data, fixed] = [
        image(join(host.store.path, "data.img"), "data"),
        image(join(host.store.path, "ro"), "ro"),
      ];
      if ("idmap" in changes) execFileSync("chown", ["-R", "100000:100000", root]);
      const script = `ls -ln /dev/vda /dev/vdb; dd if=/dev/vda bs=4 count=1; dd if=/dev/vdb bs=2 count=1; echo
echo -n NEWS > /dev/vda && echo written; echo no > /dev/vdb || echo kept; sync`;
      const guest = await host.start("islt-ld", {
        disks: [fileDisk(data, "vda"), fileDisk(fixed, "vdb", { readonly: true, driver: "loop", format: null })],
        ...says(script),
        ...changes,
      });
      const said = await guest.output();
      for (const each of [
        /^brwx------ +1 0 +0 +7, +\d+ .* \/dev\/vda$/m,
        /^brwx------ .* \/dev\/vdb$/m,
        /^data/m,
        /^ro/m,
        /^written$/m,
        /^kept$/m,
      ])
        assert.match(said, each);
      assert.equal(loopsOf(host.store.path).length, 2);
      await guest.kill();
      await waitFor("the loop devices to let go", () => loopsOf(host.store.path).length === 0);
      assert.equal(readFileSync(data, "latin1").slice(0, 4), "NEWS");
      assert.equal(readFileSync(fixed, "latin1").slice(0, 2), "ro");
    });
  });

describe("a file that is a domain's disk", () => {
  test("stays attached when the domain reboots, and is nobody else's meanwhile", async (t) => {
    if (lacks(t, "loop")) return;
    const host = domains(t);
    const data = image(join(host.store.path, "data.img"), "data");
    const disks = [fileDisk(data, "vda")];
    const guest = await host.start("islt-ld-boot", {
      disks,
      os: { ...domain().os, init: "/bin/sh", initArgs: ["-c", reboots] },
    });
    const before = loopsOf(host.store.path);
    await waitFor("its second run", () => readFileSync(join(guest.rootfs, "runs"), "utf8") === "run\nrun\n");
    assert.deepEqual(loopsOf(host.store.path), before);
    await assert.rejects(host.start("islt-ld-other", { disks }), /data\.img is in use: by another container/);
    assert.equal(loopsOf(host.store.path).length, 1);
    await guest.kill();
    await waitFor("the loop device to let go", () => loopsOf(host.store.path).length === 0);
  });

  test("is let go when its monitor is killed", async (t) => {
    if (lacks(t, "loop")) return;
    const host = domains(t);
    const disks = [fileDisk(image(join(host.store.path, "data.img"), "data"), "vda")];
    const { pid } = await host.start("islt-ld-killed", { disks });
    assert.equal(loopsOf(host.store.path).length, 1);
    const monitor = Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
    process.kill(monitor, "SIGKILL");
    await waitFor("the end of the guest", () => !existsSync(`/proc/${pid}`));
    await waitFor("the loop device to let go", () => loopsOf(host.store.path).length === 0);
  });

  test("may be read by several domains", async (t) => {
    if (lacks(t, "loop")) return;
    const host = domains(t);
    const disks = [fileDisk(image(join(host.store.path, "data.img"), "data"), "vda", { readonly: true })];
    const guests = [await host.start("islt-ld-a", { disks }), await host.start("islt-ld-b", { disks })];
    for (const guest of guests) assert.equal(await guest.sh("head -c 4 /dev/vda"), "data");
    assert.equal(loopsOf(host.store.path).length, 2);
    for (const guest of guests) await guest.kill();
    await waitFor("the loop devices to let go", () => loopsOf(host.store.path).length === 0);
  });

  test("is let go where the start fails, at whatever step", async (t) => {
    if (lacks(t, "loop")) return;
    const host = domains(t);
    const disks = [fileDisk(image(join(host.store.path, "data.img"), "data"), "vda")];
    let failed = 0;
    for (let failOperation = 5; failOperation < 400; failOperation += 31) {
      try {
        await (await host.start("islt-ld-fail", { disks }, { failOperation })).kill();
      } catch (error) {
        failed += 1;
        assert.match(String(error), /EIO/, String(failOperation));
      }
      await waitFor("the loop device to let go", () => loopsOf(host.store.path).length === 0);
    }
    assert.ok(failed > 2);
    const missing = [...disks, fileDisk(join(host.store.path, "gone.img"), "vdb")];
    await assert.rejects(host.start("islt-ld-gone", { disks: missing }), /Unable to open .*gone\.img: No such file/);
    const link = join(host.store.path, "link.img");
    execFileSync("ln", ["-s", "data.img", link]);
    const twice = [...disks, fileDisk(link, "vdb")];
    await assert.rejects(host.start("islt-ld-twice", { disks: twice }), /data\.img is in use/);
    await waitFor("the loop device to let go", () => loopsOf(host.store.path).length === 0);
  });
});
