/** What lxc-checkconfig prints about a kernel, from texts alone. Lines, words and order are those of LXC's script. */

/** Present and setuid root, present without, not found in PATH. */
export type IdMapHelper = "setuid" | "plain" | "absent";

export interface KernelFacts {
  /** The kernel's configuration as text. */
  readonly config: string;
  /** /proc/self/ns/cgroup is there. */
  readonly cgroupNamespace: boolean;
  /** As /proc/PID/mounts has them. */
  readonly mounts: string;
  /** Whether a file is there: FIRST-CGROUP-MOUNT/cgroup.clone_children. */
  readonly hasFile: (path: string) => boolean;
  /** /proc/modules; null where the kernel has none. */
  readonly modules: string | null;
  readonly newuidmap: IdMapHelper;
  readonly newgidmap: IdMapHelper;
  /** What the user called. */
  readonly program: string;
  /** Standard output is a terminal. */
  readonly colours: boolean;
}

export interface KernelVersion {
  readonly major: number;
  readonly minor: number;
}

/** From the configuration's head line, `# Linux/x86 6.1.0 Kernel Configuration`; the minor number of 2.6.N is N. null: no such line. */
export function configuredVersion(config: string): KernelVersion | null {
  const head = /^# Linux.*Kernel Configuration/m.exec(config)?.[0] ?? "";
  const numbers = / (\d+)\.(\d+)(?:\.(\d+))?/.exec(head);
  if (numbers === null) return null;
  const [major, minor, patch] = numbers.slice(1).map((text: string | undefined) => Number(text ?? 0));
  return { major: major ?? 0, minor: (major === 2 ? patch : minor) ?? 0 };
}

/** Options that are built in (y) or built as modules (m). */
export function optionValues(config: string): ReadonlyMap<string, "y" | "m"> {
  const values = new Map<string, "y" | "m">();
  for (const [, name = "", value] of config.matchAll(/^\s*(CONFIG_\w+)=([ym])\s*$/gm))
    values.set(name, value === "m" ? "m" : "y");
  return values;
}

/** Names of options that are built in or built as modules. */
export const enabledOptions = (config: string): ReadonlySet<string> => new Set(optionValues(config).keys());

const mountPoints = (mounts: string, type: string): readonly string[] =>
  mounts
    .split("\n")
    .map((line) => line.split(/[ \t]+/))
    .filter(([source, , fstype]) => fstype === type && source?.includes("#") === false)
    .map(([, point]) => point ?? "");

const green = "\u001b[1;32m";
const red = "\u001b[1;31m";
const yellow = "\u001b[1;33m";
const normal = "\u001b[0;39m";

/** One thing that was looked at. */
export interface KernelCheck {
  readonly section: string;
  readonly name: string;
  /** Of the kernel's configuration; null: it is no matter of that. */
  readonly option: string | null;
  readonly status: "enabled" | "missing" | "required";
  /** Of a module; null: it is none, or the kernel has no modules. */
  readonly loaded: boolean | null;
}

/** The whole report but its first lines, which say where the configuration was found. */
export const kernelReport = (facts: KernelFacts): string => checkKernel(facts).text;

