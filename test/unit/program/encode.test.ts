import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";

import { check } from "../../../src/host/addon.js";
import {
  beginProgram,
  buffer,
  call,
  data,
  defer,
  end,
  finishProgram,
  goOn,
  ignore,
  imm,
  jump,
  label,
  place,
  point,
  presetSlot,
  slot,
  str,
  type Block,
} from "../../../src/program/assembler.js";
import { encodeProgram } from "../../../src/program/encode.js";
import { codes, type LaunchProgram, type Value } from "../../../src/program/ops.js";
import { currentArch } from "../../support/image.js";

/** docs/protocol/program.md read again, from the text and not from the encoder. */
interface Decoded {
  readonly header: readonly number[];
  readonly ops: readonly {
    readonly code: number;
    readonly flags: number;
    readonly nr: number;
    readonly note: string;
    readonly target: number;
    readonly out: number;
    readonly rules: readonly (readonly [err: number, target: number])[];
    readonly args: readonly (readonly [tag: number, value: bigint])[];
  }[];
  readonly relocations: readonly (readonly [where: number, what: number])[];
  readonly data: Buffer;
}

function decode(image: Uint8Array): Decoded {
  const bytes = Buffer.from(image);
  const header = Array.from({ length: 16 }, (_, index) => bytes.readUInt32LE(index * 4));
  const [, , , opOff = 0, opCount = 0, ruleOff = 0, , relocOff = 0, relocCount = 0, dataOff = 0, dataSize = 0] = header;
  const block = bytes.subarray(dataOff, dataOff + dataSize);
  const ops = Array.from({ length: opCount }, (_, index) => {
    const at = opOff + index * 80;
    const noteAt = bytes.readUInt32LE(at + 8);
    const first = bytes.readUInt32LE(at + 20);
    assert.equal(bytes.readUInt16LE(at + 78), 0, "reserved");
    return {
      code: bytes.readUInt16LE(at),
      flags: bytes.readUInt16LE(at + 2),
      nr: bytes.readUInt32LE(at + 4),
      note: block.toString("utf8", noteAt, block.indexOf(0, noteAt)),
      target: bytes.readUInt32LE(at + 12),
      out: bytes.readUInt16LE(at + 16),
      rules: Array.from({ length: bytes.readUInt16LE(at + 18) }, (__, number) => {
        const rule = ruleOff + (first + number) * 8;
        return [bytes.readInt32LE(rule), bytes.readUInt32LE(rule + 4)] as const;
      }),
      args: Array.from(
        { length: 6 },
        (__, number) => [bytes.readUInt8(at + 72 + number), bytes.readBigInt64LE(at + 24 + number * 8)] as const,
      ),
    };
  });
  const relocations = Array.from(
    { length: relocCount },
    (_, index) => [bytes.readUInt32LE(relocOff + index * 8), bytes.readUInt32LE(relocOff + index * 8 + 4)] as const,
  );
  return { header, ops, relocations, data: block };
}

function program(build: (first: Block) => void, arch = currentArch): LaunchProgram {
  const first = beginProgram(arch, "first");
  build(first);
  return finishProgram(first.build);
}

test("the header says where everything is, as the page has it", () => {
  const made = program((first) => {
    presetSlot(first.build, "given");
    const text = str(first.build, "/x");
    const array = buffer(first.build, 16, "[]");
    point(first.build, array, 0, text);
    call(first, "chdir", [text], { note: "go", on: ignore(2, 13) });
    end(first, 0, "done");
  });
  const image = encodeProgram(made);
  const { header } = decode(image);
  const arch = currentArch === "x86_64" ? 1 : 2;
  const dataOff = Math.ceil((64 + 2 * 80 + 2 * 8 + 8) / 16) * 16;
  const dataSize = made.data.length + "go\0done\0".length;
  assert.deepEqual(header, [
    0x504c5349,
    1,
    dataOff + dataSize,
    64,
    2,
    224,
    2,
    240,
    1,
    dataOff,
    dataSize,
    1,
    1,
    arch,
    0,
    0,
  ]);
  assert.equal(image.length, dataOff + dataSize);
  check(image);
});

