import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { sharedMounts } from "../support/netns.js";
import { busybox, tempStore } from "../support/store.js";

const mapped = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";

/** Under systemd every mount of the host is shared: a tree that was taken there must not stay a peer of where it came from. */
for (const [what, config] of [
  ["a container", ""],
  ["an id-mapped container", `${mapped}lxc.rootfs.options = idmap=container\n`],
] as const) {
  test(`on a host of shared mounts ${what} starts, and what is mounted in it is not on the host`, async (t) => {
    const host = await sharedMounts(t);
    const store = tempStore(t);
    const name = "islt-shared";
    const outside = join(store.path, "outside");
    mkdirSync(join(outside, "below"), { recursive: true });
    writeFileSync(join(outside, "file"), "");
    const entries = [`${outside} srv none bind,create=dir 0 0`, `${outside}/file root/file none bind,create=file 0 0`];
    const lines = entries.map((entry) => `lxc.mount.entry = ${entry}\n`).join("");
    busybox(store, name, `lxc.init.cmd = /bin/sleep 3600\n${config}${lines}`);
    const mounts = async (): Promise<readonly string[]> =>
      (await host.ok(["cat", "/proc/self/mountinfo"]))
        .split("\n")
        .map((line) => line.split(" ")[4] ?? "")
        .sort();
    const before = await mounts();
    await host.ok(["lxc-start", ...store.at(name)]);
    assert.deepEqual(await mounts(), before);
    const script = "mount -t tmpfs none /mnt; mount -t tmpfs none /srv/below; mount --bind /etc/passwd /root/file";
    await host.ok(["lxc-attach", ...store.at(name), "--", "/bin/sh", "-c", script]);
    assert.deepEqual(await mounts(), before);
    await host.ok(["mount", "-t", "tmpfs", "none", join(outside, "below")]);
    await host.ok(["lxc-stop", ...store.at(name), "-k"]);
    await host.ok(["umount", join(outside, "below")]);
    assert.deepEqual(await mounts(), before);
  });
}
