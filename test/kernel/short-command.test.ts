import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { programOf } from "../support/command.js";
import { runtimeDir } from "../support/paths.js";
import { busybox, tempStore } from "../support/store.js";
import { underTerminal } from "../support/typed.js";

const store = tempStore({ after });
busybox(store, "short");

/** It takes luck to lose something once: several runs. */
const runs = 12;

async function printed(argv: readonly string[]): Promise<readonly string[]> {
  const [name = "", ...rest] = argv;
  const screens: string[] = [];
  for (let run = 0; run < runs; run += 1) {
    const { screen, status } = await underTerminal([programOf(name), ...rest], [], {
      cwd: "/",
      env: { PATH: process.env["PATH"] ?? "", ISLET_RUNTIME_DIR: runtimeDir },
      limit: 20_000,
    });
    assert.equal(status, 0, screen);
    screens.push(screen);
  }
  return screens;
}

describe("a command that ends at once, under a terminal", () => {
  const expected = Array.from({ length: runs }, () => "word\r\n");
  it("lxc-execute shows all that it printed", async () => {
    assert.deepEqual(await printed(["lxc-execute", ...store.at("short"), "--", "echo", "word"]), expected);
  });
  it("lxc-start -F shows all that it printed", async () => {
    assert.deepEqual(await printed(["lxc-start", "-F", ...store.at("short"), "--", "/bin/echo", "word"]), expected);
  });
});
