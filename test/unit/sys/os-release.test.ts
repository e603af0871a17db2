import assert from "node:assert/strict";
import { test } from "node:test";
import { parseOsRelease } from "../../../src/sys/os-release.js";

test("values of os-release are read with and without quotes, and other lines are passed over", () => {
  const text = `# comment\nID=debian\nVERSION_ID="12"\nBUILD_ID='a b'\nNAME="say \\"\\$x\\""\nlower=1\nODD=a b\nID_LIKE=\n\n`;
  assert.deepEqual(
    [...parseOsRelease(text)],
    [
      ["ID", "debian"],
      ["VERSION_ID", "12"],
      ["BUILD_ID", "a b"],
      ["NAME", 'say "$x"'],
      ["ID_LIKE", ""],
    ],
  );
});

test("a value with control characters is none", () => {
  assert.deepEqual([...parseOsRelease('ID="a\x01b"\nVERSION_ID=1\x7f\n')], []);
});
