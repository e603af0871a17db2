import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import type { Engine, State } from "../../../../src/engine/engine.js";
import { runningContainer, tool } from "./canned.js";

interface Asked {
  readonly states: readonly State[];
  readonly timeout: number | null;
}

function waiting(kept: Asked[]): Partial<Engine> {
  return {
    wait: (id, wanted, timeout) => {
      kept.push({ states: wanted, timeout });
      return Promise.resolve(runningContainer(id.name));
    },
  };
}

describe("lxc-wait", () => {
  it("waits silently for one of the states", async () => {
    const kept: Asked[] = [];
    for (const words of ["RUNNING", "STOPPED|FROZEN", "RUNNING|"]) {
      const outcome = await tool(["lxc-wait", "web", "-s", words], { engine: waiting(kept) });
      assert.deepEqual(outcome, { status: 0, stdout: "", stderr: "", calls: ["wait"] });
    }
    assert.deepEqual(
      kept.map(({ states }) => states),
      [["RUNNING"], ["STOPPED", "FROZEN"], ["RUNNING"]],
    );
  });
  it("takes seconds; 0 looks once, a negative number waits for ever", async () => {
    const kept: Asked[] = [];
    const times = ["5", "0", "-1", "-2", "1.5"];
    for (const time of times) await tool(["lxc-wait", "web", "-s", "RUNNING", "-t", time], { engine: waiting(kept) });
    await tool(["lxc-wait", "web", "-s", "RUNNING"], { engine: waiting(kept) });
    assert.deepEqual(
      kept.map(({ timeout }) => timeout),
      [5000, 0, null, null, 1500, null],
    );
  });
  it("refuses unknown states, none, and times that are none, without waiting", async () => {
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [["-s", "BOGUS"], /^lxc-wait: web: invalid state 'BOGUS'\n$/],
      [["-s", "RUNNING|running"], /^lxc-wait: web: invalid state 'running'\n$/],
      [["-s", "|"], /^lxc-wait: web: invalid state '\|'\n$/],
      [[], /^lxc-wait: could not parse command line\n$/],
      [["-s", "RUNNING", "-t", "soon"], /could not parse command line\n$/],
    ];
    for (const [words, said] of cases) {
      const { status, stderr, calls } = await tool(["lxc-wait", "web", ...words], { engine: waiting([]) });
      assert.deepEqual([status, calls], [1, []], words.join(" "));
      assert.match(stderr, said);
    }
  });
  it("ends with status 1 when the time is over, and says so also where LXC is silent", async () => {
    const wait = (): Promise<never> => Promise.reject(new IsletError("ISLET_TIMEOUT", "web did not become FROZEN"));
    const words = ["lxc-wait", "web", "-s", "FROZEN", "-t", "1"];
    const stopped = await tool(words, { engine: { wait } });
    assert.deepEqual(
      [stopped.status, stopped.stderr],
      [1, "lxc-wait: web: web did not become FROZEN; it is STOPPED\n"],
    );
    const running = await tool(words, { engine: { wait }, running: [runningContainer("web")] });
    assert.equal(running.status, 1);
    assert.match(running.stderr, / - Failed to receive state from monitor\n$/);
  });
  it("stops waiting when the client has gone", async () => {
    const { signal } = await new Promise<{ signal: AbortSignal | undefined }>((resolve, reject) => {
      let kept: AbortSignal | undefined;
      const engine: Partial<Engine> = {
        wait: (_id, _wanted, _timeout, aborted) => {
          kept = aborted;
          return new Promise<never>(() => undefined);
        },
      };
      const gone = Promise.reject(new IsletError("ISLET_PROTOCOL", "the client has gone"));
      tool(["lxc-wait", "web", "-s", "FROZEN"], { engine, gone }).then(() => {
        resolve({ signal: kept });
      }, reject);
    });
    assert.equal(signal?.aborted, true);
  });
});
