import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { end } from "../support/host.js";
import { instance } from "../support/instance.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";
import { copiesOf } from "./copies.js";

test("a command runs in a copy that is gone afterwards", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, rootfs, path, names, run, picture } = copiesOf(await instance(t));
  make("a");
  writeFileSync(join(rootfs("a"), "etc/hostname"), "a\n");
  const before = picture("a");
  for (const more of [[], ["-t"]]) {
    const did = await run("lxc-copy", "-n", "a", "-e", ...more, "--", "sh", "-c", "hostname; echo x > /x; env; exit 3");
    assert.equal(did.status, 0, did.stderr);
    const name = /^Created (a_[A-Za-z0-9]{6}) as clone of a\n/.exec(did.stdout)?.[1] ?? "";
    assert.ok(did.stdout.includes(`\n${name}\n`) && did.stdout.includes("container=lxc"), did.stdout);
    assert.equal(did.stdout.includes("Container is placed on tmpfs.\nRebooting will cause all"), more.length === 1);
    assert.deepEqual(names(), ["a"]);
  }
  assert.ok(!existsSync(path("a", "lxc_snapshots")));
  assert.equal(picture("a").split("\n").slice(1).join("\n"), before.split("\n").slice(1).join("\n"));
  void own;
});

test("an ephemeral container is gone when it stops, whoever stops it, and survives a reboot", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, path, names, ok, config } = copiesOf(await instance(t));
  make("a");
  assert.equal(await ok("lxc-copy", "-n", "a", "-e", "-N", "e"), "Created e as clone of a\n");
  assert.match(config("e"), /lxc\.uts\.name = e\nlxc\.ephemeral = 1\n$/);
  const inside = (name: string, script: string): Promise<string> =>
    own.ok(["lxc-attach", ...own.store.at(name), "--", "sh", "-c", script]);
  await inside("e", "echo kept > /root/kept");
  await ok("lxc-stop", "-n", "e", "-r");
  assert.equal(await inside("e", "cat /root/kept"), "kept\n");
  await ok("lxc-stop", "-n", "e", "-k");
  assert.deepEqual(names(), ["a"]);
  assert.ok(!existsSync(path("a", "lxc_snapshots")));
  await ok("lxc-copy", "-n", "a", "-e", "-N", "f");
  await inside("f", "(sleep 0.2; poweroff -f) >/dev/null 2>&1 &");
  await waitFor("its end", () => !existsSync(path("f")));
  await ok("lxc-copy", "-n", "a", "-e", "-D", "-N", "g");
  await inside("g", "echo kept > /root/kept");
  await ok("lxc-stop", "-n", "g", "-k");
  assert.equal(readFileSync(path("g", "overlay/delta/root/kept"), "utf8"), "kept\n");
});

test("one that ended while there was no daemon is destroyed by the next", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, path, ok } = copiesOf(await instance(t));
  make("a");
  await ok("lxc-copy", "-n", "a", "-e", "-N", "e");
  await ok("lxc-copy", "-n", "a", "-e", "-t", "-N", "f");
  const pidOf = async (name: string): Promise<number> => Number(await ok("lxc-info", "-n", name, "-pH"));
  const pids = [await pidOf("e"), await pidOf("f")];
  await own.restart(async () => {
    for (const pid of pids) end(pid, "SIGKILL");
    await waitFor("their end", () => pids.every((pid) => !existsSync(`/proc/${pid}`)));
    assert.ok(existsSync(path("e")));
  });
  await waitFor("them to be gone", () => !existsSync(path("e")) && !existsSync(path("f")));
  await waitFor("the note to be gone", () => !existsSync(path("a", "lxc_snapshots")));
});

