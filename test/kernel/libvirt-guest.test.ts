import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { command } from "../support/command.js";
import { consoles, domain } from "../support/domain.js";
import { lacks } from "../support/skip.js";
import { hasLine, mountsOf, statusOf } from "./guest.js";
import { domains, says } from "./libvirt-guest.js";

const privnet = { ...domain().features, privnet: true };

describe("the main process of a domain", () => {
  test("has libvirt's environment, in libvirt's order, and nothing else", async (t) => {
    const host = domains(t);
    const { pid } = await host.start("islt-lv-env", { consoles: consoles(3) });
    assert.deepEqual(readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").filter(Boolean), [
      "PATH=/bin:/usr/bin",
      "TERM=linux",
      "container=lxc-libvirt",
      "HOME=/",
      "container_uuid=11111111-2222-3333-4444-555555555555",
      "container_ttys=pts/1 pts/2",
      "LIBVIRT_LXC_UUID=11111111-2222-3333-4444-555555555555",
      "LIBVIRT_LXC_NAME=islt-lv-env",
    ]);
  });

  test("is pid 1 of a session of its own, with the console, no other descriptor and the usual umask", async (t) => {
    const host = domains(t);
    const script =
      "echo $$; ls /proc/self/fd | wc -l; readlink /proc/self/fd/0; umask; pwd; cat /proc/self/oom_score_adj; cut -d' ' -f6,7 /proc/1/stat";
    const { os } = says(script);
    assert.ok(os);
    const guest = await host.start("islt-lv-one", { os: { ...os, initDir: "/root" } });
    // ls has its own directory, and the output is a file: 0, 1, 2 and that.
    assert.equal(await guest.output(), ["1", "4", "/dev/pts/0", "0022", "/root", "0", "1 0"].join("\n"));
  });

  test("runs as on a machine of 32 bits where the document says so", async (t) => {
    if (lacks(t, "linux32")) return;
    const host = domains(t);
    const { os } = says("uname -m");
    assert.ok(os);
    const guest = await host.start("islt-lv-i686", { os: { ...os, arch: "i686" } });
    assert.equal(await guest.output(), "i686");
  });

  test("has the capabilities that libvirt leaves, and those alone that a document asks for", async (t) => {
    const host = domains(t);
    const sets = async (name: string, changes: Parameters<typeof host.start>[1]): Promise<readonly string[]> => {
      const { pid } = await host.start(name, changes);
      const status = statusOf(readFileSync(`/proc/${pid}/status`, "utf8"));
      return ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"].map(
        (key) => status[key] ?? "",
      );
    };
    const own = BigInt(`0x${statusOf(readFileSync("/proc/self/status", "utf8"))["CapBnd"] ?? ""}`);
    const text = (set: bigint): string => (set & own).toString(16).padStart(16, "0");
    const none = text(0n);
    const usual = text(0x1ffffffffffn & ~[16n, 25n, 27n, 30n, 33n].reduce((set, bit) => set | (1n << bit), 0n));
    assert.deepEqual(await sets("islt-lv-caps", {}), [none, usual, usual, usual, none, "0", "0"]);
    const states = ["mknod", "chown"].map((name) => ({ name, on: true }));
    const few = text(0x8000001n);
    const features = { ...domain().features, capabilities: { policy: "deny", states } } as const;
    const kept = { ...says("true"), features };
    assert.deepEqual(await sets("islt-lv-few", kept), [none, few, few, few, none, "0", "0"]);
  });

  test("has the domain's name without what no host name may have", async (t) => {
    const host = domains(t);
    const guest = await host.start("islt lv_host.1");
    assert.equal(await guest.sh("hostname"), "isltlvhost1");
  });

  test("gets the descriptors that are passed as 3, 4 and so on, with no gap", async (t) => {
    const host = domains(t);
    const { openSync, closeSync } = await import("node:fs");
    const fds = ["/dev/zero", "/dev/null"].map((path) => openSync(path, "r"));
    t.after(() => {
      for (const fd of fds) closeSync(fd);
    });
    const script = "for fd in 3 4 5; do readlink /proc/1/fd/$fd; done; echo $LISTEN_PID $LISTEN_FDS";
    const guest = await host.start("islt-lv-fds", says(script), { listen: { fds, names: null } });
    assert.equal(await guest.output(), "/dev/zero\n/dev/null\n1 2");
  });
});