test("an operation is laid out field by field: code, flags, number, note, target, slot, rules, arguments with their tags", () => {
  const made = program((first) => {
    const { build } = first;
    const fd = slot(build, "fd");
    const gone = label("gone");
    call(first, "openat", [imm(-100), str(build, "/etc"), imm(0x80000), imm(0)], {
      note: "öffne /etc",
      out: fd,
      on: [...goOn(gone, 2), ...ignore("any")],
    });
    call(first, "read", [fd, buffer(build, 8, "room"), imm(8n)], { note: "read", full: true, waitIn: true });
    place(first, gone);
    end(first, fd, "done");
  });
  const { ops, data: block } = decode(encodeProgram(made));
  const nr = currentArch === "x86_64" ? { openat: 257, read: 0 } : { openat: 56, read: 63 };
  const none = [0, 0n] as const;
  assert.deepEqual(ops, [
    {
      code: 1,
      flags: 0,
      nr: nr.openat,
      note: "öffne /etc",
      target: 0,
      out: 0,
      rules: [
        [2, 2],
        [0, 1],
      ],
      args: [[0, -100n], [1, 0n], [0, 0x80000n], none, none, none],
    },
    {
      code: 1,
      flags: 3,
      nr: nr.read,
      note: "read",
      target: 0,
      out: 0xffff,
      rules: [],
      args: [[2, 0n], [1, 8n], [0, 8n], none, none, none],
    },
    {
      code: 10,
      flags: 0,
      nr: 0,
      note: "done",
      target: 0,
      out: 0xffff,
      rules: [],
      args: [[2, 0n], none, none, none, none, none],
    },
  ]);
  assert.equal(block.toString("utf8", 0, 5), "/etc\0");
});

test("immediates are 64 bits, signed or not", () => {
  const values = [
    0,
    1,
    -1,
    -100,
    0xffffffff,
    0x1_0000_0000,
    -0x1_0000_0001,
    2 ** 52,
    0xffff_ffff_ffff_ffffn,
    -1n,
    1n << 63n,
  ];
  for (const value of values) {
    const { ops } = decode(encodeProgram(program((first) => end(first, imm(value), "done"))));
    assert.equal(ops[0]?.args[0]?.[1], BigInt.asIntN(64, BigInt(value)), String(value));
  }
});

test("arm64 programs have arm64's system call numbers and say so", () => {
  const { header, ops } = decode(
    encodeProgram(
      program((first) => {
        call(first, "openat", [imm(-100)], { note: "open" });
        end(first, 0, "done");
      }, "arm64"),
    ),
  );
  assert.deepEqual([header[13], ops[0]?.nr], [2, 56]);
});

test("notes are stored once, behind the data", () => {
  const made = program((first) => {
    for (let index = 0; index < 50; index += 1) call(first, "getpid", [], { note: "the same note" });
    end(first, 0, "the same note");
  });
  assert.equal(decode(encodeProgram(made)).data.length, made.data.length + "the same note\0".length);
});

test("an error that is fine on the last operation of a section is refused: there is nothing to go on with", () => {
  const last = (first: Block): void => call(first, "getpid", [], { note: "ask", on: ignore(1) });
  assert.throws(
    () => encodeProgram(program(last)),
    /an error that is fine of the last operation of first, "ask", leads beyond its end; end the section with END/,
  );
  // Another section follows in the image, and must not be run by mistake.
  assert.throws(
    () =>
      encodeProgram(
        program((first) => {
          defer(first, "undo", "later", () => undefined);
          last(first);
        }),
      ),
    /the last operation of first/,
  );
});

test("a label behind the last operation of its section, or placed nowhere, is refused by name", () => {
  const lost = label("lost");
  const behind = (first: Block): void => {
    jump(first, lost, "go");
    place(first, lost);
  };
  assert.throws(() => encodeProgram(program(behind)), /the label lost is behind the last operation of first/);
  const nowhere = label("nowhere");
  assert.throws(
    () => encodeProgram(program((first) => jump(first, nowhere, "go"))),
    /the label nowhere was never placed/,
  );
});

