import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ErrorCode, errorCodes, IsletError } from "../../../../src/base/errors.js";
import { LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import { toWireError } from "../../../../src/frontends/libvirt/rpc/wire-errors.js";

const said = (error: unknown): readonly [number, number, string | null] => {
  const { code, domain, message } = toWireError(error);
  return [code, domain, message];
};

describe("what clients are told", () => {
  it("of an engine's failure: libvirt's code for it, and the engine's own words with their place and advice", () => {
    assert.deepEqual(said(new IsletError("ISLET_NOT_FOUND", "web does not exist")), [
      42,
      17,
      "Domain not found: web does not exist",
    ]);
    assert.deepEqual(said(new IsletError("ISLET_BUSY", "web is being copied")), [
      55,
      17,
      "Requested operation is not valid: web is being copied",
    ]);
    assert.deepEqual(said(new IsletError("ISLET_START_FAILED", "cannot mount /srv: EACCES", { hint: "look there" })), [
      1,
      17,
      "internal error: cannot mount /srv: EACCES; look there",
    ]);
  });

  it("in libvirt's words where its clients' users know them", () => {
    for (const [code, words] of [
      ["ISLET_NOT_RUNNING", "domain is not running"],
      ["ISLET_RUNNING", "Domain is already running"],
    ] as const) {
      const [number, , message] = said(new IsletError(code, "something else"));
      assert.deepEqual([number, message], [55, `Requested operation is not valid: ${words}`]);
    }
  });

  it("of every failure there is: a code, whose prefix the message has", () => {
    for (const code of Object.keys(errorCodes) as ErrorCode[]) {
      const { message, str1, str2, level } = toWireError(new IsletError(code, "why it was"));
      assert.equal(level, 2);
      assert.equal(str1?.replace("%s", str2 ?? ""), message, code);
      assert.match(message ?? "", /^[A-Za-z ]+: ./, code);
    }
  });

  it("of our own faults, that they are internal", () => {
    assert.deepEqual(said(new TypeError("x is undefined")), [1, 17, "internal error: x is undefined"]);
    assert.deepEqual(said("a text"), [1, 17, "internal error: a text"]);
  });

  it("of what is no driver's, without a prefix", () => {
    const { str1, str2 } = toWireError(new LibvirtError(5, 0, "no connection driver available for foo:///x"));
    assert.deepEqual([str1, str2], ["no connection driver available for %s", "foo:///x"]);
  });
});
