import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { command, ok } from "../support/command.js";
import { reportOf, signalsOf } from "../support/guest-init.js";
import { end, stopDaemons } from "../support/host.js";
import { instance } from "../support/instance.js";
import { bin, testDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";
import { type Guest, guests, handles } from "./guest.js";
import { type LxdKind, lxdContainer, lxdGuest } from "./guest-lxd.js";

/** How guests of the profile lxd are stopped, restarted and come back: what their init hears, and what the next run finds. */

const kinds: readonly LxdKind[] = ["privileged", "id-mapped"];
const SIGINT = 2;
const SIGPWR = 30;
const SIGRTMIN3 = 37;

describe("the life of a guest of the profile lxd", () => {
  const all = guests();
  const lives = async (kind: LxdKind, name: string, mode: string): Promise<Guest> => {
    const guest = lxdGuest(all, kind, `islt-lxd-${name}-${kind}`, { mode });
    await guest.start();
    await reportOf(guest.rootfs);
    return guest;
  };
  const point = (what: string, body: (kind: LxdKind) => Promise<void>): void => {
    for (const kind of kinds) {
      it(`${what} (${kind})`, async (t) => {
        if (kind !== "privileged" && lacks(t, "userns")) return;
        await body(kind);
      });
    }
  };

  point("L1: a clean stop is SIGPWR to an init that does not wait for SIGRTMIN+3", async (kind) => {
    const guest = await lives(kind, "pwr", "handler");
    await handles(guest, SIGPWR);
    await ok(["lxc-stop", ...guest.at, "-t", "20", "--nokill"]);
    assert.deepEqual(signalsOf(guest.rootfs), [SIGPWR]);
    assert.equal(await guest.state(), "STOPPED");
  });

  point("L1: a clean stop is SIGRTMIN+3 to an init that blocks it, as systemd does", async (kind) => {
    const guest = await lives(kind, "rt", "blocked");
    await waitFor("init to block SIGRTMIN+3", async () => {
      const mask = /^SigBlk:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${await guest.pid()}/status`, "utf8"))?.[1];
      return ((BigInt(`0x${mask ?? "0"}`) >> 36n) & 1n) === 1n;
    });
    await ok(["lxc-stop", ...guest.at, "-t", "20", "--nokill"]);
    assert.deepEqual(signalsOf(guest.rootfs), [SIGRTMIN3]);
    assert.equal(await guest.state(), "STOPPED");
  });

  point("L2: an init that does not listen is left running where no kill is asked for", async (kind) => {
    const guest = await lives(kind, "deaf", "deaf");
    await handles(guest, SIGPWR);
    const result = await command(["lxc-stop", ...guest.at, "-t", "1", "--nokill"]);
    assert.notEqual(result.status, 0);
    assert.equal(await guest.state(), "RUNNING");
    assert.deepEqual(signalsOf(guest.rootfs), [SIGPWR]);
  });

  point("L3: a restart from outside is SIGINT, and the guest comes back", async (kind) => {
    const guest = await lives(kind, "int", "handler");
    await handles(guest, SIGINT);
    const before = await guest.pid();
    await ok(["lxc-stop", ...guest.at, "-r", "-t", "20"]);
    assert.deepEqual(signalsOf(guest.rootfs), [SIGINT]);
    assert.equal(await guest.state(), "RUNNING");
    assert.notEqual(await guest.pid(), before);
  });

  point("L4: a guest that reboots itself comes back with a new boot id and an empty /dev", async (kind) => {
    const guest = await lives(kind, "again", "handler");
    const boot = await guest.sh("touch /dev/left; cat /proc/sys/kernel/random/boot_id");
    const before = await guest.pid();
    await guest.try("reboot -f");
    await waitFor("it to come back", async () => (await guest.state()) === "RUNNING" && (await guest.pid()) !== before);
    assert.notEqual(await guest.sh("cat /proc/sys/kernel/random/boot_id"), boot);
    assert.match((await guest.try("ls /dev/left")).stderr, /No such file/);
  });

  for (const mode of ["off", "halt", "exit"]) {
    point(`L5: an init that ends by ${mode} ends the guest`, async (kind) => {
      const guest = lxdGuest(all, kind, `islt-lxd-${mode}-${kind}`, { mode });
      // It may be over before the start is reported.
      await command(["lxc-start", ...guest.at]);
      await waitFor("it to stop", async () => (await guest.state()) === "STOPPED");
      await reportOf(guest.rootfs);
    });
  }

  point("L6: a kill asks nobody", async (kind) => {
    const guest = await lives(kind, "kill", "handler");
    await guest.kill();
    assert.deepEqual(signalsOf(guest.rootfs), []);
    assert.equal(await guest.state(), "STOPPED");
  });

  point("L8: a guest can be frozen and thawed", async (kind) => {
    const guest = await lives(kind, "cold", "handler");
    await ok(["lxc-freeze", ...guest.at]);
    assert.equal(await guest.state(), "FROZEN");
    await ok(["lxc-unfreeze", ...guest.at]);
    assert.equal(await guest.state(), "RUNNING");
    await guest.sh("true");
  });
});

it("L7: guests of the profile lxd go on when the daemon ends, and the next one finds them", async (t) => {
  const own = await instance(t);
  lxdContainer(own.store, "privileged", "islt-lxd-own");
  const at = own.store.at("islt-lxd-own");
  await own.ok(["lxc-start", ...at]);
  const pid = await own.ok(["lxc-info", ...at, "-pH"]);
  end(own.pid(), "SIGTERM");
  assert.equal(await own.ok(["lxc-info", ...at, "-pH"]), pid);
  await own.ok(["lxc-stop", ...at, "-t", "20", "--nokill"]);
});

it("P2: variables of the configuration come before container=lxc, and a PATH for the guest is none for the host's hooks", async (t) => {
  const own = await instance(t);
  const seen = join(own.store.path, ".seen");
  const rootfs = lxdContainer(own.store, "privileged", "islt-lxd-env", {
    config: `lxc.environment = PATH=/nowhere\nlxc.environment = ONE=1\nlxc.hook.pre-start = /bin/sh -c '/usr/bin/env > ${seen}' --\n`,
  });
  await own.ok(["lxc-start", ...own.store.at("islt-lxd-env")]);
  assert.deepEqual((await reportOf(rootfs)).get("env"), ["PATH=/nowhere", "ONE=1", "container=lxc"]);
  assert.doesNotMatch(readFileSync(seen, "utf8"), /nowhere|^ONE=/m);
});

/** A caller that ignores every signal that can be ignored, blocks two, and leaves a file open. */
const careless = `import os, signal, sys
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGTERM])
os.umask(0o077); os.dup2(os.open("/dev/zero", os.O_RDONLY), 42); os.set_inheritable(42, True)
os.execvp(sys.argv[1], sys.argv[1:])`;

it("P8: nothing of a daemon's careless ancestor reaches PID 1: no ignored signal, no blocked one, no descriptor", async (t: TestContext) => {
  const directory = mkdtempSync(join(testDir, "islt-careless-"));
  const runtime = join(directory, "run");
  mkdirSync(runtime, { mode: 0o711 });
  const env = { ISLET_RUNTIME_DIR: runtime };
  const guest = lxdGuest(guests(t), "privileged", "islt-lxd-careless");
  try {
    await ok(["python3", "-c", careless, bin("lxc-start"), ...guest.at], { env });
    const report = await reportOf(guest.rootfs);
    assert.deepEqual(report.get("disposition"), undefined);
    assert.deepEqual(report.get("blocked"), ["0"]);
    assert.deepEqual(report.get("umask"), ["022"]);
    assert.equal(report.get("descriptor")?.length, 3);
  } finally {
    await command(["lxc-stop", ...guest.at, "-k"], { env });
    await stopDaemons(runtime);
    rmSync(directory, { recursive: true });
  }
});
