import type { HostArch } from "./cpu.js";
import { parseCpuList } from "./cpu-list.js";
import { type HostFiles, numbered, readNumber } from "./files.js";
import { hostMemory, memoryField, nodeMeminfo } from "./memory.js";
import { type HostCpu, type HostNode, type HostTopology, readTopology } from "./topology.js";

/** Sizes in KiB. */
export interface PageCount {
  readonly size: number;
  readonly count: bigint;
}

export interface HostCell {
  readonly id: number;
  readonly memory: bigint;
  readonly pages: readonly PageCount[];
  /** To each node, by number; 10 is near. */
  readonly distances: readonly { readonly node: number; readonly value: number }[];
  /** Those online. */
  readonly cpus: readonly HostCpu[];
}

export interface CacheBank {
  readonly id: number;
  readonly level: number;
  readonly type: "both" | "code" | "data";
  /** Bytes. */
  readonly size: number;
  readonly cpus: readonly number[];
}

export interface SecurityModel {
  readonly model: string;
  readonly doi: string;
  readonly baseLabels: readonly { readonly type: string; readonly label: string }[];
}

/** All that virsh capabilities tells. */
export interface HostCapabilities {
  readonly uuid: string;
  readonly arch: HostArch;
  readonly pageSizes: readonly number[];
  readonly cells: readonly HostCell[];
  readonly banks: readonly CacheBank[];
  readonly securityModel: SecurityModel;
  readonly emulator: string;
}

/** What no text of /proc or /sys says. */
export interface CapabilityOptions {
  readonly arch: HostArch;
  /** For a machine whose firmware has none: the same as long as the daemon lives. */
  readonly uuid: string;
  readonly emulator: string;
  /** KiB of a page. */
  readonly pageSize: number;
  readonly securityModel: SecurityModel;
}

/** Without SELinux and AppArmor. */
export const noSecurityModel: SecurityModel = { model: "none", doi: "0", baseLabels: [] };

const nodeDirectory = "/sys/devices/system/node";
const cpuDirectory = "/sys/devices/system/cpu";

export function readCapabilities(files: HostFiles, options: CapabilityOptions): HostCapabilities {
  const topology = readTopology(files);
  const firmware = files.read("/sys/class/dmi/id/product_uuid")?.trim().toLowerCase() ?? "";
  return {
    uuid: isUsableUuid(firmware) ? firmware : options.uuid,
    arch: options.arch,
    pageSizes: [options.pageSize, ...hugePageSizes(files, "/sys/kernel/mm/hugepages")],
    cells: topology.nodes.map((node) => readCell(files, topology, node, options.pageSize)),
    banks: readBanks(files, topology.online),
    securityModel: options.securityModel,
    emulator: options.emulator,
  };
}

/** Firmware that nobody filled in repeats one digit. */
function isUsableUuid(text: string): boolean {
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text) && !/^(.)\1*$/.test(text.replaceAll("-", ""));
}

function hugePageSizes(files: HostFiles, directory: string): readonly number[] {
  return files
    .list(directory)
    .flatMap((name) => /^hugepages-(\d{1,12})kB$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

function readCell(files: HostFiles, topology: HostTopology, node: HostNode, pageSize: number): HostCell {
  const cpus = node.cpus.map((id) => topology.cpus.get(id)).filter((cpu): cpu is HostCpu => cpu !== undefined);
  if (!topology.isNuma) return { id: node.id, memory: hostMemory(files).total, pages: [], distances: [], cpus };
  const directory = `${nodeDirectory}/node${node.id}`;
  const memory = memoryField(nodeMeminfo(files, node.id), "MemTotal") ?? 0n;
  const huge = hugePageSizes(files, `${directory}/hugepages`).map((size) => ({
    size,
    count: BigInt(Math.max(0, readNumber(files, `${directory}/hugepages/hugepages-${size}kB/nr_hugepages`) ?? 0)),
  }));
  const taken = huge.reduce((sum, { size, count }) => sum + BigInt(size) * count, 0n);
  const small = memory > taken ? (memory - taken) / BigInt(pageSize) : 0n;
  const values = (files.read(`${directory}/distance`) ?? "").match(/\d+/g) ?? [];
  const ids = topology.nodes.map(({ id }) => id);
  return {
    id: node.id,
    memory,
    pages: [{ size: pageSize, count: small }, ...huge],
    distances: values.flatMap((value, index) => {
      const id = ids[index];
      return id === undefined || Number(value) === 0 ? [] : [{ node: id, value: Number(value) }];
    }),
    cpus,
  };
}

const cacheTypes: Readonly<Record<string, CacheBank["type"]>> = { Unified: "both", Instruction: "code", Data: "data" };

/** Caches that several cores share (level 3 and up), each once. */
function readBanks(files: HostFiles, online: readonly number[]): readonly CacheBank[] {
  const banks = new Map<string, CacheBank>();
  for (const cpu of online) {
    const directory = `${cpuDirectory}/cpu${cpu}/cache`;
    for (const index of numbered(files, directory, "index")) {
      const number = (name: string): number | null => readNumber(files, `${directory}/index${index}/${name}`);
      const text = (name: string): string => files.read(`${directory}/index${index}/${name}`)?.trim() ?? "";
      const [id, level] = [number("id"), number("level")];
      const type = cacheTypes[text("type")];
      const size = /^(\d{1,12})([KMG]?)$/.exec(text("size"));
      if (id === null || level === null || level < 3 || type === undefined || size === null) continue;
      const unit = { "": 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 }[size[2] ?? ""] ?? 1;
      const cpus = parseCpuList(text("shared_cpu_list")) ?? [cpu];
      banks.set(`${level} ${id} ${type}`, { id, level, type, size: Number(size[1]) * unit, cpus });
    }
  }
  return [...banks.values()].sort((a, b) => a.level - b.level || a.id - b.id);
}
