/** Devices put into documents, found there, replaced and taken out, as virDomainAttachDeviceFlags and its like do it. */
import { type ErrorCode, errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { Device } from "./device.js";
import type { DomainDoc, Hostdev, Interface } from "./domain.js";

/** Of which document: libvirt's words are others for each. */
export type Impact = "config" | "live";

const fault = (code: ErrorCode, message: string): LibvirtError => new LibvirtError(code, errorDomains.lxc, message);

/** libvirt's name for a kind of device. */
const kindOf = (device: Device): string =>
  device.kind === "other" ? device.device.name : device.kind === "console" ? "chr" : device.kind;

function unsuited(device: Device, impact: Impact, verb: "attach" | "detach"): LibvirtError {
  return fault(
    errorCodes.configUnsupported,
    impact === "config"
      ? `persistent ${verb} of device is not supported`
      : `device type '${kindOf(device)}' cannot be ${verb}ed`,
  );
}

/** Is `a` what `b` names? A USB device is named by its place, or without one by its ids. */
export function isSameHostdev(a: Hostdev, b: Hostdev): boolean {
  switch (a.kind) {
    case "storage":
      return b.kind === a.kind && a.block === b.block;
    case "misc":
      return b.kind === a.kind && a.char === b.char;
    case "net":
      return b.kind === a.kind && a.interface === b.interface;
    case "usb":
      if (b.kind !== a.kind) return false;
      return b.bus !== null && b.device !== null
        ? a.bus === b.bus && a.device === b.device
        : a.vendor === b.vendor && a.product === b.product;
    case "pci":
      return b.kind === a.kind && a.xml === b.xml;
    default:
      return a satisfies never;
  }
}

/** @throws LibvirtError what is there already, or what the LXC driver attaches not at all. */
export function withDevice(doc: DomainDoc, device: Device, impact: Impact): DomainDoc {
  switch (device.kind) {
    case "disk": {
      const { target } = device.device;
      if (doc.disks.some((each) => each.target === target))
        throw impact === "config"
          ? fault(errorCodes.invalidArgument, `target ${target} already exists.`)
          : fault(errorCodes.operationFailed, `target ${target} already exists`);
      return { ...doc, disks: [...doc.disks, device.device] };
    }
    case "hostdev": {
      if (doc.hostdevs.some((each) => isSameHostdev(each, device.device)))
        throw impact === "config"
          ? fault(errorCodes.invalidArgument, "device is already in the domain configuration")
          : fault(
              errorCodes.operationFailed,
              device.device.kind === "usb" ? "host USB device already exists" : "host device already exists",
            );
      return { ...doc, hostdevs: [...doc.hostdevs, device.device] };
    }
    case "interface":
      return { ...doc, interfaces: [...doc.interfaces, device.device] };
    case "filesystem":
    case "console":
    case "other":
      throw unsuited(device, impact, "attach");
    default:
      return device satisfies never;
  }
}

export interface Removed {
  readonly doc: DomainDoc;
  /** As it was there, which says more than what the client gave. */
  readonly device: Extract<Device, { readonly kind: "disk" | "hostdev" | "interface" }>;
}

/** @throws LibvirtError it is not there, or what the LXC driver detaches not at all. */
export function withoutDevice(doc: DomainDoc, device: Device, impact: Impact): Removed {
  switch (device.kind) {
    case "disk": {
      const { target } = device.device;
      const found = doc.disks.find((each) => each.target === target);
      if (found === undefined)
        throw impact === "config"
          ? fault(errorCodes.invalidArgument, `no target device ${target}`)
          : fault(errorCodes.operationFailed, `disk ${target} not found`);
      return {
        doc: { ...doc, disks: doc.disks.filter((each) => each !== found) },
        device: { kind: "disk", device: found },
      };
    }
    case "hostdev": {
      const found = doc.hostdevs.find((each) => isSameHostdev(each, device.device));
      if (found === undefined) throw noHostdev(device.device, impact);
      return {
        doc: { ...doc, hostdevs: doc.hostdevs.filter((each) => each !== found) },
        device: { kind: "hostdev", device: found },
      };
    }
    case "interface": {
      const found = findInterface(doc.interfaces, device.device.mac);
      return {
        doc: { ...doc, interfaces: doc.interfaces.filter((each) => each !== found) },
        device: { kind: "interface", device: found },
      };
    }
    case "filesystem":
    case "console":
    case "other":
      throw unsuited(device, impact, "detach");
    default:
      return device satisfies never;
  }
}

function noHostdev(hostdev: Hostdev, impact: Impact): LibvirtError {
  if (impact === "config") return fault(errorCodes.invalidArgument, "device not present in domain configuration");
  const name = hostdev.kind === "storage" ? hostdev.block : hostdev.kind === "misc" ? hostdev.char : null;
  return fault(
    errorCodes.operationFailed,
    name === null ? `${hostdev.kind} device not found` : `hostdev ${name} not found`,
  );
}

/** In a definition; a running domain's devices stay as they are. @throws LibvirtError */
export function withReplaced(doc: DomainDoc, device: Device): DomainDoc {
  if (device.kind !== "interface")
    throw fault(errorCodes.configUnsupported, "persistent update of device is not supported");
  const found = findInterface(doc.interfaces, device.device.mac);
  const fresh = { ...device.device, mac: found.mac };
  return { ...doc, interfaces: doc.interfaces.map((each) => (each === found ? fresh : each)) };
}

/** `mac` "": the client has given none, which is enough where there is one interface. */
function findInterface(interfaces: readonly Interface[], mac: string): Interface {
  const [found, other] = interfaces.filter((each) => mac === "" || each.mac === mac);
  const whose = mac === "" ? "" : ` matching MAC address ${mac}`;
  const problem = (code: ErrorCode, message: string): LibvirtError =>
    new LibvirtError(code, errorDomains.domain, message);
  if (found === undefined)
    throw problem(errorCodes.deviceMissing, mac === "" ? "no matching device found" : `no device${whose} found`);
  if (other !== undefined)
    throw problem(
      errorCodes.operationFailed,
      mac === "" ? "multiple matching devices found" : `multiple devices${whose} found`,
    );
  return found;
}
