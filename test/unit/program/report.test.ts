import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";

import { errorLines } from "../../../src/base/errors.js";
import {
  beginProgram,
  call,
  clone,
  end,
  fail,
  finishProgram,
  imm,
  octal,
  slot,
  str,
  tell,
  wait,
} from "../../../src/program/assembler.js";
import { cloneArguments } from "../../../src/program/calls.js";
import { decodeRecord, failureError, recordSize, type FailureRecord } from "../../../src/program/report.js";
import { EACCES, EEXIST, ENOENT, EPERM } from "../../../src/sys/errno.js";

/** The 72 bytes of docs/protocol/program.md, Errors. */
function encodeRecord(record: FailureRecord): Uint8Array {
  const bytes = Buffer.alloc(72);
  bytes.writeUInt32LE(0x46504c49, 0);
  bytes.writeUInt32LE(record.op, 4);
  bytes.writeInt32LE(record.error, 8);
  bytes.writeUInt32LE(record.depth, 12);
  record.args.forEach((arg, index) => bytes.writeBigInt64LE(arg, 16 + index * 8));
  bytes.writeUInt32LE(99, 64);
  return bytes;
}

const at = { file: "/var/lib/lxc/web1/config", line: 14, key: "lxc.mount.entry" };

const first = beginProgram("x86_64", "monitor");
const fd = slot(first.build, "root");
call(first, "mkdirat", [fd, str(first.build, "srv"), octal(0o755)], {
  note: "make the directory srv",
  at,
  hints: { EACCES: "let root search it", any: "look there" },
});
clone(first, "init", cloneArguments(first, 0x20000n, 17, null, null), { note: "clone the main process" }, (child) => {
  fail(child, 25, { note: "there is no terminal; use a pipe" });
});
wait(first, fd, true, { note: "run the hook /bin/x" });
tell(first, 1, "state", imm(2), "the container runs");
end(first, 0, "done");
const program = finishProgram(first.build);

const words = (op: number, error: number, args: readonly bigint[] = []): readonly string[] =>
  errorLines(
    failureError(
      program,
      { op, error, depth: 0, args: [...args, ...Array<bigint>(6 - args.length).fill(0n)] },
      "ISLET_START_FAILED",
    ),
  );

test("the error of a call names what was wanted, errno in words, the values used, the source and what to do", () => {
  assert.deepEqual(words(0, EACCES, [7n]), [
    'cannot make the directory srv: EACCES (Permission denied) [mkdirat(7, "srv", 0755)] (/var/lib/lxc/web1/config:14 lxc.mount.entry); let root search it',
  ]);
});

test("a hint for any error stands behind those for one", () => {
  assert.match(words(0, ENOENT)[0] ?? "", /; look there$/);
  const error = failureError(program, { op: 0, error: EEXIST, depth: 0, args: [] }, "ISLET_START_FAILED");
  assert.deepEqual(
    [error.code, error.errno, error.syscall, error.at, error.hint],
    ["ISLET_START_FAILED", "EEXIST", "mkdirat", at, "look there"],
  );
});

test("a clone is shown with its flags", () => {
  assert.deepEqual(words(1, EPERM), [
    "cannot clone the main process: EPERM (Operation not permitted) [clone3({flags=CLONE_NEWNS, exit_signal=17}, 88)]",
  ]);
});

test("a command that failed is told by its exit status or signal, a peer that ended by that", () => {
  assert.deepEqual(words(2, 8192 + 3), ["cannot run the hook /bin/x: exit status 3"]);
  assert.deepEqual(words(2, 8192 + 128 + 9), ["cannot run the hook /bin/x: killed by signal 9"]);
  assert.match(words(0, 4096)[0] ?? "", /^cannot make the directory srv: the other side ended early/);
});

test("a FAIL is its note and nothing else; a TELL is a statement", () => {
  assert.deepEqual(words(5, 25), ["there is no terminal; use a pipe"]);
  assert.deepEqual(words(3, EPERM), ['cannot take note that "the container runs": EPERM (Operation not permitted)']);
});

test("a record of an operation that the program has not is a fault of islet itself", () => {
  const error = failureError(program, { op: 77, error: EPERM, depth: 0, args: [] }, "ISLET_START_FAILED");
  assert.deepEqual(
    [error.code, error.message],
    ["ISLET_INTERNAL", "operation 77 failed: EPERM (Operation not permitted)"],
  );
});

const records: fc.Arbitrary<FailureRecord> = fc.record({
  op: fc.nat(0xffffffff),
  error: fc.integer({ min: -0x80000000, max: 0x7fffffff }),
  depth: fc.nat(5),
  args: fc.array(fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }), { minLength: 6, maxLength: 6 }),
});

test("a record is read as it was written, wherever it lies in memory", () => {
  fc.assert(
    fc.property(records, fc.nat(9), (record, offset) => {
      const room = new Uint8Array(recordSize + offset);
      room.set(encodeRecord(record), offset);
      assert.deepEqual(decodeRecord(room.subarray(offset)), { ...record });
    }),
  );
});

test("bytes that are no record are none", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      fc.pre(Buffer.from(bytes).subarray(0, 4).toString("hex") !== "494c5046");
      assert.equal(decodeRecord(bytes), null);
    }),
  );
  const whole = encodeRecord({ op: 1, error: 1, depth: 0, args: [0n, 0n, 0n, 0n, 0n, 0n] });
  assert.equal(decodeRecord(whole.subarray(0, 71)), null);
  assert.notEqual(decodeRecord(whole), null);
});

test("every error of every operation gives one line without an undefined in it", () => {
  fc.assert(
    fc.property(fc.nat(7), fc.integer({ min: 1, max: 9000 }), (op, error) => {
      const lines = words(op, error);
      assert.equal(lines.length, 1);
      assert.doesNotMatch(lines[0] ?? "", /undefined|null|\n/);
    }),
  );
});
