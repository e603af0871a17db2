import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { heldProgram } from "../support/held-program.js";
import { lacks } from "../support/skip.js";
import { volumeKinds } from "../support/store-kinds.js";
import { type StorePlace, storePlace, volumeGroup } from "../support/store-place.js";
import { busyboxRootfs } from "../support/store.js";
import { waitFor } from "../support/wait.js";
import { survivesKilledRestore } from "./store-faults-list.js";
import { passesList } from "./store-list.js";

/** Apart from the others: where there is a device mapper, in the virtual machine, everything takes long. */

for (const kind of volumeKinds) passesList(kind);
for (const kind of volumeKinds) survivesKilledRestore(kind);

for (const kind of volumeKinds) {
  describe(`lxc-copy on ${kind.title}`, () => {
    it("makes a snapshot that lives by itself, or holds its original", async (t) => {
      if (kind.isLacking(t)) return;
      const place = await storePlace(t, kind);
      const { own } = place;
      const gone = await place.watch("first", "second");
      const [first, second] = [own.store.at("first"), own.store.at("second")];
      await own.ok(place.create("first", "-t", "busybox", ...kind.words));
      await own.ok(["lxc-copy", ...first, "-N", "second", "-s"]);
      await own.ok(["lxc-start", ...first]);
      await own.ok(["lxc-start", ...second]);
      await place.inside("first", "echo first > /root/file; sync");
      assert.equal(await place.inside("second", "ls /root"), "");
      for (const at of [first, second]) await own.ok(["lxc-stop", "-k", ...at]);
      if (kind.volumes === "thick") {
        assert.equal((await own.command(["lxc-destroy", ...first])).status, 1);
        await own.ok(["lxc-destroy", ...second]);
        await own.ok(["lxc-destroy", ...first]);
      } else {
        await own.ok(["lxc-destroy", ...first]);
        await own.ok(["lxc-start", ...second]);
        await own.ok(["lxc-stop", "-k", ...second]);
        await own.ok(["lxc-destroy", ...second]);
      }
      await gone("copies");
    });
  });
}

const volumesOf = async ({ sh }: StorePlace, group: string): Promise<string> =>
  await sh('lvs --noheadings -o lv_name "$1" | sort', group);

for (const kind of volumeKinds) {
  describe(`a daemon that is killed while LVM makes a volume, ${kind.title}`, () => {
    for (const at of ["begin", "end"] as const) {
      it(`leaves none, at the ${at} of lvcreate`, async (t) => {
        if (kind.isLacking(t)) return;
        const lvcreate = heldProgram(t, "lvcreate", at);
        const place = await storePlace(t, { ...kind, env: { PATH: lvcreate.path } });
        const { own } = place;
        const gone = await place.watch("new", "copy");
        const before = await volumesOf(place, volumeGroup);
        const killed = async (argv: readonly string[], after: string): Promise<void> => {
          lvcreate.hold();
          const making = own.command(argv, { timeout: 60_000 });
          await lvcreate.isHeld();
          await own.restart();
          assert.notEqual((await making).status, 0);
          // Were it still there, it would now make the volume that the next daemon has looked for in vain.
          lvcreate.release();
          await sleep(1000);
          await waitFor("the volume to be gone", async () => (await volumesOf(place, volumeGroup)) === after);
        };
        await killed(place.create("new", "-t", "busybox", ...kind.words), before);
        await gone("a daemon that was killed");
        await own.ok(place.create("new", "-t", "busybox", ...kind.words));
        const one = await volumesOf(place, volumeGroup);
        const marked = await place.sh('sha256sum < "$1"', `/dev/${volumeGroup}/new`);
        await killed(["lxc-copy", ...own.store.at("new"), "-N", "copy", "-s"], one);
        assert.equal(await place.sh('ls "$1"', own.store.path), "new");
        assert.equal(await place.sh('sha256sum < "$1"', `/dev/${volumeGroup}/new`), marked);
        await own.ok(["lxc-destroy", ...own.store.at("new")]);
        await gone("all of it");
      });
    }
  });
}

describe("the line of Ubuntu's guide about LVM", () => {
  it("makes an xfs of 5G in the group schroots, typed as it stands there", async (t) => {
    if (volumeKinds[0]?.isLacking(t) !== false || lacks(t, "xfs")) return;
    const group = { name: "schroots", size: "6G" };
    const place = await storePlace(t, { on: null, volumes: "thick", group });
    const { own } = place;
    const gone = await place.watch("CN");
    const above = join(own.runtimeDir, "..");
    const templates = join(above, "templates");
    mkdirSync(templates);
    // Ubuntu's servers cannot be reached: what is made in the volume is a busybox by that name.
    busyboxRootfs(join(above, "ubuntu"));
    const template = join(templates, "lxc-ubuntu");
    writeFileSync(
      template,
      `#!/bin/sh\nfor word; do case $word in --rootfs=*) exec cp -a "${join(above, "ubuntu")}/." "\${word#*=}";; esac; done\n`,
    );
    chmodSync(template, 0o755);
    const config = join(above, "default.conf");
    writeFileSync(config, "lxc.net.0.type = empty\n");
    // Nobody else sees them there.
    await place.sh(
      'mount --bind "$1" /var/lib/lxc; [ ! -e /etc/lxc/default.conf ] || mount --bind "$2" /etc/lxc/default.conf',
      own.store.path,
      config,
    );
    const line = "lxc-create -t ubuntu -n CN -B lvm --vgname schroots --fssize 5G --fstype xfs";
    await own.ok(line.split(" "), { env: { LXC_TEMPLATE_PATH: templates }, timeout: 120_000 });
    const text = readFileSync(join(own.store.path, "CN/config"), "utf8");
    assert.ok(text.split("\n").includes("lxc.rootfs.path = lvm:/dev/schroots/CN"), text);
    assert.equal(
      await place.sh(
        "lvs --noheadings --nosuffix --units b -o lv_size schroots/CN; blkid -p -o value -s TYPE /dev/schroots/CN",
      ),
      `${5 * 2 ** 30}\nxfs`,
    );
    await own.ok(["lxc-start", "-n", "CN"]);
    const seen = await own.ok(["lxc-attach", "-n", "CN", "--", "/bin/stat", "-f", "-c", "%T", "/"]);
    assert.equal(seen, "xfs\n");
    await own.ok(["lxc-stop", "-k", "-n", "CN"]);
    await own.ok(["lxc-destroy", "-n", "CN"]);
    assert.equal(await volumesOf(place, "schroots"), "");
    await place.sh("umount /var/lib/lxc; [ ! -e /etc/lxc/default.conf ] || umount /etc/lxc/default.conf");
    await gone("the guide's container");
  });
});
