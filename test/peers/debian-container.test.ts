import assert from "node:assert/strict";
import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { command, ok } from "../support/command.js";
import { type PeerStore, peerStore } from "../support/peer.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

/** Containers that Debian's own lxc-create made, as it made them: their configurations are never touched here. */

const noNetwork = "lxc.net.0.type = empty\n";
const idMap = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";

async function createByDebian(t: TestContext, name: string, config: string): Promise<PeerStore> {
  const store = peerStore(t);
  // Under LXC the mapped root itself walks the way to its root file system.
  chmodSync(dirname(store.path), 0o711);
  chmodSync(store.path, 0o711);
  const file = join(store.path, `${name}.conf`);
  writeFileSync(file, config);
  await store.ok(["lxc-create", ...store.at(name), "-t", "busybox", "-f", file]);
  return store;
}

/** What a guest sees of itself, as text that must not depend on who started it. */
const look = [
  "awk '{print $5, $(NF-2)}' /proc/1/mountinfo | sort",
  "echo devices; ls -l /dev | awk 'NR > 1 {print $1, $NF}' | grep -v ' log$' | sort",
  "echo environment; tr '\\0' '\\n' < /proc/1/environ | sort",
  "echo status; grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' /proc/1/status",
  "echo maps; cat /proc/1/uid_map /proc/1/gid_map",
  "echo name; hostname; cat /proc/1/cmdline | tr '\\0' ' '; echo; readlink /proc/1/cwd",
  "echo limits; grep -v 'Max \\(pending signals\\|processes\\|open files\\)' /proc/1/limits",
].join("; ");

/** LXC maps ids through newuidmap, which wants root in /etc/subuid: it gets one of its own, in a mount namespace of its own. */
async function startByDebian(store: PeerStore, name: string): Promise<void> {
  const ranges = join(store.path, "ranges");
  writeFileSync(ranges, "root:100000:65536\n");
  const mounts = `mount --bind ${ranges} /etc/subuid && mount --bind ${ranges} /etc/subgid`;
  const start = `exec /usr/bin/lxc-start ${store.at(name).join(" ")}`;
  await store.ok(["unshare", "-m", "--propagation", "private", "sh", "-c", `${mounts} && ${start}`]);
}

async function seenUnder(run: PeerStore["ok"], store: PeerStore, name: string): Promise<string> {
  if (run === store.ok) await startByDebian(store, name);
  else await run(["lxc-start", ...store.at(name)]);
  const seen = await run(["lxc-attach", ...store.at(name), "--", "/bin/sh", "-c", look]);
  await run(["lxc-stop", ...store.at(name), "-k"]);
  return seen;
}

describe("a container made by Debian's lxc-create -t busybox", () => {
  it("starts, is entered and stops cleanly under islet with its configuration as it is", async (t) => {
    if (lacks(t, "lxc")) return;
    const store = await createByDebian(t, "islt-deb1", noNetwork);
    const config = join(store.path, "islt-deb1", "config");
    const before = readFileSync(config, "utf8");
    await ok(["lxc-start", ...store.at("islt-deb1")]);
    assert.equal(await ok(["lxc-attach", ...store.at("islt-deb1"), "--", "hostname"]), "islt-deb1\n");
    assert.equal(await ok(["lxc-info", ...store.at("islt-deb1"), "-sH"]), "RUNNING\n");
    // init must be through its boot script to obey the halt signal.
    await waitFor("getty", async () => {
      const listed = await ok(["lxc-attach", ...store.at("islt-deb1"), "--", "ps"]);
      return listed.includes("getty");
    });
    const started = Date.now();
    await ok(["lxc-stop", ...store.at("islt-deb1"), "-t", "20"]);
    assert.ok(Date.now() - started < 15_000, "it stopped by itself, not by a kill");
    assert.equal(await ok(["lxc-info", ...store.at("islt-deb1"), "-sH"]), "STOPPED\n");
    assert.equal(readFileSync(config, "utf8"), before);
  });

  it("looks the same from inside under both", async (t) => {
    if (lacks(t, "lxc")) return;
    const store = await createByDebian(t, "islt-deb2", noNetwork);
    const theirs = await seenUnder(store.ok, store, "islt-deb2");
    const ours = await seenUnder(ok, store, "islt-deb2");
    assert.equal(ours, theirs);
  });

  it("with an id map starts, is entered and stops, and its files keep their owners", async (t) => {
    if (lacks(t, "lxc")) return;
    const store = await createByDebian(t, "islt-deb3", noNetwork + idMap);
    const init = join(store.path, "islt-deb3", "rootfs/bin/busybox");
    const owner = statSync(init).uid;
    await ok(["lxc-start", ...store.at("islt-deb3")]);
    const map = await ok(["lxc-attach", ...store.at("islt-deb3"), "--", "cat", "/proc/self/uid_map"]);
    assert.deepEqual(map.trim().split(/\s+/), ["0", "100000", "65536"]);
    const pid = (await ok(["lxc-info", ...store.at("islt-deb3"), "-pH"])).trim();
    assert.equal(statSync(`/proc/${pid}`).uid, 100_000);
    await ok(["lxc-stop", ...store.at("islt-deb3"), "-k"]);
    assert.equal(statSync(init).uid, owner);
  });

  it("with an id map looks the same from inside under both", async (t) => {
    if (lacks(t, "lxc")) return;
    const store = await createByDebian(t, "islt-deb4", noNetwork + idMap);
    const theirs = await seenUnder(store.ok, store, "islt-deb4");
    const ours = await seenUnder(ok, store, "islt-deb4");
    assert.equal(ours, theirs);
  });

  it("is refused by one system while the other runs it", async (t) => {
    if (lacks(t, "lxc")) return;
    const store = await createByDebian(t, "islt-deb5", noNetwork);
    await store.ok(["lxc-start", ...store.at("islt-deb5")]);
    const second = await command(["lxc-start", ...store.at("islt-deb5")]);
    assert.match(second.stderr, /already running/);
    assert.equal((await store.ok(["lxc-info", ...store.at("islt-deb5"), "-sH"])).trim(), "RUNNING");
    await store.ok(["lxc-stop", ...store.at("islt-deb5"), "-k"]);
    await ok(["lxc-start", ...store.at("islt-deb5")]);
    assert.match(await ok(["lxc-ls", "-P", store.path, "--running", "-1"]), /islt-deb5/);
    await ok(["lxc-stop", ...store.at("islt-deb5"), "-k"]);
  });
});
