import assert from "node:assert/strict";
import { chmodSync, existsSync, lstatSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type Instance, instance } from "../support/instance.js";
import { lacks } from "../support/skip.js";

/** Containers whose files are mapped by the mount: lxc-create, and what comes after it, leave root's files root's on the disk. */

const map = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";
const idmapped = `${map}lxc.rootfs.options = idmap=container\nlxc.net.0.type = empty\n`;

interface Place {
  readonly own: Instance;
  readonly root: (name: string, ...rest: readonly string[]) => string;
  readonly config: (text: string) => string;
  readonly run: (tool: string, name: string, ...words: readonly string[]) => Promise<string>;
  /** What a shell in the running container prints. */
  readonly inside: (name: string, script: string) => Promise<string>;
}

async function place(t: TestContext): Promise<Place> {
  const own = await instance(t);
  const above = join(own.store.path, "..");
  const run: Place["run"] = (tool, name, ...words) =>
    own.ok([tool, ...own.store.at(name), ...words], { timeout: 60_000 });
  return {
    own,
    root: (name, ...rest) => join(own.store.path, name, "rootfs", ...rest),
    config: (text) => {
      const file = join(above, "new.conf");
      writeFileSync(file, text);
      return file;
    },
    run,
    inside: async (name, script) => (await run("lxc-attach", name, "--", "/bin/sh", "-c", script)).trim(),
  };
}

/** Owners of everything below, each once. */
function owners(path: string): readonly string[] {
  const names = ["", ...readdirSync(path, { recursive: true, encoding: "utf8" })];
  const found = names.map((name) => lstatSync(join(path, name))).map(({ uid, gid }) => `${uid}:${gid}`);
  return [...new Set(found)].sort();
}

const startsAsRoot = async ({ run, inside, root }: Place, name: string): Promise<void> => {
  await run("lxc-start", name);
  assert.equal(await inside(name, "stat -c %u:%g / /bin /bin/busybox | sort -u"), "0:0");
  assert.match(await inside(name, "cat /proc/self/uid_map"), /^0 +100000 +65536$/);
  await inside(name, "echo x > /made && chown 7:8 /made");
  await run("lxc-stop", name, "-k");
  const { uid, gid } = lstatSync(root(name, "made"));
  assert.deepEqual([uid, gid], [7, 8], "the mount shifts, and the disk has what the guest sees");
};

test("a container with idmap=container is made, copied, taken back and removed with unshifted files", async (t) => {
  if (lacks(t, "root") || lacks(t, "userns")) return;
  const all = await place(t);
  const { own, root, config, run } = all;
  await run("lxc-create", "a", "-f", config(idmapped), "-t", "busybox");
  assert.deepEqual(owners(root("a")), ["0:0"]);
  await startsAsRoot(all, "a");
  await own.ok(["lxc-copy", ...own.store.at("a"), "-N", "b"], { timeout: 60_000 });
  assert.deepEqual(owners(root("b")), owners(root("a")));
  await startsAsRoot(all, "b");
  await run("lxc-snapshot", "a");
  assert.deepEqual(owners(join(own.store.path, "a", "snaps", "snap0", "rootfs")), owners(root("a")));
  await run("lxc-snapshot", "a", "-r", "snap0");
  assert.deepEqual(owners(root("a")), ["0:0", "7:8"]);
  await startsAsRoot(all, "a");
  await run("lxc-destroy", "a", "-s");
  await run("lxc-destroy", "b");
  assert.ok(!existsSync(join(own.store.path, "a")) && !existsSync(join(own.store.path, "b")));
});

test("a template script of one runs as root of the host, with the files of one without a map", async (t) => {
  if (lacks(t, "root") || lacks(t, "userns")) return;
  const { own, root, config, run } = await place(t);
  const template = join(own.store.path, "..", "template");
  writeFileSync(
    template,
    `#!/bin/sh
for word; do case "$word" in --rootfs=*) root="\${word#*=}" ;; --mapped-uid=*) exit 3 ;; esac; done
mkdir -p "$root/etc" && echo x > "$root/etc/x" && cat /proc/self/uid_map > "$root/map"
`,
  );
  chmodSync(template, 0o755);
  await run("lxc-create", "script", "-f", config(idmapped), "-t", template);
  assert.deepEqual(owners(root("script")), ["0:0"]);
  await run("lxc-destroy", "script");
});

test("by the user namespace of another container, too", async (t) => {
  if (lacks(t, "root") || lacks(t, "userns")) return;
  const all = await place(t);
  const { root, config, run } = all;
  await run("lxc-create", "donor", "-f", config(idmapped), "-t", "busybox");
  await run("lxc-start", "donor");
  const pid = /\d+/.exec(await run("lxc-info", "donor", "-p", "-H"))?.[0] ?? "";
  const byPath = idmapped.replace("idmap=container", `noatime,idmap=/proc/${pid}/ns/user`);
  await run("lxc-create", "other", "-f", config(byPath), "-t", "busybox");
  assert.deepEqual(owners(root("other")), ["0:0"]);
  await startsAsRoot(all, "other");
});

test("a root file system in an image is unshifted in there", async (t) => {
  if (lacks(t, "root") || lacks(t, "userns") || lacks(t, "loop")) return;
  const { config, run, inside } = await place(t);
  await run("lxc-create", "disk", "-f", config(idmapped), "-t", "busybox", "-B", "loop", "--fssize", "40M");
  await run("lxc-start", "disk");
  assert.equal(await inside("disk", "stat -c %u:%g / /bin /bin/busybox | sort -u"), "0:0");
});

test("without the option the files are the mapped root's", async (t) => {
  if (lacks(t, "root") || lacks(t, "userns")) return;
  const { root, config, run } = await place(t);
  await run("lxc-create", "shifted", "-f", config(`${map}lxc.net.0.type = empty\n`), "-t", "busybox");
  assert.deepEqual(owners(root("shifted")), ["100000:100000"]);
});
