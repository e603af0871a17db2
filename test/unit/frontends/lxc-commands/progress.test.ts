import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Look, render } from "../../../../src/frontends/lxc/commands/look.js";
import {
  createProgress,
  isForeground,
  type Progress,
  progressSpans,
  type Ticker,
  type Waiting,
  withProgress,
} from "../../../../src/frontends/lxc/commands/progress.js";
import type { CommandSession } from "../../../../src/engine/engine.js";

const ascii: Look = { columns: 60, colours: false, unicode: false };

/** A clock that stands still until it is told to go on. */
function clock(): Ticker & { readonly pass: (milliseconds: number) => void; readonly running: () => number } {
  let time = 0;
  const ticks = new Map<() => void, number>();
  return {
    now: () => time,
    every(_milliseconds, tick) {
      ticks.set(tick, 0);
      return () => void ticks.delete(tick);
    },
    pass(milliseconds) {
      for (const end = time + milliseconds; time < end;) {
        time += 200;
        for (const tick of ticks.keys()) tick();
      }
    },
    running: () => ticks.size,
  };
}

interface Bench {
  readonly progress: Progress;
  readonly time: ReturnType<typeof clock>;
  readonly written: string[];
  readonly end: () => void;
  readonly done: Promise<string>;
}

function bench(about: Waiting | (() => Waiting), mayDraw = true): Bench {
  const written: string[] = [];
  const time = clock();
  const progress = createProgress(
    (text) => void written.push(text),
    ascii,
    time,
    () => mayDraw,
  );
  let end: () => void = () => undefined;
  const work = new Promise<string>((resolve) => {
    end = () => {
      resolve("result");
    };
  });
  return {
    progress,
    time,
    written,
    end: () => {
      end();
    },
    done: progress.during(about, work),
  };
}

describe("progress", () => {
  it("shows nothing of what takes less than a second", async () => {
    const { time, written, end, done } = bench({ what: "starting web" });
    time.pass(800);
    end();
    assert.equal(await done, "result");
    assert.deepEqual(written, []);
    assert.equal(time.running(), 0);
  });
  it("draws one line from then on, a few times a second, and takes it away at the end", async () => {
    const { time, written, end, done } = bench({ what: "starting web" });
    time.pass(2000);
    assert.deepEqual(written.slice(0, 2), ["\r/ starting web 1s\u001b[K", "\r- starting web 1s\u001b[K"]);
    assert.equal(written.length, 6);
    end();
    await done;
    assert.equal(written.at(-1), "\r\u001b[K");
    time.pass(2000);
    assert.equal(written.length, 7);
  });
  it("is taken away when the work fails, too", async () => {
    const written: string[] = [];
    const time = clock();
    const progress = createProgress(
      (text) => void written.push(text),
      ascii,
      time,
      () => true,
    );
    let fail: (error: Error) => void = () => undefined;
    const done = progress.during(
      { what: "x" },
      new Promise<never>((_, reject) => {
        fail = reject;
      }),
    );
    time.pass(1200);
    fail(new Error("no"));
    await assert.rejects(done, /no/);
    assert.equal(written.at(-1), "\r\u001b[K");
    assert.equal(time.running(), 0);
  });
  it("makes room for other output, and comes back below it", async () => {
    const { progress, time, written, end, done } = bench({ what: "x" });
    time.pass(1000);
    progress.hide(false);
    assert.equal(written.at(-1), "\r\u001b[K");
    progress.hide(false);
    assert.equal(written.length, 2);
    time.pass(200);
    assert.equal(written.length, 3);
    progress.hide(true);
    time.pass(1000);
    assert.equal(written.length, 4);
    end();
    await done;
    assert.equal(written.length, 4);
  });
  it("leaves the terminal alone when it is sent to the background, and comes back with it", async () => {
    let inFront = true;
    const written: string[] = [];
    const time = clock();
    const progress = createProgress(
      (text) => void written.push(text),
      ascii,
      time,
      () => inFront,
    );
    let end: () => void = () => undefined;
    const done = progress.during(
      { what: "x" },
      new Promise<void>((resolve) => {
        end = resolve;
      }),
    );
    time.pass(1000);
    inFront = false;
    time.pass(60_000);
    progress.hide(false);
    assert.equal(written.length, 1);
    inFront = true;
    time.pass(200);
    assert.equal(written.length, 2);
    inFront = false;
    end();
    await done;
    assert.equal(written.length, 2);
  });
  it("is not drawn over what somebody else does with the terminal", async () => {
    const { time, written, end, done } = bench({ what: "x" }, false);
    time.pass(5000);
    end();
    await done;
    assert.deepEqual(written, []);
  });
  it("says how long until what happens, with a bar", () => {
    const about: Waiting = { what: "waiting for web to shut down", limit: { milliseconds: 60_000, what: "killed" } };
    assert.equal(
      render(progressSpans(about, 30_000, { ...ascii, columns: 100 }), ascii),
      "- waiting for web to shut down [#####.....] 30s, killed in 30s",
    );
    assert.match(
      render(progressSpans(about, 61_000, { ...ascii, columns: 100 }), ascii),
      /\[#{10}\] 1m01s, killed in 0s$/,
    );
  });
  it("counts what is done, asked anew each time", async () => {
    let count = 1;
    const { time, written, end, done } = bench(() => ({ what: `${count} of 4: starting web`, share: count / 4 }));
    time.pass(1000);
    count = 2;
    time.pass(200);
    assert.match(written[0] ?? "", /1 of 4: starting web \[###\.{7}\] 1s/);
    assert.match(written[1] ?? "", /2 of 4: starting web \[#{5}\.{5}\] 1s/);
    end();
    await done;
  });
  it("never fills the last column, and obeys no name", () => {
    const text = render(progressSpans({ what: `starting ${"x\u001b[2J".repeat(30)}` }, 1000, ascii), ascii);
    assert.equal(text.length, 59);
    // oxlint-disable-next-line no-control-regex -- none of them may be there
    assert.doesNotMatch(text, /[\u0000-\u001f]/);
  });
  it("knows by /proc/PID/stat who is in front", () => {
    assert.ok(isForeground("12 (a b) c) S 1 12 12 34816 12 4194304"));
    assert.ok(!isForeground("12 (lxc-stop) S 1 12 11 34816 11 4194304"));
    assert.ok(!isForeground("12 (lxc-stop) S 1 12 11 0 -1 4194304"));
    assert.ok(!isForeground(""));
  });
  it("leaves the session as it is without a terminal, with -q and for terminals that can nothing", () => {
    const session = (terminal: boolean, term: string): CommandSession =>
      ({
        terminals: [terminal, terminal, terminal],
        columns: 80,
        caller: { uid: 0, gid: 0, pid: 1, cwd: "/", environment: { TERM: term } },
      }) as unknown as CommandSession;
    for (const [raw, quiet] of [
      [session(false, "xterm"), false],
      [session(true, "xterm"), true],
      [session(true, "dumb"), false],
    ] as const)
      assert.equal(withProgress(raw, quiet).session, raw);
    const raw = session(true, "xterm");
    assert.notEqual(withProgress(raw, false).session, raw);
  });
});
