import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it, test, type TestContext } from "node:test";
import { connect } from "../../src/index.js";
import { command } from "../support/command.js";
import { cleanup } from "../support/cleanup.js";
import { attach, busyboxDisk, detach, loopsOf, mountsWith, type DiskType } from "../support/disk.js";
import { end } from "../support/host.js";
import { instance } from "../support/instance.js";
import { hostFacts } from "../support/facts.js";
import { root as checkout, runtimeDir } from "../support/paths.js";
import { openRoot } from "../../src/storage/open.js";
import { lacks } from "../support/skip.js";
import { busyboxConfig, busyboxRootfs } from "../support/store.js";
import { waitFor } from "../support/wait.js";
import { guestOf, guests, mountsInside, type Guest, type Guests } from "./guest.js";

const map = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";

/** A container without a rootfs of its own, whose configuration begins with that path. */
function defineOn({ store }: Guests, name: string, path: string, config = ""): Guest {
  mkdirSync(join(store.path, name), { recursive: true });
  const text = busyboxConfig("/", name, config).replace("lxc.rootfs.path = dir:/", `lxc.rootfs.path = ${path}`);
  writeFileSync(join(store.path, name, "config"), text);
  return guestOf(store, name, "");
}

function lacksDisk(t: TestContext, type: DiskType): boolean {
  return lacks(t, "loop") || lacks(t, type);
}

async function nothingLeft({ store }: Guests): Promise<void> {
  await waitFor("the loop devices to let go", () => loopsOf(store.path).length === 0);
  assert.deepEqual(mountsWith(store.path), []);
}

