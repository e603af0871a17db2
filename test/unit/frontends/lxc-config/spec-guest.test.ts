import assert from "node:assert/strict";
import { test } from "node:test";
import { fromSpec } from "../../../../src/frontends/lxc/config/config.js";
import { specOf } from "./helper.js";

test("LXD's world has the guest's API, the others have not; islet.guest.api has the last word", () => {
  const there = { directory: "/dev/lxd" };
  for (const [config, api] of [
    ["", null],
    ["islet.guest = lxd", there],
    ["islet.guest = systemd", null],
    ["islet.guest.api = 1", there],
    ["islet.guest = systemd\nislet.guest.api = 1", there],
    ["islet.guest.api = 0\nislet.guest = lxd", null],
    ["islet.guest = lxd\nislet.guest.api = 0\nislet.guest.api =", there],
  ] as const) {
    const spec = specOf(config);
    assert.deepEqual(spec.guest.api, api, config);
    assert.deepEqual(specOf(fromSpec(spec)).guest, spec.guest, config);
  }
});
