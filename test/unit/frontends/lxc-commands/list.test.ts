import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { states } from "../../../../src/engine/engine.js";
import { listText } from "../../../../src/frontends/lxc/commands/list.js";
import { runningContainer, tool } from "./canned.js";

describe("lxc-list", () => {
  it("lists names below their state, sorted, with a mark for those that start at boot", async () => {
    const configs = { zeta: "lxc.start.auto = 1\n", alpha: "", web: "lxc.start.auto = 1\n", broken: "lxc.bogus = 1\n" };
    const running = [runningContainer("web"), runningContainer("stray"), runningContainer("cold", "FROZEN")];
    const { status, stdout, stderr } = await tool(["lxc-list"], { configs, running });
    assert.deepEqual([status, stderr], [0, ""]);
    assert.equal(
      stdout,
      "RUNNING\n  stray\n  web (auto)\n\nFROZEN\n  cold\n\nSTOPPED\n  alpha\n  broken\n  zeta (auto)\n\n",
    );
  });
  it("--format json: an array for programs", async () => {
    const configs = { zeta: "lxc.start.auto = 1\n", alpha: "" };
    const { stdout } = await tool(["lxc-list", "--format=json"], { configs, running: [runningContainer("alpha")] });
    assert.deepEqual(JSON.parse(stdout), [
      { name: "alpha", state: "RUNNING", autostart: false },
      { name: "zeta", state: "STOPPED", autostart: true },
    ]);
    assert.equal((await tool(["lxc-list", "--format=json"])).stdout, "[]\n");
  });
  it("prints its headings even when there is nothing", async () => {
    assert.deepEqual((await tool(["lxc-list"])).stdout, "RUNNING\n\nFROZEN\n\nSTOPPED\n\n");
  });
  it("leaves out no state", () => {
    for (const state of states) assert.match(listText([{ name: "one", state, auto: false }]), /^ {2}one$/m);
  });
});
