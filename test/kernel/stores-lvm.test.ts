import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { volumeKinds } from "../support/store-kinds.js";
import { storePlace } from "../support/store-place.js";
import { passesList } from "./store-list.js";

/** Apart from the others: where there is a device mapper, in the virtual machine, everything takes long. */

for (const kind of volumeKinds) passesList(kind);

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
