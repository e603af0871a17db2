import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { configPlaces, idMapHelper } from "../../../../src/frontends/lxc/commands/checkconfig.js";
import {
  configuredVersion,
  enabledOptions,
  type KernelFacts,
  kernelReport,
} from "../../../../src/frontends/lxc/commands/checkconfig-report.js";
import { type Canned, type Outcome, tool } from "./canned.js";

const directory = mkdtempSync(join(tmpdir(), "islt-checkconfig-"));
after(() => rmSync(directory, { recursive: true }));

const names =
  "NAMESPACES UTS_NS IPC_NS PID_NS USER_NS NET_NS CGROUPS CGROUP_DEVICE CGROUP_SCHED CGROUP_CPUACCT MEMCG SMP CPUSETS VETH MACVLAN " +
  "VLAN_8021Q BRIDGE NETFILTER_ADVANCED IP_NF_TARGET_MASQUERADE IP6_NF_TARGET_MASQUERADE NETFILTER_XT_TARGET_CHECKSUM " +
  "NETFILTER_XT_MATCH_COMMENT FUSE_FS CHECKPOINT_RESTORE FHANDLE EVENTFD EPOLL UNIX_DIAG INET_DIAG PACKET_DIAG NETLINK_DIAG";
/** A configuration with everything but `without`. */
const kernel = (version: string, without: readonly string[] = []): string =>
  [
    "#",
    `# Linux/x86 ${version} Kernel Configuration`,
    "#",
    ...names
      .split(" ")
      .map((name) =>
        without.includes(name) ? `# CONFIG_${name} is not set` : `CONFIG_${name}=${name === "VETH" ? "m" : "y"}`,
      ),
    "",
  ].join("\n");
const v1Mounts = ["systemd", "freezer", "memory"]
  .map((name) => `cgroup /sys/fs/cgroup/${name} cgroup rw,nosuid,${name} 0 0\n`)
  .join("");
const facts = (changes: Partial<KernelFacts> = {}): KernelFacts => ({
  config: kernel("6.1.0"),
  cgroupNamespace: true,
  mounts: "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
  hasFile: () => false,
  modules: null,
  newuidmap: "setuid",
  newgidmap: "setuid",
  program: "lxc-checkconfig",
  colours: false,
  ...changes,
});

const whole = `
--- Namespaces ---
Namespaces: enabled
Utsname namespace: enabled
Ipc namespace: enabled
Pid namespace: enabled
User namespace: enabled
Network namespace: enabled

--- Control groups ---
Cgroups: enabled
Cgroup namespace: enabled
Cgroup v1 mount points: 
Cgroup v2 mount points: 
 - /sys/fs/cgroup
Cgroup device: enabled
Cgroup sched: enabled
Cgroup cpu account: enabled
Cgroup memory controller: enabled
Cgroup cpuset: enabled

--- Misc ---
Veth pair device: enabled
Macvlan: enabled
Vlan: enabled
Bridges: enabled
Advanced netfilter: enabled
CONFIG_IP_NF_TARGET_MASQUERADE: enabled
CONFIG_IP6_NF_TARGET_MASQUERADE: enabled
CONFIG_NETFILTER_XT_TARGET_CHECKSUM: enabled
CONFIG_NETFILTER_XT_MATCH_COMMENT: enabled
FUSE (for use with lxcfs): enabled

--- Checkpoint/Restore ---
checkpoint restore: enabled
CONFIG_FHANDLE: enabled
CONFIG_EVENTFD: enabled
CONFIG_EPOLL: enabled
CONFIG_UNIX_DIAG: enabled
CONFIG_INET_DIAG: enabled
CONFIG_PACKET_DIAG: enabled
CONFIG_NETLINK_DIAG: enabled
File capabilities: enabled

Note : Before booting a new kernel, you can check its configuration
usage : CONFIG=/path/to/config lxc-checkconfig

`;