describe("what a domain finds", () => {
  test("are libvirt's mounts, the kernel's settings read-only", async (t) => {
    const host = domains(t);
    const { pid, sh } = await host.start("islt-lv-mnt");
    const mounts = mountsOf(readFileSync(`/proc/${pid}/mountinfo`, "utf8"));
    const seen = (path: string, ...words: readonly string[]): void => {
      const mount = mounts.get(path);
      assert.ok(mount, path);
      for (const word of words) assert.ok(mount.options.includes(word) || mount.fstype === word, `${path}: ${word}`);
    };
    seen("/proc", "proc", "rw", "nosuid", "nodev", "noexec");
    seen("/proc/sys", "proc", "ro", "nosuid", "nodev", "noexec");
    seen("/sys", "sysfs", "ro", "nosuid", "nodev", "noexec");
    seen("/dev", "tmpfs", "rw", "nosuid");
    seen("/dev/pts", "devpts", "rw", "nosuid", "noexec");
    // The network is the host's: so are its settings.
    assert.equal(mounts.get("/proc/sys/net"), undefined);
    assert.match(
      await sh("echo 1 > /proc/sys/net/ipv4/ip_forward || echo refused; df -k /dev | tail -1"),
      /refused\n\S+\s+64 /,
    );
    const order = [...mounts.keys()].filter((path) => /^\/(?:|proc|proc\/sys|sys|dev|dev\/pts)$/.test(path));
    assert.deepEqual(order, ["/", "/dev", "/proc", "/proc/sys", "/sys", "/dev/pts"]);
  });

  test("is the setting of its own network, writable", async (t) => {
    const host = domains(t);
    const { sh } = await host.start("islt-lv-net", { features: privnet });
    assert.equal(
      await sh("echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward; ls /sys/class/net"),
      "1\nlo",
    );
    assert.match(await sh("ip link show lo"), /LOOPBACK,UP/);
  });

  test("of the control groups are its own alone; the limits are above them", async (t) => {
    const host = domains(t);
    const guest = await host.start("islt-lv-cg", { ...says("cat /proc/self/cgroup"), memory: 65536n });
    for (const line of (await guest.output()).split("\n")) assert.match(line, /:\/$/, line);
    const path = "/machine/lxc-11111111-islt-lv-cg.libvirt-lxc";
    for (const line of readFileSync(`/proc/${guest.pid}/cgroup`, "utf8").trim().split("\n"))
      assert.match(line.split(":").slice(2).join(":"), new RegExp(`^${path}(?:/guest)?$`));
    const [limit] = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].flatMap((mount) =>
      ["memory.limit_in_bytes", "memory.max"].map((file) => join(mount, path, file)).filter((file) => existsSync(file)),
    );
    assert.ok(limit);
    assert.equal(readFileSync(limit, "utf8").trim(), String(65536 * 1024));
    assert.equal(await guest.sh("find /sys/fs/cgroup -name '*machine*' -o -name '*libvirt*'"), "");
  });

  test("are libvirt's device nodes, the console being tty1 as well", async (t) => {
    const host = domains(t);
    const { sh } = await host.start("islt-lv-dev", { consoles: consoles(2) });
    const listed = await sh(
      "cd /dev && stat -c '%n %t:%T %a %u:%g' console full null ptmx random tty tty1 tty2 urandom zero",
    );
    assert.equal(
      listed,
      [
        "console 88:0 620 0:5",
        "full 1:7 666 0:0",
        "null 1:3 666 0:0",
        "ptmx 5:2 666 0:0",
        "random 1:8 666 0:0",
        "tty 5:0 666 0:0",
        "tty1 88:0 620 0:5",
        "tty2 88:1 620 0:5",
        "urandom 1:9 666 0:0",
        "zero 1:5 666 0:0",
      ].join("\n"),
    );
    assert.equal(
      await sh("cd /dev && ls | tr '\\n' ' '; for l in fd stdin stdout stderr; do readlink $l; done"),
      [
        "console fd full null ptmx pts random stderr stdin stdout tty tty1 tty2 urandom zero /proc/self/fd",
        "/proc/self/fd/0",
        "/proc/self/fd/1",
        "/proc/self/fd/2",
      ].join("\n"),
    );
  });

  test("is no device that it was not given, not even with mknod", async (t) => {
    const host = domains(t);
    const script =
      "mknod /dev/kmsg c 1 11; head -c1 /dev/kmsg; mknod /z c 1 5 && head -c1 /z | wc -c; dd if=/dev/net/tun bs=1 count=1";
    const capabilities = { policy: "default", states: [{ name: "mknod", on: true }] } as const;
    const changes = {
      ...says(script),
      features: { ...domain().features, capabilities },
      hostdevs: [{ kind: "misc", char: "/dev/net/tun" }],
    } as const;
    const output = await (await host.start("islt-lv-node", changes)).output();
    assert.match(output, /kmsg: Operation not permitted/);
    hasLine(output, "1");
    // Opened, but no interface is joined with it yet.
    assert.match(output, /File descriptor in bad state/);
    const without = await (await host.start("islt-lv-nodes", says("mknod /z c 1 5"))).output();
    assert.match(without, /Operation not permitted/);
  });
});

describe("a domain with ids of its own", () => {
  const range = (target: number): { start: number; target: number; count: number }[] => [
    { start: 0, target, count: 65536 },
  ];

  test("has them, and a console and a /dev that belong to its root", async (t) => {
    const host = domains(t);
    for (const [name, features] of [
      ["islt-lv-idn", privnet],
      ["islt-lv-idh", domain().features],
    ] as const) {
      const rootfs = host.rootfs(name);
      await command(["chown", "-R", "100000:200000", rootfs]);
      const doc = {
        ...says(
          "id -u; cat /proc/self/uid_map; stat -c '%u %g' /dev/console /dev /dev/null; ls /sys/fs/cgroup | wc -l",
        ),
        idmap: { uids: range(100000), gids: range(200000) },
        features,
      };
      const output = (await (await host.start(name, doc)).output())
        .split("\n")
        .map((line) => line.trim().replace(/\s+/g, " "));
      assert.deepEqual(output.slice(0, 5), ["0", "0 100000 65536", "0 5", "0 0", "65534 65534"], name);
      assert.notEqual(output[5], "0");
    }
  });
});

test("when a domain has ended nothing of it is left, neither beside it nor in its root", async (t) => {
  const host = domains(t);
  const guest = await host.start("islt-lv-end", { features: privnet });
  const before = readdirSync(guest.rootfs).sort();
  assert.ok(!before.includes(".oldroot"));
  await guest.kill();
  assert.equal(host.engine.registry.get({ storePath: host.store.path, name: "islt-lv-end" }), undefined);
  for (const mount of readdirSync("/sys/fs/cgroup"))
    assert.equal(existsSync(join("/sys/fs/cgroup", mount, "machine/lxc-11111111-islt-lv-end.libvirt-lxc")), false);
});
