import assert from "node:assert/strict";
import { test } from "node:test";
import { auditMessage } from "../../../src/host/audit.js";

test("a message for the kernel's audit is libaudit's, byte for byte", () => {
  const text = `virt=lxc op=start exe="/usr/bin/node" hostname=? addr=? terminal=? res=success`;
  const bytes = Buffer.from(
    auditMessage({ type: 2500, text: "virt=lxc op=start", isSuccess: true }, 7, "/usr/bin/node"),
  );
  const length = 16 + text.length + 1;
  assert.equal(bytes.readUInt32LE(0), length);
  assert.equal(bytes.readUInt16LE(4), 2500);
  // NLM_F_REQUEST.
  assert.equal(bytes.readUInt16LE(6), 1);
  assert.equal(bytes.readUInt32LE(8), 7);
  assert.equal(bytes.readUInt32LE(12), 0);
  assert.equal(bytes.toString("utf8", 16, length - 1), text);
  assert.equal(bytes[length - 1], 0);
  assert.equal(bytes.length % 4, 0);
  const failed = auditMessage({ type: 2500, text: "virt=lxc op=start", isSuccess: false }, 7, "/usr/bin/node");
  assert.match(Buffer.from(failed).toString(), / res=failed\0/);
});
