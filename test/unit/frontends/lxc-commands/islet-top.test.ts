import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Engine, LiveUsage, ScreenEvents } from "../../../../src/engine/engine.js";
import {
  advance,
  type ContainerSample,
  emptyModel,
  firstView,
  historyLength,
  type Key,
  keysOf,
  type Model,
  pressed,
  sortRows,
  type TopRow,
  type View,
  visibleRows,
} from "../../../../src/frontends/lxc/commands/islet/top-model.js";
import {
  type HostState,
  paint,
  picture,
  sparkline,
  window,
} from "../../../../src/frontends/lxc/commands/islet/top-screen.js";
import { type Look, widthOf } from "../../../../src/frontends/lxc/commands/look.js";
import { noUsage, runningContainer, tool } from "./canned.js";

const usage = (seconds: number, more: Partial<LiveUsage> = {}): LiveUsage => ({
  cpuNanoseconds: BigInt(Math.round(seconds * 1e9)),
  memoryBytes: 10n << 20n,
  memoryLimitBytes: null,
  readBytes: 0n,
  writtenBytes: 0n,
  processes: 3n,
  ...more,
});

const one = (name: string, change: Partial<ContainerSample> = {}): ContainerSample => ({
  name,
  state: "RUNNING",
  pid: 7,
  usage: usage(0),
  rxBytes: null,
  txBytes: null,
  ...change,
});

const after = (...samples: readonly (readonly [at: number, ...containers: ContainerSample[]])[]): Model =>
  samples.reduce((model, [at, ...containers]) => advance(model, { at, containers }), emptyModel);

const row = (name: string, change: Partial<TopRow> = {}): TopRow => ({
  name,
  state: "RUNNING",
  cpu: 0,
  history: [],
  memoryBytes: 1n << 20n,
  memoryLimitBytes: null,
  readRate: 0,
  writeRate: 0,
  rxRate: null,
  txRate: null,
  processes: 1n,
  ...change,
});

const host: HostState = {
  name: "host",
  uptimeSeconds: 90_000,
  load: [0.5, 0.25, 0.125],
  processors: 2,
  memoryBytes: 1n << 30n,
  memoryTotalBytes: 4n << 30n,
  containers: 9,
};

const look: Look = { columns: 100, colours: false, unicode: true };
const names = (rows: readonly TopRow[]): string => rows.map((each) => each.name).join(" ");

describe("rates of islet top", () => {
  it("come from two looks; the first has none", () => {
    const first = one("web", { usage: usage(1, { readBytes: 1000n }), rxBytes: 50n, txBytes: 0n });
    const second = one("web", { usage: usage(2.5, { readBytes: 5000n }), rxBytes: 250n, txBytes: 0n });
    assert.equal(after([1000, first]).rows[0]?.cpu, null);
    const [rates] = after([1000, first], [3000, second]).rows;
    assert.deepEqual(
      [rates?.cpu, rates?.readRate, rates?.writeRate, rates?.rxRate, rates?.txRate],
      [75, 2000, 0, 100, 0],
    );
  });
  it("begin anew with another main process, a counter that went back, or a container that was not there", () => {
    const big = one("web", { usage: usage(100) });
    assert.equal(after([0, big], [1000, one("web", { pid: 8, usage: usage(101) })]).rows[0]?.cpu, null);
    assert.equal(after([0, big], [1000, one("web", { usage: usage(1) })]).rows[0]?.cpu, null);
    assert.equal(after([0], [1000, big]).rows[0]?.cpu, null);
    assert.equal(after([0, big], [0, big]).rows[0]?.cpu, null);
  });
  it("keep a history of so many looks", () => {
    let model = emptyModel;
    for (let at = 0; at < 30; at += 1)
      model = advance(model, { at: at * 1000, containers: [one("web", { usage: usage(at * at * 0.01) })] });
    const history = model.rows[0]?.history ?? [];
    assert.equal(history.length, historyLength);
    assert.ok(history.every((value, index) => index === 0 || value > (history[index - 1] ?? 0)));
    assert.deepEqual(advance(model, { at: 99_000, containers: [] }).rows, []);
  });
});

