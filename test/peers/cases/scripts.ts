import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../support/paths.js";
import { type Case, cases } from "./case.js";

/** lxc-config, lxc-checkconfig, lxc-update-config: no container is needed. */

const config: readonly Case[] = [
  "lxc.default_config",
  "lxc.lxcpath",
  "lxc.bdev.lvm.vg",
  "lxc.bdev.zfs.root",
  "lxc.cgroup.use",
  "lxc.cgroup.pattern",
  "lxc.b",
  "lxc",
  "lxc.bogus",
  '""',
  "-",
  "-l",
  "-lx",
  "-h",
  "--help",
  "--version",
  "",
  "-l more",
  "lxc.lxcpath more",
].map((words): Case => ({ run: `lxc-config ${words}`.trimEnd() }));

const everything =
  "NAMESPACES UTS_NS IPC_NS PID_NS USER_NS NET_NS CGROUPS CGROUP_DEVICE CGROUP_SCHED CGROUP_CPUACCT MEMCG SMP CPUSETS VETH BRIDGE " +
  "MACVLAN VLAN_8021Q NETFILTER_ADVANCED FUSE_FS CHECKPOINT_RESTORE FHANDLE EVENTFD EPOLL UNIX_DIAG INET_DIAG PACKET_DIAG";

function kernel(head: string, without: readonly string[] = []): string {
  const names = everything.split(" ").filter((name) => !without.includes(name));
  return [head, ...names.map((name) => `CONFIG_${name}=y`), ""].join("\n");
}

const head = (version: string): string => `# Linux/x86 ${version} Kernel Configuration`;

const checkconfig: readonly Case[] = [
  ...cases(["lxc-checkconfig", "lxc-checkconfig --help", "lxc-checkconfig more"]),
  { run: "lxc-checkconfig", env: { CONFIG: "/proc/nowhere" } },
  ...[
    kernel(head("6.12.5")),
    kernel(head("4.19.3")),
    kernel(head("3.5.7")),
    kernel("# Linux kernel version: 2.6.32 Kernel Configuration"),
    kernel("# by hand"),
    kernel(head("6.1.0"), ["PID_NS", "USER_NS", "VETH", "CPUSETS"]),
    kernel(head("6.1.0"), ["SMP"]),
    "",
  ].map((text): Case => ({ run: "lxc-checkconfig", env: { CONFIG: "kernel" }, files: { kernel: text } })),
];

const updateConfig: readonly Case[] = [
  ...cases(
    [
      "lxc-update-config -c old; ls",
      "lxc-update-config --config old; ls",
      "lxc-update-config -c new; ls",
      "lxc-update-config -c devices; cat devices",
      "lxc-update-config -c keys; cat keys",
      "lxc-update-config -c guide; cat guide",
      ["lxc-update-config -c old; lxc-update-config -c old; ls; cat old.backup", "update-config-backup"],
      ["lxc-update-config -c missing", "own-words"],
      ["lxc-update-config -c .", "own-words"],
      ["lxc-update-config -c", "own-words"],
      "lxc-update-config",
      "lxc-update-config -h",
      "lxc-update-config --help",
      ["lxc-update-config --bogus", "own-words"],
      ["lxc-update-config old", "own-words"],
      ["lxc-update-config -c mixed; cat mixed", "update-config-mends"],
    ],
    {
      files: {
        old: "lxc.rootfs = /srv/web\nlxc.utsname = web\nlxc.network.type = veth\nlxc.network.link = br0\n",
        new: "lxc.uts.name = web\nlxc.net.0.type = empty\nlxc.cap.drop =\n",
        mixed: "lxc.utsname = lxc.utsname\n# lxc.utsname = x\nlxc.tty = 4\nlxc.network.ipv4 = 10.0.0.1\n",
        devices:
          "lxc.network.type = veth\nlxc.network.flags=up\n  lxc.network.ipv4 = 10.0.3.2/24\nlxc.network.ipv4.gateway = 10.0.3.1\n" +
          "lxc.network.type = empty\nlxc.network.ipv6 = fd00::2/64\n",
        keys:
          "# head\n\nlxc.rootfs = /srv/web\nlxc.utsname = web\n#lxc.console = none\nlxc.tty = 4\nlxc.pts=1024\nlxc.devttydir\t= lxc\n" +
          "lxc.mount = /f\nlxc.mount.entry = a b c\nlxc.pivotdir = x\nlxc.kmsg = 0\nlxc.aa_profile = unconfined\nlxc.id_map = u 0 1 2\n" +
          "lxc.haltsignal = SIGUSR1\nlxc.init_cmd = /sbin/init\nlxc.seccomp = /x\nlxc.loglevel = 1\nforeign\nlxc.se_context = x\n",
        guide: readFileSync(join(root, "test/golden/lxc/ubuntu-2013.conf"), "utf8"),
      },
      show: ["old", "old.backup"],
    },
  ),
];

export const scriptCases: readonly Case[] = [...config, ...checkconfig, ...updateConfig];
