/** Settings of control groups as a document's limits. */
import type { CgroupSetting } from "../../../spec/cgroup.js";
import type { DomainDoc } from "../xml/domain.js";
import { kibOf } from "./filesystem-from.js";

type Limits = Pick<DomainDoc, "memory" | "currentMemory" | "memtune" | "vcpu" | "cputune" | "numatune" | "blkio">;

/** Settings of v1 are what the document was made for; those of v2 stand in where they say the same. What has no limit has the host's memory. */
export function limitsOf(settings: readonly CgroupSetting[], hostMemoryKiB: bigint): Limits {
  const find = (file: string): string | null => settings.findLast((one) => one.file === file)?.value.trim() ?? null;
  const size = (...files: readonly string[]): bigint | null =>
    files.map((file) => kibOf(find(file) ?? "")).find((value) => value !== null && value > 0n) ?? null;
  const number = (text: string | null): bigint | null =>
    text !== null && /^-?[0-9]{1,18}$/.test(text) ? BigInt(text) : null;
  const hardLimit = size("memory.limit_in_bytes", "memory.max");
  const softLimit = size("memory.soft_limit_in_bytes", "memory.low");
  const swap = size("memory.swap.max");
  const swapHardLimit =
    size("memory.memsw.limit_in_bytes") ?? (swap === null || hardLimit === null ? null : swap + hardLimit);
  const memory = hardLimit === null || hardLimit > hostMemoryKiB ? hostMemoryKiB : hardLimit;
  const [quota2 = null, period2 = null] = find("cpu.max")?.split(/\s+/) ?? [];
  const shares = number(find("cpu.shares"));
  const period = number(find("cpu.cfs_period_us") ?? period2);
  const quota = number(find("cpu.cfs_quota_us") ?? quota2);
  const weight = number(find("blkio.weight"));
  const nodes = numbersOf(find("cpuset.mems"));
  return {
    memory,
    currentMemory: memory,
    memtune: hardLimit === null && softLimit === null ? null : { hardLimit, softLimit, swapHardLimit },
    vcpu: { count: 1, current: null, placement: "static", cpuset: numbersOf(find("cpuset.cpus")) },
    cputune: shares === null && period === null && quota === null ? null : { shares, period, quota },
    numatune: nodes === null ? null : { mode: "strict", placement: "static", nodeset: nodes },
    blkio: weight === null ? null : { weight: Number(weight), devices: [] },
  };
}

/** More than any machine has processors: a range must not become a list that fills the memory. */
const mostNumbers = 8192;

/** `0-2,7` of cpuset(7); null: not given, or nothing that could be a list. */
export function numbersOf(text: string | null): readonly number[] | null {
  if (text === null || text === "") return null;
  const out = new Set<number>();
  for (const part of text.split(",")) {
    const match = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(part.trim());
    if (match === null) return null;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (last >= mostNumbers) return null;
    for (let number = first; number <= last; number += 1) out.add(number);
  }
  return [...out].sort((a, b) => a - b);
}
