import assert from "node:assert/strict";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { spawn, type ChildProcess } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { guests, type Guest } from "./guest.js";
import { lacks } from "../support/skip.js";
import { ok } from "../support/command.js";
import { bin, runtimeDir } from "../support/paths.js";
import { waitFor } from "../support/wait.js";

const kinds = ["mnt", "pid", "uts", "ipc", "net", "user", "cgroup", "time"] as const;
type Kind = (typeof kinds)[number];
/** Kernels may lack the one for time. */
const known = (...some: readonly Kind[]): readonly Kind[] => some.filter((kind) => existsSync(`/proc/self/ns/${kind}`));
const own = (kind: Kind): string => readlinkSync(`/proc/self/ns/${kind}`);
const of = (pid: number, kind: Kind): string => readlinkSync(`/proc/${pid}/ns/${kind}`);

const map = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";

/** The process that watches a container, from its title. */
async function monitorOf(guest: Guest): Promise<number> {
  const title = `[lxc monitor] ${guest.at[1] ?? ""} ${guest.name}`;
  const pids = (await ok(["pgrep", "-fx", title.replace(/[[\]]/g, "\\$&")])).trim().split("\n");
  assert.equal(pids.length, 1, pids.join(" "));
  return Number(pids[0]);
}

describe("namespaces", () => {
  const { define, started, store } = guests();

  it("without keys mount, pid, uts, ipc, net and cgroup namespaces are new, user and time are the host's", async () => {
    const pid = await (await started("plain")).pid();
    for (const kind of ["mnt", "pid", "uts", "ipc", "net", "cgroup"] as const)
      assert.notEqual(of(pid, kind), own(kind), kind);
    for (const kind of known("user", "time")) assert.equal(of(pid, kind), own(kind), kind);
  });

  it("attached processes are in every namespace of init", async () => {
    const guest = await started("attached");
    assert.equal(
      await guest.sh(
        `for k in ${known(...kinds).join(" ")}; do test $(readlink /proc/self/ns/$k) = $(readlink /proc/1/ns/$k) || echo $k; done`,
      ),
      "",
    );
  });

  it("keep leaves exactly the named namespaces the host's", async () => {
    const guest = define("keeps", "lxc.uts.name =\nlxc.net =\nlxc.namespace.keep = ipc net uts");
    await guest.start();
    const pid = await guest.pid();
    for (const kind of ["ipc", "net", "uts"] as const) assert.equal(of(pid, kind), own(kind), kind);
    for (const kind of ["mnt", "pid", "cgroup"] as const) assert.notEqual(of(pid, kind), own(kind), kind);
  });

  it("kept ones are the caller's, wherever the daemon lives", async () => {
    const guest = define("callers", "lxc.uts.name =\nlxc.net =\nlxc.namespace.keep = ipc net uts");
    const caller = spawn(
      "unshare",
      ["--net", "--uts", "--ipc", "sh", "-c", `${bin("lxc-start")} ${guest.at.join(" ")}; exec sleep 3600`],
      {
        stdio: "ignore",
        env: { ...process.env, ISLET_RUNTIME_DIR: runtimeDir },
      },
    );
    try {
      await waitFor("RUNNING", async () => (await guest.state()) === "RUNNING");
      const pid = await guest.pid();
      for (const kind of ["net", "uts", "ipc"] as const) assert.equal(of(pid, kind), of(caller.pid ?? 0, kind), kind);
      // A reboot comes back to them, though the caller is long gone.
      const net = of(pid, "net");
      caller.kill("SIGKILL");
      await guest.try("reboot -f");
      await waitFor(
        "a new init",
        async () => (await guest.state()) === "RUNNING" && ![0, pid].includes(await guest.pid()),
      );
      assert.equal(of(await guest.pid(), "net"), net);
    } finally {
      caller.kill("SIGKILL");
    }
  });

  it("a kept cgroup namespace shows the host's cgroup paths inside", async () => {
    const guest = await started("keepcg", "lxc.namespace.keep = cgroup");
    assert.equal(of(await guest.pid(), "cgroup"), own("cgroup"));
    assert.match(await guest.sh("cat /proc/1/cgroup"), /:\/lxc\.payload\.keepcg$/m);
  });

  it("with a cgroup namespace of its own init is at the root of every hierarchy", async () => {
    const guest = await started("newcg");
    for (const line of (await guest.sh("cat /proc/1/cgroup")).split("\n")) assert.match(line, /:\/$/);
  });

  it("clone makes exactly the named namespaces", async () => {
    const guest = await started("clones", "lxc.namespace.clone = mnt pid uts net");
    const pid = await guest.pid();
    for (const kind of ["mnt", "pid", "uts", "net"] as const) assert.notEqual(of(pid, kind), own(kind), kind);
    for (const kind of known("ipc", "cgroup", "user", "time")) assert.equal(of(pid, kind), own(kind), kind);
  });

  it("clone and keep together are refused", async () => {
    assert.match(await define("both", "lxc.namespace.clone = mnt\nlxc.namespace.keep = net").refuses(), /namespace/);
  });

  describe("shared with a running container", () => {
    let donor: Guest;
    before(async () => {
      donor = await started("donor", "lxc.uts.name = donor-host");
    });

    it("net, ipc and uts by its name", async () => {
      const guest = define(
        "byname",
        "lxc.net =\nlxc.uts.name =\nlxc.namespace.share.net = donor\nlxc.namespace.share.ipc = donor\nlxc.namespace.share.uts = donor",
      );
      await guest.start();
      const [pid, other] = [await guest.pid(), await donor.pid()];
      for (const kind of ["net", "ipc", "uts"] as const) assert.equal(of(pid, kind), of(other, kind), kind);
      for (const kind of ["mnt", "pid", "cgroup"] as const) assert.notEqual(of(pid, kind), of(other, kind), kind);
      assert.equal(await guest.sh("hostname"), "donor-host");
    });

    it("by its path", async () => {
      const guest = define("bypath", `lxc.net =\nlxc.namespace.share.net = ${store.path}/donor`);
      await guest.start();
      assert.equal(of(await guest.pid(), "net"), of(await donor.pid(), "net"));
    });

    it("a pid namespace: each sees the other's processes", async () => {
      const guest = define("pids", "lxc.init.cmd = /bin/sleep 3600\nlxc.namespace.share.pid = donor");
      await guest.start();
      const pid = await guest.pid();
      assert.equal(of(pid, "pid"), of(await donor.pid(), "pid"));
      assert.match(await donor.sh("ps -o comm"), /^sleep$/m);
      assert.match(await guest.sh("ps -o comm"), /^init$/m);
    });

    it("lxc-start --share-net and its kin do the same", async () => {
      const guest = define("byoption", "lxc.net =\nlxc.uts.name =");
      await guest.start(["--share-net", "donor", "--share-ipc", "donor", "--share-uts", "donor"]);
      const [pid, other] = [await guest.pid(), await donor.pid()];
      for (const kind of ["net", "ipc", "uts"] as const) assert.equal(of(pid, kind), of(other, kind), kind);
    });

    it("attach enters the shared namespaces too", async () => {
      const guest = define("entered", "lxc.net =\nlxc.namespace.share.net = donor");
      await guest.start();
      assert.equal(await guest.sh("readlink /proc/self/ns/net"), of(await donor.pid(), "net"));
    });

    it("works with an id map of its own, whose root may enter nothing of the host's", async (t) => {
      if (lacks(t, "userns")) return;
      const guest = define(
        "mapped",
        `lxc.net =\nlxc.uts.name =\n${map}lxc.namespace.share.net = donor\nlxc.namespace.share.uts = donor`,
      );
      await ok(["chown", "-hR", "100000:100000", guest.rootfs]);
      await guest.start();
      const [pid, other] = [await guest.pid(), await donor.pid()];
      for (const kind of ["net", "uts"] as const) assert.equal(of(pid, kind), of(other, kind), kind);
      assert.notEqual(of(pid, "user"), of(other, "user"));
    });

    it("hooks of the host run in the host's pid namespace all the same", async () => {
      const guest = define(
        "hooked",
        "lxc.init.cmd = /bin/sleep 3600\nlxc.namespace.share.pid = donor\nlxc.hook.start-host = /bin/sh -c 'readlink /proc/self/ns/pid > $(dirname $LXC_CONFIG_FILE)/seen; :'",
      );
      await guest.start();
      assert.equal(readFileSync(join(guest.directory, "seen"), "utf8").trim(), own("pid"));
    });

    it("a container that does not run is named in the error", async () => {
      assert.match(
        await define("orphan", "lxc.net =\nlxc.namespace.share.ipc = nobody").refuses(),
        /nobody.*ipc.*not running/,
      );
    });
  });

  describe("a user namespace shared with a running container", () => {
    let donor: Guest;
    before(async () => {
      donor = await started("mappeddonor", map);
    });
    const sharing = (name: string, more = ""): Guest =>
      define(name, `${map}lxc.namespace.share.user = mappeddonor\n${more}`);

    it("the container is root in it, with everything else of its own", async (t) => {
      if (lacks(t, "userns")) return;
      const guest = sharing("sameuser");
      await ok(["chown", "-hR", "100000:100000", guest.rootfs]);
      await guest.start();
      const [pid, other] = [await guest.pid(), await donor.pid()];
      assert.equal(of(pid, "user"), of(other, "user"));
      for (const kind of ["mnt", "pid", "uts", "ipc", "net", "cgroup"] as const)
        assert.notEqual(of(pid, kind), of(other, kind), kind);
      assert.equal(await guest.sh("id -u; stat -c %u /; touch /root/x && stat -c %u /root/x"), "0\n0\n0");
      assert.match(readFileSync(`/proc/${pid}/status`, "utf8"), /^Uid:\t100000\t100000\t100000\t100000$/m);
      assert.equal(await guest.sh("readlink /proc/self/ns/user"), of(other, "user"));
      assert.equal(
        readFileSync(`/proc/${pid}/status`, "utf8").match(/^PPid:\t(\d+)$/m)?.[1],
        String(await monitorOf(guest)),
      );
      await guest.kill();
      assert.equal(await donor.state(), "RUNNING");
    });
    it("with further namespaces of the same container", async (t) => {
      if (lacks(t, "userns")) return;
      const shared = ["net", "ipc", "uts", "pid"] as const;
      const guest = sharing(
        "sameall",
        `lxc.init.cmd = /bin/sleep 3600\nlxc.net =\nlxc.uts.name =\n${shared.map((kind) => `lxc.namespace.share.${kind} = mappeddonor\n`).join("")}`,
      );
      await ok(["chown", "-hR", "100000:100000", guest.rootfs]);
      await guest.start();
      const [pid, other] = [await guest.pid(), await donor.pid()];
      for (const kind of [...shared, "user"] as const) assert.equal(of(pid, kind), of(other, kind), kind);
      assert.match(await donor.sh("ps -o comm"), /^sleep$/m);
      assert.equal(await guest.sh("stat -c %u /"), "0");
      await guest.kill();
    });
    it("runs again after a reboot", async (t) => {
      if (lacks(t, "userns")) return;
      const guest = sharing("sameagain");
      await guest.start();
      const first = await guest.pid();
      await guest.try("reboot -f");
      await waitFor("another init", async () => {
        const pid = await guest.pid();
        return pid > 0 && pid !== first;
      });
      assert.equal(of(await guest.pid(), "user"), of(await donor.pid(), "user"));
      await guest.kill();
    });
    it("another map than that container's is an error that says so", async (t) => {
      if (lacks(t, "userns")) return;
      const other = "lxc.idmap = u 0 200000 65536\nlxc.idmap = g 0 200000 65536\n";
      assert.match(
        await define("othermap", `${other}lxc.namespace.share.user = mappeddonor`).refuses(),
        /config:\d+ lxc\.namespace\.share\.user.*same lxc\.idmap/,
      );
      assert.match(await define("nomap", "lxc.namespace.share.user = mappeddonor").refuses(), /same lxc\.idmap/);
    });
  });

  describe("shared with a process", () => {
    let holder: ChildProcess;
    before(async () => {
      holder = spawn(
        "unshare",
        [
          "--uts",
          "--ipc",
          "--net",
          "--mount",
          "--cgroup",
          ...known("time").map((kind) => `--${kind}`),
          "sleep",
          "3600",
        ],
        {
          stdio: "ignore",
        },
      );
      while (readlinkSync(`/proc/${holder.pid ?? 0}/exe`).includes("unshare")) await ok(["sleep", "0.05"]);
    });
    after(() => {
      holder.kill("SIGKILL");
    });

    for (const kind of ["uts", "ipc", "net", "cgroup", "time"] as const) {
      it(`the ${kind} namespace by its pid`, async (t) => {
        if (kind === "time" && lacks(t, "timens")) return;
        const guest = define(
          `pid${kind}`,
          `lxc.net =\nlxc.uts.name =\nlxc.namespace.share.${kind} = ${holder.pid ?? 0}`,
        );
        await guest.start();
        assert.equal(of(await guest.pid(), kind), of(holder.pid ?? 0, kind));
        await guest.kill();
      });
    }

    it("a process that is not there is an error that names it", async () => {
      assert.match(await define("nopid", "lxc.net =\nlxc.namespace.share.net = 999999").refuses(), /999999/);
    });
  });

  describe("time", () => {
    const uptime = async (guest: Guest): Promise<number> => Number((await guest.sh("cat /proc/uptime")).split(" ")[0]);
    const here = async (): Promise<number> => Number((await ok(["cat", "/proc/uptime"])).split(" ")[0]);

    it("an offset of the boot clock shows in the uptime inside", async (t) => {
      if (lacks(t, "timens")) return;
      const guest = await started("later", "lxc.time.offset.boot = 10h");
      assert.ok(Math.abs((await uptime(guest)) - (await here()) - 36000) < 5);
      assert.notEqual(of(await guest.pid(), "time"), own("time"));
    });

    it("an offset may be negative", async (t) => {
      if (lacks(t, "timens")) return;
      const guest = await started("earlier", "lxc.time.offset.boot = -30s\nlxc.time.offset.monotonic = -1500ms");
      assert.ok(Math.abs((await uptime(guest)) - (await here()) + 30) < 5);
      assert.equal(
        await guest.sh("cat /proc/self/timens_offsets | tr -s ' ' | tr '\\n' ';'"),
        "monotonic -2 500000000;boottime -30 0;",
      );
    });

    it("a clock that would be negative is an error that says so", async (t) => {
      if (lacks(t, "timens")) return;
      assert.match(await define("nobigbang", "lxc.time.offset.boot = -1000000h").refuses(), /negative/);
    });
  });

  for (const [how, line] of [
    ["kept", "lxc.namespace.keep = mnt"],
    ["left out", "lxc.namespace.clone = net uts"],
    ["shared", "lxc.namespace.share.mnt = donor"],
  ] as const) {
    it(`a mount namespace that is ${how} is refused: the start would take the root from the host`, async () => {
      const guest = define(`nomnt${how.slice(0, 4).trim()}`, line);
      assert.match(await guest.refuses(), /mount namespace of its own.*config:\d+ lxc\.namespace/);
    });
  }

  it("a user namespace comes with an id map, and root of it is no root outside", async (t) => {
    if (lacks(t, "userns")) return;
    const guest = define("userns", map);
    await ok(["chown", "-hR", "100000:100000", guest.rootfs]);
    await guest.start();
    const pid = await guest.pid();
    for (const kind of ["user", "mnt", "pid", "uts", "ipc", "net", "cgroup"] as const)
      assert.notEqual(of(pid, kind), own(kind), kind);
    assert.equal((await ok(["stat", "-c", "%u %g", `/proc/${pid}`])).trim(), "100000 100000");
    assert.equal(await guest.sh("tr -s ' ' < /proc/self/uid_map; id -u"), "0 100000 65536\n0");
  });
});
