import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import { cpuBitmap } from "./cpu-list.js";
import type { HostFiles } from "./files.js";
import { hostMemory, type NodeStats } from "./memory.js";
import { type HostCpu, readTopology } from "./topology.js";

/** The host's architecture, by libvirt's name. */
export type HostArch = "x86_64" | "aarch64";

/** NODE_GET_INFO. `memory`: KiB. `sockets`: of a node, `cores`: of a socket, `threads`: of a core. */
export interface NodeInfo {
  readonly model: string;
  readonly memory: bigint;
  readonly cpus: number;
  readonly mhz: number;
  readonly nodes: number;
  readonly sockets: number;
  readonly cores: number;
  readonly threads: number;
}

const most = (numbers: readonly number[]): number => Math.max(0, ...numbers);

/** What virsh nodeinfo shows. A topology that the four numbers cannot tell becomes one socket of all processors, as libvirt's. */
export function nodeInfo(files: HostFiles, arch: HostArch): NodeInfo {
  const { nodes, cpus } = readTopology(files);
  const parts = nodes.map((node) => {
    const online = node.cpus.map((id) => cpus.get(id)).filter((cpu): cpu is HostCpu => cpu !== undefined);
    const sockets = [...new Set(online.map(({ socket }) => socket))];
    return {
      online: online.length,
      offline: node.cpus.length - online.length,
      sockets: sockets.length,
      cores: most(
        sockets.map((id) => new Set(online.filter(({ socket }) => socket === id).map(({ core }) => core)).size),
      ),
      threads: most(online.map(({ siblings }) => siblings.length)),
    };
  });
  const sum = (of: "online" | "offline"): number => parts.reduce((total, part) => total + part[of], 0);
  const told = {
    nodes: parts.length,
    sockets: most(parts.map((part) => part.sockets)),
    cores: most(parts.map((part) => part.cores)),
    threads: most(parts.map((part) => part.threads)),
  };
  const existing = sum("online") + sum("offline");
  const fits = told.nodes * told.sockets * told.cores * told.threads === existing;
  return {
    model: arch,
    memory: hostMemory(files).total,
    cpus: sum("online"),
    mhz: arch === "x86_64" ? megahertz(files.read("/proc/cpuinfo")) : 0,
    ...(fits ? told : { nodes: 1, sockets: 1, cores: existing, threads: 1 }),
  };
}

/** Of the processor that is named last, as libvirt has it; 0: not told. */
function megahertz(cpuinfo: string | null): number {
  const last = [...(cpuinfo ?? "").matchAll(/^cpu MHz\s*:\s*(\d+)/gm)].at(-1);
  return Number(last?.[1] ?? 0);
}

/** NODE_GET_CPU_MAP. `ret`: processors that are present, counted up to the highest number. */
export interface CpuMap {
  readonly cpumap: Uint8Array;
  readonly online: number;
  readonly ret: number;
}

export function cpuMap(files: HostFiles, needMap: boolean, needOnline: boolean): CpuMap {
  const { present, online } = readTopology(files);
  return {
    cpumap: needMap ? cpuBitmap(online) : new Uint8Array(0),
    online: needOnline ? online.length : 0,
    ret: hostCpuCount(present),
  };
}

/** The highest number and one: how many there can be. */
export const hostCpuCount = (present: readonly number[]): number => most(present.map((id) => id + 1));

/** USER_HZ is 100 wherever Linux runs: nanoseconds of a tick. */
export const tickNanoseconds = 10_000_000n;

/** NODE_GET_CPU_STATS, in nanoseconds; `cpu` -1: all of them. */
export function nodeCpuStats(files: HostFiles, cpu: number, nparams: number): NodeStats {
  const count = 4;
  if (nparams === 0) return { params: [], nparams: count };
  if (nparams !== count) throw invalid(`nparams in virHostCPUGetStatsLinux must be equal to ${count}`);
  const name = cpu === -1 ? "cpu" : `cpu${cpu}`;
  const line = (files.read("/proc/stat") ?? "").split("\n").find((each) => each.startsWith(`${name} `));
  const ticks = (line ?? "").match(/(?<= )\d+/g)?.map(BigInt) ?? [];
  if (ticks.length < 4) throw invalid("Invalid cpuNum in virHostCPUGetStatsLinux");
  const [user = 0n, nice = 0n, system = 0n, idle = 0n, iowait = 0n, irq = 0n, softirq = 0n] = ticks;
  const params = [
    { field: "kernel", value: system + irq + softirq },
    { field: "user", value: user + nice },
    { field: "idle", value: idle },
    { field: "iowait", value: iowait },
  ].map(({ field, value }) => ({ field, value: value * tickNanoseconds }));
  return { params, nparams: 0 };
}

function invalid(message: string): LibvirtError {
  return new LibvirtError(errorCodes.invalidArgument, errorDomains.none, message);
}
