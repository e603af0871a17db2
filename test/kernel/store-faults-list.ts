import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import type { Cleaner } from "../support/cleanup.js";
import { lacks } from "../support/skip.js";
import type { StoreKind } from "../support/store-kinds.js";
import { type StorePlace, storePlace } from "../support/store-place.js";
import { waitFor } from "../support/wait.js";

/** Faults that every kind of root file system must survive. */

/** Runs a script with the root file system of the container in a directory mounted on $m, read-only if it is a device. */
export async function reached(
  { own, sh }: StorePlace,
  directory: string,
  script: string,
  ...words: readonly string[]
): Promise<string> {
  const whole = `m="$1/../../reached"; mkdir -p "$m"; path=$(sed -n 's/^lxc.rootfs.path = //p' "$2/config"); shift 2
case $path in
loop:*) mount -o loop,ro "\${path#loop:}" "$m" ;;
overlay:*:*) rest=\${path#overlay:}; mount -t overlay -o "ro,lowerdir=\${rest##*:}:\${rest%:*}" overlay "$m" ;;
lvm:*) mount -o ro "\${path#lvm:}" "$m" ;;
*) mount --bind "\${path#*:}" "$m" ;;
esac
trap 'umount "$m"; rmdir "$m"' EXIT
${script}`;
  return await sh(whole, own.store.path, directory, ...words);
}

/** What rsync would change to make the root file system that of the directory. */
export const changesOf = (place: StorePlace, directory: string, wanted: string): Promise<string> =>
  reached(place, directory, 'rsync -aHAXn --checksum --delete -i --exclude=/lost+found "$1/" "$m/"', wanted);

/** Copies it there. */
export const keep = (place: StorePlace, directory: string, at: string): Promise<string> =>
  reached(place, directory, 'mkdir "$1"; rsync -aHAX --exclude=/lost+found "$m/" "$1/"', at);

/** The process is killed when its main thread renames a file for the n-th time from now on. Gives back what ends the watch. */
async function killAtRename(t: Cleaner, pid: number, n: number): Promise<() => Promise<void>> {
  const calls = "rename,renameat,renameat2";
  const words = ["-e", `trace=${calls}`, "-e", `inject=${calls}:signal=SIGKILL:when=${n}`, "-p", String(pid)];
  const child = spawn("strace", words, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await ended;
  };
  t.after(stop);
  await waitFor("strace to attach", () => /attached/.test(said));
  return stop;
}

export function survivesKilledRestore(kind: StoreKind): void {
  it(`a restore that is killed at any of its steps leaves the old container or the new one, kept as ${kind.title}`, async (t) => {
    if (kind.isLacking(t) || lacks(t, "strace")) return;
    const place = await storePlace(t, kind);
    const { own } = place;
    const gone = await place.watch("a");
    const at = own.store.at("a");
    const directory = join(own.store.path, "a");
    const names = (): string => readdirSync(place.seen(directory)).sort().join(" ");
    const [before, changed] = ["before", "changed"].map((name) => join(own.runtimeDir, "..", name)) as [string, string];
    await own.ok(place.create("a", "-t", "busybox", ...kind.words));
    await keep(place, directory, before);
    await own.ok(["lxc-snapshot", ...at], { timeout: 60_000 });
    const whole = names();
    const volumes = async (): Promise<string> =>
      kind.volumes === undefined ? "" : await place.sh("lvs --noheadings -o lv_name | sort");
    const kept = await volumes();
    const outcomes: string[] = [];
    let isOld = false;
    for (let step = 1; ; step += 1) {
      if (!isOld) {
        await own.ok(["lxc-start", ...at]);
        await place.inside("a", "echo changed > /root/state; sync");
        await own.ok(["lxc-stop", "-k", ...at]);
        await place.sh('rm -rf "$1"', changed);
        await keep(place, directory, changed);
      }
      const unwatch = await killAtRename(t, own.pid(), step);
      const { status } = await own.command(["lxc-snapshot", ...at, "-r", "snap0"], { timeout: 60_000 });
      await unwatch();
      if (status === 0) break;
      await own.restart();
      // The next daemon does it by itself.
      await waitFor(`nothing else to be there after step ${step}`, () => names() === whole);
      let now = "";
      const isOne = async (): Promise<boolean> => {
        now = await volumes();
        return now.split("\n").length === kept.split("\n").length;
      };
      await waitFor("the other root file system to be gone", isOne).catch(() => {
        throw new Error(`after step ${step} there are:\n${now}\nbefore:\n${kept}`);
      });
      isOld = (await reached(place, directory, 'ls "$m/root"')) === "state";
      outcomes.push(isOld ? "old" : "new");
      assert.equal(await changesOf(place, directory, isOld ? changed : before), "", `step ${step}`);
      assert.equal(await changesOf(place, join(directory, "snaps/snap0"), before), "", `step ${step}`);
    }
    assert.deepEqual([...new Set(outcomes)], ["old", "new"], outcomes.join(" "));
    assert.equal(await changesOf(place, directory, before), "");
    await own.ok(["lxc-start", ...at]);
    await own.ok(["lxc-stop", "-k", ...at]);
    await own.ok(["lxc-destroy", ...at, "-s"]);
    await place.sh('rm -r "$1" "$2"', before, changed);
    await gone("a restore that was killed");
  });
}