test("what is mounted into it is there", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, path, names, ok, run } = copiesOf(await instance(t));
  make("a");
  const shared = join(own.store.path, "..", "shared dir");
  mkdirSync(shared);
  writeFileSync(join(shared, "file"), "of the host\n");
  await ok("lxc-copy", "-n", "a", "-e", "-N", "e", "-m", `bind=${shared}:/mnt,overlay=${shared}:/opt`);
  const inside = (script: string): Promise<string> =>
    own.ok(["lxc-attach", ...own.store.at("e"), "--", "sh", "-c", script]);
  assert.equal(
    await inside("cat /mnt/file /opt/file; echo in > /mnt/new; echo in > /opt/file"),
    "of the host\n".repeat(2),
  );
  assert.equal(readFileSync(join(shared, "new"), "utf8"), "in\n");
  assert.equal(readFileSync(join(shared, "file"), "utf8"), "of the host\n");
  await ok("lxc-stop", "-n", "e", "-k");
  assert.ok(!existsSync(path("e")));
  for (const words of [["-m", "foo=/x"], ["-t", "-D"], ["-R"]]) {
    const refused = await run("lxc-copy", "-n", "a", "-e", ...words);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /\nlxc-copy: could not parse command line\n$/);
  }
  assert.deepEqual(names(), ["a"]);
});

test("a copy that cannot be started is taken away again; one that has stopped can be destroyed", async (t) => {
  if (lacks(t, "root")) return;
  const { make, path, names, ok, run } = copiesOf(await instance(t));
  make("a", "lxc.init.cmd = /no/such/init\n");
  const failed = await run("lxc-copy", "-n", "a", "-e");
  assert.equal(failed.status, 1);
  assert.match(failed.stderr, /\/no\/such\/init/);
  assert.deepEqual(names(), ["a"]);
  assert.ok(!existsSync(path("a", "lxc_snapshots")));
  make("b", "lxc.ephemeral = 1\n");
  await ok("lxc-destroy", "-n", "b");
  assert.deepEqual(names(), ["a"]);
});

test("a job of the guide's: a user of the host runs a program of their own home", async (t) => {
  if (lacks(t, "root")) return;
  const { own, make, rootfs, names, run } = copiesOf(await instance(t));
  make("CN");
  const home = join(own.store.path, "..", "home");
  mkdirSync(home);
  writeFileSync(join(home, "run_my_job"), "#!/bin/sh\necho $(id -u) $(id -un) $HOME $1; echo done > result; exit 7\n", {
    mode: 0o755,
  });
  const bound = await own.command(
    [
      "lxc-start-ephemeral",
      "-P",
      own.store.path,
      "-b",
      home,
      "-o",
      "CN",
      "--",
      "sh",
      "-c",
      `cd ${home}; ./run_my_job x`,
    ],
    {},
  );
  assert.equal(bound.status, 7, bound.stderr);
  assert.match(bound.stdout, / x\n$/);
  assert.equal(readFileSync(join(home, "result"), "utf8"), "done\n");
  const games = await run("lxc-start-ephemeral", "-b", "games", "-o", "CN", "--", "sh", "-c", "id -un; echo $HOME");
  assert.deepEqual([games.status, games.stdout], [0, "games\n/usr/games\n"]);
  const other = await run("lxc-start-ephemeral", "-b", "games", "-u", "nobody", "-o", "CN", "--", "id", "-un");
  assert.deepEqual([other.status, other.stdout], [0, "nobody\n"]);
  assert.deepEqual(names(), ["CN"]);
  assert.ok(!readFileSync(join(rootfs("CN"), "etc/passwd"), "utf8").includes("games"));
  for (const [words, said] of [
    [["-o", "zz"], /there is no container zz/],
    [["-o", "CN", "-b", "no-such-user"], /the host has no user no-such-user/],
    [["-o", "CN", "-b", "/no/such/dir"], /there is no directory/],
    [["-o", "CN", "-b", "/"], /the host's whole file system/],
    [["-o", "CN", "-U", "aufs"], /no kernel of today has aufs/],
    [[], /No original container specified/],
  ] as const) {
    const refused = await run("lxc-start-ephemeral", ...words);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, said);
  }
  const started = await run("lxc-start-ephemeral", "-o", "CN", "-n", "job", "-d");
  assert.match(started.stdout, /^job is running\nYou connect with the command:\n {4}sudo lxc-console -n job\n$/);
  await run("lxc-stop", "-n", "job", "-k");
  assert.deepEqual(names(), ["CN"]);
});
