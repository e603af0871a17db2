import assert from "node:assert/strict";
import { existsSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { command, ok } from "../support/command.js";
import { type DebianRelease, debianTar, mayMakeDebian } from "../support/debian.js";
import { assertNoLeaks, baseline } from "../support/leaks.js";
import { lacks } from "../support/skip.js";
import { tempStore } from "../support/store.js";
import type { Guest } from "./guest.js";
import {
  booted,
  bootedAnew,
  debianGuest,
  endedFile,
  firstId,
  type Ids,
  stopped,
  typing,
  type World,
} from "./debian-guest.js";

const rows: readonly { readonly release: DebianRelease; readonly world: World; readonly ids: Ids }[] = [
  { release: "bookworm", world: "lxc", ids: "privileged" },
  { release: "bookworm", world: "lxc", ids: "mapped" },
  { release: "bookworm", world: "lxc", ids: "shifted" },
  { release: "trixie", world: "lxc", ids: "privileged" },
  { release: "trixie", world: "lxc", ids: "mapped" },
  { release: "bookworm", world: "systemd", ids: "privileged" },
  { release: "bookworm", world: "systemd", ids: "mapped" },
  { release: "trixie", world: "systemd", ids: "privileged" },
  { release: "trixie", world: "systemd", ids: "mapped" },
  { release: "bookworm", world: "lxd", ids: "privileged" },
  { release: "trixie", world: "lxd", ids: "mapped" },
];

/** Milliseconds: a clean stop takes one second; a kill comes after the sixty of lxc-stop's default. */
const promptly = 15_000;

const releases = ["bookworm", "trixie"] as const;

before(async () => {
  // Both at once: half of the time is waiting for the mirror and the disk.
  if (mayMakeDebian()) await Promise.all(releases.map((release) => debianTar({ release, flavour: "systemd" })));
});

/** A boot's own marks. */
async function bootOf(guest: Guest): Promise<{ readonly id: string; readonly began: number }> {
  const text = await guest.sh("cat /proc/sys/kernel/random/boot_id; sed 's/.*) //' /proc/1/stat");
  const [id = "", stat = ""] = text.split("\n");
  // Field 22 of proc(5), counted behind the name.
  return { id, began: Number(stat.split(" ")[19]) };
}

/** Files of the guest's own root belong to root inside, and to the host's id that the mapping says outside. */
async function idsAreRight(guest: Guest, ids: Ids): Promise<void> {
  assert.equal(await guest.sh("stat -c %u:%g:%a /etc/shadow /usr/bin/passwd /"), "0:42:640\n0:0:4755\n0:0:755");
  const onHost = ids === "shifted" ? firstId : 0;
  assert.equal(statSync(join(guest.rootfs, "etc/shadow")).uid, onHost);
  await guest.sh("rm -f /root/made; touch /root/made; test $(stat -c %u /root/made) = 0");
  assert.equal(statSync(join(guest.rootfs, "root/made")).uid, onHost);
  const first = ids === "privileged" ? 0 : firstId;
  assert.equal(statSync(`/proc/${await guest.pid()}`).uid, first);
}

async function stopsCleanly(guest: Guest): Promise<void> {
  rmSync(join(guest.rootfs, endedFile), { force: true });
  const began = performance.now();
  const { status, stderr } = await command(["lxc-stop", ...guest.at], { timeout: 90_000 });
  assert.deepEqual([status, stderr], [0, ""]);
  assert.ok(performance.now() - began < promptly, "the stop was not prompt");
  assert.equal(await guest.state(), "STOPPED");
  assert.ok(existsSync(join(guest.rootfs, endedFile)), "the guest was not shut down in good order");
}

for (const { release, world, ids } of rows) {
  const name = `islt-deb-${release}-${world}-${ids}`;
  test(`Debian ${release}, ${ids}, configured as for ${world}`, async (t) => {
    if (lacks(t, "debian") || lacks(t, "lxc") || (ids !== "privileged" && lacks(t, "userns"))) return;
    const store = tempStore(t);
    const guest = await debianGuest(store, name, { image: { release, flavour: "systemd" }, world, ids });
    const host = baseline();
    await guest.start();

    await t.test("boots to the state running, with no error in its journal", async () => {
      await booted(guest);
      assert.equal(await guest.sh("journalctl -b -q -p err --no-pager"), "");
      assert.equal(await guest.sh("systemd-detect-virt -c"), "lxc");
      assert.equal(
        await guest.sh("systemctl is-active multi-user.target console-getty.service dbus.socket"),
        "active\nactive\nactive",
      );
      assert.equal(await guest.sh("hostname"), name);
      await idsAreRight(guest, ids);
    });

    await t.test("lets root log in on the console", async () => {
      const screen = await typing(
        ["lxc-console", ...guest.at, "-t", "0"],
        [
          [/Connected to tty 0/, "\r"],
          [/login: $/, "root\r"],
          [/# $/, "tty; echo uid-$(id -u)-logged-in\r"],
          [/uid-0-logged-in[^]*# $/, "exit\r"],
          [/login: $/, "\x01q"],
        ],
      );
      assert.match(screen, /\/dev\/console\r\n/);
    });

    await t.test("comes back when it is rebooted from inside, and by lxc-stop -r", async () => {
      for (const again of [
        async (): Promise<unknown> => guest.try("systemctl reboot"),
        async (): Promise<unknown> => ok(["lxc-stop", ...guest.at, "-r"]),
      ]) {
        const [pid, boot] = [await guest.pid(), await bootOf(guest)];
        await again();
        await bootedAnew(guest, pid);
        await booted(guest);
        const now = await bootOf(guest);
        assert.notEqual(now.id, boot.id);
        assert.ok(now.began > boot.began);
        assert.equal(await guest.sh("journalctl -b -q -p err --no-pager"), "");
        await idsAreRight(guest, ids);
      }
    });

    await t.test("is stopped in good order by lxc-stop, and leaves nothing on the host", async () => {
      await stopsCleanly(guest);
      await assertNoLeaks(host, name);
    });

    await t.test("ends at once when it is stopped right after its start", async () => {
      for (let round = 0; round < 2; round += 1) {
        await guest.start();
        const began = performance.now();
        const { status, stderr } = await command(["lxc-stop", ...guest.at], { timeout: 90_000 });
        assert.deepEqual([status, stderr], [0, ""]);
        assert.ok(performance.now() - began < promptly, "the stop was not prompt");
      }
      await assertNoLeaks(host, name);
    });

    await t.test("stops by poweroff and by halt inside, and leaves nothing on the host", async () => {
      for (const word of ["poweroff", "halt"]) {
        await guest.start();
        await booted(guest);
        rmSync(join(guest.rootfs, endedFile), { force: true });
        await guest.try(word);
        await stopped(guest);
        assert.ok(existsSync(join(guest.rootfs, endedFile)));
      }
      await assertNoLeaks(host, name);
    });
  });
}

for (const release of releases) {
  test(`Debian ${release} in the foreground: root logs in on the terminal of lxc-start -F and powers it off`, async (t) => {
    if (lacks(t, "debian") || lacks(t, "lxc")) return;
    const store = tempStore(t);
    const name = `islt-deb-fg-${release}`;
    const guest = await debianGuest(store, name, {
      image: { release, flavour: "systemd" },
      world: "lxc",
      ids: "privileged",
    });
    const host = baseline();
    const screen = await typing(
      ["lxc-start", "-F", ...guest.at],
      [
        [/login: $/, "root\r"],
        [/# $/, "tty; stty size; poweroff\r"],
      ],
    );
    assert.match(screen, /\/dev\/console\r\n24 80\r\n/);
    assert.equal(await guest.state(), "STOPPED");
    await assertNoLeaks(host, name);
  });
}
