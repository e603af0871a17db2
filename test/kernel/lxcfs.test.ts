import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { createEngine } from "../../src/engine/local.js";
import { guestDoor } from "../../src/frontends/lxd/guest/load.js";
import { probeHost } from "../../src/host/probe.js";
import { cleanup } from "../support/cleanup.js";
import type { CommandResult } from "../support/command.js";
import { picture, sweepLxc } from "../support/host.js";
import { instance, type Instance, watchTraces } from "../support/instance.js";
import { type Lxcfs, startLxcfs } from "../support/lxcfs.js";
import { root } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { busybox } from "../support/store.js";
import { waitFor } from "../support/wait.js";
import { mountsOf, type SeenMount } from "./guest.js";

/** Milliseconds in which a guest is to be mended. */
const soon = { timeout: 2000, every: 20 };

const mapped = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";
/** What can limit memory here: names of the other version are translated. */
const unified = "/sys/fs/cgroup/cgroup.controllers";
const controllers = existsSync(unified) ? "cgroup2-controllers" : "cgroup1";
const hasCpuset = !existsSync(unified) || readFileSync(unified, "utf8").includes("cpuset");
const limits = `lxc.cgroup.memory.limit_in_bytes = 300M\n${hasCpuset ? "lxc.cgroup.cpuset.cpus = 0\n" : ""}`;
/** The host's programs, for those that want more than busybox. */
const hostPrograms = ["usr", "lib", "lib64"]
  .filter((name) => existsSync(`/${name}`))
  .map((name) => `lxc.mount.entry = /${name} ${name} none ro,rbind 0 0\n`)
  .join("");

interface Inside {
  readonly name: string;
  readonly sh: (script: string) => Promise<string>;
  readonly try: (script: string) => Promise<CommandResult>;
  readonly pid: () => Promise<number>;
  readonly mounts: () => Promise<ReadonlyMap<string, SeenMount>>;
}

async function guest(own: Instance, name: string, config = ""): Promise<Inside> {
  const rootfs = busybox(own.store, name, config);
  for (const path of ["var/lib/lxcfs", "usr", "lib", "lib64"]) mkdirSync(join(rootfs, path), { recursive: true });
  const at = own.store.at(name);
  await own.ok(["lxc-start", ...at]);
  const shell = (script: string): readonly string[] => ["lxc-attach", ...at, "--", "/bin/sh", "-c", script];
  const env = { PATH: "/bin:/usr/sbin:/usr/bin:/sbin" };
  const pid = async (): Promise<number> => Number(await own.ok(["lxc-info", ...at, "-p", "-H"]));
  return {
    name,
    pid,
    sh: async (script) => (await own.ok(shell(script), { env })).trim(),
    try: (script) => own.command(shell(script), { env }),
    mounts: async () => lxcfsOnly(mountsOf(readFileSync(`/proc/${await pid()}/mountinfo`, "utf8"))),
  };
}

function lxcfsOnly(mounts: ReadonlyMap<string, SeenMount>): ReadonlyMap<string, SeenMount> {
  return new Map([...mounts].filter(([, { fstype }]) => fstype === "fuse.lxcfs"));
}

/** Seconds since it was started, by its own /proc/uptime. */
const uptime = async (inside: Inside): Promise<number> => Number((await inside.sh("cat /proc/uptime")).split(" ")[0]);
const hostUptime = (): number => Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
const isVirtual = async (inside: Inside): Promise<boolean> => (await uptime(inside)) < hostUptime() / 2;

/** It must read the kernel's own numbers, or LXCFS's, within two seconds. */
async function reads(inside: Inside, whose: "the kernel's" | "LXCFS's"): Promise<number> {
  const from = performance.now();
  await waitFor(
    `${inside.name} to read ${whose} numbers`,
    async () => (await isVirtual(inside)) === (whose === "LXCFS's"),
    soon,
  );
  return performance.now() - from;
}

async function setUp(t: TestContext): Promise<{ readonly own: Instance; readonly lxcfs: Lxcfs }> {
  const lxcfs = await startLxcfs(t);
  return { lxcfs, own: await instance(t, { env: { ISLET_LXCFS: lxcfs.path, ISLET_TEST: "1" } }) };
}

