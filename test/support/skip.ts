import { release } from "node:os";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import type { TestContext } from "node:test";
import { lxcContextsFile } from "../../src/frontends/libvirt/beside/selinux.js";
import { mayMakeDebian } from "./debian.js";

const mountinfo = (): string => readFileSync("/proc/self/mountinfo", "utf8");
const succeeds = (program: string, ...args: readonly string[]): boolean => {
  try {
    execFileSync(program, args, { stdio: "ignore", timeout: 10_000 });
    return true;
  } catch {
    return false;
  }
};
/** In the kernel, or as a module that can be loaded. */
const limit = (file: string): boolean => existsSync(file) && Number(readFileSync(file, "utf8")) > 0;
/** A small file system with project quotas can be mounted, in a mount namespace that goes with it. */
const quotasOn = (mkfs: string, size: string): boolean => {
  const script = `d=$(mktemp -d) && trap 'rm -rf "$d"' EXIT && truncate -s ${size} "$d/i" &&
${mkfs} "$d/i" && mkdir "$d/m" && mount -o loop,prjquota "$d/i" "$d/m" && umount "$d/m"`;
  return succeeds("unshare", "-m", "sh", "-c", script);
};
/** In a network namespace that goes with it. */
const inNetns = (script: string): boolean => succeeds("unshare", "-n", "sh", "-c", script);
const linkType = (type: string): boolean => inNetns(`ip link add islt-probe type ${type}`);

const diskFeature = (type: string): { readonly has: () => boolean; readonly lacking: string } => ({
  has: () => {
    const isKnown = (): boolean => new RegExp(`\\b${type}$`, "m").test(readFileSync("/proc/filesystems", "utf8"));
    // A module is there from the first mount on only.
    return succeeds(`mkfs.${type}`, "-V") && (isKnown() || (succeeds("modprobe", "-q", type) && isKnown()));
  },
  lacking: `the kernel has no ${type}, or mkfs.${type} is missing`,
});

export type Feature =
  | "root"
  | "userns"
  | "cgroup1"
  | "cgroup2"
  | "cgroup2-controllers"
  | "veth"
  | "bridge"
  | "bridge-vlan"
  | "ipvlan"
  | "vlan"
  | "macvlan"
  | "passrights"
  | "dnsmasq"
  | "tc-bpf"
  | "tc-tbf"
  | "nftables"
  | "iptables-nft"
  | "iptables-legacy"
  | "dummy"
  | "seccomp"
  | "apparmor"
  | "selinux"
  | "overlay"
  | "loop"
  | "ext4"
  | "xfs"
  | "btrfs"
  | "lvm"
  | "project quotas"
  | "project quotas of xfs"
  | "binfmt32"
  | "strace"
  | "lxc"
  | "lxcfs"
  | "virsh"
  | "python3-libvirt"
  | "virt-install"
  | "newuidmap"
  | "tmux"
  | "linux32"
  | "timens"
  | "cpuset"
  | "bfq"
  | "fuse and tun"
  | "debian"
  | "systemd-socket-activate"
  | "ssh"
  | "dnf"
  | "systemd";

