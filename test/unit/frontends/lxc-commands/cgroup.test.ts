import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import type { Engine } from "../../../../src/engine/engine.js";
import { tool } from "./canned.js";

function items(kept: string[]): Partial<Engine> {
  return {
    cgroupItem: (id, item) => Promise.resolve(`${id.name} ${item}\n`),
    setCgroupItem: (id, item, value) => {
      kept.push(`${id.name} ${item}=${value}`);
      return Promise.resolve();
    },
  };
}

describe("lxc-cgroup", () => {
  it("prints a value and an empty line", async () => {
    const engine = items([]);
    for (const words of [
      ["web", "pids.max"],
      ["pids.max", "-n", "web"],
    ]) {
      const outcome = await tool(["lxc-cgroup", ...words], { engine });
      assert.deepEqual(outcome, { status: 0, stdout: "web pids.max\n\n", stderr: "", calls: ["cgroupItem"] });
    }
  });
  it("sets a value silently, looks at no further operands, and takes a minus behind --", async () => {
    const kept: string[] = [];
    const engine = items(kept);
    for (const words of [
      ["devices.deny", "c 1:3 r"],
      ["memory.limit_in_bytes", "4M", "junk"],
      ["--", "memory.limit_in_bytes", "-1"],
    ])
      assert.deepEqual(await tool(["lxc-cgroup", "-n", "web", ...words], { engine }), {
        status: 0,
        stdout: "",
        stderr: "",
        calls: ["setCgroupItem"],
      });
    assert.deepEqual(kept, [
      "web devices.deny=c 1:3 r",
      "web memory.limit_in_bytes=4M",
      "web memory.limit_in_bytes=-1",
    ]);
  });
  it("needs the name of a file", async () => {
    for (const words of [["web"], ["-n", "web"]]) {
      const { status, stderr } = await tool(["lxc-cgroup", ...words]);
      assert.deepEqual([status, stderr], [1, "lxc-cgroup: could not parse command line\n"]);
    }
  });
  it("says why not, and what LXC says then", async () => {
    const failing = (code: "ISLET_IO" | "ISLET_NOT_RUNNING"): Partial<Engine> => {
      const refuse = (): Promise<never> => Promise.reject(new IsletError(code, "it cannot be"));
      return { cgroupItem: refuse, setCgroupItem: refuse };
    };
    const said = async (code: "ISLET_IO" | "ISLET_NOT_RUNNING", ...words: readonly string[]): Promise<string> => {
      const { status, stderr } = await tool(["lxc-cgroup", "web", ...words], { engine: failing(code) });
      assert.equal(status, 1);
      return stderr;
    };
    const cause = "lxc-cgroup: web: it cannot be\n";
    assert.equal(
      await said("ISLET_IO", "a.b"),
      `${cause}lxc-cgroup: web: Failed to retrieve value of 'a.b' for '/canned:web'\n`,
    );
    assert.equal(
      await said("ISLET_IO", "a.b", "7"),
      `${cause}lxc-cgroup: web: Failed to assign '7' value to 'a.b' for 'web'\n`,
    );
    for (const value of [[], ["7"]])
      assert.equal(await said("ISLET_NOT_RUNNING", "a.b", ...value), "lxc-cgroup: web: '/canned:web' is not running\n");
  });
});
