/** Device nodes of the guest's, and the rules of what it may use. */
import type { DeviceRule } from "../../../spec/cgroup.js";
import type { DeviceNode, DevSpec, DiskImage } from "../../../spec/mount.js";
import type { CapabilityRule } from "../../../spec/security.js";
import { errorCodes, errorDomains, type LibvirtError } from "../errors.js";
import type { Disk, DomainDoc, Hostdev } from "../xml/domain.js";
import { mayMakeNodes } from "./capability.js";
import { type SpecContext, refusal, unsupported } from "./context.js";

export interface GuestDevices {
  readonly dev: DevSpec;
  /** Nodes of a guest with ids of its own: they must belong to its root. */
  readonly mapped: readonly DeviceNode[];
  readonly rules: readonly DeviceRule[];
}

// prettier-ignore
const usualNodes: readonly DeviceNode[] = [
  { name: "null", type: "c", major: 1, minor: 3, mode: 0o666 },
  { name: "zero", type: "c", major: 1, minor: 5, mode: 0o666 },
  { name: "full", type: "c", major: 1, minor: 7, mode: 0o666 },
  { name: "random", type: "c", major: 1, minor: 8, mode: 0o666 },
  { name: "urandom", type: "c", major: 1, minor: 9, mode: 0o666 },
  { name: "tty", type: "c", major: 5, minor: 0, mode: 0o666 },
];

/** libvirt's own size. */
const tmpfsSize = 64 * 1024;
/** Nodes that the document names are for the guest's root. */
const nodeMode = 0o700;

/** @throws LibvirtError where the host does not have what the document names. */
export function guestDevices(doc: DomainDoc, kept: CapabilityRule, context: SpecContext): GuestDevices {
  const extra = [
    ...timerDevices(doc, context),
    ...doc.disks.filter(({ type }) => type === "block").map((disk) => diskDevice(disk, context)),
    ...doc.hostdevs.flatMap((hostdev) => hostDevice(hostdev, context)),
  ];
  const roots = doc.filesystems.flatMap(({ source, readonly }) => {
    if (source.kind !== "block") return [];
    const { type, major, minor } = deviceAt(source.dev, "b", context);
    return [rule(type, major, minor, readonly ? "r" : "rw")];
  });
  const images = doc.disks.filter(({ type }) => type === "file").map((disk) => diskImage(disk, context));
  const nodes = extra.flatMap(({ node }) => (node === null ? [] : [node]));
  const isMapped = doc.idmap !== null;
  return {
    mapped: isMapped ? nodes : [],
    dev: {
      populate: true,
      noSetUid: true,
      tmpfsSize,
      nodes: [...usualNodes, ...(isMapped ? [] : nodes)],
      ...(images.length === 0 ? {} : { images }),
      links: [
        { name: "stdin", target: "/proc/self/fd/0" },
        { name: "stdout", target: "/proc/self/fd/1" },
        { name: "stderr", target: "/proc/self/fd/2" },
        { name: "fd", target: "/proc/self/fd" },
      ],
    },
    rules: [
      { ...rule("c", null, null, "rwm"), allow: false, type: "a" },
      ...usualRules,
      ...(mayMakeNodes(kept) ? [rule("c", null, null, "m"), rule("b", null, null, "m")] : []),
      ...extra.map((device) => device.rule),
      ...roots,
    ],
  };
}

interface NamedDevice {
  readonly node: DeviceNode | null;
  readonly rule: DeviceRule;
}

function rule(type: "c" | "b", major: number | null, minor: number | null, access: string): DeviceRule {
  const [read, write, mknod] = [access.includes("r"), access.includes("w"), access.includes("m")];
  return { allow: true, type, major, minor, read, write, mknod, at: null };
}

/** What every guest may use. */
const usualRules: readonly DeviceRule[] = [
  ...[3, 5, 7, 8, 9].map((minor) => rule("c", 1, minor, "rwm")),
  rule("c", 5, 0, "rwm"),
  rule("c", 5, 2, "rwm"),
  rule("c", 10, 229, "rwm"),
  rule("c", 136, null, "rwm"),
];

type Host = Pick<SpecContext, "stat">;
type NodeDevice =
  { readonly kind: "disk"; readonly device: Disk } | { readonly kind: "hostdev"; readonly device: Hostdev };

/** A disk or a device of the host's as the guest gets it; null: it has no node (an interface). Throws LibvirtError. */
export interface GuestNode {
  /** On the host, and inside. */
  readonly source: string;
  readonly destination: string;
  readonly mode: number;
  readonly rule: DeviceRule;
}

export function guestNode({ kind, device }: NodeDevice, context: Host): GuestNode | null {
  const [made] = kind === "disk" ? [diskDevice(device, context)] : hostDevice(device, context);
  if (made === undefined || made.node === null) return null;
  const { name, host, mode } = made.node;
  return { source: host ?? `/dev/${name}`, destination: `/dev/${name}`, mode, rule: made.rule };
}

