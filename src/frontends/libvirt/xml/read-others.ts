/** Consoles, disks, host devices, and devices that a container has no use for. */
import type { Console, Disk, Hostdev, OpaqueElement, UsbDevice } from "./domain.js";
import { attributeText, opaqueText } from "./opaque.js";
import { readAddresses } from "./read-address.js";
import { imageFormats, missingSource, missingTarget } from "./read-filesystem.js";
import type { XmlElement } from "./tree.js";
import { attribute, choice, filled, first, internalError, requiredChoice, textAt, uintAttribute } from "./values.js";
import { unsigned32, unsignedOfAnyBase, unsupported, valueError, xmlError } from "./values.js";

const characterTypes = "null vc pty dev file pipe stdio udp tcp unix spicevmc spiceport nmdm qemu-vdagent dbus".split(
  " ",
);
const consoleTargets = "none serial xen uml virtio lxc openvz sclp sclplm".split(" ");

/** `port`: its place among the consoles, whatever the document says. */
export function readConsole(element: XmlElement, port: number): Console {
  const type = attribute(element, "type") ?? "pty";
  if (!characterTypes.includes(type)) throw unsupported(`unknown type presented to host for character device: ${type}`);
  const target = first(element, "target");
  const targetType = attribute(target, "type") ?? "none";
  if (!consoleTargets.includes(targetType))
    throw unsupported(`unknown target type '${targetType}' specified for character device`);
  const said = attribute(target, "port");
  if (said !== null && unsigned32(said) === null) throw xmlError(`Invalid port number: ${said}`);
  return { type, targetType: targetType === "none" ? "lxc" : targetType, port };
}

const diskTypes = ["none", "block", "file", "dir", "network", "volume", "nvme", "vhostuser"] as const;
const diskDevices = ["disk", "cdrom", "floppy", "lun"] as const;
const buses = ["", "ide", "fdc", "scsi", "virtio", "xen", "usb", "uml", "sata", "sd"] as const;
const busOf: readonly (readonly [string, string])[] = [
  ["hd", "ide"],
  ["sd", "scsi"],
  ["vd", "virtio"],
  ["xvd", "xen"],
  ["ubd", "uml"],
  ["fd", "fdc"],
];

export function readDisk(element: XmlElement): Disk {
  const type = choice(element, "type", diskTypes) ?? "file";
  const device = choice(element, "device", diskDevices) ?? "disk";
  if (type !== "block" && type !== "file") throw unsupported(`disk type '${type}' is not supported for containers`);
  if (device === "lun" && type !== "block")
    throw unsupported("disk device='lun' is only valid for block type disk source");
  const sourceElement = first(element, "source");
  const source = attribute(sourceElement, type === "block" ? "dev" : "file");
  const targetElement = first(element, "target");
  const target = filled(targetElement, "dev");
  const removable = device === "cdrom" || device === "floppy";
  if (target === null) throw missingTarget(source);
  if (source === null && !removable) throw missingSource(target);
  const driver = first(element, "driver");
  const format = attribute(driver, "type");
  if (format !== null && !imageFormats.includes(format)) throw unsupported(`unknown driver format value '${format}'`);
  const [, byName] = busOf.find(([prefix]) => target.startsWith(prefix)) ?? [];
  const kinds = {
    disk: ["hd", "sd", "vd", "xvd", "ubd"],
    lun: ["hd", "sd", "vd", "xvd", "ubd"],
    cdrom: ["hd", "sd", "vd", "xvd"],
    floppy: ["fd"],
  };
  const words = { disk: "harddisk", lun: "harddisk", cdrom: "cdrom", floppy: "floppy" }[device];
  const bus = choice(targetElement, "bus", buses) ?? "";
  if (byName === undefined) throw xmlError(`Unknown disk name '${target}' and no address specified`);
  if (!kinds[device].some((prefix) => target.startsWith(prefix)))
    throw internalError(`Invalid ${words} device name: ${target}`);
  return {
    type,
    device,
    driver: attribute(driver, "name"),
    format,
    source: source ?? "",
    target,
    bus: bus === "" ? byName : bus,
    readonly: device === "cdrom" || first(element, "readonly") !== null,
  };
}

/** The same name twice. */
export function checkDisks(disks: readonly Disk[]): void {
  const seen = new Map<string, Disk>();
  for (const disk of disks) {
    const other = seen.get(disk.target);
    if (other !== undefined)
      throw xmlError(`target '${disk.target}' duplicated for disk sources '${other.source}' and '${disk.source}'`);
    seen.set(disk.target, disk);
  }
}

