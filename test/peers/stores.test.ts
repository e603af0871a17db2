import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { lacks } from "../support/skip.js";
import { storeKinds } from "../support/store-kinds.js";
import { storePlace } from "../support/store-place.js";

/** Containers on each kind of storage, made by Debian's LXC and by islet: the same on the disk, and good for both. */

const theirs = (tool: string): string => `/usr/bin/${tool}`;

for (const kind of storeKinds) {
  describe(`a container on storage of the kind ${kind.title}`, () => {
    it("looks the same, whoever has made it", async (t) => {
      if (lacks(t, "lxc") || kind.isLacking(t)) return;
      const { own, sh } = await storePlace(t, kind);
      // LXC's own template is run by both: what is in the root file system is another test's matter.
      for (const [tool, name] of [
        ["lxc-create", "ours"],
        [theirs("lxc-create"), "lxcs"],
      ] as const) {
        const template = "/usr/share/lxc/templates/lxc-busybox";
        await own.ok([tool, ...own.store.at(name), "-f", "/dev/null", "-t", template, ...kind.words]);
      }
      const look = async (name: string): Promise<string> =>
        (
          await sh(
            // The size of a file has a byte more in LXC.
            `cd "$1/$2"; grep rootfs config; find . -mindepth 1 \\( -path './rootfs/*' -o -path './overlay/delta/*' \\) -prune -o -printf '%P %y %m %u:%g\\n' | grep . | sort
stat -c %F:%a rootfs; [ ! -e rootdev ] || { blkid -p -o value -s TYPE rootdev; echo $(($(stat -c %s rootdev) / 1024)); }`,
            own.store.path,
            name,
          )
        ).replaceAll(name, "NAME");
      assert.equal(await look("ours"), await look("lxcs"));
      for (const name of ["ours", "lxcs"]) await own.ok(["lxc-destroy", ...own.store.at(name)]);
    });

    it("is started and destroyed by the other one", async (t) => {
      if (lacks(t, "lxc") || kind.isLacking(t)) return;
      const place = await storePlace(t, kind);
      const { own } = place;
      const gone = await place.watch("ours", "lxcs");
      const exchange = async (
        maker: (tool: string) => string,
        user: (tool: string) => string,
        name: string,
      ): Promise<void> => {
        const at = own.store.at(name);
        await own.ok([maker("lxc-create"), ...at, "-f", "/dev/null", "-t", "busybox", ...kind.words]);
        await own.ok([user("lxc-start"), ...at]);
        const written = ["lxc-attach", ...at, "--", "/bin/sh", "-c", "echo seen > /root/file; sync"];
        await own.ok([user(written[0] ?? ""), ...written.slice(1)]);
        await own.ok([user("lxc-stop"), ...at, "-k"]);
        await own.ok([maker("lxc-start"), ...at]);
        const seen = await own.ok([maker("lxc-attach"), ...at, "--", "/bin/cat", "/root/file"]);
        assert.equal(seen, "seen\n");
        await own.ok([maker("lxc-stop"), ...at, "-k"]);
        await own.ok([user("lxc-destroy"), ...at]);
        assert.equal(existsSync(place.seen(join(own.store.path, name))), false);
      };
      const ours = (tool: string): string => tool;
      await exchange(ours, theirs, "ours");
      await exchange(theirs, ours, "lxcs");
      await gone("the exchange");
    });
  });
}
