import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import type { DeviceChange, Engine } from "../../../../src/engine/engine.js";
import { type Outcome, runningContainer, tool } from "./canned.js";

async function run(
  ...words: readonly string[]
): Promise<{ readonly outcome: Outcome; readonly changes: readonly Omit<DeviceChange, "caller">[] }> {
  const changes: Omit<DeviceChange, "caller">[] = [];
  const engine: Partial<Engine> = {
    changeDevice: (_id, { caller: _caller, ...change }) => {
      changes.push(change);
      return change.source === "/dev/bad"
        ? Promise.reject(new IsletError("ISLET_NOT_FOUND", "no such thing"))
        : Promise.resolve(null);
    },
  };
  const running = [runningContainer("web")];
  return { outcome: await tool(["lxc-device", "-n", ...words], { running, engine, cwd: "/srv" }), changes };
}

describe("lxc-device", () => {
  it("adds and removes under the same name unless another is given, silently", async () => {
    const { outcome, changes } = await run("web", "add", "/dev/fuse");
    assert.deepEqual([outcome.status, outcome.stdout, outcome.stderr], [0, "", ""]);
    assert.deepEqual(changes, [{ action: "add", source: "/dev/fuse", destination: "/dev/fuse" }]);
    assert.deepEqual((await run("web", "--", "del", "eth0", "eth5")).changes, [
      { action: "del", source: "eth0", destination: "eth5" },
    ]);
    assert.deepEqual((await run("web", "add", "dev/x")).changes[0]?.source, "/srv/dev/x");
  });

  it("says what is wrong in LXC's words", async () => {
    for (const [words, text] of [
      [["db", "add", "x"], "db: Container db is not running\n"],
      [["web"], "web: Error: no command given (Please see --help output)\n"],
      [["web", "add"], "web: Error: no command given (Please see --help output)\n"],
      [["web", "remove", "x"], "web: Error: Please use add or del (Please see --help output)\n"],
      [["web", "add", "/dev/bad"], "web: no such thing\nlxc-device: web: Failed to add /dev/bad to web\n"],
      [["web", "del", "/dev/bad"], "web: no such thing\nlxc-device: web: Failed to del /dev/bad from web\n"],
    ] as const) {
      const { outcome } = await run(...words);
      assert.deepEqual([outcome.status, outcome.stderr], [1, `lxc-device: ${text}`]);
    }
  });
});
