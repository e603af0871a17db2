import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import type { ContainerEvent, Engine } from "../../../../src/engine/engine.js";
import { eventLine } from "../../../../src/frontends/lxc/commands/monitor.js";
import { tool, type Outcome } from "./canned.js";

const web = { storePath: "/canned", name: "web" };

/** Runs it until all the events have happened and the client has gone; how often it was subscribed at the end. */
async function told(
  words: readonly string[],
  happened: readonly ContainerEvent[],
): Promise<Outcome & { readonly subscribed: number }> {
  let subscribed = 0;
  let leave: (error: Error) => void = () => undefined;
  const gone = new Promise<never>((_, reject) => {
    leave = reject;
  });
  const engine: Partial<Engine> = {
    subscribe: (listener) => {
      subscribed += 1;
      setImmediate(() => {
        for (const event of happened) listener(event);
        leave(new IsletError("ISLET_PROTOCOL", "the client has gone"));
      });
      return Promise.resolve(() => {
        subscribed -= 1;
      });
    },
  };
  return { ...(await tool(["lxc-monitor", ...words], { engine, gone })), subscribed };
}

const running = (name: string, storePath = "/canned"): ContainerEvent => ({
  storePath,
  name,
  kind: "state",
  state: "RUNNING",
});
const line = (name: string): string => `'${name}' changed state to [RUNNING]\n`;

describe("lxc-monitor", () => {
  it("tells states and ends of main processes in LXC's words", () => {
    assert.equal(eventLine({ ...web, kind: "state", state: "FREEZING" }), "'web' changed state to [FREEZING]\n");
    for (const [waitStatus, shown] of [
      [0, 0],
      [42 << 8, 42],
      [255 << 8, 255],
      [9, 0],
    ] as const)
      assert.equal(eventLine({ ...web, kind: "exit", waitStatus }), `'web' exited with status [${shown}]\n`);
  });
  it("lets no name write more than its line", () => {
    const event: ContainerEvent = { ...web, name: "a\n\u001b[2Jb", kind: "state", state: "STOPPED" };
    assert.equal(eventLine(event), "'a[2Jb' changed state to [STOPPED]\n");
  });
  it("tells of all containers of its path, and is unsubscribed when the client has gone", async () => {
    const outcome = await told([], [running("web"), running("db", "/other"), running("db")]);
    assert.equal(outcome.stdout, line("web") + line("db"));
    assert.equal(outcome.subscribed, 0);
  });
  it("compares names with an expression between ^ and $, and looks at no operands", async () => {
    const names = ["web1", "web22", "aweb1", "db"];
    const shown = async (words: readonly string[]): Promise<string> =>
      (
        await told(
          words,
          names.map((name) => running(name)),
        )
      ).stdout;
    assert.equal(await shown(["-n", "web[0-9]+"]), line("web1") + line("web22"));
    assert.equal(await shown(["-n", "web1|b"]), line("web1") + line("db"));
    assert.equal(await shown(["--name="]), "");
    assert.equal(await shown(["nobody"]), names.map(line).join(""));
  });
  it("takes -P several times", async () => {
    const outcome = await told(["-P", "/a", "-P", "b/"], [running("x", "/a"), running("y", "/b"), running("z", "/c")]);
    assert.equal(outcome.stdout, line("x") + line("y"));
  });
  it("refuses what is no expression, and has no lxc-monitord to end", async () => {
    const bad = await told(["-n", "("], []);
    assert.deepEqual([bad.status, bad.stderr, bad.calls], [1, "lxc-monitor: failed to compile the regex '('\n", []]);
    assert.deepEqual(await tool(["lxc-monitor", "-Q"]), { status: 0, stdout: "", stderr: "", calls: [] });
  });
});
