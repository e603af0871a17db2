import assert from "node:assert/strict";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { lockName } from "../../src/plan/lock.js";
import { cleanup } from "../support/cleanup.js";
import { command } from "../support/command.js";
import { picture, sweepLxc } from "../support/host.js";
import { instance } from "../support/instance.js";
import { testDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { busybox } from "../support/store.js";

test("the lock of a container is the socket that LXC's tools ask, whatever the length of its path", async (t) => {
  if (lacks(t, "lxc") || lacks(t, "strace")) return;
  const store = join(testDir, "islt-lock".padEnd(92 - testDir.length, "-"));
  const before = picture();
  cleanup(t)(() => {
    sweepLxc(before, { names: [], stores: [store] });
    rmSync(store, { recursive: true, force: true });
  });
  for (const name of ["a", "ab", "abc", "abcd", "abcde", "abcdef", "a-much-longer-name", "größe"]) {
    mkdirSync(join(store, name), { recursive: true });
    writeFileSync(join(store, name, "config"), "lxc.net.0.type = empty\n");
    const traced = await command([
      "strace",
      "-f",
      "-xx",
      "-s",
      "200",
      "-e",
      "trace=connect",
      "/usr/bin/lxc-info",
      "-P",
      store,
      "-n",
      name,
    ]);
    const asked = /sun_path=@"((?:\\x[0-9a-f]{2})+)"/.exec(traced.stderr)?.[1] ?? "";
    const text = Buffer.from(asked.replaceAll("\\x", ""), "hex").toString();
    assert.equal(lockName(store, name), text, `${store.length + name.length + 9} bytes`);
  }
});

test("LXC's own tools end at once on a container that islet runs, and leave it as it is", async (t) => {
  if (lacks(t, "lxc")) return;
  const own = await instance(t);
  const before = picture();
  cleanup(t)(() => {
    sweepLxc(before, { names: ["islt-lock"], stores: [own.store.path] });
  });
  const rootfs = busybox(own.store, "islt-lock");
  const at = own.store.at("islt-lock");
  await own.ok(["lxc-start", ...at]);
  const pid = await own.ok(["lxc-info", ...at, "-pH"]);
  const debian = (...argv: readonly string[]): ReturnType<typeof command> => {
    const [name = "", ...words] = argv;
    return command([`/usr/bin/${name}`, ...at, ...words], { timeout: 5000 });
  };
  for (const words of [
    ["lxc-start"],
    ["lxc-start", "-F"],
    ["lxc-execute", "--", "/bin/true"],
    ["lxc-info"],
    ["lxc-stop", "-k"],
    ["lxc-stop"],
    ["lxc-attach", "--", "/bin/true"],
    ["lxc-freeze"],
    ["lxc-destroy"],
    ["lxc-destroy", "-f"],
    ["lxc-wait", "-s", "STOPPED", "-t", "5"],
    ["lxc-console"],
  ]) {
    const result = await debian(...words);
    assert.equal(result.status, 1, `${words.join(" ")}: ${result.status} ${result.stdout}${result.stderr}`);
    assert.match(result.stderr, /Insufficent privileges to control|already running/);
  }
  const listed = await command(["/usr/bin/lxc-ls", "-P", own.store.path, "--active", "-1"], { timeout: 5000 });
  assert.deepEqual([listed.status, listed.stdout.trim()], [0, "islt-lock"]);
  assert.ok(existsSync(join(rootfs, "bin/busybox")));
  assert.equal(await own.ok(["lxc-info", ...at, "-pH"]), pid);
  await own.ok(["lxc-stop", ...at, "-r", "-t", "20"]);
  assert.equal((await debian("lxc-info")).status, 1, "also after a reboot");
  await own.ok(["lxc-stop", ...at, "-k"]);
  const { stdout } = await debian("lxc-info", "-s", "-H");
  assert.equal(stdout, "STOPPED\n");
});
