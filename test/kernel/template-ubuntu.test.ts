import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeAptMirror } from "../support/apt-mirror.js";
import { fileServer } from "../support/file-server.js";
import { hostUsers } from "../support/host-users.js";
import { instance } from "../support/instance.js";
import { testDir } from "../support/paths.js";
import { signer } from "../support/signing.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

/** Ubuntu's servers cannot be reached here: a small archive on loopback with Debian's packages by the name of a release of Ubuntu's is asked instead. */

const suite = "noble";
const packages = [
  "apt-transport-https",
  "ca-certificates",
  "dbus",
  "init",
  "iproute2",
  "iputils-ping",
  "locales",
  "netbase",
  "netplan.io",
  "openssh-server",
  "sudo",
  "systemd-resolved",
];
/** Milliseconds that the first container of a release may take. */
const making = 400_000;

test("lxc-create -t ubuntu makes an Ubuntu with its user, a second one in a tenth of the time, one with a user of the host's", async (t) => {
  if (lacks(t, "root")) return;
  if (lacks(t, "debian")) return;
  const above = mkdtempSync(join(testDir, "islt-ub-"));
  t.after(() => {
    rmSync(above, { recursive: true });
  });
  const key = signer(t, "ubuntu");
  const stranger = signer(t, "stranger");
  const directory = join(above, "mirror");
  await makeAptMirror({ directory, suite, packages, empty: ["language-pack-en", "ssh", "vim"], key });
  const server = await fileServer(t, directory);
  const config = join(above, "config");
  writeFileSync(config, "lxc.net.0.type = empty\n");
  const cache = join(above, "cache");
  mkdirSync(cache);
  const jdoe = { name: "islt-jdoe", id: 4711, hash: "$6$salt$hash", shell: "/bin/bash" };
  const users = hostUsers(above, [jdoe]);
  const own = await instance(t, { env: { ISLET_IMAGE_CACHE: cache, ISLET_ACCOUNTS: users.accounts } });
  const create = (name: string, keyring: string, ...words: readonly string[]): ReturnType<typeof own.command> => {
    const mirrors = ["--mirror", server.url, "--security-mirror", server.url, "--keyring", keyring];
    const given = [
      "lxc-create",
      ...own.store.at(name),
      "-f",
      config,
      "-t",
      "ubuntu",
      "--",
      "-r",
      suite,
      ...mirrors,
      ...words,
    ];
    return own.command(given, { timeout: making, env: { LANG: "en_US.UTF-8" } });
  };
  const rootOf = (name: string): string => join(own.store.path, name, "rootfs");
  const read = (name: string, path: string): string => readFileSync(join(rootOf(name), path), "utf8");

  const wrong = await create("wrong", stranger.armored);
  assert.equal(wrong.status, 1);
  assert.match(wrong.stderr, /is signed with a key that is not known here/);
  assert.ok(!existsSync(join(own.store.path, "wrong")));

  const began = performance.now();
  const first = await create("one", key.armored);
  const cold = performance.now() - began;
  assert.equal(first.status, 0, first.stderr);
  assert.match(first.stdout, /# The default user is 'ubuntu'/);
  const asked = server.requests.length;
  const again = performance.now();
  writeFileSync(join(above, "id.pub"), "ssh-ed25519 AAAA jane\n");
  assert.equal(
    (await create("two", key.armored, "-S", join(above, "id.pub"), "--user", "jane", "--password", "secret")).status,
    0,
  );
  const warm = performance.now() - again;
  assert.ok(warm < cold / 10, `the second took ${warm.toFixed(0)} ms, the first ${cold.toFixed(0)} ms`);
  assert.equal(server.requests.length, asked, "nothing was downloaded for the second");

  assert.match(read("one", "etc/passwd"), /^ubuntu:x:1000:1000::\/home\/ubuntu:\/bin\/bash$/m);
  assert.match(read("one", "etc/group"), /^sudo:x:\d+:ubuntu$/m);
  assert.match(
    read("one", "etc/apt/sources.list"),
    new RegExp(`^deb ${server.url} noble-updates main restricted universe multiverse$`, "m"),
  );
  assert.match(read("one", "etc/netplan/10-lxc.yaml"), /dhcp4: true/);
  const keyFile = join(rootOf("two"), "home/jane/.ssh/authorized_keys");
  assert.deepEqual([statSync(keyFile).uid, readFileSync(keyFile, "utf8")], [1000, "ssh-ed25519 AAAA jane\n"]);
  assert.notEqual(read("one", "etc/ssh/ssh_host_rsa_key"), read("two", "etc/ssh/ssh_host_rsa_key"));

  const bound = await create("three", key.armored, "-b", jdoe.name);
  assert.equal(bound.status, 0, bound.stderr);
  assert.match(bound.stdout, /# Log in as user islt-jdoe/);
  writeFileSync(join(users.home(jdoe.name), "from-the-host"), "");

  await own.ok(["lxc-start", ...own.store.at("three")]);
  const inside = async (script: string): Promise<string> =>
    (
      await own.command(["lxc-attach", ...own.store.at("three"), "--clear-env", "--", "/bin/sh", "-c", script])
    ).stdout.trim();
  await waitFor(
    "the container to be up",
    async () => ["running", "degraded"].includes(await inside("systemctl is-system-running")),
    {
      timeout: 120_000,
    },
  );
  assert.equal(
    await inside(`id -un ${jdoe.id}; ls ${users.home(jdoe.name)}; sudo -l -U ${jdoe.name} | grep -c ALL`),
    "islt-jdoe\nfrom-the-host\n1",
  );
  assert.equal(await inside("getent passwd ubuntu"), "");
  assert.equal(await inside(`getent shadow ${jdoe.name} | cut -d: -f2`), jdoe.hash);
  await own.ok(["lxc-stop", ...own.store.at("three")], { timeout: 90_000 });
  for (const name of ["one", "two", "three"]) await own.ok(["lxc-destroy", ...own.store.at(name)]);
});