describe("the report of a kernel's configuration", () => {
  it("is LXC's, line by line", () => {
    assert.equal(kernelReport(facts()), whole);
  });
  it("calls what is missing so, and what nothing works without required", () => {
    const text = kernelReport(facts({ config: kernel("6.1.0", ["PID_NS", "VETH", "UTS_NS"]), cgroupNamespace: false }));
    for (const line of ["Pid namespace: required", "Veth pair device: missing", "Utsname namespace: missing"])
      assert.match(text, new RegExp(`^${line}$`, "m"));
    assert.match(text, /^Cgroup namespace: missing$/m);
  });
  it("tells of modules whether they are loaded, by their exact names", () => {
    const modules = "veth 40960 0 - Live 0x0000000000000000\nbr_netfilter 32768 0 bridge, Live 0x0000000000000000\n";
    const text = kernelReport(facts({ modules }));
    assert.match(text, /^Veth pair device: enabled, loaded$/m);
    assert.match(text, /^Bridges: enabled, not loaded$/m);
    assert.match(kernelReport(facts({ modules, config: kernel("6.1.0", ["VETH"]) })), /^Veth pair device: missing$/m);
  });
  it("lists mount points, and of a host with cgroup v1 what systemd and freezing need", () => {
    const files = ["/sys/fs/cgroup/systemd/cgroup.clone_children"];
    const text = kernelReport(facts({ mounts: v1Mounts, hasFile: (path) => files.includes(path) }));
    const points = " - /sys/fs/cgroup/systemd\n - /sys/fs/cgroup/freezer\n - /sys/fs/cgroup/memory\n";
    assert.ok(
      text.includes(`v1 mount points: \n${points}Cgroup v2 mount points: \nCgroup v1 clone_children flag: enabled\n`),
    );
    const none = kernelReport(facts({ mounts: "" }));
    assert.match(none, /\nCgroup v1 systemd controller: missing\nCgroup v1 freezer controller: missing\nCgroup device/);
  });
  it("asks for what a kernel of that version needs", () => {
    const of = (version: string): string => kernelReport(facts({ config: kernel(version) }));
    assert.match(of("4.6.9"), /^Multiple \/dev\/pts instances: missing$/m);
    assert.doesNotMatch(of("4.7.0"), /dev\/pts/);
    assert.match(of("4.19.3"), /^CONFIG_NF_NAT_IPV4: missing\nCONFIG_NF_NAT_IPV6: missing$/m);
    for (const version of ["4.6.0", "5.0.0"]) assert.doesNotMatch(of(version), /NF_NAT_IPV4/);
    assert.match(of("3.5.0"), /^Cgroup memory controller: missing$/m);
    assert.match(of("3.6.0"), /^Cgroup memory controller: enabled$/m);
    assert.match(of("2.6.32"), /^File capabilities: missing$/m);
    assert.match(of("2.6.33"), /^File capabilities: enabled$/m);
  });
  it("warns about helpers of unprivileged users where there are user namespaces", () => {
    const changes = { newuidmap: "plain", newgidmap: "absent" } as const;
    assert.match(
      kernelReport(facts(changes)),
      /^User namespace: enabled\nWarning: newuidmap is not setuid-root\nnewgidmap is not installed\nNetwork/m,
    );
    assert.match(
      kernelReport(facts({ ...changes, config: kernel("6.1.0", ["USER_NS"]) })),
      /^User namespace: missing\nNetwork/m,
    );
  });
  it("has no line for cpusets on one processor", () => {
    assert.match(kernelReport(facts({ config: kernel("6.1.0", ["SMP"]) })), /memory controller: enabled\n\n--- Misc/);
    assert.match(kernelReport(facts({ config: kernel("6.1.0", ["CPUSETS"]) })), /Cgroup cpuset: missing\n--- Misc/);
  });
  it("is coloured as LXC's", () => {
    const text = kernelReport(facts({ colours: true, config: kernel("6.1.0", ["VETH", "IPC_NS"]) }));
    assert.ok(text.includes("Namespaces: \u001b[1;32menabled\u001b[0;39m\n"));
    assert.ok(text.includes("Veth pair device: \u001b[1;33mmissing\u001b[0;39m\n"));
    assert.ok(text.includes("Ipc namespace: \u001b[1;31mrequired\u001b[0;39m\n"));
    assert.ok(text.includes("File capabilities: \u001b[1;32menabled\n\u001b[0;39m\n"));
  });
  it("takes a configuration without a version for one of the latest", () => {
    const text = kernelReport(facts({ config: "CONFIG_NAMESPACES=y\n" }));
    assert.ok(text.startsWith("WARNING: Unable to detect version from configuration, assuming latest\n\n\n--- Names"));
  });
});

describe("the text of a kernel's configuration", () => {
  it("tells its version", () => {
    const of = (head: string): unknown => configuredVersion(`#\n${head}\n`);
    assert.deepEqual(of("# Linux/arm64 6.12.100 Kernel Configuration"), { major: 6, minor: 12 });
    assert.deepEqual(of("# Linux/x86_64 10.3.0-rc1 Kernel Configuration"), { major: 10, minor: 3 });
    assert.deepEqual(of("# Linux kernel version: 2.6.32 Kernel Configuration"), { major: 2, minor: 32 });
    for (const head of ["# Linux kernel version: 2.6.32", "# Kernel Configuration", "# Linux Kernel Configuration"])
      assert.equal(of(head), null);
  });
  it("enables an option by y or m at the beginning of a line, nothing else", () => {
    const text = 'CONFIG_A=y\nCONFIG_B=m\r\n# CONFIG_C=y\nCONFIG_D="y"\nCONFIG_E=n\nCONFIG_F=yes\nX_CONFIG_G=y\n';
    assert.deepEqual([...enabledOptions(text)], ["CONFIG_A", "CONFIG_B"]);
  });
});

