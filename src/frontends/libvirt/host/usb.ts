/** USB devices of the host, as sysfs tells of them (sysfs-bus-usb of the kernel's documentation), and those that domains name. */
import { type ErrorCode, errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { DomainDoc, Hostdev, UsbDevice } from "../xml/domain.js";
import type { HostFiles } from "./files.js";

interface Found {
  readonly vendor: number;
  readonly product: number;
  readonly bus: number;
  readonly device: number;
}

const directory = "/sys/bus/usb/devices";

/** Hubs are devices, too; interfaces (`1-1:1.0`) are none. One that goes while we look is not there. */
function usbDevices(files: HostFiles): readonly Found[] {
  return files.list(directory).flatMap((name) => {
    const bus = /^(?:usb)?(\d{1,9})(?:-[\d.]+)?$/.exec(name)?.[1];
    const number = (file: string, base: 10 | 16): number | null => {
      const text = files.read(`${directory}/${name}/${file}`)?.trim() ?? "";
      return (base === 16 ? /^[0-9a-f]{1,8}$/i : /^\d{1,9}$/).test(text) ? Number.parseInt(text, base) : null;
    };
    const [vendor, product, device] = [number("idVendor", 16), number("idProduct", 16), number("devnum", 10)];
    return bus === undefined || vendor === null || product === null || device === null
      ? []
      : [{ vendor, product, bus: Number(bus), device }];
  });
}

const fault = (code: ErrorCode, message: string): LibvirtError => new LibvirtError(code, errorDomains.none, message);

/** Where the device is that a domain names; null: it is not there, and need not be. Throws LibvirtError. */
export function findUsb(wanted: UsbDevice, files: HostFiles): UsbDevice | null {
  const { vendor, product, bus, device, startupPolicy } = wanted;
  const hasIds = vendor !== null && product !== null;
  const hasPlace = bus !== null && bus > 0;
  // Which of them it is says the start, which then has no device.
  if (!hasIds && !hasPlace) return wanted;
  const found = usbDevices(files).filter(
    (each) =>
      (!hasIds || (each.vendor === vendor && each.product === product)) &&
      (!hasPlace || (each.bus === bus && each.device === device)),
  );
  const [first, other] = found;
  if (first === undefined) {
    if (startupPolicy === "optional" || startupPolicy === "requisite") return null;
    const ids = hasIds ? ` ${hex(vendor).padStart(4, "0")}:${hex(product).padStart(4, "0")}` : "";
    const place = hasPlace ? ` bus:${bus} device:${device ?? 0}` : "";
    throw fault(errorCodes.internal, `Did not find USB device${ids}${place}`);
  }
  if (other !== undefined && hasIds && !hasPlace)
    throw fault(
      errorCodes.operationFailed,
      `Multiple USB devices for ${hex(vendor)}:${hex(product)}, use <address> to specify one`,
    );
  return { ...wanted, bus: first.bus, device: first.device };
}

const hex = (value: number): string => value.toString(16);

/** A device to be attached, which must be there. Throws LibvirtError. */
export function hostdevFound(hostdev: Hostdev, files: HostFiles): Hostdev {
  return hostdev.kind === "usb" ? (findUsb({ ...hostdev, startupPolicy: null }, files) ?? hostdev) : hostdev;
}

/** The document with the places of its devices; those that need not be there, and are not, are left out. Throws LibvirtError. */
export function withUsbFound(doc: DomainDoc, files: HostFiles): DomainDoc {
  if (doc.hostdevs.every(({ kind }) => kind !== "usb")) return doc;
  return {
    ...doc,
    hostdevs: doc.hostdevs.flatMap((hostdev) => (hostdev.kind === "usb" ? (findUsb(hostdev, files) ?? []) : hostdev)),
  };
}
