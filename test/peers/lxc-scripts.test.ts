import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { command, type CommandOptions, type CommandResult } from "../support/command.js";
import { lacks } from "../support/skip.js";

const directory = mkdtempSync(join(tmpdir(), "islt-scripts-"));
after(() => rmSync(directory, { recursive: true }));

/** Both tools' answers; what they call themselves is made the same. */
async function both(
  [name = "", ...args]: readonly string[],
  options: CommandOptions = {},
): Promise<{ readonly theirs: Partial<CommandResult>; readonly ours: Partial<CommandResult> }> {
  const seen = ({ status, stdout, stderr }: CommandResult): Partial<CommandResult> => ({
    status,
    stdout: stdout.replaceAll(`/usr/bin/${name}`, name),
    stderr,
  });
  const theirs = seen(await command([`/usr/bin/${name}`, ...args], options));
  return { theirs, ours: seen(await command([name, ...args], options)) };
}

describe("lxc-config is Debian's", () => {
  const words = [
    "lxc.default_config",
    "lxc.lxcpath",
    "lxc.bdev.lvm.vg",
    "lxc.cgroup.use",
    "lxc.cgroup.pattern",
    "lxc.b",
  ];
  for (const word of [...words, "lxc", "lxc.bogus", "", "-", "-l", "-lx", "-h", "--help", "--version"]) {
    it(`lxc-config ${word}`, async (t) => {
      if (lacks(t, "lxc")) return;
      const { theirs, ours } = await both(["lxc-config", word]);
      assert.deepEqual(ours, theirs);
    });
  }
});

describe("lxc-checkconfig is Debian's", () => {
  const everything =
    "NAMESPACES UTS_NS IPC_NS PID_NS USER_NS NET_NS CGROUPS CGROUP_DEVICE CGROUP_SCHED CGROUP_CPUACCT MEMCG SMP CPUSETS VETH BRIDGE " +
    "MACVLAN VLAN_8021Q NETFILTER_ADVANCED FUSE_FS CHECKPOINT_RESTORE FHANDLE EVENTFD EPOLL UNIX_DIAG INET_DIAG PACKET_DIAG";
  const kernel = (head: string, without: readonly string[] = []): string =>
    [
      head,
      ...everything
        .split(" ")
        .filter((name) => !without.includes(name))
        .map((name) => `CONFIG_${name}=y`),
      "",
    ].join("\n");
  const head = (version: string): string => `# Linux/x86 ${version} Kernel Configuration`;
  const texts: Readonly<Record<string, string>> = {
    "of today": kernel(head("6.12.5")),
    "of 4.19": kernel(head("4.19.3")),
    "of 3.5": kernel(head("3.5.7")),
    "of 2.6.32": kernel("# Linux kernel version: 2.6.32 Kernel Configuration"),
    "without a version": kernel("# by hand"),
    "without much": kernel(head("6.1.0"), ["PID_NS", "USER_NS", "VETH", "CPUSETS"]),
    "for one processor": kernel(head("6.1.0"), ["SMP"]),
    "that is empty": "",
  };
  for (const [what, text] of Object.entries(texts)) {
    it(`for a configuration ${what}`, async (t) => {
      if (lacks(t, "lxc")) return;
      writeFileSync(join(directory, "kernel"), text);
      const { theirs, ours } = await both(["lxc-checkconfig"], { env: { CONFIG: "kernel" }, cwd: directory });
      assert.deepEqual(ours, theirs);
    });
  }
  it("for this kernel", async (t) => {
    if (lacks(t, "lxc")) return;
    const { theirs, ours } = await both(["lxc-checkconfig"]);
    assert.deepEqual(ours, theirs);
  });
});

describe("lxc-update-config is Debian's", () => {
  const guide = readFileSync(join(import.meta.dirname, "../../../test/golden/lxc/ubuntu-2013.conf"), "utf8");
  const texts: Readonly<Record<string, string>> = {
    "the configuration of Ubuntu in 2013": guide,
    "two network devices":
      "lxc.network.type = veth\nlxc.network.flags=up\n  lxc.network.ipv4 = 10.0.3.2/24\nlxc.network.ipv4.gateway = 10.0.3.1\n" +
      "lxc.network.type = empty\nlxc.network.ipv6 = fd00::2/64\n",
    "many keys":
      "# head\n\nlxc.rootfs = /srv/web\nlxc.utsname = web\n#lxc.console = none\nlxc.tty = 4\nlxc.pts=1024\nlxc.devttydir\t= lxc\n" +
      "lxc.mount = /f\nlxc.mount.entry = a b c\nlxc.pivotdir = x\nlxc.kmsg = 0\nlxc.aa_profile = unconfined\nlxc.id_map = u 0 1 2\n" +
      "lxc.haltsignal = SIGUSR1\nlxc.init_cmd = /sbin/init\nlxc.seccomp = /x\nlxc.loglevel = 1\nforeign\nlxc.se_context = x\n",
    "nothing old": "lxc.uts.name = web\nlxc.net.0.type = empty\nlxc.cap.drop =\n",
  };
  for (const [what, text] of Object.entries(texts)) {
    it(`for ${what}`, async (t) => {
      if (lacks(t, "lxc")) return;
      const sides: Record<string, unknown>[] = [];
      for (const [side, program] of Object.entries({
        theirs: "/usr/bin/lxc-update-config",
        ours: "lxc-update-config",
      })) {
        const place = join(directory, `${side} ${what}`.replaceAll(" ", "-"));
        mkdirSync(place);
        writeFileSync(join(place, "config"), text);
        const { status, stdout, stderr } = await command([program, "-c", "config"], { cwd: place });
        const files = readdirSync(place).sort();
        sides.push({
          status,
          stdout,
          stderr,
          files,
          texts: files.map((name) => readFileSync(join(place, name), "utf8")),
        });
      }
      assert.deepEqual(sides[1], sides[0]);
    });
  }
});
