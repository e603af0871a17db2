import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { doctorText, wrap } from "../../../../src/frontends/lxc/commands/islet/doctor.js";
import { examine, freeRange } from "../../../../src/frontends/lxc/commands/islet/doctor-examine.js";
import type { DoctorFacts, Finding } from "../../../../src/frontends/lxc/commands/islet/doctor-facts.js";
import { wantedPrograms } from "../../../../src/frontends/lxc/commands/islet/doctor-programs.js";
import { isLocked, mountOf } from "../../../../src/frontends/lxc/commands/islet/doctor-read.js";
import { widthOf } from "../../../../src/frontends/lxc/commands/look.js";

const allModules = [
  "veth",
  "bridge",
  "macvlan",
  "ipvlan",
  "8021q",
  "sch_tbf",
  "sch_ingress",
  "cls_bpf",
  "tun",
  "overlay",
  "fuse",
  "loop",
];
const v2 = ["cpuset", "cpu", "io", "memory", "pids"];
const v1 = ["memory", "cpu", "cpuset", "blkio", "pids", "cpuacct", "devices", "freezer"];

/** A Debian host on which nothing is wrong. */
const good: DoctorFacts = {
  kernel: {
    release: "6.1.0-13-amd64",
    options: new Map([
      ["CONFIG_CGROUP_BPF", "y"],
      ["CONFIG_BPF_SYSCALL", "y"],
    ]),
    namespaces: ["cgroup", "ipc", "mount", "net", "pid", "time", "user", "uts"],
    maxUserNamespaces: 15000,
    filesystems: ["overlay", "fuse"],
    miscDevices: ["tun", "fuse"],
    nodes: ["/dev/net/tun", "/dev/fuse"],
    loaded: new Set(["veth", "bridge"]),
    loadable: new Set(allModules),
    seccompFilters: true,
    missingCalls: [],
    inotifyInstances: 1024,
  },
  cgroups: { unified: { mount: "/sys/fs/cgroup", controllers: v2, own: "/" }, legacy: [] },
  controllers: v1.map((name) => ({ name, enabled: true })),
  security: { apparmor: true, selinux: false, underSeccomp: false },
  privileges: {
    uid: 0,
    capabilities: (1n << 41n) - 1n,
    lastCapability: 40,
    inUserNamespace: false,
    subuid: "user:100000:65536\nroot:165536:65536\n",
    subgid: "root:165536:65536\n",
  },
  programs: new Map(wantedPrograms.map((name) => [name, `/usr/bin/${name}`])),
  islet: {
    version: "0.1.0",
    installedVersion: "0.1.0",
    daemonPid: 77,
    isOutdated: false,
    daemonBinary: "/opt/islet/build/islet",
    clientBinary: "/opt/islet/build/islet",
    runtimeDir: { path: "/run/islet", mode: 0o40711, uid: 0 },
    monitorDir: { path: "/run/islet/monitor", mode: 0o40700 },
    socket: { path: "/run/islet/socket", mode: 0o140600 },
    deadSockets: [],
    nicGrants: { grants: [], faults: [] },
    lxcMonitors: [],
  },
  store: {
    path: "/var/lib/lxc",
    mount: { point: "/", type: "ext4", options: ["rw", "relatime"] },
    freeBytes: 10n << 30n,
    freeShare: 0.5,
    partial: [],
    containers: [{ name: "web", faults: [], missingLinks: [], missingRootfs: null }],
  },
};

const problems = (facts: DoctorFacts): readonly Finding[] =>
  examine(facts)
    .flatMap(({ findings }) => findings)
    .filter(({ level }) => level !== "ok");

/** The findings that a change of the good host makes, in one line each. */
const after = (change: Partial<DoctorFacts>): readonly string[] =>
  problems({ ...good, ...change }).map(
    ({ level, what, effect, remedy }) => `${level}: ${what} | ${effect} | ${remedy}`,
  );

