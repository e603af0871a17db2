import type { HostFiles } from "../../../../src/frontends/libvirt/host/files.js";

/** A host of nothing but these files. */
export function filesOf(texts: Readonly<Record<string, string>>): HostFiles {
  const paths = Object.keys(texts);
  return {
    read: (path) => texts[path] ?? null,
    list: (directory) => [
      ...new Set(
        paths
          .filter((path) => path.startsWith(`${directory}/`))
          .map((path) => path.slice(directory.length + 1).split("/")[0] ?? ""),
      ),
    ],
  };
}

export interface Cpu {
  readonly node: number;
  readonly socket: number;
  readonly core: number;
  readonly siblings: string;
}

const meminfo = (total: number, free: number, prefix = ""): string =>
  `${prefix}MemTotal:        ${total} kB\n${prefix}MemFree:         ${free} kB\n`;

/** /sys of these processors (by number) and nodes of `memory` KiB each, a quarter of it free. */
export function machine(
  cpus: readonly Cpu[],
  memory: readonly number[],
  online = `0-${cpus.length - 1}`,
): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {
    "/sys/devices/system/cpu/present": `0-${cpus.length - 1}\n`,
    "/sys/devices/system/cpu/online": `${online}\n`,
    "/proc/cpuinfo": cpus.map((_, id) => `processor\t: ${id}\ncpu MHz\t\t: 2499.998\n`).join("\n"),
    "/proc/meminfo": `${meminfo(
      memory.reduce((a, b) => a + b, 0),
      memory.reduce((a, b) => a + b / 4, 0),
    )}MemAvailable:    5 kB\nBuffers:           1000 kB\nCached:            2000 kB\nSwapCached:           7 kB\n`,
  };
  for (const [id, { node, socket, core, siblings }] of cpus.entries()) {
    const directory = `/sys/devices/system/cpu/cpu${id}/topology`;
    texts[`${directory}/physical_package_id`] = `${socket}\n`;
    texts[`${directory}/die_id`] = "-1\n";
    texts[`${directory}/core_id`] = `${core}\n`;
    texts[`${directory}/thread_siblings_list`] = `${siblings}\n`;
    texts[`/sys/devices/system/node/node${node}/cpu${id}/uevent`] = "";
  }
  for (const [node, total] of memory.entries()) {
    const directory = `/sys/devices/system/node/node${node}`;
    texts[`${directory}/meminfo`] = meminfo(total, total / 4, `Node ${node} `);
    texts[`${directory}/distance`] = memory.map((_, other) => (other === node ? "10" : "21")).join(" ");
    texts[`${directory}/hugepages/hugepages-2048kB/nr_hugepages`] = "0\n";
    texts[`${directory}/hugepages/hugepages-1048576kB/nr_hugepages`] = "0\n";
  }
  texts["/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"] = "0\n";
  texts["/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"] = "0\n";
  return texts;
}

/** The machine on which the vectors were taken. */
export const recorded: Readonly<Record<string, string>> = machine(
  [0, 1].map((core) => ({ node: 0, socket: 0, core, siblings: String(core) })),
  [6_908_120],
);
