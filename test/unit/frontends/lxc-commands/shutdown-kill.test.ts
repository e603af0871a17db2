import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IsletError, type ErrorCode } from "../../../../src/base/errors.js";
import type { Engine, StopOptions } from "../../../../src/engine/engine.js";
import { runningContainer, tool, type Outcome } from "./canned.js";

const refuse =
  (code: ErrorCode): (() => Promise<never>) =>
  () =>
    Promise.reject(new IsletError(code, "no"));

/** Runs lxc-shutdown; a second stop is the killing. */
async function shutdown(
  words: readonly string[],
  more: Partial<Engine> = {},
): Promise<Outcome & { readonly asked: readonly StopOptions[] }> {
  const asked: StopOptions[] = [];
  const engine: Partial<Engine> = {
    stop: (_id, options) => {
      asked.push(options);
      return Promise.resolve({ killed: options.kind === "kill" });
    },
    wait: (id) => Promise.resolve(runningContainer(id.name, "STOPPED")),
    ...more,
  };
  return { ...(await tool(["lxc-shutdown", "-n", "web", ...words], { engine })), asked };
}

describe("lxc-shutdown", () => {
  it("asks init to halt and returns at once", async () => {
    const { status, stdout, stderr, calls, asked } = await shutdown([]);
    assert.deepEqual([status, stdout, stderr, calls], [0, "", "", ["stop"]]);
    assert.deepEqual(asked, [{ kind: "clean", timeout: 0, noKill: true }]);
  });
  it("-w waits and says so at the end", async () => {
    const { status, stdout, calls } = await shutdown(["-w"]);
    assert.deepEqual([status, stdout, calls], [0, "Container web has shut down\n", ["stop", "wait"]]);
  });
  it("-t waits too, and kills when the time is over, with status 0", async () => {
    const times: (number | null)[] = [];
    const wait: Engine["wait"] = (_id, _wanted, timeout) => {
      times.push(timeout);
      return refuse("ISLET_TIMEOUT")();
    };
    const { status, stdout, asked } = await shutdown(["-t", "3"], { wait });
    assert.deepEqual([status, stdout, times], [0, "Calling lxc-stop on web\n", [3000]]);
    assert.deepEqual(
      asked.map(({ kind }) => kind),
      ["clean", "kill"],
    );
  });
  it("-r reboots and never waits", async () => {
    const { status, stdout, calls, asked } = await shutdown(["-r", "-w", "-t", "3"]);
    assert.deepEqual([status, stdout, calls], [0, "", ["stop"]]);
    assert.deepEqual(asked, [{ kind: "reboot", timeout: 0, noKill: true }]);
  });
  it("fails for what does not run, and for times that are none", async () => {
    const down = await shutdown([], { stop: refuse("ISLET_NOT_RUNNING") });
    assert.deepEqual([down.status, down.stderr], [1, "web is not running\n"]);
    const bad = await shutdown(["-t", "soon"]);
    assert.deepEqual([bad.status, bad.calls], [1, []]);
    assert.match(bad.stderr, /could not parse command line\n$/);
  });
});

describe("lxc-kill", () => {
  it("sends 9, or the number it is given", async () => {
    const sent: number[] = [];
    const engine: Partial<Engine> = {
      signal: (_id, signal) => {
        sent.push(signal);
        return Promise.resolve();
      },
    };
    for (const words of [["web"], ["-n", "web"], ["-n", "web", "15"], ["web", "64"]])
      assert.deepEqual(await tool(["lxc-kill", ...words], { engine }), {
        status: 0,
        stdout: "",
        stderr: "",
        calls: ["signal"],
      });
    assert.deepEqual(sent, [9, 9, 15, 64]);
  });
  it("knows numbers only, with status 255", async () => {
    for (const word of ["TERM", "0", "65", "9x", "", "1e1"])
      assert.deepEqual(await tool(["lxc-kill", "-n", "web", word]), {
        status: 255,
        stdout: "",
        stderr: `lxc-kill: web: '${word}' isn't a valid signal number\n`,
        calls: [],
      });
  });
  it("has status 255 for what does not run", async () => {
    const { status, stderr } = await tool(["lxc-kill", "web"], { engine: { signal: refuse("ISLET_NOT_RUNNING") } });
    assert.deepEqual([status, stderr], [255, "lxc-kill: web: failed to get the init pid\n"]);
  });
});
