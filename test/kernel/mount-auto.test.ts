import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { command, ok } from "../support/command.js";
import { lacks } from "../support/skip.js";
import { type Guest, guests, mountsInside, type SeenMount } from "./guest.js";

/** The only automatic mounts are these. */
const auto = (words: string): string => `lxc.mount.auto =\nlxc.mount.auto = ${words}\n`;
const map = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\nlxc.rootfs.options = idmap=container\n";

describe("automatic mounts", () => {
  const { define, started, store } = guests();
  const writable = async (guest: Guest, path: string): Promise<boolean> =>
    (await guest.try(`test -w ${path} && : >> ${path}`)).status === 0;

  describe("proc:mixed and sys:mixed", () => {
    let guest: Guest;
    let mounts: ReadonlyMap<string, SeenMount>;
    before(async () => {
      guest = await started("mixed", auto("proc:mixed sys:mixed"));
      mounts = await mountsInside(guest);
    });
    it("proc is nosuid, nodev, noexec and itself writable", async () => {
      for (const word of ["rw", "nosuid", "nodev", "noexec"])
        assert.ok(mounts.get("/proc")?.options.includes(word), word);
      await guest.sh("echo 100 > /proc/self/oom_score_adj");
    });
    it("/proc/sys and /proc/sysrq-trigger are read-only", async () => {
      assert.ok(mounts.get("/proc/sys")?.options.includes("ro"));
      if (existsSync("/proc/sysrq-trigger")) assert.ok(mounts.get("/proc/sysrq-trigger")?.options.includes("ro"));
      assert.equal(await writable(guest, "/proc/sys/kernel/domainname"), false);
    });
    it("/proc/sys/net is writable", async () => {
      await guest.sh("echo 1 > /proc/sys/net/ipv4/ip_forward");
    });
    it("/sys is read-only but for devices/virtual/net", async () => {
      assert.ok(mounts.get("/sys")?.options.includes("ro"));
      assert.match((await guest.try("echo 0 > /sys/kernel/mm/ksm/run")).stderr, /Read-only|nonexistent/);
      await guest.sh("cat /sys/class/net/lo/mtu > /sys/class/net/lo/mtu");
    });
    it("shows the guest's own network interfaces", async () => {
      assert.equal(await guest.sh("ls /sys/class/net"), "lo");
    });
  });

  it("proc:mixed without CAP_NET_ADMIN leaves /proc/sys/net read-only too", async () => {
    const guest = await started("nonet", auto("proc:mixed") + "lxc.cap.drop = net_admin\n");
    assert.match((await guest.try("echo 1 > /proc/sys/net/ipv4/ip_forward")).stderr, /Read-only/);
  });

  it("proc alone means proc:mixed, sys alone sys:mixed", async () => {
    const mounts = await mountsInside(await started("short", auto("proc sys")));
    assert.ok(mounts.get("/proc/sys")?.options.includes("ro"));
    assert.ok(mounts.get("/sys/devices/virtual/net")?.options.includes("rw"));
  });

  it("proc:rw and sys:rw are writable", async () => {
    const guest = await started("rw", auto("proc:rw sys:rw"));
    const mounts = await mountsInside(guest);
    assert.ok(!mounts.has("/proc/sys") && mounts.get("/proc")?.options.includes("rw"));
    assert.ok(mounts.get("/sys")?.options.includes("rw"));
    assert.equal(await guest.sh("cat /proc/sys/kernel/domainname > /proc/sys/kernel/domainname && echo fine"), "fine");
  });

  it("sys:ro is read-only everywhere", async () => {
    const guest = await started("ro", auto("sys:ro proc"));
    assert.ok((await mountsInside(guest)).get("/sys")?.options.includes("ro"));
    assert.match((await guest.try("echo 1500 > /sys/class/net/lo/mtu")).stderr, /Read-only/);
  });

  it("without lxc.mount.auto neither is mounted", async () => {
    const guest = await started("bare", "lxc.mount.auto =\n");
    const mounts = await mountsInside(guest);
    assert.ok(!mounts.has("/proc") && !mounts.has("/sys"));
  });

  it("each run has a boot id of its own", async () => {
    const [one, two] = [await started("boota", auto("proc")), await started("bootb", auto("proc"))];
    const ids = [
      await one.sh("cat /proc/sys/kernel/random/boot_id"),
      await two.sh("cat /proc/sys/kernel/random/boot_id"),
      (await ok(["cat", "/proc/sys/kernel/random/boot_id"])).trim(),
    ];
    assert.equal(new Set(ids).size, 3, ids.join());
    for (const id of ids) assert.match(id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  });

  describe("cgroup", () => {
    /** Controllers of the host by the name of their directory. */
    const hierarchies = async (): Promise<readonly string[]> =>
      (await ok(["sh", "-c", "grep -o '/sys/fs/cgroup/[^ ]* .* - cgroup2\\? ' /proc/self/mountinfo | cut -d' ' -f1"]))
        .trim()
        .split("\n")
        .map((path) => path.slice("/sys/fs/cgroup/".length))
        .sort();

    it("is left to init with a cgroup namespace", async () => {
      const mounts = await mountsInside(await started("cgns", auto("proc sys cgroup:mixed")));
      assert.deepEqual(
        [...mounts.keys()].filter((point) => point.startsWith("/sys/fs/cgroup")),
        [],
      );
    });

    it("with :force is every hierarchy, rooted in the container's own cgroup, below a tmpfs", async (t) => {
      if (lacks(t, "cgroup1")) return;
      const guest = await started("forced", auto("proc sys cgroup:rw:force"));
      const mounts = await mountsInside(guest);
      assert.equal(mounts.get("/sys/fs/cgroup")?.fstype, "tmpfs");
      for (const name of await hierarchies()) {
        const mount = mounts.get(`/sys/fs/cgroup/${name}`);
        assert.ok(mount?.fstype.startsWith("cgroup"), name);
        assert.equal(mount?.root, "/lxc.payload.forced", name);
      }
      assert.equal(
        await guest
          .sh(
            "grep -c . /sys/fs/cgroup/memory/cgroup.procs | grep -v ^0; mkdir /sys/fs/cgroup/memory/inner && rmdir /sys/fs/cgroup/memory/inner && echo made",
          )
          .then((text) => text.split("\n").at(-1)),
        "made",
      );
    });

    const kept = "lxc.namespace.keep = cgroup\n";

    it("without a cgroup namespace shows only the container's own directory in each hierarchy", async (t) => {
      if (lacks(t, "cgroup1")) return;
      const guest = await started("own", kept + auto("proc sys cgroup:mixed"));
      const mounts = await mountsInside(guest);
      for (const name of await hierarchies()) {
        const seen = [...mounts].filter(([point]) => point.startsWith(`/sys/fs/cgroup/${name}`));
        assert.ok(
          seen.some(([, mount]) => mount.root === "/lxc.payload.own"),
          `${name}: ${JSON.stringify(seen)}`,
        );
        for (const [, mount] of seen)
          assert.ok(mount.fstype === "tmpfs" || mount.root.startsWith("/lxc.payload.own"), name);
      }
      assert.doesNotMatch(await guest.sh("find /sys/fs/cgroup -type d"), /lxc\.pivot|process_api/);
    });

    const ownDirectory = (name: string): string =>
      `d=/sys/fs/cgroup/memory; test -d $d/lxc.payload.${name} && d=$d/lxc.payload.${name}`;

    it("puts that directory where /proc/self/cgroup says it is", async (t) => {
      if (lacks(t, "cgroup1")) return;
      const guest = await started("placed", kept + auto("proc sys cgroup:rw"));
      const path = await guest.sh("grep :memory: /proc/1/cgroup | cut -d: -f3");
      assert.equal((await mountsInside(guest)).get(`/sys/fs/cgroup/memory${path}`)?.root, path);
      assert.match(await guest.sh(`cat /sys/fs/cgroup/memory${path}/cgroup.procs`), /^1$/m);
    });

    it("cgroup:mixed lets root make cgroups below its own", async (t) => {
      if (lacks(t, "cgroup1")) return;
      const guest = await started("cgmixed", kept + auto("proc sys cgroup:mixed"));
      await guest.sh(`${ownDirectory("cgmixed")}; mkdir $d/inner && rmdir $d/inner`);
      assert.match((await guest.try("mkdir /sys/fs/cgroup/new")).stderr, /Read-only/);
    });

    it("cgroup:ro lets it make none", async (t) => {
      if (lacks(t, "cgroup1")) return;
      const guest = await started("cgro", kept + auto("proc sys cgroup:ro"));
      assert.match((await guest.try(`${ownDirectory("cgro")}; mkdir $d/inner`)).stderr, /Read-only/);
    });

    it("cgroup-full:ro shows the host's whole tree, which cannot be written", async (t) => {
      if (lacks(t, "cgroup1")) return;
      const guest = await started("cgfull", kept + auto("proc sys cgroup-full:ro"));
      assert.match(await guest.sh("ls -d /sys/fs/cgroup/memory/lxc.payload.*"), /lxc\.payload\.cgfull/);
      assert.match((await guest.try("mkdir /sys/fs/cgroup/memory/lxc.payload.cgfull/inner")).stderr, /Read-only/);
    });

    it("cgroup-full:mixed lets it write below its own cgroup only", async (t) => {
      if (lacks(t, "cgroup1")) return;
      const guest = await started("cgfullmixed", kept + auto("proc sys cgroup-full:mixed"));
      await guest.sh(
        "mkdir /sys/fs/cgroup/memory/lxc.payload.cgfullmixed/inner && rmdir /sys/fs/cgroup/memory/lxc.payload.cgfullmixed/inner",
      );
      assert.match((await guest.try("mkdir /sys/fs/cgroup/memory/islt-new")).stderr, /Read-only/);
    });

    it("in a user namespace root may make cgroups below its own with :force", async (t) => {
      if (lacks(t, "cgroup1") || lacks(t, "userns")) return;
      const guest = await started("cguser", map + auto("proc sys cgroup:rw:force"));
      assert.equal(
        await guest.sh(
          "mkdir /sys/fs/cgroup/memory/inner && echo $$ > /sys/fs/cgroup/memory/inner/cgroup.procs && cat /proc/self/cgroup | grep memory | cut -d: -f3",
        ),
        "/inner",
      );
    });
  });

  it("shmounts lets later mounts of the host's directory appear inside", async () => {
    const shared = join(store.path, ".shared");
    mkdirSync(join(shared, "sub"), { recursive: true });
    await ok(["mount", "--bind", shared, shared]);
    try {
      await ok(["mount", "--make-shared", shared]);
      const guest = await started("shmounts", auto(`proc sys shmounts:${shared}`));
      assert.ok((await mountsInside(guest)).has("/dev/.lxc-mounts"));
      await ok(["mount", "-t", "tmpfs", "islt-late", join(shared, "sub")]);
      assert.equal((await mountsInside(guest)).get("/dev/.lxc-mounts/sub")?.source, "islt-late");
      await guest.sh("mount -t tmpfs islt-back /dev/.lxc-mounts/sub");
      assert.doesNotMatch(await ok(["cat", "/proc/self/mountinfo"]), /islt-back/);
      await guest.kill();
    } finally {
      await command(["umount", join(shared, "sub")]);
      await ok(["umount", shared]);
    }
    assert.ok(existsSync(shared));
  });

  it("in a user namespace proc and sys are mounted and guarded the same way", async (t) => {
    if (lacks(t, "userns")) return;
    const guest = await started("mapped", map + auto("proc:mixed sys:mixed"));
    const mounts = await mountsInside(guest);
    assert.ok(mounts.get("/proc/sys")?.options.includes("ro"));
    assert.ok(mounts.get("/sys")?.options.includes("ro"));
    await guest.sh("echo 1 > /proc/sys/net/ipv4/ip_forward");
    assert.equal(await guest.sh("ls /sys/class/net"), "lo");
    // The network namespace began with the ids mapped.
    assert.equal(await guest.sh("stat -c %u:%g /sys/class/net/lo/mtu /proc/net/dev"), "0:0\n0:0");
  });

  it("a bad word is an error with its line", async () => {
    assert.match(await define("badword", "lxc.mount.auto = proc:sideways\n").refuses(), /proc:sideways/);
  });
});
