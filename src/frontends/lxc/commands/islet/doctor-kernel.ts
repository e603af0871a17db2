import type { DoctorFacts, Finding, KernelState, Level, Section } from "./doctor-facts.js";

/** What of the kernel containers need. */

export const ok = (what: string): Finding => ({ level: "ok", what, effect: null, remedy: null });
export const bad = (level: Level, what: string, effect: string, remedy: string): Finding => ({
  level,
  what,
  effect,
  remedy,
});

/** islet's least. */
const least = [5, 15] as const;

function version(kernel: KernelState): Finding {
  const [major = 0, minor = 0] = (/^(\d+)\.(\d+)/.exec(kernel.release) ?? []).slice(1).map(Number);
  const what = `Linux ${kernel.release}`;
  if (major > least[0] || (major === least[0] && minor >= least[1])) return ok(what);
  return bad("error", what, "islet needs 5.15 or later", "boot a newer kernel; Debian 12 and later have one");
}

interface NamespaceRow {
  readonly name: string;
  readonly option: string;
  readonly level: Level;
  readonly effect: string;
}

const namespaceRows: readonly NamespaceRow[] = [
  { name: "mount", option: "CONFIG_NAMESPACES", level: "error", effect: "no container can start" },
  { name: "pid", option: "CONFIG_PID_NS", level: "error", effect: "no container can start" },
  { name: "ipc", option: "CONFIG_IPC_NS", level: "error", effect: "no container can start" },
  { name: "uts", option: "CONFIG_UTS_NS", level: "error", effect: "no container can start" },
  {
    name: "net",
    option: "CONFIG_NET_NS",
    level: "error",
    effect: "only containers that share the host's network (lxc.net.0.type = none) can start",
  },
  { name: "user", option: "CONFIG_USER_NS", level: "warning", effect: "no id-mapped containers (lxc.idmap)" },
  { name: "cgroup", option: "CONFIG_CGROUPS", level: "warning", effect: "guests see the host's cgroup paths" },
  { name: "time", option: "CONFIG_TIME_NS", level: "warning", effect: "no clocks of their own (lxc.time.offset)" },
];

function namespaces(kernel: KernelState): readonly Finding[] {
  const missing = namespaceRows.filter((row) => !kernel.namespaces.includes(row.name));
  const present = namespaceRows.filter((row) => !missing.includes(row)).map((row) => row.name);
  return [
    ...(present.length === 0 ? [] : [ok(`namespaces: ${present.join(" ")}`)]),
    ...missing.map((row) =>
      bad(row.level, `${row.name} namespaces are missing`, row.effect, `a kernel with ${row.option}=y`),
    ),
    ...(kernel.maxUserNamespaces === 0 && kernel.namespaces.includes("user")
      ? [
          bad(
            "warning",
            "user namespaces are switched off",
            "no id-mapped containers (lxc.idmap)",
            "sysctl -w user.max_user_namespaces=15000, and the same in a file of /etc/sysctl.d",
          ),
        ]
      : []),
  ];
}

interface FeatureRow {
  readonly what: string;
  readonly option: string;
  readonly module: string;
  readonly effect: string;
  readonly level: Level;
  /** Seen to be there, whatever the configuration says. */
  readonly seen?: (kernel: KernelState) => boolean;
  /** Needed beside the driver. */
  readonly node?: string;
}

const featureRows: readonly FeatureRow[] = [
  {
    what: "veth pairs",
    option: "CONFIG_VETH",
    module: "veth",
    effect: "lxc.net.N.type = veth does not work",
    level: "warning",
  },
  {
    what: "bridges",
    option: "CONFIG_BRIDGE",
    module: "bridge",
    effect: "containers cannot be joined to a bridge (lxc.net.N.link = lxcbr0)",
    level: "warning",
  },
  {
    what: "macvlan",
    option: "CONFIG_MACVLAN",
    module: "macvlan",
    effect: "lxc.net.N.type = macvlan does not work",
    level: "warning",
  },
  {
    what: "ipvlan",
    option: "CONFIG_IPVLAN",
    module: "ipvlan",
    effect: "lxc.net.N.type = ipvlan does not work",
    level: "warning",
  },
  {
    what: "VLANs",
    option: "CONFIG_VLAN_8021Q",
    module: "8021q",
    effect: "lxc.net.N.type = vlan does not work",
    level: "warning",
  },
  {
    what: "token buckets",
    option: "CONFIG_NET_SCH_TBF",
    module: "sch_tbf",
    effect: "islet.net.N.limit.in does not work",
    level: "note",
  },
  {
    what: "hooks for what comes in by an interface",
    option: "CONFIG_NET_SCH_INGRESS",
    module: "sch_ingress",
    effect: "neither islet.net.N.limit.out nor islet.net.N.filter works",
    level: "note",
  },
  {
    what: "BPF filters of interfaces",
    option: "CONFIG_NET_CLS_BPF",
    module: "cls_bpf",
    effect: "neither islet.net.N.limit.out nor islet.net.N.filter works",
    level: "note",
  },
  {
    what: "tun and tap",
    option: "CONFIG_TUN",
    module: "tun",
    effect: "no VPN inside containers",
    level: "warning",
    seen: (kernel) => kernel.miscDevices.includes("tun"),
    node: "/dev/net/tun",
  },
  {
    what: "overlay file system",
    option: "CONFIG_OVERLAY_FS",
    module: "overlay",
    effect: "no root file systems that lie over another (lxc.rootfs.path = overlay:...)",
    level: "warning",
    seen: (kernel) => kernel.filesystems.includes("overlay"),
  },
  {
    what: "FUSE",
    option: "CONFIG_FUSE_FS",
    module: "fuse",
    effect: "no FUSE file systems inside containers, and no lxcfs",
    level: "warning",
    seen: (kernel) => kernel.filesystems.includes("fuse") || kernel.miscDevices.includes("fuse"),
    node: "/dev/fuse",
  },
  {
    what: "loop devices",
    option: "CONFIG_BLK_DEV_LOOP",
    module: "loop",
    effect: "no root file systems in files (lxc.rootfs.path = loop:...)",
    level: "warning",
    seen: (kernel) => kernel.miscDevices.includes("loop-control"),
  },
];

