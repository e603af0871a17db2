import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, test } from "node:test";
import { mountsWith } from "../support/disk.js";
import { end } from "../support/host.js";
import { instance } from "../support/instance.js";
import { lacks } from "../support/skip.js";
import { busyboxConfig, busyboxRootfs } from "../support/store.js";
import { waitFor } from "../support/wait.js";
import { guestOf, guests, mountsInside, type Guest } from "./guest.js";

const map = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";

describe("root file system over others", () => {
  const { store } = guests();
  const define = (name: string, path: string, config = ""): Guest => {
    mkdirSync(join(store.path, name), { recursive: true });
    const text = busyboxConfig("/", name, config).replace("dir:/", path);
    writeFileSync(join(store.path, name, "config"), text);
    return guestOf(store, name, "");
  };
  const lower = (name: string): string => {
    const path = join(store.path, `lower-${name}`);
    busyboxRootfs(path);
    return path;
  };
  const layer = (name: string, files: Readonly<Record<string, string>>): string => {
    const path = join(store.path, `layer-${name}`);
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(join(path, file, ".."), { recursive: true });
      writeFileSync(join(path, file), text);
    }
    return path;
  };

  it("keeps what is written in its upper layer, which is made, and leaves the lower one as it is", async (t) => {
    if (lacks(t, "overlay")) return;
    const below = lower("one");
    const before = readdirSync(below).sort();
    const upper = join(store.path, "one/overlay/delta");
    const guest = define("one", `overlay:${below}:${upper}`);
    for (const round of ["1", "2"]) {
      await guest.start();
      assert.equal(await guest.sh("echo x >> /root/rounds; wc -l < /root/rounds"), round);
      if (round === "1") await guest.sh("rm /etc/group; rm -r /mnt; mkdir /mnt; chmod 700 /var");
      assert.match((await guest.try("cat /etc/group")).stderr, /No such file/);
      assert.equal((await mountsInside(guest)).get("/")?.fstype, "overlay");
      await guest.kill();
    }
    assert.equal(readFileSync(join(upper, "root/rounds"), "utf8"), "x\nx\n");
    // A whiteout: device 0:0.
    assert.equal(lstatSync(join(upper, "etc/group")).rdev, 0);
    assert.ok(lstatSync(join(upper, "etc/group")).isCharacterDevice());
    assert.ok(existsSync(join(below, "etc/group")) && !existsSync(join(below, "root/rounds")));
    assert.deepEqual(readdirSync(below).sort(), before);
    assert.deepEqual(readdirSync(join(store.path, "one/overlay")).sort(), ["delta", "work"]);
    assert.deepEqual(mountsWith(store.path), []);
  });

  it("of three lower layers finds the topmost first", async (t) => {
    if (lacks(t, "overlay")) return;
    const [c, b] = [layer("c", { "etc/who": "c" }), layer("b", { "etc/who": "b", "etc/b": "b" })];
    const guest = define("three", `overlayfs:${c}:${b}:${lower("three")}:${store.path}/three/delta0`);
    await guest.start();
    assert.equal(await guest.sh("cat /etc/who /etc/b"), "cb");
    assert.equal(await guest.sh("rm /etc/who; ls /etc/who 2>&1 | wc -l; echo d > /etc/who; cat /etc/who"), "1\nd");
    await guest.kill();
    assert.equal(readFileSync(join(c, "etc/who"), "utf8"), "c");
  });

  it("with so many layers of long names that an option cannot hold them starts all the same", async (t) => {
    if (lacks(t, "overlay")) return;
    const above = Array.from({ length: 60 }, (_, index) =>
      layer(`${"x".repeat(100)}-${index}`, { [`etc/layer${index}`]: String(index) }),
    );
    const guest = define("many", `overlay:${above.join(":")}:${lower("many")}:${store.path}/many/delta`);
    await guest.start();
    assert.equal(await guest.sh("cat /etc/layer59; echo; ls /etc | grep -c layer; touch /root/x"), "59\n60");
    await guest.kill();
    assert.ok(existsSync(join(store.path, "many/delta/root/x")));
    assert.deepEqual(mountsWith(store.path), []);
  });

  it("is mapped for a container with ids of its own: on the disk all belongs to root", async (t) => {
    if (lacks(t, "overlay") || lacks(t, "userns")) return;
    const upper = join(store.path, "mapped/delta");
    const guest = define(
      "mapped",
      `overlay:${lower("mapped")}:${upper}`,
      `${map}lxc.rootfs.options = idmap=container\n`,
    );
    for (const round of ["1", "2"]) {
      await guest.start();
      assert.equal(await guest.sh("echo x >> /root/rounds; wc -l < /root/rounds"), round);
      assert.equal(await guest.sh("echo >> /etc/passwd; stat -c %u:%g / /etc/passwd /root/rounds | sort -u"), "0:0");
      assert.equal(await guest.sh("touch /tmp/a; chown 7:8 /tmp/a; stat -c %u:%g /tmp/a"), "7:8");
      assert.equal(await guest.sh("rm -rf /var; mkdir /var; ls -A /var | wc -l"), "0");
      await guest.kill();
    }
    for (const [file, uid] of [
      ["", 0],
      ["root/rounds", 0],
      ["etc/passwd", 0],
      ["tmp/a", 7],
    ] as const)
      assert.equal(statSync(join(upper, file)).uid, uid, file);
    assert.deepEqual(mountsWith(store.path), []);
  });

  it("whose files have the ids of the host already is used as it is, and a new upper layer is the container's", async (t) => {
    if (lacks(t, "overlay") || lacks(t, "userns")) return;
    const below = lower("shifted");
    execFileSync("chown", ["-hR", "100000:100000", below]);
    const upper = join(store.path, "shifted/delta");
    const guest = define("shifted", `overlay:${below}:${upper}`, map);
    await guest.start();
    assert.equal(await guest.sh("touch /mine /root/mine; stat -c %u / /mine /root/mine | sort -u"), "0");
    await guest.kill();
    assert.deepEqual([statSync(upper).uid, statSync(join(upper, "mine")).uid], [100000, 100000]);
  });

  for (const [name, config] of [
    ["forgets", ""],
    ["forgets-mapped", `${map}lxc.rootfs.options = idmap=container\n`],
  ] as const) {
    it(`on a tmpfs begins anew at every start, and at every reboot${config === "" ? "" : ", mapped"}`, async (t) => {
      if (lacks(t, "overlay") || (config !== "" && lacks(t, "userns"))) return;
      const below = lower(name);
      const guest = define(name, `dir:${below}`, `islet.rootfs.upper = tmpfs:8M\n${config}`);
      await guest.start();
      assert.equal(await guest.sh("stat -c %u:%g /; echo x > /root/x; rm /etc/group; ls /root"), "0:0\nx");
      assert.match((await guest.try("dd if=/dev/zero of=/root/big bs=1M count=20")).stderr, /No space left/);
      const before = await guest.pid();
      await guest.try("reboot -f");
      await waitFor("the reboot", async () => {
        const pid = await guest.pid();
        return pid > 0 && pid !== before && (await guest.state()) === "RUNNING";
      });
      assert.equal(await guest.sh("ls /root; ls /etc/group"), "/etc/group");
      await guest.kill();
      assert.deepEqual(readdirSync(join(below, "root")), []);
      assert.deepEqual(readdirSync(join(store.path, name)), ["config"]);
      assert.deepEqual(mountsWith(store.path), []);
    });
  }

  it("on a tmpfs lies over all the layers of another one, the upper layer among them", async (t) => {
    if (lacks(t, "overlay")) return;
    const [b, upper] = [layer("fb", { "etc/who": "b", "etc/b": "b" }), layer("fu", { "etc/who": "upper" })];
    const guest = define("over-all", `overlay:${b}:${lower("fa")}:${upper}`, "islet.rootfs.upper = tmpfs\n");
    await guest.start();
    assert.equal(await guest.sh("cat /etc/who /etc/b; echo x > /etc/who"), "upperb");
    await guest.kill();
    assert.equal(readFileSync(join(upper, "etc/who"), "utf8"), "upper");
  });

  it("with the option ro cannot be written", async (t) => {
    if (lacks(t, "overlay")) return;
    const guest = define("ro", `overlay:${lower("ro")}:${store.path}/ro/delta`, "lxc.rootfs.options = ro,noatime\n");
    await guest.start();
    assert.match((await guest.try("touch /root/x")).stderr, /Read-only file system/);
    assert.ok((await mountsInside(guest)).get("/")?.options.includes("noatime"));
    await guest.kill();
  });

  it("of which a layer is missing, no directory, or cannot be written is named in a line", async (t) => {
    if (lacks(t, "overlay")) return;
    const below = lower("faults");
    const refused = async (path: string, pattern: RegExp, config = ""): Promise<void> => {
      const text = await define("faults", path, config).refuses();
      assert.match(text.split("\n")[0] ?? "", pattern);
      assert.match(text.split("\n")[0] ?? "", /faults\/config:1 lxc\.rootfs\.path/);
      assert.deepEqual(mountsWith(store.path), []);
    };
    const upper = `${store.path}/faults/delta`;
    const mapped = `${map}lxc.rootfs.options = idmap=container\n`;
    await refused(`overlay:${store.path}/nowhere:${upper}`, /ENOENT.*a layer is missing, of .*nowhere/);
    await refused(
      `overlay:${store.path}/nowhere:${upper}`,
      /take the layer .*nowhere: ENOENT.*the layer is missing/,
      mapped,
    );
    await refused(`overlay:${below}:${store.path}/nowhere/x/delta`, /ENOENT.*nowhere\/x is missing/);
    await refused(`overlay:${below}/etc/passwd:${upper}`, /E(NOTDIR|INVAL).*a layer is no(t a)? directory/);
    // The kernel makes an overlay read-only where it cannot use the work directory, and says nothing.
    mkdirSync(join(store.path, "stuck"), { recursive: true });
    mkdirSync(join(store.path, "stuck/work/work"), { recursive: true });
    const stuck = `overlay:${below}:${store.path}/stuck/delta`;
    execFileSync("chattr", ["+i", join(store.path, "stuck/work")]);
    try {
      await refused(stuck, /cannot write to the overlay .*EROFS.*the work directory beside that cannot be written/);
    } finally {
      execFileSync("chattr", ["-i", join(store.path, "stuck/work")]);
    }
  });

  it("whose layers lie in one another, or that is aufs, is refused with its line", async () => {
    assert.match(await define("aufs", "aufs:/a:/b").refuses(), /no kernel of today has aufs.*config:1/);
    assert.match(await define("nested", "overlay:/a:/a/b").refuses(), /lie in one another.*config:1/);
  });
});

