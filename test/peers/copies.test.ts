import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { instance } from "../support/instance.js";
import { lacks } from "../support/skip.js";
import { differencesOf } from "../support/tree.js";
import { copiesOf } from "../kernel/copies.js";

/** What islet notes about copies and snapshots, in the hands of Debian's LXC, and the other way round. */

const lxc = (tool: string): string => `/usr/bin/${tool}`;

test("LXC's tools understand copies that islet has made", async (t) => {
  if (lacks(t, "root") || lacks(t, "lxc")) return;
  const { own, make, path, rootfs, names, ok } = copiesOf(await instance(t));
  const theirs = (tool: string, ...words: readonly string[]): ReturnType<typeof own.command> =>
    own.command([lxc(tool), "-P", own.store.path, ...words], { timeout: 60_000 });
  make("a");
  await ok("lxc-copy", "-n", "a", "-N", "c", "-s");
  await ok("lxc-copy", "-n", "a", "-N", "b");
  await ok("lxc-snapshot", "-n", "b");
  assert.match((await theirs("lxc-destroy", "-n", "a")).stderr, /a has clones/);
  assert.match((await theirs("lxc-destroy", "-n", "b")).stderr, /b has snapshots/);
  assert.equal((await theirs("lxc-snapshot", "-n", "b", "-L")).stdout, await ok("lxc-snapshot", "-n", "b", "-L"));
  writeFileSync(join(rootfs("b"), "etc/new"), "x");
  assert.equal((await theirs("lxc-snapshot", "-n", "b", "-r", "snap0")).status, 0);
  assert.ok(!existsSync(join(rootfs("b"), "etc/new")));
  assert.equal((await theirs("lxc-snapshot", "-n", "b", "-d", "snap0")).status, 0);
  assert.equal((await theirs("lxc-copy", "-n", "c", "-N", "d", "-s")).status, 0);
  assert.equal((await theirs("lxc-destroy", "-n", "d")).status, 0);
  assert.equal((await theirs("lxc-destroy", "-n", "c")).status, 0);
  assert.ok(!existsSync(path("a", "lxc_snapshots")), "LXC has found islet's note");
  assert.equal((await theirs("lxc-destroy", "-n", "a")).status, 0);
  assert.deepEqual(names(), ["b"]);
});

test("islet understands copies that LXC's tools have made", async (t) => {
  if (lacks(t, "root") || lacks(t, "lxc")) return;
  const { own, make, path, rootfs, names, ok, run } = copiesOf(await instance(t));
  const theirs = (tool: string, ...words: readonly string[]): Promise<string> =>
    own.ok([lxc(tool), "-P", own.store.path, ...words], { timeout: 60_000 });
  make("a");
  await theirs("lxc-copy", "-n", "a", "-N", "c", "-s");
  await theirs("lxc-copy", "-n", "a", "-N", "b");
  await theirs("lxc-snapshot", "-n", "b");
  await theirs("lxc-snapshot", "-n", "c");
  assert.match((await run("lxc-destroy", "-n", "a")).stderr, /c, c\/snaps|c, .*snap0 need its root file system/);
  assert.match(await ok("lxc-snapshot", "-n", "b", "-L"), /^snap0 \(/);
  writeFileSync(join(rootfs("b"), "etc/new"), "x");
  await ok("lxc-snapshot", "-n", "b", "-r", "snap0");
  assert.equal(differencesOf(path("b", "snaps/snap0/rootfs"), rootfs("b")), "");
  await ok("lxc-snapshot", "-n", "c", "-r", "snap0");
  await ok("lxc-start", "-n", "c");
  await ok("lxc-stop", "-n", "c", "-k");
  await ok("lxc-copy", "-n", "c", "-N", "d", "-s");
  await ok("lxc-destroy", "-n", "d");
  await ok("lxc-destroy", "-n", "c", "-s");
  assert.ok(!existsSync(path("a", "lxc_snapshots")));
  await ok("lxc-destroy", "-n", "b", "-s");
  await ok("lxc-destroy", "-n", "a");
  assert.deepEqual(names(), []);
});

test("the copy's configuration says what LXC's says", async (t) => {
  if (lacks(t, "root") || lacks(t, "lxc")) return;
  const { own, make, path, ok } = copiesOf(await instance(t));
  make(
    "a",
    `lxc.net.1.type = veth\nlxc.net.1.hwaddr = 00:16:3e:11:22:33\n# mine\nlxc.hook.start = ${path("a", "up")}\n`,
  );
  writeFileSync(path("a", "up"), "#!/bin/sh\n", { mode: 0o755 });
  const comparable = (name: string): string =>
    readFileSync(path(name, "config"), "utf8")
      .replaceAll(/00:16:3e:[0-9a-f:]{8}/g, "MAC")
      .replaceAll(new RegExp(`\\b${name}\\b`, "g"), "NAME")
      // A value that LXC has read twice is quoted.
      .replaceAll('"', "");
  for (const more of [[], ["-s"], ["-M"], ["-K"]]) {
    const name = `x${more.join("")}`.replace("-", "");
    await own.ok([lxc("lxc-copy"), "-P", own.store.path, "-n", "a", "-N", `${name}l`, ...more]);
    await ok("lxc-copy", "-n", "a", "-N", `${name}i`, ...more);
    assert.equal(comparable(`${name}i`), comparable(`${name}l`), more.join());
    assert.equal(existsSync(path(`${name}i`, "up")), existsSync(path(`${name}l`, "up")));
  }
});
