import { parseCpuList } from "../host/cpu-list.js";
import type { BlkioDevice, BlkioTune, CpuTune, DomainDoc, NumaTune, Vcpu } from "../xml/domain.js";
import { internal, invalid } from "./faults.js";
import { lastOf, type NativeSetting, wordsOf } from "./lines.js";
import { sizeInBytes, wholeNumber } from "./sizes.js";

/** KiB of a container that has no limit: libvirt wants one. */
const defaultMemory = 65_536n;

type Settings = readonly NativeSetting[];

export function memoryOf(settings: Settings): Pick<DomainDoc, "memory" | "currentMemory" | "memtune"> {
  const limit = (name: string): bigint | null => {
    const setting = lastOf(settings, `lxc.cgroup.memory.${name}`);
    return setting === null || setting.value === "-1" ? null : sizeInBytes(setting.value) / 1024n;
  };
  const hardLimit = limit("limit_in_bytes");
  const softLimit = limit("soft_limit_in_bytes");
  const swapHardLimit = limit("memsw.limit_in_bytes");
  const memory = hardLimit ?? defaultMemory;
  const isTuned = hardLimit !== null || softLimit !== null || swapHardLimit !== null;
  return { memory, currentMemory: memory, memtune: isTuned ? { hardLimit, softLimit, swapHardLimit } : null };
}

export function cputuneOf(settings: Settings): CpuTune | null {
  const number = (name: string, signed: "signed" | "unsigned"): bigint | null => {
    const setting = lastOf(settings, `lxc.cgroup.cpu.${name}`);
    const value = setting === null ? null : wholeNumber(setting.value, signed);
    if (setting !== null && value === null) throw internal(`failed to parse integer: '${setting.value}'`);
    return value;
  };
  const shares = number("shares", "unsigned");
  const quota = number("cfs_quota_us", "signed");
  const period = number("cfs_period_us", "unsigned");
  return shares === null && quota === null && period === null ? null : { shares, period, quota };
}

function cpusetOf(settings: Settings, name: "cpus" | "mems"): readonly number[] | null {
  const setting = lastOf(settings, `lxc.cgroup.cpuset.${name}`);
  if (setting === null) return null;
  const list = parseCpuList(setting.value);
  if (list === null) throw invalid(`Failed to parse bitmap '${setting.value}'`);
  return list;
}

export const vcpuOf = (settings: Settings): Vcpu => ({
  count: 1,
  current: null,
  placement: "static",
  cpuset: cpusetOf(settings, "cpus"),
});

export function numatuneOf(settings: Settings): NumaTune | null {
  const nodeset = cpusetOf(settings, "mems");
  return nodeset === null ? null : { mode: "strict", placement: "static", nodeset };
}

const prefix = "lxc.cgroup.blkio.";

/** Of each file of the controller: its field, and what libvirt calls it when it is wrong. */
const deviceFields = {
  device_weight: ["weight", "device weight"],
  "throttle.read_bps_device": ["readBytes", "read_bps_device"],
  "throttle.write_bps_device": ["writeBytes", "write_bps_device"],
  "throttle.read_iops_device": ["readIops", "read_iops_device"],
  "throttle.write_iops_device": ["writeIops", "write_iops_device"],
} as const;
type DeviceFile = keyof typeof deviceFields;
type DeviceField = (typeof deviceFields)[DeviceFile][0];

export function blkioOf(settings: Settings): BlkioTune | null {
  const weightSetting = lastOf(settings, `${prefix}weight`);
  const weight = weightSetting === null ? null : smallNumber(weightSetting.value);
  if (weightSetting !== null && weight === null) throw internal(`failed to parse integer: '${weightSetting.value}'`);
  const devices = new Map<string, Map<DeviceField, bigint>>();
  for (const { key, value } of settings) {
    const file = key.slice(prefix.length);
    if (!key.startsWith(prefix) || !isDeviceFile(file) || value === "") continue;
    const [numbers, amount] = wordsOf(value);
    if (numbers === undefined || amount === undefined) throw internal(`invalid ${key} value: '${value}'`);
    const [field, words] = deviceFields[file];
    const isSmall = field === "weight" || field === "readIops" || field === "writeIops";
    const number = isSmall ? smallNumber(amount) : wholeNumber(amount);
    if (number === null) throw internal(`failed to parse ${words}: '${amount}'`);
    const path = `/dev/block/${numbers}`;
    const device = devices.get(path) ?? new Map<DeviceField, bigint>();
    devices.set(path, device.set(field, BigInt(number)));
  }
  if (weight === null && devices.size === 0) return null;
  return { weight, devices: [...devices].map(([path, fields]) => deviceOf(path, fields)) };
}

function deviceOf(path: string, fields: ReadonlyMap<DeviceField, bigint>): BlkioDevice {
  const small = (field: DeviceField): number | null => (fields.has(field) ? Number(fields.get(field)) : null);
  return {
    path,
    weight: small("weight"),
    readIops: small("readIops"),
    writeIops: small("writeIops"),
    readBytes: fields.get("readBytes") ?? null,
    writeBytes: fields.get("writeBytes") ?? null,
  };
}

const isDeviceFile = (name: string): name is DeviceFile => Object.hasOwn(deviceFields, name);

/** One of 32 bits. */
function smallNumber(text: string): number | null {
  const number = wholeNumber(text);
  return number === null || number >= 1n << 32n ? null : Number(number);
}
