import assert from "node:assert/strict";
import { test } from "node:test";
import { instance } from "../support/instance.js";
import { busybox } from "../support/store.js";

test("a container that has only just started hears the wish to stop or to reboot all the same", async (t) => {
  const own = await instance(t);
  busybox(own.store, "islt-early");
  const at = own.store.at("islt-early");
  for (let round = 0; round < 3; round += 1) {
    await own.ok(["lxc-start", ...at]);
    const first = await own.ok(["lxc-info", ...at, "-pH"]);
    await own.ok(["lxc-stop", ...at, "-r", "-t", "15"]);
    assert.notEqual(await own.ok(["lxc-info", ...at, "-pH"]), first);
    // Not killed: that would take all of the fifteen seconds.
    const began = performance.now();
    await own.ok(["lxc-stop", ...at, "-t", "15"]);
    assert.ok(performance.now() - began < 12_000);
  }
});
