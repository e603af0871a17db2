import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import { blockFigures, blockStats, blockStatsFlags } from "../../../../src/frontends/libvirt/stats/block.js";
import { cpuStats, cpuTimes, perCpuTimes } from "../../../../src/frontends/libvirt/stats/cpu.js";
import { domainInfo } from "../../../../src/frontends/libvirt/stats/info.js";
import { interfaceFigures } from "../../../../src/frontends/libvirt/stats/interface.js";
import { memoryStats } from "../../../../src/frontends/libvirt/stats/memory.js";

const refused = (code: number, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof LibvirtError);
  assert.equal(error.code, code);
  assert.match(error.message, message);
  return true;
};

/** The guest of the vectors. */
const times = cpuTimes({ cpuNanoseconds: 48_016_105n, cpuUserTicks: 3n, cpuSystemTicks: 1n });
const each = perCpuTimes("48016105 0 \n");

describe("cpu-stats", () => {
  it("answers the five questions of virsh as libvirt answered them", () => {
    const ask = (nparams: number, start_cpu: number, ncpus: number) =>
      cpuStats({ nparams, start_cpu, ncpus }, times, each, 2);
    const time = (value: bigint) => ({ field: "cpu_time", kind: "ullong", value });
    assert.deepEqual(ask(0, 0, 0), { params: [], nparams: 2 });
    assert.deepEqual(ask(0, 0, 1), { params: [], nparams: 1 });
    assert.deepEqual(ask(1, 0, 2), { params: [time(48_016_105n), time(0n)], nparams: 1 });
    assert.deepEqual(ask(0, -1, 1), { params: [], nparams: 3 });
    assert.deepEqual(ask(3, -1, 1), {
      params: [
        time(48_016_105n),
        { field: "user_time", kind: "ullong", value: 30_000_000n },
        { field: "system_time", kind: "ullong", value: 10_000_000n },
      ],
      nparams: 3,
    });
  });

  it("has no figures of each processor where the kernel has none", () => {
    assert.equal(perCpuTimes(null), null);
    assert.equal(perCpuTimes("usage_usec 5\n"), null);
    assert.deepEqual(cpuStats({ nparams: 0, start_cpu: 0, ncpus: 1 }, times, null, 2), { params: [], nparams: 0 });
  });

  it("leaves out times that nobody accounts", () => {
    const bare = cpuTimes({ cpuNanoseconds: 5n, cpuUserTicks: null, cpuSystemTicks: null });
    assert.equal(cpuStats({ nparams: 0, start_cpu: -1, ncpus: 1 }, bare, null, 2).nparams, 1);
  });

  it("stops at the last processor, and refuses to begin behind it", () => {
    assert.equal(cpuStats({ nparams: 1, start_cpu: 1, ncpus: 4_294_967_295 }, times, each, 2).params.length, 1);
    for (const [start_cpu, ncpus, said] of [
      [2, 1, /start_cpu 2 larger than maximum of 1$/],
      [-2, 1, /start_cpu/],
      [-1, 2, /ncpus/],
      [1, 0, /ncpus/],
    ] as const)
      assert.throws(() => cpuStats({ nparams: 1, start_cpu, ncpus }, times, each, 2), refused(8, said));
  });
});

describe("dommemstat and dominfo", () => {
  const usage = { memoryBytes: 540_672n, memorySwapBytes: 540_672n, cpuNanoseconds: 48_016_105n };
  it("are libvirt's answers of the guest of the vectors", () => {
    assert.deepEqual(memoryStats(usage, 98_304n, 13), [
      { tag: 6, val: 98_304n },
      { tag: 0, val: 528n },
      { tag: 7, val: 528n },
    ]);
    const doc = { memory: 131_072n, vcpu: { count: 1, current: null, placement: "static", cpuset: null } } as const;
    assert.deepEqual(domainInfo(doc, 1, usage), {
      state: 1,
      maxMem: 131_072n,
      memory: 528n,
      nrVirtCpu: 1,
      cpuTime: 48_016_105n,
    });
    assert.deepEqual(domainInfo({ ...doc, memory: 65_536n }, 5, null), {
      state: 5,
      maxMem: 65_536n,
      memory: 65_536n,
      nrVirtCpu: 1,
      cpuTime: 0n,
    });
  });
  it("leave out what no controller accounts, and give no more than was asked for", () => {
    assert.deepEqual(memoryStats({ memoryBytes: null, memorySwapBytes: null }, 1n, 13), [{ tag: 6, val: 1n }]);
    assert.equal(memoryStats(usage, 1n, 2).length, 2);
  });
});

