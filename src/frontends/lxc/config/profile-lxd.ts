/** LXD's container environment ("Container runtime environment" of its documentation). docs/guests/lxd.md goes through it point by point. */
import { capabilityNumber } from "../../../spec/capability.js";
import type { DeviceRule } from "../../../spec/cgroup.js";
import type { GuestSpec } from "../../../spec/guest.js";
import type { DeviceNode } from "../../../spec/mount.js";
import { parseMountOptions } from "../../../spec/mount-options.js";
import type { NicSpec } from "../../../spec/nic.js";
import type { RootfsSpec } from "../../../spec/rootfs.js";
import type { SecuritySpec } from "../../../spec/security.js";
import type { ContainerSpec, NetworkSpec } from "../../../spec/spec.js";
import type { Values } from "./model.js";
import { autoMountsOr } from "./profile.js";

// prettier-ignore
const devices: readonly DeviceNode[] = [
  { name: "fuse", type: "c", major: 10, minor: 229, mode: 0o666 },
  { name: "net/tun", type: "c", major: 10, minor: 200, mode: 0o666 },
];

/** Of the kernel's own file systems, in the order of their paths. */
const kernelDirectories: readonly string[] = [
  "/sys/firmware/efi/efivars",
  "/sys/fs/fuse/connections",
  "/sys/fs/pstore",
  "/sys/kernel/config",
  "/sys/kernel/debug",
  "/sys/kernel/security",
  "/sys/kernel/tracing",
];

const droppedCapabilities = ["sys_time", "sys_module", "sys_rawio", "mac_admin", "mac_override"] as const;

/** Any node may be made; only these may be opened. */
const openDevices: readonly (readonly [major: number, minor: number | null])[] = [
  [136, null],
  [1, 3],
  [1, 5],
  [1, 7],
  [1, 8],
  [1, 9],
  [5, 0],
  [5, 1],
  [5, 2],
  [10, 229],
  [10, 200],
];

/** A rule without a place in the configuration: a host that cannot keep it (one in a user namespace) goes without. */
function rule(allow: boolean, type: DeviceRule["type"], major: number | null, minor: number | null): DeviceRule {
  const open = type === "a" || major !== null;
  return { allow, type, major, minor, read: open, write: open, mknod: true, at: null };
}

const deviceRules: readonly DeviceRule[] = [
  rule(false, "a", null, null),
  rule(true, "b", null, null),
  rule(true, "c", null, null),
  ...openDevices.map(([major, minor]) => rule(true, "c", major, minor)),
];

/** Stands for a file where messages name the policy. */
export const lxdPolicyName = "islet.guest = lxd";

/** 1024 with the console's own. */
const ptysBesideConsole = 1023;

/** LXC's usual policy: what loads code into the kernel or opens files past the mount namespace does not exist; no forced unmount. */
const seccompPolicy = `2
denylist
[all]
reject_force_umount
kexec_load errno 38
open_by_handle_at errno 38
init_module errno 38
finit_module errno 38
delete_module errno 38
`;

export function lxdProfile(spec: ContainerSpec, values: Values): ContainerSpec {
  const isMapped = spec.namespaces.user.kind !== "keep";
  return {
    ...spec,
    // The longest that sethostname(2) takes.
    hostname: spec.hostname ?? (spec.name.length <= 64 ? { value: spec.name, at: null } : null),
    process: {
      ...spec.process,
      // A PATH that is meant for the guest is none for the host's hooks.
      environment: spec.process.environment.map((entry) =>
        entry.scope === "all" ? { ...entry, scope: "runtime" as const } : entry,
      ),
    },
    rootfs: isMapped ? withoutDevices(spec.rootfs) : spec.rootfs,
    mounts: {
      ...spec.mounts,
      auto: autoMountsOr(spec.mounts.auto, values, {
        ...(isMapped ? { proc: "rw", sys: "rw" } : { proc: "mixed", sys: "mixed" }),
        cgroup: { scope: "own", mode: "rw", force: false },
      }),
    },
    console: values.ptyMax === null ? { ...spec.console, ptys: ptysBesideConsole } : spec.console,
    security: security(spec.security, values, isMapped),
    cgroup:
      isMapped || spec.cgroup.devicesV1.length + spec.cgroup.devicesV2.length > 0
        ? spec.cgroup
        : { ...spec.cgroup, devicesV1: deviceRules },
    network: withLinksUp(spec.network, values),
    guest: guest(spec, isMapped),
  };
}

/** Nodes that came with an image open nothing in an id-mapped guest, which could not have made them: unless the configuration says dev. */
function withoutDevices(rootfs: RootfsSpec): RootfsSpec {
  const { options } = rootfs;
  const nodev = parseMountOptions(["nodev"]).flags;
  if ((options.clear & nodev) !== 0) return rootfs;
  return { ...rootfs, options: { ...options, flags: options.flags | nodev } };
}

function security(spec: SecuritySpec, values: Values, isMapped: boolean): SecuritySpec {
  const saysCapabilities = values.capKeepMode || values.capDrop.length > 0;
  const capabilities = droppedCapabilities.flatMap((name) => capabilityNumber(name) ?? []);
  return {
    ...spec,
    capabilities: isMapped || saysCapabilities ? spec.capabilities : { kind: "drop", capabilities },
    seccomp: spec.seccomp ?? {
      file: lxdPolicyName,
      text: seccompPolicy,
      allowNesting: false,
      notifyProxy: null,
      notifyCookie: null,
      at: null,
    },
  };
}

/** No device at all: what is up is lo. */
const loopback: NicSpec = {
  type: "empty",
  index: 0,
  name: null,
  up: true,
  hwaddr: null,
  mtu: null,
  addresses: [],
  gateway4: null,
  gateway6: null,
  scriptUp: null,
  scriptDown: null,
  at: null,
};

/** Links that are there at boot are up. */
function withLinksUp(network: NetworkSpec, values: Values): NetworkSpec {
  if (network.kind === "host") return network;
  const saysFlags = new Set(values.nics.filter((nic) => nic.flags !== null).map((nic) => nic.index));
  if (network.nics.length === 0) return { ...network, nics: [loopback] };
  return { ...network, nics: network.nics.map((nic) => (saysFlags.has(nic.index) ? nic : { ...nic, up: true })) };
}

/** What the configuration mounts itself at one of these places is not mounted a second time. */
function guest(spec: ContainerSpec, isMapped: boolean): GuestSpec {
  const own = new Set(spec.mounts.entries.map((entry) => entry.target));
  const directories = kernelDirectories.filter((path) => !own.has(path.slice(1)));
  return {
    ...spec.guest,
    lockedRoot: isMapped,
    devices: devices.filter((node) => !own.has(`dev/${node.name}`)),
    mqueue: !own.has("dev/mqueue"),
    log: true,
    nesting: spec.security.apparmor.allowNesting,
    hostDirectories: isMapped ? directories : [],
    hidden: isMapped ? [] : directories,
    binfmtMisc: isMapped ? "host" : "hidden",
    unifiedCgroups: true,
    defaultSignals: true,
  };
}