describe("lxc-checkconfig", () => {
  const run = (environment: Readonly<Record<string, string>>, canned: Canned = {}): Promise<Outcome> =>
    tool(["lxc-checkconfig"], { ...canned, plain: true, cwd: directory, environment });

  it("reads the file that CONFIG names, compressed or not, relative to the caller's directory", async () => {
    writeFileSync(join(directory, "plain"), kernel("6.1.0", ["MACVLAN"]));
    writeFileSync(join(directory, "packed"), gzipSync(kernel("6.1.0", ["MACVLAN"])));
    for (const CONFIG of ["plain", "packed", join(directory, "packed")]) {
      const { status, stdout, stderr } = await run({ CONFIG });
      assert.deepEqual([status, stderr], [0, ""]);
      assert.ok(stdout.startsWith("LXC version 5.0.2\n\n--- Namespaces ---\nNamespaces: enabled\n"));
      assert.match(stdout, /^Macvlan: missing$/m);
    }
  });
  it("--format json: an object of all that was looked at, and nothing else", async () => {
    const words = ["lxc-checkconfig", "--format", "json"];
    const { status, stdout } = await tool(words, { plain: true, cwd: directory, environment: { CONFIG: "plain" } });
    assert.equal(status, 0);
    const told = JSON.parse(stdout) as { config: string; checks: readonly Readonly<Record<string, unknown>>[] };
    assert.equal(told.config, join(directory, "plain"));
    const check = (name: string): unknown => told.checks.find((one) => one["name"] === name);
    assert.deepEqual(check("Macvlan"), {
      section: "Misc",
      name: "Macvlan",
      option: "CONFIG_MACVLAN",
      status: "missing",
      loaded: null,
    });
    assert.deepEqual(check("File capabilities"), {
      section: "Checkpoint/Restore",
      name: "File capabilities",
      option: null,
      status: "enabled",
      loaded: null,
    });
    // Each line of the report with a verdict is one of them.
    const text = (await run({ CONFIG: "plain" })).stdout;
    for (const [, name] of text.matchAll(/^(.+): (?:enabled|missing|required)/gm)) assert.ok(check(name ?? ""), name);
  });
  it("uses colours on a terminal", async () => {
    const { stdout } = await run({ CONFIG: "plain" }, { columns: 80 });
    assert.ok(stdout.includes("Namespaces: \u001b[1;32menabled"));
  });
  it("says that it looks elsewhere when the file is none", async () => {
    symlinkSync("loop", join(directory, "loop"));
    for (const CONFIG of ["nosuch", "/dev/null", "/dev/zero", ".", "loop", "packed/below", "x".repeat(5000)]) {
      const { stdout, stderr, status } = await run({ CONFIG });
      const [, first, second] = stdout.split("\n");
      assert.equal(first, `Kernel configuration not found at ${CONFIG}; searching...`);
      // Whether this host has a configuration elsewhere decides what follows.
      if (status === 0) assert.match(second ?? "", /^Kernel configuration found at \//);
      else
        assert.match(
          stderr,
          /^lxc-checkconfig: unable to retrieve kernel configuration\n\n(.*\n)+ {2}CONFIG=<path> lxc-/,
        );
    }
  });
  it("searches where distributions put it", () => {
    assert.deepEqual(configPlaces("6.1.0"), [
      "/boot/config-6.1.0",
      "/lib/modules/6.1.0/build/.config",
      "/lib/modules/6.1.0/config",
    ]);
  });
  it("says of a broken or endless archive that it cannot be read, status 1", async () => {
    writeFileSync(join(directory, "broken"), gzipSync(kernel("6.1.0")).subarray(0, 100));
    writeFileSync(join(directory, "bomb"), gzipSync(Buffer.alloc(65 * 1024 * 1024)));
    for (const CONFIG of ["broken", "bomb"]) {
      const { status, stderr } = await run({ CONFIG });
      assert.equal(status, 1);
      assert.match(stderr, /^lxc-checkconfig: cannot read the kernel configuration \/.*: .+\n$/);
    }
  });
  it("finds helpers in the caller's PATH and looks at their setuid bit", () => {
    for (const [name, mode] of [
      ["a", 0o755],
      ["b", 0o4755],
      ["c", 0o644],
    ] as const) {
      mkdirSync(join(directory, name));
      writeFileSync(join(directory, name, "newuidmap"), "");
      chmodSync(join(directory, name, "newuidmap"), mode);
    }
    const of = (path: string): string => idMapHelper("newuidmap", path, directory);
    assert.equal(of(`/nosuch:${directory}/b:${directory}/a`), "setuid");
    assert.equal(of("a:b"), "plain");
    // What nobody may execute, root neither, is no command.
    assert.equal(of("c"), "absent");
    for (const path of ["/nosuch", "loop", "plain", "x".repeat(5000)]) assert.equal(of(path), "absent");
  });
});
