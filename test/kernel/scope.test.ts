import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { test, type TestContext } from "node:test";
import { scopeUnit } from "../../src/host/systemd.js";
import { ok } from "../support/command.js";
import { cleanup } from "../support/cleanup.js";
import { type Instance, instance } from "../support/instance.js";
import { root, testDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { busybox, busyboxRootfs, tempStore } from "../support/store.js";
import { compileGuestInit } from "../support/systemd-like-init.js";
import { waitFor } from "../support/wait.js";

/** E7 of systemd's container interface: a container is a scope of the host's systemd. */

const firstId = 300_000;
const map = `lxc.idmap = u 0 ${firstId} 65536\nlxc.idmap = g 0 ${firstId} 65536\nlxc.rootfs.options = idmap=container\n`;
const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };

/** Mounts of the hierarchies that systemd knows, by their key in /proc/PID/cgroup. */
function hierarchies(): ReadonlyMap<string, string> {
  const mountinfo = readFileSync("/proc/self/mountinfo", "utf8");
  const unified = /^(?:\S+ ){4}(\S+) .* - cgroup2 /m.exec(mountinfo)?.[1];
  const named = /^(?:\S+ ){4}(\S+) .* - cgroup \S+ \S*name=systemd/m.exec(mountinfo)?.[1];
  return new Map([
    ...(unified === undefined ? [] : [["", unified] as const]),
    ...(named === undefined ? [] : [["name=systemd", named] as const]),
  ]);
}

