import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Engine } from "../../../../src/engine/engine.js";
import { splitNetstatWords } from "../../../../src/frontends/lxc/commands/netstat.js";
import { runningContainer, tool } from "./canned.js";

describe("lxc-netstat", () => {
  it("runs netstat in the container's network with the rest of the line, without control characters in its output", async () => {
    const seen: unknown[] = [];
    const engine: Partial<Engine> = {
      hostOutput: (argv, _caller, networkOf) => {
        seen.push([...argv], networkOf?.name);
        const output = (async function* () {
          yield await Promise.resolve(new TextEncoder().encode("tcp 1/a\u001b]0;x\u0007b\nlast"));
        })();
        const task = { image: new Uint8Array(), fds: [], explainFailure: () => new Error("never") };
        return Promise.resolve({ task, output, handedOver: () => undefined });
      },
    };
    const run = (): Promise<number> => Promise.resolve(0);
    const result = await tool(["lxc-netstat", "-n", "web", "-tln"], {
      running: [runningContainer("web")],
      engine,
      run,
    });
    assert.deepEqual([result.status, result.stdout], [0, "tcp 1/a]0;xb\nlast\n"]);
    assert.deepEqual(seen, [["netstat", "-tln"], "web"]);
  });

  it("says that a container has no process, and that a name is missing", async () => {
    const stopped = await tool(["lxc-netstat", "-n", "web"]);
    assert.deepEqual([stopped.status, stopped.stderr], [1, "no process found for 'web'\n"]);
    const nameless = await tool(["lxc-netstat", "-tln"]);
    assert.deepEqual([nameless.status, nameless.stderr], [1, "lxc-netstat: No container name specified\n"]);
  });

  it("takes its own options up to the first word that is none", () => {
    const split = (...words: readonly string[]): readonly string[] => splitNetstatWords(["t", ...words]).slice(1);
    assert.deepEqual(split("-n", "web", "-n", "-t"), ["-n", "web", "--", "-n", "-t"]);
    assert.deepEqual(split("web", "-r"), ["web", "--", "-r"]);
    assert.deepEqual(split("-P", "/x", "--name=web", "--route"), ["-P", "/x", "--name=web", "--", "--route"]);
    assert.deepEqual(split("-n", "web", "--", "-q"), ["-n", "web", "--", "-q"]);
  });
});
