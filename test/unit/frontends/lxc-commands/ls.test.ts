import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Engine, NestedContainer } from "../../../../src/engine/engine.js";
import { compileEre } from "../../../../src/frontends/lxc/commands/ere.js";
import { nameRows } from "../../../../src/frontends/lxc/commands/ls.js";
import { runningContainer, store, tool } from "./canned.js";

const configs = {
  b1: "",
  "t-a": "lxc.group = g1\nlxc.group = g2\nlxc.start.auto = 1\n",
  unpriv: "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n",
};
const running = [runningContainer("t-b", "RUNNING", "lxc.group = live\n"), runningContainer("frost", "FROZEN")];

describe("lxc-ls", () => {
  it("prints one bare name per line with -1, sorted, running ones without a configuration included", async () => {
    const { stdout } = await tool(["lxc-ls", "-1"], { configs, running });
    assert.equal(stdout, "b1\nfrost\nt-a\nt-b\nunpriv\n");
  });
  it("pads names to the longest, one per row where there is no terminal", async () => {
    const { stdout } = await tool(["lxc-ls"], { configs });
    assert.equal(stdout, "b1    \nt-a   \nunpriv\n");
  });
  it("fills the rows of a terminal as LXC does", () => {
    const names = ["arg1", "bb1", "bdir", "bdn", "def1", "none1"];
    const rows: Readonly<Record<number, string>> = {
      10: "arg1 \nbb1  \nbdir \nbdn  \ndef1 \nnone1\n",
      11: "arg1  bb1  \nbdir  bdn  \ndef1  none1\n",
      17: "arg1  bb1   bdir \nbdn   def1  none1\n",
      80: "arg1  bb1   bdir  bdn   def1  none1 \n",
    };
    for (const [width, text] of Object.entries(rows)) assert.equal(nameRows(names, Number(width)), text, width);
  });
  it("prints the default table with -f", async () => {
    const engine = {
      addresses: () => Promise.resolve({ ipv4: ["10.0.3.17", "10.0.3.18"], ipv6: ["fd00::2"] }),
    };
    const { stdout } = await tool(["lxc-ls", "-f"], { configs, running: running.slice(0, 1), engine });
    assert.equal(
      stdout,
      [
        "NAME   STATE   AUTOSTART GROUPS IPV4                 IPV6    UNPRIVILEGED ",
        "b1     STOPPED 0         -      -                    -       false        ",
        "t-a    STOPPED 1         g1, g2 -                    -       false        ",
        "t-b    RUNNING 0         live   10.0.3.17, 10.0.3.18 fd00::2 false        ",
        "unpriv STOPPED 0         -      -                    -       true         ",
        "",
      ].join("\n"),
    );
  });
  it("prints the columns of -F in their order, in any case, with -f only", async () => {
    const engine = {
      usage: () =>
        Promise.resolve({
          cpuNanoseconds: null,
          blkioBytes: null,
          memoryBytes: 922746n,
          kernelMemoryBytes: null,
          swapBytes: 0n,
        }),
      interfaces: () =>
        Promise.resolve([{ name: "eth0", up: true, isLoopback: false, hardwareAddress: null, addresses: [] }]),
    };
    const canned = { running: running.slice(0, 1), engine };
    const { stdout } = await tool(["lxc-ls", "-f", "-F", "state, NAME,pid,ram,swap,interface"], canned);
    assert.equal(stdout, "STATE   NAME PID  RAM    SWAP   INTERFACE \nRUNNING t-b  4711 0.88MB 0.00MB eth0      \n");
    assert.equal((await tool(["lxc-ls", "-F", "pid"], { configs: { b1: "" } })).stdout, "b1  \n");
  });
  it("asks the kernel for nothing that no column shows", async () => {
    const { calls } = await tool(["lxc-ls", "-f", "-F", "name,state"], { configs, running });
    assert.deepEqual(
      calls.filter((call) => ["interfaces", "addresses", "usage"].includes(call)),
      [],
    );
    const names = await tool(["lxc-ls", "-1"], { running });
    assert.deepEqual(names.calls, ["active", "defined"]);
  });
  it("complains of a column it does not know, with status 0 and no table", async () => {
    const { status, stdout, stderr } = await tool(["lxc-ls", "-f", "-F", "name,bogus"], { configs });
    assert.deepEqual([status, stdout, stderr], [0, "", "Invalid key: bogus\n"]);
  });
  it("selects by state", async () => {
    const names = async (...args: readonly string[]): Promise<string> =>
      (await tool(["lxc-ls", "-1", ...args], { configs, running })).stdout.trim().replaceAll("\n", " ");
    assert.equal(await names("--active"), "frost t-b");
    assert.equal(await names("--running"), "frost t-b");
    assert.equal(await names("--frozen"), "frost");
    assert.equal(await names("--stopped"), "b1 t-a unpriv");
    assert.equal(await names("--defined"), "b1 t-a unpriv");
    assert.equal(await names("--active", "--defined"), "");
  });
  it("selects by groups, of which a container must have all", async () => {
    assert.equal((await tool(["lxc-ls", "-1", "-g", "g1,g2"], { configs })).stdout, "t-a\n");
    assert.equal((await tool(["lxc-ls", "-1", "-g", "g1,g3"], { configs })).stdout, "");
    // An empty list leaves those that are in any group at all.
    assert.equal((await tool(["lxc-ls", "-1", "-g", ""], { configs })).stdout, "t-a\n");
  });
  it("selects by an expression, as option or operand", async () => {
    assert.equal((await tool(["lxc-ls", "-1", "--filter=^t"], { configs })).stdout, "t-a\n");
    assert.equal((await tool(["lxc-ls", "-1", "v$"], { configs })).stdout, "unpriv\n");
    const broken = await tool(["lxc-ls", "-1", "--filter=["], { configs });
    assert.deepEqual([broken.status, broken.stdout], [0, ""]);
    assert.match(broken.stderr, /no extended regular expression/);
    assert.equal(compileEre("["), null);
  });
  describe("--nesting", () => {
    const none = { pid: null, usage: null, interfaces: [], addresses: { ipv4: [], ipv6: [] }, inside: [] };
    const deepest: NestedContainer = { ...none, name: "deep", state: "STOPPED", config: "lxc.include = /x\n" };
    const inner: NestedContainer = {
      ...none,
      name: "inner",
      state: "RUNNING",
      pid: 99,
      config: "lxc.start.auto = 0\n lxc.group=g1\nlxc.group = a\u001b[2J\nlxc.idmap = u 0 1 1\nlxc.start.auto = 1\n",
      addresses: { ipv4: ["10.0.9.2"], ipv6: [] },
      inside: [deepest],
    };
    const asked: (readonly [string, number])[] = [];
    const engine: Partial<Engine> = {
      addresses: () => Promise.resolve({ ipv4: [], ipv6: [] }),
      usage: () =>
        Promise.resolve({
          cpuNanoseconds: null,
          blkioBytes: null,
          memoryBytes: 4096n,
          kernelMemoryBytes: null,
          swapBytes: null,
        }),
      nested: (id, levels) => {
        asked.push([id.name, levels]);
        return Promise.resolve(id.name === "t-b" ? [inner, { ...deepest, name: "idle" }] : []);
      },
    };
    const list = async (...words: readonly string[]): Promise<string> =>
      (await tool(["lxc-ls", ...words], { configs, running, engine })).stdout;

    it("lists what running containers keep behind them, by path or indented", async () => {
      assert.equal(await list("-1", "--nesting"), "b1\nfrost\nt-a\nt-b\nt-b/inner\nt-b/inner/deep\nt-b/idle\nunpriv\n");
      assert.equal(
        await list("-f", "--nesting=2", "--active"),
        [
          "NAME   STATE   AUTOSTART GROUPS   IPV4     IPV6 UNPRIVILEGED ",
          "frost  FROZEN  0         -        -        -    false        ",
          "t-b    RUNNING 0         live     -        -    false        ",
          "\\inner RUNNING 1         g1, a[2J 10.0.9.2 -    true         ",
          "",
        ].join("\n"),
      );
      assert.match(await list("-f", "--nesting", "-F", "name"), /^t-b {4}\n\\inner \n \\deep \n\\idle {2}\nunpriv /m);
    });
    it("asks nobody without it, and five levels deep without a number", async () => {
      asked.length = 0;
      await list("-1");
      await list("-1", "--nesting=0");
      assert.deepEqual(asked, []);
      await list("-1", "--nesting");
      await list("-1", "--nesting=2", "^t");
      assert.deepEqual(asked, [
        ["frost", 5],
        ["t-b", 5],
        ["t-b", 2],
      ]);
    });
    it("selects inside as outside, and looks into nothing that is left out", async () => {
      assert.equal(await list("-1", "--nesting", "--filter=^t-b|inner"), "t-b\nt-b/inner\n");
      assert.equal(await list("-1", "--nesting", "--filter=inner"), "");
      assert.equal(await list("-1", "--nesting", "-g", "live"), "t-b\n");
      assert.equal(await list("-1", "--nesting", "--stopped"), "b1\nt-a\nunpriv\n");
    });
    it("--format json names them by path", async () => {
      const all = JSON.parse(await list("--format=json", "--nesting", "t-b|inner")) as readonly { name: string }[];
      assert.deepEqual(
        all.map((one) => one.name),
        ["t-b", "t-b/inner"],
      );
    });
  });
  it("prints nothing when there is nothing", async () => {
    for (const form of [[], ["-1"], ["-f"]]) {
      const outcome = await tool(["lxc-ls", ...form]);
      assert.deepEqual([outcome.status, outcome.stdout, outcome.stderr], [0, "", ""]);
    }
    assert.equal((await tool(["lxc-ls", "--format", "json"])).stdout, "[]\n");
  });
  it("leaves out a container with a broken configuration and says why", async () => {
    const { status, stdout, stderr } = await tool(["lxc-ls", "-1"], { configs: { a: "", brk: "lxc.foo = 1\n" } });
    assert.deepEqual([status, stdout], [0, "a\n"]);
    assert.match(stderr, new RegExp(`"lxc.foo" \\(${store}/brk/config:1 lxc.foo\\)`));
    assert.match(stderr, /^Failed to load config for brk$/m);
  });
  it("prints JSON with the members of all columns", async () => {
    const { stdout } = await tool(["lxc-ls", "--format=json", "t-a"], { configs });
    assert.deepEqual(JSON.parse(stdout), [
      {
        name: "t-a",
        state: "STOPPED",
        pid: null,
        ramBytes: null,
        swapBytes: null,
        autostart: true,
        groups: ["g1", "g2"],
        interfaces: [],
        ipv4: [],
        ipv6: [],
        unprivileged: false,
      },
    ]);
  });
});