/** Where a process is, by hierarchy. */
function groupsOf(pid: number): ReadonlyMap<string, string> {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n");
  return new Map(
    lines.map((line) => {
      const [, key = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
      return [key, path];
    }),
  );
}

/** A container of the instance's, and what is asked of it. */
function containerOf(own: Instance, name: string, config = "islet.guest = systemd\n") {
  const rootfs = busybox(own.store, name);
  // What a busybox init is stopped by, and nothing that the profile would give.
  writeFileSync(
    join(own.store.path, name, "config"),
    `lxc.rootfs.path = dir:${rootfs}\nlxc.net.0.type = empty\nlxc.signal.halt = SIGUSR1\nlxc.signal.reboot = SIGTERM\n${config}`,
  );
  const at = own.store.at(name);
  const unit = scopeUnit(own.store.path, name);
  const pid = async (): Promise<number> => Number((await own.ok(["lxc-info", ...at, "-pH"])).trim());
  return {
    rootfs,
    at,
    unit,
    pid,
    start: () => own.ok(["lxc-start", ...at]),
    kill: () => own.ok(["lxc-stop", ...at, "-k"]),
    state: async () => (await own.ok(["lxc-info", ...at, "-sH"])).trim(),
    sh: async (script: string) => (await own.ok(["lxc-attach", ...at, "--", "/bin/sh", "-c", script], { env })).trim(),
    monitor: async () => Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${await pid()}/status`, "utf8"))?.[1]),
    directory: join(own.store.path, name),
  };
}
type Container = ReturnType<typeof containerOf>;

/** Fails unless the guest is in `payload` of the scope and its monitor in `supervisor`, in every hierarchy that systemd knows. */
async function assertInScope(one: Container): Promise<void> {
  const [guest, monitor] = [groupsOf(await one.pid()), groupsOf(await one.monitor())];
  for (const [key, mount] of hierarchies()) {
    const path = guest.get(key) ?? "";
    assert.equal(basename(join(path, "..")), one.unit, path);
    assert.equal(basename(path), "payload");
    assert.equal(monitor.get(key), join(path, "../supervisor"));
    assert.equal(readFileSync(join(mount, path, "../cgroup.procs"), "utf8"), "", "nobody is in the scope itself");
    assert.ok(!existsSync(join(mount, `lxc.payload.${basename(one.directory)}`)));
  }
}

/** What must work there as it does elsewhere. */
async function assertUsable(own: Instance, one: Container): Promise<void> {
  const shell = groupsOf(await one.pid()).get("") ?? "";
  assert.equal(await one.sh("sed -n 's/^0:://p' /proc/self/cgroup"), "/");
  assert.equal(await one.sh("sed -n 's/^0:://p' /proc/1/cgroup"), "/");
  await own.ok(["lxc-freeze", ...one.at]);
  assert.equal(await one.state(), "FROZEN");
  await own.ok(["lxc-unfreeze", ...one.at]);
  assert.equal(await one.state(), "RUNNING");
  const rows = JSON.parse(await own.ok(["islet", "ls", "-P", own.store.path, "--format", "json"])) as readonly {
    readonly name: string;
    readonly cpuNanoseconds: number | null;
  }[];
  assert.ok((rows.find(({ name }) => name === basename(one.directory))?.cpuNanoseconds ?? 0) > 0);
  await one.sh("mkdir /sys/fs/cgroup/of-its-own");
  const mount = hierarchies().get("");
  if (mount !== undefined) assert.ok(existsSync(join(mount, shell, "of-its-own")));
  assert.equal((await own.ok(["lxc-cgroup", ...one.at, "cgroup.procs"])).trim() !== "", true);
}

/** Removes groups, the lowest first. */
function removeTree(path: string): void {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) removeTree(join(path, entry.name));
  rmdirSync(path);
}

/** A program that answers as busctl does, and moves the process as systemd would. */
function fakeSystemd(t: TestContext) {
  const directory = mkdtempSync(join(testDir, "islt-busctl-"));
  const slice = `${basename(directory)}.slice`;
  const slices = [...hierarchies().values()].map((mount) => join(mount, slice));
  const program = join(directory, "busctl");
  writeFileSync(
    program,
    `#!/bin/sh
at=${directory}
printf '%s\\n' "$*" >>$at/calls
if [ -s $at/busy ]; then
  sed -i 1d $at/busy
  echo 'Call failed: Unit x.scope was already loaded or has a fragment file.' >&2
  exit 1
fi
if [ -e $at/refuse ]; then cat $at/refuse >&2; exit 1; fi
while [ "$1" != "ssa(sv)a(sa(sv))" ]; do shift; done
unit=$2
case $unit in
  *hangs*) exec sleep 60 ;;
  *idle*) exit 0 ;;
esac
while [ "$1" != PIDs ]; do shift; done
for slice in ${slices.join(" ")}; do
  mkdir -p "$slice/$unit" && echo "$4" >"$slice/$unit/cgroup.procs" || exit 1
done
`,
  );
  chmodSync(program, 0o755);
  return {
    program,
    slices,
    /** To be called last, and so done when nobody is left in there. */
    removeAtEnd: () => {
      cleanup(t)(() => {
        for (const path of slices) removeTree(path);
        rmSync(directory, { recursive: true });
      });
    },
    say: (file: "busy" | "refuse", text: string) => {
      writeFileSync(join(directory, file), text);
    },
    calls: () =>
      existsSync(join(directory, "calls")) ? readFileSync(join(directory, "calls"), "utf8").trim().split("\n") : [],
    /** Collects the scope as systemd does when nobody is in it; fails if there are groups with somebody. */
    collect: async (unit: string) => {
      for (const path of slices) {
        assert.ok(!existsSync(join(path, unit, "payload")), `${path}/${unit}/payload is left`);
        // A process that is just ending counts.
        const members = join(path, unit, "supervisor/cgroup.procs");
        await waitFor("the monitor's end", () => !existsSync(members) || readFileSync(members, "utf8") === "");
        removeTree(join(path, unit));
      }
    },
  };
}

test("E7: the scope of a container, asked for with busctl", async (t) => {
  if (hierarchies().size === 0 && lacks(t, "cgroup2")) return;
  const fake = fakeSystemd(t);
  const own = await instance(t, { env: { ISLET_BUSCTL: fake.program, ISLET_TEST: "1" } });
  fake.removeAtEnd();

  await t.test("has the guest in payload and the monitor in supervisor; all goes on as elsewhere", async () => {
    const one = containerOf(own, "islt-scope-fake");
    await one.start();
    await assertInScope(one);
    assert.equal(fake.calls().length, 1);
    await assertUsable(own, one);
    const before = groupsOf(await one.monitor());
    await own.ok(["lxc-stop", ...one.at, "-r"]);
    await assertInScope(one);
    assert.deepEqual(groupsOf(await one.monitor()), before);
    await one.kill();
    assert.equal(fake.calls().length, 1);
    await fake.collect(one.unit);
  });

  await t.test(
    "is not asked for by other guests, nor where the configuration says no or names groups itself",
    async () => {
      const before = fake.calls().length;
      for (const [index, config] of [
        "",
        "islet.guest = systemd\nislet.scope = no\n",
        "islet.guest = systemd\nlxc.cgroup.dir = islt-scope-own\n",
      ].entries()) {
        const one = containerOf(own, `islt-scope-top${index}`, config);
        await one.start();
        for (const path of groupsOf(await one.pid()).values()) assert.doesNotMatch(path, /\.scope/);
        await one.kill();
      }
      assert.equal(fake.calls().length, before);
    },
  );

  await t.test("belongs to the guest's root no further than the payload", async () => {
    const one = containerOf(own, "islt-scope-mapped", `islet.guest = systemd\n${map}`);
    await one.start();
    await assertInScope(one);
    for (const [key, mount] of hierarchies()) {
      const payload = join(mount, groupsOf(await one.pid()).get(key) ?? "");
      assert.equal(statSync(payload).uid, firstId);
      for (const other of ["..", "../supervisor"]) assert.equal(statSync(join(payload, other)).uid, 0);
    }
    await one.kill();
    await fake.collect(one.unit);
  });

  await t.test("is asked for again while the last one is going", async () => {
    const one = containerOf(own, "islt-scope-busy");
    fake.say("busy", "1\n2\n3\n");
    const before = fake.calls().length;
    await one.start();
    assert.equal(fake.calls().length, before + 4);
    await assertInScope(one);
    await one.kill();
    await fake.collect(one.unit);
  });

  await t.test("does without when refused, and says so; with islet.scope = yes the start fails", async (st) => {
    fake.say("refuse", "Call failed: Access denied\n");
    st.after(() => {
      rmSync(join(fake.program, "../refuse"));
    });
    const one = containerOf(own, "islt-scope-refused");
    const { status, stderr } = await own.command(["lxc-start", ...one.at]);
    assert.equal(status, 0, stderr);
    assert.match(stderr, /systemd has made no scope for islt-scope-refused: Call failed: Access denied/);
    for (const path of groupsOf(await one.pid()).values()) assert.doesNotMatch(path, /\.scope/);
    await one.kill();
    const must = containerOf(own, "islt-scope-must", "islet.scope = yes\n");
    const refused = await own.command(["lxc-start", ...must.at]);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /systemd has made no scope for islt-scope-must: Call failed: Access denied/);
    assert.equal(await must.state(), "STOPPED");
    for (const name of [one.unit, must.unit])
      assert.deepEqual(
        fake.slices.filter((path) => existsSync(join(path, name))),
        [],
      );
  });

  await t.test("is not waited for longer than ten seconds, and nobody stays who waited for it", async () => {
    const hangs = containerOf(own, "islt-scope-hangs");
    const idle = containerOf(own, "islt-scope-idle", "islet.scope = yes\n");
    const begin = Date.now();
    const [first, second] = await Promise.all([hangs, idle].map(({ at }) => own.command(["lxc-start", ...at])));
    assert.ok(Date.now() - begin > 9000);
    assert.equal(first?.status, 0);
    assert.match(first.stderr, /no scope for islt-scope-hangs: no answer within 10 s/);
    assert.equal(second?.status, 1);
    assert.match(second.stderr, /no scope for islt-scope-idle: no answer within 10 s/);
    for (const path of groupsOf(await hangs.pid()).values()) assert.doesNotMatch(path, /\.scope/);
    await hangs.kill();
    const monitors = (): readonly string[] =>
      readdirSync("/proc").filter((pid) => {
        const status = join("/proc", pid, "status");
        const parent =
          /^\d+$/.test(pid) && existsSync(status) ? /^PPid:\s+(\d+)$/m.exec(readFileSync(status, "utf8"))?.[1] : null;
        return parent === nursery;
      });
    const nursery = readFileSync(`/proc/${own.pid()}/task/${own.pid()}/children`, "utf8").trim();
    // The spare one.
    await waitFor("the others to end", () => monitors().length === 1);
  });

  await t.test("is empty after a start that fails, wherever it fails", async () => {
    const one = containerOf(own, "islt-scope-failing");
    const text = await own.ok(["islet", "plan", ...one.at]);
    const operations = text.split("\n").length;
    for (let at = 0; at < operations; at += Math.ceil(operations / 12)) {
      const { status } = await own.command(["lxc-start", ...one.at], {
        env: { ISLET_TEST_FAIL_OPERATION: String(at) },
      });
      await waitFor("its end", async () => (await one.state()) === "STOPPED" || (await one.kill()) === "");
      assert.ok(status === 0 || status === 1);
      await fake.collect(one.unit);
    }
    const bad = containerOf(own, "islt-scope-bad", "islet.guest = systemd\nlxc.init.cmd = /nowhere\n");
    assert.equal((await own.command(["lxc-start", ...bad.at])).status, 1);
    await fake.collect(bad.unit);
  });

  await t.test("is stopped in good order by what systemd sends to everybody in it", async () => {
    const one = containerOf(own, "islt-scope-urgent");
    rmSync(one.rootfs, { recursive: true });
    busyboxRootfs(one.rootfs);
    rmSync(join(one.rootfs, "sbin/init"));
    compileGuestInit(join(one.rootfs, "sbin/init"));
    writeFileSync(
      join(one.directory, "config"),
      readFileSync(join(one.directory, "config"), "utf8").replace(/^lxc\.signal.*\n/gm, ""),
    );
    await one.start();
    await waitFor("init to listen", () => existsSync(join(one.rootfs, "listens")));
    const [init, monitor] = [await one.pid(), await one.monitor()];
    for (const pid of [init, monitor]) process.kill(pid, "SIGURG");
    await waitFor("its end", () => !existsSync(`/proc/${monitor}`));
    assert.ok(existsSync(join(one.rootfs, "stopped-well")));
    await fake.collect(one.unit);
  });

  await t.test("is empty when the monitor was killed", async () => {
    const one = containerOf(own, "islt-scope-killed");
    await one.start();
    process.kill(await one.monitor(), "SIGKILL");
    await own.ok(["lxc-wait", ...one.at, "-s", "STOPPED", "-t", "20"]);
    await fake.collect(one.unit);
  });

  // The last: that daemon does not know of the program.
  await t.test("is found again by the next daemon", async () => {
    const one = containerOf(own, "islt-scope-next");
    await one.start();
    process.kill(own.pid(), "SIGKILL");
    await assertUsable(own, one);
    await one.kill();
    await fake.collect(one.unit);
  });
});

test("E7: the scope of a container, made by the host's systemd", async (t) => {
  if (lacks(t, "systemd")) return;
  const own = await instance(t);
  const show = (unit: string, property: string): string =>
    execFileSync("systemctl", ["show", "-P", property, unit], { encoding: "utf8" }).trim();
  const gone = (unit: string): Promise<boolean> =>
    waitFor("the scope to go", () => {
      const isLoaded = show(unit, "LoadState") !== "not-found";
      return !isLoaded && [...hierarchies().values()].every((mount) => !existsSync(join(mount, "machine.slice", unit)));
    });

  await t.test("is delegated, in machine.slice, and has all controllers", async () => {
    const one = containerOf(own, "islt-scope-real");
    await one.start();
    await assertInScope(one);
    assert.equal(show(one.unit, "Delegate"), "yes");
    assert.equal(show(one.unit, "Slice"), "machine.slice");
    assert.equal(show(one.unit, "TasksMax"), "infinity");
    assert.equal(show(one.unit, "ActiveState"), "active");
    const scope = show(one.unit, "ControlGroup");
    const mount = hierarchies().get("") ?? "";
    assert.equal(groupsOf(await one.pid()).get(""), `${scope}/payload`);
    assert.equal(
      readFileSync(join(mount, scope, "payload/cgroup.controllers"), "utf8"),
      readFileSync(join(mount, scope, "cgroup.controllers"), "utf8"),
    );
    await assertUsable(own, one);
    if (readFileSync(join(mount, scope, "cgroup.controllers"), "utf8").includes("memory")) {
      await own.ok(["lxc-cgroup", ...one.at, "memory.max", "67108864"]);
      assert.equal(readFileSync(join(mount, scope, "payload/memory.max"), "utf8").trim(), "67108864");
    }
    // Where it is, `islet plan` has said before.
    assert.ok((await own.ok(["islet", "plan", ...one.at])).includes(`make the cgroup ${mount}${scope}/payload`));
    await own.ok(["lxc-stop", ...one.at, "-r"]);
    await assertInScope(one);
    assert.equal(show(one.unit, "ActiveState"), "active");
    await one.kill();
    await gone(one.unit);
  });

  await t.test("goes with the container, which can be started again at once", async () => {
    const one = containerOf(own, "islt-scope-again", `islet.guest = systemd\nislet.scope = yes\n${map}`);
    for (let round = 0; round < 4; round += 1) {
      await one.start();
      await assertInScope(one);
      await one.kill();
    }
    await gone(one.unit);
  });

  await t.test("is not left by a start that fails, nor by a monitor that is killed", async () => {
    const bad = containerOf(own, "islt-scope-bad", "islet.guest = systemd\nlxc.init.cmd = /nowhere\n");
    assert.equal((await own.command(["lxc-start", ...bad.at])).status, 1);
    await gone(bad.unit);
    const one = containerOf(own, "islt-scope-killed");
    await one.start();
    process.kill(await one.monitor(), "SIGKILL");
    await own.ok(["lxc-wait", ...one.at, "-s", "STOPPED", "-t", "20"]);
    await gone(one.unit);
  });

  await t.test("is stopped with its unit, in good order", async () => {
    const one = containerOf(own, "islt-scope-unit");
    const program = join(one.directory, "init");
    compileGuestInit(program);
    rmSync(join(one.rootfs, "sbin/init"));
    copyFileSync(program, join(one.rootfs, "sbin/init"));
    writeFileSync(
      join(one.directory, "config"),
      readFileSync(join(one.directory, "config"), "utf8").replace(/^lxc\.signal.*\n/gm, ""),
    );
    await one.start();
    await waitFor("init to listen", () => existsSync(join(one.rootfs, "listens")));
    execFileSync("systemctl", ["stop", one.unit]);
    assert.ok(existsSync(join(one.rootfs, "stopped-well")));
    await own.ok(["lxc-wait", ...one.at, "-s", "STOPPED", "-t", "20"]);
    await gone(one.unit);
  });
});

test("E7: a daemon that systemd has started stays in its unit, and nobody else is in there", async (t) => {
  if (lacks(t, "systemd")) return;
  const directory = mkdtempSync(join(testDir, "islt-unit-"));
  const unit = basename(directory);
  const runtimeDir = join(directory, "run");
  const daemon = join(root, "dist/src/daemon/main.js");
  mkdirSync(runtimeDir, { mode: 0o711 });
  const store = tempStore(t);
  const systemctl = (...words: readonly string[]): string =>
    execFileSync("systemctl", words, { encoding: "utf8" }).trim();
  cleanup(t)(() => {
    systemctl("stop", `${unit}.socket`, `${unit}.service`);
    rmSync(directory, { recursive: true });
  });
  execFileSync("systemd-run", [
    "--quiet",
    "--collect",
    `--unit=${unit}`,
    `--socket-property=ListenStream=${runtimeDir}/socket`,
    "--socket-property=SocketMode=0600",
    ...["Type=notify", "Delegate=yes", "KillMode=process"].map((property) => `--property=${property}`),
    `--setenv=ISLET_RUNTIME_DIR=${runtimeDir}`,
    process.execPath,
    daemon,
  ]);
  const run = (argv: readonly string[]): Promise<string> => ok(argv, { env: { ISLET_RUNTIME_DIR: runtimeDir } });
  const name = "islt-scope-unit-lxc";
  busybox(store, name);
  await run(["lxc-start", ...store.at(name)]);
  const pid = Number(readFileSync(join(runtimeDir, "daemon.pid"), "utf8"));
  assert.equal(systemctl("show", "-P", "MainPID", `${unit}.service`), String(pid));
  const group = systemctl("show", "-P", "ControlGroup", `${unit}.service`);
  for (const [key, mount] of hierarchies()) {
    assert.equal(groupsOf(pid).get(key), group);
    assert.equal(readFileSync(join(mount, group, "cgroup.procs"), "utf8").trim(), String(pid));
  }
  const guest = Number((await run(["lxc-info", ...store.at(name), "-pH"])).trim());
  assert.equal(groupsOf(guest).get(""), `/lxc.payload.${name}`);
  systemctl("restart", `${unit}.service`);
  assert.equal((await run(["lxc-info", ...store.at(name), "-sH"])).trim(), "RUNNING");
  assert.equal(Number((await run(["lxc-info", ...store.at(name), "-pH"])).trim()), guest);
  await run(["lxc-stop", ...store.at(name), "-k"]);
});