describe("root file system in a file", () => {
  const all = guests();
  const image = (name: string): string => join(all.store.path, `${name}.img`);

  for (const type of ["ext4", "xfs", "btrfs"] as const) {
    it(`of the type ${type} is the root inside, keeps what is written, and its loop device goes with the container`, async (t) => {
      if (lacksDisk(t, type)) return;
      busyboxDisk(image(type), type);
      const guest = defineOn(all, type, `loop:${image(type)}`);
      for (const round of ["1", "2"]) {
        await guest.start();
        assert.equal((await mountsInside(guest)).get("/")?.fstype, type);
        assert.equal(await guest.sh("echo x >> /root/rounds; wc -l < /root/rounds"), round);
        assert.equal(loopsOf(all.store.path).length, 1);
        assert.deepEqual(mountsWith(all.store.path), []);
        await guest.kill();
      }
      await nothingLeft(all);
    });

    it(`of the type ${type} is mapped for a container with ids of its own`, async (t) => {
      if (lacksDisk(t, type) || lacks(t, "userns")) return;
      const name = `${type}-mapped`;
      busyboxDisk(image(name), type);
      const guest = defineOn(all, name, `loop:${image(name)}`, `${map}lxc.rootfs.options = idmap=container\n`);
      await guest.start();
      assert.equal(await guest.sh("touch /root/mine; stat -c %u:%g / /root/mine | sort -u"), "0:0");
      assert.equal(await guest.sh("chown 1000:1000 /root/mine; stat -c %u:%g /root/mine"), "1000:1000");
      await guest.kill();
      await nothingLeft(all);
    });
  }

  it("whose files have the ids of the host already is used as it is", async (t) => {
    if (lacksDisk(t, "ext4") || lacks(t, "userns")) return;
    busyboxDisk(image("shifted"), "ext4", (rootfs) => {
      execFileSync("chown", ["-hR", "100000:100000", rootfs]);
    });
    const guest = defineOn(all, "shifted", `loop:${image("shifted")}`, map);
    await guest.start();
    assert.equal(await guest.sh("touch /root/mine; stat -c %u /root /root/mine | sort -u"), "0");
    await guest.kill();
  });

  it("whose journal must be replayed says so where ro forbids it, and starts without", async (t) => {
    if (lacksDisk(t, "ext4")) return;
    busyboxDisk(image("live"), "ext4");
    const live = defineOn(all, "live", `loop:${image("live")}`);
    await live.start();
    await live.sh("echo x > /root/x; sync");
    // As the disk is when the host loses its power.
    execFileSync("cp", ["--sparse=always", image("live"), image("crashed")]);
    await live.kill();
    const path = `loop:${image("crashed")}`;
    const refusal = await defineOn(all, "crashed", path, "lxc.rootfs.options = ro\n").refuses();
    assert.match(refusal, /EROFS.*its journal must be replayed.*start it once without that/);
    const open = await openRoot(
      { ...hostFacts("v2"), runtimeDir, arch: process.arch === "arm64" ? "arm64" : "x86_64" },
      join(checkout, "build/islet"),
      { kind: "loop", path: image("crashed") },
      { write: false },
    );
    try {
      assert.equal(readFileSync(join(open.path, "root/x"), "utf8"), "x\n");
      assert.throws(() => {
        writeFileSync(join(open.path, "root/y"), "");
      }, /EROFS/);
    } finally {
      open.close();
    }
    await nothingLeft(all);
    const guest = defineOn(all, "crashed", path);
    await guest.start();
    assert.equal(await guest.sh("cat /root/x"), "x");
    await guest.kill();
  });

  it("needs no loop: before its path, and is found through a link", async (t) => {
    if (lacksDisk(t, "ext4")) return;
    busyboxDisk(image("bare"), "ext4");
    symlinkSync(image("bare"), join(all.store.path, "link.img"));
    for (const path of [image("bare"), join(all.store.path, "link.img"), `loop:${join(all.store.path, "link.img")}`]) {
      const guest = defineOn(all, "bare", path);
      await guest.start();
      assert.equal(await guest.sh("ls -d /bin/busybox"), "/bin/busybox");
      await guest.kill();
    }
  });

  it("takes options of mounts and of the file system", async (t) => {
    if (lacksDisk(t, "ext4")) return;
    busyboxDisk(image("options"), "ext4");
    const guest = defineOn(
      all,
      "options",
      `loop:${image("options")}`,
      "lxc.rootfs.options = noatime,nodev,errors=remount-ro,commit=30\n",
    );
    await guest.start();
    const root = (await mountsInside(guest)).get("/");
    assert.ok(root !== undefined);
    for (const word of ["noatime", "nodev"]) assert.ok(root.options.includes(word), root.options.join());
    for (const word of ["errors=remount-ro", "commit=30"]) assert.ok(root.superOptions.includes(word), word);
    await guest.kill();
  });

  it("is mounted read-only with the option ro, also by several containers at once", async (t) => {
    if (lacksDisk(t, "ext4")) return;
    busyboxDisk(image("ro"), "ext4");
    const both = ["ro-1", "ro-2"].map((name) =>
      defineOn(all, name, `loop:${image("ro")}`, "lxc.rootfs.options = ro\n"),
    );
    for (const guest of both) await guest.start();
    for (const guest of both) {
      assert.match((await guest.try("touch /root/x")).stderr, /Read-only file system/);
      await guest.kill();
    }
    await nothingLeft(all);
  });

  it("that another container has in use is refused: two mounts would destroy it", async (t) => {
    if (lacksDisk(t, "ext4")) return;
    busyboxDisk(image("shared"), "ext4");
    const first = defineOn(all, "first", `loop:${image("shared")}`);
    const second = defineOn(all, "second", `loop:${image("shared")}`);
    await first.start();
    assert.match(await second.refuses(), /shared\.img is in use: by another container.*stop that first/);
    await first.kill();
    await second.start();
    await second.kill();
    await nothingLeft(all);
  });

  it("that is missing, garbage, something else, damaged or a directory is named in a line, and nothing is left", async (t) => {
    if (lacksDisk(t, "ext4")) return;
    const refused = async (name: string, pattern: RegExp): Promise<void> => {
      const text = await defineOn(all, "broken", `loop:${image(name)}`).refuses();
      assert.match(text.split("\n")[0] ?? "", pattern);
      assert.match(text.split("\n")[0] ?? "", /broken\/config:\d+ lxc\.rootfs\.path/);
      await nothingLeft(all);
    };
    await refused("nowhere", /nowhere\.img: ENOENT.*the file is missing/);
    writeFileSync(image("garbage"), Buffer.alloc(1 << 20, "garbage "));
    await refused("garbage", /garbage\.img has no file system that this kernel knows/);
    writeFileSync(image("empty"), "");
    await refused("empty", /empty\.img has no file system/);
    writeFileSync(image("luks"), Buffer.concat([Buffer.from("LUKS\xba\xbe", "latin1"), Buffer.alloc(1 << 20)]));
    await refused("luks", /luks\.img has no file system: it is a LUKS container/);
    mkdirSync(image("directory"));
    await refused("directory", /directory\.img: EISDIR/);
    busyboxDisk(image("damaged"), "ext4");
    const fd = openSync(image("damaged"), "r+");
    // The number of blocks of the superblock: more than the file has; then its block groups' size.
    writeSync(fd, new Uint8Array([255, 255, 255, 127]), 0, 4, 1024 + 4);
    writeSync(fd, new Uint8Array([0, 0, 0, 0]), 0, 4, 1024 + 32);
    closeSync(fd);
    await refused("damaged", /mount the ext4 file system of .*damaged\.img: E(INVAL|UCLEAN|BADMSG).*fsck\.ext4/);
  });

  it("that may not be written says so, and starts with ro", async (t) => {
    if (lacksDisk(t, "ext4")) return;
    busyboxDisk(image("immutable"), "ext4");
    if ((await command(["chattr", "+i", image("immutable")])).status !== 0) {
      t.skip("files cannot be made immutable here");
      return;
    }
    cleanup(t)(() => void execFileSync("chattr", ["-i", image("immutable")]));
    const path = `loop:${image("immutable")}`;
    assert.match(
      await defineOn(all, "immutable", path).refuses(),
      /immutable\.img: EPERM.*add ro to lxc\.rootfs\.options/,
    );
    const guest = defineOn(all, "immutable", path, "lxc.rootfs.options = ro\n");
    await guest.start();
    await guest.kill();
    await nothingLeft(all);
  });
});

