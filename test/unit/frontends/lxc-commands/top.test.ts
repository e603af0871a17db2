import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DetailedUsage, Engine, ScreenEvents } from "../../../../src/engine/engine.js";
import {
  batchHeader,
  batchLine,
  pressed,
  screenText,
  sortRows,
  topRow,
} from "../../../../src/frontends/lxc/commands/top.js";
import { runningContainer, tool } from "./canned.js";

const none: DetailedUsage = {
  cpuNanoseconds: null,
  cpuSystemTicks: null,
  cpuUserTicks: null,
  blkioBytes: null,
  blkioReadBytes: null,
  blkioWriteBytes: null,
  blkioOperations: null,
  memoryBytes: null,
  memorySwapBytes: null,
  kernelMemoryBytes: null,
};

const web: DetailedUsage = {
  cpuNanoseconds: 12_340_000_000n,
  cpuSystemTicks: 150n,
  cpuUserTicks: 7n,
  blkioBytes: 3n * 1024n * 1024n,
  blkioReadBytes: 2n * 1024n * 1024n,
  blkioWriteBytes: 1n << 20n,
  blkioOperations: 9n,
  memoryBytes: 569344n,
  memorySwapBytes: 569344n,
  kernelMemoryBytes: 356352n,
};

const rows = [topRow("web", web), topRow("db", { ...none, memoryBytes: 600000n }), topRow("c3", none)];
const names = (list: readonly { readonly name: string }[]): string => list.map((row) => row.name).join(" ");

const engine: Partial<Engine> = { detailedUsage: () => Promise.resolve(web) };
const running = [runningContainer("web"), runningContainer("db")];

describe("lxc-top", () => {
  it("lays a screen out as LXC does", () => {
    const [head, second, first, last] = screenText(
      [topRow("islt-p2", { ...web, cpuNanoseconds: 10_000_000n })],
      25,
      200,
    ).split("\r\n");
    assert.equal(
      head,
      "\u001b[H\u001b[J\u001b[7m\u001b[1mContainer                   CPU          CPU          CPU                                BlkIO        Mem      MemSw       KMem",
    );
    assert.equal(
      second,
      "Name                       Used          Sys         User                    Total(Read/Write)       Used       Used       Used",
    );
    assert.equal(
      first,
      "\u001b[0mislt-p2                    0.01         1.50         0.07       3.00 MiB(2.00 MiB/1024.00 KiB) 556.00 KiB 556.00 KiB 348.00 KiB",
    );
    assert.match(last ?? "", /^TOTAL 1 of 1 {15}0\.01 /);
  });

  it("has no column for what nobody uses, and pads bytes without a unit", () => {
    const text = screenText([topRow("c3", none)], 25, 200);
    assert.ok(!text.includes("MemSw") && !text.includes("KMem"));
    assert.ok(text.includes("  0.00   (  0.00   /  0.00   )    0.00   "), text);
  });

  it("shows as many containers as fit, fewer where the lines wrap, and counts all", () => {
    assert.match(screenText(rows, 5, 200), /TOTAL 2 of 3/);
    assert.match(screenText(rows, 10, 80), /TOTAL 2 of 3/);
    assert.match(screenText(rows, 2, 80), /TOTAL 0 of 3/);
    assert.match(screenText(rows, 0, 0), /TOTAL 3 of 3/);
  });

  it("sorts names up and amounts down, and the other way round when reversed", () => {
    assert.equal(names(sortRows(rows, { by: "n", reverse: false })), "c3 db web");
    assert.equal(names(sortRows(rows, { by: "n", reverse: true })), "web db c3");
    assert.equal(names(sortRows(rows, { by: "m", reverse: false })), "db web c3");
    assert.equal(names(sortRows(rows, { by: "c", reverse: true })), "c3 db web");
  });

  it("knows its keys", () => {
    const order = { by: "n", reverse: false } as const;
    assert.equal(pressed("q", order), null);
    assert.equal(pressed("\u0003", order), null);
    assert.deepEqual(pressed("r", order), { by: "n", reverse: true });
    assert.deepEqual(pressed("n", order), { by: "n", reverse: true });
    assert.deepEqual(pressed("c", { by: "n", reverse: true }), { by: "c", reverse: false });
    assert.deepEqual(pressed("x", order), order);
  });

  it("prints lines of comma-separated values with --batch, until its reader goes", async () => {
    const gone = new Promise<never>((_, reject) => {
      setTimeout(() => {
        reject(new Error("gone"));
      }, 300);
    });
    gone.catch(() => undefined);
    const { stdout } = await tool(["lxc-top", "-b", "-s", "n", "-d", "0"], { running, engine, gone });
    const lines = stdout.split("\n");
    assert.equal(`${lines[0] ?? ""}\n`, batchHeader);
    assert.match(lines[1] ?? "", /^\d{13},db,12340000000,150,7,3145728,9,569344,569344,356352$/);
    assert.match(lines[2] ?? "", /^\d{13},web,/);
    assert.match(lines[3] ?? "", /^\d{13},db,/);
    const json = await tool(["lxc-top", "-b", "-d", "0", "--format=json"], { running, engine, gone });
    const [first = ""] = json.stdout.split("\n");
    const { timeMilliseconds, ...counts } = JSON.parse(first) as Readonly<Record<string, unknown>>;
    assert.equal(typeof timeMilliseconds, "number");
    assert.deepEqual([counts["name"], counts["cpuNanoseconds"], counts["blkioOperations"]], ["db", 12340000000, 9]);
    assert.match((await tool(["lxc-top", "--format=json"], { running, engine })).stderr, /--format is for --batch/);
    assert.equal(batchLine(topRow("x", none), 5), "5,x,0,0,0,0,0,0,0,0\n");
  });

  it("needs a terminal otherwise", async () => {
    const { status, stdout, stderr } = await tool(["lxc-top"], { running, engine });
    assert.deepEqual([status, stdout, stderr], [1, "", "stdin is not a tty\nFailed to setup terminal\n"]);
  });

  it("refuses a delay that is no number", async () => {
    const { status, stderr } = await tool(["lxc-top", "-d", "1.5"], { columns: 80, running, engine });
    assert.equal(status, 1);
    assert.match(stderr, /lxc-top: could not parse command line\n$/);
  });

  it("draws at once, again for each key, and ends with q", async () => {
    const drawn: string[] = [];
    let end: () => void = () => undefined;
    const over = new Promise<void>((resolve) => {
      end = resolve;
    });
    const open: ScreenEvents[] = [];
    const ended = tool(["lxc-top"], {
      columns: 200,
      running,
      engine,
      screen: (on) => {
        open.push(on);
        return { over, busy: false, close: end, write: (text) => void drawn.push(text) };
      },
    });
    const settle = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 20));
    await settle();
    open[0]?.input(new TextEncoder().encode("r"));
    await settle();
    open[0]?.input(new TextEncoder().encode("q"));
    const { status, stderr } = await ended;
    assert.deepEqual([status, stderr, drawn.length], [0, "\n", 2]);
    assert.ok((drawn[0] ?? "").indexOf("\u001b[0mdb") > 0 && (drawn[1] ?? "").indexOf("\u001b[0mweb") > 0);
  });
});
