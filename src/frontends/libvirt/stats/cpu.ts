import type { DetailedUsage } from "../../../engine/engine.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import { tickNanoseconds } from "../host/cpu.js";
import { type StatParameters, ullong } from "./parameters.js";

/** Nanoseconds; null: not accounted. */
export interface CpuTimes {
  readonly total: bigint | null;
  readonly user: bigint | null;
  readonly system: bigint | null;
}

export const cpuTimes = (
  usage: Pick<DetailedUsage, "cpuNanoseconds" | "cpuUserTicks" | "cpuSystemTicks">,
): CpuTimes => ({
  total: usage.cpuNanoseconds,
  user: usage.cpuUserTicks === null ? null : usage.cpuUserTicks * tickNanoseconds,
  system: usage.cpuSystemTicks === null ? null : usage.cpuSystemTicks * tickNanoseconds,
});

/** cpuacct.usage_percpu: nanoseconds of each processor; null: there is no such file (cgroup v2). */
export function perCpuTimes(text: string | null): readonly bigint[] | null {
  if (text === null || !/^\d+(?: \d+)*\s*$/.test(text)) return null;
  return text.trim().split(" ").map(BigInt);
}

export interface CpuStatsRequest {
  readonly nparams: number;
  readonly start_cpu: number;
  readonly ncpus: number;
}

/**
 * DOMAIN_GET_CPU_STATS. `start_cpu` -1: the sums. Otherwise the processors from there on, each with what it has (its time); clients ask first for the
 * number of processors (no `ncpus`), then for the number of parameters (no `nparams`). `cpus`: how many the host has. Without figures of
 * each processor there are no parameters of each, which virsh tells.
 */
export function cpuStats(
  { nparams, start_cpu: start, ncpus }: CpuStatsRequest,
  times: CpuTimes,
  each: readonly bigint[] | null,
  cpus: number,
): StatParameters {
  if (start === -1) {
    if (ncpus !== 1) throw invalid("ncpus in virDomainGetCPUStats must be 1 when start_cpu is -1");
    const all = [
      ullong("cpu_time", times.total ?? 0n),
      ...(times.user === null ? [] : [ullong("user_time", times.user)]),
      ...(times.system === null ? [] : [ullong("system_time", times.system)]),
    ];
    const params = all.slice(0, nparams);
    return { params, nparams: nparams === 0 ? all.length : params.length };
  }
  if (start < -1) throw invalid("start_cpu in virDomainGetCPUStats must be -1, zero or a positive number");
  if (ncpus === 0) {
    if (start !== 0 || nparams !== 0) throw invalid("ncpus in virDomainGetCPUStats must not be zero");
    return { params: [], nparams: cpus };
  }
  if (start >= cpus) throw invalid(`start_cpu ${start} larger than maximum of ${cpus - 1}`);
  if (each === null) return { params: [], nparams: 0 };
  if (nparams === 0) return { params: [], nparams: 1 };
  const until = Math.min(cpus, start + ncpus);
  return {
    params: Array.from({ length: until - start }, (_, index) => ullong("cpu_time", each[start + index] ?? 0n)),
    nparams: 1,
  };
}

function invalid(message: string): LibvirtError {
  return new LibvirtError(errorCodes.invalidArgument, errorDomains.lxc, message);
}
