import assert from "node:assert/strict";
import { it } from "node:test";
import { printable } from "../../../src/base/printable.js";

it("ordinary text of any language, with its blanks and tabs, stays as it is", () => {
  for (const text of ["", "web1", "a  b\tc", "grün – 漢字 🙂", "~|{}\u00a0"]) assert.equal(printable(text), text);
});

it("what a terminal would obey or a line would end at is taken out", () => {
  assert.equal(printable("a\u001b[2Jb\u009b1mc\u007fd\r\n\ve\u0000f\u0085"), "a[2Jb1mcdef");
});