/** Every place that this LXCFS has something for. */
function places({ path }: Lxcfs): readonly string[] {
  const files = readdirSync(join(path, "proc"), { withFileTypes: true });
  const proc = files.flatMap((entry) =>
    entry.isDirectory()
      ? readdirSync(join(path, "proc", entry.name)).map((name) => `${entry.name}/${name}`)
      : [entry.name],
  );
  const known = proc.filter((name) => existsSync(join("/proc", name))).map((name) => `/proc/${name}`);
  return [...known, "/sys/devices/system/cpu", "/var/lib/lxcfs"].sort();
}

describe("LXCFS", () => {
  for (const [kind, config] of [
    ["privileged", ""],
    ["id-mapped", mapped],
  ] as const) {
    it(`shows a ${kind} guest its own limits, without a word of configuration`, async (t) => {
      if (lacks(t, "lxcfs") || (kind === "id-mapped" && lacks(t, "userns"))) return;
      const { own, lxcfs } = await setUp(t);
      const inside = await guest(own, "islt-lxcfs-a", config);
      const mounts = await inside.mounts();
      assert.deepEqual([...mounts.keys()].sort(), places(lxcfs));
      for (const [place, mount] of mounts) {
        assert.equal(mount.root, place === "/var/lib/lxcfs" ? "/" : place);
        assert.deepEqual(mount.options, ["rw", "nosuid", "nodev", "relatime"]);
        assert.deepEqual(mount.superOptions, ["rw", "user_id=0", "group_id=0", "allow_other"]);
      }
      assert.ok(await isVirtual(inside));
      assert.equal(
        await inside.sh("test -r /proc/loadavg && cat /proc/stat /proc/swaps /proc/diskstats > /dev/null; echo $?"),
        "0",
      );
      assert.equal(await inside.sh("cat /var/lib/lxcfs/proc/uptime | wc -l"), "1");
    });

    it(`shows a ${kind} guest the memory and the processors of its control groups`, async (t) => {
      if (lacks(t, "lxcfs") || lacks(t, controllers) || (kind === "id-mapped" && lacks(t, "userns"))) return;
      const { own } = await setUp(t);
      const inside = await guest(own, "islt-lxcfs-b", `${config}${limits}${hostPrograms}`);
      assert.equal(await inside.sh("grep MemTotal /proc/meminfo | tr -s ' '"), "MemTotal: 307200 kB");
      if (existsSync("/usr/bin/free"))
        assert.match(await inside.sh("/usr/bin/free -k"), /^Mem: +307200 /m, "free of procps reads /proc/meminfo");
      if (!hasCpuset) return;
      assert.equal(await inside.sh("grep -c ^processor /proc/cpuinfo"), "1");
      assert.equal(await inside.sh("grep -c ^cpu[0-9] /proc/stat"), "1");
      assert.equal(await inside.sh("cat /sys/devices/system/cpu/online"), "0");
    });
  }

  it("stays away where islet.lxcfs is 0, and where it does not run", async (t) => {
    if (lacks(t, "lxcfs")) return;
    const { own, lxcfs } = await setUp(t);
    const without = await guest(own, "islt-lxcfs-c", "islet.lxcfs = 0\n");
    assert.equal((await without.mounts()).size, 0);
    await lxcfs.signal("SIGKILL");
    const late = await guest(own, "islt-lxcfs-d");
    assert.equal((await late.mounts()).size, 0);
    assert.ok(!(await isVirtual(late)));
    await lxcfs.start();
    await waitFor("new guests to have it", async () => {
      await own.ok(["lxc-stop", ...own.store.at("islt-lxcfs-d"), "-k"]);
      await own.ok(["lxc-start", ...own.store.at("islt-lxcfs-d")]);
      return (await late.mounts()).size > 0;
    });
    assert.equal((await without.mounts()).size, 0);
  });

  it("does not hold up a start when it is there but does not answer", async (t) => {
    if (lacks(t, "lxcfs")) return;
    const { own, lxcfs } = await setUp(t);
    await lxcfs.signal("SIGSTOP");
    const from = performance.now();
    const inside = await guest(own, "islt-lxcfs-e");
    const took = performance.now() - from;
    assert.ok(took < 5000, `${took} ms`);
    assert.equal(await inside.sh("echo lives"), "lives");
    await lxcfs.signal("SIGCONT");
  });

  it("may load itself anew without any guest noticing", async (t) => {
    if (lacks(t, "lxcfs")) return;
    const { own, lxcfs } = await setUp(t);
    const inside = await guest(own, "islt-lxcfs-f");
    const before = readFileSync(`/proc/${await inside.pid()}/mountinfo`, "utf8");
    await lxcfs.signal("SIGUSR1");
    for (let round = 0; round < 5; round += 1) assert.ok(await isVirtual(inside));
    assert.equal(readFileSync(`/proc/${await inside.pid()}/mountinfo`, "utf8"), before);
  });

  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    it(`that ends by ${signal} leaves guests with the kernel's numbers, and its successor serves them: no guest is restarted`, async (t) => {
      if (lacks(t, "lxcfs") || lacks(t, "userns")) return;
      const { own, lxcfs } = await setUp(t);
      const all = [await guest(own, "islt-lxcfs-g"), await guest(own, "islt-lxcfs-h", mapped)];
      const pids = await Promise.all(all.map((inside) => inside.pid()));
      const before = await Promise.all(all.map(async (inside) => [...(await inside.mounts()).keys()].sort()));
      for (let round = 0; round < 3; round += 1) {
        await lxcfs.signal(signal);
        const away = await Promise.all(all.map((inside) => reads(inside, "the kernel's")));
        for (const inside of all) {
          assert.equal((await inside.mounts()).size, 0);
          assert.equal(
            await inside.sh("ls /sys/devices/system/cpu/online; ls /var/lib/lxcfs"),
            "/sys/devices/system/cpu/online",
          );
        }
        await lxcfs.start();
        const back = await Promise.all(all.map((inside) => reads(inside, "LXCFS's")));
        t.diagnostic(`away after ${Math.max(...away).toFixed(0)} ms, back after ${Math.max(...back).toFixed(0)} ms`);
        // They come one after another, and a list that is read meanwhile may lack one of the first.
        await waitFor(
          "all files to be back",
          async () => {
            assert.deepEqual(
              await Promise.all(all.map(async (inside) => [...(await inside.mounts()).keys()].sort())),
              before,
            );
            return true;
          },
          soon,
        );
      }
      assert.deepEqual(await Promise.all(all.map((inside) => inside.pid())), pids);
    });
  }

  it("comes back to a guest that has rebooted while it was away", async (t) => {
    if (lacks(t, "lxcfs")) return;
    const { own, lxcfs } = await setUp(t);
    const inside = await guest(own, "islt-lxcfs-t");
    const before = (await inside.mounts()).size;
    const reboot = async (): Promise<void> => {
      const pid = await inside.pid();
      await own.ok(["lxc-stop", ...own.store.at("islt-lxcfs-t"), "-r"]);
      await waitFor("the reboot", async () => (await inside.pid()) !== pid && (await inside.try("true")).status === 0);
    };
    await lxcfs.signal("SIGKILL");
    await reads(inside, "the kernel's");
    await reboot();
    assert.equal((await inside.mounts()).size, 0);
    await lxcfs.start();
    await waitFor("the living ones to come", async () => (await inside.mounts()).size === before, soon);
    await reboot();
    assert.equal((await inside.mounts()).size, before);
  });

  it("is mended for services in mount namespaces of their own, too, if they follow the guest's", async (t) => {
    if (lacks(t, "lxcfs")) return;
    const { own, lxcfs } = await setUp(t);
    const inside = await guest(own, "islt-lxcfs-u");
    await inside.sh(
      "(unshare -m --propagation slave sh -c 'echo $$ > /run/service; exec sleep 600' > /dev/null 2>&1 &)",
    );
    const read = "nsenter -t $(cat /run/service) -m cat /proc/uptime";
    const isSoon = async (virtual: boolean): Promise<void> => {
      await waitFor(
        "the service's numbers",
        async () => Number((await inside.sh(read)).split(" ")[0]) < hostUptime() / 2 === virtual,
        soon,
      );
    };
    await isSoon(true);
    await lxcfs.signal("SIGKILL");
    await isSoon(false);
    await lxcfs.start();
    await isSoon(true);
  });

  it("comes back to a frozen guest, too", async (t) => {
    if (lacks(t, "lxcfs")) return;
    const { own, lxcfs } = await setUp(t);
    const inside = await guest(own, "islt-lxcfs-i");
    const before = (await inside.mounts()).size;
    await own.ok(["lxc-freeze", ...own.store.at("islt-lxcfs-i")]);
    await lxcfs.signal("SIGKILL");
    await waitFor("the dead mounts to go", async () => (await inside.mounts()).size === 0, soon);
    await lxcfs.start();
    await waitFor("the living ones to come", async () => (await inside.mounts()).size === before, soon);
    await own.ok(["lxc-unfreeze", ...own.store.at("islt-lxcfs-i")]);
    assert.ok(await isVirtual(inside));
  });

  it("leaves alone what a guest has mounted itself, and brings nothing back that it has unmounted", async (t) => {
    if (lacks(t, "lxcfs")) return;
    const { own, lxcfs } = await setUp(t);
    const inside = await guest(own, "islt-lxcfs-j");
    await inside.sh(
      "umount /proc/swaps; echo mine > /tmp/mine; mount --bind /tmp/mine /proc/meminfo; mount -t tmpfs x /var/lib/lxcfs",
    );
    await lxcfs.signal("SIGKILL");
    await reads(inside, "the kernel's");
    assert.equal(await inside.sh("cat /proc/meminfo"), "mine");
    await inside.sh("mount --bind /tmp/mine /proc/loadavg");
    await lxcfs.start();
    await reads(inside, "LXCFS's");
    assert.equal(await inside.sh("cat /proc/meminfo /proc/loadavg; stat -f -c %T /var/lib/lxcfs"), "mine\nmine\ntmpfs");
    const left = [...(await inside.mounts()).keys()];
    for (const gone of ["/proc/swaps", "/proc/loadavg", "/proc/meminfo"]) assert.ok(!left.includes(gone), gone);
    assert.ok(left.includes("/proc/stat"));
  });

  it("mends the others in time although one guest lets nobody look at its files", async (t) => {
    if (lacks(t, "lxcfs")) return;
    const { own, lxcfs } = await setUp(t);
    const hostile = await guest(own, "islt-lxcfs-k", hostPrograms);
    const other = await guest(own, "islt-lxcfs-l");
    // A FUSE of the guest's own that never answers, over all of /proc.
    await hostile.sh(
      "mknod /dev/fuse c 10 229; mkdir -p /run/own /run/lxcfs; (/usr/bin/lxcfs -f -p /run/pid /run/own > /run/log 2>&1 &); " +
        "for i in 1 2 3 4 5 6 7 8 9; do sleep 0.2; test -e /run/own/proc && break; done; mount --bind /run/own /proc && kill -STOP $(cat /run/pid)",
    );
    const pid = await hostile.pid();
    assert.equal(mountsOf(readFileSync(`/proc/${pid}/mountinfo`, "utf8")).get("/proc")?.fstype, "fuse.lxcfs");
    await lxcfs.signal("SIGKILL");
    await reads(other, "the kernel's");
    await lxcfs.start();
    await reads(other, "LXCFS's");
    // It is asked in vain no longer than two seconds each time, and nothing of that stays behind.
    await waitFor("the helpers to be gone", () => runners(own.pid()).length === 0, { timeout: 10_000 });
    assert.ok(existsSync(`/proc/${pid}`));
  });

  it("is mended by the next daemon when there was none while it ended, and while it came back", async (t) => {
    if (lacks(t, "lxcfs") || lacks(t, "userns")) return;
    const { own, lxcfs } = await setUp(t);
    const inside = await guest(own, "islt-lxcfs-m", mapped);
    const pid = await inside.pid();
    const seen = (): ReadonlyMap<string, SeenMount> =>
      lxcfsOnly(mountsOf(readFileSync(`/proc/${pid}/mountinfo`, "utf8")));
    const before = seen().size;
    const replace = async (meanwhile: () => Promise<void>): Promise<void> => {
      process.kill(own.pid(), "SIGKILL");
      await meanwhile();
      await startDaemon(t, own, lxcfs);
    };
    await replace(() => lxcfs.signal("SIGKILL"));
    await waitFor("the dead mounts to go", () => seen().size === 0, soon);
    await replace(() => lxcfs.start());
    await waitFor("the living ones to come", () => seen().size === before, soon);
    await replace(async () => {
      await lxcfs.signal("SIGTERM");
      await lxcfs.start();
    });
    await reads(inside, "LXCFS's");
    assert.equal(seen().size, before);
    assert.equal(await inside.pid(), pid);
    // A daemon that begins while all is well changes nothing, and does not undo what the guest did.
    await inside.sh("umount /proc/uptime");
    await replace(() => Promise.resolve());
    await own.ok(["lxc-info", ...own.store.at("islt-lxcfs-m")]);
    assert.equal(seen().size, before - 1);
  });

  for (const [kind, config] of [
    ["privileged", ""],
    ["id-mapped", mapped],
  ] as const) {
    it(`is mounted in a ${kind} guest as LXC's hook mounts it, file by file, and that hook works here, too`, async (t) => {
      if (lacks(t, "lxcfs") || lacks(t, "lxc") || !existsSync(hook)) return;
      const pid = await mountNamespace(t);
      await startLxcfs(t, pid, "/var/lib/lxcfs");
      const own = await instance(t, { mntnsPid: pid });
      // The hook, and LXC itself, walk the way to the root file system as the mapped root.
      const above = dirname(own.store.path);
      for (const path of [dirname(above), above, own.store.path]) chmodSync(path, 0o711);
      const name = "islt-lxcfs-s";
      const before = picture();
      cleanup(t)(() => {
        sweepLxc(before, { names: [name], stores: [own.store.path] });
      });
      const at = own.store.at(name);
      const inside = await guest(own, name, config);
      const ours = await inside.mounts();
      await own.ok(["lxc-stop", ...at, "-k"]);
      const file = join(own.store.path, name, "config");
      writeFileSync(file, `${readFileSync(file, "utf8")}lxc.hook.mount = ${hook}\n`);
      await own.ok(["lxc-start", ...at]);
      const hooked = await inside.mounts();
      await own.ok(["lxc-stop", ...at, "-k"]);
      // LXC maps ids through newuidmap, which wants root in /etc/subuid.
      const ranges = join(own.store.path, "ranges");
      writeFileSync(ranges, "root:100000:65536\n");
      const mounts = `mount --bind ${ranges} /etc/subuid && mount --bind ${ranges} /etc/subgid`;
      const start = `${mounts} && exec /usr/bin/lxc-start ${at.join(" ")}`;
      await own.ok(["unshare", "-m", "--propagation", "private", "sh", "-c", start]);
      const theirPid = (await own.ok(["/usr/bin/lxc-info", ...at, "-p", "-H"])).trim();
      const theirs = lxcfsOnly(mountsOf(readFileSync(`/proc/${theirPid}/mountinfo`, "utf8")));
      await own.ok(["/usr/bin/lxc-stop", ...at, "-k"]);
      const told = (seen: ReadonlyMap<string, SeenMount>): readonly string[] =>
        [...seen]
          .map(([place, { root: what, options, superOptions }]) => [place, what, ...options, ...superOptions].join(" "))
          .sort();
      assert.ok(theirs.size > 5);
      assert.deepEqual(told(ours), told(theirs));
      assert.deepEqual(told(hooked), told(theirs));
    });
  }

  it("never shows the host what a guest mounts on its files, before and after they were mended", async (t) => {
    if (lacks(t, "lxcfs")) return;
    const pid = await mountNamespace(t);
    const lxcfs = await startLxcfs(t, pid);
    const own = await instance(t, { env: { ISLET_LXCFS: lxcfs.path }, mntnsPid: pid });
    assert.match(lxcfs.mounts().join("\n"), / shared:\d+ - fuse\.lxcfs /);
    const inside = await guest(own, "islt-lxcfs-n");
    const other = await guest(own, "islt-lxcfs-o");
    const mountAll =
      "mount -t tmpfs x /sys/devices/system/cpu && mount --bind /etc/passwd /proc/uptime && mount -t tmpfs x /var/lib/lxcfs/proc";
    const check = async (): Promise<void> => {
      await inside.sh(mountAll);
      assert.equal(lxcfs.mounts().length, 1, lxcfs.mounts().join("\n"));
      assert.ok((await other.mounts()).size > 5 && (await isVirtual(other)));
      await inside.sh("umount /sys/devices/system/cpu /proc/uptime /var/lib/lxcfs/proc");
    };
    await check();
    await lxcfs.signal("SIGKILL");
    await reads(inside, "the kernel's");
    await lxcfs.start();
    await reads(inside, "LXCFS's");
    await reads(other, "LXCFS's");
    await check();
  });

  it("fails no start and leaves nothing whichever of its operations fails", async (t) => {
    if (lacks(t, "lxcfs") || lacks(t, "userns")) return;
    const { own } = await setUp(t);
    const name = "islt-lxcfs-p";
    busybox(own.store, name, mapped);
    const at = own.store.at(name);
    const planned = JSON.parse(await own.ok(["islet", "plan", ...at, "--json"])) as {
      readonly operations: readonly Op[];
    };
    const operations = all(planned.operations).filter(({ note }) => /lxcfs/i.test(note));
    assert.ok(operations.length > 20);
    await own.ok(["lxc-start", ...at]);
    await own.ok(["lxc-stop", ...at, "-k"]);
    const before = await watchTraces(own, [name]);
    for (const { index, note } of operations) {
      const started = await own.command(["lxc-start", ...at], { env: { ISLET_TEST_FAIL_OPERATION: String(index) } });
      if (started.status === 0) await own.ok(["lxc-stop", ...at, "-k"]);
      // What the interpreter does itself, and cannot fail, ends the start when a test makes it fail.
      else assert.match(started.stderr, /EIO/);
      await before.assertGone(note);
    }
  });

  it("gives the daemon a duty to stay for as long as guests rely on it", async (t) => {
    if (lacks(t, "lxcfs")) return;
    const { own, lxcfs } = await setUp(t);
    const at = own.store.at("islt-lxcfs-q");
    await guest(own, "islt-lxcfs-r", "islet.lxcfs = 0\n");
    await guest(own, "islt-lxcfs-q");
    const host = { ...probeHost(own.runtimeDir), lxcfs: lxcfs.path };
    const engine = createEngine({ host, binary: join(root, "build/islet"), keepSpare: false, guestDoor });
    t.after(async () => {
      engine.registry.abandon();
      await engine.close();
    });
    await engine.rediscover();
    assert.ok(engine.hasDuties());
    await own.ok(["lxc-stop", ...at, "-k"]);
    await waitFor("the duty to end", () => !engine.hasDuties());
  });
});