describe("root file system on a device", () => {
  const all = guests();

  it("is found by its bare path and by lvm:, is refused where it is missing, and mapped where that is asked for", async (t) => {
    if (lacksDisk(t, "ext4")) return;
    const defer = cleanup(t);
    const image = join(all.store.path, "disk");
    busyboxDisk(image, "ext4");
    const device = attach(image);
    defer(() => {
      detach(device);
    });
    for (const [path, config] of [
      [device, ""],
      [`lvm:${device}`, ""],
      [device, `${map}lxc.rootfs.options = idmap=container\n`],
    ] as const) {
      const guest = defineOn(all, "device", path, config);
      await guest.start();
      assert.equal((await mountsInside(guest)).get("/")?.source, device);
      assert.equal(await guest.sh("stat -c %u /root"), "0");
      await guest.kill();
    }
    assert.match(
      await defineOn(all, "gone", "lvm:/dev/islt-none/web").refuses(),
      /\/dev\/islt-none\/web: ENOENT.*lvchange -ay \/dev\/islt-none\/web/,
    );
    assert.match(await defineOn(all, "file", `lvm:${image}`).refuses(), /ENOTBLK.*write loop: in front/);
  });

  it("that is read-only says so", async (t) => {
    if (lacksDisk(t, "ext4")) return;
    const defer = cleanup(t);
    const image = join(all.store.path, "read-only-disk");
    busyboxDisk(image, "ext4");
    const device = attach(image, ["-r"]);
    defer(() => {
      detach(device);
    });
    assert.match(await defineOn(all, "roblock", device).refuses(), /the device is read-only: add ro/);
    const guest = defineOn(all, "roblock", device, "lxc.rootfs.options = ro\n");
    await guest.start();
    await guest.kill();
  });

  it("that somebody else has for himself is refused", async (t) => {
    if (lacksDisk(t, "ext4")) return;
    const defer = cleanup(t);
    const image = join(all.store.path, "busy-disk");
    busyboxDisk(image, "ext4");
    const device = attach(image);
    defer(() => {
      detach(device);
    });
    const guest = defineOn(all, "busy", device);
    const mine = openSync(device, constants.O_RDWR | constants.O_EXCL);
    try {
      assert.match(await guest.refuses(), /mount the ext4 file system of .*: EBUSY.*it is in use otherwise/);
    } finally {
      closeSync(mine);
    }
    await guest.start();
    await guest.kill();
  });

  it("of a kind that nobody can start is refused before anything is done", async () => {
    assert.match(
      await defineOn(all, "nbd", "nbd:/srv/a.qcow2:1").refuses(),
      /a root file system of the kind nbd cannot be started/,
    );
  });
});