/** The disks with one more, which is put before those of its bus whose names come later. */
export function insertDisk(disks: readonly Disk[], disk: Disk): readonly Disk[] {
  return inserted(disks, disk, ({ bus }) => bus);
}

function inserted(disks: readonly Disk[], disk: Disk, busSaid: (disk: Disk) => string | null): readonly Disk[] {
  const bus = busSaid(disk);
  const later = disks.findIndex((each) => busSaid(each) === bus && indexOf(each.target) > indexOf(disk.target));
  const last = disks.findLastIndex((each) => busSaid(each) === bus);
  const place = later >= 0 ? later : last >= 0 ? last + 1 : disks.length;
  return [...disks.slice(0, place), disk, ...disks.slice(place)];
}

/** Putting disks in order takes the square of their number. */
const mostDisks = 1_000;

/** In libvirt's order: by what the document says of buses, and then by what they are, so that the printed document is read in the same order. */
export function readDisks(elements: readonly XmlElement[]): readonly Disk[] {
  if (elements.length > mostDisks) throw unsupported(`more than ${mostDisks} disks`);
  const said = new Map<Disk, string | null>();
  for (const element of elements) said.set(readDisk(element), filled(first(element, "target"), "bus"));
  let disks: readonly Disk[] = [];
  for (const disk of said.keys()) disks = inserted(disks, disk, (each) => said.get(each) ?? null);
  return disks.reduce(insertDisk, []);
}

/** 0 of sda, 26 of sdaa; -1: a name of another kind. */
function indexOf(target: string): number {
  const letters = /^(?:hd|sd|vd|xvd|ubd|fd)([a-z]{1,3})$/.exec(target)?.[1] ?? "";
  let index = 0;
  for (const letter of letters) index = index * 26 + (letter.charCodeAt(0) - 96);
  return index - 1;
}

export interface DriveAddress {
  readonly controller: number;
  readonly bus: number;
  readonly unit: number;
}

/** Where a disk of that name is on its bus; null: on a bus without such addresses. */
export function driveAddress({ target, bus }: Disk): DriveAddress | null {
  const index = indexOf(target);
  if (index < 0) return null;
  const on = (units: number): DriveAddress => ({ controller: Math.floor(index / units), bus: 0, unit: index % units });
  switch (bus) {
    case "scsi":
      return on(7);
    case "sata":
      return on(6);
    case "fdc":
      return on(2);
    case "ide":
      return { controller: Math.floor(index / 4), bus: Math.floor((index % 4) / 2), unit: index % 2 };
    default:
      return null;
  }
}

/** Buses whose disks need controllers, in the order in which those are added. */
const controlled = ["scsi", "fdc", "ide", "sata"];

/** The controllers given, and those that the disks need. */
export function withControllers(others: readonly OpaqueElement[], disks: readonly Disk[]): readonly OpaqueElement[] {
  const controllers = others.filter(({ name }) => name === "controller");
  // Up to a number's closing quote: index 1 is not index 10.
  const given = new Set(controllers.map(({ xml }) => /^<controller type='[a-z]+' index='\d+'/.exec(xml)?.[0]));
  for (const bus of controlled) {
    const last = Math.max(-1, ...disks.map((disk) => (disk.bus === bus ? (driveAddress(disk)?.controller ?? -1) : -1)));
    for (let index = 0; index <= last; index += 1) {
      const xml = `<controller type='${bus}' index='${index}'`;
      if (!given.has(xml)) controllers.push({ name: "controller", xml: `${xml}/>` });
    }
  }
  return [...controllers, ...others.filter(({ name }) => name !== "controller")];
}

const subsystems = ["usb", "pci", "scsi", "scsi_host", "mdev"];
const capabilityTypes = ["storage", "misc", "net"];

export function readHostdev(element: XmlElement): Hostdev {
  const mode = attribute(element, "mode") ?? "subsystem";
  if (mode !== "subsystem" && mode !== "capabilities") throw unsupported(`unknown hostdev mode '${mode}'`);
  const type = attribute(element, "type");
  if (type === null) throw xmlError("missing source address type");
  if (!(mode === "subsystem" ? subsystems : capabilityTypes).includes(type))
    throw unsupported(`unknown host device source address type '${type}'`);
  const source = first(element, "source");
  if (source === null) throw xmlError("Missing <source> element in hostdev device");
  if (mode === "subsystem") return readSubsystem(element, source, type);
  const read = (name: string, words: string): string => {
    const text = textAt(source, name);
    if (text === null) throw xmlError(`Missing <${name}> element in hostdev ${words} device`);
    return text;
  };
  switch (type) {
    case "storage":
      return { kind: type, block: read("block", "storage") };
    case "misc":
      return { kind: type, char: read("char", "character") };
    default:
      return { kind: "net", interface: read("interface", "net"), ...readAddresses(element, "Domain hostdev device") };
  }
}

