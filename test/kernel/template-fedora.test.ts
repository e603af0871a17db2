import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileServer } from "../support/file-server.js";
import { instance } from "../support/instance.js";
import { testDir } from "../support/paths.js";
import { makeRpmMirror } from "../support/rpm-mirror.js";
import { signer } from "../support/signing.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

/** Fedora's servers cannot be reached here: a repository on loopback is asked, of one signed package that has all the names. */

const provides = [
  "fedora-release",
  "openssh-clients",
  "openssh-server",
  "rootfiles",
  "vim-minimal",
  "dhclient",
  "initscripts",
  "passwd",
  "yum",
];

test("lxc-create -t fedora, as the guide has it, makes a container of signed packages, and of no others", async (t) => {
  if (lacks(t, "root") || lacks(t, "dnf")) return;
  const above = mkdtempSync(join(testDir, "islt-fe-"));
  t.after(() => {
    rmSync(above, { recursive: true });
  });
  const key = signer(t, "fedora");
  const stranger = signer(t, "stranger");
  const mirror = join(above, "mirror");
  makeRpmMirror({ directory: mirror, release: "12", provides, key });
  makeRpmMirror({ directory: mirror, release: "13", provides, key: null });
  const server = await fileServer(t, mirror);
  const config = join(above, "config");
  writeFileSync(config, "lxc.net.0.type = empty\n");
  const cache = join(above, "cache");
  mkdirSync(cache);
  const own = await instance(t, { env: { ISLET_IMAGE_CACHE: cache } });
  const create = (name: string, ...words: readonly string[]): ReturnType<typeof own.command> =>
    own.command(["lxc-create", ...own.store.at(name), "-f", config, "-t", "fedora", "--", ...words], {
      timeout: 120_000,
    });
  const refused = async (words: readonly string[], text: RegExp): Promise<void> => {
    const { status, stderr } = await create("no", ...words);
    assert.equal(status, 1);
    assert.match(stderr, text);
    assert.deepEqual(readdirSync(own.store.path), []);
  };
  const from = ["--mirror", server.url];
  await refused(["-R", "12", ...from], /there is no key for the packages of fedora 12.*--keyring FILE/s);
  await refused(
    ["-R", "12", ...from, "--keyring", stranger.armored],
    /islet-fedora-1-1\.\S+ is signed with a key that is not known here/,
  );
  await refused(["-R", "13", ...from, "--keyring", key.armored], /islet-fedora-1-1\.\S+ is not signed/);
  await refused(["-R", "14", ...from, "--keyring", key.armored], /there is no release 14 at http:/);
  await refused(
    ["-R", "12", ...from, "--keyring", key.armored, "-P", "nosuch"],
    /there is no package nosuch in release 12/,
  );
  await refused(
    ["-R", "12", "--mirror", "http://127.0.0.1:9", "--keyring", key.armored],
    /cannot reach 127\.0\.0\.1:9/,
  );

  const made = await create("fedora12", "-R", "12", ...from, "--keyring", key.armored);
  assert.equal(made.status, 0, made.stderr);
  const asked = server.requests.length;
  assert.equal(
    (await create("second", "-R", "12", ...from, "--keyring", key.armored, "--fqdn", "second.example.org")).status,
    0,
  );
  assert.equal(server.requests.length, asked, "the second is a copy");
  const rootfs = join(own.store.path, "fedora12/rootfs");
  for (const name of ["proc", "null"]) assert.ok(existsSync(join(rootfs, `etc/scripts-have-${name}`)), name);
  assert.deepEqual(readdirSync(join(rootfs, "dev")), []);
  assert.ok(existsSync(join(rootfs, "var/lib/rpm")));
  assert.equal(readFileSync(join(own.store.path, "second/rootfs/etc/hostname"), "utf8"), "second.example.org\n");
  const password = join(own.store.path, "fedora12/tmp_root_pass");
  assert.equal(statSync(password).mode & 0o777, 0o600);
  assert.match(readFileSync(password, "utf8"), /^Root-fedora12-\w{12}\n$/);
  assert.match(readFileSync(join(rootfs, "etc/shadow"), "utf8"), /^root:\$6\$[^:]+:0:/m);

  await own.ok(["lxc-start", ...own.store.at("fedora12")]);
  const said = await waitFor("the container to be up", async () => {
    const { status, stdout } = await own.command(["lxc-attach", ...own.store.at("fedora12"), "--", "/bin/hostname"]);
    return status === 0 ? stdout : undefined;
  });
  assert.equal(said, "fedora12\n");
  await own.ok(["lxc-stop", "-k", ...own.store.at("fedora12")]);
  for (const name of ["fedora12", "second"]) await own.ok(["lxc-destroy", ...own.store.at(name)]);
});