test("a container in a file reboots without a daemon, and leaves nothing when it ends then", async (t) => {
  if (lacksDisk(t, "ext4")) return;
  const own = await instance(t);
  const name = "islt-reboots";
  const image = join(own.store.path, "reboots.img");
  busyboxDisk(image, "ext4");
  mkdirSync(join(own.store.path, name));
  const init =
    'lxc.init.cmd = /bin/sh -c "echo x >> /root/runs; while ! test -e /root/go$(wc -l < /root/runs); do sleep 0.05; done; test $(wc -l < /root/runs) -lt 3 && exec reboot -f"\n';
  writeFileSync(join(own.store.path, name, "config"), busyboxConfig("/", name, init).replace("dir:/", `loop:${image}`));
  await own.ok(["lxc-start", ...own.store.at(name)]);
  await own.ok(["lxc-attach", ...own.store.at(name), "--", "touch", "/root/go1", "/root/go2"]);
  end(own.pid(), "SIGKILL");
  await waitFor(
    "the third run",
    async () =>
      (await own.command(["lxc-attach", ...own.store.at(name), "--", "cat", "/root/runs"])).stdout === "x\nx\nx\n",
  );
  assert.equal(loopsOf(own.store.path).length, 1);
  await own.ok(["lxc-attach", ...own.store.at(name), "--", "touch", "/root/go3"]);
  await waitFor("the loop device to let go", () => loopsOf(own.store.path).length === 0);
  assert.deepEqual(mountsWith(own.store.path), []);
  rmSync(image);
});

test("files of a container at rest are read and written where they are, and nothing is left afterwards", async (t) => {
  if (lacksDisk(t, "ext4") || lacks(t, "overlay")) return;
  const own = await instance(t);
  const image = join(own.store.path, "rest.img");
  busyboxDisk(image, "ext4");
  const lower = join(own.store.path, "lower");
  busyboxRootfs(lower);
  const paths = { "islt-loop": `loop:${image}`, "islt-over": `overlay:${lower}:${own.store.path}/islt-over/delta` };
  const islet = await connect({ runtimeDirectory: own.runtimeDir, store: own.store.path });
  cleanup(t)(() => islet.close());
  for (const [name, path] of Object.entries(paths)) {
    mkdirSync(join(own.store.path, name));
    writeFileSync(join(own.store.path, name, "config"), busyboxConfig("/", name).replace("dir:/", path));
    const guest = await islet.get(name);
    assert.ok(guest.state === "STOPPED");
    await guest.files.write("/root/hello", "from outside\n");
    assert.equal(await guest.files.read("/root/hello", "utf8"), "from outside\n");
    await waitFor("the loop device to let go", () => loopsOf(own.store.path).length === 0);
    assert.deepEqual(mountsWith(own.store.path), []);
    await own.ok(["lxc-start", ...own.store.at(name)]);
    assert.equal(await own.ok(["lxc-attach", ...own.store.at(name), "--", "cat", "/root/hello"]), "from outside\n");
    await own.ok(["lxc-stop", ...own.store.at(name), "-k"]);
  }
});

test("fifty containers in files start side by side", async (t) => {
  if (lacksDisk(t, "ext4")) return;
  const own = await instance(t);
  const first = join(own.store.path, "0.img");
  busyboxDisk(first, "ext4");
  const names = Array.from({ length: 50 }, (_, index) => `islt-many-${index + 1}`);
  for (const name of names) {
    const image = join(own.store.path, `${name}.img`);
    execFileSync("cp", ["--sparse=always", first, image]);
    mkdirSync(join(own.store.path, name));
    writeFileSync(join(own.store.path, name, "config"), busyboxConfig("/", name).replace("dir:/", `loop:${image}`));
  }
  const results = await Promise.all(
    names.map((name) => own.command(["lxc-start", ...own.store.at(name)], { timeout: 120_000 })),
  );
  assert.deepEqual(
    results.map(({ status, stderr }) => [status, stderr]).filter(([status]) => status !== 0),
    [],
  );
  assert.equal(loopsOf(own.store.path).length, 50);
  await Promise.all(names.map((name) => own.ok(["lxc-stop", ...own.store.at(name), "-k"], { timeout: 120_000 })));
  await waitFor("the loop devices to let go", () => loopsOf(own.store.path).length === 0);
});