function readSubsystem(element: XmlElement, source: XmlElement, type: string): Hostdev {
  const managed = attribute(element, "managed") === "yes" ? "yes" : "no";
  if (type === "usb") return readUsb(source, managed);
  if (type === "pci") {
    const address = first(source, "address");
    const at = (name: string, digits: number): string =>
      attributeText(name, hex(address === null ? 0 : (uintAttribute(address, name, unsignedOfAnyBase) ?? 0), digits));
    const inner = `<address${at("domain", 4)}${at("bus", 2)}${at("slot", 2)}${at("function", 1)}/>`;
    return { kind: "pci", xml: subsystemLines("pci", managed, "<source", [inner]).join("\n") };
  }
  throw unsupported(`host devices of type '${type}' are not supported for containers`);
}

function readUsb(source: XmlElement, managed: UsbDevice["managed"]): UsbDevice {
  const number = (from: XmlElement, name: string): number => {
    const value = uintAttribute(from, name, unsignedOfAnyBase);
    if (value === null) throw valueError(`Missing required attribute '${name}' in element '${from.name}'`);
    return value;
  };
  const startupPolicy = choice(source, "startupPolicy", startupPolicies);
  const [vendor, product, address] = [first(source, "vendor"), first(source, "product"), first(source, "address")];
  if (vendor !== null && product === null) throw internalError("missing product");
  if (product !== null && vendor === null) throw internalError("missing vendor");
  const ids =
    vendor === null || product === null
      ? { vendor: null, product: null }
      : { vendor: number(vendor, "id"), product: number(product, "id") };
  if (ids.vendor === 0) throw valueError("Invalid value for attribute 'id' in element 'vendor': Zero is not permitted");
  const [bus, device] = address === null ? [0, 0] : [number(address, "bus"), number(address, "device")];
  const place = bus + device === 0 ? { bus: null, device: null } : { bus, device };
  return { kind: "usb", managed, startupPolicy, ...ids, ...place };
}

const startupPolicies = ["mandatory", "requisite", "optional"] as const;
const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, "0")}`;

function subsystemLines(
  type: "usb" | "pci",
  managed: UsbDevice["managed"],
  head: string,
  inner: readonly string[],
): readonly string[] {
  const body =
    inner.length === 0 ? [`  ${head}/>`] : [`  ${head}>`, ...inner.map((line) => `    ${line}`), "  </source>"];
  return [`<hostdev mode='subsystem' type='${type}' managed='${managed}'>`, ...body, "</hostdev>"];
}

/** As libvirt prints it. */
export function usbLines({ managed, startupPolicy, vendor, product, bus, device }: UsbDevice): readonly string[] {
  return subsystemLines(
    "usb",
    managed,
    startupPolicy === null ? "<source" : `<source startupPolicy='${startupPolicy}'`,
    [
      ...(vendor === null || product === null
        ? []
        : [`<vendor id='${hex(vendor, 4)}'/>`, `<product id='${hex(product, 4)}'/>`]),
      ...(bus === null || device === null ? [] : [`<address bus='${bus}' device='${device}'/>`]),
    ],
  );
}

/** In the order of libvirt's output; disks and what else has a place of its own are not here. */
export const otherDevices: readonly string[] =
  "controller lease smartcard serial parallel channel tpm sound audio redirdev redirfilter hub watchdog memballoon rng nvram panic shmem memory iommu vsock".split(
    " ",
  );

/** null: dropped. Screens and keyboards are refused in libvirt's words. */
export function readOther(element: XmlElement): OpaqueElement | null {
  const { name } = element;
  if (name === "input") throw internalError("Input devices are not supported by this virtualization driver.");
  if (name === "graphics" || name === "video") {
    if (name === "graphics")
      requiredChoice(element, "type", ["sdl", "vnc", "rdp", "desktop", "spice", "egl-headless", "dbus"]);
    throw internalError("missing video model and cannot determine default");
  }
  return otherDevices.includes(name) ? { name, xml: opaqueText(element) } : null;
}
