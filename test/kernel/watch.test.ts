import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { command, fails, ok } from "../support/command.js";
import { guests } from "./guest.js";

const sleeper = "lxc.init.cmd = /bin/sleep 3600\n";

describe("lxc-wait", () => {
  const { define, started } = guests();

  it("returns at once in the state it waits for, a container that does not exist being STOPPED", async () => {
    const guest = await started("now", sleeper);
    await ok(["lxc-wait", ...guest.at, "-s", "STOPPED|RUNNING"]);
    await ok(["lxc-wait", ...guest.at.slice(0, 3), "nobody", "-s", "STOPPED"]);
    await guest.kill();
  });
  it("sees a container start that does not exist yet, freeze, thaw and stop", async () => {
    const guest = define("later", sleeper);
    const wait = (state: string): Promise<string> => ok(["lxc-wait", ...guest.at, "-s", state, "-t", "20"]);
    const steps: readonly (readonly [string, readonly string[]])[] = [
      ["RUNNING", ["lxc-start", ...guest.at]],
      ["FROZEN|ABORTING", ["lxc-freeze", ...guest.at]],
      ["RUNNING|THAWED", ["lxc-unfreeze", ...guest.at]],
      ["STOPPED", ["lxc-stop", ...guest.at, "-k"]],
    ];
    for (const [state, cause] of steps) {
      const both = await Promise.all([wait(state), ok(cause)]);
      assert.deepEqual(both, ["", ""], state);
    }
  });
  it("gives up when the time is over", async () => {
    const guest = await started("late", sleeper);
    const began = Date.now();
    await fails(["lxc-wait", ...guest.at, "-s", "STOPPED", "-t", "1"], 1);
    assert.ok(Date.now() - began >= 990);
    await fails(["lxc-wait", ...guest.at, "-s", "STOPPED|FROZEN", "-t", "0"], 1);
    await guest.kill();
  });
  it("several wait for one container", async () => {
    const guest = await started("many", sleeper);
    const waits = Array.from({ length: 20 }, () => command(["lxc-wait", ...guest.at, "-s", "STOPPED", "-t", "20"]));
    await guest.kill();
    for (const { status } of await Promise.all(waits)) assert.equal(status, 0);
  });
});
