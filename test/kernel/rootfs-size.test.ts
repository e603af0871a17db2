import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { lacks } from "../support/skip.js";
import { type StorePlace, storePlace } from "../support/store-place.js";

/** Directories of a limited size: project quotas. */

/** Root of the host is held to no limit on ext4, and a container's root without an id map is such (CAP_SYS_RESOURCE). */
async function begun(t: TestContext, fstype: string, size: string): Promise<Limited | null> {
  if (lacks(t, "loop") || lacks(t, "userns")) return null;
  if (lacks(t, fstype === "xfs" ? "project quotas of xfs" : "project quotas")) return null;
  const place = await storePlace(t, { on: { fstype, size, options: "prjquota" } });
  await place.sh('chmod 711 "$1" "$1/.."', place.own.store.path);
  const config = join(place.own.runtimeDir, "..", "mapped.conf");
  writeFileSync(config, "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n");
  return {
    place,
    make: async (name, ...words) => {
      await place.own.ok(["lxc-create", ...at(place, name), "-f", config, "-t", "busybox", ...words]);
    },
  };
}

interface Limited {
  readonly place: StorePlace;
  readonly make: (name: string, ...words: readonly string[]) => Promise<void>;
}

const at = (place: StorePlace, name: string): readonly string[] => place.own.store.at(name);

/** What df says inside, KiB. */
const sizeInside = async (place: StorePlace, name: string): Promise<number> =>
  Number((await place.inside(name, "df -k / | tail -n 1")).split(/\s+/).at(-5));

/** Tries to write so many MiB into a file; answers what comes of it in MiB. */
const fill = async (place: StorePlace, name: string, mebibytes: number): Promise<number> =>
  Number(
    await place.inside(
      name,
      `dd if=/dev/zero of=/root/big bs=1048576 count=${mebibytes} 2>/dev/null; sync; stat -c %s /root/big | awk '{ print int($1 / 1048576) }'`,
    ),
  );

for (const [fstype, size] of [
  ["ext4", "128M"],
  ["xfs", "320M"],
] as const) {
  describe(`a directory on ${fstype} with project quotas`, () => {
    it("has the size that lxc-create gives it, and each container its own", async (t) => {
      const limited = await begun(t, fstype, size);
      if (limited === null) return;
      const { place, make } = limited;
      const { own } = place;
      const gone = await place.watch("small", "other");
      for (const [name, limit] of [
        ["small", "20M"],
        ["other", "30M"],
      ] as const)
        await make(name, "--fssize", limit);
      assert.match(
        await place.sh('cat "$1"', join(own.store.path, "small/config")),
        /^lxc\.rootfs\.path = dir:.*\nislet\.rootfs\.size = 20M$/m,
      );
      for (const name of ["small", "other"]) await own.ok(["lxc-start", ...at(place, name)]);
      assert.equal(await sizeInside(place, "small"), 20 * 1024);
      assert.equal(await sizeInside(place, "other"), 30 * 1024);
      const written = await fill(place, "small", 40);
      assert.ok(written < 20 && written > 10, String(written));
      assert.equal(await fill(place, "other", 20), 20);
      for (const name of ["small", "other"]) {
        await own.ok(["lxc-stop", "-k", ...at(place, name)]);
        await own.ok(["lxc-destroy", ...at(place, name)]);
      }
      await gone("lxc-destroy");
      // No project of theirs has a limit any more.
      await make("small");
      await own.ok(["lxc-start", ...at(place, "small")]);
      assert.ok((await sizeInside(place, "small")) > 60 * 1024);
      await own.ok(["lxc-stop", "-k", ...at(place, "small")]);
    });

    it("gets the size of its configuration at the next start, whatever is in it by then", async (t) => {
      const limited = await begun(t, fstype, size);
      if (limited === null) return;
      const { place, make } = limited;
      const { own } = place;
      await make("later");
      const config = join(own.store.path, "later/config");
      await place.sh(
        'cd "$1/later/rootfs"; mkdir -p a/b; dd if=/dev/zero of=a/b/file bs=1M count=5 2>/dev/null; ln -s /etc a/link; mkfifo a/fifo; touch "$1/outside"; ln -s "$1/outside" a/out',
        own.store.path,
      );
      for (const [limit, most] of [
        ["20M", 20],
        ["40M", 40],
      ] as const) {
        await place.sh('sed -i "/^islet.rootfs.size/d" "$1"; echo "islet.rootfs.size = $2" >> "$1"', config, limit);
        await own.ok(["lxc-start", ...at(place, "later")]);
        assert.equal(await sizeInside(place, "later"), most * 1024);
        const written = await fill(place, "later", 60);
        assert.ok(written < most - 5 && written > most - 15, `${written} of ${most}`);
        await place.inside("later", "rm /root/big");
        await own.ok(["lxc-stop", "-k", ...at(place, "later")]);
      }
      assert.equal(await place.sh('lsattr -p "$1/outside" | awk "{ print \\$1 }"', own.store.path), "0");
      await own.ok(["lxc-destroy", ...at(place, "later")]);
    });
  });
}

it("a directory where there are no project quotas cannot be limited, and the error says what would help", async (t) => {
  if (lacks(t, "loop")) return;
  const place = await storePlace(t, { on: { fstype: "ext4", size: "32M" } });
  const gone = await place.watch("none");
  const { status, stderr } = await place.own.command(place.create("none", "-t", "busybox", "--fssize", "20M"));
  assert.equal(status, 1);
  assert.match(
    stderr,
    /Filesystem type and size are only valid with block devices, or project quotas: .* \(ext4\) is mounted without project quotas; tune2fs -O quota,project \/dev\/loop\d+ while it is not mounted; mount it with the option prjquota/,
  );
  await gone("a refusal");
});
