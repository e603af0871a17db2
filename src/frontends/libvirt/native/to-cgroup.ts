import { formatCpuList } from "../host/cpu-list.js";
import type { BlkioDevice, BlkioTune, DomainDoc } from "../xml/domain.js";
import { unsupported } from "./faults.js";
import type { NativeLine } from "./native-line.js";
import type { ToNativeContext } from "./to-native.js";

/** Limits for both versions of control groups: LXC leaves those of the other one alone. */
export function cgroupLines(doc: DomainDoc, context: Pick<ToNativeContext, "deviceNumbers">): readonly NativeLine[] {
  return [...memoryLines(doc), ...cpuLines(doc), ...(doc.blkio === null ? [] : blkioLines(doc.blkio, context))];
}

const v1 = (file: string, value: string | number | bigint): NativeLine => [`lxc.cgroup.${file}`, String(value)];
const v2 = (file: string, value: string | number | bigint): NativeLine => [`lxc.cgroup2.${file}`, String(value)];

/** From here on libvirt means no limit: VIR_DOMAIN_MEMORY_PARAM_UNLIMITED, in KiB. */
const unlimited = 9_007_199_254_740_991n;

function memoryLines({ memory, memtune }: DomainDoc): readonly NativeLine[] {
  const bytes = (kibibytes: bigint | null | undefined): bigint | null =>
    kibibytes === null || kibibytes === undefined || kibibytes >= unlimited ? null : kibibytes * 1024n;
  const hard = bytes(memtune?.hardLimit ?? memory);
  const soft = bytes(memtune?.softLimit);
  const both = bytes(memtune?.swapHardLimit);
  return [
    ...(hard === null ? [] : [v1("memory.limit_in_bytes", hard), v2("memory.max", hard)]),
    ...(soft === null ? [] : [v1("memory.soft_limit_in_bytes", soft), v2("memory.low", soft)]),
    ...(both === null ? [] : [v1("memory.memsw.limit_in_bytes", both)]),
    // Version 1 counts memory and swap together, version 2 swap alone.
    ...(both === null || hard === null ? [] : [v2("memory.swap.max", both > hard ? both - hard : 0n)]),
  ];
}

function cpuLines({ cputune, vcpu, numatune }: DomainDoc): readonly NativeLine[] {
  const shares = cputune?.shares ?? null;
  const period = cputune?.period ?? null;
  const quota = cputune?.quota ?? null;
  const max = quota === null || quota < 0n ? "max" : String(quota);
  const cpus = vcpu.cpuset === null ? null : formatCpuList(vcpu.cpuset);
  if (numatune !== null && numatune.nodeset !== null && numatune.mode !== "strict")
    throw unsupported(`LXC has no memory policy ${numatune.mode}`);
  const nodes = numatune?.nodeset ?? null;
  const mems = nodes === null ? null : formatCpuList(nodes);
  return [
    ...(shares === null ? [] : [v1("cpu.shares", shares), v2("cpu.weight", weightOfShares(shares))]),
    ...(period === null ? [] : [v1("cpu.cfs_period_us", period)]),
    ...(quota === null ? [] : [v1("cpu.cfs_quota_us", quota)]),
    ...(period === null && quota === null ? [] : [v2("cpu.max", `${max} ${period ?? 100_000n}`)]),
    ...(cpus === null ? [] : [v1("cpuset.cpus", cpus), v2("cpuset.cpus", cpus)]),
    ...(mems === null ? [] : [v1("cpuset.mems", mems), v2("cpuset.mems", mems)]),
  ];
}

/** 2..262144 as 1..10000, as the kernel's documentation has it. */
function weightOfShares(shares: bigint): bigint {
  const within = shares < 2n ? 2n : shares > 262_144n ? 262_144n : shares;
  return 1n + ((within - 2n) * 9999n) / 262_142n;
}

const throttles = [
  ["readBytes", "blkio.throttle.read_bps_device", "rbps"],
  ["writeBytes", "blkio.throttle.write_bps_device", "wbps"],
  ["readIops", "blkio.throttle.read_iops_device", "riops"],
  ["writeIops", "blkio.throttle.write_iops_device", "wiops"],
] as const;

function blkioLines(
  { weight, devices }: BlkioTune,
  context: Pick<ToNativeContext, "deviceNumbers">,
): readonly NativeLine[] {
  return [
    ...(weight === null ? [] : [v1("blkio.weight", weight), v2("io.weight", `default ${weight}`)]),
    ...devices.flatMap((device) => {
      const numbers = numbersOf(device, context);
      const given = throttles.flatMap(([field, file, word]) => {
        const value = device[field];
        return value === null ? [] : [{ file, word, value }];
      });
      return [
        ...(device.weight === null ? [] : [v1("blkio.device_weight", `${numbers} ${device.weight}`)]),
        ...(device.weight === null ? [] : [v2("io.weight", `${numbers} ${device.weight}`)]),
        ...given.map(({ file, value }) => v1(file, `${numbers} ${value}`)),
        ...(given.length === 0
          ? []
          : [v2("io.max", `${numbers} ${given.map(({ word, value }) => `${word}=${value}`).join(" ")}`)]),
      ];
    }),
  ];
}

function numbersOf({ path }: BlkioDevice, { deviceNumbers }: Pick<ToNativeContext, "deviceNumbers">): string {
  const [, named] = /^\/dev\/block\/(\d+:\d+)$/.exec(path) ?? [];
  if (named !== undefined) return named;
  const found = deviceNumbers(path);
  if (found === null || found.kind !== "b") throw unsupported(`${path} is no block device of this host`);
  return `${found.major}:${found.minor}`;
}
