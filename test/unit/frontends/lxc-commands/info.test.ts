import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Engine } from "../../../../src/engine/engine.js";
import { lxcBytes } from "../../../../src/frontends/lxc/commands/info.js";
import { runningContainer, tool } from "./canned.js";

const usage: Partial<Engine> = {
  usage: () =>
    Promise.resolve({
      cpuNanoseconds: 8914482n,
      blkioBytes: 0n,
      memoryBytes: 675840n,
      kernelMemoryBytes: 352256n,
      swapBytes: null,
    }),
};
const network: Partial<Engine> = {
  ...usage,
  addresses: () => Promise.resolve({ ipv4: ["10.0.3.17", "10.1.0.2"], ipv6: ["fd00::2"] }),
  links: () => Promise.resolve([{ hostName: "veth1001_eu3M", txBytes: 2048n, rxBytes: 1000n }]),
};
const running = [runningContainer("t-b")];

describe("lxc-info", () => {
  it("prints everything of a running container in LXC's lines", async () => {
    const { status, stdout } = await tool(["lxc-info", "t-b"], { running, engine: network });
    assert.equal(status, 0);
    assert.equal(
      stdout,
      [
        "Name:           t-b",
        "State:          RUNNING",
        "PID:            4711",
        "IP:             10.0.3.17",
        "IP:             10.1.0.2",
        "IP:             fd00::2",
        "CPU use:        0.01 seconds",
        "BlkIO use:      0 bytes",
        "Memory use:     660.00 KiB",
        "KMem use:       344.00 KiB",
        "Link:           veth1001_eu3M",
        " TX bytes:      1000 bytes",
        " RX bytes:      2.00 KiB",
        " Total bytes:   2.98 KiB",
        "",
      ].join("\n"),
    );
  });
  it("prints name and state of a stopped one", async () => {
    const { stdout } = await tool(["lxc-info", "-n", "web"], { configs: { web: "lxc.tty.max = 4\n" } });
    assert.equal(stdout, "Name:           web\nState:          STOPPED\n");
  });
  it("asks for the state once and reads no more than whether there is a configuration", async () => {
    const stopped = await tool(["lxc-info", "-sn", "web"], { configs: { web: "" } });
    assert.deepEqual(stopped.calls, ["status", "readConfig"]);
    const live = await tool(["lxc-info", "-s", "t-b"], { running });
    assert.deepEqual(live.calls, ["status"]);
    assert.equal(live.stdout, "State:          RUNNING\n");
  });
  it("prints bare values with -H and exactly one selection", async () => {
    const out = async (...args: readonly string[]): Promise<string> =>
      (await tool(["lxc-info", "t-b", ...args], { running, engine: network })).stdout;
    assert.equal(await out("-sH"), "RUNNING\n");
    assert.equal(await out("-pH"), "4711\n");
    assert.equal(await out("-iH"), "10.0.3.17\n10.1.0.2\nfd00::2\n");
    assert.equal(await out("-spH"), "State:          RUNNING\nPID:            4711\n");
    assert.match(await out("-SH"), /^CPU use:        8914482\nBlkIO use:      0\nMemory use:     675840\n/);
  });
  it("prints nothing for -p, -i and -S of a stopped container", async () => {
    const outcome = await tool(["lxc-info", "web", "-p", "-i", "-S"], { configs: { web: "" } });
    assert.deepEqual([outcome.status, outcome.stdout, outcome.stderr], [0, "", ""]);
  });
  it("leaves out what a controller does not offer", async () => {
    const none = { cpuNanoseconds: null, blkioBytes: null, memoryBytes: 5n, kernelMemoryBytes: null, swapBytes: null };
    const engine = { usage: () => Promise.resolve(none) };
    assert.equal((await tool(["lxc-info", "t-b", "-S"], { running, engine })).stdout, "Memory use:     5 bytes\n");
  });
  it("prints keys of the configuration, lists line by line, unset ones empty, and complains of unknown ones", async () => {
    const configs = { web: "lxc.uts.name = web\nlxc.cap.drop = sys_module mac_admin\n" };
    const keys = ["lxc.uts.name", "lxc.cap.drop", "lxc.cgroup.cpu", "lxc.bogus"].flatMap((key) => ["-c", key]);
    const { status, stdout, stderr } = await tool(["lxc-info", "web", ...keys], { configs });
    assert.equal(stdout, "lxc.uts.name = web\nlxc.cap.drop = sys_module\nmac_admin\n\nlxc.cgroup.cpu =\n");
    assert.deepEqual([status, stderr], [0, "lxc.bogus invalid\n"]);
    assert.equal((await tool(["lxc-info", "web", "-Hc", "lxc.uts.name"], { configs })).stdout, "web\n");
    const nic = { web: "lxc.net.0.type = empty\n" };
    const { stderr: none } = await tool(["lxc-info", "web", "-c", "lxc.net.0"], { configs: nic });
    assert.equal(none, "lxc.net.0 invalid\n");
  });
  it("says which container does not exist", async () => {
    const { status, stderr } = await tool(["lxc-info", "nosuch"]);
    assert.deepEqual([status, stderr], [1, "nosuch doesn't exist\n"]);
  });
  it("names the line of a broken configuration, then says what LXC says", async () => {
    const { status, stderr } = await tool(["lxc-info", "web"], { configs: { web: "lxc.foo = 1\n" } });
    assert.equal(status, 1);
    assert.match(stderr, /^lxc-info: web: Unsupported config key "lxc.foo" \(\/canned\/web\/config:1 lxc.foo\)/);
    assert.match(stderr, /Failed to load config for web\nFailure to retrieve information on \/canned:web\n$/);
  });
  it("prints what was selected as JSON", async () => {
    const { stdout } = await tool(["lxc-info", "t-b", "-s", "-S", "--format=json"], { running, engine: network });
    assert.deepEqual(JSON.parse(stdout), {
      name: "t-b",
      state: "RUNNING",
      stats: {
        cpuNanoseconds: 8914482,
        blkioBytes: 0,
        memoryBytes: 675840,
        kernelMemoryBytes: 352256,
        swapBytes: null,
      },
      links: [{ name: "veth1001_eu3M", txBytes: 1000, rxBytes: 2048 }],
    });
  });
  it("rounds byte counts with LXC's integer arithmetic", () => {
    // Each pair was printed by a C program with the arithmetic of lxc_info.c, size_humanize().
    const pairs: readonly (readonly [bigint, string])[] = [
      [1024n, "1024 bytes"],
      [1025n, "1.00 KiB"],
      [675840n, "660.00 KiB"],
      [1048576n, "1024.00 KiB"],
      [1187840n, "1.13 MiB"],
      [1073741824n, "1024.00 MiB"],
      [1610612736n, "1.49 GiB"],
    ];
    for (const [bytes, text] of pairs) assert.equal(lxcBytes(bytes), text);
  });
});
