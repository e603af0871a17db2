import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import { tool, type Canned } from "./canned.js";

interface Kept {
  changes: Readonly<Record<string, string | null>> | null;
}

function canned(settings: Record<string, string> = {}, input: string = ""): Canned & { readonly kept: Kept } {
  const kept: Kept = { changes: null };
  const task = { image: new Uint8Array(), fds: [], explainFailure: () => new Error("never") };
  return {
    kept,
    run: () => Promise.resolve(0),
    engine: {
      settings: () => Promise.resolve(settings),
      changeSettings: (_id, changes) => {
        kept.changes = changes;
        return Promise.resolve(null);
      },
      hostOutput: (argv) =>
        Promise.resolve({
          task,
          output: (async function* output() {
            await Promise.resolve();
            yield new TextEncoder().encode(argv.includes("/dir/file") ? "from the file\n" : input);
          })(),
          handedOver: () => undefined,
        }),
      waitReady: (_id, timeout) =>
        timeout === null
          ? Promise.resolve()
          : Promise.reject(
              new IsletError("ISLET_TIMEOUT", `c1 did not say within ${timeout / 1000} s that it is ready`),
            ),
    },
  };
}

const run = async (words: readonly string[], made: Canned): Promise<readonly [number, string, string]> => {
  const { status, stdout, stderr } = await tool(["islet", ...words], made);
  return [status, stdout, stderr];
};

describe("islet set, get, unset and settings", () => {
  it("set takes several values, files and the standard input", async () => {
    const made = canned({}, "#cloud-config\n");
    assert.deepEqual(
      await run(["set", "c1", "user.a=1=2", "user.b=@/dir/file", "cloud-init.user-data=-", "user.c="], made),
      [0, "", ""],
    );
    assert.deepEqual(made.kept.changes, {
      "user.a": "1=2",
      "user.b": "from the file\n",
      "cloud-init.user-data": "#cloud-config\n",
      "user.c": "",
    });
  });

  it("set refuses what is no setting before it reads anything", async () => {
    const made = canned();
    assert.deepEqual(await run(["set", "c1", "user.a"], made), [
      1,
      "",
      'islet set: "user.a" is not KEY=VALUE; islet unset takes a key away\n',
    ]);
    assert.deepEqual(await run(["set", "c1", "cloud-init.userdata=-"], made), [
      1,
      "",
      "islet set: c1: there is no setting cloud-init.userdata; cloud-init.user-data is one\n",
    ]);
    assert.deepEqual(await run(["set", "c1"], made), [1, "", "islet set: give KEY=VALUE\n"]);
    assert.equal(made.kept.changes, null);
  });

  it("unset takes keys away", async () => {
    const made = canned();
    assert.deepEqual(await run(["unset", "c1", "user.a", "user.b"], made), [0, "", ""]);
    assert.deepEqual(made.kept.changes, { "user.a": null, "user.b": null });
  });

  it("get prints one value, with a line end", async () => {
    const made = canned({ "user.a": "1", "user.b": "x\ny\n" });
    assert.deepEqual(await run(["get", "c1", "user.a"], made), [0, "1\n", ""]);
    assert.deepEqual(await run(["get", "c1", "user.b"], made), [0, "x\ny\n", ""]);
    assert.deepEqual(await run(["get", "c1", "usr.a"], made), [1, "", "islet get: c1: usr.a is not set; user.a is\n"]);
    assert.deepEqual(await run(["get", "c1", "__proto__"], made), [1, "", "islet get: c1: __proto__ is not set\n"]);
  });

  it("settings shows all of them, for people and for programs, without control characters for people", async () => {
    const made = canned({ "user.a": "1", "user.b": "x\n\u001b[31my\n" });
    const [status, stdout] = await run(["settings", "c1"], made);
    assert.equal(status, 0);
    assert.match(stdout, /^user\.a: 1\nuser\.b:\n {2}x\n {2}.*\n$/);
    assert.ok(!stdout.includes("\u001b"));
    assert.deepEqual(JSON.parse((await run(["settings", "c1", "--format", "json"], made))[1]), {
      "user.a": "1",
      "user.b": "x\n\u001b[31my\n",
    });
  });
});

describe("islet wait", () => {
  it("--ready waits until the guest has said so", async () => {
    assert.deepEqual(await run(["wait", "c1", "--ready"], canned()), [0, "", ""]);
    assert.deepEqual(await run(["wait", "c1", "--ready", "-t", "1.5"], canned()), [
      1,
      "",
      "islet wait: c1: c1 did not say within 1.5 s that it is ready; it is STOPPED\n",
    ]);
    assert.deepEqual(await run(["wait", "c1", "--ready", "-s", "RUNNING"], canned()), [
      1,
      "",
      "islet wait: --ready and --state are two waits\n",
    ]);
  });

  it("--state is lxc-wait's", async () => {
    const { status, calls } = await tool(["islet", "wait", "c1", "-s", "STOPPED"], {
      engine: {
        wait: (id) =>
          Promise.resolve({
            ...id,
            state: "STOPPED",
            initPid: null,
            exitStatus: null,
            startedAt: null,
            annotations: {},
          }),
      },
    });
    assert.equal(status, 0);
    assert.ok(calls.includes("wait"));
  });
});