function feature(row: FeatureRow, kernel: KernelState): Finding {
  const absent = (remedy: string): Finding => bad(row.level, `${row.what}: not there`, row.effect, remedy);
  const value = kernel.options?.get(row.option);
  const isThere = kernel.loaded.has(row.module) || row.seen?.(kernel) === true || value === "y";
  if (isThere || kernel.loadable.has(row.module)) {
    if (isThere && row.node !== undefined && !kernel.nodes.includes(row.node))
      return bad(
        row.level,
        `${row.what}: ${row.node} is missing`,
        row.effect,
        `modprobe ${row.module}; udev makes the node`,
      );
    return ok(isThere ? row.what : `${row.what} (the module ${row.module} is loaded when it is needed)`);
  }
  if (value === "m")
    return absent(
      `the kernel has it as the module ${row.module}, which is not in /lib/modules/${kernel.release}: install linux-image-${kernel.release}, or reboot into the kernel that was installed last`,
    );
  if (kernel.options !== null)
    return absent(`a kernel with ${row.option}=m or y; Debian's linux-image packages have it`);
  return bad(
    "note",
    `${row.what}: not known`,
    `there is neither a kernel configuration to read nor a module ${row.module}; without it: ${row.effect}`,
    `modprobe ${row.module} tells; the option is ${row.option}`,
  );
}

const callNeeds: Readonly<Record<string, string>> = {
  openat2: "5.6",
  open_tree: "5.2",
  move_mount: "5.2",
  fsopen: "5.2",
  fsconfig: "5.2",
  fsmount: "5.2",
  mount_setattr: "5.12",
  pidfd_open: "5.3",
  pidfd_send_signal: "5.1",
  close_range: "5.9",
};

function calls(kernel: KernelState): readonly Finding[] {
  if (kernel.missingCalls.length === 0)
    return [ok("system calls: openat2, the mount calls with id-mapped mounts, pidfds, close_range")];
  return kernel.missingCalls.map((name) =>
    bad(
      "error",
      `the system call ${name} is missing`,
      "containers cannot start",
      `Linux has it from ${callNeeds[name] ?? "5.15"} on; where islet itself runs in a container, that one's seccomp filter must let it pass`,
    ),
  );
}

/** systemd, udev and their like take several for each guest; root's are shared by all containers without lxc.idmap. */
const enoughInotify = 512;

function limits(kernel: KernelState): readonly Finding[] {
  const instances = kernel.inotifyInstances;
  if (instances === null) return [];
  const what = `fs.inotify.max_user_instances is ${instances}`;
  if (instances >= enoughInotify) return [ok(what)];
  return [
    bad(
      "warning",
      what,
      'guests with systemd share it; beyond some ten of them services fail with "Too many open files"',
      `sysctl -w fs.inotify.max_user_instances=1024, and the same in a file of /etc/sysctl.d`,
    ),
  ];
}

/** Guests whose devices cgroup v2 is to guard need programs of BPF; cgroup v1 has a controller. */
function deviceGuard({ kernel, cgroups }: DoctorFacts): readonly Finding[] {
  if (cgroups.legacy.some((one) => one.controllers.includes("devices"))) return [];
  const { options } = kernel;
  if (options === null || (options.has("CONFIG_CGROUP_BPF") && options.has("CONFIG_BPF_SYSCALL")))
    return [ok("BPF programs for cgroups")];
  return [
    bad(
      "warning",
      "BPF programs for cgroups: not there",
      "on cgroup v2 the devices of containers cannot be restricted (lxc.cgroup2.devices.*)",
      "a kernel with CONFIG_CGROUP_BPF=y and CONFIG_BPF_SYSCALL=y",
    ),
  ];
}

export function kernelSection(facts: DoctorFacts): Section {
  const { kernel } = facts;
  const seccomp = kernel.seccompFilters
    ? ok("seccomp filters")
    : bad(
        "warning",
        "seccomp filters: not there",
        "lxc.seccomp.profile does not work, dangerous system calls stay open to guests",
        "a kernel with CONFIG_SECCOMP=y and CONFIG_SECCOMP_FILTER=y",
      );
  return {
    title: "Kernel",
    findings: [
      version(kernel),
      ...namespaces(kernel),
      ...calls(kernel),
      seccomp,
      ...deviceGuard(facts),
      ...featureRows.map((row) => feature(row, kernel)),
      ...limits(kernel),
    ],
  };
}
