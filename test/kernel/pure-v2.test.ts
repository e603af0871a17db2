import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { instance, watchTraces } from "../support/instance.js";
import { pureV2 } from "../support/pure-v2.js";
import { lacks } from "../support/skip.js";
import { busybox } from "../support/store.js";
import { waitFor } from "../support/wait.js";

test("on a host with cgroup v2 alone", async (t) => {
  if (lacks(t, "cgroup2")) return;
  const name = "islt-v2";
  const mntnsPid = await pureV2(t);
  const root = `/proc/${mntnsPid}/root/sys/fs/cgroup`;
  const own = await instance(t, { mntnsPid });
  busybox(own.store, name, "lxc.mount.auto = proc:mixed sys:mixed cgroup:rw:force");
  const at = (): readonly string[] => own.store.at(name);
  const payload = (): string => `${root}/lxc.payload.${name}`;
  const read = (file: string): string => readFileSync(`${payload()}/${file}`, "utf8").trim();
  const sh = async (script: string): Promise<string> =>
    (await own.ok(["lxc-attach", ...at(), "--", "/bin/sh", "-c", script], { env: { PATH: "/bin:/sbin" } })).trim();
  const initPid = async (): Promise<string> => (await own.ok(["lxc-info", ...at(), "-pH"])).trim();

  await t.test("a container starts in its payload cgroup and nowhere else", async () => {
    await own.ok(["lxc-start", ...at()]);
    assert.ok(
      read("cgroup.procs")
        .split("\n")
        .includes(await initPid()),
    );
    const line = readFileSync(`/proc/${await initPid()}/cgroup`, "utf8");
    assert.match(line, new RegExp(`^0::/lxc\\.payload\\.${name}$`, "m"));
    for (const other of line.split("\n").filter((each) => each !== "" && !each.startsWith("0::")))
      assert.doesNotMatch(other, /lxc\.payload/);
  });

  await t.test("the guest sees the v2 tree with its own cgroup as root, and may use it", async () => {
    assert.equal(await sh("cat /proc/1/cgroup | grep ^0:"), "0::/");
    assert.match(await sh("grep ' /sys/fs/cgroup ' /proc/mounts"), /^\S+ \/sys\/fs\/cgroup cgroup2 rw/);
    await sh("mkdir /sys/fs/cgroup/inner && echo 0 > /sys/fs/cgroup/inner/cgroup.procs");
    assert.ok(existsSync(`${payload()}/inner`));
    await sh("rmdir /sys/fs/cgroup/inner");
  });

  await t.test(
    "islet ls tells what the kernel accounts there, islet doctor which controllers are elsewhere",
    async () => {
      const [row] = JSON.parse(await own.ok(["islet", "ls", "-P", own.store.path, "--format", "json"])) as readonly {
        readonly cpuNanoseconds: number | null;
        readonly memoryBytes: number | null;
      }[];
      assert.ok(typeof row?.cpuNanoseconds === "number" && row.cpuNanoseconds > 0);
      assert.equal(row.memoryBytes !== null, existsSync(`${payload()}/memory.current`));
      const { stdout } = await own.command(["islet", "doctor", "-P", own.store.path]);
      assert.match(stdout, /^ {2}\S+ cgroup v2 on \/sys\/fs\/cgroup$/m);
      const offers = readFileSync(`${root}/cgroup.controllers`, "utf8").trim().split(" ");
      for (const controller of ["memory", "pids"])
        assert.equal(
          new RegExp(`the controller ${controller} is missing\n.*\n.* boot with cgroup_no_v1=${controller}$`, "m").test(
            stdout,
          ),
          !offers.includes(controller),
          stdout,
        );
    },
  );

  await t.test("attached processes are in the payload cgroup", async () => {
    assert.match(await sh("cat /proc/self/cgroup"), /^0::\/$/m);
  });

  await t.test(
    "devices are confined by a BPF program: what is allowed works, all else cannot be made or opened",
    async () => {
      const limited = "islt-v2-dev";
      busybox(
        own.store,
        limited,
        "lxc.cgroup2.devices.deny = a\nlxc.cgroup2.devices.allow = c 1:3 rwm\nlxc.cgroup2.devices.allow = c 136:* rwm",
      );
      const inside = (script: string): Promise<string> =>
        own.ok(["lxc-attach", ...own.store.at(limited), "--", "/bin/sh", "-c", script], {
          env: { PATH: "/bin:/sbin" },
        });
      await own.ok(["lxc-start", ...own.store.at(limited)]);
      assert.equal(
        await inside("echo x > /dev/null && echo null; mknod /tmp/mem c 1 1 2>/dev/null || echo refused"),
        "null\nrefused\n",
      );
      const zero = await own.command(["lxc-attach", ...own.store.at(limited), "--", "/bin/sh", "-c", ": < /dev/zero"], {
        env: { PATH: "/bin:/sbin" },
      });
      assert.match(zero.stderr, /Operation not permitted|can't open/);
      await own.ok(["lxc-stop", ...own.store.at(limited), "-k"]);
    },
  );

  await t.test("it freezes and thaws, and is killed when frozen", async () => {
    await own.ok(["lxc-freeze", ...at()]);
    assert.match(read("cgroup.events"), /^frozen 1$/m);
    assert.equal((await own.ok(["lxc-info", ...at(), "-sH"])).trim(), "FROZEN");
    await own.ok(["lxc-unfreeze", ...at()]);
    assert.match(read("cgroup.events"), /^frozen 0$/m);
    await own.ok(["lxc-freeze", ...at()]);
    await own.ok(["lxc-stop", ...at(), "-k"]);
    await own.ok(["lxc-start", ...at()]);
    assert.equal((await own.ok(["lxc-info", ...at(), "-sH"])).trim(), "RUNNING");
  });

  await t.test("lxc-cgroup knows its files, and the freezer by its v1 name", async () => {
    const item = (...words: readonly string[]): Promise<string> => own.ok(["lxc-cgroup", ...at(), ...words]);
    assert.ok((await item("cgroup.procs")).split("\n").includes(await initPid()));
    assert.equal(await item("freezer.state"), "THAWED\n\n");
    for (const [file, frozen, thawed] of [
      ["freezer.state", "FROZEN", "THAWED"],
      ["cgroup.freeze", "1", "0"],
    ] as const) {
      await item(file, frozen);
      assert.equal((await own.ok(["lxc-info", ...at(), "-sH"])).trim(), "FROZEN");
      assert.equal(await item(file), `${frozen}\n\n`);
      await item(file, thawed);
      assert.equal((await own.ok(["lxc-info", ...at(), "-sH"])).trim(), "RUNNING");
    }
  });

  await t.test("stopping kills what the guest left in cgroups of its own, and nothing is left", async () => {
    await sh(
      "mkdir -p /sys/fs/cgroup/a/b; (echo 0 > /sys/fs/cgroup/a/b/cgroup.procs; exec sleep 12345 >/dev/null 2>&1) &",
    );
    await waitFor("the process to be there", () => readFileSync(`${payload()}/a/b/cgroup.procs`, "utf8") !== "");
    await own.ok(["lxc-stop", ...at(), "-k"]);
    assert.deepEqual(
      readdirSync(root).filter((entry) => entry.startsWith("lxc.payload.islt-v2")),
      [],
    );
  });

  await t.test("a start that fails at once leaves nothing, again and again", async () => {
    busybox(own.store, "islt-v2-bad", "lxc.init.cmd = /nowhere/init");
    const start = ["lxc-start", ...own.store.at("islt-v2-bad")];
    await own.command(start);
    const traces = await watchTraces(own, ["islt-v2-bad"]);
    for (let round = 0; round < 3; round += 1) assert.equal((await own.command(start)).status, 1);
    await traces.assertGone("after three refused starts");
  });
});
