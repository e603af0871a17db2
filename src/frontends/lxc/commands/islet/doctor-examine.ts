import { capabilityName } from "../../../../spec/capability.js";
import type { DoctorFacts, Finding, Section } from "./doctor-facts.js";
import { bad, kernelSection, ok } from "./doctor-kernel.js";
import { programsSection } from "./doctor-programs.js";
import { isletSection, storeSection } from "./doctor-islet.js";

/** From facts to findings; nothing is read here. */

interface ControllerRow {
  /** Name on cgroup v1, and on v2 where that has it as a controller. */
  readonly legacy: string;
  readonly unified: string | null;
  readonly option: string;
  readonly effect: string;
}

const controllerRows: readonly ControllerRow[] = [
  {
    legacy: "memory",
    unified: "memory",
    option: "CONFIG_MEMCG",
    effect: "no limits and no figures of memory (memory.max, lxc-info)",
  },
  { legacy: "cpu", unified: "cpu", option: "CONFIG_CGROUP_SCHED", effect: "no shares and quotas of processor time" },
  { legacy: "cpuset", unified: "cpuset", option: "CONFIG_CPUSETS", effect: "containers cannot be bound to processors" },
  { legacy: "blkio", unified: "io", option: "CONFIG_BLK_CGROUP", effect: "no limits and no figures of disk I/O" },
  {
    legacy: "pids",
    unified: "pids",
    option: "CONFIG_CGROUP_PIDS",
    effect: "the number of a container's processes cannot be limited: one container can exhaust the host's",
  },
  { legacy: "cpuacct", unified: null, option: "CONFIG_CGROUP_CPUACCT", effect: "no figures of processor time" },
  {
    legacy: "devices",
    unified: null,
    option: "CONFIG_CGROUP_DEVICE",
    effect: "the devices of containers cannot be restricted",
  },
  {
    legacy: "freezer",
    unified: null,
    option: "CONFIG_CGROUP_FREEZER",
    effect: "on cgroup v1, lxc-freeze does not work",
  },
];

function hierarchies({ cgroups }: DoctorFacts): Finding {
  const { unified, legacy } = cgroups;
  const count = legacy.length;
  if (unified === null && count === 0)
    return bad(
      "error",
      "no cgroup hierarchy is mounted",
      "containers cannot start",
      "mount -t cgroup2 cgroup2 /sys/fs/cgroup; systemd does so at boot",
    );
  if (unified !== null && count === 0) return ok(`cgroup v2 on ${unified.mount}`);
  if (unified === null) return ok(`cgroup v1, ${count} hierarchies`);
  return ok(
    `cgroup v1, ${count} hierarchies, and v2 on ${unified.mount}${unified.controllers.length === 0 ? " (without controllers)" : ""}`,
  );
}

function controllers(facts: DoctorFacts): readonly Finding[] {
  const { unified, legacy } = facts.cgroups;
  if (unified === null && legacy.length === 0) return [];
  const isPure = legacy.length === 0;
  const isMounted = (row: ControllerRow): boolean =>
    legacy.some((one) => one.controllers.includes(row.legacy)) ||
    (row.unified !== null && unified?.controllers.includes(row.unified) === true);
  // What v2 does without a controller is missing nowhere; without a freezer on v1, v2's serves.
  const wanted = controllerRows.filter(
    (row) => row.unified !== null || isMounted(row) || (!isPure && !(row.legacy === "freezer" && unified !== null)),
  );
  const present = wanted.filter(isMounted);
  const remedy = (row: ControllerRow): string => {
    const known = facts.controllers.find((one) => one.name === row.legacy);
    if (known === undefined) return `a kernel with ${row.option}=y`;
    if (!known.enabled)
      return row.legacy === "memory"
        ? "boot with cgroup_enable=memory on the kernel's command line (GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub)"
        : `remove cgroup_disable=${row.legacy} from the kernel's command line`;
    if (isPure) return `it is in use by a cgroup v1 hierarchy: boot with cgroup_no_v1=${row.legacy}`;
    return `mount -t cgroup -o ${row.legacy} ${row.legacy} /sys/fs/cgroup/${row.legacy}; or boot with systemd.unified_cgroup_hierarchy=1 for cgroup v2`;
  };
  return [
    ...(present.length === 0
      ? []
      : [ok(`controllers: ${present.map((row) => (isPure ? (row.unified ?? row.legacy) : row.legacy)).join(" ")}`)]),
    ...wanted
      .filter((row) => !isMounted(row))
      .map((row) =>
        bad(
          "warning",
          `the controller ${isPure ? (row.unified ?? row.legacy) : row.legacy} is missing`,
          row.effect,
          remedy(row),
        ),
      ),
  ];
}

