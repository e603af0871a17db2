import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ok } from "../support/command.js";
import { instance } from "../support/instance.js";
import { sharedHost } from "../support/shared-host.js";
import { lacks } from "../support/skip.js";
import { busybox } from "../support/store.js";

const kinds = [
  ["a privileged container", ""],
  ["an id-mapped container", "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n"],
] as const;

for (const [what, config] of kinds) {
  test(`on a host whose mounts are shared, ${what} starts, its mounts stay its own, and the host's reach what is bound`, async (t) => {
    if (config !== "" && lacks(t, "userns")) return;
    const pid = await sharedHost(t);
    const own = await instance(t, { mntnsPid: pid });
    const shared = join(own.store.path, ".bound");
    for (const name of ["inner", "outer"]) mkdirSync(join(shared, name), { recursive: true, mode: 0o755 });
    const idmap = config === "" ? "" : "lxc.rootfs.options = idmap=container\n";
    busybox(own.store, "islt-shared", `${config}${idmap}lxc.mount.entry = ${shared} mnt none bind 0 0\n`);
    const at = own.store.at("islt-shared");
    const mounts = (): string => readFileSync(`/proc/${pid}/mountinfo`, "utf8");
    const before = mounts();
    await own.ok(["lxc-start", ...at]);
    assert.equal(mounts(), before);
    const sh = (script: string): Promise<string> =>
      own.ok(["lxc-attach", ...at, "--", "/bin/sh", "-c", script], { env: { PATH: "/usr/bin:/bin" } });
    await sh("mount -t tmpfs islt-root /root && mount -t tmpfs islt-bound /mnt/inner");
    assert.equal(mounts(), before);
    await ok(["nsenter", `--mount=/proc/${pid}/ns/mnt`, "mount", "-t", "tmpfs", "islt-late", join(shared, "outer")]);
    assert.match(await sh("cat /proc/self/mountinfo"), / \/mnt\/outer .* islt-late /);
    await own.ok(["lxc-stop", ...at, "-k"]);
  });
}

test("on a host whose mounts are shared, what a guest mounts on the socket of its API stays its own, also when that came while it ran", async (t) => {
  const pid = await sharedHost(t);
  const own = await instance(t, { mntnsPid: pid });
  const name = "islt-shared-api";
  busybox(own.store, name, "islet.guest.api = 1\n");
  const at = own.store.at(name);
  await own.ok(["lxc-start", ...at]);
  const mounts = (): string => readFileSync(`/proc/${pid}/mountinfo`, "utf8");
  const before = mounts();
  const cover = ["lxc-attach", ...at, "--", "/bin/sh", "-c", "mount --bind /etc/passwd /dev/lxd/sock"];
  const env = { PATH: "/usr/bin:/bin" };
  await own.ok(cover, { env });
  assert.equal(mounts(), before);
  for (const word of ["false", "true"])
    await own.ok(["islet", "set", "-P", own.store.path, name, `security.devlxd=${word}`]);
  await own.ok(cover, { env });
  assert.equal(mounts(), before);
  await own.ok(["lxc-stop", ...at, "-k"]);
});
