import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { command, fails, ok } from "../support/command.js";
import { cgroupMounts, daemonsOf } from "../support/host.js";
import { runtimeDir } from "../support/paths.js";
import { waitFor } from "../support/wait.js";
import { type Guest, guests, handles } from "./guest.js";

const sleeper = "lxc.init.cmd = /bin/sleep 3600\n";
/** An init that ends cleanly on the signal and otherwise waits. */
const trapping = (signal: string, action: string): string =>
  `lxc.init.cmd = /bin/sh -c "trap '${action}' ${signal}; while :; do sleep 0.05; done"\n`;
const parentOf = (pid: number): number =>
  Number(/^PPid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
/** A killed monitor leaves its cgroups, as LXC's does; the next start uses them again. */
const sweep = (...names: readonly string[]): void => {
  for (const mount of cgroupMounts()) {
    for (const entry of readdirSync(mount)) {
      if (names.some((name) => entry === `lxc.payload.${name}` || entry.startsWith(`lxc.payload.${name}-`)))
        rmdirSync(join(mount, entry));
    }
  }
};
/** Until another init than `pid` runs. */
const anew = async (guest: Guest, pid: number): Promise<void> => {
  await waitFor("a new init", async () => (await guest.state()) === "RUNNING" && ![0, pid].includes(await guest.pid()));
};
const alive = (pid: number): boolean => existsSync(`/proc/${pid}`);

describe("life and death", () => {
  const { define, started } = guests();

  describe("the monitor", () => {
    it("is the parent of init, named after the container", async () => {
      const guest = await started("parent", sleeper);
      assert.match(readFileSync(`/proc/${parentOf(await guest.pid())}/cmdline`, "utf8"), /^\[lxc monitor\] .* parent/);
    });
    it("takes the guest with it when it is killed", async () => {
      const guest = await started("pdeath", sleeper);
      const pid = await guest.pid();
      process.kill(parentOf(pid), "SIGKILL");
      await waitFor("init to be dead", () => !alive(pid));
      await waitFor("STOPPED", async () => (await guest.state()) === "STOPPED");
      await guest.start();
      assert.equal(await guest.sh("echo again"), "again");
      await guest.kill();
      sweep("pdeath");
    });
    it("takes it too when init is an ordinary user, and in a user namespace", async () => {
      const map = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\nlxc.rootfs.options = idmap=container\n";
      for (const [name, lines] of [
        ["pdeathuser", "lxc.init.uid = 1000\nlxc.init.gid = 1000\n"],
        ["pdeathmap", map],
      ] as const) {
        const guest = await started(name, sleeper + lines);
        const pid = await guest.pid();
        process.kill(parentOf(pid), "SIGKILL");
        await waitFor(`init of ${name} to be dead`, () => !alive(pid), { timeout: 3000 });
        await waitFor("STOPPED", async () => (await guest.state()) === "STOPPED");
        sweep(name);
      }
    });
    it("sends lxc.monitor.signal.pdeath", async () => {
      const guest = await started(
        "pdeathterm",
        `lxc.monitor.signal.pdeath = SIGTERM\n${trapping("TERM", "echo termed > /root/note; exit 0")}`,
      );
      const pid = await guest.pid();
      process.kill(parentOf(pid), "SIGKILL");
      await waitFor("init to be dead", () => !alive(pid));
      assert.equal(readFileSync(join(guest.rootfs, "root/note"), "utf8"), "termed\n");
      sweep("pdeathterm");
    });
    it("outlives the daemon, and the next daemon finds it", async () => {
      const guest = await started("survivor", sleeper);
      const pid = await guest.pid();
      const daemon = daemonsOf(runtimeDir)[0];
      assert.ok(daemon);
      process.kill(daemon.pid, "SIGKILL");
      await waitFor("the daemon to be dead", () => !alive(daemon.pid));
      assert.ok(alive(pid));
      assert.equal(await guest.pid(), pid);
      assert.equal(await guest.sh("echo here"), "here");
      await guest.kill();
      assert.ok(!alive(pid));
    });
    it("on SIGTERM asks init to end", async () => {
      const guest = await started("asked", trapping("PWR TERM INT USR1", "exit 0"));
      process.kill(parentOf(await guest.pid()), "SIGTERM");
      await waitFor("STOPPED", async () => (await guest.state()) === "STOPPED");
    });
  });

  describe("stopping", () => {
    it("sends the halt signal and waits", async () => {
      const guest = await started(
        "halts",
        `lxc.signal.halt = SIGUSR2\n${trapping("USR2", "echo halted > /root/note; exit 0")}`,
      );
      await ok(["lxc-stop", ...guest.at]);
      assert.equal(readFileSync(join(guest.rootfs, "root/note"), "utf8"), "halted\n");
      assert.equal(await guest.state(), "STOPPED");
    });
    it("kills when the time is over", async () => {
      const guest = await started("stubborn", sleeper);
      const began = Date.now();
      await ok(["lxc-stop", ...guest.at, "-t", "1"]);
      assert.ok(Date.now() - began >= 900);
      assert.equal(await guest.state(), "STOPPED");
    });
    it("-r sends the reboot signal and the container runs again", async () => {
      const guest = await started("again", `lxc.signal.reboot = SIGUSR2\n${trapping("USR2", "reboot -f")}`);
      const pid = await guest.pid();
      await ok(["lxc-stop", ...guest.at, "-r"]);
      assert.equal(await guest.state(), "RUNNING");
      assert.notEqual(await guest.pid(), pid);
    });
    it("ends every process of the container, also those that ignore signals", async () => {
      const guest = await started("crowd", sleeper);
      await guest.sh("for i in 1 2 3; do (trap '' TERM HUP INT; sleep 7777) > /dev/null 2>&1 & done");
      await guest.kill();
      assert.equal((await command(["sh", "-c", "ps -eo args | grep -c '^sleep 777[7]'"])).stdout.trim(), "0");
    });
    it("poweroff inside stops the container", async () => {
      const guest = await started("poweroff");
      await guest.try("poweroff -f");
      await waitFor("STOPPED", async () => (await guest.state()) === "STOPPED");
    });
    it("an init that ends stops the container, whatever its status", async () => {
      const guest = define("ends", 'lxc.init.cmd = /bin/sh -c "exit 3"\n');
      await guest.start();
      await waitFor("STOPPED", async () => (await guest.state()) === "STOPPED");
    });
  });

  describe("reboot from inside", () => {
    it("starts again under the same monitor, in fresh namespaces", async () => {
      const guest = await started("reboots");
      const [pid, monitor] = [await guest.pid(), parentOf(await guest.pid())];
      await guest.sh("mount -t tmpfs x /mnt; touch /dev/mark /root/mark");
      await guest.try("reboot -f");
      await anew(guest, pid);
      assert.equal(parentOf(await guest.pid()), monitor);
      assert.equal(await guest.sh("ls /mnt; ls /dev/mark 2>/dev/null; ls /root"), "mark");
    });
    it("keeps the configuration of the first start", async () => {
      const guest = await started("keeps", "lxc.environment = WHICH=first\n");
      const pid = await guest.pid();
      await ok(["sh", "-c", `sed -i s/WHICH=first/WHICH=second/ ${guest.directory}/config`]);
      await guest.try("reboot -f");
      await anew(guest, pid);
      assert.match(await guest.sh("tr '\\0' '\\n' < /proc/1/environ"), /^WHICH=first$/m);
    });
    it("works several times, and without a daemon", async () => {
      const guest = define(
        "thrice",
        'lxc.init.cmd = /bin/sh -c "echo x >> /root/runs; test $(wc -l < /root/runs) -ge 4 && exec sleep 3600; sleep 0.2; reboot -f"\n',
      );
      await guest.start();
      const daemon = daemonsOf(runtimeDir)[0];
      assert.ok(daemon);
      process.kill(daemon.pid, "SIGKILL");
      await waitFor("the fourth run", () => readFileSync(join(guest.rootfs, "root/runs"), "utf8") === "x\nx\nx\nx\n");
      assert.equal(await guest.state(), "RUNNING");
      assert.equal(await guest.sh("echo up"), "up");
    });
  });

  describe("an ephemeral container", () => {
    it("is destroyed when it stops", async () => {
      const guest = await started("ephemeral", `lxc.ephemeral = 1\n${sleeper}`);
      await guest.kill();
      await waitFor("its directory to go", () => !existsSync(guest.directory));
    });
    it("is not destroyed by a reboot", async () => {
      const guest = await started("ephboot", "lxc.ephemeral = 1\n");
      const pid = await guest.pid();
      await guest.try("reboot -f");
      await anew(guest, pid);
      assert.ok(existsSync(guest.directory));
      await guest.kill();
      await waitFor("its directory to go", () => !existsSync(guest.directory));
    });
  });

  it("lxc.monitor.unshare keeps mounts of a pre-start hook from the host", async () => {
    const guest = define("unshared");
    await ok([
      "sh",
      "-c",
      `printf '%s\\n' 'lxc.monitor.unshare = 1' "lxc.hook.pre-start = /bin/sh -c 'mount -t tmpfs islt-prestart ${guest.rootfs}/mnt && touch ${guest.rootfs}/mnt/by-hook'" >> ${guest.directory}/config`,
    ]);
    await guest.start();
    const leaked = (await command(["umount", join(guest.rootfs, "mnt")])).status === 0;
    assert.ok(!leaked, "the hook's mount is on the host");
    assert.equal(await guest.sh("ls /mnt"), "by-hook");
  });

  it("two starts at once: one wins, the other says that it runs", async () => {
    const guest = define("race", sleeper);
    const results = await Promise.all([1, 2, 3].map(() => command(["lxc-start", ...guest.at])));
    assert.ok(results.some((result) => result.status === 0 && result.stderr === ""));
    assert.ok(results.filter((result) => /running/.test(result.stderr)).length === 2, JSON.stringify(results));
    assert.equal(await guest.state(), "RUNNING");
  });
});

const SIGUSR1 = 10;
const SIGUSR2 = 12;

describe("the stopping commands of old", () => {
  const { define, started } = guests();
  const stopped = async (guest: Guest): Promise<void> => {
    await waitFor("STOPPED", async () => (await guest.state()) === "STOPPED");
  };

  it("lxc-shutdown sends the halt signal and does not wait; -w does", async () => {
    const guest = await started("oldhalt", trapping("USR1", "sleep 0.3; echo halted > /root/note; exit 0"));
    await handles(guest, SIGUSR1);
    assert.equal(await ok(["lxc-shutdown", ...guest.at]), "");
    await stopped(guest);
    assert.equal(readFileSync(join(guest.rootfs, "root/note"), "utf8"), "halted\n");
    await guest.start();
    await handles(guest, SIGUSR1);
    assert.equal(await ok(["lxc-shutdown", ...guest.at, "-w"]), "Container oldhalt has shut down\n");
    assert.equal(await guest.state(), "STOPPED");
  });
  it("lxc-shutdown -t kills what does not go", async () => {
    const guest = await started("oldstubborn", sleeper);
    assert.equal(await ok(["lxc-shutdown", ...guest.at, "-t", "1"]), "Calling lxc-stop on oldstubborn\n");
    assert.equal(await guest.state(), "STOPPED");
  });
  it("lxc-shutdown -r reboots", async () => {
    const guest = await started("oldreboot", `lxc.signal.reboot = SIGUSR2\n${trapping("USR2", "reboot -f")}`);
    await handles(guest, SIGUSR2);
    const pid = await guest.pid();
    assert.equal(await ok(["lxc-shutdown", ...guest.at, "-r"]), "");
    await anew(guest, pid);
    await guest.kill();
  });
  it("lxc-kill sends a signal to init, the deadly one if none is named", async () => {
    const guest = await started("oldkill", trapping("USR2", "echo here > /root/note"));
    await handles(guest, SIGUSR2);
    await ok(["lxc-kill", ...guest.at, String(SIGUSR2)]);
    await waitFor("the signal to be there", () => existsSync(join(guest.rootfs, "root/note")));
    assert.equal(await guest.state(), "RUNNING");
    await ok(["lxc-kill", ...guest.at]);
    await stopped(guest);
  });
  it("both say that a container does not run", async () => {
    const guest = define("olddown", sleeper);
    assert.equal((await fails(["lxc-shutdown", ...guest.at], 1)).stderr, "olddown is not running\n");
    assert.match((await fails(["lxc-kill", ...guest.at], 255)).stderr, /failed to get the init pid\n$/);
  });
});