const kernel = (change: Partial<DoctorFacts["kernel"]>): Partial<DoctorFacts> => ({
  kernel: { ...good.kernel, ...change },
});
const islet = (change: Partial<DoctorFacts["islet"]>): Partial<DoctorFacts> => ({
  islet: { ...good.islet, ...change },
});
const storeOf = (change: Partial<DoctorFacts["store"]>): Partial<DoctorFacts> => ({
  store: { ...good.store, ...change },
});
const one = (found: readonly string[], pattern: RegExp): void => {
  assert.equal(found.length, 1, found.join("\n"));
  assert.match(found[0] ?? "", pattern);
};

describe("islet doctor", () => {
  it("finds nothing on a good host, with cgroup v2, v1 or both", () => {
    assert.deepEqual(problems(good), []);
    const legacy = v1.map((name) => ({ mount: `/sys/fs/cgroup/${name}`, controllers: [name], own: "/" }));
    assert.deepEqual(after({ cgroups: { unified: null, legacy } }), []);
    const hybrid = { unified: { mount: "/sys/fs/cgroup/unified", controllers: [], own: "/" }, legacy };
    assert.deepEqual(after({ cgroups: hybrid }), []);
  });
  it("an old kernel is an error", () => {
    one(after(kernel({ release: "5.10.0-26" })), /^error: Linux 5\.10\.0-26 \| islet needs 5\.15 or later/);
    assert.deepEqual(after(kernel({ release: "5.15.0" })), []);
  });
  it("names the option of a namespace that is missing; some are vital, some are not", () => {
    const without = (name: string): Partial<DoctorFacts> =>
      kernel({ namespaces: good.kernel.namespaces.filter((other) => other !== name) });
    one(after(without("pid")), /^error: pid .* no container can start .*CONFIG_PID_NS/);
    one(after(without("user")), /^warning: user .*lxc\.idmap.*CONFIG_USER_NS/);
    one(
      after(kernel({ maxUserNamespaces: 0 })),
      /^warning: user namespaces are switched off .* sysctl -w user\.max_user_namespaces/,
    );
  });
  it("tells a driver that is built in, loaded, loadable, lost or never there", () => {
    const only = (
      options: ReadonlyMap<string, "y" | "m"> | null,
      loaded: readonly string[],
      loadable: readonly string[],
    ) =>
      after(
        kernel({
          options:
            options === null
              ? null
              : new Map([...options, ["CONFIG_CGROUP_BPF", "y"] as const, ["CONFIG_BPF_SYSCALL", "y"] as const]),
          loaded: new Set(["bridge", ...loaded]),
          loadable: new Set([...allModules.filter((name) => name !== "veth"), ...loadable]),
        }),
      );
    assert.deepEqual(only(new Map([["CONFIG_VETH", "y"]]), [], []), []);
    assert.deepEqual(only(null, ["veth"], []), []);
    assert.deepEqual(only(null, [], ["veth"]), []);
    one(
      only(new Map([["CONFIG_VETH", "m"]]), [], []),
      /^warning: veth pairs: not there .*install linux-image-6\.1\.0-13-amd64/,
    );
    one(only(new Map(), [], []), /^warning: veth pairs: not there \| lxc\.net\.N\.type = veth .*CONFIG_VETH=m or y/);
    one(only(null, [], []), /^note: veth pairs: not known .*modprobe veth tells; the option is CONFIG_VETH/);
  });
  it("a driver without its device node", () => {
    one(
      after(kernel({ loaded: new Set([...good.kernel.loaded, "tun"]), nodes: ["/dev/fuse"] })),
      /tun and tap: \/dev\/net\/tun is missing/,
    );
  });
  it("system calls, seccomp, BPF and limits", () => {
    one(after(kernel({ missingCalls: ["openat2"] })), /^error: the system call openat2 is missing .* 5\.6 /);
    one(after(kernel({ seccompFilters: false })), /CONFIG_SECCOMP_FILTER=y/);
    one(after(kernel({ options: new Map() })), /CONFIG_CGROUP_BPF=y/);
    one(after(kernel({ inotifyInstances: 128 })), /^warning: fs\.inotify\.max_user_instances is 128 .*sysctl -w/);
  });
  it("controllers: not in the kernel, switched off at boot, or mounted nowhere", () => {
    const unified = { mount: "/sys/fs/cgroup", controllers: v2.filter((name) => name !== "memory"), own: "/" };
    const cgroups = { unified, legacy: [] };
    const withState = (controllers: DoctorFacts["controllers"]): readonly string[] => after({ cgroups, controllers });
    one(withState([]), /^warning: the controller memory is missing \| no limits .*CONFIG_MEMCG=y/);
    one(withState([{ name: "memory", enabled: false }]), /boot with cgroup_enable=memory .*update-grub/);
    one(withState([{ name: "memory", enabled: true }]), /boot with cgroup_no_v1=memory/);
    const legacy = v1
      .filter((name) => name !== "pids")
      .map((name) => ({ mount: `/sys/fs/cgroup/${name}`, controllers: [name], own: "/" }));
    one(
      after({ cgroups: { unified: null, legacy } }),
      /mount -t cgroup -o pids pids \/sys\/fs\/cgroup\/pids; or boot with systemd\.unified/,
    );
    one(after({ cgroups: { unified: null, legacy: [] } }), /^error: no cgroup hierarchy is mounted/);
  });
  it("security modules", () => {
    one(
      after({ security: { apparmor: false, selinux: false, underSeccomp: false } }),
      /^note: neither AppArmor nor SELinux .*lxc\.idmap/,
    );
    assert.deepEqual(after({ security: { apparmor: false, selinux: true, underSeccomp: false } }), []);
    one(
      after({ security: { ...good.security, underSeccomp: true } }),
      /^warning: the daemon runs under somebody else's seccomp/,
    );
    const programs = new Map([...good.programs].filter(([name]) => name !== "apparmor_parser"));
    one(after({ programs }), /install the package apparmor$/);
  });
  it("privileges of the daemon", () => {
    const privileges = (change: Partial<DoctorFacts["privileges"]>): readonly string[] =>
      after({ privileges: { ...good.privileges, ...change } });
    one(privileges({ uid: 1000 }), /^error: the daemon runs as user 1000 .*sudo/);
    one(privileges({ capabilities: good.privileges.capabilities & ~(1n << 24n) }), /^warning: .* sys_resource \|/);
    one(
      privileges({ capabilities: good.privileges.capabilities & ~(1n << 21n) }),
      /^error: .* sys_admin \| containers cannot start/,
    );
    one(privileges({ inUserNamespace: true }), /^warning: the daemon is in a user namespace/);
  });
  it("gives the line for /etc/subuid that takes no id of another", () => {
    const found = after({ privileges: { ...good.privileges, subuid: "user:100000:65536\n", subgid: null } });
    one(
      found,
      /in \/etc\/subuid and \/etc\/subgid .*add the line root:165536:65536 to \/etc\/subuid and \/etc\/subgid$/,
    );
    assert.equal(freeRange([]), 100_000);
    assert.equal(freeRange(["a:90000:20000\n# b:1:2\nnonsense", "c:200000:10"]), 110_000);
    assert.equal(freeRange(["a:165536:10", "b:100000:65536"]), 165_546);
  });
  it("programs, with the package; some that do the same stand for each other", () => {
    const without = (...names: readonly string[]): readonly string[] =>
      after({ programs: new Map([...good.programs].filter(([name]) => !names.includes(name))) });
    one(without("busybox"), /^warning: busybox: not installed \| lxc-create -t busybox .*busybox-static$/);
    assert.deepEqual(without("nft"), []);
    one(without("nft", "iptables"), /^warning: nft or iptables: .*nftables or iptables$/);
    one(without("criu"), /^note: criu/);
  });
  it("a daemon of another version or installation", () => {
    one(
      after(islet({ installedVersion: "0.2.0" })),
      /^warning: islet 0\.2\.0 is installed, but the daemon that runs is 0\.1\.0 .*kill 77;/,
    );
    one(after(islet({ isOutdated: true })), /installed anew since the daemon started/);
    one(
      after(islet({ clientBinary: "/usr/bin/islet" })),
      /this command is \/usr\/bin\/islet, the daemon belongs to \/opt/,
    );
  });
  it("directories that others may write to", () => {
    one(
      after(islet({ runtimeDir: { path: "/run/islet", mode: 0o40777, uid: 0 } })),
      /^error: .*mode 0777.*chmod 0711 \/run\/islet/,
    );
    one(after(islet({ runtimeDir: { path: "/run/islet", mode: 0o40711, uid: 5 } })), /^error: .*belongs to user 5/);
    one(after(islet({ socket: { path: "/run/islet/socket", mode: 0o140666 } })), /^error: .*mode 0666.*chmod 0600/);
    one(after(islet({ monitorDir: { path: "/run/islet/monitor", mode: 0o40755 } })), /^error: .*mode 0755.*chmod 0700/);
  });
  it("lines of lxc-usernet that grant nothing", () => {
    const at = { file: "/etc/lxc/lxc-usernet", line: 3, key: "alice" };
    one(
      after(islet({ nicGrants: { grants: [], faults: [{ message: '"x" is no number of nics', at }] } })),
      /^warning: "x" is no number of nics \(\/etc\/lxc\/lxc-usernet:3 alice\).* gives nobody a nic/,
    );
    const grants = [{ owner: "alice", bridge: "lxcbr0", most: 1, at }];
    assert.deepEqual(after(islet({ nicGrants: { grants, faults: [] } })), []);
  });
  it("what is left of others", () => {
    one(after(islet({ deadSockets: ["/run/islet/monitor/a"] })), /^warning: 1 sockets .*rm \/run\/islet\/monitor\/a/);
    one(
      after(islet({ lxcMonitors: [{ pid: 5, storePath: "/var/lib/lxc", name: "old" }] })),
      /^warning: LXC's own monitors run a container: old/,
    );
  });
  it("the store: missing, or on a file system that does not do", () => {
    one(
      after(storeOf({ mount: null, freeBytes: null, freeShare: null, containers: [] })),
      /^note: \/var\/lib\/lxc does not exist/,
    );
    for (const [option, level] of [
      ["noexec", "error"],
      ["ro", "error"],
      ["nosuid", "warning"],
      ["nodev", "warning"],
    ] as const)
      one(
        after(storeOf({ mount: { point: "/data", type: "ext4", options: [option] } })),
        new RegExp(`^${level}: .* on /data, mounted ${option} .*mount -o remount,`),
      );
    one(after(storeOf({ freeShare: 0.01, freeBytes: 5n << 20n })), /^warning: 5\.0M free/);
  });
  it("containers with faults, without what they need, and half-made ones", () => {
    const sick = { name: "db", faults: [], missingLinks: [], missingRootfs: null };
    const containers = (change: object): Partial<DoctorFacts> => storeOf({ containers: [{ ...sick, ...change }] });
    one(
      after(containers({ faults: ["/s/db/config:3: Unsupported config key"] })),
      /^warning: \/s\/db\/config:3: .* db cannot start/,
    );
    one(
      after(containers({ missingLinks: ["lxcbr0"] })),
      /^warning: db wants the interface lxcbr0.*lxc-net.*islet net up/,
    );
    one(after(containers({ missingLinks: ["br7"] })), /ip link add br7 type bridge/);
    one(after(containers({ missingRootfs: "/s/db/rootfs" })), /lxc-destroy -P \/var\/lib\/lxc -n db/);
    one(after(storeOf({ partial: [{ name: "x", isAlive: false }] })), /^warning: x is half made/);
    one(after(storeOf({ partial: [{ name: "x", isAlive: true }] })), /^note: x is being created/);
  });
  it("every finding that is not in order says what does not work and what helps", () => {
    const worst = examine({
      ...good,
      ...kernel({
        options: new Map(),
        loaded: new Set(),
        loadable: new Set(),
        namespaces: [],
        missingCalls: ["openat2"],
      }),
      programs: new Map(),
    });
    for (const { level, what, effect, remedy } of worst.flatMap(({ findings }) => findings))
      assert.equal(level === "ok", effect === null && remedy === null, what);
  });
});

