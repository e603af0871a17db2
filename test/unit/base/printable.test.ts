import assert from "node:assert/strict";
import { it } from "node:test";
import { escaped, printable } from "../../../src/base/printable.js";

it("ordinary text of any language, with its blanks and tabs, stays as it is", () => {
  for (const text of ["", "web1", "a  b\tc", "grün – 漢字 🙂", "~|{}\u00a0"]) assert.equal(printable(text), text);
});

it("what a terminal would obey or a line would end at is taken out", () => {
  assert.equal(printable("a\u001b[2Jb\u009b1mc\u007fd\r\n\ve\u0000f\u0085"), "a[2Jb1mcdef");
});

it("in a record nothing is lost: what a terminal would obey is written as an escape that no text can forge", () => {
  for (const text of ["", "web1", "a  b", "grün – 漢字 🙂", "~|{}\u00a0"]) assert.equal(escaped(text), text);
  assert.equal(escaped("a\u001b[2Jb\u009b1m\u007f\r\n\t\u0000"), "a\\x1b[2Jb\\x9b1m\\x7f\\r\\n\\t\\x00");
  assert.equal(escaped("a\u2028b\u202ec\u2066"), "a\\u2028b\\u202ec\\u2066");
  assert.equal(escaped(String.raw`\n`), String.raw`\\n`);
});
