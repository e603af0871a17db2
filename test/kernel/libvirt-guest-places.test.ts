import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { command } from "../support/command.js";
import { domain, filesystem } from "../support/domain.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";
import { statusOf } from "./guest.js";
import { domains, says } from "./libvirt-guest.js";

describe("the file systems of a domain", () => {
  test("are binds, memory and what lies inside, in the order of the document", async (t) => {
    const host = domains(t);
    const root = host.rootfs("islt-lv-fs");
    const outside = join(host.store.path, "outside");
    mkdirSync(join(outside, "sub"), { recursive: true });
    writeFileSync(join(outside, "hosts"), "127.0.0.1 here\n");
    const guest = await host.start("islt-lv-fs", {
      filesystems: [
        filesystem({ kind: "mount", dir: root }, "/"),
        filesystem({ kind: "mount", dir: outside }, "/srv/www", { readonly: true }),
        filesystem({ kind: "mount", dir: join(outside, "hosts") }, "/etc/hosts"),
        filesystem({ kind: "bind", dir: "/srv" }, "/again"),
        filesystem({ kind: "ram", usage: 1024n }, "/tmp"),
      ],
    });
    const { sh } = guest;
    assert.equal(await sh("ls /srv/www; cat /etc/hosts; ls /again"), "hosts\nsub\n127.0.0.1 here\nwww");
    assert.equal(await sh("touch /srv/www/x || echo refused; echo more >> /etc/hosts; ls -A /again/www"), "refused");
    assert.match(readFileSync(join(outside, "hosts"), "utf8"), /more/);
    assert.match(await sh("grep ' /tmp ' /proc/mounts"), /^tmpfs \/tmp tmpfs rw,nosuid,nodev,.*size=1024k/);
  });

  test("may be a root that is read-only with all below it, and is written to on top", async (t) => {
    const host = domains(t);
    const root = host.rootfs("islt-lv-ro");
    const guest = await host.start("islt-lv-ro", {
      filesystems: [
        filesystem({ kind: "mount", dir: root }, "/", { readonly: true }),
        filesystem({ kind: "ram", usage: 1024n }, "/tmp"),
      ],
    });
    assert.equal(
      await guest.sh("touch /x || echo refused; touch /tmp/x && ls /tmp; : > /dev/x && echo dev"),
      "refused\nx\ndev",
    );
  });

  test("are locked for a guest with ids of its own: its root cannot make them writable", async (t) => {
    if (lacks(t, "userns")) return;
    const host = domains(t);
    const root = host.rootfs("islt-lv-lock");
    await command(["chown", "-R", "100000:100000", root]);
    const range = [{ start: 0, target: 100000, count: 65536 }];
    const script =
      "mount -o remount,rw,bind / && touch /x; mount -o remount,bind,rw /srv && touch /srv/x; ls / /srv | grep -c x$ > /tmp/count; exec sleep 1000";
    mkdirSync(join(root, "srv"));
    const guest = await host.start("islt-lv-lock", {
      filesystems: [
        filesystem({ kind: "mount", dir: root }, "/", { readonly: true }),
        filesystem({ kind: "ram", usage: 64n }, "/tmp"),
      ],
      idmap: { uids: range, gids: range },
      os: { ...domain().os, init: "/bin/sh", initArgs: ["-c", script] },
    });
    await waitFor("its attempts", async () => (await guest.try("cat /tmp/count")).stdout !== "");
    assert.equal(await guest.sh("cat /tmp/count"), "0");
  });

  test("may be in a file, whatever it is that is in it", async (t) => {
    if (lacks(t, "loop")) return;
    const host = domains(t);
    const root = host.rootfs("islt-lv-img");
    const image = join(host.store.path, "data.img");
    execFileSync("truncate", ["-s", "8M", image]);
    execFileSync("mkfs.ext4", ["-q", image]);
    const filesystems = [
      filesystem({ kind: "mount", dir: root }, "/"),
      filesystem({ kind: "file", file: image, driver: "loop", format: "raw" }, "/data"),
    ];
    const guest = await host.start("islt-lv-img", { filesystems });
    assert.match(await guest.sh("echo kept > /data/x; grep ' /data ' /proc/mounts"), /^\/dev\/loop\d+ \/data ext4 rw/);
    await guest.kill();
    const again = await host.start("islt-lv-img", { filesystems });
    assert.equal(await again.sh("cat /data/x"), "kept");
  });

  test("are the host's where the document names none", async (t) => {
    const host = domains(t);
    const { os } = says("");
    assert.ok(os);
    const guest = await host.start("islt-lv-host", {
      filesystems: [filesystem({ kind: "mount", dir: "/" }, "/", { readonly: true })],
      os: { ...os, initArgs: ["-c", "sleep 1000"] },
    });
    assert.equal(
      await guest.sh("cat /etc/hostname 2>/dev/null; cat /proc/1/comm"),
      `${existsSync("/etc/hostname") ? readFileSync("/etc/hostname", "utf8") : ""}sh`.trim(),
    );
    assert.equal(await guest.sh("touch /islt-lv-x 2>/dev/null || echo refused; ls /dev | wc -l"), "refused\n14");
  });
});

