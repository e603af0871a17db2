import assert from "node:assert/strict";
import { it } from "node:test";
import { gnupgVerdict, sequoiaVerdict } from "../../../src/image/verify.js";

const status = (...lines: readonly string[]): string => lines.map((line) => `[GNUPG:] ${line}\n`).join("");

it("one good signature is enough, if none is false", () => {
  assert.equal(gnupgVerdict(status("GOODSIG 1 a", "VALIDSIG F")), "good");
  assert.equal(gnupgVerdict(status("ERRSIG 2", "NO_PUBKEY 2", "GOODSIG 1 a", "VALIDSIG F")), "good");
  assert.deepEqual(gnupgVerdict(status("GOODSIG 1 a", "VALIDSIG F", "BADSIG 2 b")), { kind: "bad" });
});

it("what is no good signature has a reason", () => {
  assert.deepEqual(gnupgVerdict(status("ERRSIG 2", "NO_PUBKEY 2")), { kind: "unknown key", key: "2" });
  assert.deepEqual(gnupgVerdict(status("EXPKEYSIG 1 a", "VALIDSIG F")), { kind: "expired key" });
  assert.deepEqual(gnupgVerdict(status("EXPSIG 1 a", "VALIDSIG F")), { kind: "expired" });
  assert.deepEqual(gnupgVerdict(status("REVKEYSIG 1 a", "VALIDSIG F")), { kind: "revoked" });
  assert.deepEqual(gnupgVerdict(status("NODATA 4")), { kind: "none" });
  assert.deepEqual(gnupgVerdict(""), { kind: "none" });
  assert.deepEqual(gnupgVerdict("GOODSIG VALIDSIG without the prefix"), { kind: "none" });
});

it("sqv 1.1 says the same in other words", () => {
  assert.equal(sequoiaVerdict(true, "DA798D5B21D96BAF4B15F76CB4ADA132A94A8EFC"), "good");
  assert.deepEqual(sequoiaVerdict(false, "Verifying signature:\n           Message has been manipulated"), {
    kind: "bad",
  });
  assert.deepEqual(
    sequoiaVerdict(false, "Missing key DA798D5B21D96BAF4B15F76CB4ADA132A94A8EFC, which is needed to verify signature."),
    { kind: "unknown key", key: "DA798D5B21D96BAF4B15F76CB4ADA132A94A8EFC" },
  );
  assert.deepEqual(sequoiaVerdict(false, 'Error: Reading "data": EOF'), { kind: "none" });
});