const hook = "/usr/share/lxcfs/lxc.mount.hook";

/** A process in a mount namespace of the test's own, whose mounts are shared as they are on hosts with systemd. */
async function mountNamespace(t: TestContext): Promise<number> {
  // Shared among themselves, not with the host's.
  const script = "mount --make-rshared / && exec sleep 600";
  const holder = spawn("unshare", ["-m", "--propagation", "private", "sh", "-c", script], { stdio: "ignore" });
  cleanup(t)(async () => {
    const ended = once(holder, "exit");
    holder.kill("SIGKILL");
    await ended;
  });
  const pid = holder.pid ?? 0;
  await waitFor("the mount namespace", () => readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "sleep");
  return pid;
}

interface Op {
  readonly index: number;
  readonly note: string;
  readonly block: readonly Op[] | null;
}

const all = (operations: readonly Op[]): readonly Op[] =>
  operations.flatMap((each) => [each, ...(each.block === null ? [] : all(each.block))]);

/** Small processes of a daemon that run its programs. */
function runners(daemon: number): readonly string[] {
  const children = readFileSync(`/proc/${daemon}/task/${daemon}/children`, "utf8").trim().split(" ");
  return children.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("islet\0runner");
    } catch {
      return false;
    }
  });
}

/** Another daemon in place of one that was killed; a client would start it without the test's environment. */
async function startDaemon(t: TestContext, own: Instance, lxcfs: Lxcfs): Promise<void> {
  const env = { PATH: process.env["PATH"] ?? "", ISLET_RUNTIME_DIR: own.runtimeDir, ISLET_LXCFS: lxcfs.path };
  const before = own.pid();
  const daemon = spawn(process.execPath, [join(root, "dist/src/daemon/main.js")], {
    env,
    stdio: ["ignore", "ignore", "inherit"],
  });
  t.after(() => {
    daemon.kill("SIGKILL");
  });
  await waitFor("the next daemon", () => own.pid() !== before && own.pid() === daemon.pid);
}
