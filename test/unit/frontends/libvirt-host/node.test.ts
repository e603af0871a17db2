import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import { cpuMap, nodeCpuStats, nodeInfo } from "../../../../src/frontends/libvirt/host/cpu.js";
import { memoryParameters } from "../../../../src/frontends/libvirt/host/ksm.js";
import { cellsFreeMemory, freeMemory, nodeMemoryStats } from "../../../../src/frontends/libvirt/host/memory.js";
import { filesOf, machine, recorded } from "./host.js";

const refused = (message: string, code: number) => (error: unknown) => {
  assert.ok(error instanceof LibvirtError);
  assert.equal(error.message, message);
  assert.equal(error.code, code);
  return true;
};

const hyperthreads = [0, 1, 2, 3, 4, 5, 6, 7].map((id) => ({
  node: id < 4 ? 0 : 1,
  socket: id < 4 ? 0 : 1,
  core: (id % 4) >> 1,
  siblings: `${id & ~1}-${id | 1}`,
}));

describe("nodeinfo", () => {
  it("is what libvirt said of the machine of the vectors", () => {
    assert.deepEqual(nodeInfo(filesOf(recorded), "x86_64"), {
      model: "x86_64",
      memory: 6_908_120n,
      cpus: 2,
      mhz: 2499,
      nodes: 1,
      sockets: 1,
      cores: 2,
      threads: 1,
    });
  });

  it("counts nodes, sockets of a node, cores of a socket and threads of a core", () => {
    const { model: _model, mhz: _mhz, ...told } = nodeInfo(filesOf(machine(hyperthreads, [1000, 3000])), "x86_64");
    assert.deepEqual(told, { memory: 4000n, cpus: 8, nodes: 2, sockets: 1, cores: 2, threads: 2 });
  });

  it("does not count offline processors, but says how many the machine has by its cores", () => {
    const { cpus, nodes, sockets, cores, threads } = nodeInfo(
      filesOf(machine(hyperthreads, [1000, 3000], "0-5")),
      "x86_64",
    );
    assert.deepEqual([cpus, nodes, sockets, cores, threads], [6, 2, 1, 2, 2]);
  });

  it("tells one socket of all processors where the four numbers do not fit", () => {
    const uneven = [0, 1, 2].map((id) => ({ node: id === 2 ? 1 : 0, socket: 0, core: id, siblings: String(id) }));
    const { cpus, nodes, sockets, cores, threads } = nodeInfo(filesOf(machine(uneven, [8, 8])), "x86_64");
    assert.deepEqual([cpus, nodes, sockets, cores, threads], [3, 1, 1, 3, 1]);
  });

  it("works without /sys/devices/system/node, and names no frequency on arm64", () => {
    const texts = Object.fromEntries(Object.entries(recorded).filter(([path]) => !path.includes("/system/node/")));
    const { memory, cpus, nodes, mhz } = nodeInfo(filesOf(texts), "aarch64");
    assert.deepEqual([memory, cpus, nodes, mhz], [6_908_120n, 2, 1, 0]);
  });
});

describe("nodecpumap", () => {
  it("is the vectors' map, and only what is asked for", () => {
    assert.deepEqual(cpuMap(filesOf(recorded), true, true), { cpumap: Uint8Array.of(3), online: 2, ret: 2 });
    assert.deepEqual(cpuMap(filesOf(recorded), false, false), { cpumap: new Uint8Array(0), online: 0, ret: 2 });
  });

  it("has a byte for each eight processors, the lowest bit first", () => {
    const cpus = Array.from({ length: 12 }, (_, core) => ({ node: 0, socket: 0, core, siblings: String(core) }));
    const map = cpuMap(filesOf(machine(cpus, [1], "0,3,9")), true, true);
    assert.deepEqual(map, { cpumap: Uint8Array.of(0b1001, 0b10), online: 3, ret: 12 });
  });
});

describe("nodecpustats", () => {
  const files = filesOf({
    "/proc/stat": "cpu  10 2 30 400 50 6 7 8 9 1\ncpu0 1 1 10 200 25 3 3 0 0 0\ncpu1 9 1 20 200 25 3 4 0 0 0\nintr 5\n",
  });
  it("answers the number first", () => {
    assert.deepEqual(nodeCpuStats(files, -1, 0), { params: [], nparams: 4 });
  });
  it("is in nanoseconds, interrupts with the kernel and nice with the user", () => {
    assert.deepEqual(nodeCpuStats(files, -1, 4), {
      params: [
        { field: "kernel", value: 430_000_000n },
        { field: "user", value: 120_000_000n },
        { field: "idle", value: 4_000_000_000n },
        { field: "iowait", value: 500_000_000n },
      ],
      nparams: 0,
    });
    assert.equal(nodeCpuStats(files, 1, 4).params[0]?.value, 270_000_000n);
  });
  it("refuses a processor that is not there and a wrong number of parameters", () => {
    assert.throws(
      () => nodeCpuStats(files, 7, 4),
      refused("invalid argument: Invalid cpuNum in virHostCPUGetStatsLinux", 8),
    );
    assert.throws(
      () => nodeCpuStats(files, 0, 3),
      refused("invalid argument: nparams in virHostCPUGetStatsLinux must be equal to 4", 8),
    );
  });
});

describe("nodememstats and freecell", () => {
  const files = filesOf(machine(hyperthreads, [1000, 3000]));
  it("has four numbers of the host and two of a node", () => {
    assert.deepEqual(nodeMemoryStats(files, 0, -1), { params: [], nparams: 4 });
    assert.deepEqual(nodeMemoryStats(files, 0, 1), { params: [], nparams: 2 });
    assert.deepEqual(nodeMemoryStats(files, 4, -1).params, [
      { field: "total", value: 4000n },
      { field: "free", value: 1000n },
      { field: "buffers", value: 1000n },
      { field: "cached", value: 2000n },
    ]);
    assert.deepEqual(nodeMemoryStats(files, 2, 1).params, [
      { field: "total", value: 3000n },
      { field: "free", value: 750n },
    ]);
  });
  it("refuses nodes that are not there", () => {
    for (const [cell, said] of [
      [2, "cellNum in virHostMemGetStats must be less than or equal to 1"],
      [-2, "Invalid cellNum in virHostMemGetStats: -2"],
    ] as const)
      assert.throws(() => nodeMemoryStats(files, 2, cell), refused(`invalid argument: ${said}`, 8));
  });
  it("tells free memory in bytes, of all and of each node", () => {
    assert.equal(freeMemory(files), 1000n * 1024n);
    assert.deepEqual(cellsFreeMemory(files, 0, 8), [250n * 1024n, 750n * 1024n]);
    assert.deepEqual(cellsFreeMemory(files, 1, 1), [750n * 1024n]);
    assert.throws(() => cellsFreeMemory(files, 2, 1), refused("internal error: start cell 2 out of range (0-1)", 1));
  });
  it("never answers more nodes than there are, whatever is asked for", () => {
    assert.equal(cellsFreeMemory(files, 0, 2 ** 31 - 1).length, 2);
  });
});

describe("node-memory-tune", () => {
  const files = filesOf({ "/sys/kernel/mm/ksm/pages_to_scan": "100\n", "/sys/kernel/mm/ksm/full_scans": "12\n" });
  it("leaves out what the kernel does not have", () => {
    assert.deepEqual(memoryParameters(files, 0), { params: [], nparams: 8 });
    assert.deepEqual(memoryParameters(files, 8).params, [
      { field: "shm_pages_to_scan", kind: "uint", value: 100 },
      { field: "shm_full_scans", kind: "ullong", value: 12n },
    ]);
  });
});
