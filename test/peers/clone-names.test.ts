import assert from "node:assert/strict";
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { copiesOf } from "../kernel/copies.js";
import { instance } from "../support/instance.js";
import { lacks } from "../support/skip.js";
import { sh } from "../support/tree.js";

/** The names that a copy has in its files, with LXC's clone hook, against what LXC and its hook make. */

const hook = "/usr/share/lxc/hooks/clonehostname";
const files = ["etc/hostname", "etc/hosts", "etc/sysconfig/network", "etc/sysconfig/network-scripts/ifcfg-eth0"];
const contents: Readonly<Record<string, string>> = {
  "etc/hostname": "web\n",
  "etc/hosts":
    "127.0.0.1 localhost\n127.0.1.1 web.example.org web\n10.0.0.1 webserver web-1 my-web # web\n10.0.0.2 x.web.lan\n",
  "etc/sysconfig/network": "NETWORKING=yes\nHOSTNAME=web",
  "etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=eth0\nDHCP_HOSTNAME=web\n",
};

test("LXC's own hook is done without a shell: files as its script leaves them, and nothing of the host is touched", async (t) => {
  if (lacks(t, "root") || lacks(t, "lxc")) return;
  const { own, make, path, rootfs, ok } = copiesOf(await instance(t));
  const theirs = (...words: readonly string[]): Promise<string> =>
    own.ok(["/usr/bin/lxc-copy", "-P", own.store.path, ...words], { timeout: 60_000 });
  const text = (root: string, file: string): string =>
    existsSync(join(root, file)) ? readFileSync(join(root, file), "latin1") : "none";
  make("web", `lxc.hook.clone = ${hook}\n`);
  for (const [file, content] of Object.entries(contents)) {
    mkdirSync(join(rootfs("web"), file, ".."), { recursive: true });
    writeFileSync(join(rootfs("web"), file), content);
  }
  for (const only of [["etc/sysconfig"], []]) {
    await ok("lxc-copy", "-n", "web", "-N", "shop");
    await ok("lxc-copy", "-n", "web", "-N", "shop-s", "-s");
    await theirs("-n", "web", "-N", "mart");
    for (const file of files) {
      const expected = text(rootfs("mart"), file).replaceAll("mart", "NAME");
      // The name in a comment is nobody's, and LXC itself writes none into etc/hosts.
      const shown = (root: string, name: string): string => text(root, file).replaceAll(name, "NAME");
      if (file === "etc/hosts") {
        assert.match(shown(rootfs("shop"), "shop"), /^127\.0\.0\.1 localhost\n127\.0\.1\.1 NAME\.example\.org NAME\n/);
        // LXC writes into other names as well.
        assert.match(text(rootfs("mart"), file), /\n10\.0\.0\.1 martserver /);
        assert.match(
          shown(rootfs("shop"), "shop"),
          /\n10\.0\.0\.1 webserver web-1 my-web # NAME\n10\.0\.0\.2 x\.NAME\.lan\n$/,
        );
      }
      // LXC leaves out the newline of etc/hostname.
      else if (file === "etc/hostname") assert.equal(shown(rootfs("shop"), "shop"), `${expected}\n`);
      else assert.equal(shown(rootfs("shop"), "shop"), expected, file);
      const delta = path("shop-s", "overlay/delta");
      if (text(rootfs("web"), file) !== "none") assert.equal(shown(delta, "shop-s"), shown(rootfs("shop"), "shop"));
    }
    assert.equal(readFileSync(join(rootfs("web"), "etc/hostname"), "utf8"), "web\n");
    for (const name of ["shop", "shop-s", "mart"]) await ok("lxc-destroy", "-n", name);
    for (const each of only) rmSync(join(rootfs("web"), each), { recursive: true });
  }

  const outside = path("web", "outside");
  writeFileSync(outside, "10.0.0.1 web\n");
  rmSync(join(rootfs("web"), "etc/hosts"));
  symlinkSync(outside, join(rootfs("web"), "etc/hosts"));
  await ok("lxc-copy", "-n", "web", "-N", "shop");
  await ok("lxc-copy", "-n", "web", "-N", "shop-s", "-s");
  assert.equal(readFileSync(outside, "utf8"), "10.0.0.1 web\n");
});

