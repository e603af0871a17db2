import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import { runningContainer, tool } from "./canned.js";

const configs = { web: "lxc.uts.name = web\n" };
const done = { freeze: () => Promise.resolve(), unfreeze: () => Promise.resolve() };

describe("lxc-freeze", () => {
  it("freezes silently, by option or operand, whatever other operands there are", async () => {
    for (const words of [["web"], ["-n", "web"], ["web", "extra"]]) {
      const outcome = await tool(["lxc-freeze", ...words], { configs, engine: done });
      assert.deepEqual(outcome, { status: 0, stdout: "", stderr: "", calls: ["freeze"] });
    }
  });
  it("says why not, and what LXC says then", async () => {
    const freeze = (): Promise<never> => Promise.reject(new IsletError("ISLET_NOT_RUNNING", "web is not running"));
    const { status, stderr } = await tool(["lxc-freeze", "web"], { engine: { freeze } });
    assert.deepEqual(
      [status, stderr],
      [1, "lxc-freeze: web: web is not running\nlxc-freeze: web: Failed to freeze /canned:web\n"],
    );
  });
  it("needs a name, and an --rcfile that can be read", async () => {
    assert.deepEqual(await tool(["lxc-freeze"]), {
      status: 1,
      stdout: "",
      stderr: "lxc-freeze: No container name specified\n",
      calls: [],
    });
    const { status, stderr, calls } = await tool(["lxc-freeze", "web", "--rcfile", "/nonexistent"], { engine: done });
    assert.deepEqual([status, calls], [1, []]);
    assert.match(stderr, /No such file or directory - Failed to open file "\/nonexistent"\n.*Failed to load rcfile\n$/);
  });
});

describe("--rcfile", () => {
  it("is looked at before anything is done, by every command that has it", async () => {
    for (const words of [["lxc-stop", "-k"], ["lxc-destroy"], ["lxc-console"], ["lxc-device", "--", "add", "/dev/x"]]) {
      const [name = "", ...rest] = words;
      const argv = [name, "-n", "web", "--rcfile", "/nonexistent", ...rest];
      const { status, stderr, calls } = await tool(argv, { configs, running: [runningContainer("web")] });
      assert.deepEqual([status, calls], [1, []], name);
      assert.match(stderr, /Failed to open file "\/nonexistent"\n.*Failed to load rcfile\n$/, name);
    }
  });
});

describe("lxc-unfreeze", () => {
  it("thaws silently what runs", async () => {
    const running = [runningContainer("web", "FROZEN")];
    assert.deepEqual(await tool(["lxc-unfreeze", "web"], { running, engine: done }), {
      status: 0,
      stdout: "",
      stderr: "",
      calls: ["status", "unfreeze"],
    });
  });
  it("has nothing to do for what does not run", async () => {
    const { status, stderr, calls } = await tool(["lxc-unfreeze", "web"], { configs, engine: done });
    assert.deepEqual([status, stderr, calls.includes("unfreeze")], [0, "", false]);
  });
  it("fails for what does not exist", async () => {
    const { status, stderr } = await tool(["lxc-unfreeze", "nosuch"], { configs, engine: done });
    assert.equal(status, 1);
    assert.match(stderr, /lxc-unfreeze: nosuch: Failed to unfreeze \/canned:nosuch\n$/);
  });
});