describe("domblkstat", () => {
  const v1 = {
    serviceBytes:
      "8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 0\n8:0 Total 12288\n8:16 Read 1\n8:16 Write 2\nTotal 12291\n",
    serviced: "8:0 Read 3\n8:0 Write 4\n8:16 Read 5\n8:16 Write 6\nTotal 18\n",
    ioStat: null,
  };
  const v2 = {
    serviceBytes: null,
    serviced: null,
    ioStat:
      "8:0 rbytes=4096 wbytes=8192 rios=3 wios=4 dbytes=9 dios=9\n8:16 rbytes=1 wbytes=2 rios=5 wios=6 dbytes=0 dios=0\n",
  };
  it("sums up all devices, or tells of one, the same on both cgroup versions", () => {
    for (const texts of [v1, v2]) {
      assert.deepEqual(blockFigures(texts, null), {
        readBytes: 4097n,
        readRequests: 8n,
        writeBytes: 8194n,
        writeRequests: 10n,
      });
      assert.equal(blockFigures(texts, ["8:16"]).writeBytes, 2n);
      assert.equal(blockFigures(texts, ["8:1"]).writeBytes, 0n);
    }
  });
  it("answers both calls as libvirt does, in its order", () => {
    const figures = blockFigures(v1, null);
    assert.deepEqual(blockStats(figures), { rd_req: 8n, rd_bytes: 4097n, wr_req: 10n, wr_bytes: 8194n, errs: -1n });
    assert.deepEqual(blockStatsFlags(figures, 0), { params: [], nparams: 4 });
    assert.deepEqual(blockStatsFlags(figures, 4), {
      params: [
        { field: "wr_bytes", kind: "llong", value: 8194n },
        { field: "wr_operations", kind: "llong", value: 10n },
        { field: "rd_bytes", kind: "llong", value: 4097n },
        { field: "rd_operations", kind: "llong", value: 8n },
      ],
      nparams: 0,
    });
    assert.equal(blockStatsFlags(figures, 1).params.length, 1);
  });
  it("is nothing where nothing is accounted", () => {
    assert.equal(blockFigures({ serviceBytes: null, serviced: null, ioStat: null }, null).readBytes, 0n);
  });
});

describe("domifstat", () => {
  const netDev = [
    "Inter-|   Receive                                                |  Transmit",
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed",
    "    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0",
    " vnet0:    1000      10    1    2    0     0          0         0     2000      20    3    4    0     0       0          0",
    "vnet01:       7       7    7    7    0     0          0         0        7       7    7    7    0     0       0          0",
  ].join("\n");
  it("turns the host's end round: what it sends the guest receives", () => {
    assert.deepEqual(interfaceFigures(netDev, "vnet0"), {
      rx_bytes: 2000n,
      rx_packets: 20n,
      rx_errs: 3n,
      rx_drop: 4n,
      tx_bytes: 1000n,
      tx_packets: 10n,
      tx_errs: 1n,
      tx_drop: 2n,
    });
    assert.equal(interfaceFigures(netDev, "vnet0", "guest")?.rx_bytes, 1000n);
  });
  it("knows no device that is not there", () => {
    assert.equal(interfaceFigures(netDev, "vnet"), null);
    assert.equal(interfaceFigures(netDev, "face |bytes"), null);
    assert.equal(interfaceFigures(null, "lo"), null);
  });
});
