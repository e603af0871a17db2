import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { readLiveUsage } from "../../../src/engine/usage.js";
import { missingCalls } from "../../../src/host/features.js";
import type { MonitorMeta } from "../../../src/runtime/monitors.js";

const arch = process.arch === "x64" ? "x86_64" : "arm64";
const place = mkdtempSync(join(tmpdir(), "islt-usage-"));
after(() => {
  rmSync(place, { recursive: true, force: true });
});

/** A cgroup directory with these files. */
function directory(name: string, files: Readonly<Record<string, string>>): string {
  const path = join(place, name);
  mkdirSync(path);
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  return path;
}

const meta = (cgroups: MonitorMeta["cgroups"], unified: string | null): MonitorMeta => ({
  version: 1,
  name: "web",
  storePath: "/s",
  annotations: {},
  cgroups,
  unified,
  links: [],
  attach: null,
  signals: { halt: null, reboot: 2, stop: 9, death: 9 },
  environment: [],
  ephemeral: false,
});

describe("live usage", () => {
  it("is what cgroup v2 accounts, devices added up", () => {
    const path = directory("v2", {
      "cpu.stat": "usage_usec 2500000\nuser_usec 1\nsystem_usec 2\n",
      "memory.current": "1048576\n",
      "memory.max": "67108864\n",
      "io.stat": "8:0 rbytes=100 wbytes=10 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2 rios=1 wios=1\n",
      "pids.current": "12\n",
    });
    assert.deepEqual(readLiveUsage(arch, meta([], path), true), {
      cpuNanoseconds: 2_500_000_000n,
      memoryBytes: 1048576n,
      memoryLimitBytes: 67108864n,
      readBytes: 101n,
      writtenBytes: 12n,
      processes: 12n,
    });
    writeFileSync(join(path, "memory.max"), "max\n");
    assert.equal(readLiveUsage(arch, meta([], path), true).memoryLimitBytes, null);
  });
  it("is what cgroup v1 accounts; its greatest number is no limit", () => {
    const path = directory("v1", {
      "cpuacct.usage": "77\n",
      "memory.usage_in_bytes": "4096\n",
      "memory.limit_in_bytes": "9223372036854771712\n",
      "blkio.throttle.io_service_bytes": "8:0 Read 5\n8:0 Write 6\n8:0 Total 11\n8:16 Read 1\nTotal 12\n",
      "pids.current": "3\n",
    });
    const all = meta([{ controllers: ["cpuacct", "memory", "blkio", "pids"], path }], null);
    assert.deepEqual(readLiveUsage(arch, all, true), {
      cpuNanoseconds: 77n,
      memoryBytes: 4096n,
      memoryLimitBytes: null,
      readBytes: 6n,
      writtenBytes: 6n,
      processes: 3n,
    });
    const { readBytes, writtenBytes, processes, memoryBytes } = readLiveUsage(arch, all, false);
    assert.deepEqual([readBytes, writtenBytes, processes, memoryBytes], [null, null, null, 4096n]);
  });
  it("of what does not run is nothing", () => {
    assert.ok(Object.values(readLiveUsage(arch, null, true)).every((value) => value === null));
  });
});

describe("system calls", () => {
  it("that a kernel which runs these tests has are not missing, and asking for them does nothing", () => {
    assert.deepEqual(missingCalls(arch), []);
  });
});
