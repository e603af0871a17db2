import assert from "node:assert/strict";
import { existsSync, lstatSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, it } from "node:test";
import { heldProgram } from "../support/held-program.js";
import { lacks } from "../support/skip.js";
import { storeKinds } from "../support/store-kinds.js";
import { loopDevices, type StorePlace, storePlace } from "../support/store-place.js";
import { waitFor } from "../support/wait.js";
import { changesOf, keep, survivesKilledRestore } from "./store-faults-list.js";

const kindOf = (title: string): (typeof storeKinds)[number] => {
  const found = storeKinds.find((kind) => kind.title === title);
  assert.ok(found !== undefined, title);
  return found;
};

for (const title of ["dir", "overlay", "btrfs", "loop with ext4"]) survivesKilledRestore(kindOf(title));

const loopsIn = ({ own }: StorePlace): ReturnType<typeof loopDevices> =>
  loopDevices(join(basename(dirname(own.store.path)), basename(own.store.path)));

describe("a daemon that is killed while mkfs works on a loop file", () => {
  for (const at of ["begin", "end"] as const) {
    it(`leaves neither container nor device, at its ${at}`, async (t) => {
      if (lacks(t, "loop")) return;
      const mkfs = heldProgram(t, "mkfs.ext4", at);
      const place = await storePlace(t, { on: null, env: { PATH: mkfs.path } });
      const { own } = place;
      const gone = await place.watch("new");
      const create = place.create("new", "-t", "busybox", "-B", "loop", "--fssize", "64M");
      mkfs.hold();
      const making = own.command(create);
      await mkfs.isHeld();
      assert.ok(existsSync(place.seen(join(own.store.path, "new/rootdev"))));
      await own.restart();
      assert.notEqual((await making).status, 0);
      await waitFor("what was made to be gone", () => readdirSync(place.seen(own.store.path)).length === 0);
      assert.deepEqual(await loopsIn(place), []);
      mkfs.release();
      await gone("a daemon that was killed");
      await own.ok(create);
      await own.ok(["lxc-start", ...own.store.at("new")]);
      await own.ok(["lxc-stop", "-k", ...own.store.at("new")]);
      await own.ok(["lxc-destroy", ...own.store.at("new")]);
      await gone("the second try");
    });
  }
});

describe("an image that does not fit on the disk", () => {
  const fillings = [
    ["files that are too large together", 'for i in 1 2 3 4 5 6; do head -c 8M /dev/urandom > "root/large$i"; done'],
    ["more files than there are inodes", "cd root; i=0; while [ $i -lt 12000 ]; do : > f$i; i=$((i+1)); done"],
  ] as const;
  for (const [what, script] of fillings) {
    for (const words of [
      ["-B", "dir"],
      ["-B", "overlay"],
      ["-B", "loop", "--fssize", "200M"],
    ]) {
      const isLoop = words.includes("loop");
      if (isLoop && what.startsWith("more")) continue;
      it(`(${what}) stops lxc-create -t local ${words.join(" ")}, and nothing is left`, async (t) => {
        if (lacks(t, "loop") || (words.includes("overlay") && lacks(t, "overlay"))) return;
        const place = await storePlace(t, { on: { fstype: "ext4", size: "40M" } });
        const { own, sh } = place;
        const gone = await place.watch("full");
        const images = join(own.runtimeDir, "..", "images");
        await sh(
          `mkdir -p "$1/root/etc"; cd "$1"; echo "lxc.arch = x86_64" > config; tar -cf meta.tar config; (${script}); tar -cf root.tar -C root .; rm -r root`,
          images,
        );
        const before = await sh('cat "$1"/* | sha256sum; df --output=used,iused "$2"', images, own.store.path);
        const local = ["-t", "local", ...words, "--", "-m", join(images, "meta.tar"), "-f", join(images, "root.tar")];
        const { status, stderr } = await own.command(place.create("full", ...local), { timeout: 60_000 });
        assert.equal(status, 1, stderr);
        assert.match(stderr, /disk is full|No space left|is the disk below it full/);
        assert.deepEqual(readdirSync(place.seen(own.store.path)), ["lost+found"]);
        assert.deepEqual(await loopsIn(place), []);
        assert.equal(
          await sh('sync; cat "$1"/* | sha256sum; df --output=used,iused "$2"', images, own.store.path),
          before,
        );
        await gone("a full disk");
      });
    }
  }
});

const mapped = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 200000 65536\n";