// Programs of any shape: whatever the assembler makes, the interpreter's decoder takes, and it says the same.
const anyValue = fc.oneof(
  fc.record({
    kind: fc.constant("imm" as const),
    value: fc.oneof(fc.maxSafeInteger(), fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n })),
  }),
  fc.record({ kind: fc.constant("slot" as const), index: fc.nat(3) }),
  fc.record({ kind: fc.constant("data" as const), index: fc.nat(2) }),
);
const anyText = fc.string({ unit: "grapheme", maxLength: 40 }).filter((text) => !text.includes("\0"));
const anyOp = fc.record({
  name: fc.constantFrom("getpid", "openat", "read", "mount_setattr"),
  args: fc.array(anyValue, { maxLength: 6 }),
  note: anyText,
  out: fc.option(fc.nat(3), { nil: null }),
  on: fc.array(fc.oneof(fc.constant("any" as const), fc.integer({ min: 1, max: 133 })), { maxLength: 3 }),
  waitIn: fc.boolean(),
  full: fc.boolean(),
});

test("the decoder accepts whatever the assembler and the encoder make, and it says the same", () => {
  fc.assert(
    fc.property(
      fc.array(anyOp, { maxLength: 30 }),
      fc.array(anyText, { minLength: 3, maxLength: 3 }),
      (wanted, texts) => {
        const made = program((first) => {
          const { build } = first;
          const slots = [0, 1, 2, 3].map((index) => slot(build, `s${index}`));
          const places = texts.map((text) => str(build, text));
          const value = (one: (typeof wanted)[number]["args"][number]): Value => {
            const found =
              one.kind === "imm" ? imm(one.value) : one.kind === "slot" ? slots[one.index] : places[one.index];
            assert.ok(found !== undefined);
            return found;
          };
          for (const { name, args, note, out, on, waitIn, full } of wanted) {
            const given = out === null ? {} : { out: slots[out] ?? slot(build, "x") };
            call(first, name, args.map(value), {
              note,
              ...given,
              on: ignore(...on),
              waitIn,
              full: full && args.length > 2,
            });
          }
          end(first, 0, "done");
        });
        const image = encodeProgram(made);
        check(image);
        const { ops } = decode(image);
        assert.deepEqual(
          ops.map((op) => op.note),
          [...wanted.map((op) => op.note), "done"],
        );
        assert.deepEqual(
          ops.slice(0, -1).map((op) => op.rules.map(([err]) => err)),
          wanted.map((op) => op.on.map((err) => (err === "any" ? 0 : err))),
        );
        ops.slice(0, -1).forEach((op, index) => {
          const planned = made.sections[0]?.ops[index];
          assert.deepEqual(
            [op.code, op.flags, op.nr, op.out],
            [codes.call, planned?.flags, planned?.nr, planned?.out?.index ?? 0xffff],
          );
          op.args.forEach(([tag, number], position) => {
            const given = planned?.args[position];
            if (given === undefined) assert.deepEqual([tag, number], [0, 0n]);
            else if (given.kind === "imm") assert.deepEqual([tag, number], [0, BigInt.asIntN(64, BigInt(given.value))]);
            else
              assert.deepEqual(
                [tag, number],
                given.kind === "data" ? [1, BigInt(given.offset)] : [2, BigInt(given.index)],
              );
          });
        });
      },
    ),
    { numRuns: 300 },
  );
});

test("data keep their bytes and places in the image", () => {
  const made = program((first) => {
    data(first.build, Uint8Array.of(1, 2, 3), "three");
    data(first.build, Uint8Array.of(9), "aligned");
    end(first, 0, "done");
  });
  assert.deepEqual([...decode(encodeProgram(made)).data.subarray(0, 9)], [1, 2, 3, 0, 0, 0, 0, 0, 9]);
});