test("an overlay reboots without a daemon, and leaves nothing when it ends then", async (t) => {
  if (lacks(t, "overlay")) return;
  const own = await instance(t);
  const name = "islt-over";
  const lower = join(own.store.path, "lower");
  busyboxRootfs(lower);
  mkdirSync(join(own.store.path, name));
  const init =
    'lxc.init.cmd = /bin/sh -c "echo x >> /root/runs; while ! test -e /root/go$(wc -l < /root/runs); do sleep 0.05; done; test $(wc -l < /root/runs) -lt 3 && exec reboot -f"\n';
  const upper = join(own.store.path, name, "delta");
  writeFileSync(
    join(own.store.path, name, "config"),
    busyboxConfig("/", name, `${init}${map}lxc.rootfs.options = idmap=container\n`).replace(
      "dir:/",
      `overlay:${lower}:${upper}`,
    ),
  );
  await own.ok(["lxc-start", ...own.store.at(name)]);
  end(own.pid(), "SIGKILL");
  for (const run of ["1", "2", "3"]) {
    await waitFor(`run ${run}`, () => readFileSync(join(upper, "root/runs"), "utf8") === "x\n".repeat(Number(run)));
    await own.ok(["lxc-attach", ...own.store.at(name), "--", "touch", `/root/go${run}`]);
    if (run !== "3") end(own.pid(), "SIGKILL");
  }
  await own.ok(["lxc-wait", ...own.store.at(name), "-s", "STOPPED", "-t", "20"]);
  assert.deepEqual(mountsWith(own.store.path), []);
});
