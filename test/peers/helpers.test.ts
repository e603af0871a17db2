import assert from "node:assert/strict";
import { test } from "node:test";
import { peerStore } from "../support/peer.js";
import { lacks } from "../support/skip.js";
import { busybox } from "../support/store.js";

test("a container that the test helpers make starts, answers and stops under Debian's lxc", async (t) => {
  if (lacks(t, "lxc")) return;
  const store = peerStore(t);
  busybox(store, "islt-helper");
  await store.ok(["lxc-start", ...store.at("islt-helper"), "-d"]);
  assert.equal(await store.ok(["lxc-info", ...store.at("islt-helper"), "-sH"]), "RUNNING\n");
  assert.equal(await store.ok(["lxc-attach", ...store.at("islt-helper"), "--", "hostname"]), "islt-helper\n");
  await store.ok(["lxc-stop", ...store.at("islt-helper"), "-k"]);
  assert.equal(await store.ok(["lxc-info", ...store.at("islt-helper"), "-sH"]), "STOPPED\n");
});
