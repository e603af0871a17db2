import type { DomainDoc, Filesystem } from "../xml/domain.js";
import { unsupported } from "./faults.js";
import { mountWord, type NativeLine } from "./native-line.js";
import type { ToNativeContext } from "./to-native.js";

type Place = Pick<ToNativeContext, "isDirectory" | "deviceNumbers">;

/** The root and what is mounted in it. Without a root LXC, too, takes the host's. */
export function filesystemLines({ filesystems }: DomainDoc, place: Place): readonly NativeLine[] {
  return filesystems.flatMap((filesystem) =>
    filesystem.target === "/" ? rootLines(filesystem) : [mountLine(filesystem, place)],
  );
}

function rootLines({ source, readonly }: Filesystem): readonly NativeLine[] {
  const options: readonly NativeLine[] = readonly ? [["lxc.rootfs.options", "ro"]] : [];
  switch (source.kind) {
    case "mount":
      return [["lxc.rootfs.path", `dir:${source.dir}`], ...options];
    case "block":
      return [["lxc.rootfs.path", source.dev], ...options];
    case "file":
      if ((source.driver ?? "loop") !== "loop" || (source.format ?? "raw") !== "raw")
        throw unsupported(`LXC cannot mount ${source.file} of format ${source.format ?? "raw"} as root`);
      return [["lxc.rootfs.path", `loop:${source.file}`], ...options];
    default:
      throw unsupported(`LXC has no root of type ${source.kind === "other" ? source.type : source.kind}`);
  }
}

function mountLine({ source, target, readonly }: Filesystem, place: Place): NativeLine {
  const ro = readonly ? ["ro"] : [];
  switch (source.kind) {
    case "mount":
      return entry(source.dir, target, "none", ["bind", ...ro, creating(place.isDirectory(source.dir))]);
    case "bind":
      return entry(source.dir.replace(/^\/+/, ""), target, "none", ["bind", "relative", ...ro, creating(true)]);
    case "ram":
      return entry("tmpfs", target, "tmpfs", ["nosuid", "nodev", `size=${source.usage}k`, ...ro, creating(true)]);
    case "block":
      throw unsupported(
        `LXC mounts ${source.dev} on ${target} only with the type of its file system, which a domain does not name`,
      );
    case "file":
      throw unsupported(`LXC cannot mount the file ${source.file} on ${target}`);
    case "other":
      throw unsupported(`LXC has no filesystem of type ${source.type}`);
    default:
      return source satisfies never;
  }
}

const creating = (isDirectory: boolean): string => (isDirectory ? "create=dir" : "create=file");

const entry = (source: string, target: string, type: string, options: readonly string[]): NativeLine => [
  "lxc.mount.entry",
  `${mountWord(source)} ${mountWord(target.replace(/^\/+/, ""))} ${type} ${options.join(",")} 0 0`,
];

/** Devices of the host's: each is bound into the guest's /dev, and its device controller lets it pass. */
export function deviceLines({ disks, hostdevs }: DomainDoc, place: Place): readonly NativeLine[] {
  return [
    ...disks.flatMap((disk) => {
      if (disk.type !== "block") throw unsupported(`LXC has no disk of the file ${disk.source}`);
      return boundDevice(disk.source, `/dev/${disk.target}`, disk.readonly, place);
    }),
    ...hostdevs.flatMap((hostdev) => {
      switch (hostdev.kind) {
        case "storage":
          return boundDevice(hostdev.block, hostdev.block, false, place);
        case "misc":
          return boundDevice(hostdev.char, hostdev.char, false, place);
        case "net":
          return [];
        case "usb":
        case "pci":
          throw unsupported(`LXC has no words for a ${hostdev.kind} device of the host`);
        default:
          return hostdev satisfies never;
      }
    }),
  ];
}

function boundDevice(source: string, target: string, readonly: boolean, place: Place): readonly NativeLine[] {
  const numbers = place.deviceNumbers(source);
  if (numbers === null) throw unsupported(`${source} is no device of this host`);
  const access = readonly ? "r" : "rwm";
  return [
    entry(source, target, "none", ["bind", "create=file"]),
    ...allowed(`${numbers.kind} ${numbers.major}:${numbers.minor} ${access}`),
  ];
}

const allowed = (rule: string): readonly NativeLine[] => [
  ["lxc.cgroup.devices.allow", rule],
  ["lxc.cgroup2.devices.allow", rule],
];

/** What every domain may open: null, zero, full, random, urandom, tty, ptmx, fuse, and its ptys. */
const basicDevices = ["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2", "10:229", "136:*"];

/** Nothing but these, as in libvirt's containers. */
export const basicDeviceLines: readonly NativeLine[] = [
  ["lxc.cgroup.devices.deny", "a"],
  ["lxc.cgroup2.devices.deny", "a"],
  ...basicDevices.flatMap((numbers) => allowed(`c ${numbers} rwm`)),
];
