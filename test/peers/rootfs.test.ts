import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { command, ok } from "../support/command.js";
import { busyboxDisk, loopsOf } from "../support/disk.js";
import { picture, sweepLxc } from "../support/host.js";
import { lacks } from "../support/skip.js";
import { busyboxConfig, busyboxRootfs } from "../support/store.js";
import { waitFor } from "../support/wait.js";
import { guests, mountsOf } from "../kernel/guest.js";

/** The same store and configuration, started by Debian's lxc-start and by islet's: what is mounted as root, and how. */
describe("root file systems beside LXC's", () => {
  const before = picture();
  after(() => {
    sweepLxc(before, { names: [name], stores: [store.path] });
  });
  const { store } = guests();
  const name = "islt-root";
  const at = store.at(name);

  const seen = async (program: (tool: string) => string): Promise<string> => {
    const tool = (which: string): readonly string[] => [program(which), ...at];
    // A monitor of LXC's answers until it has cleared everything away.
    await waitFor(
      "the last monitor's end",
      () => !readFileSync("/proc/net/unix", "latin1").includes(`${store.path}/${name}/command`),
    );
    const started = await command([...tool("lxc-start"), "-d"]);
    if (started.status !== 0) return `status ${started.status}`;
    try {
      let pid = "";
      await waitFor(
        `the init of ${program("lxc-start")} ${started.stderr}`,
        async () => (pid = (await ok([...tool("lxc-info"), "-pH"])).trim()) !== "",
      );
      const root = mountsOf(readFileSync(`/proc/${pid}/mountinfo`, "utf8")).get("/");
      assert.ok(root !== undefined);
      // Which of the kernel's ways made the mount shows in the defaults that it lists.
      const own = root.superOptions.filter((word) => !/^(uuid|xino)=/.test(word)).sort();
      return [root.fstype, root.source.replace(/^\/dev\/loop\d+$/, "LOOP"), root.options.join(), own.join()].join(" ");
    } finally {
      await command([...tool("lxc-stop"), "-k"]);
      await waitFor("the loop device to let go", () => loopsOf(store.path).length === 0);
    }
  };

  const compare = async (path: string, options = ""): Promise<string> => {
    const directory = join(store.path, name);
    const outcomes: string[] = [];
    for (const program of [(tool: string) => `/usr/bin/${tool}`, (tool: string) => tool]) {
      rmSync(directory, { recursive: true, force: true });
      mkdirSync(directory);
      const extra = options === "" ? "" : `lxc.rootfs.options = ${options}\n`;
      writeFileSync(join(directory, "config"), busyboxConfig("/", name, extra).replace("dir:/", path));
      outcomes.push(await seen(program));
    }
    const [theirs, ours] = outcomes;
    assert.equal(ours, theirs, path);
    return ours ?? "";
  };

  it("overlays of one and of several layers are mounted as LXC does it", async (t) => {
    if (lacks(t, "lxc") || lacks(t, "overlay")) return;
    const [lower, above] = [join(store.path, "lower"), join(store.path, "above")];
    busyboxRootfs(lower);
    mkdirSync(above);
    const upper = join(store.path, name, "delta");
    assert.match(await compare(`overlay:${lower}:${upper}`), /^overlay .*workdir=.*\/work/);
    await compare(`overlayfs:${lower}:${join(store.path, name, "overlay/delta0")}`);
    await compare(`overlay:${above}:${lower}:${upper}`);
    await compare(`overlay:${lower}:${upper}`, "noatime,metacopy=on,redirect_dir=on");
    await compare(`overlay:${lower}:${upper}`, "ro");
  });

  it("files are mounted as LXC does it, whatever their type and spelling", async (t) => {
    if (lacks(t, "lxc") || lacks(t, "loop")) return;
    for (const type of ["ext4", "xfs", "btrfs"] as const) {
      if (lacks(t, type)) return;
      const image = join(store.path, `${type}.img`);
      busyboxDisk(image, type);
      assert.match(await compare(`loop:${image}`), new RegExp(`^${type} LOOP rw,relatime .*\\brw\\b`));
      await compare(image);
      await compare(`loopback:${image}`);
      await compare(`loop:${image}`, "ro,noatime,nodev");
    }
    await compare(`loop:${join(store.path, "ext4.img")}`, "commit=30");
    assert.equal(await compare(`loop:${join(store.path, "missing.img")}`), "status 1");
    assert.equal(await compare(`loop:${join(store.path, "ext4.img")}`, "bogus=1"), "status 1");
  });
});