test("a hook of LXC's name that its administrator has changed is run", async (t) => {
  if (lacks(t, "root") || lacks(t, "lxc")) return;
  const { make, path, rootfs, ok } = copiesOf(await instance(t));
  make("web", `lxc.hook.clone = ${path("web", "clonehostname")}\n`);
  const script = readFileSync(hook, "utf8");
  writeFileSync(path("web", "clonehostname"), script.replace("exit 0", "echo done > $LXC_ROOTFS_MOUNT/ran\nexit 0"));
  chmodSync(path("web", "clonehostname"), 0o755);
  writeFileSync(join(rootfs("web"), "etc/hosts"), "10.0.0.1 web\n");
  await ok("lxc-copy", "-n", "web", "-N", "shop", "-s");
  assert.equal(readFileSync(path("shop", "overlay/delta/ran"), "utf8"), "done\n");
  assert.equal(readFileSync(path("shop", "overlay/delta/etc/hosts"), "utf8"), "10.0.0.1 shop\n");
});

test("a snapshot's names are where an overlay would have put them, with owner, mode, times and attributes", async (t) => {
  if (lacks(t, "root")) return;
  const { make, path, rootfs, ok } = copiesOf(await instance(t));
  make("web");
  const etc = join(rootfs("web"), "etc");
  const look = (name: string): string =>
    sh('cd "$1"; stat -c "%n %a %u %g %Y" etc etc/hostname; getfattr -d -m user etc', path(name, "overlay/delta"));
  writeFileSync(join(etc, "hostname"), "web\n");
  chownSync(join(etc, "hostname"), 5, 6);
  chmodSync(join(etc, "hostname"), 0o604);
  chownSync(etc, 7, 8);
  chmodSync(etc, 0o2751);
  sh('touch -d 2001-02-03T04:05:06Z "$1"', etc);
  await ok("lxc-copy", "-n", "web", "-N", "a", "-s");
  // What has attributes is left to the kernel: so both ways are compared.
  sh('setfattr -n user.x -v y "$1"; touch -d 2001-02-03T04:05:06Z "$1"', etc);
  await ok("lxc-copy", "-n", "web", "-N", "b", "-s");
  const lines = (name: string): readonly string[] =>
    look(name)
      .split("\n")
      .filter((line) => line.startsWith("etc "));
  assert.deepEqual(lines("a"), ["etc 2751 7 8 981173106"]);
  assert.deepEqual(lines("b"), lines("a"));
  assert.match(look("a"), /etc\/hostname 604 5 6 /);
  assert.match(look("b"), /etc\/hostname 604 5 6 [^]*user\.x="y"/);
  for (const name of ["a", "b"]) {
    assert.equal(readFileSync(path(name, "overlay/delta/etc/hostname"), "utf8"), `${name}\n`);
    assert.equal(sh('find "$1" -mindepth 1 -printf "%P "', path(name, "overlay/delta")).trim(), "etc etc/hostname");
  }

  rmSync(join(etc, "hostname"));
  sh('setfattr -x user.x "$1"', etc);
  writeFileSync(join(rootfs("web"), "root/name"), "web\n");
  symlinkSync("../root/name", join(etc, "hostname"));
  await ok("lxc-copy", "-n", "web", "-N", "c", "-s");
  assert.equal(readFileSync(path("c", "overlay/delta/root/name"), "utf8"), "c\n");
  await ok("lxc-start", "-n", "a");
  assert.equal(
    (await ok("lxc-attach", "-n", "a", "--", "sh", "-c", "cat /etc/hostname; stat -c %a /etc")).trim(),
    "a\n2751",
  );
});
