import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { IsletError } from "../../../src/base/errors.js";
import { decodeAnswer, decodeCall, encodeAnswer, encodeCall, fromJson, toJson } from "../../../src/host/wire.js";

test("calls and answers are read as they were written, bigints and attachments included", () => {
  fc.assert(
    fc.property(fc.nat(0xffffffff), fc.string(), fc.jsonValue(), fc.uint8Array(), (id, method, value, attachment) => {
      const same: unknown = JSON.parse(JSON.stringify(value));
      assert.deepEqual(decodeCall(encodeCall({ id, method, parameters: value, attachment })), {
        id,
        method,
        parameters: same,
        attachment,
      });
      assert.deepEqual(decodeAnswer(encodeAnswer({ id, outcome: { ok: true, value }, attachment })), {
        id,
        outcome: { ok: true, value: same },
        attachment,
      });
    }),
  );
  assert.deepEqual(fromJson(toJson({ n: 12345678901234567890n, o: [1n] })), { n: 12345678901234567890n, o: [1n] });
});

test("an error arrives as it was thrown", () => {
  const error = new IsletError("ISLET_BAD_CONFIG", "wrong", {
    at: { file: "/x", line: 3, key: "k" },
    hint: "do it right",
    errno: "EINVAL",
    syscall: "mount",
    faults: [{ message: "no", at: { file: "/x", line: 4, key: "l" } }],
  });
  const { outcome } = decodeAnswer(encodeAnswer({ id: 1, outcome: { ok: false, error } }));
  assert.ok(!outcome.ok && outcome.error instanceof IsletError);
  const { code, message, at, hint, errno, syscall, faults } = outcome.error;
  assert.deepEqual(
    { code, message, at, hint, errno, syscall, faults },
    {
      code: error.code,
      message: "wrong",
      at: error.at,
      hint: "do it right",
      errno: "EINVAL",
      syscall: "mount",
      faults: error.faults,
    },
  );
  const other = decodeAnswer(encodeAnswer({ id: 1, outcome: { ok: false, error: new TypeError("oops") } }));
  assert.ok(!other.outcome.ok && other.outcome.error instanceof IsletError);
  assert.equal(other.outcome.error.code, "ISLET_INTERNAL");
});
