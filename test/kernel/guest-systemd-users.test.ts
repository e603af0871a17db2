import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cleanup, type Cleaner } from "../support/cleanup.js";
import type { CommandResult } from "../support/command.js";
import { type DebianImage, debianRootfs } from "../support/debian.js";
import { type HostUsers, hostUsers } from "../support/host-users.js";
import { type Instance, instance } from "../support/instance.js";
import { assertNoLeaks, baseline } from "../support/leaks.js";
import { testDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { busyboxRootfs } from "../support/store.js";
import { waitFor } from "../support/wait.js";
import { debianConfig, firstId as debianFirstId } from "./debian-guest.js";
import { mountsOf } from "./guest.js";

/** Users of the host's in guests with systemd: what nss-systemd finds in /run/host/userdb, and the homes below /run/host/home. */

type Ids = "privileged" | "mapped";
const firstId = 300_000;
const [alice, bob] = [21_001, 21_002] as const;

interface Host {
  readonly users: HostUsers;
  readonly own: Instance;
  /** Done at the end, before the homes go. */
  readonly defer: (undo: () => void) => void;
}

/** A daemon whose host has the users alice and bob. */
async function hostWithUsers(t: Cleaner): Promise<Host> {
  const directory = mkdtempSync(join(testDir, "islt-users-"));
  const defer = cleanup(t);
  defer(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  const users = hostUsers(directory, [
    { name: "alice", id: alice, hash: "$6$salt$swordfish" },
    { name: "bob", id: bob, hash: null, shell: "/bin/no-such-shell" },
  ]);
  return { users, defer, own: await instance(t, { env: { ISLET_ACCOUNTS: users.accounts } }) };
}

interface UserGuest {
  readonly at: readonly string[];
  readonly rootfs: string;
  readonly config: string;
  /** As an id of the guest's, which is its group's as well. */
  readonly as: (id: number, script: string) => Promise<CommandResult>;
  /** The same of root; the output, trimmed. It must work. */
  readonly sh: (script: string) => Promise<string>;
}

function guestOf({ own }: Host, name: string, at = own.store.at(name)): UserGuest {
  const directory = join(own.store.path, name);
  const as = (id: number, script: string): Promise<CommandResult> =>
    own.command(["lxc-attach", ...at, "-u", String(id), "-g", String(id), "--", "/bin/sh", "-c", script], {
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    });
  return {
    at,
    rootfs: join(directory, "rootfs"),
    config: join(directory, "config"),
    as,
    sh: async (script) => {
      const { status, stdout, stderr } = await as(0, script);
      assert.equal(status, 0, `${script}: ${stderr}`);
      return stdout.trim();
    },
  };
}

function define(host: Host, name: string, ids: Ids, names: readonly string[]): UserGuest {
  const guest = guestOf(host, name);
  mkdirSync(join(host.own.store.path, name));
  busyboxRootfs(guest.rootfs);
  const map = `lxc.idmap = u 0 ${firstId} 65536\nlxc.idmap = g 0 ${firstId} 65536\nlxc.rootfs.options = idmap=container\n`;
  writeFileSync(
    guest.config,
    `lxc.rootfs.path = dir:${guest.rootfs}
lxc.signal.halt = SIGUSR1
lxc.signal.reboot = SIGTERM
lxc.net.0.type = empty
islet.guest = systemd
${ids === "mapped" ? map : ""}${names.map((user) => `islet.bind.user = ${user}\n`).join("")}`,
  );
  return guest;
}

for (const ids of ["privileged", "mapped"] as const) {
  test(`users of the host's in a guest with systemd, ${ids}`, async (t) => {
    if (ids === "mapped" && lacks(t, "userns")) return;
    const host = await hostWithUsers(t);
    const { own, users, defer } = host;
    const home = users.home("alice");
    const guest = define(host, `islt-users-${ids}`, ids, ["alice", "bob"]);
    // The second gets the id after the one that the guest uses itself.
    appendFileSync(join(guest.rootfs, "etc/group"), "theirs:x:60515:\n");
    writeFileSync(join(home, "kept"), "mine\n", { mode: 0o600 });
    chownSync(join(home, "kept"), alice, alice);
    writeFileSync(join(home, "roots"), "root's\n", { mode: 0o600 });
    writeFileSync(join(home, "bobs"), "bob's\n", { mode: 0o640 });
    chownSync(join(home, "bobs"), bob, alice);
    mkdirSync(join(home, "below"));
    execFileSync("mount", ["-t", "tmpfs", "islt-below", join(home, "below")]);
    defer(() => {
      execFileSync("umount", [join(home, "below")]);
    });
    const host_ = baseline();
    await own.ok(["lxc-start", ...guest.at]);

    await t.test(
      "R10: /run/host/userdb has records of the users and their groups, found by name and by number",
      async () => {
        assert.equal(
          await guest.sh("cd /run/host/userdb && stat -c '%N %a %u:%g' . *"),
          [
            ". 755 0:0",
            "'60514.group' -> 'alice.group' 777 0:0",
            "'60514.user' -> 'alice.user' 777 0:0",
            "'60514.user-privileged' -> 'alice.user-privileged' 777 0:0",
            "'60516.group' -> 'bob.group' 777 0:0",
            "'60516.user' -> 'bob.user' 777 0:0",
            "alice.group 444 0:0",
            "alice.user 444 0:0",
            "alice.user-privileged 600 0:0",
            "bob.group 444 0:0",
            "bob.user 444 0:0",
          ].join("\n"),
        );
        const record = async (name: string): Promise<unknown> =>
          JSON.parse(await guest.sh(`cat /run/host/userdb/${name}`));
        const common = { disposition: "regular", service: "io.islet" };
        assert.deepEqual(await record("60514.user"), {
          userName: "alice",
          realName: "alice of the host",
          uid: 60_514,
          gid: 60_514,
          homeDirectory: "/run/host/home/alice",
          shell: "/bin/sh",
          ...common,
        });
        assert.deepEqual(await record("60516.user"), {
          userName: "bob",
          realName: "bob of the host",
          uid: 60_516,
          gid: 60_516,
          homeDirectory: "/run/host/home/bob",
          ...common,
        });
        assert.deepEqual(await record("60516.group"), { groupName: "bob", gid: 60_516, ...common });
      },
    );

    await t.test(
      "R10: the password of a user of the host's is for the guest's root alone, and nothing of it can be changed",
      async () => {
        assert.deepEqual(JSON.parse(await guest.sh("cat /run/host/userdb/alice.user-privileged")), {
          privileged: { hashedPassword: ["$6$salt$swordfish"] },
        });
        const other = await guest.as(60_514, "cat /run/host/userdb/alice.user-privileged");
        assert.match(other.stderr, /Permission denied/);
        for (const change of ["touch userdb/x", "echo x > userdb/alice.user", "rm userdb/60514.user", "mkdir home/x"]) {
          const { status, stderr } = await guest.as(0, `cd /run/host && ${change}`);
          assert.notEqual(status, 0);
          assert.match(stderr, /Read-only file system/, change);
        }
      },
    );

    await t.test(
      "R11: the home of the host's user is the guest's user's, and what it writes there belongs to the host's user",
      async () => {
        const mount = mountsOf(await guest.sh("cat /proc/self/mountinfo")).get("/run/host/home/alice");
        assert.ok(mount !== undefined);
        for (const option of ["rw", "nosuid", "nodev"]) assert.ok(mount.options.includes(option), option);
        assert.equal(await guest.sh("stat -c '%a %u:%g' /run/host/home/alice"), "700 60514:60514");
        assert.equal(await guest.sh("stat -c '%a %u:%g' /run/host/home/bob"), "700 60516:60516");
        const wrote = await guest.as(
          60_514,
          "cd /run/host/home/alice && cat kept && echo more >> kept && mkdir made && id -u",
        );
        assert.equal(wrote.stdout, "mine\n60514\n", wrote.stderr);
        for (const name of ["kept", "made"]) {
          const { uid, gid } = statSync(join(home, name));
          assert.deepEqual([uid, gid], [alice, alice], name);
        }
        // Root may do there what the user may.
        assert.equal(await guest.sh("cat /run/host/home/alice/kept"), "mine\nmore");
      },
    );

    await t.test(
      "R11: what others have in the home of a host's user is nobody's, and nobody else can have anything there",
      async () => {
        assert.equal(
          await guest.sh("cd /run/host/home/alice && stat -c '%n %u:%g' roots bobs below"),
          "roots 65534:65534\nbobs 65534:60514\nbelow 65534:65534",
        );
        const refused = async (id: number, script: string): Promise<void> => {
          const { status, stderr } = await guest.as(id, `cd /run/host/home/alice && ${script}`);
          assert.notEqual(status, 0, script);
          assert.match(stderr, /Permission denied|not permitted|Value too large|Invalid argument/, script);
        };
        for (const script of ["cat roots", "chmod 666 roots", "chown 0:0 roots", "touch of-root", "chown 0 kept"])
          await refused(0, script);
        await refused(60_516, "ls");
        const { uid, mode } = statSync(join(home, "roots"));
        assert.deepEqual([uid, mode & 0o777], [0, 0o600]);
        assert.equal(statSync(join(home, "kept")).uid, alice);
        assert.equal((await guest.as(60_514, "cat /run/host/home/alice/bobs")).stdout, "bob's\n");
      },
    );

    await t.test(
      "R11: mounts below the home of a host's user do not come along, those made later do not either",
      async () => {
        const late = join(home, "late");
        mkdirSync(late);
        execFileSync("mount", ["-t", "tmpfs", "islt-late", late]);
        try {
          const points = mountsOf(await guest.sh("cat /proc/self/mountinfo")).keys();
          assert.deepEqual([...points].filter((point) => point.startsWith("/run/host/home/")).sort(), [
            "/run/host/home/alice",
            "/run/host/home/bob",
          ]);
        } finally {
          execFileSync("umount", [late]);
        }
      },
    );

    await t.test("users have the same ids after a reboot, and nothing of them is left at the end", async () => {
      const pid = async (): Promise<string> => (await own.ok(["lxc-info", ...guest.at, "-p", "-H"])).trim();
      const before = await pid();
      await own.ok(["lxc-stop", ...guest.at, "-r"]);
      await waitFor("another init", async () => !["", before].includes(await pid()));
      assert.equal(await guest.sh("stat -c %u /run/host/home/alice /run/host/home/bob"), "60514\n60516");
      await own.ok(["lxc-stop", ...guest.at, "-k"]);
      await assertNoLeaks(host_, `islt-users-${ids}`);
    });
  });
}

test("users who cannot be passed in are named with their lines, and the guest is not started", async (t) => {
  const host = await hostWithUsers(t);
  const guest = define(host, "islt-users-wrong", "privileged", ["carol", "alice", "root", "daemon"]);
  appendFileSync(join(guest.rootfs, "etc/passwd"), "alice:x:5:5::/:/bin/sh\n");
  const { status, stderr } = await host.own.command(["lxc-start", ...guest.at]);
  assert.equal(status, 1);
  const line = (number: number): string => `${guest.config}:${number} islet.bind.user`;
  for (const words of [
    `the host has no user carol (${line(6)})`,
    `the guest has a user or group alice of its own (${line(7)})`,
    `root is root, who cannot be passed in (${line(8)})`,
    `daemon is a user of the system's (uid 1), not a person (${line(9)})`,
  ])
    assert.ok(stderr.includes(words), `${words} is not in:\n${stderr}`);
});

test("a guest's own passwd is read inside its root, and one that never ends is refused", async (t) => {
  const host = await hostWithUsers(t);
  const guest = define(host, "islt-users-links", "privileged", ["alice"]);
  const passwd = join(guest.rootfs, "etc/passwd");
  // On the host this file has an alice.
  rmSync(passwd);
  execFileSync("ln", ["-s", join(host.users.accounts, "passwd"), passwd]);
  await host.own.ok(["lxc-start", ...guest.at]);
  await host.own.ok(["lxc-stop", ...guest.at, "-k"]);
  rmSync(passwd);
  execFileSync("mkfifo", [passwd]);
  await host.own.ok(["lxc-start", ...guest.at]);
  await host.own.ok(["lxc-stop", ...guest.at, "-k"]);
  rmSync(passwd);
  execFileSync("truncate", ["-s", "2M", passwd]);
  const { status, stderr } = await host.own.command(["lxc-start", ...guest.at]);
  assert.equal(status, 1);
  assert.match(stderr, /\/etc\/passwd of islt-users-links is larger than 1048576 bytes/);
});

test("on a host without shadow users have no password, without passwd there are none", async (t) => {
  const host = await hostWithUsers(t);
  const { accounts } = host.users;
  const guest = define(host, "islt-users-no-shadow", "privileged", ["alice"]);
  rmSync(join(accounts, "shadow"));
  await host.own.ok(["lxc-start", ...guest.at]);
  assert.equal(await guest.sh("ls /run/host/userdb | grep -v 60514"), "alice.group\nalice.user");
  await host.own.ok(["lxc-stop", ...guest.at, "-k"]);
  rmSync(join(accounts, "passwd"));
  const { status, stderr } = await host.own.command(["lxc-start", ...guest.at]);
  assert.equal(status, 1);
  assert.ok(stderr.includes(`${join(accounts, "passwd")} cannot be read`), stderr);
});

test("a home that is not there ends the start with its line, and nothing is left", async (t) => {
  const host = await hostWithUsers(t);
  const guest = define(host, "islt-users-homeless", "privileged", ["alice", "bob"]);
  const before = baseline();
  rmSync(host.users.home("bob"), { recursive: true });
  const { status, stderr } = await host.own.command(["lxc-start", ...guest.at]);
  assert.equal(status, 1);
  assert.ok(stderr.includes(`${host.users.home("bob")} does not exist on the host`), stderr);
  assert.ok(stderr.includes(`${guest.config}:7 islet.bind.user`), stderr);
  await assertNoLeaks(before, "islt-users-");
});

const image: DebianImage = { release: "bookworm", flavour: "systemd", extra: ["libnss-systemd"] };

for (const ids of ["privileged", "mapped"] as const) {
  test(`R10: Debian's nss-systemd knows the host's users, and they can be logged in as (${ids})`, async (t) => {
    if (lacks(t, "debian") || (ids === "mapped" && lacks(t, "userns"))) return;
    const host = await hostWithUsers(t);
    const name = `islt-users-debian-${ids}`;
    const guest = guestOf(host, name);
    await debianRootfs(image, guest.rootfs);
    writeFileSync(guest.config, `${debianConfig(name, guest.rootfs, "systemd", ids)}islet.bind.user = alice\n`);
    await host.own.ok(["lxc-start", ...guest.at]);
    await waitFor(
      `${name} to have booted`,
      async () => (await guest.as(0, "systemctl is-system-running")).stdout === "running\n",
      { timeout: 60_000, every: 200 },
    );
    assert.equal(
      await guest.sh("getent passwd alice 60514"),
      Array.from({ length: 2 }, () => "alice:x:60514:60514:alice of the host:/run/host/home/alice:/bin/sh").join("\n"),
    );
    assert.equal(await guest.sh("getent group alice"), "alice:x:60514:");
    assert.match(await guest.sh("getent shadow alice"), /^alice:\$6\$salt\$swordfish:/);
    assert.equal(await guest.sh("su - alice -c 'id -un; pwd; touch from-inside'"), "alice\n/run/host/home/alice");
    assert.equal(
      await guest.sh(
        "systemd-run --wait --pipe -q --uid=alice -p WorkingDirectory=~ sh -c 'id -un; pwd; touch of-a-unit'",
      ),
      "alice\n/run/host/home/alice",
    );
    for (const file of ["from-inside", "of-a-unit"])
      assert.equal(statSync(join(host.users.home("alice"), file)).uid, alice);
    const first = ids === "mapped" ? debianFirstId : 0;
    const sleeper = guest.as(60_514, "exec sleep 60");
    const pid = await waitFor("its process", async () => (await guest.as(0, "pgrep -u alice sleep")).stdout.trim());
    assert.notEqual(pid, "");
    const seen = execFileSync("pgrep", ["-u", String(first + 60_514), "sleep"], { encoding: "utf8" });
    assert.notEqual(seen, "");
    await host.own.ok(["lxc-stop", ...guest.at, "-k"]);
    await sleeper;
  });
}
