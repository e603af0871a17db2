import type { BoundUser } from "../../src/spec/guest.js";
import type { CgroupLayout, HostFacts, StartFacts, UserFacts } from "../../src/spec/host.js";

/** Hosts and starts that never change, for tests of plans. */

export type HostKind = "v1" | "hybrid" | "v2";

const v1Controllers = ["cpuset", "cpu", "cpuacct", "memory", "devices", "freezer", "blkio", "pids", "name=systemd"];

export const layouts: Readonly<Record<HostKind, CgroupLayout>> = {
  /** Every controller in a hierarchy of its own; cgroup2 is mounted for nothing but its name. */
  v1: {
    unified: { mount: "/sys/fs/cgroup/unified", controllers: [], own: "/" },
    legacy: v1Controllers.map((name) => ({
      mount: `/sys/fs/cgroup/${name.replace("name=", "")}`,
      controllers: [name],
      own: "/user.slice",
    })),
  },
  /** Some controllers on v2, the others mounted together on v1 as systemd does it. */
  hybrid: {
    unified: { mount: "/sys/fs/cgroup/unified", controllers: ["memory", "io", "pids"], own: "/user.slice" },
    legacy: [
      { mount: "/sys/fs/cgroup/systemd", controllers: ["name=systemd"], own: "/user.slice" },
      { mount: "/sys/fs/cgroup/cpu,cpuacct", controllers: ["cpu", "cpuacct"], own: "/" },
      { mount: "/sys/fs/cgroup/cpuset", controllers: ["cpuset"], own: "/" },
      { mount: "/sys/fs/cgroup/devices", controllers: ["devices"], own: "/user.slice" },
      { mount: "/sys/fs/cgroup/freezer", controllers: ["freezer"], own: "/" },
    ],
  },
  v2: {
    unified: {
      mount: "/sys/fs/cgroup",
      controllers: ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"],
      own: "/user.slice/user-0.slice/session-1.scope",
    },
    legacy: [],
  },
};

export function hostFacts(kind: HostKind, changes: Partial<HostFacts> = {}): HostFacts {
  return {
    arch: "x86_64",
    runtimeDir: "/run/islet",
    lastCapability: 40,
    cgroups: layouts[kind],
    namespaces: ["cgroup", "ipc", "mount", "net", "pid", "time", "user", "uts"],
    binfmtNamespaces: true,
    lsm: { apparmor: false, selinux: false },
    inUserNamespace: false,
    openFilesHard: 524288,
    cpus: "0-3",
    memoryNodes: "0",
    lxcfs: "/var/lib/lxcfs",
    busctl: null,
    accounts: "/etc",
    ...changes,
  };
}

/** The host's user of that name, the first of whom has the uid 1000; the second has no password. */
export function userFacts({ name, at }: BoundUser, index: number): UserFacts {
  return {
    name,
    at,
    home: `/home/${name}`,
    uid: 1000 + index,
    gid: 1000 + index,
    inside: 60_514 + index,
    realName: `${name.toUpperCase()} A`,
    shell: "/bin/bash",
    hash: index === 0 ? "$6$salt$swordfish" : null,
  };
}

export function startFacts(changes: Partial<StartFacts> = {}): StartFacts {
  return {
    environment: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", LANG: "C.UTF-8", TERM: "linux" },
    cgroupSuffix: "",
    digits: "fedcba98765432100f1e2d3c4b5a69788796a5b4c3d2e1f01032547698badcfe",
    random: "0123456789abcdef0f1e2d3c4b5a69788796a5b4c3d2e1f01032547698badcfe",
    sharedPids: {},
    callerPid: 4242,
    callerNamespaces: [],
    callerCgroups: {},
    scope: {},
    linkAddresses: { lxcbr0: { ipv4: "10.0.3.1", ipv6: "fc42:5009:ba4b:5ab0::1" } },
    pidFile: null,
    stdio: null,
    socketPath: "/run/islet/monitor/0123456789abcdef01234567",
    guest: {
      uuid: "0f3c1b52-9a1e-8d07-b6c4-3e5d7a9f1c20",
      osRelease: 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n',
      localtime: { zone: "Europe/Berlin", data: new Uint8Array([84, 90, 105, 102]) },
      journal: null,
      users: [],
      exportLink: "/run/islet/unix-export/var-lib-lxc/c1",
    },
    listen: null,
    login: null,
    terminal: null,
    rootfs: null,
    images: {},
    lxcfs: null,
    loops: 0,
    networkPin: "/run/islet/phys/0123456789abcdef01234567",
    guestApi: "/run/islet/devlxd/0123456789abcdef01234567",
    ...changes,
  };
}
