import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { end } from "../support/host.js";
import { lacks } from "../support/skip.js";
import type { StoreKind } from "../support/store-kinds.js";
import { type StorePlace, storePlace } from "../support/store-place.js";
import { waitFor } from "../support/wait.js";

/** Every kind of root file system, from lxc-create to lxc-destroy: one list for all of them. */

/** A template script; in it $root is the root file system and $path the container's directory. */
function template({ own }: StorePlace, name: string, script: string): string {
  const file = join(own.runtimeDir, "..", `lxc-${name}`);
  const head =
    "#!/bin/sh\nset -e\nfor word; do case $word in --rootfs=*) root=${word#*=};; --path=*) path=${word#*=};; esac; done\n";
  writeFileSync(file, `${head}${script}\n`);
  chmodSync(file, 0o755);
  return file;
}

const mapLines = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";

/** The list that each kind must pass. */
export function passesList(kind: StoreKind): void {
  describe(`a root file system of the kind ${kind.title}`, () => {
    it("is made, started, written to and started again, and nothing of it is left in the end", async (t) => {
      if (kind.isLacking(t)) return;
      const place = await storePlace(t, kind);
      const { own, create, inside } = place;
      const gone = await place.watch("one");
      const at = own.store.at("one");
      await own.ok(create("one", "-t", "busybox", ...kind.words));
      const directory = join(own.store.path, "one");
      const config = readFileSync(place.seen(join(directory, "config")), "utf8");
      assert.ok(config.split("\n").includes(`lxc.rootfs.path = ${kind.path(directory, "one")}`), config);
      for (const round of ["first", "second"]) {
        await own.ok(["lxc-start", ...at]);
        assert.equal(await inside("one", "id -u; stat -c %a:%u:%g /"), "0\n755:0:0");
        assert.equal(await inside("one", "cat /root/seen 2>/dev/null || true"), round === "first" ? "" : "kept");
        await inside("one", "echo kept > /root/seen; sync");
        await own.ok(["lxc-stop", "-k", ...at]);
      }
      await own.ok(["lxc-destroy", ...at]);
      await gone("lxc-destroy");
    });

    it("is filled by a template script, which finds it where LXC's templates do", async (t) => {
      if (kind.isLacking(t)) return;
      const place = await storePlace(t, kind);
      const { own } = place;
      const file = template(
        place,
        "script",
        `mkdir -p "$root/etc"; echo script > "$root/etc/hostname"; [ -e "$path/config" ]
stat -c "%m %a" "$root"; ls -A "$root"`,
      );
      const gone = await place.watch("two");
      const said = (await own.ok(place.create("two", "-t", file, ...kind.words))).trim().split("\n");
      const rootfs = join(own.store.path, "two/rootfs");
      const [where = "", ...content] = said;
      assert.equal(where.startsWith(`${rootfs} `), kind.isMounted || kind.title === "btrfs", where);
      assert.match(where, / 755$/);
      assert.deepEqual(
        content.filter((name) => name !== "lost+found"),
        ["etc"],
      );
      // Nobody else sees it.
      if (kind.isMounted) assert.equal(await place.sh('ls -A "$1"', rootfs), "");
      await own.ok(["lxc-destroy", ...own.store.at("two")]);
      await gone("lxc-destroy");
    });

    it("of a template that fails is removed again", async (t) => {
      if (kind.isLacking(t)) return;
      const place = await storePlace(t, kind);
      const gone = await place.watch("bad");
      const file = template(place, "fails", 'mkdir "$root/etc"; echo no >&2; exit 7');
      const { status, stderr } = await place.own.command(place.create("bad", "-t", file, ...kind.words));
      assert.equal(status, 1);
      assert.match(stderr, /^no\n.*lxc-fails ended with status 7\n.*Failed to create container from template\n/);
      await gone("a template that failed");
    });

    it("whose daemon is killed while it is made is removed by the next command", async (t) => {
      if (kind.isLacking(t)) return;
      const place = await storePlace(t, kind);
      const { own } = place;
      const gone = await place.watch("dead");
      const mark = join(own.runtimeDir, "..", "mark");
      const file = template(
        place,
        "waits",
        `mkdir "$root/etc"; echo $$ > ${mark}.new; mv ${mark}.new ${mark}; exec sleep 600`,
      );
      const creating = own.command(place.create("dead", "-t", file, ...kind.words));
      await waitFor("the template", () => existsSync(mark));
      await own.restart(async () => {
        // It is the client's child, and of no use any more.
        end(Number(readFileSync(mark, "utf8")), "SIGKILL");
        assert.notEqual((await creating).status, 0);
      });
      const { stderr } = await own.command(["lxc-info", ...own.store.at("dead")]);
      assert.match(stderr, /dead doesn't exist/);
      await gone("a daemon that was killed");
    });

    it("belongs to the container's root where ids are mapped", async (t) => {
      if (kind.isLacking(t) || lacks(t, "userns")) return;
      const place = await storePlace(t, kind);
      const { own } = place;
      await place.sh('chmod 711 "$1" "$1/.."', own.store.path);
      const config = join(own.runtimeDir, "..", "mapped.conf");
      writeFileSync(config, mapLines);
      const gone = await place.watch("mapped", "filled");
      await own.ok(["lxc-create", ...own.store.at("mapped"), "-f", config, "-t", "busybox", ...kind.words]);
      await own.ok(["lxc-start", ...own.store.at("mapped")]);
      assert.equal(await place.inside("mapped", "stat -c %u:%g / /bin/busybox; touch /x /root/y"), "0:0\n0:0");
      await own.ok(["lxc-stop", "-k", ...own.store.at("mapped")]);
      const file = template(place, "mapped", 'mkdir "$root/etc"; stat -c %u:%g "$root" "$root/etc"');
      const said = await own.ok(["lxc-create", ...own.store.at("filled"), "-f", config, "-t", file, ...kind.words]);
      assert.equal(said, "0:0\n0:0\n");
      for (const name of ["mapped", "filled"]) await own.ok(["lxc-destroy", ...own.store.at(name)]);
      await gone("id-mapped containers");
    });

    it("is made for two at once, and for one of two of the same name", async (t) => {
      if (kind.isLacking(t)) return;
      const place = await storePlace(t, kind);
      const { own } = place;
      const gone = await place.watch("left", "right", "same");
      const made = await Promise.all(
        ["left", "right", "same", "same"].map((name) =>
          own.command(place.create(name, "-t", "busybox", ...kind.words)),
        ),
      );
      assert.deepEqual(
        made.slice(0, 2).map(({ status }) => status),
        [0, 0],
        made[0]?.stderr,
      );
      assert.deepEqual(
        made
          .slice(2)
          .map(({ status }) => status)
          .sort((a, b) => a - b),
        [0, 1],
      );
      const again = await own.command(place.create("same", "-t", "busybox", ...kind.words));
      assert.deepEqual([again.status, again.stderr], [1, "lxc-create: same: Container already exists\n"]);
      for (const name of ["left", "right", "same"]) {
        await own.ok(["lxc-start", ...own.store.at(name)]);
        await own.ok(["lxc-stop", "-k", ...own.store.at(name)]);
        await own.ok(["lxc-destroy", ...own.store.at(name)]);
      }
      await gone("several");
    });

    it("of an ephemeral container goes when it stops", async (t) => {
      if (kind.isLacking(t)) return;
      const place = await storePlace(t, kind);
      const { own } = place;
      const gone = await place.watch("brief");
      await own.ok(place.create("brief", "-t", "busybox", ...kind.words));
      const config = join(own.store.path, "brief/config");
      await place.sh('echo "lxc.ephemeral = 1" >> "$1"', config);
      await own.ok(["lxc-start", ...own.store.at("brief")]);
      await own.ok(["lxc-stop", "-k", ...own.store.at("brief")]);
      await gone("an ephemeral container");
    });
  });
}