/** What a test may need of the host beyond the least that islet runs on: how to find out, and what to say if it is not there. */
const features: Readonly<Record<Feature, { readonly has: () => boolean; readonly lacking: string }>> = {
  root: { has: () => process.getuid?.() === 0, lacking: "not root" },
  userns: { has: () => limit("/proc/sys/user/max_user_namespaces"), lacking: "no user namespaces" },
  cgroup1: { has: () => / - cgroup /.test(mountinfo()), lacking: "no cgroup v1 hierarchy is mounted" },
  cgroup2: { has: () => / - cgroup2 /.test(mountinfo()), lacking: "no cgroup v2 hierarchy is mounted" },
  "cgroup2-controllers": {
    has: () => {
      const at = /^(?:\S+ ){4}(\S+) .* - cgroup2 /m.exec(mountinfo())?.[1];
      if (at === undefined) return false;
      const controllers = readFileSync(`${at}/cgroup.controllers`, "utf8").trim().split(" ");
      return ["memory", "pids"].every((name) => controllers.includes(name));
    },
    lacking: "the cgroup v2 hierarchy does not have the memory and pids controllers",
  },
  veth: {
    has: () => inNetns("ip link add islt-a type veth peer name islt-b"),
    lacking: "the kernel makes no veth pairs",
  },
  bridge: { has: () => linkType("bridge"), lacking: "the kernel makes no bridges" },
  // A kernel without them takes vlan_filtering and ignores it.
  "bridge-vlan": {
    has: () => inNetns("ip link add islt-a type bridge vlan_filtering 1 && bridge vlan add vid 5 dev islt-a self"),
    lacking: "bridges of this kernel know no VLANs, or bridge(8) is missing",
  },
  macvlan: {
    has: () =>
      inNetns("ip link add islt-a type veth peer name islt-b && ip link add link islt-a type macvlan mode bridge"),
    lacking: "the kernel makes no macvlan interfaces",
  },
  passrights: {
    has: () => {
      const [major = 0, minor = 0] = release().split(".").map(Number);
      return major > 6 || (major === 6 && minor >= 16);
    },
    lacking: "sockets of this kernel cannot refuse descriptors (Linux 6.16)",
  },
  dnsmasq: { has: () => succeeds("dnsmasq", "--version"), lacking: "dnsmasq is not installed" },
  "tc-bpf": {
    has: () => inNetns("tc qdisc add dev lo clsact && tc filter add dev lo ingress bpf bytecode '1,6 0 0 0'"),
    lacking: "the kernel has no BPF filters of links, or tc(8) is missing",
  },
  "tc-tbf": {
    has: () => inNetns("tc qdisc add dev lo root tbf rate 1mbit burst 16kb latency 50ms"),
    lacking: "the kernel has no token buckets, or tc(8) is missing",
  },
  vlan: {
    has: () =>
      inNetns("ip link add islt-a type veth peer name islt-b && ip link add link islt-a name islt-c type vlan id 7"),
    lacking: "the kernel makes no VLAN interfaces",
  },
  ipvlan: {
    has: () => inNetns("ip link add islt-a type veth peer name islt-b && ip link add link islt-a type ipvlan mode l3s"),
    lacking: "the kernel makes no ipvlan interfaces",
  },
  nftables: {
    has: () => inNetns("nft add table inet islt-probe"),
    lacking: "the kernel has no nftables, or nft(8) is missing",
  },
  "iptables-nft": {
    has: () => inNetns("iptables-nft -t nat -S && ip6tables-nft -S"),
    lacking: "iptables is not installed, or the kernel has no nftables",
  },
  "iptables-legacy": {
    has: () => inNetns("iptables-legacy -t nat -S && ip6tables-legacy -S"),
    lacking: "iptables is not installed, or the kernel has no tables for iptables-legacy",
  },
  dummy: { has: () => linkType("dummy"), lacking: "the kernel makes no dummy interfaces" },
  seccomp: {
    has: () => existsSync("/proc/sys/kernel/seccomp/actions_avail"),
    lacking: "no seccomp filters in the kernel",
  },
  selinux: {
    has: () => lxcContextsFile() !== null,
    lacking: "SELinux does not run here, or its policy says nothing of containers (npm run test:vm -- --selinux)",
  },
  apparmor: { has: () => existsSync("/sys/kernel/security/apparmor/profiles"), lacking: "no AppArmor in the kernel" },
  overlay: {
    has: () => /\boverlay$/m.test(readFileSync("/proc/filesystems", "utf8")),
    lacking: "no overlay file system",
  },
  loop: {
    has: () => existsSync("/dev/loop-control") && succeeds("losetup", "-f"),
    lacking: "no loop devices, or no losetup",
  },
  ext4: diskFeature("ext4"),
  xfs: diskFeature("xfs"),
  btrfs: diskFeature("btrfs"),
  lvm: {
    has: () => succeeds("lvs") && succeeds("dmsetup", "ls"),
    lacking: "no device mapper in the kernel, or no lvcreate (package lvm2)",
  },
  "project quotas": {
    has: () => quotasOn("mkfs.ext4 -q -F -O quota,project", "16M"),
    lacking: "the kernel has no project quotas of ext4 (CONFIG_QFMT_V2)",
  },
  "project quotas of xfs": {
    has: () => quotasOn("mkfs.xfs -q", "320M"),
    lacking: "the kernel has no project quotas of xfs (CONFIG_XFS_QUOTA), or there is no mkfs.xfs",
  },
  binfmt32: { has: () => existsSync("/proc/sys/abi/vsyscall32"), lacking: "the kernel runs no 32-bit programs" },
  strace: { has: () => succeeds("strace", "-V"), lacking: "strace is not installed" },
  lxc: { has: () => succeeds("/usr/bin/lxc-start", "--version"), lacking: "Debian's lxc is not installed" },
  virsh: { has: () => succeeds("virsh", "--version"), lacking: "Debian's libvirt-clients is not installed" },
  "python3-libvirt": {
    has: () => succeeds("/usr/bin/python3", "-c", "import libvirt"),
    lacking: "Debian's python3-libvirt is not installed",
  },
  "virt-install": { has: () => existsSync("/usr/bin/virt-install"), lacking: "Debian's virtinst is not installed" },
  lxcfs: {
    has: () => succeeds("lxcfs", "--version") && existsSync("/dev/fuse"),
    lacking: "lxcfs is not installed, or there is no /dev/fuse",
  },
  newuidmap: { has: () => existsSync("/usr/bin/newuidmap"), lacking: "newuidmap is not installed (package uidmap)" },
  linux32: {
    has: () => succeeds("setarch", "i686", "sh", "-c", '[ "$(uname -m)" = i686 ]'),
    lacking: "the kernel shows no other machine to 32-bit processes",
  },
  timens: { has: () => existsSync("/proc/self/ns/time"), lacking: "the kernel has no time namespaces" },
  cpuset: {
    has: () => /^cpuset\t\d+\t\d+\t1$/m.test(readFileSync("/proc/cgroups", "utf8")),
    lacking: "the kernel has no cpuset controller",
  },
  bfq: {
    has: () => existsSync("/sys/fs/cgroup/blkio/blkio.bfq.io_serviced"),
    lacking: "the host has no weights of BFQ on cgroup v1",
  },
  "fuse and tun": {
    has: () => ["/dev/fuse", "/dev/net/tun"].every((path) => existsSync(path)),
    lacking: "the host has no /dev/fuse or no /dev/net/tun",
  },
  tmux: { has: () => succeeds("tmux", "-V"), lacking: "tmux is not installed" },
  systemd: { has: () => existsSync("/run/systemd/system"), lacking: "PID 1 is not systemd" },
  "systemd-socket-activate": {
    has: () => succeeds("systemd-socket-activate", "--version"),
    lacking: "systemd is not installed",
  },
  ssh: { has: () => succeeds("ssh", "-V"), lacking: "openssh-client is not installed" },
  dnf: {
    has: () => ["dnf", "rpmbuild", "rpmsign", "createrepo_c"].every((name) => succeeds(name, "--version")),
    lacking: "dnf, rpm or createrepo-c is not installed",
  },
  debian: {
    has: () => succeeds("mmdebstrap", "--version") && mayMakeDebian(),
    lacking: "mmdebstrap is not installed, or no Debian mirror of apt's sources can be reached",
  },
};

/**
 * `if (lacks(t, "bridge")) return;`: true if the host lacks the feature, and the test is marked as skipped with the reason. Where
 * ISLET_REQUIRE (names with commas between, or `all`) lists the feature, its absence fails the test instead.
 */
export function lacks(t: TestContext, feature: Feature): boolean {
  const { has, lacking } = features[feature];
  if (has()) return false;
  const required = (process.env["ISLET_REQUIRE"] ?? "").split(",");
  if (required.includes(feature) || required.includes("all")) {
    throw new Error(`ISLET_REQUIRE asks for ${feature}, but: ${lacking}`);
  }
  t.skip(lacking);
  return true;
}
