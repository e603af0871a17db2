import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import { type HostFiles, numbered } from "./files.js";

/** A named number of the host (nodecpustats, nodememstats). */
export interface NodeStat {
  readonly field: string;
  readonly value: bigint;
}

/** What both steps of a getter answer: how many there are (with an empty list), or the list (and 0). */
export interface NodeStats {
  readonly params: readonly NodeStat[];
  readonly nparams: number;
}

const nodeDirectory = "/sys/devices/system/node";

/** -1 where clients mean all nodes or all processors. */
const all = -1;

/** A field of meminfo(5), also of a node's (`Node 0 MemFree: 12 kB`), in KiB; null: it is not there. */
export function memoryField(text: string | null, name: string): bigint | null {
  const match = text === null ? null : new RegExp(`^(?:Node +\\d+ +)?${name}:\\s+(\\d+) kB$`, "m").exec(text);
  return match?.[1] === undefined ? null : BigInt(match[1]);
}

export const nodeMeminfo = (files: HostFiles, node: number): string | null =>
  files.read(`${nodeDirectory}/node${node}/meminfo`);

export interface HostMemory {
  /** KiB. */
  readonly total: bigint;
  readonly free: bigint;
}

/** Of all nodes together; where the kernel tells of none, what it says of the host. */
export function hostMemory(files: HostFiles): HostMemory {
  const nodes = numbered(files, nodeDirectory, "node")
    .map((node) => nodeMeminfo(files, node))
    .filter((text) => memoryField(text, "MemTotal") !== null);
  const texts = nodes.length === 0 ? [files.read("/proc/meminfo")] : nodes;
  const sum = (name: string): bigint => texts.reduce((total, text) => total + (memoryField(text, name) ?? 0n), 0n);
  return { total: sum("MemTotal"), free: sum("MemFree") };
}

/** NODE_GET_FREE_MEMORY, in bytes. */
export function freeMemory(files: HostFiles): bigint {
  const { free } = hostMemory(files);
  if (free === 0n) throw internal("Cannot determine free memory");
  return free * 1024n;
}

/** NODE_GET_CELLS_FREE_MEMORY: bytes of at most `count` nodes from `first` on. A number that no node has in between is 0. */
export function cellsFreeMemory(files: HostFiles, first: number, count: number): readonly bigint[] {
  const ids = numbered(files, nodeDirectory, "node");
  const last = ids.at(-1) ?? 0;
  if (first < 0 || first > last) throw internal(`start cell ${first} out of range (0-${last})`);
  if (count <= 0) throw invalid("maxCells in virNodeGetCellsFreeMemory must be greater than zero");
  if (ids.length === 0) return [freeMemory(files)];
  const until = Math.min(last, first + count - 1);
  return Array.from(
    { length: until - first + 1 },
    (_, index) => (memoryField(nodeMeminfo(files, first + index), "MemFree") ?? 0n) * 1024n,
  );
}

const memoryFields = [
  ["MemTotal", "total"],
  ["MemFree", "free"],
  ["Buffers", "buffers"],
  ["Cached", "cached"],
] as const;

/** NODE_GET_MEMORY_STATS, in KiB; a node (`cell`, else -1) has but the first two. */
export function nodeMemoryStats(files: HostFiles, nparams: number, cell: number): NodeStats {
  const ids = numbered(files, nodeDirectory, "node");
  const isWhole = cell === all || (ids.length === 0 && cell === 0);
  const last = ids.at(-1) ?? 0;
  if (!isWhole && cell > last) throw invalid(`cellNum in virHostMemGetStats must be less than or equal to ${last}`);
  if (!isWhole && !ids.includes(cell)) throw invalid(`Invalid cellNum in virHostMemGetStats: ${cell}`);
  const fields = isWhole ? memoryFields : memoryFields.slice(0, 2);
  if (nparams === 0) return { params: [], nparams: fields.length };
  if (nparams !== fields.length) throw invalid(`nparams in virHostMemGetStatsLinux must be ${fields.length}`);
  const text = isWhole ? files.read("/proc/meminfo") : nodeMeminfo(files, cell);
  const params = fields.flatMap(([name, field]) => {
    const value = memoryField(text, name);
    return value === null ? [] : [{ field, value }];
  });
  if (params.length === 0) throw internal("no available memory line found");
  return { params, nparams: 0 };
}

function internal(message: string): LibvirtError {
  return new LibvirtError(errorCodes.internal, errorDomains.none, message);
}

function invalid(message: string): LibvirtError {
  return new LibvirtError(errorCodes.invalidArgument, errorDomains.none, message);
}
