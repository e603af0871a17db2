import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { connect, type Islet, IsletError, type StoppedContainer, type WorkOptions } from "../../src/index.js";
import { cleanup } from "../support/cleanup.js";
import { loopsOf } from "../support/disk.js";
import { instance } from "../support/instance.js";
import { lacks } from "../support/skip.js";
import { storePlace } from "../support/store-place.js";
import { differencesOf } from "../support/tree.js";
import { waitFor } from "../support/wait.js";
import { copiesOf, type Copies, fill, realDifferences } from "./copies.js";

/** Copies, snapshots, exports and storage through the library, with and without a daemon. */

interface Place extends Copies {
  readonly islet: Islet;
  /** A directory for archives. */
  readonly out: string;
  /** A container made by hand, stopped. */
  readonly stopped: (name: string, config?: string) => Promise<StoppedContainer>;
}

const noNetwork = { "lxc.net.0.type": "empty" } as const;
const MiB = 1 << 20;

const code =
  (wanted: string, message: RegExp = /./) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof IsletError, String(error));
    assert.equal(error.code, wanted, error.message);
    assert.match(error.message, message);
    return true;
  };

for (const mode of ["over the daemon's socket", "in process"] as const) {
  const place = async (t: TestContext): Promise<Place> => {
    const copies = copiesOf(await instance(t));
    const { own } = copies;
    const islet = await connect({
      runtimeDirectory: own.runtimeDir,
      store: own.store.path,
      inProcess: mode === "in process",
    });
    cleanup(t)(() => islet.close());
    const out = join(own.runtimeDir, "../out");
    mkdirSync(out);
    const stopped = async (name: string, config: string = ""): Promise<StoppedContainer> => {
      copies.make(name, config);
      const made = await islet.get(name);
      assert.ok(made.state === "STOPPED");
      return made;
    };
    return { ...copies, islet, out, stopped };
  };

  describe(`the library ${mode}`, () => {
    test("copies a container: its files, with a name, MAC address and id map of its own", async (t) => {
      const { stopped, rootfs, config, picture, path, names, islet } = await place(t);
      const a = await stopped("islt-a", "lxc.net.1.type = veth\nlxc.net.1.hwaddr = 00:16:3e:11:22:33\n");
      writeFileSync(join(rootfs("islt-a"), "etc/hostname"), "islt-a\n");
      const before = picture("islt-a");
      const heard: string[] = [];
      const b = await a.copy("islt-b", { progress: (text) => heard.push(text), notice: (text) => heard.push(text) });
      assert.equal(b.state, "STOPPED");
      assert.ok(
        heard.every((text) => text.startsWith("copying islt-a: ")),
        heard.join(),
      );
      assert.equal(picture("islt-a"), before);
      assert.equal(realDifferences(rootfs("islt-a"), rootfs("islt-b")), "");
      assert.equal(readFileSync(join(rootfs("islt-b"), "etc/hostname"), "utf8"), "islt-b\n");
      assert.match(await b.config(), /hwaddr = 00:16:3e:(?!11:22:33)/);
      {
        await using kept = await a.copy("islt-kept", { keepName: true, keepMac: true });
        assert.equal(differencesOf(rootfs("islt-a"), rootfs("islt-kept")), "");
        assert.match(await kept.config(), /00:16:3e:11:22:33/);
        assert.doesNotMatch(config("islt-kept"), /uts\.name = islt-kept/);
      }
      assert.deepEqual(names(), ["islt-a", "islt-b"]);
      const mapped = await a.copy("islt-mapped", {
        idmap: [
          { type: "uid", inside: 0, outside: 300_000, count: 65_536 },
          { type: "gid", inside: 0, outside: 300_000, count: 65_536 },
        ],
      });
      assert.match(await mapped.config(), /lxc\.idmap = u 0 300000 65536\n/);
      assert.equal((await mapped.files.stat("/bin")).uid, 0);

      await assert.rejects(a.copy("islt-b"), code("ISLET_EXISTS"));
      await assert.rejects(a.copy("a/b"), code("ISLET_BAD_NAME"));
      await assert.rejects(
        a.copy("islt-x", { how: "burn" as "copy" }),
        code("ISLET_BAD_REQUEST", /^how is not one of/),
      );
      await assert.rejects(
        a.copy("islt-x", { storage: { kind: "same", size: 1.5 } }),
        code("ISLET_BAD_REQUEST", /^storage\.size is not a number of bytes/),
      );
      await assert.rejects(
        a.copy("islt-x", { idmap: [{ type: "uid", inside: 0, outside: 0, count: 0 }] }),
        code("ISLET_BAD_REQUEST", /^idmap\[0\]\.count/),
      );
      assert.equal(existsSync(path("islt-x")), false);
      await using running = await b.start();
      assert.equal((await running.exec(["hostname"])).stdout, "islt-b\n");
      await assert.rejects(running.copy("islt-x"), code("ISLET_RUNNING"));
      await using live = await running.copy("islt-live", { allowRunning: true });
      assert.equal(realDifferences(rootfs("islt-b"), rootfs("islt-live")), "");
      assert.equal((await running.info()).state, "RUNNING");
      assert.equal((await islet.get(live.name)).state, "STOPPED");
    });

    test("copies by a snapshot that shares what is not changed, and protects its original", async (t) => {
      if (lacks(t, "overlay")) return;
      const { stopped, rootfs, path, picture } = await place(t);
      const a = await stopped("islt-a");
      const before = picture("islt-a");
      {
        await using c = await a.copy("islt-c", { how: "snapshot" });
        assert.match(await c.config(), /lxc\.rootfs\.path = overlay:/);
        assert.equal(existsSync(join(rootfs("islt-c"), "bin")), false);
        await using running = await c.start();
        await running.files.write("/root/new", "of c");
        assert.equal(readFileSync(path("islt-c", "overlay/delta/root/new"), "utf8"), "of c");
        await assert.rejects(a.destroy(), code("ISLET_HAS_CLONES", /islt-c/));
      }
      assert.equal(existsSync(path("islt-c")), false);
      assert.equal(existsSync(path("islt-a", "lxc_snapshots")), false);
      assert.equal(picture("islt-a").replace(/^.*'\.'.*\n/m, ""), before.replace(/^.*'\.'.*\n/m, ""));
      await a.destroy();
    });

    test("puts a container aside, lists that, brings it back, and copies and removes it", async (t) => {
      const { stopped, rootfs, path, names, ok } = await place(t);
      const a = await stopped("islt-a");
      assert.deepEqual(await a.snapshots.list(), []);
      const began = Date.now();
      assert.equal(await a.snapshots.take({ comment: "as it came" }), "snap0");
      await a.files.write("/etc/version", "1");
      assert.equal(await a.snapshots.take({ name: "before-2" }), "before-2");
      await a.files.write("/etc/version", "2");
      assert.equal(await a.snapshots.take(), "snap1");
      const all = await a.snapshots.list();
      assert.deepEqual(
        all.map(({ name, comment }) => [name, comment]),
        [
          ["snap0", "as it came"],
          ["snap1", null],
          ["before-2", null],
        ],
      );
      for (const { made } of all) assert.ok(made !== null && Math.abs(made.getTime() - began) < 60_000, String(made));
      // The commands see them.
      assert.match(await ok("lxc-snapshot", "-n", "islt-a", "-L"), /^before-2 \(/m);

      await assert.rejects(a.snapshots.take({ name: "before-2" }), code("ISLET_EXISTS", /before-2/));
      await assert.rejects(a.snapshots.take({ name: "../x" }), code("ISLET_BAD_NAME"));
      await assert.rejects(a.snapshots.take({ comment: "x".repeat(2 * MiB) }), code("ISLET_BAD_REQUEST", /^comment/));
      await assert.rejects(a.snapshots.restore("nope"), code("ISLET_NOT_FOUND", /islt-a has no snapshot nope/));
      await assert.rejects(a.snapshots.destroy("../.."), code("ISLET_NOT_FOUND"));
      await assert.rejects(a.destroy(), code("ISLET_HAS_SNAPSHOTS"));

      await a.snapshots.restore("before-2");
      assert.equal(await a.files.read("/etc/version", "utf8"), "1");
      const web = await a.start();
      assert.equal((await web.exec(["cat", "/etc/version"])).stdout, "1");
      assert.equal((await web.snapshots.list()).length, 3);
      // A program in plain JavaScript can ask for it.
      await assert.rejects((web.snapshots as typeof a.snapshots).restore("snap0"), code("ISLET_RUNNING"));
      {
        await using d = await web.snapshots.copy("snap1", "islt-d");
        assert.equal(readFileSync(join(rootfs("islt-d"), "etc/version"), "utf8"), "2");
        assert.match(await d.config(), /lxc\.uts\.name = islt-d\n/);
      }
      await web.stop({ kill: true });
      await a.snapshots.restore("snap0");
      assert.equal(existsSync(join(rootfs("islt-a"), "etc/version")), false);
      for (const { name } of all) await a.snapshots.destroy(name);
      assert.equal(existsSync(path("islt-a", "snaps")), false);
      await a.destroy();
      assert.deepEqual(names(), []);
    });

    test("exports a container into a file, and makes a container of that again", async (t) => {
      const { stopped, rootfs, islet, out, names, config } = await place(t);
      const a = await stopped("islt-a", "islet.guest = lxd\n");
      await a.settings.set({ "user.x": "1" });
      const file = join(out, "a.tar.gz");
      const heard: string[] = [];
      await a.export(file, { compress: "gzip", notice: (text) => heard.push(text) });
      assert.deepEqual([...readFileSync(file).subarray(0, 2)], [0x1f, 0x8b]);
      assert.deepEqual(heard, []);
      {
        await using b = await islet.import(file, { name: "islt-b" });
        assert.equal(b.name, "islt-b");
        assert.equal(realDifferences(rootfs("islt-a"), rootfs("islt-b")), "");
        assert.equal(await b.settings.get("user.x"), "1");
        await using web = await b.start();
        assert.equal((await web.exec(["hostname"])).stdout, "islt-b\n");
        await assert.rejects(web.export(file), code("ISLET_RUNNING"));
      }
      await assert.rejects(islet.import(file), code("ISLET_EXISTS"));
      const text = config("islt-a");
      await a.destroy();
      const again = await islet.import(file, { keep: true });
      assert.equal(again.name, "islt-a");
      assert.match(await again.config(), /lxc\.uts\.name = islt-a\n/);
      assert.match(text, /lxc\.uts\.name = islt-a\n/);

      writeFileSync(join(out, "cut"), readFileSync(file).subarray(0, -2000));
      for (const [path, wanted] of [
        [join(out, "cut"), /ISLET_(IO|UNTRUSTED)/],
        ["/etc/passwd", /ISLET_IO/],
        [join(out, "nope"), /ISLET_IO/],
      ] as const)
        await assert.rejects(islet.import(path, { name: "islt-x" }), (error) => {
          assert.match((error as IsletError).code, wanted, `${path}: ${String(error)}`);
          return true;
        });
      await assert.rejects(islet.import(file, { name: "a/b" }), code("ISLET_BAD_NAME"));
      await assert.rejects(
        again.export(join(out, "x"), { compress: "bzip2" as "gzip" }),
        code("ISLET_BAD_REQUEST", /^compress is not one of/),
      );
      await assert.rejects(again.export(join(out, "no/such")), code("ISLET_IO"));
      assert.deepEqual(names(), ["islt-a"]);
      assert.deepEqual(readdirSync(out).sort(), ["a.tar.gz", "cut"]);
    });

    test("starts a copy that is gone when it stops", async (t) => {
      if (lacks(t, "overlay")) return;
      const { stopped, names, islet, path } = await place(t);
      const a = await stopped("islt-a");
      const copy = await a.runCopy();
      assert.match(copy.name, /^islt-a_[A-Za-z0-9]{6}$/);
      assert.equal((await copy.exec(["hostname"])).stdout, `${copy.name}\n`);
      await copy.exec(["touch", "/root/mine"]);
      await copy.stop({ kill: true });
      await waitFor("its end", () => !existsSync(path(copy.name)));
      {
        await using small = await a.runCopy({ name: "islt-small", memory: 2 * MiB });
        const filled = await small.exec([
          "sh",
          "-c",
          "head -c 4000000 /dev/zero > /root/large || stat -c %s /root/large",
        ]);
        assert.ok(Number(filled.stdout) > 0 && Number(filled.stdout) <= 2 * MiB, filled.stdout);
        assert.deepEqual(
          (await islet.list()).map(({ name, state }) => [name, state]),
          [
            ["islt-a", "STOPPED"],
            ["islt-small", "RUNNING"],
          ],
        );
      }
      assert.deepEqual(names(), ["islt-a"]);
      await a.setConfig(`${await a.config()}lxc.hook.pre-start = /bin/false\n`);
      await assert.rejects(a.runCopy({ name: "islt-no" }), code("ISLET_START_FAILED", /pre-start/));
      await assert.rejects(a.runCopy({ memory: 0 }), code("ISLET_BAD_REQUEST", /^size/));
      assert.deepEqual(names(), ["islt-a"]);
    });

    test("keeps a new root file system as it is asked to: a file, layers, what can be had", async (t) => {
      if (lacks(t, "loop") || lacks(t, "overlay")) return;
      const { islet, own, path, stopped, rootfs, names } = await place(t);
      const base = { template: "busybox", config: noNetwork } as const;
      {
        await using l = await islet.create("islt-l", { ...base, storage: { kind: "loop", size: 64 * MiB } });
        assert.match(await l.config(), new RegExp(`lxc\\.rootfs\\.path = loop:${path("islt-l", "rootdev")}\n`));
        await using web = await l.start();
        assert.match((await web.exec(["df", "-m", "/"])).stdout, /\/dev\/loop\S*\s+(5|6)\d\s/);
        await web.stop({ kill: true });
        await using copy = await l.copy("islt-m", { storage: { kind: "dir" } });
        assert.ok(existsSync(join(rootfs(copy.name), "bin/busybox")));
        await using larger = await l.copy("islt-n", { storage: { kind: "same", size: 80n * BigInt(MiB) } });
        assert.match(await larger.config(), /rootfs\.path = loop:/);
      }
      assert.deepEqual(loopsOf(own.store.path), []);
      await stopped("islt-a");
      {
        // No template: what is below is all that is in it.
        await using o = await islet.create("islt-o", {
          config: { ...noNetwork, "lxc.signal.halt": "SIGUSR1" },
          storage: { kind: "overlay", lowers: [rootfs("islt-a")] },
        });
        await using web = await o.start();
        await web.files.write("/etc/mine", "x");
        assert.equal(existsSync(join(rootfs("islt-a"), "etc/mine")), false);
      }
      const heard: string[] = [];
      await using best = await islet.create("islt-b", {
        ...base,
        storage: { kind: "best" },
        notice: (text) => heard.push(text),
      });
      assert.match(heard.join(), /^the root file system is kept as (btrfs|zfs|lvm|dir)$/);
      assert.match(await best.config(), /lxc\.rootfs\.path = /);
      await using empty = await islet.create("islt-e", { config: noNetwork, storage: { kind: "dir" } });
      await empty.files.write("/hello", "x");
      assert.deepEqual(readdirSync(rootfs("islt-e")), ["hello"]);

      const refuse = async (storage: unknown, wanted: RegExp, more: object = {}): Promise<void> => {
        const asked = islet.create("islt-x", { ...base, ...more, storage: storage as { kind: "best" } });
        await assert.rejects(asked, code("ISLET_BAD_REQUEST", wanted));
        assert.equal(existsSync(path("islt-x")), false);
      };
      await refuse({ kind: "tape" }, /^storage\.kind is none of best, dir, btrfs/);
      await refuse({ kind: "loop", fstype: "no/such" }, /is not the name of a file system type/);
      await refuse({ kind: "dir" }, /^storage and rootfs are two/, { rootfs: "/srv/x" });
      await refuse({ kind: "dir" }, /^storage and lxc\.rootfs\.path are two/, {
        config: { ...noNetwork, "lxc.rootfs.path": "/srv/x" },
      });
      assert.deepEqual(names(), ["islt-a", "islt-b", "islt-e"]);
    });

    test("undoes what is aborted, and says so when all of it is gone", async (t) => {
      const { stopped, rootfs, islet, out, path, names, picture } = await place(t);
      const a = await stopped("islt-a");
      fill(join(rootfs("islt-a"), "many"), 6000);
      const before = picture("islt-a");
      const file = join(out, "whole");
      await a.export(file, { compress: "none" });
      const aborted = async (begin: (options: WorkOptions) => Promise<unknown>, when: () => boolean): Promise<void> => {
        const abort = new AbortController();
        const work = begin({ signal: abort.signal });
        const ended = assert.rejects(work, /enough/);
        await waitFor("it to begin", when);
        abort.abort(new Error("enough"));
        await ended;
        assert.deepEqual([names(), readdirSync(out)], [["islt-a"], ["whole"]]);
        assert.equal(existsSync(path("islt-a", "snaps")), false);
      };
      const begun = (name: string) => (): boolean => existsSync(path(name, "rootfs"));
      await aborted((options) => a.copy("islt-b", options), begun("islt-b"));
      await aborted((options) => a.snapshots.take(options), begun("islt-a/snaps/snap0"));
      let said = 0;
      await aborted(
        (options) => a.export(join(out, "x"), { ...options, compress: "gzip", progress: () => void (said += 1) }),
        () => said > 0,
      );
      await aborted((options) => islet.import(file, { ...options, name: "islt-i" }), begun("islt-i"));
      // What a template has started ends with it.
      const script = join(out, "../lxc-slow");
      const words = `#!/bin/sh\nfor w; do case $w in --rootfs=*) r=\${w#*=};; esac; done\nwork() { while :; do mkdir -p $r; date > $r/$1; sleep 0.01; done; }\nwork child & work own\n`;
      writeFileSync(script, words, { mode: 0o755 });
      await aborted(
        (options) => islet.create("islt-t", { ...options, template: script, config: noNetwork }),
        () => existsSync(path("islt-t", "rootfs/child")),
      );
      await assert.rejects(a.copy("islt-b", { signal: AbortSignal.abort() }), { name: "AbortError" });
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.deepEqual(names(), ["islt-a"]);
      assert.equal(picture("islt-a").replace(/^.*'\.'.*\n/m, ""), before.replace(/^.*'\.'.*\n/m, ""));
    });
  });
}

test("a store on btrfs gets subvolumes, whose copies are snapshots of them", async (t) => {
  if (lacks(t, "loop") || lacks(t, "btrfs")) return;
  const { own, sh } = await storePlace(t, { on: { fstype: "btrfs", size: "200M" } });
  const islet = await connect({ runtimeDirectory: own.runtimeDir, store: own.store.path });
  cleanup(t)(() => islet.close());
  const heard: string[] = [];
  const a = await islet.create("islt-a", {
    template: "busybox",
    config: noNetwork,
    storage: { kind: "best" },
    notice: (text) => heard.push(text),
  });
  assert.deepEqual(heard, ["the root file system is kept as btrfs"]);
  assert.match(await a.config(), /lxc\.rootfs\.path = btrfs:/);
  const subvolume = (name: string): Promise<string> => sh('stat -c %i "$1"', `${own.store.path}/${name}/rootfs`);
  assert.equal(await subvolume("islt-a"), "256");
  assert.equal(await a.snapshots.take(), "snap0");
  const b = await a.copy("islt-b", { how: "snapshot" });
  assert.equal(await subvolume("islt-b"), "256");
  await a.files.write("/etc/new", "x");
  await a.snapshots.restore("snap0");
  await assert.rejects(a.files.read("/etc/new"));
  await a.snapshots.destroy("snap0");
  // It needs nothing of the original's.
  await a.destroy();
  const web = await b.start();
  assert.equal((await web.exec(["hostname"])).stdout, "islt-b\n");
  await (await web.stop({ kill: true })).destroy();
  assert.deepEqual(await islet.list(), []);
});

test("a program that is killed in the middle of a copy leaves nothing of it", async (t) => {
  const copies = copiesOf(await instance(t));
  const { own, make, rootfs, path, names } = copies;
  make("islt-a");
  fill(join(rootfs("islt-a"), "many"), 6000);
  const islet = await connect({ runtimeDirectory: own.runtimeDir, store: own.store.path });
  const a = await islet.get("islt-a");
  assert.ok(a.state === "STOPPED");
  const copying = a.copy("islt-b");
  copying.catch(() => undefined);
  await waitFor("it to begin", () => existsSync(path("islt-b", "rootfs")));
  await islet.close();
  await assert.rejects(copying, code("ISLET_DISCONNECTED"));
  await waitFor("the copy to be gone", () => names().join() === "islt-a");
});
