import { parseCpuList } from "./cpu-list.js";
import { type HostFiles, numbered, readNumber } from "./files.js";

const cpuDirectory = "/sys/devices/system/cpu";
const nodeDirectory = "/sys/devices/system/node";

export interface HostCpu {
  readonly id: number;
  readonly socket: number;
  readonly die: number;
  readonly core: number;
  /** Threads of its core, itself among them. */
  readonly siblings: readonly number[];
}

export interface HostNode {
  readonly id: number;
  /** Those present. */
  readonly cpus: readonly number[];
}

export interface HostTopology {
  readonly present: readonly number[];
  readonly online: readonly number[];
  /** Of the online processors, by number. */
  readonly cpus: ReadonlyMap<number, HostCpu>;
  /** At least one; a kernel without NUMA is one node of everything, `id` 0. */
  readonly nodes: readonly HostNode[];
  readonly isNuma: boolean;
}

/** Processors and memory nodes of this host, from /sys. What a kernel does not tell is 0, as libvirt has it. */
export function readTopology(files: HostFiles): HostTopology {
  const listed = (name: string): readonly number[] | null => parseCpuList(files.read(`${cpuDirectory}/${name}`) ?? "");
  const present = listed("present") ?? numbered(files, cpuDirectory, "cpu");
  const online = listed("online") ?? present;
  const isPresent = new Set(present);
  const nodes = numbered(files, nodeDirectory, "node").map((id) => ({
    id,
    cpus: numbered(files, `${nodeDirectory}/node${id}`, "cpu").filter((cpu) => isPresent.has(cpu)),
  }));
  const isNuma = nodes.some(({ cpus }) => cpus.length > 0);
  return {
    present,
    online,
    cpus: new Map(online.map((id) => [id, readCpu(files, id)])),
    nodes: isNuma ? nodes : [{ id: 0, cpus: present }],
    isNuma,
  };
}

function readCpu(files: HostFiles, id: number): HostCpu {
  const topology = `${cpuDirectory}/cpu${id}/topology`;
  // -1: an architecture that has no such thing.
  const number = (name: string): number => Math.max(0, readNumber(files, `${topology}/${name}`) ?? 0);
  return {
    id,
    socket: number("physical_package_id"),
    die: number("die_id"),
    core: number("core_id"),
    siblings: parseCpuList(files.read(`${topology}/thread_siblings_list`) ?? "") ?? [id],
  };
}