/** The kinds that an archive is not simply unpacked into, or is unpacked into a subvolume. */
for (const title of ["btrfs", "loop with ext4"]) {
  const kind = kindOf(title);
  describe(`islet import onto ${title}`, () => {
    it("makes what was exported, and nothing of it when the daemon is killed or the archive is cut off", async (t) => {
      if (kind.isLacking(t)) return;
      const place = await storePlace(t, kind);
      const { own, sh } = place;
      const gone = await place.watch("from", "to", "bad");
      const file = join(own.runtimeDir, "..", "from.tar");
      const original = join(own.runtimeDir, "..", "original");
      await own.ok(place.create("from", "-t", "busybox", "-B", "dir"));
      const from = join(own.store.path, "from");
      await sh(
        `cd "$1/rootfs/srv" 2>/dev/null || { mkdir "$1/rootfs/srv"; cd "$1/rootfs/srv"; }
seq 3000 | while read i; do echo $i > f$i; done; head -c 20M /dev/urandom > large; ln large hard; ln -s large link; chown 7:8 f1; setfacl -m u:5:r f2; cp /bin/true capped; setcap cap_net_raw+ep capped`,
        from,
      );
      await keep(place, from, original);
      await own.ok(["islet", "export", "-P", own.store.path, "from", file, "--compress", "none"]);
      const sum = await sh('sha256sum < "$1"', file);
      const into = (archive: string, name: string): readonly string[] => [
        "islet",
        "import",
        "-P",
        own.store.path,
        archive,
        name,
        ...kind.words,
      ];
      const importing = own.command(into(file, "to"));
      await waitFor("the import to be under way", () => {
        const to = join(own.store.path, "to");
        return [join(to, "rootfs/srv/f9"), join(to, "unpacked/rootfs/srv/f9")].some((path) =>
          existsSync(place.seen(path)),
        );
      });
      await own.restart();
      assert.notEqual((await importing).status, 0);
      await waitFor("what was imported to be gone", () => !existsSync(place.seen(join(own.store.path, "to"))));
      assert.deepEqual(await loopsIn(place), []);
      await sh('head -c 12M "$1" > "$1.cut"', file);
      const cut = await own.command(into(`${file}.cut`, "bad"));
      assert.equal(cut.status, 1);
      assert.match(cut.stderr, /cut off/);
      assert.ok(!existsSync(place.seen(join(own.store.path, "bad"))));
      await own.ok(into(file, "to"));
      const to = join(own.store.path, "to");
      assert.equal(await sh('sha256sum < "$1"', file), sum);
      assert.equal(await changesOf(place, from, original), "", "the original");
      // It has a name of its own.
      const changes = (await changesOf(place, to, original)).split("\n");
      assert.deepEqual(
        changes.filter((line) => line !== "" && !/ etc\/(host(name|s))?$/.test(line)),
        [],
      );
      if (title === "btrfs") assert.equal(lstatSync(place.seen(join(to, "rootfs"))).ino, 256);
      await own.ok(["lxc-start", ...own.store.at("to")]);
      assert.equal(await place.inside("to", "stat -c %u:%g /srv/f1; ls /srv | wc -l"), "7:8\n3004");
      await own.ok(["lxc-stop", "-k", ...own.store.at("to")]);
      for (const name of ["from", "to"]) await own.ok(["lxc-destroy", ...own.store.at(name)]);
      await gone("an import");
    });

    for (const [how, owner, option] of [
      ["that they have on the host", 100_000, ""],
      ["of the container, and they are mapped when they are mounted", 0, "lxc.rootfs.options = idmap=container\n"],
    ] as const) {
      it(`gives the files of a container with an id map the ids ${how}`, async (t) => {
        if (kind.isLacking(t) || lacks(t, "userns")) return;
        const place = await storePlace(t, kind);
        const { own, sh } = place;
        await sh('chmod 711 "$1" "$1/.."', own.store.path);
        const gone = await place.watch("from", "to");
        const above = join(own.runtimeDir, "..");
        const [file, config, original] = ["from.tar", "mapped.conf", "original"].map((name) => join(above, name)) as [
          string,
          string,
          string,
        ];
        const base = "lxc.net.0.type = empty\n";
        await sh('printf "$2" > "$1"', config, option === "" ? `${mapped}${base}` : base);
        await own.ok(["lxc-create", ...own.store.at("from"), "-f", config, "-t", "busybox", "-B", "dir"]);
        const from = join(own.store.path, "from");
        // Its files have been made with the ids of the container.
        if (option !== "") await sh('printf "$2" >> "$1/config"', from, `${mapped}${option}`);
        await sh(
          `cd "$1/rootfs/root"; u=$2; g=$((u * 2)); echo > mine; chown $((u + 7)):$((g + 8)) mine; setfacl -m u:$((u + 5)):r,g:$((g + 6)):w mine
cp /bin/true capped; chown $u:$g capped; if [ $u = 0 ]; then set --; else set -- -n $u; fi; setcap "$@" cap_net_raw+ep capped`,
          from,
          `${owner}`,
        );
        await own.ok(["islet", "export", "-P", own.store.path, "from", file]);
        await own.ok(["islet", "import", "-P", own.store.path, file, "to", ...kind.words]);
        const to = join(own.store.path, "to");
        await keep(place, from, original);
        assert.equal(await sh('stat -c %u "$1/root/mine"', original), `${owner + 7}`);
        const changes = (await changesOf(place, to, original)).split("\n");
        assert.deepEqual(
          changes.filter((line) => line !== "" && !/ etc\/(host(name|s))?$/.test(line)),
          [],
        );
        await own.ok(["lxc-start", ...own.store.at("to")]);
        assert.equal(
          await place.inside(
            "to",
            "stat -c %u:%g / /root/mine; touch /new; stat -c %u:%g /new; sed 's/ \\+/ /g' /proc/self/uid_map",
          ),
          "0:0\n7:8\n0:0\n 0 100000 65536",
        );
        await own.ok(["lxc-stop", "-k", ...own.store.at("to")]);
        for (const name of ["from", "to"]) await own.ok(["lxc-destroy", ...own.store.at(name)]);
        await gone("an import");
      });
    }
  });
}
