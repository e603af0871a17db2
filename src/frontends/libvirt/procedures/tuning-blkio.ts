import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { BlkioDevice } from "../xml/domain.js";

/** Values of devices as one text, `/dev/sda,500,/dev/sdb,200`: how blkiotune carries them. */

/** Each with the file of the cgroup (of v1, translated where there is v2), and its place in the document; in libvirt's order. */
export const blkioFields = {
  device_weight: { file: "blkio.weight_device", key: "weight" },
  device_read_iops_sec: { file: "blkio.throttle.read_iops_device", key: "readIops" },
  device_write_iops_sec: { file: "blkio.throttle.write_iops_device", key: "writeIops" },
  device_read_bytes_sec: { file: "blkio.throttle.read_bps_device", key: "readBytes" },
  device_write_bytes_sec: { file: "blkio.throttle.write_bps_device", key: "writeBytes" },
} as const;

export type BlkioField = keyof typeof blkioFields;

export function showDeviceValues(devices: readonly BlkioDevice[], field: BlkioField): string {
  return devices
    .flatMap((device) => {
      const value = device[blkioFields[field].key];
      return value === null ? [] : [`${device.path},${value}`];
    })
    .join(",");
}

/** Throws 8. */
export function parseDeviceValues(text: string, field: BlkioField): ReadonlyMap<string, bigint> {
  const out = new Map<string, bigint>();
  const words = text === "" ? [] : text.split(",");
  for (let at = 0; at < words.length; at += 2) {
    const [path = "", value = ""] = words.slice(at, at + 2);
    if (!path.startsWith("/") || !/^\d{1,19}$/.test(value))
      throw new LibvirtError(
        errorCodes.invalidArgument,
        errorDomains.lxc,
        `unable to parse blkio device '${field}' '${text}'`,
      );
    out.set(path, BigInt(value));
  }
  return out;
}
