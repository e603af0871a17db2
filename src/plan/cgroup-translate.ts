import { IsletError } from "../base/errors.js";
import type { CgroupSetting } from "../spec/cgroup.js";

/**
 * Settings of one cgroup version in the words of the other (kernel documentation: admin-guide/cgroup-v1/*, cgroup-v2). Where there is no
 * translation it is an error that says so: a limit that silently does nothing is worse than none.
 */

function made(from: CgroupSetting, version: "v1" | "v2", file: string, value: string): CgroupSetting {
  return { version, file, value, at: from.at };
}

function bytes(text: string): number | null {
  const match = /^(-?\d+)([kKmMgG]?)$/.exec(text.trim());
  if (match === null) return null;
  const scale: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };
  return Number(match[1]) * (scale[(match[2] ?? "").toLowerCase()] ?? 1);
}

/** -1 and the largest values mean no limit on v1. */
function limit(text: string): string {
  const value = bytes(text);
  return value === null ? text.trim() : value < 0 || value >= 0x7fff_ffff_ffff_f000 ? "max" : String(value);
}

/** cpu.shares 2..262144 to cpu.weight 1..10000, as systemd and runc do it. */
export function sharesToWeight(shares: number): number {
  return Math.floor(1 + ((Math.min(Math.max(shares, 2), 262144) - 2) * 9999) / 262142);
}

export function weightToShares(weight: number): number {
  return Math.ceil(2 + ((Math.min(Math.max(weight, 1), 10000) - 1) * 262142) / 9999);
}

/** The value as a number; one that is none must not become a limit of NaN. */
function numeric(setting: CgroupSetting, text: string = setting.value): number {
  const value = Number(text.trim());
  if (text.trim() === "" || !Number.isFinite(value))
    throw new IsletError(
      "ISLET_BAD_CONFIG",
      `${setting.file} cannot be ${JSON.stringify(setting.value)}: it is a number`,
      {
        at: setting.at,
      },
    );
  return value;
}

export function translateToUnified(setting: CgroupSetting, all: readonly CgroupSetting[]): readonly CgroupSetting[] {
  const other = (file: string): string | null =>
    all.findLast((item) => item.version === "v1" && item.file === file)?.value ?? null;
  const { file, value } = setting;
  switch (file) {
    case "memory.limit_in_bytes":
      return [made(setting, "v2", "memory.max", limit(value))];
    case "memory.soft_limit_in_bytes":
      return [made(setting, "v2", "memory.low", limit(value) === "max" ? "0" : limit(value))];
    case "memory.memsw.limit_in_bytes": {
      const total = limit(value);
      const memory = limit(other("memory.limit_in_bytes") ?? "-1");
      if (total === "max") return [made(setting, "v2", "memory.swap.max", "max")];
      if (memory === "max")
        throw untranslatable(setting, "on cgroup v2 swap is limited by itself; give memory.limit_in_bytes too");
      return [made(setting, "v2", "memory.swap.max", String(Math.max(0, Number(total) - Number(memory))))];
    }
    case "cpu.shares":
      return [made(setting, "v2", "cpu.weight", String(sharesToWeight(numeric(setting))))];
    case "cpu.cfs_quota_us": {
      const period = other("cpu.cfs_period_us") ?? "100000";
      return [made(setting, "v2", "cpu.max", `${numeric(setting) < 0 ? "max" : value.trim()} ${period.trim()}`)];
    }
    case "cpu.cfs_period_us":
      return other("cpu.cfs_quota_us") === null ? [made(setting, "v2", "cpu.max", `max ${value.trim()}`)] : [];
    case "cpuset.cpus":
    case "cpuset.mems":
    case "pids.max":
      return [made(setting, "v2", file, value)];
    case "blkio.weight":
      return [made(setting, "v2", "io.weight", String(Math.min(10000, Math.max(1, numeric(setting) * 10))))];
    case "blkio.throttle.read_bps_device":
      return [made(setting, "v2", "io.max", throttle(value, "rbps"))];
    case "blkio.throttle.write_bps_device":
      return [made(setting, "v2", "io.max", throttle(value, "wbps"))];
    case "blkio.throttle.read_iops_device":
      return [made(setting, "v2", "io.max", throttle(value, "riops"))];
    case "blkio.throttle.write_iops_device":
      return [made(setting, "v2", "io.max", throttle(value, "wiops"))];
    case "freezer.state":
      return [made(setting, "v2", "cgroup.freeze", value.trim() === "FROZEN" ? "1" : "0")];
    default:
      throw untranslatable(setting, "give the setting of cgroup v2 as lxc.cgroup2.*");
  }
}

function throttle(value: string, key: string): string {
  const [device, number] = value.trim().split(/\s+/);
  return `${device ?? ""} ${key}=${number ?? ""}`;
}

/** On v1 one limit is of memory and swap together: it can be told where that of memory is known. */
function memoryAndSwap(setting: CgroupSetting, all: readonly CgroupSetting[]): string {
  const swap = limit(setting.value);
  const memory = limit(all.findLast((item) => item.version === "v2" && item.file === "memory.max")?.value ?? "max");
  if (swap === "max") return "-1";
  if (memory === "max")
    throw untranslatable(setting, "on cgroup v1 swap is limited together with memory; give memory.max too");
  return String(Number(memory) + Number(swap));
}

/** Weights of v1 as kernels since 5.0 call them, whose one scheduler with weights is BFQ. */
export const withBfq = (setting: CgroupSetting): CgroupSetting => ({
  ...setting,
  file: setting.file.replace(/^blkio\.(weight(?:_device)?)$/, "blkio.bfq.$1"),
});

export function translateToLegacy(setting: CgroupSetting, all: readonly CgroupSetting[]): readonly CgroupSetting[] {
  const { file, value } = setting;
  const number = value.trim() === "max" ? "-1" : value.trim();
  switch (file) {
    case "memory.max":
      return [made(setting, "v1", "memory.limit_in_bytes", number)];
    case "memory.swap.max":
      return [made(setting, "v1", "memory.memsw.limit_in_bytes", memoryAndSwap(setting, all))];
    case "memory.low":
    case "memory.high":
      return [made(setting, "v1", "memory.soft_limit_in_bytes", number)];
    case "cpu.weight":
      return [made(setting, "v1", "cpu.shares", String(weightToShares(numeric(setting))))];
    case "cpu.max": {
      const [quota, period] = value.trim().split(/\s+/);
      const out = [made(setting, "v1", "cpu.cfs_quota_us", quota === "max" ? "-1" : (quota ?? "-1"))];
      return period === undefined ? out : [made(setting, "v1", "cpu.cfs_period_us", period), ...out];
    }
    case "cpuset.cpus":
    case "cpuset.mems":
    case "pids.max":
      return [made(setting, "v1", file, value)];
    case "io.weight":
      return [
        made(
          setting,
          "v1",
          "blkio.weight",
          String(Math.min(1000, Math.max(10, Math.round(numeric(setting, value.replace("default", "")) / 10)))),
        ),
      ];
    case "cgroup.freeze":
      return [made(setting, "v1", "freezer.state", value.trim() === "1" ? "FROZEN" : "THAWED")];
    default:
      throw untranslatable(setting, "this host has that controller on cgroup v1; give the setting as lxc.cgroup.*");
  }
}

function untranslatable(setting: CgroupSetting, hint: string): IsletError {
  const host = setting.version === "v1" ? "v2" : "v1";
  return new IsletError(
    "ISLET_UNSUPPORTED",
    `${setting.file} (cgroup ${setting.version}) has no translation for this host's cgroup ${host}`,
    { at: setting.at, hint },
  );
}