describe("the main process of a domain", () => {
  test("is the user of the guest's whom the document names, on a console of its own", async (t) => {
    const host = domains(t);
    const root = host.rootfs("islt-lv-user");
    appendFileSync(join(root, "etc/passwd"), "web:x:1000:100::/:/bin/sh\n");
    appendFileSync(join(root, "etc/group"), "users:x:100:\nwww:x:33:web\n");
    const os = { ...domain().os, init: "/bin/sh", initArgs: ["-c", "sleep 1000"], initUser: "web" };
    const { pid } = await host.start("islt-lv-user", { os });
    const status = statusOf(readFileSync(`/proc/${pid}/status`, "utf8"));
    assert.equal(status["Uid"], "1000\t1000\t1000\t1000");
    assert.equal(status["Gid"], "100\t100\t100\t100");
    assert.equal(status["Groups"], "33 100");
    assert.equal(status["CapEff"], "0000000000000000");
    const owner = await command([
      "nsenter",
      "-t",
      String(pid),
      "-m",
      "stat",
      "-c",
      "%u %g",
      "/dev/console",
      "/dev/pts/0",
    ]);
    assert.equal(owner.stdout, "1000 5\n1000 5\n");
    await assert.rejects(host.start("islt-lv-nobody", { os: { ...os, initUser: "nope" } }), /User nope doesn't exist/);
  });

  test("is started again when it asks for a reboot, unless the document says that this is its end", async (t) => {
    const host = domains(t);
    const script = "echo run >> /runs; [ $(wc -l < /runs) = 1 ] || exec sleep 1000; reboot -f";
    const os = { ...domain().os, init: "/bin/sh", initArgs: ["-c", script] };
    const runs = (root: string): string =>
      existsSync(join(root, "runs")) ? readFileSync(join(root, "runs"), "utf8") : "";
    const again = await host.start("islt-lv-boot", { os });
    await waitFor("the second start", () => runs(again.rootfs) === "run\nrun\n");
    const once = await host.start("islt-lv-once", { os, onReboot: "destroy" });
    const id = { storePath: host.store.path, name: "islt-lv-once" };
    await waitFor("its end", () => host.engine.registry.get(id) === undefined);
    assert.equal(runs(once.rootfs), "run\n");
  });
});

test("a start that fails leaves nothing, wherever it fails", async (t) => {
  const host = domains(t);
  const root = host.rootfs("islt-lv-fail");
  const before = readdirSync(root).sort();
  const groups = (): readonly string[] =>
    readdirSync("/sys/fs/cgroup").filter((mount) =>
      existsSync(join("/sys/fs/cgroup", mount, "machine/lxc-11111111-islt-lv-fail.libvirt-lxc")),
    );
  let failed = 0;
  for (let operation = 5; operation < 2000; operation += 23) {
    try {
      const { kill } = await host.start(
        "islt-lv-fail",
        { features: { ...domain().features, privnet: true } },
        { failOperation: operation },
      );
      await kill();
    } catch (error) {
      failed += 1;
      assert.match(String(error), /EIO/, String(operation));
    }
    assert.deepEqual(groups(), [], `operation ${operation}`);
    assert.deepEqual(readdirSync(root).sort(), before, `operation ${operation}`);
  }
  assert.ok(failed > 5);
});
