import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { command } from "../support/command.js";
import { busybox, tempStore } from "../support/store.js";

const store = tempStore({ after });
const name = "islt-execute";
busybox(store, name);

const run = (...words: readonly string[]): ReturnType<typeof command> =>
  command(["lxc-execute", ...store.at(name), "--", ...words], { timeout: 10_000 });

describe("lxc-execute", () => {
  it("gives the command's output and exit status, 128 + signal, and 255 for what cannot be executed", async () => {
    const plain = await run("/bin/sh", "-c", "echo out; echo err >&2; exit 7");
    assert.deepEqual([plain.stdout, plain.stderr, plain.status], ["out\n", "err\n", 7]);
    assert.equal((await run("/bin/sh", "-c", "kill -9 $$")).status, 137);
    assert.equal((await run("/bin/nosuch")).status, 255);
  });

  it("of fifty commands that end at once, one after another, leaves the name free each time", async () => {
    for (let round = 0; round < 50; round += 1) {
      const result = await run("/bin/true");
      assert.equal(result.status, 0, `round ${round}: ${result.stderr}`);
    }
  });
});
