/** `<memory>`, `<vcpu>` and what limits a domain. */
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { BlkioTune, CpuTune, DomainDoc, MemTune, NumaTune, Vcpu } from "./domain.js";
import type { XmlElement } from "./tree.js";
import {
  all,
  attribute,
  bitmap,
  choice,
  contentOf,
  first,
  internalError,
  kib,
  scaledAt,
  signed,
  textAt,
} from "./values.js";
import { uint64, uintAttribute, unsigned, unsigned32, unsupported, xmlError } from "./values.js";

/** Where a limit of memory means none: virMemory's VIR_DOMAIN_MEMORY_PARAM_UNLIMITED, in KiB. */
const unlimited = 9_007_199_254_740_991n;

/** KiB; 0: not given. */
export function readMemory(domain: XmlElement, name: "memory" | "currentMemory"): bigint {
  const most = (1n << 63n) - 1n;
  const size = kib(scaledAt(domain, [name], most) ?? 0n);
  if (size >= kib(most)) throw new LibvirtError(errorCodes.overflow, errorDomains.domain, "size value too large");
  return size;
}

/** `currentMemory` of none or too much is all of it. */
export function clampMemory(memory: bigint, current: bigint): Pick<DomainDoc, "memory" | "currentMemory"> {
  if (memory === 0n) throw xmlError("Memory size must be specified via <memory> or in the <numa> configuration");
  return { memory, currentMemory: current === 0n || current > memory ? memory : current };
}

export function readMemTune(domain: XmlElement): MemTune | null {
  const limit = (name: string): bigint | null => {
    const bytes = scaledAt(domain, ["memtune", name], unlimited * 1024n);
    return bytes === null || kib(bytes) >= unlimited ? null : kib(bytes);
  };
  const tune = {
    hardLimit: limit("hard_limit"),
    softLimit: limit("soft_limit"),
    swapHardLimit: limit("swap_hard_limit"),
  };
  return tune.hardLimit === null && tune.softLimit === null && tune.swapHardLimit === null ? null : tune;
}

/** Numbers of 0 count as not given, and devices without any are dropped. */
export function readBlkio(domain: XmlElement): BlkioTune | null {
  const weight = unsigned32(textAt(domain, "blkiotune", "weight") ?? "0") ?? 0;
  const devices = all(domain, "blkiotune", "device").map((device) => {
    const path = textAt(device, "path");
    if (path === null) throw unsupported("missing per-device path");
    const number = <T>(name: string, words: string, read: (text: string) => T | null): T | null => {
      const text = textAt(device, name);
      if (text === null) return null;
      const value = read(text);
      if (value === null) throw unsupported(`could not parse ${words} ${text}`);
      return value === 0 || value === 0n ? null : value;
    };
    return {
      path,
      weight: number("weight", "weight", unsigned32),
      readBytes: number("read_bytes_sec", "read bytes sec", unsigned),
      writeBytes: number("write_bytes_sec", "write bytes sec", unsigned),
      readIops: number("read_iops_sec", "read iops sec", unsigned32),
      writeIops: number("write_iops_sec", "write iops sec", unsigned32),
    };
  });
  const kept = devices.filter(
    ({ path, ...numbers }) => path !== "" && Object.values(numbers).some((each) => each !== null),
  );
  return weight === 0 && kept.length === 0 ? null : { weight: weight === 0 ? null : weight, devices: kept };
}

/** The same device twice, also where nothing is said of it. Asked after everything else was read. */
export function checkBlkio(domain: XmlElement): void {
  const seen = new Set<string | null>();
  for (const device of all(domain, "blkiotune", "device")) {
    const path = textAt(device, "path");
    if (seen.has(path)) throw unsupported(`duplicate blkio device path '${path}'`);
    seen.add(path);
  }
}

/** What the LXC driver refuses by name. */
export function checkUnsupported(domain: XmlElement): void {
  if (first(domain, "maxMemory") !== null)
    throw unsupported("memory hotplug tunables <maxMemory> are not supported by this hypervisor driver");
  if (first(domain, "vcpus", "vcpu") !== null) throw unsupported("individual CPU state configuration is not supported");
}

const placements = ["static", "auto"] as const;

