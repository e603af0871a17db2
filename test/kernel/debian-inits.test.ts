import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command, fails, ok } from "../support/command.js";
import { assertNoLeaks, baseline } from "../support/leaks.js";
import { lacks } from "../support/skip.js";
import { busybox, tempStore } from "../support/store.js";
import { waitFor } from "../support/wait.js";
import { bootedAnew, debianConfig, debianGuest, stopped, typing } from "./debian-guest.js";
import { type Guest, guestOf } from "./guest.js";

/** Guests whose init is not systemd. */

/** Milliseconds; lxc-stop's default would kill after sixty. */
const promptly = 25_000;

async function stopsPromptly(guest: Guest): Promise<void> {
  const began = performance.now();
  const { status, stderr } = await command(["lxc-stop", ...guest.at], { timeout: 90_000 });
  assert.deepEqual([status, stderr], [0, ""]);
  assert.ok(performance.now() - began < promptly, "the stop was not prompt");
}

/** Until sysvinit has reached the runlevel 2 and its gettys wait. */
async function inRunlevel2(guest: Guest): Promise<void> {
  await waitFor(
    `${guest.name} to be in runlevel 2`,
    async () => /^N 2$/m.test((await guest.try("runlevel; ps -C getty -o args= | grep console")).stdout),
    { timeout: 30_000, every: 100 },
  );
}

for (const ids of ["privileged", "mapped"] as const) {
  test(`Debian bookworm with sysvinit, ${ids}: boots, lets root log in, reboots, and stops by SIGPWR`, async (t) => {
    if (lacks(t, "debian") || lacks(t, "lxc") || (ids !== "privileged" && lacks(t, "userns"))) return;
    const store = tempStore(t);
    const name = `islt-deb-sysvinit-${ids}`;
    const image = { release: "bookworm", flavour: "sysvinit" } as const;
    const guest = await debianGuest(store, name, { image, world: "lxc", ids });
    const before = baseline();
    await guest.start();
    await inRunlevel2(guest);
    assert.match(await guest.sh("cat /proc/1/comm; hostname"), new RegExp(`^init\n${name}$`));
    await typing(
      ["lxc-console", ...guest.at, "-t", "0"],
      [
        [/Connected to tty 0/, "\r"],
        [/login: $/, "root\r"],
        [/# $/, "echo uid-$(id -u)-on-$(tty)\r"],
        [/uid-0-on-\/dev\/console[^]*# $/, "exit\r"],
        [/login: $/, "\x01q"],
      ],
    );
    for (const again of [
      async (): Promise<unknown> => guest.try("reboot"),
      async (): Promise<unknown> => ok(["lxc-stop", ...guest.at, "-r"]),
    ]) {
      const pid = await guest.pid();
      await again();
      await bootedAnew(guest, pid);
      await inRunlevel2(guest);
    }
    await stopsPromptly(guest);
    await guest.start();
    await inRunlevel2(guest);
    await guest.try("poweroff");
    await stopped(guest);
    await assertNoLeaks(before, name);
  });
}

for (const ids of ["privileged", "mapped"] as const) {
  test(`an image without init, ${ids}: one line says so, and nothing is left`, async (t) => {
    if (lacks(t, "lxc") || (ids !== "privileged" && lacks(t, "userns"))) return;
    const store = tempStore(t);
    const name = `islt-deb-noinit-${ids}`;
    const rootfs = busybox(store, name);
    writeFileSync(join(store.path, name, "config"), debianConfig(name, rootfs, "lxc", ids));
    rmSync(join(rootfs, "sbin/init"));
    const guest = guestOf(store, name, rootfs);
    const before = baseline();
    for (const words of [[], ["-F"]]) {
      const { stderr } = await fails(["lxc-start", ...guest.at, ...words], 1);
      const [first = "", ...rest] = stderr.trimEnd().split("\n");
      assert.match(first, new RegExp(`^lxc-start: ${name}: cannot execute /sbin/init: ENOENT `));
      assert.ok(
        rest.every((line) => !line.includes("ENOENT")),
        stderr,
      );
      assert.equal(await guest.state(), "STOPPED");
    }
    await assertNoLeaks(before, name);
  });
}

test("a busybox guest that has just begun stops in good order, and is not told twice", async (t) => {
  const store = tempStore(t);
  const name = "islt-deb-busybox";
  // Whoever is told counts; the first word comes after a while.
  const count =
    "lxc.init.cmd = /bin/sh -c \"sleep 0.5; trap 'echo told >> /root/told' USR1; n=0; while [ $n -lt 20 ]; do sleep 0.1; n=$((n+1)); done\"\n";
  const guest = guestOf(store, name, busybox(store, name, count));
  const before = baseline();
  await guest.start();
  await stopsPromptly(guest);
  assert.equal((await command(["cat", join(guest.rootfs, "root/told")])).stdout, "told\n");
  await assertNoLeaks(before, name);
});
