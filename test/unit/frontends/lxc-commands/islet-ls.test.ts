import assert from "node:assert/strict";
import { uptime } from "node:os";
import { describe, it } from "node:test";
import type { Engine } from "../../../../src/engine/engine.js";
import { lsLines, type LsRow } from "../../../../src/frontends/lxc/commands/islet/ls.js";
import { widthOf } from "../../../../src/frontends/lxc/commands/look.js";
import { noUsage, runningContainer, store, tool } from "./canned.js";

const web: LsRow = {
  name: "web",
  state: "RUNNING",
  ready: null,
  uptimeSeconds: 277_200,
  pid: 4711,
  ipv4: ["10.0.3.17", "192.168.122.250"],
  ipv6: ["fd42:1:2:3::17"],
  memoryBytes: 61n << 20n,
  memoryLimitBytes: 64n << 20n,
  cpuNanoseconds: 3_720_000_000_000n,
  autostart: true,
  idMapped: true,
};
const db: LsRow = {
  ...web,
  name: "db",
  state: "STOPPED",
  uptimeSeconds: null,
  pid: null,
  ipv4: [],
  ipv6: [],
  memoryBytes: null,
  memoryLimitBytes: null,
  cpuNanoseconds: null,
  autostart: false,
  idMapped: false,
};

const engine: Partial<Engine> = { liveUsage: () => Promise.resolve({ ...noUsage, memoryBytes: 1n << 20n }) };
const configs = { db: "lxc.uts.name = db\nlxc.start.auto = 1\n", web: "lxc.uts.name = web\n" };
const running = [runningContainer("web")];

describe("islet ls", () => {
  it("shows everything where there is room", () => {
    assert.deepEqual(lsLines([db, web], { columns: null, colours: false, unicode: true }), [
      "NAME  STATE      UPTIME   PID  IPV4                        IPV6            MEMORY               CPU  AUTO  IDS",
      "db    ○ stopped",
      "web   ● running    3d5h  4711  10.0.3.17, 192.168.122.250  fd42:1:2:3::17  ███████▋  61M/64M  1h02m  ✓     mapped",
    ]);
  });
  it("is plain ASCII where the locale is no other", () => {
    const text = lsLines([db, web, { ...web, name: "Köln", state: "FROZEN" }], {
      columns: 80,
      colours: false,
      unicode: false,
    }).join("\n");
    // oxlint-disable-next-line no-control-regex -- just these are ASCII
    assert.match(text, /^[\u0000-\u007f]*$/);
    assert.match(text, /^web +\* running/m);
    assert.match(text, /^db +- stopped/m);
    assert.match(text, /^K\?ln +# frozen/m);
  });
  it("colours the states on a terminal; without colours there is no escape", () => {
    const [, line = ""] = lsLines([web], { columns: 120, colours: true, unicode: true });
    assert.ok(line.includes("\u001b[1mweb\u001b[0m") && line.includes("\u001b[32m● running\u001b[0m"), line);
    assert.ok(!lsLines([web], { columns: 120, colours: false, unicode: true }).join("").includes("\u001b"));
  });
  it("fits every terminal, the least important columns go first, name and state stay", () => {
    const rows = [web, db, { ...web, name: "x".repeat(60) }];
    for (let columns = 20; columns < 200; columns += 7) {
      const lines = lsLines(rows, { columns, colours: false, unicode: true });
      for (const line of lines) assert.ok(widthOf(line) <= columns, `${columns}: ${line}`);
      assert.match(lines[0] ?? "", /^NAME +STATE/);
    }
    const heads = [110, 90, 70, 60, 50, 40, 30].map(
      (columns) => lsLines([web], { columns, colours: false, unicode: true })[0]?.split(/ +/).length ?? 0,
    );
    assert.deepEqual(
      heads,
      [...heads].sort((a, b) => b - a),
    );
  });
  it("a name that would move the cursor does not", () => {
    const text = lsLines([{ ...web, name: "a\u009b2Jb\u202e" }], { columns: null, colours: false, unicode: true }).join(
      "",
    );
    assert.ok(text.includes("a?2Jb?"), text);
  });

  it("shows running and stopped ones, uptime from the start on", async () => {
    const started = { ...runningContainer("web"), startedAt: (uptime() - 65) * 1000 };
    const { status, stdout, stderr } = await tool(["islet", "ls"], { configs, running: [started], engine });
    assert.deepEqual([status, stderr], [0, ""]);
    assert.match(
      stdout,
      /^NAME +STATE +UPTIME +PID +MEMORY +AUTO\ndb +- stopped +yes\nweb +\* running +1m0\ds +4711 +1\.0M\n$/,
    );
  });
  it("asks for nothing of those that do not run", async () => {
    const { calls } = await tool(["islet", "ls"], { configs, running, engine });
    assert.deepEqual(
      calls.filter((name) => name === "liveUsage" || name === "addresses"),
      ["addresses", "liveUsage"],
    );
  });
  it("leaves out by state and by pattern", async () => {
    const names = async (...words: readonly string[]): Promise<string> =>
      (await tool(["islet", "ls", "--format=names", ...words], { configs, running, engine })).stdout;
    assert.equal(await names(), "db\nweb\n");
    assert.equal(await names("--running"), "web\n");
    assert.equal(await names("--stopped"), "db\n");
    assert.equal(await names("w*"), "web\n");
    assert.equal(await names("w*", "db"), "db\nweb\n");
  });
  it("says so in one line when there is nothing to show", async () => {
    const lines = async (words: readonly string[], canned: object): Promise<readonly [number, string, string]> => {
      const { status, stdout, stderr } = await tool(["islet", "ls", "-P", store, ...words], canned);
      return [status, stdout, stderr];
    };
    assert.deepEqual(await lines([], {}), [
      0,
      "",
      "islet ls: there are no containers in /canned yet; this makes one: lxc-create -P /canned -n NAME -t busybox\n",
    ]);
    assert.deepEqual(await lines(["x*"], { configs }), [1, "", "islet ls: no container matches x*\n"]);
    assert.deepEqual(await lines(["--running"], { configs }), [
      0,
      "",
      "islet ls: nothing runs in /canned; islet ls --stopped shows what could\n",
    ]);
    assert.deepEqual(await lines(["-q"], {}), [0, "", ""]);
  });
  it("prints JSON for programs, all members always there", async () => {
    const { stdout } = await tool(["islet", "ls", "--format", "json", "db"], { configs, running, engine });
    assert.deepEqual(JSON.parse(stdout), [
      {
        name: "db",
        state: "STOPPED",
        ready: null,
        uptimeSeconds: null,
        pid: null,
        ipv4: [],
        ipv6: [],
        memoryBytes: null,
        memoryLimitBytes: null,
        cpuNanoseconds: null,
        autostart: true,
        idMapped: false,
      },
    ]);
    assert.equal((await tool(["islet", "ls", "--format", "json"])).stdout, "[]\n");
  });
  it("shows a container whose configuration has faults, and says so", async () => {
    const { stdout, stderr } = await tool(["islet", "ls"], { configs: { bad: "lxc.bogus = 1\n" }, engine });
    assert.match(stdout, /^bad +- stopped/m);
    assert.equal(stderr, "islet ls: the configuration of bad has faults; islet doctor shows them\n");
  });
  it("refuses formats that there are not, and options that leave nothing", async () => {
    assert.deepEqual(
      (await tool(["islet", "ls", "--format=xml"])).stderr,
      'islet ls: "xml" is no output format; table, json and names are\n',
    );
    assert.equal((await tool(["islet", "ls", "--running", "--stopped"])).status, 1);
  });
});
