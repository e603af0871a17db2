import { spawn } from "node:child_process";
import { existsSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Cleaner } from "./cleanup.js";
import { command, ok } from "./command.js";
import { end } from "./host.js";
import { instance, type Instance, watchTraces } from "./instance.js";
import { testDir } from "./paths.js";
import { waitFor } from "./wait.js";

/** A daemon in a mount namespace of its own, where the test may mount what it likes: all of it goes with the last process there. */
export interface StorePlace {
  readonly own: Instance;
  /** A path of that namespace, for this process. */
  readonly seen: (path: string) => string;
  /** A shell's output there, trimmed. */
  readonly sh: (script: string, ...words: readonly string[]) => Promise<string>;
  /** `lxc-create -n NAME -t TEMPLATE -f CONFIG` with more words. */
  readonly create: (name: string, ...words: readonly string[]) => readonly string[];
  /** What a shell in the container prints, trimmed. */
  readonly inside: (name: string, script: string) => Promise<string>;
  /** Fails unless the daemon, the store and the host's loop devices are as they were when this was called. */
  readonly watch: (...names: readonly string[]) => Promise<(after: string) => Promise<void>>;
}

export interface StoreOptions {
  /** The file system that the store is on; null: that of the tests. */
  readonly on: { readonly fstype: string; readonly size: string; readonly options?: string } | null;
  /** A volume group for the test, with a thin pool `lxc` or without. */
  readonly volumes?: "thin" | "thick" | undefined;
  /** What it is called and how large it is, when not `volumeGroup` of 400M. */
  readonly group?: { readonly name: string; readonly size: string };
  readonly env?: Readonly<Record<string, string>>;
}

/** There is one at a time. */
export const volumeGroup = "islt-vg";

/** Loop devices with a name in the path of their file, with the file. The path begins where its file system is mounted. */
export async function loopDevices(name: string): Promise<readonly string[]> {
  const text = await ok(["losetup", "-l", "-n", "-O", "NAME,BACK-FILE"]);
  return text.split("\n").filter((line) => line.includes(name));
}

/** A mount of another run of tests on this machine: it goes from here when its directory does. */
function isOfOthers(line: string): boolean {
  const point = line.split(" ")[4] ?? "";
  return /^\/(tmp\/islt-|var\/cache\/islet-test\/)/.test(point) && !point.startsWith(`${testDir}/`);
}

const monitorFile = "/run/dmeventd.pid";

/** LVM starts a monitor of its volumes where no service manager does. */
function endMonitor(): void {
  if (!existsSync(monitorFile)) return;
  end(Number(readFileSync(monitorFile, "utf8")), "SIGKILL");
  for (const file of [monitorFile, "/run/dmeventd-client", "/run/dmeventd-server"]) rmSync(file, { force: true });
}

/** What a daemon keeps for good it makes for its first containers. */
async function warmUp(own: Instance): Promise<void> {
  const at = own.store.at("warm");
  const config = join(own.runtimeDir, "..", "warm.conf");
  writeFileSync(config, "lxc.ephemeral = 1\n");
  await own.ok(["lxc-create", ...at, "-f", config, "-t", "busybox"]);
  await own.ok(["lxc-start", ...at]);
  await own.ok(["lxc-stop", "-k", ...at]);
}

export async function storePlace(
  t: Cleaner,
  { on, volumes, env, group = { name: volumeGroup, size: "400M" } }: StoreOptions,
): Promise<StorePlace> {
  let holder: ReturnType<typeof spawn> | null = null;
  const imageName = `islt-disk-${process.pid}-${Math.random().toString(36).slice(2)}`;
  const image = join(testDir, imageName);
  const isMonitored = existsSync(monitorFile);
  // After the daemon's own end, which is registered below.
  const release = async (): Promise<void> => {
    holder?.kill("SIGKILL");
    if (volumes !== undefined) {
      const [device = ""] = (await loopDevices(imageName)).map((line) => line.split(" ")[0] ?? "");
      const script = 'vgremove -q -ff -y "$1" || true; [ -z "$2" ] || losetup -d "$2"';
      await command(["sh", "-c", script, "sh", group.name, device]);
      if (!isMonitored) endMonitor();
    }
    await waitFor("the loop devices to go", async () => (await loopDevices(imageName)).length === 0);
    rmSync(image, { force: true });
  };
  try {
    holder = spawn("unshare", ["--mount", "sleep", "86400"], { stdio: ["ignore", "ignore", "inherit"] });
    const { pid } = holder;
    if (pid === undefined) throw new Error("unshare did not start");
    const ours = readlinkSync("/proc/self/ns/mnt");
    await waitFor("a mount namespace", () => readlinkSync(`/proc/${pid}/ns/mnt`) !== ours);
    const own = await instance(t, { mntnsPid: pid, ...(env === undefined ? {} : { env }) });
    t.after(release);
    if (on !== null) {
      const options = on.options === undefined ? "loop" : `loop,${on.options}`;
      const features = options.includes("prjquota") ? " -O quota,project" : "";
      const mkfs = on.fstype === "ext4" ? `mkfs.ext4 -q -F${features}` : `mkfs.${on.fstype} -q -f`;
      await own.ok([
        "sh",
        "-ec",
        `truncate -s "$2" "$1"; ${mkfs} "$1"; mount -t ${on.fstype} -o ${options} "$1" "$3"`,
        "sh",
        image,
        on.size,
        own.store.path,
      ]);
    }
    if (volumes !== undefined) {
      await own.ok([
        "sh",
        "-ec",
        `truncate -s "$4" "$1"; vgcreate -q -y "$2" "$(losetup --show -f "$1")"
udev="activation { udev_sync=0 udev_rules=0 } devices { obtain_device_list_from_udev=0 }"; [ ! -e /run/udev/control ] || udev=
[ "$3" = thick ] || lvcreate -q -y --config "$udev" -L 200M -T "$2/lxc"`,
        "sh",
        image,
        group.name,
        volumes,
        group.size,
      ]);
    }
    return {
      own,
      seen: (path) => `/proc/${pid}/root${path}`,
      sh: async (script, ...words) => (await own.ok(["sh", "-ec", script, "sh", ...words])).trim(),
      create: (name, ...words) => ["lxc-create", ...own.store.at(name), "-f", "/dev/null", ...words],
      inside: async (name, script) =>
        (
          await own.ok(["lxc-attach", ...own.store.at(name), "--", "/bin/sh", "-c", script], {
            env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
          })
        ).trim(),
      watch: async (...names) => {
        await warmUp(own);
        const traces = await watchTraces(own, names);
        const picture = async (): Promise<readonly string[]> => [
          ...(await loopDevices(join(basename(dirname(own.store.path)), basename(own.store.path)))),
          ...(await own.ok(["ls", own.store.path])).split("\n"),
          ...(await own.ok(["cat", "/proc/self/mountinfo"])).split("\n").filter((line) => !isOfOthers(line)),
        ];
        const before = (await picture()).join("\n");
        return async (after) => {
          await traces.assertGone(after);
          let now = "";
          await waitFor("the host to be as it was", async () => (now = (await picture()).join("\n")) === before, {
            timeout: 3000,
          }).catch(() => {
            throw new Error(`left behind ${after}:\n${now}\nbefore:\n${before}`);
          });
        };
      },
    };
  } catch (error) {
    await release();
    throw error;
  }
}