/** May a guest of this document use the device, for whatever reason? */
export function mayUse(doc: Pick<DomainDoc, "disks" | "hostdevs">, wanted: DeviceRule, context: Host): boolean {
  const isSame = ({ type, major, minor }: DeviceRule): boolean =>
    type === wanted.type && major === wanted.major && (minor === null || minor === wanted.minor);
  const devices: readonly NodeDevice[] = [
    ...doc.disks.map((device) => ({ kind: "disk" as const, device })),
    ...doc.hostdevs.map((device) => ({ kind: "hostdev" as const, device })),
  ];
  return (
    usualRules.some(isSame) ||
    devices.some((device) => {
      try {
        const node = guestNode(device, context);
        return node !== null && isSame(node.rule);
      } catch {
        // It is gone from the host.
        return false;
      }
    })
  );
}

function deviceAt(
  path: string,
  type: "c" | "b",
  context: Host,
): { readonly type: "c" | "b"; readonly major: number; readonly minor: number } {
  const found = context.stat(path);
  if (found === null)
    throw refusal(errorCodes.system, errorDomains.lxc, `Unable to access ${path}: No such file or directory`);
  if (found.kind !== type)
    throw unsupported(
      `${type === "c" ? "Hostdev" : "Storage"} source ${path} must be a ${type === "c" ? "character" : "block"} device`,
    );
  return { type, major: found.major, minor: found.minor };
}

/** Below /dev, where alone the guest has nodes of its own. */
function nodeName(path: string): string {
  const parts = path.split("/").filter(Boolean);
  const [first, ...rest] = parts;
  if (
    !path.startsWith("/") ||
    first !== "dev" ||
    rest.length === 0 ||
    rest.some((part) => part === "." || part === "..")
  )
    throw unsupported(`device ${path} is not below /dev`);
  return rest.join("/");
}

function named(name: string, path: string, type: "c" | "b", access: string, context: Host): NamedDevice {
  const found = deviceAt(path, type, context);
  return {
    node: { name, ...found, mode: nodeMode, ...(path === `/dev/${name}` ? {} : { host: path }) },
    rule: rule(type, found.major, found.minor, access),
  };
}

const timerPaths: Readonly<Record<string, string>> = { rtc: "/dev/rtc", hpet: "/dev/hpet" };

/** A timer that is present may be read; the guest finds it in its /dev where the clock is to be the host's. */
function timerDevices({ clock }: DomainDoc, context: SpecContext): readonly NamedDevice[] {
  return clock.timers.flatMap(({ name, present }) => {
    const path = timerPaths[name];
    if (path === undefined || present !== true) return [];
    const isLocal = clock.offset === "localtime";
    if (!isLocal && context.stat(path) === null) return [];
    const device = named(name, path, "c", "r", context);
    return [isLocal ? device : { ...device, node: null }];
  });
}

function diskDevice({ type, source, target, readonly }: Disk, context: Host): NamedDevice {
  if (type !== "block") throw unsupported("Can't setup disk for non-block device");
  if (source === "") throw withoutMedia();
  return named(nodeName(`/dev/${target}`), source, "b", readonly ? "rm" : "rwm", context);
}

const withoutMedia = (): LibvirtError => unsupported("Can't setup disk without media");

/** Raw images become loop devices; what else a driver would have to be found for is refused. */
function diskImage({ driver, format, source, target, readonly }: Disk, context: Host): DiskImage {
  const isRaw = format === null || format === "none" || format === "raw";
  if (driver !== null && driver !== "loop") throw unsupported(`disk driver ${driver} is not supported`);
  if (!isRaw) throw unsupported(`disk format ${format} is not supported`);
  if (source === "") throw withoutMedia();
  const found = context.stat(source);
  if (found === null)
    throw refusal(errorCodes.system, errorDomains.none, `Unable to open ${source}: No such file or directory`);
  if (found.kind !== "file" && found.kind !== "b") throw unsupported(`Storage source ${source} must be a file`);
  return { name: nodeName(`/dev/${target}`), path: source, readonly, mode: nodeMode };
}

function hostDevice(hostdev: Hostdev, context: Host): readonly NamedDevice[] {
  switch (hostdev.kind) {
    case "storage":
      return [named(nodeName(hostdev.block), hostdev.block, "b", "rwm", context)];
    case "misc":
      return [named(nodeName(hostdev.char), hostdev.char, "c", "rwm", context)];
    case "usb": {
      const { bus, device } = hostdev;
      if (bus === null || device === null)
        throw unsupported("USB host devices must be named by <vendor> and <product>, or by <address>");
      const number = (value: number): string => String(value).padStart(3, "0");
      const path = `/dev/bus/usb/${number(bus)}/${number(device)}`;
      return [named(nodeName(path), path, "c", "rwm", context)];
    }
    case "pci":
      throw unsupported("Unsupported host device type pci");
    case "net":
      return [];
    default:
      return hostdev satisfies never;
  }
}