/** That report, and what it says in a form for programs. */
export function checkKernel(facts: KernelFacts): { readonly text: string; readonly checks: readonly KernelCheck[] } {
  const checks: KernelCheck[] = [];
  let section = "";
  const note = (
    name: string,
    option: string | null,
    isOn: boolean,
    mandatory: boolean,
    loaded: boolean | null = null,
  ): void =>
    void checks.push({ section, name, option, status: isOn ? "enabled" : mandatory ? "required" : "missing", loaded });
  const enabled = enabledOptions(facts.config);
  const found = configuredVersion(facts.config);
  const { major, minor } = found ?? { major: 100, minor: 0 };
  const isBefore = (version: KernelVersion): boolean =>
    major < version.major || (major === version.major && minor < version.minor);
  const paint = (colour: string, text: string): string => (facts.colours ? `${colour}${text}${normal}` : text);
  const modules =
    facts.modules === null ? null : new Set(facts.modules.split("\n").map((line) => line.split(" ")[0] ?? ""));

  const out: string[] = [];
  const line = (text = ""): void => void out.push(`${text}\n`);
  const verdict = (isOn: boolean, mandatory: boolean): string => {
    if (isOn) return paint(green, "enabled");
    return mandatory ? paint(red, "required") : paint(yellow, "missing");
  };
  const option = (label: string, name: string, details: { mandatory?: boolean; module?: string } = {}): void => {
    const isOn = enabled.has(name);
    const loaded =
      !isOn || modules === null || details.module === undefined
        ? ""
        : modules.has(details.module)
          ? ", loaded"
          : ", not loaded";
    line(`${label}: ${verdict(isOn, details.mandatory ?? false)}${loaded}`);
    note(label, name, isOn, details.mandatory ?? false, loaded === "" ? null : loaded === ", loaded");
  };
  const same = (name: string, module?: string): void => option(name, name, module === undefined ? {} : { module });
  /** The script sets the colour back behind the line end here. */
  const alwaysEnabled = (label: string): void => {
    out.push(`${label}: ${facts.colours ? `${green}enabled\n${normal}` : "enabled\n"}`);
    note(label, null, true, false);
  };
  const heading = (text: string): void => {
    section = text;
    line(`--- ${text} ---`);
  };
  const helper = (name: string, state: IdMapHelper): void => {
    note(name, null, state === "setuid", false);
    if (state === "plain") line(`Warning: ${name} is not setuid-root`);
    if (state === "absent") line(`${name} is not installed`);
  };

  if (found === null) {
    line("WARNING: Unable to detect version from configuration, assuming latest");
    line();
  }
  line();
  heading("Namespaces");
  option("Namespaces", "CONFIG_NAMESPACES", { mandatory: true });
  option("Utsname namespace", "CONFIG_UTS_NS");
  option("Ipc namespace", "CONFIG_IPC_NS", { mandatory: true });
  option("Pid namespace", "CONFIG_PID_NS", { mandatory: true });
  option("User namespace", "CONFIG_USER_NS");
  if (enabled.has("CONFIG_USER_NS")) {
    helper("newuidmap", facts.newuidmap);
    helper("newgidmap", facts.newgidmap);
  }
  option("Network namespace", "CONFIG_NET_NS");
  if (isBefore({ major: 4, minor: 7 })) option("Multiple /dev/pts instances", "CONFIG_DEVPTS_MULTIPLE_INSTANCES");
  line();

  heading("Control groups");
  option("Cgroups", "CONFIG_CGROUPS");
  line(`Cgroup namespace: ${verdict(facts.cgroupNamespace, false)}`);
  note("Cgroup namespace", null, facts.cgroupNamespace, false);
  const v1 = mountPoints(facts.mounts, "cgroup");
  const v2 = mountPoints(facts.mounts, "cgroup2");
  line("Cgroup v1 mount points: ");
  for (const point of v1) line(` - ${point}`);
  line("Cgroup v2 mount points: ");
  for (const point of v2) line(` - ${point}`);
  if (v2.join("\n") !== "/sys/fs/cgroup") {
    for (const controller of ["systemd", "freezer"])
      if (!v1.some((point) => point.includes(`/${controller}`))) {
        line(`Cgroup v1 ${controller} controller: ${paint(red, "missing")}`);
        note(`Cgroup v1 ${controller} controller`, null, false, false);
      }
    if (facts.hasFile(`${v1[0] ?? ""}/cgroup.clone_children`)) alwaysEnabled("Cgroup v1 clone_children flag");
  }
  option("Cgroup device", "CONFIG_CGROUP_DEVICE");
  option("Cgroup sched", "CONFIG_CGROUP_SCHED");
  option("Cgroup cpu account", "CONFIG_CGROUP_CPUACCT");
  option("Cgroup memory controller", isBefore({ major: 3, minor: 6 }) ? "CONFIG_CGROUP_MEM_RES_CTLR" : "CONFIG_MEMCG");
  if (enabled.has("CONFIG_SMP")) option("Cgroup cpuset", "CONFIG_CPUSETS");
  // The script's line end hangs on the option before.
  if (!enabled.has("CONFIG_SMP") || enabled.has("CONFIG_CPUSETS")) line();

  heading("Misc");
  option("Veth pair device", "CONFIG_VETH", { module: "veth" });
  option("Macvlan", "CONFIG_MACVLAN", { module: "macvlan" });
  option("Vlan", "CONFIG_VLAN_8021Q", { module: "8021q" });
  option("Bridges", "CONFIG_BRIDGE", { module: "bridge" });
  option("Advanced netfilter", "CONFIG_NETFILTER_ADVANCED", { module: "nf_tables" });
  if (major === 4 && minor > 6) {
    same("CONFIG_NF_NAT_IPV4", "nf_nat_ipv4");
    same("CONFIG_NF_NAT_IPV6", "nf_nat_ipv6");
  }
  same("CONFIG_IP_NF_TARGET_MASQUERADE", "nf_nat_masquerade_ipv4");
  same("CONFIG_IP6_NF_TARGET_MASQUERADE", "nf_nat_masquerade_ipv6");
  same("CONFIG_NETFILTER_XT_TARGET_CHECKSUM", "xt_CHECKSUM");
  same("CONFIG_NETFILTER_XT_MATCH_COMMENT", "xt_comment");
  option("FUSE (for use with lxcfs)", "CONFIG_FUSE_FS", { module: "fuse" });
  line();

  heading("Checkpoint/Restore");
  option("checkpoint restore", "CONFIG_CHECKPOINT_RESTORE");
  for (const name of ["FHANDLE", "EVENTFD", "EPOLL", "UNIX_DIAG", "INET_DIAG", "PACKET_DIAG", "NETLINK_DIAG"])
    same(`CONFIG_${name}`);
  if (major === 2 && minor < 33) option("File capabilities", "CONFIG_SECURITY_FILE_CAPABILITIES");
  else alwaysEnabled("File capabilities");

  line();
  line("Note : Before booting a new kernel, you can check its configuration");
  line(`usage : CONFIG=/path/to/config ${facts.program}`);
  line();
  return { text: out.join(""), checks };
}