describe("the view of islet top", () => {
  const rows = [
    row("web", { cpu: 5, memoryBytes: 1n, processes: 9n, readRate: 5, rxRate: 1 }),
    row("db", { cpu: 50, memoryBytes: 3n, state: "FROZEN", writeRate: 1 }),
    row("Mail", { cpu: null, memoryBytes: 2n, txRate: 9 }),
  ];
  const press = (text: string, view: View = firstView): View | null =>
    keysOf(text).reduce<View | null>(
      (now, key) => (now === null ? null : pressed(key, now, visibleRows(rows, now), 10)),
      view,
    );
  const seen = (text: string): string => names(visibleRows(rows, press(text) ?? firstView));

  it("sorts by what its keys say, amounts down, names and states up, again: the other way round", () => {
    assert.equal(seen(""), "db web Mail");
    assert.equal(seen("r"), "Mail web db");
    assert.equal(seen("c"), "Mail web db");
    assert.equal(seen("m"), "db Mail web");
    assert.equal(seen("i"), "web db Mail");
    assert.equal(seen("t"), "Mail web db");
    assert.equal(seen("p"), "web Mail db");
    assert.equal(seen("n"), "Mail db web");
    assert.equal(seen("nn"), "web db Mail");
    assert.equal(seen("s"), "db Mail web");
    assert.equal(names(sortRows(rows, { by: "s", reverse: true })), "Mail web db");
  });
  it("shows only names that contain what is typed, and all again with Esc", () => {
    assert.equal(seen("/ma"), "Mail");
    assert.equal(seen("/ma\r"), "Mail");
    assert.equal(seen("/wxx\u007f\u007f\r"), "web");
    assert.equal(seen("/ma\u001b"), "db web Mail");
    assert.equal(seen("/ma\r\u001b"), "db web Mail");
    assert.equal(press("/q")?.filter, "q");
    assert.equal(press(`/${"x".repeat(500)}`)?.filter.length, 64);
  });
  it("leaves with q, ^C and ^\\, while a filter is typed with ^C", () => {
    for (const keys of ["q", "\u0003", "\u001c", "/x\u0003", "mq"]) assert.equal(press(keys), null, keys);
  });
  it("chooses rows, which stay chosen wherever they go", () => {
    assert.equal(press("\u001b[B")?.chosen, "db");
    assert.equal(press("\u001b[B\u001bOB")?.chosen, "web");
    assert.equal(press("\u001b[A")?.chosen, "Mail");
    assert.equal(press("\u001b[B\u001b[A\u001b[A")?.chosen, "db");
    assert.equal(press("\u001b[F")?.chosen, "Mail");
    assert.equal(press("\u001b[F\u001b[H")?.chosen, "db");
    assert.equal(press("jj")?.chosen, "web");
    assert.equal(press("\u001b[B\u001b")?.chosen, null);
    assert.equal(pressed("down", firstView, [], 10)?.chosen, null);
  });
  it("knows keys in one piece or many, and ignores what is none", () => {
    const list = (text: string): readonly Key[] => keysOf(text);
    assert.deepEqual(list("\u001b[5~\u001b[6~\u001b[1~\u001b[4~"), ["pageup", "pagedown", "home", "end"]);
    assert.deepEqual(list("\u001b[1;5C\u001b[200~"), []);
    assert.deepEqual(list("\u001b"), ["escape"]);
    assert.deepEqual(list("é\u0001\u009b"), [{ char: "é" }]);
  });
});

describe("the picture of islet top", () => {
  const rows = Array.from({ length: 40 }, (_, index) =>
    row(`web-${String(index).padStart(2, "0")}`, { cpu: index, history: [index], memoryLimitBytes: 4n << 20n }),
  );
  const lines = (height: number, columns: number, view: View = firstView, from = 0): readonly string[] =>
    picture(rows, host, view, height, from, { ...look, columns }).lines;

  it("has a head about the host, the table, and a foot with the keys", () => {
    const [first, second, third, head, row1] = lines(10, 120);
    assert.equal(first, "host  up 1d1h   containers 40 running of 40");
    assert.equal(second, "load 0.50 0.25 0.13 on 2 CPUs   memory ███········· 1.0G/4.0G");
    assert.equal(third, "");
    assert.match(head ?? "", /^NAME +STATE +CPU%▾ +HISTORY +MEMORY +READ\/s +WRITE\/s +PROCS$/);
    assert.match(row1 ?? "", /^web-39 +● running +39\.0 +▄ +██······ 1\.0M\/4\.0M +0 +0 +1$/);
    assert.match(lines(10, 120).at(-1) ?? "", /^cpu {2}mem .*quit$/);
  });
  it("is as high as the terminal and never wider, whatever its size", () => {
    for (const height of [1, 2, 3, 5, 6, 24, 80])
      for (const columns of [1, 10, 20, 40, 79, 200])
        for (const view of [firstView, { ...firstView, help: true }, { ...firstView, filter: "none" }]) {
          const found = lines(height, columns, view);
          assert.equal(found.length, height);
          for (const line of found) assert.ok(widthOf(line) <= columns, `${columns}: ${line}`);
        }
  });
  it("scrolls so that the chosen row is seen", () => {
    assert.equal(window(40, -1, 10, 0), 0);
    assert.equal(window(40, 12, 10, 0), 3);
    assert.equal(window(40, 2, 10, 5), 2);
    assert.equal(window(40, -1, 10, 99), 30);
    assert.equal(window(4, 3, 10, 2), 0);
    const view = { ...firstView, chosen: "web-05" };
    assert.ok(lines(12, 100, view).some((line) => line.startsWith("▸ web-05")));
  });
  it("says what there is to say when there are no rows", () => {
    assert.equal(picture([], host, firstView, 8, 0, look).lines[3], "nothing runs");
    assert.equal(lines(8, 100, { ...firstView, filter: "zz" })[3], 'no name has "zz" in it');
  });
  it("obeys no name and no filter", () => {
    const evil = [row("a\u009b2J\u202e")];
    const text = picture(evil, host, { ...firstView, typing: { before: "" }, filter: "\u009b" }, 8, 0, look).lines.join(
      "",
    );
    // oxlint-disable-next-line no-control-regex -- none of them may be there
    assert.doesNotMatch(text, /[\u0000-\u001f\u0080-\u009f\u202e]/);
  });
  it("is painted over the last one, without clearing it first", () => {
    assert.equal(paint(["a", "b"]), "\u001b[Ha\u001b[K\r\nb\u001b[K\u001b[J");
  });
  it("draws a history up to one processor, or up to its greatest value", () => {
    assert.equal(sparkline([0, 50, 99, 100], look), "      ▁▅██");
    assert.equal(sparkline([100, 400], { unicode: false }), "        -#");
  });
});

