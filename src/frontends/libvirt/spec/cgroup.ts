/** Limits, and where the guest's control groups are. */
import type { CgroupSetting, CgroupSpec, DeviceRule } from "../../../spec/cgroup.js";
import type { BlkioTune, DomainDoc } from "../xml/domain.js";
import { type SpecContext, refusal, unsupported } from "./context.js";
import { errorCodes, errorDomains } from "../errors.js";

/**
 * Settings are those of cgroup v1, which libvirt's document was made for; the planner says them in the words of v2 where the host has that. The guest lives
 * in a group below the one with the limits: it may have what it likes of its own.
 */
export function cgroupSpec(doc: DomainDoc, devices: readonly DeviceRule[], context: SpecContext): CgroupSpec {
  return {
    settings: [...memory(doc), ...cpu(doc), ...blkio(doc.blkio, context)],
    devicesV1: devices,
    devicesV2: [],
    relative: false,
    parent: null,
    payload: `${partitionPath(doc.partition ?? defaultPartition)}/${machineName(doc)}`,
    monitor: null,
    pivot: null,
    inner: "guest",
    pattern: null,
  };
}

export const defaultPartition = "/machine";

const setting = (file: string, value: string): CgroupSetting => ({ version: "v1", file, value, at: null });
const bytes = (kib: bigint): string => String(kib * 1024n);

/** memory is what the guest starts with; currentMemory only shows what it was last given. */
function memory({ memory: size, memtune }: DomainDoc): readonly CgroupSetting[] {
  const soft = memtune?.softLimit ?? null;
  const swap = memtune?.swapHardLimit ?? null;
  return [
    setting("memory.limit_in_bytes", bytes(memtune?.hardLimit ?? size)),
    ...(soft === null ? [] : [setting("memory.soft_limit_in_bytes", bytes(soft))]),
    ...(swap === null ? [] : [setting("memory.memsw.limit_in_bytes", bytes(swap))]),
  ];
}

function cpu({ cputune, vcpu, numatune }: DomainDoc): readonly CgroupSetting[] {
  const out: CgroupSetting[] = [];
  const { shares = null, period = null, quota = null } = cputune ?? {};
  if (shares !== null) out.push(setting("cpu.shares", String(shares)));
  if (period !== null) out.push(setting("cpu.cfs_period_us", String(period)));
  if (quota !== null) out.push(setting("cpu.cfs_quota_us", String(quota < 0n ? -1n : quota)));
  if (vcpu.cpuset !== null && vcpu.placement === "static") out.push(setting("cpuset.cpus", vcpu.cpuset.join(",")));
  // The other modes are wishes, which no control group has.
  const binds = numatune !== null && (numatune.mode === "strict" || numatune.mode === "restrictive");
  if (binds && numatune.nodeset !== null) out.push(setting("cpuset.mems", numatune.nodeset.join(",")));
  return out;
}

function blkio(tune: BlkioTune | null, context: SpecContext): readonly CgroupSetting[] {
  if (tune === null) return [];
  const out: CgroupSetting[] = tune.weight === null ? [] : [setting("blkio.weight", String(tune.weight))];
  for (const device of tune.devices) {
    const found = context.stat(device.path);
    if (found === null)
      throw refusal(
        errorCodes.system,
        errorDomains.none,
        `Path '${device.path}' is not accessible: No such file or directory`,
      );
    if (found.kind !== "b")
      throw refusal(errorCodes.system, errorDomains.none, `Path '${device.path}' must be a block device`);
    const number = `${found.major}:${found.minor}`;
    for (const [file, value] of [
      ["weight_device", device.weight],
      ["throttle.read_iops_device", device.readIops],
      ["throttle.write_iops_device", device.writeIops],
      ["throttle.read_bps_device", device.readBytes],
      ["throttle.write_bps_device", device.writeBytes],
    ] as const) {
      if (value !== null) out.push(setting(`blkio.${file}`, `${number} ${value}`));
    }
  }
  return out;
}

/** Partitions of the host's own, whose names are as they are. */
const topPartitions = ["machine", "user", "system"];

/** `/production/web` is the control group production.partition/web.partition (formatdomain, "Resource partitioning"); relative, for the spec. */
export function partitionPath(partition: string): string {
  if (!partition.startsWith("/")) throw unsupported(`Resource partition '${partition}' must start with '/'`);
  const parts = partition.split("/").filter(Boolean);
  if (parts.some((part) => part === "." || part === ".."))
    throw unsupported(`Resource partition '${partition}' must not have '.' or '..' in it`);
  return parts
    .map((part, index) =>
      part.includes(".") || (index === 0 && topPartitions.includes(part)) ? part : `${part}.partition`,
    )
    .join("/");
}

/** As libvirt's, which has the number of its helper process there: the first digits of the uuid are known before there is a process. */
function machineName({ uuid, name }: DomainDoc): string {
  const filtered = name.replace(/[^A-Za-z0-9.-]/g, "");
  return `lxc-${uuid.slice(0, 8)}-${filtered}`.slice(0, 64).replace(/[.-]+$/, "") + ".libvirt-lxc";
}
