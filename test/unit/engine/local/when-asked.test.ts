import assert from "node:assert/strict";
import { test } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import { whenAsked } from "../../../../src/engine/local/when-asked.js";

const id = { storePath: "/store", name: "a" };

test("requests are loaded with the first of them, once, and answer as they are", async () => {
  let loads = 0;
  const asked = whenAsked(["freeze", "cgroupItem"], () => {
    loads += 1;
    return Promise.resolve({
      freeze: () => Promise.reject(new IsletError("ISLET_NOT_RUNNING", "a is not running")),
      cgroupItem: (of: typeof id, item: string) => Promise.resolve(`${of.name} ${item}`),
    });
  });
  assert.deepEqual(Object.keys(asked), ["freeze", "cgroupItem"]);
  assert.equal(loads, 0);
  assert.equal(await asked.cgroupItem(id, "pids.max"), "a pids.max");
  await assert.rejects(asked.freeze(id), { code: "ISLET_NOT_RUNNING" });
  assert.equal(loads, 1);
});

test("what throws at once is a rejection like others", async () => {
  const asked = whenAsked(["console"], () =>
    Promise.resolve({
      console: () => {
        throw new IsletError("ISLET_NOT_RUNNING", "a is not running");
      },
    }),
  );
  await assert.rejects(asked.console(id, { replay: false }), { code: "ISLET_NOT_RUNNING" });
});