function securitySection({ security, programs }: DoctorFacts): Section {
  const findings: Finding[] = [];
  if (security.apparmor) {
    findings.push(
      programs.has("apparmor_parser")
        ? ok("AppArmor")
        : bad("warning", "AppArmor without its parser", "profiles cannot be loaded", "install the package apparmor"),
    );
  }
  if (security.selinux) findings.push(ok("SELinux"));
  if (!security.apparmor && !security.selinux)
    findings.push(
      bad(
        "note",
        "neither AppArmor nor SELinux",
        "lxc.apparmor.profile and lxc.selinux.context do nothing; containers whose root is the host's are held by capabilities, cgroups and seccomp alone",
        "map their ids (lxc.idmap); or boot with security=apparmor on a kernel with CONFIG_SECURITY_APPARMOR=y, with the package apparmor",
      ),
    );
  if (security.underSeccomp)
    findings.push(
      bad(
        "warning",
        "the daemon runs under somebody else's seccomp filter",
        "what that forbids is forbidden to all containers",
        "start it outside: kill it, then give a command as root on the host",
      ),
    );
  return { title: "Security", findings };
}

/** Ranges of a subordinate id file: subuid(5). */
function ranges(text: string): readonly { readonly owner: string; readonly from: number; readonly count: number }[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*([^:#\s]+):(\d+):(\d+)\s*$/.exec(line);
    return match === null ? [] : [{ owner: match[1] ?? "", from: Number(match[2]), count: Number(match[3]) }];
  });
}

const rangeSize = 65536;

/** Where the first range of 65536 ids begins that is nobody's in either file. */
export function freeRange(texts: readonly string[]): number {
  const taken = texts.flatMap(ranges);
  let from = 100_000;
  for (;;) {
    const inTheWay = taken.find((one) => one.from < from + rangeSize && from < one.from + one.count);
    if (inTheWay === undefined) return from;
    from = inTheWay.from + inTheWay.count;
  }
}

function subordinateIds({ privileges }: DoctorFacts): Finding {
  const files = [
    { path: "/etc/subuid", text: privileges.subuid },
    { path: "/etc/subgid", text: privileges.subgid },
  ];
  const lacking = files.filter(
    ({ text }) =>
      !ranges(text ?? "").some((one) => (one.owner === "root" || one.owner === "0") && one.count >= rangeSize),
  );
  const first = ranges(privileges.subuid ?? "").find((one) => one.owner === "root" || one.owner === "0");
  if (lacking.length === 0)
    return ok(`ids for id-mapped containers: ${first?.from ?? 0} and up (root's in /etc/subuid)`);
  const line = `root:${freeRange(files.map(({ text }) => text ?? ""))}:${rangeSize}`;
  return bad(
    "warning",
    `root has no range of ${rangeSize} ids in ${lacking.map(({ path }) => path).join(" and ")}`,
    "nothing keeps the ids of id-mapped containers (lxc.idmap) apart from those of others",
    `add the line ${line} to ${lacking.map(({ path }) => path).join(" and ")}`,
  );
}

function privilegesSection(facts: DoctorFacts): Section {
  const { uid, capabilities, lastCapability, inUserNamespace } = facts.privileges;
  const findings: Finding[] = [];
  findings.push(
    uid === 0
      ? ok("the daemon runs as root")
      : bad("error", `the daemon runs as user ${uid}`, "containers cannot start", "give the command as root (sudo)"),
  );
  const missing: string[] = [];
  for (let nr = 0; nr <= lastCapability; nr += 1)
    if (((capabilities >> BigInt(nr)) & 1n) === 0n) missing.push(capabilityName(nr));
  if (missing.length === 0) findings.push(ok("all capabilities"));
  else {
    const isVital = ["sys_admin", "setuid", "setgid", "chown", "dac_override", "mknod", "net_admin"].some((name) =>
      missing.includes(name),
    );
    findings.push(
      bad(
        isVital ? "error" : "warning",
        `the daemon lacks capabilities: ${missing.join(" ")}`,
        isVital ? "containers cannot start" : "containers cannot have them either",
        "start it outside of whatever takes them away: a service's CapabilityBoundingSet=, or a container without nesting",
      ),
    );
  }
  if (inUserNamespace)
    findings.push(
      bad(
        "warning",
        "the daemon is in a user namespace",
        "no device nodes, no control over devices, no loop or block devices",
        "run it on the host itself",
      ),
    );
  findings.push(subordinateIds(facts));
  return { title: "Privileges", findings };
}

export function examine(facts: DoctorFacts): readonly Section[] {
  return [
    kernelSection(facts),
    { title: "Control groups", findings: [hierarchies(facts), ...controllers(facts)] },
    securitySection(facts),
    privilegesSection(facts),
    programsSection(facts),
    isletSection(facts),
    storeSection(facts),
  ];
}