describe("the text of islet doctor", () => {
  const look = { columns: 60, colours: false, unicode: true };
  const bad = examine({ ...good, ...kernel({ release: "4.19", inotifyInstances: 128 }) });

  it("is a checklist with a sum in the last line", () => {
    const text = doctorText(bad, look, false);
    assert.match(text, /^Kernel\n {2}✗ Linux 4\.19\n {4}islet needs 5\.15 or later\n {4}→ boot a newer kernel; /);
    assert.match(text, /\n\n1 error, 1 warning\.\n$/);
    for (const line of text.split("\n")) assert.ok(widthOf(line) <= 60, line);
    assert.match(doctorText(examine(good), look, false), /\nAll is well\.\n$/);
  });
  it("shows problems only when asked to", () => {
    const text = doctorText(bad, look, true);
    assert.ok(!text.includes("✓") && !text.includes("Programs"), text);
    assert.equal(doctorText(examine(good), look, true), "All is well.\n");
  });
  it("is plain ASCII without UTF-8, and obeys nobody", () => {
    const sick = { name: "x", faults: ["bad \u001b[2J key"], missingLinks: [], missingRootfs: null };
    const text = doctorText(
      examine({ ...good, ...storeOf({ containers: [sick] }) }),
      { ...look, unicode: false },
      false,
    );
    // oxlint-disable-next-line no-control-regex -- just these are ASCII
    assert.match(text, /^[\n\u0020-\u007e]*$/);
    assert.match(text, /^ {2}!! bad \?\[2J key$/m);
  });
  it("breaks lines between words", () => {
    assert.deepEqual(wrap("a bb ccc dddddddd e", 6), ["a bb", "ccc", "dddddddd", "e"]);
  });
});

describe("what doctor reads", () => {
  it("the mount a path is on: the nearest, and of those the last", () => {
    const mountinfo = [
      "1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw",
      "2 1 8:2 / /var rw,nosuid - xfs /dev/sda2 rw",
      "3 1 8:3 / /var rw,nodev shared:1 - btrfs /dev/sda3 rw",
      "4 1 8:4 / /variable rw,noexec - tmpfs none rw",
      "5 1 8:4 / /with\\040blank ro - tmpfs none rw",
    ].join("\n");
    assert.deepEqual(mountOf("/var/lib/lxc", mountinfo), { point: "/var", type: "btrfs", options: ["rw", "nodev"] });
    assert.equal(mountOf("/home", mountinfo)?.type, "ext4");
    assert.deepEqual(mountOf("/with blank/x", mountinfo)?.options, ["ro"]);
  });
  it("whether a file is locked, by device and inode", () => {
    const locks = "1: OFDLCK ADVISORY  WRITE -1 fd:01:1234 0 EOF\n2: POSIX  ADVISORY  READ 99 08:13:55 0 EOF\n";
    assert.ok(isLocked(locks, 0xfd01, 1234));
    assert.ok(isLocked(locks, 0x0813, 55));
    assert.ok(!isLocked(locks, 0xfd01, 123));
    assert.ok(!isLocked(locks, 0xfd02, 1234));
  });
});