describe("islet top", () => {
  const engine: Partial<Engine> = { liveUsage: () => Promise.resolve(usage(1)), links: () => Promise.resolve([]) };
  const running = [runningContainer("web"), runningContainer("db")];

  it("needs a terminal, and says what there is without", async () => {
    const { status, stdout, stderr } = await tool(["islet", "top"], { running, engine });
    assert.deepEqual(
      [status, stdout, stderr],
      [1, "", "islet top: this is no terminal; islet top -b prints plain lines\n"],
    );
  });
  it("prints plain tables with --batch, as often as asked", async () => {
    const { status, stdout } = await tool(["islet", "top", "-b", "-n", "2", "-d", "0.2"], { running, engine });
    assert.equal(status, 0);
    const [head, titles, first, second, blank, again] = stdout.split("\n");
    assert.match(head ?? "", /^\d\d:\d\d:\d\d {2}load [\d. ]+ {2}memory [\d.]+[KMGT]\/[\d.]+[KMGT]$/);
    assert.match(titles ?? "", /^NAME +STATE +CPU% +MEMORY +READ\/s +WRITE\/s +PROCS$/);
    assert.match(first ?? "", /^db +\* running +0\.0 +10M +0 +0 +3$/);
    assert.match(second ?? "", /^web /);
    assert.equal(blank, "");
    assert.match(again ?? "", /^\d\d:\d\d:\d\d /);
    assert.equal(stdout.split("\n").length, 10);
    const none = await tool(["islet", "top", "-b", "-n", "1", "-d", "0.2"], { engine });
    assert.match(none.stdout, /\nnothing runs\n$/);
  });
  it("refuses what makes no sense", async () => {
    assert.match((await tool(["islet", "top", "-d", "x"])).stderr, /^islet top: "x" is no number of seconds\n$/);
    assert.match((await tool(["islet", "top", "-n", "2"])).stderr, /^islet top: -n is for --batch only\n$/);
  });
  it("draws at once, again for each key and size, and ends with q", async () => {
    const drawn: string[] = [];
    let end: () => void = () => undefined;
    const over = new Promise<void>((resolve) => {
      end = resolve;
    });
    const open: ScreenEvents[] = [];
    const ended = tool(["islet", "top", "-d", "60"], {
      columns: 100,
      running,
      engine,
      screen: (on) => {
        open.push(on);
        return { over, busy: false, close: end, write: (text) => void drawn.push(text) };
      },
    });
    const settle = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 30));
    await settle();
    const [on] = open;
    assert.equal(on?.alternate, true);
    assert.match(drawn[0] ?? "", /web[^]*\* running/);
    on.input(new TextEncoder().encode("/we"));
    assert.equal(drawn.length, 2);
    assert.ok(!(drawn[1] ?? "").includes("db"));
    on.resize(7, 30);
    assert.equal((drawn[2] ?? "").split("\r\n").length, 7);
    on.input(new TextEncoder().encode("\rq"));
    const { status, stderr } = await ended;
    assert.deepEqual([status, stderr], [0, ""]);
  });
  it("what is not accounted leaves no column", async () => {
    const { stdout } = await tool(["islet", "top", "-b", "-n", "1", "-d", "0.2"], {
      running,
      engine: { ...engine, liveUsage: () => Promise.resolve(noUsage) },
    });
    assert.match(stdout, /^NAME +STATE +CPU%$/m);
  });
});