export function readVcpu(domain: XmlElement): Vcpu {
  const element = first(domain, "vcpu");
  if (element === null) return { count: 1, current: null, placement: "static", cpuset: null };
  const count = unsigned32(contentOf(element));
  if (count === null) throw xmlError("maximum vcpus count must be an integer");
  const current = uintAttribute(element, "current") ?? count;
  const placement = choice(element, "placement", placements) ?? "static";
  const set = placement === "auto" ? null : attribute(element, "cpuset");
  const cpuset = set === null ? null : bitmap(set);
  if (cpuset?.length === 0) throw unsupported(`Invalid value of 'cpuset': ${set}`);
  if (current > count) throw unsupported("maximum vCPU count must not be less than current vCPU count");
  if (count === 0) throw internalError("CPU IDs in <numa> exceed the <vcpu> count");
  // All that a set can name is no limit.
  return {
    count,
    current: current < count ? current : null,
    placement,
    cpuset: cpuset?.length === 16_384 ? null : cpuset,
  };
}

export function readCpuTune(domain: XmlElement): CpuTune | null {
  const read = (name: string, parse: (text: string) => bigint | null): bigint | null => {
    const text = textAt(domain, "cputune", name);
    if (text === null) return null;
    const value = parse(text);
    if (value === null) throw xmlError(`can't parse cputune ${name} value`);
    return value;
  };
  const shares = read("shares", (text) => unsigned(text, uint64));
  const period = read("period", (text) => unsigned(text, uint64));
  const quota = read("quota", signed);
  const tune = { shares, period: period === 0n ? null : period, quota: quota === 0n ? null : quota };
  return tune.shares === null && tune.period === null && tune.quota === null ? null : tune;
}

/** Longest quota: what of microseconds fits 64 bits of nanoseconds, with room. */
const mostQuota = 17_592_186_044_415n;

export function checkCpuTune(tune: CpuTune | null): void {
  const within = (name: string, value: bigint | null, least: bigint, most: bigint): void => {
    if (value !== null && value > 0n && (value < least || value > most))
      throw unsupported(`Value of cputune '${name}' must be in range [${least}, ${most}]`);
  };
  within("shares", tune?.shares ?? null, 2n, 262_144n);
  within("period", tune?.period ?? null, 1_000n, 1_000_000n);
  within("quota", tune?.quota ?? null, 1_000n, mostQuota);
}

const modes = ["strict", "preferred", "interleave", "restrictive"] as const;

/** Also decides the placement of CPUs, which follows that of memory where nothing else is said. */
export function readNumaTune(
  domain: XmlElement,
  vcpu: Vcpu,
): { readonly numatune: NumaTune | null; readonly vcpu: Vcpu } {
  if (all(domain, "numatune").length > 1) throw xmlError("only one numatune is supported");
  const memory = first(domain, "numatune", "memory");
  const modeText = attribute(memory, "mode");
  const mode = modes.find((each) => each === modeText) ?? null;
  if (modeText !== null && mode === null) throw unsupported(`Unsupported NUMA memory tuning mode '${modeText}'`);
  const placementText = attribute(memory, "placement");
  let placement = placements.find((each) => each === placementText) ?? null;
  if (placementText !== null && placement === null)
    throw unsupported(`Unsupported NUMA memory placement mode '${placementText}'`);
  const setText = attribute(memory, "nodeset");
  const nodeset = setText === null ? null : bitmap(setText);
  if (nodeset?.length === 0) throw unsupported(`Invalid value of 'nodeset': ${setText}`);
  const isStatic = vcpu.placement === "static";
  if (memory === null && isStatic) return { numatune: null, vcpu };
  if (memory !== null && mode === null && placement === null && nodeset === null && isStatic)
    return { numatune: null, vcpu };
  placement ??= nodeset !== null || isStatic ? "static" : "auto";
  if (placement === "static" && nodeset === null)
    throw unsupported("nodeset for NUMA memory tuning must be set if 'placement' is 'static'");
  const numatune: NumaTune = { mode: mode ?? "strict", placement, nodeset: placement === "auto" ? null : nodeset };
  const follows = placement === "auto" && vcpu.cpuset === null;
  return { numatune, vcpu: follows ? { ...vcpu, placement: "auto" } : vcpu };
}

/** null: not said. */
export function readPartition(domain: XmlElement): string | null {
  if (all(domain, "resource").length > 1) throw xmlError("only one resource element is supported");
  return textAt(domain, "resource", "partition");
}
