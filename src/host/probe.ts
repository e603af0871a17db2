import { existsSync, readFileSync, readdirSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { type Arch, archFromUname } from "../sys/arch.js";
import type { CgroupLayout, HostFacts, LegacyHierarchy } from "../spec/host.js";
import { arch as nodeArch } from "node:os";
import { findProgram } from "./run-program.js";
import { parseMountinfo } from "../sys/mountinfo.js";

/** ISLET_UNSUPPORTED on machines that islet knows no system calls of. */
export function hostArch(): Arch {
  const names: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };
  const arch = archFromUname(names[nodeArch()] ?? "");
  if (arch === undefined)
    throw new IsletError("ISLET_UNSUPPORTED", `islet runs on x86_64 and arm64, not on ${nodeArch()}`);
  return arch;
}

/** What the planner must know of this machine; read once, when the daemon starts. */
export function probeHost(runtimeDir: string): HostFacts {
  const arch = hostArch();
  return {
    arch,
    runtimeDir,
    lastCapability: Number(firstLine("/proc/sys/kernel/cap_last_cap") || "40"),
    cgroups: cgroupLayout(
      readFileSync("/proc/self/mountinfo", "utf8"),
      readFileSync("/proc/self/cgroup", "utf8"),
      (path) => firstLine(path),
    ),
    namespaces: readdirSync("/proc/self/ns")
      .filter((name) => !name.includes("_for_"))
      .map((name) => (name === "mnt" ? "mount" : name)),
    binfmtNamespaces: isSince(firstLine("/proc/sys/kernel/osrelease"), 6, 7),
    lsm: {
      apparmor: firstLine("/sys/module/apparmor/parameters/enabled") === "Y",
      selinux: existsSync("/sys/fs/selinux/enforce"),
    },
    inUserNamespace: firstLine("/proc/self/uid_map").trim().split(/\s+/).join(" ") !== "0 0 4294967295",
    openFilesHard: openFilesHard(readFileSync("/proc/self/limits", "utf8")),
    cpus: firstLine("/sys/devices/system/cpu/online") || "0",
    memoryNodes: firstLine("/sys/devices/system/node/online") || "0",
    lxcfs: process.env["ISLET_LXCFS"] ?? "/var/lib/lxcfs",
    // Part of systemd; where it cannot be found, whoever runs it says so.
    busctl:
      process.env["ISLET_BUSCTL"] ??
      (existsSync("/run/systemd/system") ? (findProgram("busctl") ?? "/usr/bin/busctl") : null),
    accounts: process.env["ISLET_ACCOUNTS"] ?? "/etc",
  };
}

/** Whether a kernel's release (uname(2)) is that version or a later one. */
export function isSince(release: string, major: number, minor: number): boolean {
  const [, first = "0", second = "0"] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return Number(first) > major || (Number(first) === major && Number(second) >= minor);
}

function openFilesHard(limits: string): number | null {
  const match = /^Max open files\s+\S+\s+(\S+)/m.exec(limits);
  return match?.[1] === undefined || match[1] === "unlimited" ? null : Number(match[1]);
}

/** The first line of a file of the kernel, "" where it cannot be read. */
export function firstLine(path: string): string {
  try {
    return readFileSync(path, "utf8").split("\n", 1)[0] ?? "";
  } catch {
    return "";
  }
}

/** Of each hierarchy, by its controllers ("" is the unified one), the path of /proc/PID/cgroup (cgroups(7)). */
export function cgroupMemberships(text: string): ReadonlyMap<string, string> {
  const own = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^\d+:([^:]*):(.*)$/.exec(line);
    if (match !== null) own.set(match[1] ?? "", match[2] ?? "/");
  }
  return own;
}

/** The root has no weight of BFQ's, but its statistics; the weight of CFQ, which older kernels have, it has. */
const hasBfqWeights = (mount: string, read: (path: string) => string): boolean =>
  read(`${mount}/blkio.bfq.io_serviced`) !== "" && read(`${mount}/blkio.weight`) === "";

/** Hierarchies from mountinfo (proc(5)) and the memberships in /proc/self/cgroup (cgroups(7)). The first mount of each counts. */
export function cgroupLayout(mountinfo: string, membership: string, read: (path: string) => string): CgroupLayout {
  const own = cgroupMemberships(membership);
  let unified: CgroupLayout["unified"] = null;
  const legacy: LegacyHierarchy[] = [];
  for (const { point: mount, fstype, superOptions } of parseMountinfo(mountinfo)) {
    if (fstype === "cgroup2" && unified === null) {
      unified = {
        mount,
        controllers: read(`${mount}/cgroup.controllers`).split(" ").filter(Boolean),
        own: own.get("") ?? "/",
      };
    } else if (fstype === "cgroup") {
      const controllers = superOptions.filter(
        (option) =>
          !["rw", "ro", "xattr", "clone_children", "noprefix", "nosuid", "relatime"].includes(option) &&
          !option.startsWith("release_agent="),
      );
      const key = controllers.join(",");
      if (!legacy.some((known) => known.controllers.join(",") === key))
        legacy.push({
          mount,
          controllers,
          own: own.get(key) ?? "/",
          ...(controllers.includes("blkio") && hasBfqWeights(mount, read) ? { hasBfqWeights: true } : {}),
        });
    }
  }
  return { unified, legacy };
}
