import assert from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command } from "../support/command.js";
import { fresh } from "../support/fresh.js";
import { keptImages, makeKeptImage, useKeptImages } from "../support/image-cache.js";
import { instance } from "../support/instance.js";
import { root, testDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

const names = ["islt-deb1", "islt-deb2"] as const;

/** The one used last comes first; those of earlier versions of the template stay for a while. */
const debianImages = (): readonly string[] => {
  const used = (name: string): number => statSync(join(keptImages, name, "used")).mtimeMs;
  return readdirSync(keptImages)
    .filter((name) => name.startsWith("debian-"))
    .sort((a, b) => used(b) - used(a));
};

test("on a fresh machine lxc-create -t debian makes a Debian that boots, has an address and is nobody's twin", async (t) => {
  if (lacks(t, "nftables")) return;
  if (lacks(t, "debian")) return;
  // That machine reaches nobody: the image is made here.
  const env = { LANG: "en_US.UTF-8" };
  await makeKeptImage(t, ["-t", "debian"], env);
  const before = [...debianImages()].sort();
  const there = await fresh(t, names);
  await useKeptImages(t, there);
  for (const name of names) await there.ok(["lxc-create", "-t", "debian", "-n", name], { env, timeout: 120_000 });
  assert.deepEqual([...debianImages()].sort(), before, "both are made of the image that was there");
  for (const name of names) await there.ok(["lxc-start", "-n", name]);
  const inside = async (name: string, script: string): Promise<string> =>
    (await there.command(["lxc-attach", "-n", name, "--clear-env", "--", "/bin/sh", "-c", script])).stdout.trim();
  const seen = [];
  for (const name of names) {
    const state = await waitFor(
      `${name} to be up`,
      async () => {
        const said = await inside(name, "systemctl is-system-running");
        return ["running", "degraded"].includes(said) ? said : undefined;
      },
      { timeout: 120_000 },
    );
    assert.equal(state, "running", await inside(name, "systemctl --failed; journalctl -b -p err --no-pager"));
    const address = await waitFor(`the address of ${name}`, async () => {
      const [found = ""] = (await there.ok(["lxc-info", "-n", name, "-iH"])).split("\n");
      return found.startsWith("10.0.3.") ? found : undefined;
    });
    assert.match(await inside(name, "hostname; cat /etc/hostname"), new RegExp(`^${name}\n${name}$`));
    assert.match(await inside(name, "grep nameserver /etc/resolv.conf"), /10\.0\.3\.1/);
    assert.equal(
      await inside(name, "systemctl is-active ssh getty@tty1 getty@tty4 console-getty"),
      "active\nactive\nactive\nactive",
    );
    assert.match(await inside(name, "locale -a"), /^en_US\.utf8$/m);
    assert.match(await inside(name, "grep ^root: /etc/shadow"), /^root:[*!]/);
    assert.match(await inside(name, "cat /etc/apt/sources.list"), /^deb http\S+ \S+-security main$/m);
    const keys = await inside(name, "cat /etc/ssh/ssh_host_*.pub");
    assert.equal(keys.split("\n").length, 3);
    assert.ok(keys.split("\n").every((key) => key.endsWith(` root@${name}`)));
    seen.push({ address, keys, machine: await inside(name, "cat /etc/machine-id") });
  }
  const [first, second] = seen;
  for (const fact of ["address", "keys", "machine"] as const) assert.notEqual(first?.[fact], second?.[fact], fact);
  assert.match(first?.machine ?? "", /^[0-9a-f]{32}$/);
  // The image has neither.
  const kept = join(keptImages, debianImages()[0] ?? "", "rootfs");
  assert.deepEqual(
    readdirSync(join(kept, "etc/ssh")).filter((name) => name.startsWith("ssh_host_")),
    [],
  );
  assert.ok(!existsSync(join(kept, "etc/dpkg/dpkg.cfg.d/99mmdebstrap")));
  for (const name of names) {
    await there.ok(["lxc-stop", "-n", name], { timeout: 90_000 });
    await there.ok(["lxc-destroy", "-n", name]);
  }
  await there.ok(["islet", "net", "down"]);
});

test("what cannot be had is refused in one line, and no container is left", async (t) => {
  if (lacks(t, "root")) return;
  const cache = mkdtempSync(join(testDir, "islt-cache-"));
  t.after(() => {
    rmSync(cache, { recursive: true });
  });
  const own = await instance(t, { env: { ISLET_IMAGE_CACHE: cache } });
  const refused = async (words: readonly string[], text: RegExp): Promise<void> => {
    const { status, stderr } = await own.command(
      ["lxc-create", ...own.store.at("no"), "-t", "debian", "--", ...words],
      {
        timeout: 120_000,
      },
    );
    assert.equal(status, 1);
    assert.match(stderr, text);
    assert.deepEqual(readdirSync(own.store.path), []);
  };
  await refused(["--mirror", "http://127.0.0.1:9/debian"], /cannot reach 127\.0\.0\.1:9: connection refused/);
  await refused(
    ["--keyring", "/nowhere/key.gpg"],
    /keys that the archive is signed with are missing: \/nowhere\/key\.gpg/,
  );
  await refused(["-a", "s390x"], /this machine cannot run programs for s390x.*|qemu-user-static/s);
  await refused(["-S", "/nowhere/id.pub"], /SSH keyfile '\/nowhere\/id\.pub' not found/);
  await refused(["-r", "../x"], /"\.\.\/x" is no name of a release/);
  await refused(["--nonsense"], /lxc-debian: unrecognized option '--nonsense'/);
});

test("the template called by itself with --clean, as the guide has it, empties the cache of Debian and of nothing else", async (t) => {
  if (lacks(t, "root")) return;
  const cache = mkdtempSync(join(testDir, "islt-cache-"));
  t.after(() => {
    rmSync(cache, { recursive: true });
  });
  const own = await instance(t, { env: { ISLET_IMAGE_CACHE: cache } });
  const [image] = existsSync(keptImages) ? debianImages() : [];
  if (image === undefined) {
    t.skip("no image of Debian could be made");
    return;
  }
  for (const file of ["image.json", "used"]) cpSync(join(keptImages, image, file), join(cache, image, file));
  cpSync(join(keptImages, image, "rootfs/etc/passwd"), join(cache, image, "rootfs/etc/passwd"));
  const template = join(root, "templates/lxc-debian");
  assert.ok(statSync(template).isFile());
  const env = { ISLET_RUNTIME_DIR: own.runtimeDir, SUITE: "sid" };
  const { status, stdout } = await command([template, "--clean"], { env });
  assert.deepEqual([status, stdout], [0, "Purging the download cache...Done.\n"]);
  assert.deepEqual(readdirSync(join(cache, ".gone")), []);
  assert.ok(!existsSync(join(cache, image)));
  assert.match((await command([template, "-h"], { env })).stdout, /--enable-non-free/);
});
